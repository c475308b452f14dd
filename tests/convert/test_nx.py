"""Graphs of networkx: undirected ones whose lists give the direction, and the way back."""

import io

import networkx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import edgelinear as el
from edgelinear import convert


def edges_of(wiring):
    src, dst = wiring.topology.edge_index.tolist()
    return {
        (wiring.in_names[s], wiring.out_names[t]): w
        for s, t, w in zip(src, dst, wiring.weight.tolist(), strict=True)
    }


BIPARTITE = [("a", "y", 1.0), ("y", "b", 2.0), ("z", "b", 3.0)]


def undirected(edges=BIPARTITE, kind=networkx.Graph):
    graph = kind()
    graph.add_weighted_edges_from(edges)
    return graph


def test_lists_give_undirected_edges_their_direction():
    wiring = convert.from_networkx(undirected(), inputs=["a", "b"], outputs=["z", "y"])
    assert edges_of(wiring) == {("a", "y"): 1.0, ("b", "y"): 2.0, ("b", "z"): 3.0}


def test_lists_the_other_way_turn_every_edge():
    there = convert.from_networkx(undirected(), inputs=["a", "b"], outputs=["z", "y"])
    back = convert.from_networkx(undirected(), inputs=["z", "y"], outputs=["a", "b"])
    assert edges_of(back) == {(v, u): w for (u, v), w in edges_of(there).items()}


@settings(max_examples=30)
@given(
    st.sets(st.tuples(st.integers(0, 4), st.integers(5, 8)), min_size=1).flatmap(
        lambda edges: st.tuples(st.just(sorted(edges)), st.lists(st.booleans(), min_size=20))
    )
)
def test_order_of_the_ends_of_an_undirected_edge_does_not_count(case):
    edges, turned = case
    graph = networkx.Graph()
    graph.add_nodes_from(range(9))
    graph.add_edges_from(e[::-1] if t else e for e, t in zip(edges, turned, strict=False))
    given = convert.from_networkx(graph, inputs=range(5), outputs=range(5, 9))
    src, dst = given.topology.edge_index
    assert sorted(zip(src.tolist(), (dst + 5).tolist(), strict=True)) == edges


def test_parallel_undirected_edges_follow_the_rule():
    graph = undirected([("a", "y", 1.0), ("y", "a", 3.0)], networkx.MultiGraph)
    with pytest.raises(ValueError, match="edge 'a' -> 'y' is given twice"):
        convert.from_networkx(graph, inputs=["a"], outputs=["y"])
    wiring = convert.from_networkx(graph, inputs=["a"], outputs=["y"], duplicates="mean")
    assert edges_of(wiring) == {("a", "y"): 2.0}


def test_node_in_both_lists_has_edges_where_one_way_is_possible():
    graph = undirected([("a", "y", 1.0), ("both", "y", 2.0), ("a", "both", 3.0)])
    wiring = convert.from_networkx(graph, inputs=["a", "both"], outputs=["y", "both"])
    assert edges_of(wiring) == {("a", "y"): 1.0, ("both", "y"): 2.0, ("a", "both"): 3.0}


def test_undirected_self_loop_has_one_direction():
    wiring = convert.from_networkx(undirected([("a", "a", 2.0)]), inputs=["a"], outputs=["a"])
    assert edges_of(wiring) == {("a", "a"): 2.0}


@pytest.mark.parametrize("side", ["inputs", "outputs"])
def test_undirected_edge_inside_a_list_is_refused(side):
    graph = undirected([*BIPARTITE, ("a", "b", 1.0)])
    lists = {"inputs": ["a", "b"], "outputs": ["y", "z"]}
    if side == "outputs":
        lists = {"inputs": ["y", "z"], "outputs": ["a", "b"]}
    with pytest.raises(ValueError, match=f"'a' - 'b' joins two of the `{side}`, .* drop it"):
        convert.from_networkx(graph, **lists)


def test_undirected_edge_that_could_lead_both_ways_is_refused():
    graph = undirected([("a", "b", 1.0)])
    with pytest.raises(ValueError, match=r"could lead both ways, .* use `graph.to_directed\(\)`"):
        convert.from_networkx(graph, inputs=["a", "b"], outputs=["a", "b"])
    both = convert.from_networkx(graph.to_directed(), inputs=["a", "b"], outputs=["a", "b"])
    assert edges_of(both) == {("a", "b"): 1.0, ("b", "a"): 1.0}


def test_undirected_edge_to_an_unlisted_node_is_refused():
    with pytest.raises(ValueError, match="'b' is not listed: add it to `inputs`"):
        convert.from_networkx(undirected(), inputs=["a"], outputs=["y", "z"])


def test_undirected_graph_without_lists_is_told_of_both_cures():
    with pytest.raises(TypeError, match=r"`graph.to_directed\(\)` .* or list `inputs` and `outp"):
        convert.from_networkx(undirected())


# There and back


def same(wiring, layer):
    assert wiring.topology == layer.topology.sorted()[0]
    assert (wiring.in_names, wiring.out_names) == (layer.in_names, layer.out_names)
    _, permutation = layer.topology.sorted()
    assert torch.equal(wiring.weight.float(), layer.weight.detach()[permutation])


NAMES = {
    "none": (None, None),
    "indices": ([0, 1, 2], [0, 1]),
    "the same numbers": ([7, 5, 3], [5, 7]),
    "the same strings": (["a", "b", "c"], ["c", "a"]),
    "the same and others": ([1, 2, 3], [3, 4]),
    "one side": (None, ["x", "y"]),
    "mixed": ([1, "1", 2], ["x", 1]),
}


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_graph_comes_back_as_it_went(names):
    layer = el.EdgeLinear(
        3,
        2,
        [(2, 1), (0, 0), (1, 0), (0, 1)],
        weight=[1.0, 2.0, 3.0, 4.0],
        in_names=names[0],
        out_names=names[1],
    )
    same(convert.from_networkx(convert.to_networkx(layer)), layer)


@settings(max_examples=25)
@given(st.data())
def test_any_names_on_both_sides_come_back(data):
    numbers = st.integers(0, 6)
    in_names = data.draw(st.lists(numbers, min_size=1, max_size=5, unique=True))
    out_names = data.draw(st.lists(numbers, min_size=1, max_size=5, unique=True))
    edge = st.tuples(st.integers(0, len(in_names) - 1), st.integers(0, len(out_names) - 1))
    edges = data.draw(st.lists(edge, max_size=8, unique=True))
    layer = el.EdgeLinear(
        len(in_names), len(out_names), edges, in_names=in_names, out_names=out_names
    )
    wiring = convert.from_networkx(convert.to_networkx(layer))
    assert (wiring.in_names, wiring.out_names) == (in_names, out_names)
    assert wiring.topology == layer.topology.sorted()[0]


def test_names_given_for_the_graph_come_back():
    layer = el.EdgeLinear(2, 2, [(0, 1), (1, 0)])
    graph = convert.to_networkx(layer, in_names=np.array([4, 9]), out_names=np.array([9, 4]))
    assert sorted(graph.nodes) == [4, 9]
    wiring = convert.from_networkx(graph)
    assert (wiring.in_names, wiring.out_names) == ([4, 9], [9, 4])


def test_graph_comes_back_from_a_file():
    layer = el.EdgeLinear(3, 2, [(0, 0), (2, 1)], in_names=["a", "b", "c"], out_names=["b", "a"])
    for kind in ("graphml", "gexf"):
        file = io.BytesIO()
        getattr(networkx, f"write_{kind}")(convert.to_networkx(layer), file)
        file.seek(0)
        same(convert.from_networkx(getattr(networkx, f"read_{kind}")(file)), layer)


def test_filtered_graph_keeps_the_order_of_its_nodes():
    layer = el.EdgeLinear(3, 2, [(0, 0), (2, 1)], in_names=["a", "b", "c"], out_names=["b", "a"])
    graph = convert.to_networkx(layer)
    graph = networkx.DiGraph(graph.subgraph(["c", "a"]))
    wiring = convert.from_networkx(graph)
    assert (wiring.in_names, wiring.out_names) == (["a", "c"], ["a"])


def test_lists_win_over_what_the_nodes_say():
    graph = convert.to_networkx(el.EdgeLinear(2, 1, [(0, 0)], in_names=["a", "b"], out_names=["y"]))
    wiring = convert.from_networkx(graph, inputs=["b", "a"], outputs=["y"])
    assert wiring.in_names == ["b", "a"] and edges_of(wiring).keys() == {("a", "y")}


def test_node_that_does_not_say_what_it_is_among_others_that_do_is_refused():
    graph = convert.to_networkx(el.EdgeLinear(2, 1, [(0, 0)], in_names=["a", "b"], out_names=["y"]))
    graph.add_edge("new", "y", weight=1.0)
    with pytest.raises(ValueError, match="node 'new' has neither .*: list `inputs` and `outputs`"):
        convert.from_networkx(graph)


def test_two_graphs_in_one_are_refused():
    one = convert.to_networkx(el.EdgeLinear(1, 1, [(0, 0)], in_names=["a"], out_names=["y"]))
    two = convert.to_networkx(el.EdgeLinear(1, 1, [(0, 0)], in_names=["b"], out_names=["z"]))
    with pytest.raises(ValueError, match='have the same "input"'):
        convert.from_networkx(networkx.compose(one, two))


@pytest.mark.parametrize("mark", [True, "yes", 0.5, -1])
def test_attributes_of_other_kinds_mean_nothing(mark):
    graph = networkx.DiGraph([("a", "y")])
    networkx.set_node_attributes(graph, mark, "input")
    assert convert.from_networkx(graph).in_names == ["a", "y"]
