"""Random wirings, small enough that every edge case comes up."""

from hypothesis import strategies as st


@st.composite
def edge_lists(draw):
    in_features, out_features = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    pair = st.tuples(st.integers(0, in_features - 1), st.integers(0, out_features - 1))
    return in_features, out_features, draw(st.lists(pair, max_size=30))
