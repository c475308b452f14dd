"""Orders of nodes, against loops and what they promise."""

import networkx
import numpy as np
import pytest
import torch

import edgelinear as el
from edgelinear.orders import ORDERS, level_of, order_of
from edgelinear.topology.levels import steps_from


def drawn(in_features=40, out_features=30, num_edges=200):
    return el.generators.erdos_renyi(in_features, out_features, num_edges=num_edges)


@pytest.mark.parametrize("order", [order for order in ORDERS if order != "level"])
@pytest.mark.parametrize("sizes", [(40, 30, 200), (3, 0, 0), (0, 3, 0), (5, 4, 0), (1, 1, 1)])
def test_orders_have_every_node_once(order, sizes):
    in_features, out_features, num_edges = sizes
    rows, columns = order_of(drawn(in_features, out_features, num_edges), order)
    assert sorted(rows) == [*range(out_features)] and sorted(columns) == [*range(in_features)]
    assert rows.dtype == columns.dtype == np.int64


def test_nodes_are_ordered_by_degree_and_ties_as_given():
    topology = drawn()
    degrees = topology.fan_in.tolist(), topology.fan_out.tolist()
    for nodes, degree in zip(order_of(topology, "degree"), degrees, strict=True):
        assert nodes.tolist() == sorted(range(len(degree)), key=lambda node: -degree[node])


def test_nodes_are_ordered_by_level_and_ties_as_given():
    net = el.EdgeNetwork(5, [(4, 3), (3, 0), (1, 0), (0, 2)], [4, 1], [2])
    rows, columns = order_of(net.topology, "level", level_of(net))
    assert rows.tolist() == columns.tolist() == [1, 4, 3, 0, 2]


def test_nodes_that_no_input_reaches_stand_last():
    net = el.EdgeRNN(5, [(3, 1), (1, 0), (1, 4), (0, 1), (2, 2)], [3], [4])
    assert level_of(net).tolist() == [2, 1, -1, 0, 2]
    assert order_of(net.topology, "level", level_of(net))[0].tolist() == [3, 1, 0, 4, 2]


def test_steps_are_those_of_networkx():
    ends = np.random.default_rng(0).integers(0, 60, (2, 90))
    graph = networkx.MultiDiGraph()
    graph.add_nodes_from(range(60))
    graph.add_edges_from(ends.T.tolist())
    for start in ([], [5], [5, 17, 5]):
        known = networkx.multi_source_dijkstra_path_length(graph, {*start}) if start else {}
        found = steps_from(60, *ends, np.array(start, int)).tolist()
        assert found == [known.get(node, -1) for node in range(60)]


def test_clusters_bring_blocks_together():
    random = np.random.default_rng(0)
    sizes = [12, 9, 15]
    block = np.repeat(range(3), sizes)
    there = (block[:, None] == block) & (random.random((36, 36)) < 0.8)
    rows, columns = (random.permutation(36) for _ in range(2))
    dst, src = np.nonzero(there[rows][:, columns])
    topology = el.Topology(36, 36, np.stack([src, dst]))
    found = order_of(topology, "cluster")
    runs = [block[hidden[order]] for order, hidden in zip(found, (rows, columns), strict=True)]
    assert (np.diff(runs[0]) != 0).sum() == 2
    assert runs[0].tolist() == runs[1].tolist()  # along a diagonal


def test_groups_that_share_nothing_keep_the_order_given():
    targets = [3, 0, 2, 0, 3, 1, 2, 1]
    topology = el.Topology(8, 4, [(s, t) for s, t in enumerate(targets)])
    weight = np.array([1.0, -1, 1, 1, -1, 1, -1, -1])  # whose signs part nothing
    rows, columns = order_of(topology, "cluster", weight=weight)
    assert rows.tolist() == [0, 1, 2, 3] and columns.tolist() == [1, 3, 5, 7, 2, 6, 0, 4]


def test_clusters_follow_weights_where_there_are_some():
    # All four targets have both sources; weights say which of them are alike.
    edges = [(s, t) for t in range(4) for s in range(2)]
    topology = el.Topology(2, 4, edges)
    assert order_of(topology, "cluster")[0].tolist() == [0, 1, 2, 3]
    weight = np.array([1, 0.1, 0.1, 1, 1, 0.2, 0.2, 1])
    rows = order_of(topology, "cluster", weight=weight)[0].tolist()
    assert {frozenset(rows[:2]), frozenset(rows[2:])} == {frozenset([0, 2]), frozenset([1, 3])}


def test_clusters_of_weights_of_zero_are_those_of_ones():
    topology = drawn()
    found, expected = (
        order_of(topology, "cluster", weight=np.zeros(200)),
        order_of(topology, "cluster"),
    )
    assert [x.tolist() for x in found] == [x.tolist() for x in expected]
    assert found[0].tolist() != [*range(30)]


def test_equal_rows_stand_together_as_given_and_empty_ones_last():
    topology = el.Topology(3, 6, [(0, 1), (0, 4), (1, 2), (2, 2), (1, 5), (2, 5)])
    rows = order_of(topology, "cluster")[0].tolist()
    assert rows[-2:] == [0, 3] and rows.index(4) - rows.index(1) == rows.index(5) - rows.index(2)
    assert rows.index(4) - rows.index(1) == 1


def test_orders_that_cannot_be_had_are_refused():
    topology = drawn()
    with pytest.raises(ValueError, match=r"one of \('given', .*, got 'size'"):
        order_of(topology, "size")
    with pytest.raises(ValueError, match='order="level" must have a network'):
        order_of(topology, "level", level_of(el.EdgeLinear.from_topology(topology)))
    with pytest.raises(ValueError, match="at most 2,000 a side, got 2,001: pass"):
        order_of(drawn(5, 2001, 9), "cluster")
    assert len(order_of(drawn(2000, 5, 9), "cluster")[1]) == 2000


def test_levels_are_those_of_a_network_and_of_no_layer():
    net = el.EdgeNetwork(3, torch.tensor([[0, 1], [1, 2]]), [0], [2])
    assert level_of(net).tolist() == net.level.tolist()
    assert level_of(el.EdgeLinear(2, 1, [(0, 0)])) is None and level_of(net.topology) is None
