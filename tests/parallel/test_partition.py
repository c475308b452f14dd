"""Nodes numbered anew: less moves, the counts are right, and the layer computes the same."""

import importlib.util
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import random
from torch.testing import assert_close
from wired import edge_lists

import edgelinear as el
from edgelinear.parallel import partition
from edgelinear.parallel.partitioning import moved_rows

METIS = pytest.param(
    "metis",
    marks=pytest.mark.skipif(
        importlib.util.find_spec("pymetis") is None, reason="pymetis is not installed"
    ),
)
methods = pytest.mark.parametrize("method", ["cuthill_mckee", METIS])


def shuffled(topology, same=True):
    """Give the nodes other numbers: the same ones to inputs and outputs, if they are the same."""
    generator = torch.Generator().manual_seed(1)
    src = torch.randperm(topology.in_features, generator=generator)
    dst = src if same else torch.randperm(topology.out_features, generator=generator)
    edges = torch.stack([src[topology.src.long()], dst[topology.dst.long()]])
    return el.Topology(topology.in_features, topology.out_features, edges)


def ring():
    return el.generators.watts_strogatz(400, 400, neighbors=6, rewiring=0.0)


def grid():
    """A sheet of 20 x 20 nodes, each joined to its neighbours."""
    at = torch.arange(400).view(20, 20)
    ends = [(at[:, :-1], at[:, 1:]), (at[:-1], at[1:])]
    pairs = [torch.stack([a.flatten(), b.flatten()]) for a, b in ends]
    return el.Topology(400, 400, torch.cat([*pairs, *[pair.flip(0) for pair in pairs]], dim=1))


def band(in_features, out_features):
    """Each output reads the five inputs around the place where it stands."""
    targets = torch.arange(out_features).repeat_interleave(5)
    sources = targets * in_features // out_features + torch.arange(-2, 3).repeat(out_features)
    edges = torch.stack([sources.clamp(0, in_features - 1), targets])
    return el.Topology(in_features, out_features, edges.unique(dim=1))


def moved_by_loops(topology, parts):
    """Count what moves as a person would, edge by edge."""
    edges = sorted((t, s) for s, t in topology.edge_index.T.tolist())
    each = -(-len(edges) // parts)

    def owner(node, size):
        return node // max(1, -(-size // parts))

    come, go = [], []
    for part in range(parts):
        mine = edges[part * each : (part + 1) * each]
        sources = {s for _, s in mine}
        targets = range(mine[0][0], mine[-1][0] + 1) if mine else ()
        come.append(sum(owner(s, topology.in_features) != part for s in sources))
        go.append(sum(owner(t, topology.out_features) != part for t in targets))
    return come, go


@given(edge_lists(), st.integers(1, 6))
def test_counts_are_those_of_a_loop_over_the_edges(case, parts):
    topology = el.Topology(*case, duplicates="keep")
    ends = topology.src.long().numpy(), topology.dst.long().numpy()
    found = moved_rows(*ends, (topology.in_features, topology.out_features), parts)
    assert found == moved_by_loops(topology, parts)


@given(edge_lists(), st.integers(1, 6))
def test_counts_after_are_those_of_the_new_topology(case, parts):
    topology = el.Topology(*case, duplicates="keep")
    found = partition(topology, parts)
    assert (found.inputs_before, found.sums_before) == moved_by_loops(topology, parts)
    assert (found.inputs_after, found.sums_after) == moved_by_loops(found.apply().topology, parts)
    assert found.after <= found.before


@methods
@pytest.mark.parametrize("make, least", [(ring, 0.9), (grid, 0.5)])
@pytest.mark.parametrize("parts", [2, 4])
def test_shuffled_graph_regains_its_locality(method, make, least, parts):
    found = partition(shuffled(make()), parts, method=method)
    assert found.method == method
    assert found.after < (1 - least) * found.before
    assert f"method={method!r}, rows moved in a pass: {found.before:,} -> {found.after:,}" in repr(
        found
    )


@methods
def test_two_sides_are_numbered_apart(method):
    topology = shuffled(band(300, 200), same=False)
    found = partition(topology, 4, method=method)
    assert found.after < 0.5 * found.before
    assert sorted(found.inputs.tolist()) == list(range(300))
    assert sorted(found.outputs.tolist()) == list(range(200))


def test_nodes_of_a_square_wiring_keep_one_number():
    found = partition(shuffled(ring()), 3)
    assert torch.equal(found.inputs, found.outputs)


@methods
@pytest.mark.parametrize("sizes", [(40, 40), (40, 25)])
def test_layer_of_the_new_numbers_computes_the_same(method, sizes):
    topology = shuffled(band(*sizes), same=sizes[0] == sizes[1])
    layer = el.EdgeLinear.from_topology(topology, bias=False, dtype=torch.float64)
    found = partition(topology, 3, method=method)
    assert found.method == method
    new = found.apply()
    weight = new.edges.follow(layer.weight.detach())
    other = el.EdgeLinear.from_topology(
        new.topology, bias=False, weight=weight, dtype=torch.float64
    )
    x = random(7, sizes[0])
    assert_close(other(x[:, new.inputs]), layer(x)[:, new.outputs])
    assert new.topology.is_sorted


def test_names_follow():
    layer = el.EdgeLinear(
        3, 3, [(0, 2), (2, 0), (1, 1)], in_names=["a", "b", "c"], out_names=["a", "b", "c"]
    )
    new = partition(layer.topology, 2).apply()
    names = [layer.in_names[i] for i in new.inputs]
    edges = {(names[s], names[t]) for s, t in new.topology.edge_index.T.tolist()}
    assert edges == {("a", "c"), ("c", "a"), ("b", "b")}


def test_numbers_stay_where_none_moves_less():
    found = partition(ring(), 4, method="cuthill_mckee")
    if found.method == "none":
        assert found.inputs.tolist() == list(range(400))
    assert found.after <= found.before
    alone = partition(shuffled(ring()), 1)
    assert (alone.method, alone.before, alone.after) == ("none", 0, 0)
    assert "rows moved in a pass: 0 -> 0 (0% less)" in repr(alone)


def test_runs_are_the_same():
    graph = shuffled(grid())
    assert torch.equal(partition(graph, 4).inputs, partition(graph, 4).inputs)


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ((ring, 2), TypeError, "`topology` must be a Topology, got function"),
        ((0,), ValueError, "`parts` must be at least 1, got 0"),
        ((2.5,), TypeError, "`parts` must be an integer"),
        ((2, "scotch"), ValueError, "`method` must be one of"),
    ],
)
def test_wrong_arguments_are_refused(arguments, error, message):
    if not callable(arguments[0]):
        arguments = (ring(), *arguments)
    topology, parts, *method = arguments
    with pytest.raises(error, match=message):
        partition(topology, parts, **({"method": method[0]} if method else {}))


def test_without_pymetis_there_is_a_fallback_and_a_cure(monkeypatch):
    monkeypatch.setitem(sys.modules, "pymetis", None)
    graph = shuffled(ring())
    assert partition(graph, 2).method == "cuthill_mckee"
    with pytest.raises(ImportError, match="needs pymetis: pip install 'edgelinear.partition.'"):
        partition(graph, 2, method="metis")
