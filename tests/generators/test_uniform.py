"""Edges, sources and targets that are all equally likely."""

import itertools

import numpy as np
import pytest
import scipy.stats
from sampled import generator, pairs, pattern

from edgelinear.generators import erdos_renyi, fixed_fan_in, fixed_fan_out


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
