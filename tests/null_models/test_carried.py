"""Null models of a Wiring: names stay with nodes, and weights go along with their edges."""

import itertools
from collections import Counter

import numpy as np
import pytest
import torch
from scipy import stats

import edgelinear as el
from edgelinear import null_models

WIRING = el.convert.from_edges(
    6,
    5,
    [(s, t) for t in range(5) for s in range(6) if (2 * s + 3 * t) % 4],
)
NUMBER = WIRING.topology.num_edges
WIRING = WIRING._replace(
    weight=torch.arange(1.0, NUMBER + 1),  # each tells its edge
    in_names=[f"in {i}" for i in range(6)],
    out_names=[f"out {i}" for i in range(5)],
)
MODELS = {
    "degree_preserving": null_models.degree_preserving,
    "permute_targets": null_models.permute_targets,
    "erdos_renyi_like": null_models.erdos_renyi_like,
    "permute_weights": null_models.permute_weights,
}
every_model = pytest.mark.parametrize("name", MODELS)
every_wiring_model = pytest.mark.parametrize("name", [n for n in MODELS if n != "permute_weights"])


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def edges_of(wiring):
    return wiring.topology.edge_index.T.tolist()


@every_model
def test_names_stay_with_their_nodes_and_weights_are_the_same_numbers(name):
    found = MODELS[name](WIRING, generator=seeded())
    assert isinstance(found, type(WIRING))
    assert (found.in_names, found.out_names) == (WIRING.in_names, WIRING.out_names)
    assert sorted(found.weight.tolist()) == WIRING.weight.tolist()
    assert found.weight.tolist() != WIRING.weight.tolist()
    assert not found.rules


@every_wiring_model
def test_topology_is_that_drawn_without_weights(name):
    alone = MODELS[name](WIRING.topology, generator=seeded())
    assert MODELS[name](WIRING, generator=seeded()).topology == alone
    assert MODELS[name](WIRING._replace(weight=None), generator=seeded()).weight is None


@pytest.mark.parametrize("self_loops", [True, False])
def test_edges_keep_source_and_weight_when_degrees_are_kept(self_loops):
    size = 7
    edges = [(s, t) for t in range(size) for s in range(size) if s != t and (s * s + 3 * t) % 3]
    wiring = el.convert.from_edges(size, size, edges, weight=np.arange(1.0, len(edges) + 1))
    for seed in range(20):
        found = null_models.degree_preserving(wiring, generator=seeded(seed), self_loops=self_loops)
        for (source, _), weight in zip(edges_of(found), found.weight.tolist(), strict=True):
            assert source == edges[int(weight) - 1][0]


def test_reversed_cycles_keep_source_and_weight():
    cycle = [(0, 1), (1, 2), (2, 0)]
    wiring = el.convert.from_edges(3, 3, cycle, weight=[1.0, 2.0, 3.0])
    turned = 0
    for seed in range(20):
        found = null_models.degree_preserving(wiring, generator=seeded(seed), self_loops=False)
        turned += found.topology != el.Topology(3, 3, [(2, 0), (0, 1), (1, 2)])
        for (source, _), weight in zip(edges_of(found), found.weight.tolist(), strict=True):
            assert source == int(weight) - 1
    assert 0 < turned < 20


def test_renamed_targets_keep_their_edges_together():
    for seed in range(10):
        found = null_models.permute_targets(WIRING, generator=seeded(seed))
        renamed = {}
        for (source, target), weight in zip(edges_of(found), found.weight.tolist(), strict=True):
            old_source, old_target = edges_of(WIRING)[int(weight) - 1]
            assert source == old_source
            assert renamed.setdefault(old_target, target) == target
        assert sorted(renamed.values()) == list(range(5))


def test_parallel_edges_keep_their_own_weights():
    topology = el.Topology(1, 3, [(0, 0), (0, 0), (0, 2)], duplicates="keep")
    wiring = el.convert.Wiring(topology, torch.tensor([1.0, 2.0, 3.0]))
    for seed in range(10):
        found = null_models.permute_targets(wiring, generator=seeded(seed))
        target = dict(zip(found.weight.tolist(), found.topology.dst.tolist(), strict=True))
        assert target[1.0] == target[2.0] != target[3.0]


@every_wiring_model
def test_rows_say_from_where_each_weight_came(name):
    found = MODELS[name](WIRING, generator=seeded())
    assert torch.equal(found.rows.follow(WIRING.weight), found.weight)
    shuffled = el.EdgeMap(torch.randperm(NUMBER))
    found = MODELS[name](WIRING._replace(rows=shuffled), generator=seeded())
    column = shuffled.follow(torch.arange(NUMBER))  # of each edge its row in the data
    back = {w: r for w, r in zip(WIRING.weight.tolist(), column.tolist(), strict=True)}
    assert found.rows.old.tolist() == [back[w] for w in found.weight.tolist()]


def test_every_order_of_weights_is_as_likely():
    wiring = el.convert.from_edges(3, 1, [(0, 0), (1, 0), (2, 0)], weight=[1.0, 2.0, 3.0])
    generator = seeded()
    found = Counter(
        tuple(null_models.permute_weights(wiring, generator=generator).weight.tolist())
        for _ in range(1200)
    )
    assert set(found) == set(itertools.permutations([1.0, 2.0, 3.0]))
    assert stats.chisquare([*found.values()]).pvalue > 1e-3


def test_wiring_stays_when_weights_are_permuted():
    found = null_models.permute_weights(WIRING, generator=seeded())
    assert found.topology is WIRING.topology


@pytest.mark.parametrize(
    "given, error, message",
    [
        (WIRING.topology, TypeError, "must be a Wiring with weights, got Topology"),
        (WIRING._replace(weight=None), ValueError, "holds no weights"),
        (el.EdgeLinear(2, 2, [(0, 0)]), TypeError, "got EdgeLinear: use its `.wiring`"),
    ],
)
def test_weights_are_needed_to_be_permuted(given, error, message):
    with pytest.raises(error, match=message):
        null_models.permute_weights(given)


@every_wiring_model
@pytest.mark.parametrize("given", [[(0, 0)], None, el.EdgeLinear(2, 2, [(0, 0)])])
def test_what_is_no_wiring_is_refused(name, given):
    with pytest.raises(TypeError, match="`topology` must be a Topology or a Wiring, got"):
        MODELS[name](given)


LOOP_FREE = {
    "a cycle of three": (3, [(0, 1), (1, 2), (2, 0)]),
    "a path": (4, [(0, 1), (1, 2), (2, 3)]),
    "a hub": (4, [(0, 1), (0, 2), (0, 3), (1, 2)]),
    "into a hub": (4, [(1, 0), (2, 0), (3, 0), (0, 2)]),
    "two pairs": (4, [(0, 1), (1, 0), (2, 3), (3, 2)]),
    "five": (5, [(0, 1), (1, 2), (2, 3), (3, 4), (4, 0), (0, 2)]),
}


@pytest.mark.parametrize("name", LOOP_FREE)
def test_renamings_without_self_loops_are_alike(name):
    size, edges = LOOP_FREE[name]
    topology, generator = el.Topology(size, size, edges), seeded()
    expected = Counter()
    for names in itertools.permutations(range(size)):
        renamed = tuple(sorted((s, names[t]) for s, t in edges))
        if all(s != t for s, t in renamed):
            expected[renamed] += 1
    draws = 300
    found = Counter()
    for _ in range(draws):
        drawn = null_models.permute_targets(topology, generator=generator, self_loops=False)
        found[tuple(sorted(map(tuple, drawn.edge_index.T.tolist())))] += 1
    assert set(found) <= set(expected)
    total = sum(expected.values())
    pairs = [(found[key], draws * number / total) for key, number in expected.items()]
    if len(pairs) > 1:
        assert stats.chisquare(*zip(*pairs, strict=True)).pvalue > 1e-3


def test_many_targets_are_renamed_without_self_loops():
    topology = el.generators.erdos_renyi(2000, 2000, density=0.005, generator=seeded())
    src, dst = topology.edge_index
    topology = el.Topology(2000, 2000, topology.edge_index[:, src != dst])
    found = null_models.permute_targets(topology, generator=seeded(), self_loops=False)
    src, dst = found.edge_index
    assert not (src == dst).any()
    assert sorted(found.fan_in.tolist()) == sorted(topology.fan_in.tolist())
    # A random renaming leaves one target in its place on average: Poisson, 8 or more in 1 of 1e5.
    old = topology.sorted()[0]
    same = sum(torch.equal(found.src[found.dst == t], old.src[old.dst == t]) for t in range(2000))
    assert same < 8


def test_self_loops_in_the_topology_are_refused():
    with pytest.raises(ValueError, match="must have no self-loops for self_loops=False, got 1 of"):
        null_models.permute_targets(el.Topology(2, 2, [(0, 0), (0, 1)]), self_loops=False)
    with pytest.raises(ValueError, match="in_features must equal out_features"):
        null_models.permute_targets(el.Topology(2, 3, [(0, 1)]), self_loops=False)


@every_model
def test_library_of_the_table_is_remembered(name):
    assert MODELS[name](WIRING._replace(frame="polars"), generator=seeded()).frame == "polars"
