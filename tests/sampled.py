"""Draws, their edges and matrices, and how well samples fit a law."""

import numpy as np
import pytest
import scipy.stats
import torch
from problems import dense

from edgelinear.generators import erdos_renyi


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def pairs(topology):
    return list(map(tuple, topology.edge_index.T.tolist()))


def pattern(topology, dtype=torch.float64):
    """Return the (out, in) matrix of ones where an edge is."""
    return dense(torch.ones(topology.num_edges, dtype=dtype), topology)


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


START = erdos_renyi(30, 20, num_edges=150, generator=generator(7))
