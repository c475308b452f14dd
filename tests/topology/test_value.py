"""A Topology as a value: it equals, sorts, turns, copies, and never changes."""

import copy
import hashlib
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from problems import PROBLEMS, random_edges
from wired import edge_lists

import edgelinear as el
from edgelinear import Topology


@given(edge_lists())
def test_is_sorted_says_whether_targets_then_sources_ascend(case):
    pairs = case[2]
    topology = Topology(*case, duplicates="keep")
    assert topology.is_sorted == ([p[::-1] for p in pairs] == sorted(p[::-1] for p in pairs))


@given(edge_lists())
def test_sorted_is_the_permuted_wiring(case):
    topology = Topology(*case, duplicates="keep")
    ordered, permutation = topology.sorted()
    assert ordered.is_sorted
    assert torch.equal(ordered.edge_index, topology.edge_index[:, permutation])
    assert sorted(permutation.tolist()) == list(range(topology.num_edges))


@given(edge_lists())
def test_transpose_swaps_the_rows(case):
    topology = Topology(*case, duplicates="keep")
    reverse = Topology(case[1], case[0], topology.edge_index.flip(0), duplicates="keep")
    assert topology.T == reverse
    for ours, theirs in zip(topology.T._tensors, reverse._tensors, strict=True):
        assert (ours is None) == (theirs is None)
        assert ours is None or torch.equal(ours, theirs)
    assert topology.T.T == topology


@given(edge_lists())
def test_merge_keeps_first_places_and_adds_weights(case):
    in_features, out_features, pairs = case
    weight = torch.arange(1.0, len(pairs) + 1, dtype=torch.float64)
    wiring = el.convert.from_edges(*case, weight=weight, duplicates="merge")
    totals = {}
    for pair, value in zip(pairs, weight.tolist(), strict=True):
        totals[pair] = totals.get(pair, 0.0) + value
    assert [tuple(pair) for pair in wiring.topology.edge_index.T.tolist()] == list(totals)
    assert wiring.weight.tolist() == list(totals.values())


def test_changing_the_given_tensor_changes_nothing():
    edges = torch.tensor([[0, 2], [1, 0]])
    topology = Topology(3, 2, edges)
    edges.zero_()
    topology.edge_index.zero_()
    assert topology.edge_index.tolist() == [[0, 2], [1, 0]]


def test_topology_never_changes():
    topology = Topology(2, 2, [(0, 1)])
    with pytest.raises(AttributeError, match="never changes"):
        topology.in_features = 3


def test_density_of_a_layer_without_inputs_is_zero():
    assert Topology(0, 3, []).density == Topology(3, 0, []).density == 0
    assert Topology(4, 5, [(0, 0), (1, 2)]).density == 0.1


@pytest.mark.parametrize("name", PROBLEMS)
def test_equality_and_digest_follow_sizes_and_edges(name):
    problem = PROBLEMS[name]
    topology = problem.topology()
    assert topology == problem.topology()
    assert hash(topology) == hash(problem.topology())
    larger = problem._replace(in_features=problem.in_features + 1).topology()
    assert topology != larger
    assert topology.digest != larger.digest
    assert topology != "a topology"
    if problem.edge_index.shape[1] > 1:
        reordered = problem._replace(edge_index=problem.edge_index.flip(1)).topology()
        assert topology != reordered
        assert topology.digest != reordered.digest


def test_digest_is_sha256_of_sizes_and_ends():
    text = b"edgelinear 3 2" + np.array([0, 2, 0, 1], dtype="<i8").tobytes()
    expected = hashlib.sha256(text).hexdigest()
    assert Topology(3, 2, [(0, 0), (2, 1)]).digest == expected


def test_deepcopy_shares_and_pickle_rebuilds():
    topology = Topology(30, 20, random_edges(30, 20, 100))
    assert copy.deepcopy(topology) is topology
    loaded = pickle.loads(pickle.dumps(topology))
    assert loaded == topology
    assert loaded.digest == topology.digest


def test_default_device_does_not_move_the_edges():
    with torch.device("meta"):
        topology = Topology(3, 2, [(0, 1), (2, 0)])
    assert topology.device.type == "cpu"
    assert topology.edge_index.tolist() == [[0, 2], [1, 0]]
