"""Small worlds, hubs, mixed radices, windows in two dimensions, and null models."""

import itertools
import tracemalloc

import networkx as nx
import numpy as np
import pytest
import scipy.stats
import torch
import torch.nn.functional as F

import edgelinear as el
from edgelinear.generators import (
    banded,
    barabasi_albert,
    erdos_renyi,
    fixed_fan_in,
    fixed_fan_out,
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


def test_bipartite_ring_takes_the_nearest_sources():
    topology = watts_strogatz(12, 6, neighbors=3, rewiring=0.0)
    assert [sorted(s for s, t in pairs(topology) if t == target) for target in range(6)] == [
        sorted(((2 * target + k) % 12) for k in (-1, 0, 1)) for target in range(6)
    ]


def test_bipartite_rewiring_is_uniform():
    topology = watts_strogatz(10, 5000, neighbors=2, rewiring=1.0, generator=generator())
    counts = {pair: 0 for pair in itertools.combinations(range(10), 2)}
    for row in topology.src.reshape(-1, 2).tolist():
        counts[tuple(row)] += 1
    assert scipy.stats.chisquare(list(counts.values())).pvalue > 1e-3


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


def test_attachment_leaves_no_node_alone():
    network = graph(barabasi_albert(300, 300, edges_per_node=2, generator=generator()))
    assert nx.is_connected(network)


def test_bipartite_attachment_follows_a_loop_over_targets():
    def by_loop(seed):
        random, weight = np.random.default_rng(seed), np.ones(20)
        for _ in range(30):
            chosen = random.choice(20, 3, replace=False, p=weight / weight.sum())
            weight[chosen] += 1
        return sorted(weight - 1)

    ours = [
        sorted(barabasi_albert(20, 30, edges_per_node=3, generator=g).fan_out.tolist())
        for g in map(generator, range(200))
    ]
    theirs = [by_loop(seed) for seed in range(200)]
    for rank in (0, 10, 18, 19):
        our, their = ([d[rank] for d in some] for some in (ours, theirs))
        assert scipy.stats.ttest_ind(our, their, equal_var=False).pvalue > 1e-3


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


def test_every_wiring_of_the_same_degrees_is_equally_likely():
    start = el.Topology(4, 4, [(0, 0), (1, 0), (1, 1), (2, 1), (2, 2), (3, 3), (0, 3)])
    fan_in, fan_out = start.fan_in.tolist(), start.fan_out.tolist()
    cells = [(s, t) for t in range(4) for s in range(4)]
    wirings = {}
    for edges in itertools.combinations(cells, start.num_edges):
        ins = [sum(t == i for _, t in edges) for i in range(4)]
        outs = [sum(s == i for s, _ in edges) for i in range(4)]
        if ins == fan_in and outs == fan_out:
            wirings[edges] = 0
    assert len(wirings) > 20
    g = generator()
    for _ in range(40 * len(wirings)):
        wirings[tuple(pairs(degree_preserving(start, generator=g)))] += 1
    assert scipy.stats.chisquare(list(wirings.values())).pvalue > 1e-3


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
    "barabasi_albert": lambda: barabasi_albert(100_000, 100_000, edges_per_node=5),
    "bipartite": lambda: barabasi_albert(100_000, 100_001, edges_per_node=10),
    "banded": lambda: banded(100_000, 100_000, lower=5, upper=4),
    "radix_net": lambda: radix_net(2**17, 2**17, radices=(8,) * 5 + (4,), layer=3),
    "local2d": lambda: local2d(90_000, 298**2, height=300, width=300, kernel_size=3),
    "degree_preserving": lambda: degree_preserving(
        fixed_fan_in(100_000, 100_000, fan_in=10, generator=generator())
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
