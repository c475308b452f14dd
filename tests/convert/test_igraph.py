"""Graphs of igraph, against the same graphs of networkx."""

import networkx as nx
import pytest

from edgelinear import convert

igraph = pytest.importorskip("igraph")

EDGES = [("c", "y", 1.5), ("a", "y", -2.0), ("a", "x", 0.5), ("b", "z", 4.0)]
LISTS = {"inputs": ["a", "b", "c"], "outputs": ["z", "y", "x"]}


def graphs():
    ours = igraph.Graph.TupleList(EDGES, directed=True, weights=True)
    theirs = nx.DiGraph()
    theirs.add_nodes_from(ours.vs["name"])
    theirs.add_weighted_edges_from(EDGES)
    return ours, theirs


@pytest.mark.parametrize("lists", [{}, LISTS])
def test_graph_is_read_as_that_of_networkx(lists):
    ours, theirs = (
        read(graph, **lists)
        for read, graph in zip((convert.from_igraph, convert.from_networkx), graphs(), strict=True)
    )
    assert (ours.in_names, ours.out_names) == (theirs.in_names, theirs.out_names)
    assert ours.topology == theirs.topology and ours.weight.equal(theirs.weight)


def test_vertices_without_names_are_their_indices():
    wiring = convert.from_igraph(igraph.Graph([(0, 2), (2, 1)], directed=True))
    assert wiring.in_names == [0, 1, 2] and wiring.weight is None
    assert sorted(map(tuple, wiring.topology.edge_index.T.tolist())) == [(0, 2), (2, 1)]


def test_lists_give_the_direction_of_an_undirected_graph():
    graph = igraph.Graph.TupleList([(v, u, w) for u, v, w in EDGES], weights=True)
    with pytest.raises(TypeError, match="must be directed.*or give `inputs` and `outputs`"):
        convert.from_igraph(graph)
    found, truth = convert.from_igraph(graph, **LISTS), convert.from_igraph(graphs()[0], **LISTS)
    assert found.topology == truth.topology and found.weight.equal(truth.weight)


def test_undirected_edge_that_may_lead_either_way_is_refused():
    graph = igraph.Graph.TupleList([("a", "x"), ("a", "b")])
    with pytest.raises(TypeError, match="between 'a' and 'b' may lead either way"):
        convert.from_igraph(graph, inputs=["a", "b"], outputs=["x", "a", "b"])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"inputs": ["a"]}, ValueError, "give both `inputs` and `outputs`"),
        ({**LISTS, "inputs": ["q"]}, ValueError, "`inputs` names 'q', which is no vertex"),
        ({**LISTS, "inputs": ["a", "a"]}, ValueError, "`inputs` lists 'a' twice"),
        ({**LISTS, "inputs": ["a", "b"]}, ValueError, "as 'c' is not listed: add it to `inputs`"),
        ({**LISTS, "outputs": "zyx"}, TypeError, "`outputs` must be a list"),
    ],
)
def test_lists_that_do_not_fit_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        convert.from_igraph(graphs()[0], **options)


def test_what_is_no_graph_is_refused():
    with pytest.raises(TypeError, match="must be an igraph graph, got DiGraph"):
        convert.from_igraph(graphs()[1])
    with pytest.raises(ValueError, match="given twice"):
        convert.from_igraph(igraph.Graph([(0, 1), (0, 1)], directed=True))
    missing = graphs()[0]
    missing.es["weight"] = [1.0, None, 2.0, 3.0]
    with pytest.raises(ValueError, match="has no 'weight', and others have"):
        convert.from_igraph(missing)
