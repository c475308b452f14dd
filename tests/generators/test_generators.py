import itertools
import tracemalloc

import numpy as np
import pytest
import scipy.stats
import torch
import torch.nn.functional as F

from edgelinear.generators import block_diagonal, erdos_renyi, fixed_fan_in, local1d


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def pairs(topology):
    return list(map(tuple, topology.edge_index.T.tolist()))


def pattern(topology):
    """Return the (out, in) matrix of ones where an edge is."""
    matrix = torch.zeros(topology.out_features, topology.in_features)
    for s, t in pairs(topology):
        matrix[t, s] += 1
    return matrix


# Random patterns

RANDOM = {
    "erdos_renyi sparse": lambda g: erdos_renyi(300, 200, num_edges=500, generator=g),
    "erdos_renyi half": lambda g: erdos_renyi(30, 20, num_edges=300, generator=g),
    "erdos_renyi full": lambda g: erdos_renyi(30, 20, num_edges=600, generator=g),
    "erdos_renyi density": lambda g: erdos_renyi(300, 200, density=0.3, generator=g),
    "fixed_fan_in small": lambda g: fixed_fan_in(300, 200, fan_in=3, generator=g),
    "fixed_fan_in half": lambda g: fixed_fan_in(30, 20, fan_in=15, generator=g),
    "fixed_fan_in large": lambda g: fixed_fan_in(30, 20, fan_in=29, generator=g),
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


@pytest.mark.parametrize("num_edges", [0, 1, 60, 119, 120])
def test_erdos_renyi_has_as_many_edges_as_asked(num_edges):
    assert erdos_renyi(12, 10, num_edges=num_edges).num_edges == num_edges


@pytest.mark.parametrize(("density", "num_edges"), [(0, 0), (1, 120)])
def test_erdos_renyi_of_extreme_density_is_empty_or_full(density, num_edges):
    assert erdos_renyi(12, 10, density=density).num_edges == num_edges


def test_number_of_edges_at_a_density_is_binomial():
    g = generator()
    counts = [erdos_renyi(4, 3, density=0.3, generator=g).num_edges for _ in range(400)]
    found = np.bincount(counts, minlength=13)
    expected = 400 * scipy.stats.binom(12, 0.3).pmf(np.arange(13))
    # The rare counts together, as the test wants at least 5 in each class.
    found, expected = [[c[:2].sum(), *c[2:7], c[7:].sum()] for c in (found, expected)]
    assert scipy.stats.chisquare(found, expected).pvalue > 1e-3


@pytest.mark.parametrize("num_edges", [2, 4])
def test_every_set_of_edges_is_equally_likely(num_edges):
    g = generator()
    subsets = {
        s: 0 for s in itertools.combinations([(s, t) for t in (0, 1) for s in range(3)], num_edges)
    }
    for _ in range(400):
        subsets[tuple(pairs(erdos_renyi(3, 2, num_edges=num_edges, generator=g)))] += 1
    assert scipy.stats.chisquare(list(subsets.values())).pvalue > 1e-3


@pytest.mark.parametrize("fan_in", [1, 2, 3, 4, 5])
def test_every_set_of_sources_is_equally_likely(fan_in):
    topology = fixed_fan_in(6, 4000, fan_in=fan_in, generator=generator())
    subsets = {s: 0 for s in itertools.combinations(range(6), fan_in)}
    for row in topology.src.reshape(-1, fan_in).tolist():
        subsets[tuple(row)] += 1
    assert scipy.stats.chisquare(list(subsets.values())).pvalue > 1e-3


def test_targets_choose_their_sources_independently():
    src = fixed_fan_in(4, 20000, fan_in=2, generator=generator()).src.reshape(-1, 2, 2).tolist()
    choices = list(itertools.combinations(range(4), 2))
    both = {pair: 0 for pair in itertools.product(choices, repeat=2)}
    for first, second in src:
        both[tuple(first), tuple(second)] += 1
    assert scipy.stats.chisquare(list(both.values())).pvalue > 1e-3


@pytest.mark.parametrize("fan_in", [0, 1, 6, 7, 12])
def test_fixed_fan_in_gives_each_target_its_sources(fan_in):
    assert fixed_fan_in(12, 10, fan_in=fan_in).fan_in.tolist() == [fan_in] * 10


@pytest.mark.parametrize(
    "make",
    [
        lambda: erdos_renyi(10**6, 10**6, num_edges=10**5),
        lambda: erdos_renyi(400, 400, num_edges=10**5),
        lambda: fixed_fan_in(10**6, 10**4, fan_in=10),
        lambda: fixed_fan_in(12, 10**4, fan_in=10),
        lambda: local1d(10**5, 10**5 - 1, kernel_size=2),
        lambda: local1d(10, 10**4 + 1, kernel_size=10**4 + 10, padding=10**4),
        lambda: block_diagonal(10**5, 10**4, blocks=10**4),
    ],
    ids=[
        "erdos_renyi",
        "erdos_renyi dense",
        "fan_in",
        "fan_in dense",
        "local1d",
        "padded",
        "block",
    ],
)
def test_memory_follows_edges(make):
    make()
    tracemalloc.start()
    topology = make()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # A few index arrays an edge; a matrix of the smallest case would take 160 bytes an edge.
    assert peak < 150 * (topology.num_edges + topology.in_features + topology.out_features)


# Regular patterns


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("padding", [0, 1, 4])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("kernel_size", [1, 2, 5])
@pytest.mark.parametrize("in_features", [9, 11])
def test_local1d_equals_conv1d(in_features, kernel_size, dilation, padding, stride):
    """A convolution with a kernel of ones sends the unit vectors to the columns of the pattern."""
    truth = F.conv1d(
        torch.eye(in_features)[:, None],
        torch.ones(1, 1, kernel_size),
        stride=stride,
        padding=padding,
        dilation=dilation,
    )[:, 0].T
    options = dict(kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation)
    topology = local1d(in_features, len(truth), **options)
    assert torch.equal(pattern(topology), truth)


def test_local1d_is_in_target_order():
    assert local1d(10, 10, kernel_size=3, padding=1).is_sorted


def test_local1d_all_in_the_padding_has_no_edges_there():
    assert pattern(local1d(2, 7, kernel_size=2, padding=3)).sum(1).tolist() == [0, 0, 1, 2, 1, 0, 0]


def test_local1d_of_a_kernel_larger_than_the_input_has_no_outputs():
    assert local1d(3, 0, kernel_size=5).num_edges == 0


def test_local1d_says_how_many_outputs_there_are():
    with pytest.raises(ValueError, match="`out_features` must be 3 for in_features=5"):
        local1d(5, 4, kernel_size=3)


def test_block_diagonal_equals_kron():
    truth = torch.kron(torch.eye(3), torch.ones(2, 4))
    assert torch.equal(pattern(block_diagonal(12, 6, blocks=3)), truth)


def test_block_diagonal_is_in_target_order():
    assert block_diagonal(12, 6, blocks=3).is_sorted


@pytest.mark.parametrize(("in_features", "out_features"), [(12, 5), (5, 12)])
def test_blocks_must_divide_both_sizes(in_features, out_features):
    with pytest.raises(ValueError, match="`blocks` must divide in_features="):
        block_diagonal(in_features, out_features, blocks=3)


# Empty sides and bad arguments


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


@pytest.mark.parametrize("num_edges", [-1, 121])
def test_impossible_number_of_edges_is_refused(num_edges):
    with pytest.raises(ValueError, match="`num_edges` must"):
        erdos_renyi(12, 10, num_edges=num_edges)


@pytest.mark.parametrize("density", [-0.1, 1.5, float("nan")])
def test_impossible_density_is_refused(density):
    with pytest.raises(ValueError, match="`density` must be between 0 and 1"):
        erdos_renyi(12, 10, density=density)


@pytest.mark.parametrize("options", [{}, {"density": 0.5, "num_edges": 3}])
def test_erdos_renyi_wants_density_or_num_edges(options):
    with pytest.raises(ValueError, match="either `density` or `num_edges`"):
        erdos_renyi(12, 10, **options)


@pytest.mark.parametrize("fan_in", [-1, 13])
def test_impossible_fan_in_is_refused(fan_in):
    with pytest.raises(ValueError, match="`fan_in` must"):
        fixed_fan_in(12, 10, fan_in=fan_in)


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
