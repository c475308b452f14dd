"""Small worlds, hubs, mixed radices, windows in two dimensions, and null models."""

import itertools
import tracemalloc
from collections import Counter, defaultdict

import networkx as nx
import numpy as np
import pytest
import scipy.stats
import torch
import torch.nn.functional as F

import edgelinear as el
from edgelinear.generators import (
    _draw,
    banded,
    barabasi_albert,
    erdos_renyi,
    fixed_fan_in,
    fixed_fan_out,
    graphs,
    local2d,
    radix_net,
    watts_strogatz,
)
from edgelinear.null_models import degree_preserving, erdos_renyi_like, permute_targets


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def pairs(topology):
    return list(map(tuple, topology.edge_index.T.tolist()))


def pattern(topology):
    """Return the (out, in) matrix of ones where an edge is."""
    matrix = torch.zeros(topology.out_features, topology.in_features, dtype=torch.float64)
    matrix.index_put_((topology.dst.long(), topology.src.long()), torch.ones(()).double(), True)
    return matrix


def graph(topology):
    """Return the undirected graph that a symmetric topology stands for."""
    matrix = pattern(topology)
    assert torch.equal(matrix, matrix.T) and not matrix.diagonal().any() and matrix.max() <= 1
    return nx.from_numpy_array(matrix.numpy())


def fit(found, law):
    """Return the p-value of these counts, where each outcome has its probability by the law."""
    assert set(found) <= set(law) and sum(law.values()) == pytest.approx(1)
    counts = np.array([found[outcome] for outcome in law])
    expected = counts.sum() * np.array(list(law.values()))
    group = np.where(expected < 5, -1, np.arange(len(law)))  # the test wants rare ones together
    _, group = np.unique(group, return_inverse=True)
    counts, expected = np.bincount(group, counts), np.bincount(group, expected)
    return scipy.stats.chisquare(counts, expected).pvalue if len(counts) > 1 else 1.0


def assert_same_means(ours, theirs):
    """Compare each measure of two samples, by Welch's t-test where they vary at all."""
    for our, their in zip(np.array(ours).T, np.array(theirs).T, strict=True):
        if np.ptp(our) or np.ptp(their):
            assert scipy.stats.ttest_ind(our, their, equal_var=False).pvalue > 1e-4
        else:
            assert our[0] == their[0]


RANDOM = {
    "fixed_fan_out": lambda g: fixed_fan_out(30, 20, fan_out=3, generator=g),
    "watts_strogatz": lambda g: watts_strogatz(40, 40, neighbors=4, rewiring=0.3, generator=g),
    "bipartite small world": lambda g: watts_strogatz(
        40, 30, neighbors=5, rewiring=0.3, generator=g
    ),
    "barabasi_albert": lambda g: barabasi_albert(40, 40, edges_per_node=3, generator=g),
    "bipartite attachment": lambda g: barabasi_albert(40, 30, edges_per_node=3, generator=g),
    "degree_preserving": lambda g: degree_preserving(START, generator=g),
    "permute_targets": lambda g: permute_targets(START, generator=g),
    "erdos_renyi_like": lambda g: erdos_renyi_like(START, generator=g),
}
START = erdos_renyi(30, 20, num_edges=150, generator=generator(7))


@pytest.mark.parametrize("name", RANDOM)
def test_random_pattern_is_in_order_and_has_no_edge_twice(name):
    topology = RANDOM[name](generator())
    assert topology.is_sorted
    assert len(set(pairs(topology))) == topology.num_edges


@pytest.mark.parametrize("name", RANDOM)
def test_generator_decides_and_moves_on(name):
    g = generator(3)
    first = RANDOM[name](g)
    assert first == RANDOM[name](generator(3))
    assert first != RANDOM[name](g)
    torch.manual_seed(5)
    drawn = RANDOM[name](None)
    torch.manual_seed(5)
    assert RANDOM[name](None) == drawn


def test_every_source_has_the_fan_out_asked_for():
    topology = fixed_fan_out(40, 60, fan_out=7, generator=generator())
    assert topology.fan_out.tolist() == [7] * 40


@pytest.mark.parametrize("fan_out", [1, 2, 3, 4])
def test_every_set_of_targets_is_equally_likely(fan_out):
    topology = fixed_fan_out(4000, 5, fan_out=fan_out, generator=generator())
    subsets = {s: 0 for s in itertools.combinations(range(5), fan_out)}
    for source in pattern(topology).bool().T:
        subsets[tuple(source.nonzero()[:, 0].tolist())] += 1
    assert scipy.stats.chisquare(list(subsets.values())).pvalue > 1e-3


# Small worlds.


@pytest.mark.parametrize("nodes, neighbors", [(10, 4), (7, 2), (5, 4), (1, 0)])
def test_ring_is_that_of_networkx(nodes, neighbors):
    ring = graph(watts_strogatz(nodes, nodes, neighbors=neighbors, rewiring=0.0))
    theirs = nx.watts_strogatz_graph(nodes, neighbors, 0.0)
    assert set(map(frozenset, ring.edges)) == set(map(frozenset, theirs.edges))


@pytest.mark.parametrize("rewiring", [0.05, 0.5, 1.0])
def test_small_world_clusters_and_reaches_as_in_networkx(rewiring):
    def measures(network):
        largest = network.subgraph(max(nx.connected_components(network), key=len))
        return nx.average_clustering(network), nx.average_shortest_path_length(largest)

    ours = [
        measures(graph(watts_strogatz(100, 100, neighbors=6, rewiring=rewiring, generator=g)))
        for g in map(generator, range(30))
    ]
    theirs = [measures(nx.watts_strogatz_graph(100, 6, rewiring, seed)) for seed in range(30)]
    for our, their in zip(np.array(ours).T, np.array(theirs).T, strict=True):
        assert scipy.stats.ttest_ind(our, their, equal_var=False).pvalue > 1e-3


def test_rewiring_keeps_the_number_of_edges_and_one_end_of_each():
    for rewiring in (0.0, 0.3, 1.0):
        topology = watts_strogatz(50, 50, neighbors=8, rewiring=rewiring, generator=generator())
        assert topology.num_edges == 50 * 8
        assert int(topology.fan_in.min()) >= 4
    topology = watts_strogatz(50, 30, neighbors=8, rewiring=0.3, generator=generator())
    assert topology.fan_in.tolist() == [8] * 30


def small_world_law(nodes, neighbors, rewiring):
    """Return the probability of each graph, moving edges in turn in all ways at once."""
    steps = [(u, d) for d in range(1, neighbors // 2 + 1) for u in range(nodes)]
    law = {frozenset(frozenset((u, (u + d) % nodes)) for u, d in steps): 1.0}
    for u, d in steps:
        before, law = law, defaultdict(float)
        for edges, p in before.items():
            others = [frozenset((u, w)) for w in range(nodes) if w != u]
            free = [place for place in others if place not in edges]
            law[edges] += p * (1 - rewiring if free else 1)
            for place in free:
                law[edges - {frozenset((u, (u + d) % nodes))} | {place}] += p * rewiring / len(free)
    return {edges: p for edges, p in law.items() if p}


@pytest.mark.parametrize("case", [(5, 2, 0.5), (5, 2, 1.0), (6, 2, 0.7), (5, 4, 0.5), (6, 4, 0.5)])
def test_small_world_has_the_law_of_moving_edges_in_turn(case):
    nodes, neighbors, rewiring = case
    g, found = generator(), Counter()
    for _ in range(2000):
        drawn = watts_strogatz(nodes, nodes, neighbors=neighbors, rewiring=rewiring, generator=g)
        found[frozenset(map(frozenset, pairs(drawn)))] += 1
    assert fit(found, small_world_law(*case)) > 1e-3


@pytest.mark.parametrize(
    "nodes, neighbors, rewiring, samples, at_once",
    [
        (10, 6, 0.1, 1000, False),
        (20, 12, 1.0, 400, False),
        (16, 8, 0.5, 400, False),
        (16, 8, 0.5, 400, True),
        (16, 6, 1.0, 400, True),
        (320, 160, 0.3, 12, True),
    ],
)
def test_edges_stay_and_leave_as_in_networkx(
    nodes, neighbors, rewiring, samples, at_once, monkeypatch
):
    monkeypatch.setattr(graphs, "_IN_TURN", 0 if at_once else nodes + 1)

    def measures(edges, degrees):
        steps = Counter(min((u - v) % nodes, (v - u) % nodes) for u, v in edges)
        on_ring = [steps[distance] for distance in range(1, neighbors // 2 + 1)]
        return [len(edges) - sum(on_ring), on_ring[0], on_ring[-1], np.var(degrees)]

    ours, theirs = [], []
    for seed in range(samples):
        drawn = watts_strogatz(
            nodes, nodes, neighbors=neighbors, rewiring=rewiring, generator=generator(seed)
        )
        ours.append(measures([e for e in pairs(drawn) if e[0] < e[1]], drawn.fan_in.tolist()))
        network = nx.watts_strogatz_graph(nodes, neighbors, rewiring, seed)
        theirs.append(measures(network.edges, [d for _, d in network.degree]))
    assert_same_means(ours, theirs)


def nearest_sources(in_features, out_features, neighbors, target):
    """Return the sources nearest on a ring that is in_features * out_features around."""
    around = in_features * out_features

    def distance(source):
        ahead = (source * out_features - target * in_features) % around
        return min(ahead, around - ahead), ahead > around - ahead  # of two, the one after it

    return sorted(sorted(range(in_features), key=distance)[:neighbors])


@pytest.mark.parametrize(
    "sizes", [(100, 64, 3), (100, 64, 4), (64, 100, 3), (7, 5, 2), (12, 6, 3), (12, 6, 4),
              (9, 18, 5), (5, 7, 4), (5, 7, 5), (3, 1, 2), (1, 3, 1), (4, 6, 0)]
)  # fmt: skip
def test_bipartite_ring_takes_the_nearest_sources(sizes):
    in_features, out_features, neighbors = sizes
    ring = watts_strogatz(in_features, out_features, neighbors=neighbors, rewiring=0.0)
    for target in range(out_features):
        seen = ring.src[ring.dst == target].tolist()
        assert seen == nearest_sources(*sizes, target)


def window_law(in_features, neighbors, rewiring):
    """Return the probability of each set of sources of a target that saw the first ones."""
    law = {frozenset(range(neighbors)): 1.0}
    for source in range(neighbors):
        before, law = law, defaultdict(float)
        for sources, p in before.items():
            free = set(range(in_features)) - sources
            law[sources] += p * (1 - rewiring if free else 1)
            for new in free:
                law[sources - {source} | {new}] += p * rewiring / len(free)
    return {sources: p for sources, p in law.items() if p}


@pytest.mark.parametrize(
    "case", [(10, 2, 1.0), (10, 5, 0.2), (4, 3, 0.5), (5, 4, 1.0), (6, 3, 1.0)]
)
def test_bipartite_edges_have_the_law_of_moving_in_turn(case):
    in_features, neighbors, rewiring = case
    drawn = watts_strogatz(
        in_features, 5000, neighbors=neighbors, rewiring=rewiring, generator=generator()
    )
    found = Counter()
    for target, sources in enumerate(drawn.src.reshape(5000, neighbors).tolist()):
        window = nearest_sources(in_features, 5000, neighbors, target)
        start = next(s for s in window if (s - 1) % in_features not in window)
        found[frozenset((s - start) % in_features for s in sources)] += 1
    assert fit(found, window_law(*case)) > 1e-3


@pytest.mark.parametrize("nodes, neighbors", [(4, 2), (6, 4), (10, 8)])
def test_rewiring_ends_where_nodes_are_joined_to_all_others(nodes, neighbors):
    for seed in range(60):
        topology = watts_strogatz(
            nodes, nodes, neighbors=neighbors, rewiring=1.0, generator=generator(seed)
        )
        assert graph(topology).number_of_edges() == nodes * neighbors // 2


# Hubs.


@pytest.mark.parametrize("count", [1, 3])
def test_attachment_gives_the_degrees_of_networkx(count):
    def degrees(network):
        return sorted((d for _, d in network.degree), reverse=True)

    ours = [
        degrees(graph(barabasi_albert(200, 200, edges_per_node=count, generator=g)))
        for g in map(generator, range(40))
    ]
    theirs = [degrees(nx.barabasi_albert_graph(200, count, seed)) for seed in range(40)]
    assert {sum(d) for d in ours} == {sum(d) for d in theirs} == {2 * count * (200 - count)}
    assert all(sorted(d)[count + 1] >= count for d in ours)  # all newcomers, past the star
    for rank in (0, 1, 5, 20):
        our, their = ([d[rank] for d in some] for some in (ours, theirs))
        assert scipy.stats.ttest_ind(our, their, equal_var=False).pvalue > 1e-3


def attachment_law(weights, newcomers, count, joined):
    """Return the probability of all choices, one newcomer after the other."""
    if newcomers == 0:
        return {(): 1.0}
    law = defaultdict(float)
    for chosen in itertools.permutations(range(len(weights)), count):
        p, left = 1.0, sum(weights)
        for node in chosen:
            p, left = p * weights[node] / left, left - weights[node]
        grown = [w + (node in chosen) for node, w in enumerate(weights)] + [count] * joined
        for later, q in attachment_law(grown, newcomers - 1, count, joined).items():
            law[tuple(sorted(chosen)), *later] += p * q
    return law


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("nodes, count", [(5, 1), (6, 2), (7, 3)])
def test_attachment_has_the_law_of_one_newcomer_after_the_other(nodes, count, alone, monkeypatch):
    monkeypatch.setattr(_draw, "_is_faster_alone", lambda *_: alone)
    law = attachment_law([count] + [1] * count, nodes - count - 1, count, joined=True)
    g, found = generator(), Counter()
    for _ in range(5000):
        drawn = barabasi_albert(nodes, nodes, edges_per_node=count, generator=g)
        chosen = [[] for _ in range(nodes)]
        for old, new in pairs(drawn):
            if old < new:
                chosen[new].append(old)
        found[tuple(map(tuple, chosen[count + 1 :]))] += 1
    assert fit(found, law) > 1e-3
    at_hub, at_hub_law = Counter(), Counter()  # a sharper test: which newcomers join the hub
    for choices, p in law.items():
        joined = tuple(0 in choice for choice in choices)
        at_hub[joined] += found[choices]
        at_hub_law[joined] += p
    assert fit(at_hub, at_hub_law) > 1e-3


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("sources, targets, count", [(3, 4, 2), (2, 5, 1), (4, 3, 3), (3, 2, 3)])
def test_bipartite_attachment_has_the_law_of_one_target_after_the_other(
    sources, targets, count, alone, monkeypatch
):
    monkeypatch.setattr(_draw, "_is_faster_alone", lambda *_: alone)
    g, found = generator(), Counter()
    for _ in range(2000):
        drawn = barabasi_albert(sources, targets, edges_per_node=count, generator=g)
        found[tuple(map(tuple, drawn.src.reshape(targets, count).tolist()))] += 1
    assert fit(found, attachment_law([1] * sources, targets, count, joined=False)) > 1e-3


@pytest.mark.parametrize("nodes, count", [(1000, 2), (500, 10), (150, 40)])
def test_hubs_grow_as_in_networkx(nodes, count):
    def measures(degrees):
        return [degrees[0], max(degrees), np.var(degrees), np.mean(degrees[: 2 * count])]

    ours, theirs = [], []
    for seed in range(40):
        drawn = barabasi_albert(nodes, nodes, edges_per_node=count, generator=generator(seed))
        ours.append(measures(drawn.fan_in.tolist()))
        network = nx.barabasi_albert_graph(nodes, count, seed)
        theirs.append(measures([network.degree[node] for node in range(nodes)]))
    assert_same_means(ours, theirs)


def test_attachment_leaves_no_node_alone():
    network = graph(barabasi_albert(300, 300, edges_per_node=2, generator=generator()))
    assert nx.is_connected(network)


@pytest.mark.parametrize("sources, targets, count", [(20, 30, 3), (60, 300, 20), (300, 200, 30)])
def test_bipartite_attachment_follows_a_loop_over_targets(sources, targets, count):
    def by_loop(seed):
        random, weight = np.random.default_rng(seed), np.ones(sources)
        for _ in range(targets):
            chosen = random.choice(sources, count, replace=False, p=weight / weight.sum())
            weight[chosen] += 1
        return sorted(weight - 1)

    def measures(degrees):
        return [degrees[0], degrees[sources // 2], degrees[-2], degrees[-1], np.var(degrees)]

    ours, theirs = [], []
    for seed in range(100):
        drawn = barabasi_albert(sources, targets, edges_per_node=count, generator=generator(seed))
        ours.append(measures(sorted(drawn.fan_out.tolist())))
        theirs.append(measures(by_loop(seed)))
    assert_same_means(ours, theirs)


def test_bipartite_attachment_can_take_every_source():
    assert barabasi_albert(4, 3, edges_per_node=4, generator=generator()).num_edges == 12


# Mixed radices.


@pytest.mark.parametrize("radices", [(2,), (2, 3), (3, 2, 2), (4, 4)])
def test_one_path_joins_any_two_ends(radices):
    size = int(np.prod(radices))
    paths = torch.eye(size, dtype=torch.float64)
    for layer in range(len(radices)):
        topology = radix_net(size, size, radices=radices, layer=layer)
        assert topology.fan_in.tolist() == [radices[layer]] * size
        paths = pattern(topology) @ paths
    assert torch.equal(paths, torch.ones_like(paths))


def test_blocks_of_a_radix_net_are_fully_joined():
    widths, radices = (6, 12, 18), (2, 3)
    paths = torch.eye(6, dtype=torch.float64)
    for layer, (a, b) in enumerate(itertools.pairwise(widths)):
        paths = pattern(radix_net(a, b, radices=radices, layer=layer)) @ paths
    assert torch.equal(paths, torch.full((18, 6), 2.0, dtype=torch.float64))  # blocks between


# Windows and bands.


@pytest.mark.parametrize(
    "height, width, kernel, stride, padding, channels",
    [
        (5, 4, 2, 1, 0, (1, 1)),
        (6, 7, (3, 2), (2, 3), (1, 0), (2, 3)),
        (4, 4, 3, 1, 1, (3, 2)),
        (3, 3, 3, 2, 2, (1, 1)),
    ],
)
def test_local2d_sees_what_unfold_does(height, width, kernel, stride, padding, channels):
    inputs, outputs = channels
    image = torch.arange(1.0, inputs * height * width + 1).view(1, inputs, height, width)
    windows = F.unfold(image, kernel, padding=padding, stride=stride)[0].T  # a row an output place
    topology = local2d(
        image.numel(),
        outputs * len(windows),
        height=height,
        width=width,
        kernel_size=kernel,
        stride=stride,
        padding=padding,
        in_channels=inputs,
        out_channels=outputs,
    )
    seen = [set() for _ in range(topology.out_features)]
    for s, t in pairs(topology):
        seen[t].add(s + 1.0)
    expected = [set(row.tolist()) - {0.0} for row in windows]  # zeros are padding
    assert seen == expected * outputs


def test_local2d_layer_equals_an_unshared_convolution():
    topology = local2d(2 * 5 * 4, 3 * 4 * 3, height=5, width=4, kernel_size=2, in_channels=2,
                       out_channels=3)  # fmt: skip
    layer = el.EdgeLinear.from_topology(topology, bias=False, dtype=torch.float64)
    x = torch.randn(6, 2, 5, 4, dtype=torch.float64)
    windows = F.unfold(x, 2)  # (6, 8, 12)
    weight = layer.weight.view(3, 12, 8)  # a target's sources are in the order of unfold
    y = torch.einsum("opk,bkp->bop", weight, windows)
    torch.testing.assert_close(layer(x.flatten(1)), y.flatten(1))


@pytest.mark.parametrize("shape", [(5, 5), (8, 3), (3, 8), (0, 2), (2, 0)])
@pytest.mark.parametrize("lower, upper", [(0, 0), (1, 0), (2, 1), (9, 9)])
def test_band_is_that_of_numpy(shape, lower, upper):
    inputs, outputs = shape
    ones = np.ones((outputs, inputs))
    expected = np.tril(np.triu(ones, -lower), upper)
    topology = banded(inputs, outputs, lower=lower, upper=upper)
    assert np.array_equal(pattern(topology).numpy(), expected)


# Null models.


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


# What cannot be.


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: fixed_fan_out(3, 2, fan_out=3), "at most out_features=2, got 3"),
        (lambda: watts_strogatz(10, 10, neighbors=3, rewiring=0.1), "must be even"),
        (lambda: watts_strogatz(4, 4, neighbors=4, rewiring=0.1), "at most 3"),
        (lambda: watts_strogatz(4, 3, neighbors=5, rewiring=0.1), "at most in_features=4, got 5"),
        (lambda: watts_strogatz(4, 4, neighbors=2, rewiring=1.1), "between 0 and 1, got 1.1"),
        (lambda: barabasi_albert(3, 3, edges_per_node=3), "less than the 3 nodes, got 3"),
        (lambda: barabasi_albert(3, 4, edges_per_node=4), "at most in_features=3, got 4"),
        (lambda: barabasi_albert(3, 4, edges_per_node=0), "at least 1, got 0"),
        (lambda: radix_net(6, 6, radices=(2, 2), layer=0), "multiples of 4"),
        (lambda: radix_net(4, 4, radices=(2, 2), layer=2), "below the number of radices, 2"),
        (lambda: banded(3, 3, lower=-1, upper=0), "`lower`"),
        (lambda: local2d(9, 3, height=3, width=3, kernel_size=2), "must be 1 \\* 2 \\* 2 = 4"),
        (lambda: local2d(8, 4, height=3, width=3, kernel_size=2), "must be in_channels"),
        (lambda: local2d(9, 4, height=3, width=3, kernel_size=(2, 2, 2)), "one number or two"),
        (lambda: erdos_renyi(3, 3, density=1.1), "between 0 and 1"),
        (lambda: fixed_fan_in(3, 3, fan_in=4), "at most in_features=3, got 4"),
    ],
)
def test_impossible_request_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


LARGE = {
    "fixed_fan_out": lambda: fixed_fan_out(100_000, 100_000, fan_out=10),
    "watts_strogatz": lambda: watts_strogatz(100_000, 100_000, neighbors=10, rewiring=0.1),
    "half full": lambda: watts_strogatz(1000, 1000, neighbors=500, rewiring=1.0),
    "nearly full": lambda: watts_strogatz(1000, 1000, neighbors=900, rewiring=0.1),
    "bipartite, nearly full": lambda: watts_strogatz(1000, 500, neighbors=999, rewiring=0.1),
    "barabasi_albert": lambda: barabasi_albert(100_000, 100_000, edges_per_node=5),
    "bipartite": lambda: barabasi_albert(100_000, 100_001, edges_per_node=10),
    "banded": lambda: banded(100_000, 100_000, lower=5, upper=4),
    "radix_net": lambda: radix_net(2**17, 2**17, radices=(8,) * 5 + (4,), layer=3),
    "local2d": lambda: local2d(90_000, 298**2, height=300, width=300, kernel_size=3),
    "degree_preserving": lambda: degree_preserving(
        fixed_fan_in(100_000, 100_000, fan_in=10, generator=generator())
    ),
    "no self-loops": lambda: degree_preserving(
        watts_strogatz(100_000, 100_000, neighbors=10, rewiring=0.1), self_loops=False
    ),
}


@pytest.mark.parametrize("name", LARGE)
def test_memory_follows_edges(name):
    tracemalloc.start()
    topology = LARGE[name]()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    ends = topology.num_edges + topology.in_features + topology.out_features
    assert peak < 150 * ends
