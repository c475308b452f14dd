"""Small worlds, hubs and mixed radices, against networkx and the laws of their steps."""

import itertools
from collections import Counter, defaultdict

import networkx as nx
import numpy as np
import pytest
import scipy.stats
import torch
from sampled import assert_same_means, fit, generator, pairs, pattern

from edgelinear.generators import _draw, barabasi_albert, radix_net, small_worlds, watts_strogatz


def graph(topology):
    """Return the undirected graph that a symmetric topology stands for."""
    matrix = pattern(topology)
    assert torch.equal(matrix, matrix.T) and not matrix.diagonal().any() and matrix.max() <= 1
    return nx.from_numpy_array(matrix.numpy())


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
    monkeypatch.setattr(small_worlds, "_IN_TURN", 0 if at_once else nodes + 1)

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
