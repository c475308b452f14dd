"""Null models: what they keep of a wiring, and that all else is equally likely."""

import itertools
from collections import Counter

import pytest
import torch
from sampled import START, fit, generator, pairs, pattern

import edgelinear as el
from edgelinear.generators import erdos_renyi, watts_strogatz
from edgelinear.null_models import degree_preserving, erdos_renyi_like, permute_targets


def test_degrees_are_preserved():
    topology = erdos_renyi(50, 40, num_edges=600, generator=generator())
    null = degree_preserving(topology, generator=generator(1))
    assert torch.equal(null.fan_in, topology.fan_in)
    assert torch.equal(null.fan_out, topology.fan_out)
    shared = set(pairs(null)) & set(pairs(topology))
    assert len(shared) < 300  # of 600, of which 180 are expected


CYCLE = [(0, 1), (1, 2), (2, 0)]
STARTS = {
    "self-loops": [(0, 0), (1, 0), (1, 1), (2, 1), (2, 2), (3, 3), (0, 3)],
    "cycle": CYCLE,
    "cycle that a node joins in full": CYCLE + [(3, 0), (3, 1), (3, 2)],
    "cycle that a node joins in part": CYCLE + [(3, 0), (3, 1), (3, 2), (0, 3), (1, 3)],
    "cycle of many": CYCLE + [(0, 3), (3, 1)],
    "no cycle": [(0, 1), (0, 2), (1, 2), (1, 3), (2, 3), (0, 3)],
    "complete": [(s, t) for s in range(4) for t in range(4) if s != t],
}


@pytest.mark.parametrize(
    "name, self_loops",
    [(name, True) for name in STARTS] + [(name, False) for name in STARTS if name != "self-loops"],
)
def test_every_wiring_of_the_same_degrees_is_equally_likely(name, self_loops):
    edges = STARTS[name]
    nodes = 1 + max(map(max, edges))
    cells = [(s, t) for t in range(nodes) for s in range(nodes) if self_loops or s != t]

    def degrees(edges):
        return Counter(s for s, _ in edges), Counter(t for _, t in edges)

    wirings = itertools.combinations(cells, len(edges))
    wirings = [wiring for wiring in wirings if degrees(wiring) == degrees(edges)]
    start, g, found = el.Topology(nodes, nodes, edges), generator(), Counter()
    for _ in range(40 * len(wirings)):
        found[tuple(pairs(degree_preserving(start, generator=g, self_loops=self_loops)))] += 1
    assert fit(found, dict.fromkeys(wirings, 1 / len(wirings))) > 1e-3


def test_a_large_wiring_keeps_its_degrees_without_self_loops():
    graph = watts_strogatz(301, 301, neighbors=6, rewiring=0.3, generator=generator())
    null = degree_preserving(graph, generator=generator(1), self_loops=False)
    assert torch.equal(null.fan_in, graph.fan_in) and torch.equal(null.fan_out, graph.fan_out)
    assert not (null.src == null.dst).any()
    assert len(set(pairs(null)) & set(pairs(graph))) < 100  # of 1806, of which 36 are expected


def test_every_set_of_edges_without_self_loops_is_equally_likely():
    start = el.Topology(3, 3, CYCLE)
    sets = list(itertools.combinations([(s, t) for t in range(3) for s in range(3) if s != t], 3))
    g, found = generator(), Counter()
    for _ in range(40 * len(sets)):
        found[tuple(pairs(erdos_renyi_like(start, generator=g, self_loops=False)))] += 1
    assert fit(found, dict.fromkeys(sets, 1 / len(sets))) > 1e-3


@pytest.mark.parametrize("null", [degree_preserving, erdos_renyi_like])
@pytest.mark.parametrize(
    "topology, message",
    [
        (el.Topology(3, 2, [(0, 1)]), "must equal out_features for self_loops=False.* 3 and 2"),
        (el.Topology(3, 3, [(0, 1), (2, 2)]), "no self-loops for self_loops=False, got 1 of 2"),
    ],
)
def test_wiring_that_is_no_graph_without_self_loops_is_refused(null, topology, message):
    with pytest.raises(ValueError, match=message):
        null(topology, self_loops=False)


@pytest.mark.parametrize("null", [degree_preserving, erdos_renyi_like])
@pytest.mark.parametrize("nodes", [0, 1, 3])
def test_null_model_without_self_loops_of_no_edges_has_none(null, nodes):
    assert null(el.Topology(nodes, nodes, []), self_loops=False).num_edges == 0


def test_parallel_edges_cannot_be_preserved():
    twice = el.Topology(2, 2, [(0, 0), (0, 0)], duplicates="keep")
    with pytest.raises(ValueError, match='duplicates="merge"'):
        degree_preserving(twice)


def test_permuted_targets_are_the_old_ones_renamed():
    null = permute_targets(START, generator=generator())

    def rows(topology):
        return sorted(map(tuple, pattern(topology).tolist()))

    assert rows(null) == rows(START) and null != START
    assert torch.equal(null.fan_out, START.fan_out)


def test_random_graph_like_another_has_its_sizes():
    null = erdos_renyi_like(START, generator=generator())
    sizes = (null.in_features, null.out_features, null.num_edges)
    assert sizes == (START.in_features, START.out_features, START.num_edges)


@pytest.mark.parametrize("null", [degree_preserving, permute_targets, erdos_renyi_like])
@pytest.mark.parametrize("sizes", [(0, 0), (3, 0), (0, 3), (3, 2)])
def test_null_model_of_no_edges_has_none(null, sizes):
    assert null(el.Topology(*sizes, [])).num_edges == 0
