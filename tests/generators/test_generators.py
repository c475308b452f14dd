"""What every generator holds: order, no edge twice, seeds, memory, and what it refuses."""

import tracemalloc

import numpy as np
import pytest
import torch
from sampled import START, generator, pairs

from edgelinear.generators import (
    banded,
    barabasi_albert,
    block_diagonal,
    erdos_renyi,
    fixed_fan_in,
    fixed_fan_out,
    local1d,
    local2d,
    radix_net,
    watts_strogatz,
)
from edgelinear.null_models import degree_preserving, erdos_renyi_like, permute_targets

RANDOM = {
    "erdos_renyi sparse": lambda g: erdos_renyi(300, 200, num_edges=500, generator=g),
    "erdos_renyi half": lambda g: erdos_renyi(30, 20, num_edges=300, generator=g),
    "erdos_renyi full": lambda g: erdos_renyi(30, 20, num_edges=600, generator=g),
    "erdos_renyi density": lambda g: erdos_renyi(300, 200, density=0.3, generator=g),
    "fixed_fan_in small": lambda g: fixed_fan_in(300, 200, fan_in=3, generator=g),
    "fixed_fan_in half": lambda g: fixed_fan_in(30, 20, fan_in=15, generator=g),
    "fixed_fan_in large": lambda g: fixed_fan_in(30, 20, fan_in=29, generator=g),
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


@pytest.mark.parametrize("name", RANDOM)
def test_random_pattern_is_in_target_order(name):
    assert RANDOM[name](generator()).is_sorted


@pytest.mark.parametrize("name", RANDOM)
def test_random_pattern_has_no_edge_twice(name):
    edges = pairs(RANDOM[name](generator()))
    assert len(set(edges)) == len(edges)


@pytest.mark.parametrize("name", RANDOM)
def test_equal_seeds_give_equal_patterns(name):
    assert RANDOM[name](generator(3)) == RANDOM[name](generator(3))


@pytest.mark.parametrize("name", [name for name in RANDOM if "full" not in name])
def test_a_generator_moves_on(name):
    g = generator()
    assert RANDOM[name](g) != RANDOM[name](g)


@pytest.mark.parametrize("name", RANDOM)
def test_manual_seed_decides_without_a_generator(name):
    torch.manual_seed(5)
    first = RANDOM[name](None)
    torch.manual_seed(5)
    assert RANDOM[name](None) == first


@pytest.mark.parametrize("wrong", [0, "cpu", np.random.default_rng(0)])
def test_anything_but_a_torch_generator_is_refused(wrong):
    for make in RANDOM.values():
        with pytest.raises(TypeError, match="`generator` must be a torch.Generator or None, got"):
            make(wrong)


LARGE = {
    "erdos_renyi": lambda: erdos_renyi(10**6, 10**6, num_edges=10**5),
    "erdos_renyi dense": lambda: erdos_renyi(400, 400, num_edges=10**5),
    "fan_in": lambda: fixed_fan_in(10**6, 10**4, fan_in=10),
    "fan_in dense": lambda: fixed_fan_in(12, 10**4, fan_in=10),
    "local1d": lambda: local1d(10**5, 10**5 - 1, kernel_size=2),
    "padded": lambda: local1d(10, 10**4 + 1, kernel_size=10**4 + 10, padding=10**4),
    "block": lambda: block_diagonal(10**5, 10**4, blocks=10**4),
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
    # A few index arrays an edge; a matrix of the smallest case would take 160 bytes an edge.
    assert peak < 150 * ends


@pytest.mark.parametrize(("in_features", "out_features"), [(0, 0), (0, 6), (6, 0)])
@pytest.mark.parametrize(
    "make",
    [
        lambda n, m: erdos_renyi(n, m, num_edges=0),
        lambda n, m: erdos_renyi(n, m, density=0.5),
        lambda n, m: erdos_renyi(n, m, density=1),
        lambda n, m: fixed_fan_in(n, m, fan_in=0),
        lambda n, m: fixed_fan_in(n, m, fan_in=n),
        lambda n, m: block_diagonal(n, m, blocks=3),
    ],
)
def test_empty_side_has_no_edges(make, in_features, out_features):
    topology = make(in_features, out_features)
    sizes = (topology.in_features, topology.out_features, topology.num_edges)
    assert sizes == (in_features, out_features, 0)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("in_features", lambda: erdos_renyi(12.0, 10, num_edges=3)),
        ("out_features", lambda: fixed_fan_in(12, "10", fan_in=3)),
        ("num_edges", lambda: erdos_renyi(12, 10, num_edges=3.0)),
        ("density", lambda: erdos_renyi(12, 10, density="0.5")),
        ("density", lambda: erdos_renyi(12, 10, density=True)),
        ("fan_in", lambda: fixed_fan_in(12, 10, fan_in=True)),
        ("kernel_size", lambda: local1d(5, 3, kernel_size=3.0)),
        ("stride", lambda: local1d(5, 3, kernel_size=3, stride=1.0)),
        ("padding", lambda: local1d(5, 3, kernel_size=3, padding=None)),
        ("dilation", lambda: local1d(5, 3, kernel_size=3, dilation=1.5)),
        ("blocks", lambda: block_diagonal(4, 2, blocks=2.0)),
    ],
)
def test_argument_of_a_wrong_kind_is_named(name, make):
    with pytest.raises(TypeError, match=f"`{name}` must be"):
        make()


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("in_features", lambda: erdos_renyi(-1, 10, num_edges=0)),
        ("out_features", lambda: block_diagonal(4, -2, blocks=2)),
        ("kernel_size", lambda: local1d(5, 3, kernel_size=0)),
        ("stride", lambda: local1d(5, 3, kernel_size=3, stride=0)),
        ("padding", lambda: local1d(5, 3, kernel_size=3, padding=-1)),
        ("dilation", lambda: local1d(5, 3, kernel_size=3, dilation=0)),
        ("blocks", lambda: block_diagonal(4, 2, blocks=0)),
    ],
)
def test_argument_that_is_too_small_is_named(name, make):
    with pytest.raises(ValueError, match=f"`{name}` must"):
        make()


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
