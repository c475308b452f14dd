"""Graphs of networkx, and their nodes as inputs and outputs."""

import networkx
import numpy as np
import pytest
import torch
from importers import ADJACENCY, EDGES, IN, INPUTS, OUTPUTS, WEIGHT, dense, layer_of
from torch.testing import assert_close

import edgelinear as el
from edgelinear import convert


def digraph(kind=networkx.DiGraph):
    graph = kind()
    for (s, t), value in zip(EDGES, WEIGHT, strict=True):
        graph.add_edge(f"x{s}", ("y", t), weight=value)
    return graph


@pytest.mark.parametrize("kind", [networkx.DiGraph, networkx.MultiDiGraph])
def test_networkx_edge_leads_from_input_to_output(kind):
    wiring = convert.from_networkx(digraph(kind), inputs=INPUTS, outputs=OUTPUTS)
    np.testing.assert_array_equal(dense(wiring), ADJACENCY.T)


def test_networkx_names_are_the_lists():
    wiring = convert.from_networkx(digraph(), inputs=INPUTS, outputs=OUTPUTS)
    assert (wiring.in_names, wiring.out_names) == (INPUTS, OUTPUTS)


def test_networkx_without_lists_equals_its_own_adjacency():
    graph = digraph()
    wiring = convert.from_networkx(graph)
    np.testing.assert_array_equal(dense(wiring).T, networkx.to_numpy_array(graph))
    assert wiring.in_names == wiring.out_names == list(graph)


def test_isolated_node_of_networkx_is_kept():
    graph = digraph()
    graph.add_node("alone")
    wiring = convert.from_networkx(graph, inputs=["alone", *INPUTS], outputs=OUTPUTS)
    assert wiring.topology.fan_out.tolist() == [0, 1, 1, 1, 2]


def test_self_loop_of_networkx_is_kept():
    wiring = convert.from_networkx(networkx.DiGraph([("a", "a"), ("a", "b")]))
    assert wiring.topology.edge_index.T.tolist() == [[0, 0], [0, 1]]


def test_networkx_values_are_double():
    assert convert.from_networkx(digraph()).weight.dtype == torch.float64


def test_whole_networkx_values_become_the_default_type():
    graph = networkx.DiGraph()
    graph.add_weighted_edges_from([("a", "b", 2), ("a", "c", True)])
    assert_close(convert.from_networkx(graph).weight, torch.tensor([2.0, 1.0]))


def test_networkx_without_values_has_no_weights():
    assert convert.from_networkx(networkx.DiGraph([("a", "b")])).weight is None


def test_networkx_weight_attribute_is_chosen():
    graph = networkx.DiGraph()
    graph.add_edge("a", "b", synapses=3.5, weight=1.0)
    assert convert.from_networkx(graph, weight="synapses").weight.tolist() == [3.5]


def test_networkx_value_on_some_edges_only_is_refused():
    graph = digraph()
    graph.add_edge("x0", ("y", 0))
    with pytest.raises(ValueError, match=r"edge 'x0' -> \('y', 0\) has no 'weight'"):
        convert.from_networkx(graph)


def test_networkx_value_that_is_no_number_is_refused():
    graph = networkx.DiGraph()
    graph.add_edge("a", "b", weight="0.5")
    with pytest.raises(TypeError, match="edge 'a' -> 'b' has weight='0.5', which is no number"):
        convert.from_networkx(graph)


def test_undirected_graph_is_refused():
    with pytest.raises(TypeError, match=r"graph.to_directed\(\)"):
        convert.from_networkx(networkx.Graph([("a", "b")]))


def test_matrix_is_no_graph():
    with pytest.raises(TypeError, match="must be a networkx graph, got ndarray"):
        convert.from_networkx(ADJACENCY)


def test_one_list_of_nodes_is_refused():
    with pytest.raises(ValueError, match="both `inputs` and `outputs`"):
        convert.from_networkx(digraph(), inputs=INPUTS)


def test_unknown_node_is_refused():
    with pytest.raises(ValueError, match="`inputs` names 'x9', which is no node"):
        convert.from_networkx(digraph(), inputs=[*INPUTS, "x9"], outputs=OUTPUTS)


def test_node_listed_twice_is_refused():
    with pytest.raises(ValueError, match=r"`outputs` lists \('y', 0\) twice"):
        convert.from_networkx(digraph(), inputs=INPUTS, outputs=[*OUTPUTS, ("y", 0)])


def test_set_of_nodes_is_refused():
    with pytest.raises(TypeError, match="`inputs` must be a list, whose order"):
        convert.from_networkx(digraph(), inputs=set(INPUTS), outputs=OUTPUTS)


def test_edge_that_ends_outside_the_lists_is_refused():
    with pytest.raises(ValueError, match=r"as \('y', 2\) is not listed: add it to `outputs`"):
        convert.from_networkx(digraph(), inputs=INPUTS, outputs=OUTPUTS[:2])


def test_to_networkx_equals_the_adjacency():
    graph = convert.to_networkx(layer_of(), in_names=INPUTS, out_names=OUTPUTS)
    found = networkx.to_numpy_array(graph, nodelist=INPUTS + OUTPUTS)
    np.testing.assert_array_equal(found[:IN, IN:], ADJACENCY)


def test_to_networkx_keeps_isolated_nodes():
    graph = convert.to_networkx(el.EdgeLinear(3, 2, [(1, 1)]))
    assert list(graph) == [("in", 0), ("in", 1), ("in", 2), ("out", 0), ("out", 1)]


def test_to_networkx_without_parallel_edges_is_no_multigraph():
    assert not convert.to_networkx(layer_of()).is_multigraph()


def test_own_names_are_read_by_number():
    graph = networkx.DiGraph([(("in", 10), ("out", 1)), (("in", 2), ("out", 0))])
    assert convert.from_networkx(graph).in_names == [2, 10]


def test_name_among_inputs_and_outputs_is_one_node():
    layer = el.EdgeLinear(2, 2, [(0, 1), (1, 0)])
    graph = convert.to_networkx(layer, in_names=["a", "b"], out_names=["a", "b"])
    assert sorted(graph.edges) == [("a", "b"), ("b", "a")]


def test_nodes_that_are_listed_keep_their_names():
    graph = convert.to_networkx(el.EdgeLinear(2, 2, [(0, 0), (1, 1)]))
    wiring = convert.from_networkx(graph, inputs=list(graph), outputs=list(graph))
    assert wiring.in_names == list(graph)
