"""`EdgeMap`: values follow their edges by identity, whatever happened to the wiring."""

import numpy as np
import pandas
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

import edgelinear as el
from edgelinear import EdgeMap, Topology

maps = st.integers(1, 8).flatmap(
    lambda n: st.tuples(st.just(n), st.lists(st.integers(-1, n - 1), max_size=12))
)
pairs = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), max_size=20)


@given(maps)
def test_values_follow_their_edges(case):
    number, old = case
    values = torch.arange(number, dtype=torch.float64) * 10
    expected = [values[i].item() if i >= 0 else -7.0 for i in old]
    assert EdgeMap(old).follow(values, fill=-7.0).tolist() == expected
    assert EdgeMap(old).follow(values.numpy(), fill=-7.0).tolist() == expected


@given(maps)
def test_values_of_more_dimensions_follow_by_their_first(case):
    number, old = case
    values = torch.arange(2.0 * number).view(number, 2)
    expected = [values[i].tolist() if i >= 0 else [0.0, 0.0] for i in old]
    assert EdgeMap(old).follow(values).tolist() == expected


def test_new_edges_may_get_a_value_each():
    edges = EdgeMap([1, -1, -1])
    fresh = torch.tensor([7.0, 8.0, 9.0])
    assert edges.follow(torch.tensor([1.0, 2.0]), fill=fresh).tolist() == [2.0, 8.0, 9.0]


def test_values_of_no_edges_are_all_filled():
    assert EdgeMap([-1, -1]).follow(torch.empty(0), fill=2.0).tolist() == [2.0, 2.0]
    assert EdgeMap([]).follow(torch.arange(3)).tolist() == []


def test_gradients_follow_back():
    values = torch.randn(4, dtype=torch.float64, requires_grad=True)
    edges = EdgeMap([2, 2, -1, 0])
    assert torch.autograd.gradcheck(edges.follow, (values,))
    merged = EdgeMap([0, 2], new=[0, 0, 1, 1])
    assert torch.autograd.gradcheck(merged.sum, (values,))


def test_columns_of_a_table_follow():
    table = pandas.DataFrame({"pmid": [11, 12, 13]}, index=["x", "y", "z"])
    edges = EdgeMap([2, 0])
    assert edges.follow(table)["pmid"].tolist() == [13, 11]
    assert edges.follow(table["pmid"]).index.tolist() == ["z", "x"]
    assert edges.follow(["a", "b", "c"]).tolist() == ["c", "a"]


def test_rows_for_edges_that_are_new_are_refused():
    with pytest.raises(ValueError, match="no row: pass a column as an array, and `fill`"):
        EdgeMap([0, -1]).follow(pandas.Series([1, 2]))


@given(pairs)
def test_sum_of_merged_edges_is_that_of_a_dense_matrix(edges):
    weight = torch.arange(1.0, len(edges) + 1, dtype=torch.float64)
    wiring = el.convert.from_edges(5, 4, edges, weight=weight, duplicates="merge")
    dense = torch.zeros(4, 5, dtype=torch.float64)
    for (src, dst), value in zip(edges, weight, strict=True):
        dense[dst, src] += value
    src, dst = wiring.topology.edge_index
    assert_close(wiring.rows.sum(weight), dense[dst, src])
    assert wiring.rows.follow(weight).tolist() == [
        edges.index(edge) + 1 for edge in zip(src.tolist(), dst.tolist(), strict=True)
    ]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_add_up_in_float32(dtype):
    values = torch.full((4096,), 1.0, dtype=dtype)  # which stop at 2048, or at 256, one by one
    assert EdgeMap([0], new=[0] * 4096).sum(values).item() == 4096.0


def test_edges_taken_away_count_nowhere():
    assert EdgeMap([0, 3], new=[0, -1, 0, 1]).sum(torch.tensor([1.0, 2.0, 4.0, 8.0])).tolist() == [
        5.0,
        8.0,
    ]


@given(maps, st.data())
def test_two_changes_make_one(case, data):
    number, old = case
    later = data.draw(st.lists(st.integers(-1, len(old) - 1), max_size=12)) if old else []
    values = torch.arange(number, dtype=torch.float64) + 1
    once = EdgeMap(old).then(EdgeMap(later)).follow(values)
    assert_close(once, EdgeMap(later).follow(EdgeMap(old).follow(values)))


@given(pairs)
def test_merged_and_sorted_rows_add_up_alike(edges):
    weight = torch.arange(1.0, len(edges) + 1, dtype=torch.float64)
    src, dst = zip(*edges, strict=True) if edges else ((), ())
    table = pandas.DataFrame({"source": src, "target": dst, "weight": weight}, dtype=float)
    if not edges:
        return
    wiring = el.convert.from_table(
        table, in_features=5, out_features=4, duplicates="merge", sort=True
    )
    assert wiring.topology.is_sorted
    assert_close(wiring.rows.sum(weight), wiring.weight)


@given(pairs, pairs)
def test_map_between_topologies_is_by_both_ends(before, after):
    first, second = (Topology(5, 4, edges, duplicates="keep") for edges in (before, after))
    left = [*before]
    expected = []
    for edge in after:  # parallel edges are taken in their order
        expected.append(left.index(edge) if edge in left else -1)
        if edge in left:
            left[left.index(edge)] = None
    assert EdgeMap.between(first, second).old.tolist() == expected


def test_map_between_topologies_of_other_sizes():
    small, large = Topology(2, 2, [(1, 0), (0, 1)]), Topology(9, 7, [(0, 1), (8, 1), (1, 0)])
    assert EdgeMap.between(small, large).old.tolist() == [1, -1, 0]
    assert EdgeMap.between(large, small).old.tolist() == [2, 0]


def test_other_columns_survive_sorting_and_merging():
    table = pandas.DataFrame(
        {"source": ["b", "a", "b"], "target": ["y", "x", "y"], "evidence": ["p", "q", "r"]}
    )
    wiring = el.convert.from_table(table, duplicates="merge", sort=True)
    (src, dst), names = wiring.topology.edge_index, (wiring.in_names, wiring.out_names)
    rows = wiring.rows.follow(table)
    assert rows["source"].tolist() == [names[0][i] for i in src]
    assert rows["target"].tolist() == [names[1][i] for i in dst]
    assert sorted(rows["evidence"]) == ["p", "q"]


@pytest.mark.parametrize(
    ("old", "error", "message"),
    [
        ([[0]], ValueError, r"`old` must have one dimension, got shape \(1, 1\)"),
        ([-2], ValueError, "`old` must hold positions or -1, got -2"),
        ([0.5], TypeError, "`old` must hold integers, got torch.float64"),
        ([True], TypeError, "of a mask of edges that stay, pass `mask.nonzero"),
    ],
)
def test_map_that_is_none_is_refused(old, error, message):
    with pytest.raises(error, match=message):
        EdgeMap(old)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ([0], [0, 5], "positions among the 1 edges of `old`, or -1, got 5 at position 1"),
        ([], [0], "positions among the 0 edges of `old`, or -1, got 0 at position 0"),
        ([-1], [0], "new edge 0 is none of the old ones, and `new` that old edge 0 is part of it"),
        ([0, 1], [1, 0], "new edge 0 is old edge 0, and `new` that old edge 0 is part of new edge"),
        ([0, 1], [0, -1], "new edge 1 is old edge 1, and `new` that old edge 1 was taken away"),
        ([0, 3], [0, 0], "new edge 1 is old edge 3, and `new` that old edge 3 was taken away"),
        ([0], [], "new edge 0 is old edge 0, and `new` that old edge 0 was taken away"),
    ],
)
def test_map_whose_sides_contradict_each_other_is_refused(old, new, message):
    with pytest.raises(ValueError, match=message):
        EdgeMap(old, new=new)


def test_map_may_take_all_edges_away():
    assert EdgeMap([], new=[-1, -1]).sum(torch.ones(2)).tolist() == []
    assert EdgeMap([], new=[]).num_edges == 0
    assert EdgeMap([-1], new=[-1, -1]).sum(torch.ones(2)).tolist() == [0.0]


def test_new_edge_that_is_merged_with_an_old_one_is_that():
    edges = EdgeMap([-1, 0, 1]).then(EdgeMap([0, 2], new=[0, 0, 1]))
    assert (edges.old.tolist(), edges.new.tolist()) == ([0, 1], [0, 1])
    assert edges.sum(torch.tensor([3.0, 4.0])).tolist() == [3.0, 4.0]


@pytest.mark.parametrize("kind", [np.array, list])
def test_new_edges_get_a_text_among_texts(kind):
    edges = EdgeMap([1, -1])
    assert edges.follow(kind(["a", "b"]), fill="none").tolist() == ["b", "none"]
    assert edges.follow(kind(["a", "b"]), fill=np.array(["x", "yz"])).tolist() == ["b", "yz"]
    times = np.array(["2020", "2021"], dtype="datetime64[Y]")
    assert edges.follow(times, fill=np.datetime64("NaT", "Y"))[0] == times[1]
    for values in (kind(["a", "b"]), times):
        with pytest.raises(TypeError, match="pass a `fill` that values of .* may have, got 0.0"):
            edges.follow(values)


@pytest.mark.parametrize("kind", [torch.tensor, np.array])
def test_too_few_values_are_refused(kind):
    with pytest.raises(ValueError, match="of which there are 4 at least, got 3"):
        EdgeMap([3, 0]).follow(kind([1.0, 2.0, 3.0]))
    with pytest.raises(ValueError, match="of which there are 2 at least, got 1"):
        EdgeMap([0], new=[0, 0]).follow(kind([1.0]))


def test_map_says_how_many_edges_are_new():
    assert repr(EdgeMap([1, -1, -1])) == "EdgeMap(num_edges=3, of which new: 2)"


def test_adopted_wiring_keeps_the_weights_of_edges_that_stay():
    layer = el.EdgeLinear(3, 2, [(0, 0), (1, 1), (2, 0)], weight=[1.0, 2.0, 3.0])
    other = el.EdgeLinear(3, 2, [(2, 0), (0, 1), (0, 0)])
    el.adopt_wiring(layer, other.state_dict())
    assert layer.weight[[0, 2]].tolist() == [3.0, 1.0]


def test_edges_beyond_those_of_a_merge_are_taken_away():
    edges = EdgeMap([0, 1]).then(EdgeMap([0], new=[0, 0]))
    assert edges.sum(torch.tensor([1.0, 2.0, 4.0])).tolist() == [3.0]
    assert edges.combine(torch.tensor([1.0, 2.0, 9.0]), "max").tolist() == [2.0]
    assert edges.follow(torch.tensor([1.0, 2.0, 4.0])).tolist() == [1.0]


def test_merge_of_fewer_edges_goes_on_after_a_longer_one():
    edges = EdgeMap([0, 1, 2]).then(EdgeMap([0], new=[0, 0]))
    assert edges.sum(torch.tensor([1.0, 2.0, 4.0])).tolist() == [3.0]


@pytest.mark.parametrize(
    ("first", "later"),
    [(EdgeMap([0, 0]), EdgeMap([0], new=[0, 0])), (EdgeMap([0], new=[0, 0]), EdgeMap([0, 0]))],
)
def test_repeated_edges_that_are_merged_are_refused(first, later):
    with pytest.raises(ValueError, match="each edge once .* got edge 0 2 times: use `combine`"):
        first.then(later)


@pytest.mark.parametrize("kind", [torch.tensor, np.array])
def test_fill_is_not_rounded_to_the_type_of_the_values(kind):
    edges = EdgeMap([0, -1])
    assert edges.follow(kind([1, 2]), fill=0.5).tolist() == [1.0, 0.5]
    assert edges.follow(kind([True, False]), fill=2).tolist() == [1, 2]


@pytest.mark.parametrize("kind", [torch.tensor, np.array])
def test_values_keep_their_type_where_edges_get_zero(kind):
    for values in (kind([2**53 + 1]), kind([True])):
        found = EdgeMap([0, -1]).follow(values)
        assert found.dtype == values.dtype and found.tolist() == [values.tolist()[0], 0]
