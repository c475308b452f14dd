"""Null models of graphs without cycles: levels and degrees stay, and all else is equally likely."""

import itertools
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sampled import fit, generator, pairs

import edgelinear as el
from edgelinear.null_models import level_preserving, permute_levels

both = pytest.mark.parametrize("null", [level_preserving, permute_levels])


@st.composite
def graphs(draw):
    """Draw a graph without cycles, whose nodes are numbered in any order."""
    nodes = draw(st.integers(1, 12))
    cells = list(itertools.combinations(range(nodes), 2))
    some = st.lists(st.sampled_from(cells), unique=True) if cells else st.just([])
    number = draw(st.permutations(range(nodes)))
    edges = [(number[s], number[t]) for s, t in draw(some)]
    return el.Topology(nodes, nodes, edges), draw(st.integers(0, 2**32))


def levels(topology):
    """Return the length of the longest path to each node, edge by edge."""
    level = [0] * topology.in_features
    for _ in level:
        for s, t in pairs(topology):
            level[t] = max(level[t], level[s] + 1)
    assert max(level) < len(level)  # or there is a cycle
    return level


def counts(topology, level):
    """Return the number of edges of each node to each level, and from each level."""
    edges = pairs(topology)
    return (
        Counter((s, level[t]) for s, t in edges),
        Counter((t, level[s]) for s, t in edges),
    )


@settings(deadline=None)
@given(graphs())
def test_levels_and_degrees_by_level_are_kept(drawn):
    graph, seed = drawn
    null = level_preserving(graph, generator=generator(seed))
    assert levels(null) == levels(graph)
    assert counts(null, levels(graph)) == counts(graph, levels(graph))
    assert len(set(pairs(null))) == graph.num_edges


@settings(deadline=None)
@given(graphs())
def test_renamed_targets_stay_in_their_levels(drawn):
    graph, seed = drawn
    null, level = permute_levels(graph, generator=generator(seed)), levels(graph)
    assert levels(null) == level
    assert torch.equal(null.fan_out, graph.fan_out)

    def sources(topology):
        found = {node: [] for node in range(len(level))}
        for s, t in pairs(topology):
            found[t].append(s)
        return sorted((level[t], sorted(found[t])) for t in found)

    assert sources(null) == sources(graph)


def test_every_graph_of_the_same_levels_and_degrees_is_equally_likely():
    edges = [(0, 3), (0, 4), (1, 4), (2, 5), (3, 6), (4, 6), (5, 7), (0, 6), (1, 7)]
    start = el.Topology(8, 8, edges)
    level = levels(start)
    cells = [(s, t) for t in range(8) for s in range(8) if level[s] < level[t]]
    blocks = {(a, b): [] for a in range(3) for b in range(3)}
    for s, t in cells:
        blocks[level[s], level[t]].append((s, t))

    def degrees(chosen):
        return Counter(s for s, _ in chosen), Counter(t for _, t in chosen)

    ways = []
    for key, block in blocks.items():
        there = [(s, t) for s, t in edges if (level[s], level[t]) == key]
        some = itertools.combinations(block, len(there))
        ways.append([c for c in some if degrees(c) == degrees(there)])
    graphs = {
        tuple(sorted(sum(parts, ()), key=lambda edge: edge[::-1]))
        for parts in itertools.product(*ways)
    }
    assert len(graphs) > 10
    g, found = generator(), Counter()
    for _ in range(40 * len(graphs)):
        found[tuple(pairs(level_preserving(start, generator=g)))] += 1
    assert fit(found, dict.fromkeys(graphs, 1 / len(graphs))) > 1e-3


def test_every_renaming_within_levels_is_equally_likely():
    start = el.Topology(6, 6, [(0, 2), (1, 3), (0, 4), (1, 4), (2, 5)])
    ways = {
        tuple(sorted([(0, a), (1, b), (0, c), (1, c), (2, 5)], key=lambda edge: edge[::-1]))
        for a, b, c in itertools.permutations([2, 3, 4])
    }
    g, found = generator(), Counter()
    for _ in range(40 * len(ways)):
        found[tuple(pairs(permute_levels(start, generator=g)))] += 1
    assert fit(found, dict.fromkeys(ways, 1 / len(ways))) > 1e-3


@both
def test_networks_keep_levels_names_and_the_sources_of_weights(null):
    ends = np.sort(np.random.default_rng(0).integers(0, 40, (2, 200)), axis=0)
    ends = np.unique(ends[:, (ends[0] < ends[1]) & (ends[1] > 4)], axis=1)
    names = [f"n{i}" for i in range(40)]
    net = el.EdgeNetwork(40, ends, names[:5], names[39:], node_names=names)
    net.set_weight(torch.arange(net.num_edges, dtype=torch.float32))
    found = null(net.wiring, generator=generator())
    assert found.in_names == found.out_names == names and found.topology != net.topology
    again = el.EdgeNetwork.from_wiring(found, names[:5], names[39:])
    assert torch.equal(again.level, net.level)
    for source, weight in zip(found.topology.src.tolist(), found.weight.tolist(), strict=True):
        assert source == ends[0, int(weight)]


def test_a_large_graph_shares_few_edges_with_its_null_model():
    random = np.random.default_rng(0)
    ends = np.stack([random.integers(0, 500, 3000), random.integers(500, 1000, 3000)])
    graph = el.Topology(1000, 1000, np.unique(ends, axis=1))
    null = level_preserving(graph, generator=generator())
    assert len(set(pairs(null)) & set(pairs(graph))) < 100  # of 2982, of which 36 are expected


@both
def test_graphs_with_cycles_are_refused(null):
    with pytest.raises(ValueError, match="no cycle to have levels, got 1 -> 2 -> 1: of graphs"):
        null(el.Topology(3, 3, [(0, 1), (1, 2), (2, 1)]))


@both
def test_layers_are_refused(null):
    with pytest.raises(ValueError, match="square to have levels.*, got 3 -> 2"):
        null(el.Topology(3, 2, [(0, 1)]))


@both
@pytest.mark.parametrize("given", [[(0, 0)], None, el.EdgeLinear(2, 2, [(0, 1)])])
def test_what_is_no_wiring_is_refused(null, given):
    with pytest.raises(TypeError, match="`topology` must be a Topology or a Wiring, got"):
        null(given)


@both
def test_no_nodes_have_a_null_model(null):
    assert null(el.Topology(0, 0, [])).num_edges == 0


def test_parallel_edges_cannot_be_preserved():
    with pytest.raises(ValueError, match='duplicates="merge"'):
        level_preserving(el.Topology(2, 2, [(0, 1), (0, 1)], duplicates="keep"))


def test_controls_draw_networks_that_keep_their_levels():
    net = el.EdgeNetwork(6, [(0, 2), (1, 3), (0, 3), (2, 4), (3, 5)], [0, 1], [4, 5])
    seen = []

    def make(topology):
        seen.append(el.EdgeNetwork(6, topology, [0, 1], [4, 5]).level.tolist())
        return torch.nn.Linear(1, 1)

    el.controls(
        make,
        net.topology,
        lambda model, seed: float(seed),
        seeds=range(3),
        null_models=["level_preserving", "permute_levels"],
        self_loops=False,
        progress=False,
    )
    assert seen == [net.level.tolist()] * 9


def test_controls_say_which_null_model_of_a_network_drew_a_cycle():
    net = el.EdgeNetwork(3, [(0, 1), (1, 2), (0, 2)], [0], [2])

    def make(topology):
        return el.EdgeNetwork(3, topology, [0], [2])

    with pytest.raises(ValueError) as caught:
        el.controls(make, net.topology, lambda *_: 0.0, seeds=range(9), progress=False)
    (note,) = caught.value.__notes__
    assert "drew" in note and 'null_models=["level_preserving", "permute_levels"]' in note
