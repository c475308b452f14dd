"""What a Topology accepts, and what it refuses."""

import numpy as np
import pytest
import torch
from hypothesis import given
from wired import edge_lists

from edgelinear import Topology


@given(edge_lists())
def test_error_names_the_first_pair_given_twice(case):
    pairs = case[2]
    second = next((i for i, pair in enumerate(pairs) if pair in pairs[:i]), None)
    if second is None:
        Topology(*case)
        return
    src, dst = pairs[second]
    message = (
        rf"edge {src} -> {dst} is given twice \(edges {pairs.index((src, dst))} and {second}\)\. "
        'Pass duplicates="merge" for one weight, or duplicates="keep" for two.'
    )
    with pytest.raises(ValueError, match=message):
        Topology(*case)


@pytest.mark.parametrize(
    "edges",
    [
        torch.tensor([[0, 2], [1, 0]]),
        torch.tensor([[0, 2], [1, 0]], dtype=torch.int32),
        torch.tensor([[0, 1], [2, 0]], dtype=torch.uint8).T,
        np.array([[0, 2], [1, 0]]),
        np.asfortranarray([[0, 2], [1, 0]]),
        np.array([[0, 2], [1, 0]], dtype=np.uint64),
        [(0, 1), (2, 0)],
        ((0, 1), (2, 0)),
        [torch.tensor([0, 2]), torch.tensor([1, 0])],
        (np.array([0, 2]), np.array([1, 0])),
    ],
    ids=lambda e: f"{type(e).__name__}-{getattr(e, 'dtype', '')}",
)
def test_edges_come_as_tensor_array_or_pairs(edges):
    topology = Topology(3, 2, edges)
    assert topology.edge_index.tolist() == [[0, 2], [1, 0]]
    assert topology.edge_index.dtype == torch.int64


@pytest.mark.parametrize("empty", [[], torch.empty(2, 0), np.empty((2, 0)), torch.empty(0)])
def test_no_edges_are_legal(empty):
    assert Topology(3, 2, empty).num_edges == 0


@pytest.mark.parametrize(
    ("edges", "error", "message"),
    [
        (
            torch.zeros(3, 2, dtype=torch.long),
            ValueError,
            r"shape \(2, num_edges\).*`edge_index.T`",
        ),
        (torch.zeros(4, dtype=torch.long), ValueError, r"got shape \(4,\)\."),
        (torch.zeros(2, 3), TypeError, r"integers, got torch.float32: use `edge_index.long\(\)`"),
        (torch.zeros(2, 3, dtype=torch.bool), TypeError, "integers, got torch.bool"),
        (np.array([["a", "b"], ["c", "d"]]), TypeError, "must hold integers, got an array of <U1"),
        ([[0, 1], [1, 0]], ValueError, r"two rows or as two edges.*\(source, target\) tuples"),
        (torch.tensor([[0, -1], [0, 0]]), ValueError, r"source -1 at edge 1 is outside \[0, 3\)"),
        (torch.tensor([[0, 1], [0, 2]]), ValueError, r"target 2 at edge 1 is outside \[0, 2\), as"),
        (torch.empty(2, 1, dtype=torch.long, device="meta"), ValueError, "on the meta device"),
    ],
)
def test_malformed_edges_are_refused(edges, error, message):
    with pytest.raises(error, match=message):
        Topology(3, 2, edges)


def test_swapped_rows_are_refused_with_the_fix():
    message = (
        r"source 4 at edge 0 .*row 1 fits in_features.*\(target, source\)\? use `edge_index.flip"
    )
    with pytest.raises(ValueError, match=message):
        Topology(3, 5, torch.tensor([[4, 0], [2, 1]]))
    assert Topology(3, 5, torch.tensor([[4, 0], [2, 1]]).flip(0)).num_edges == 2


def test_flip_is_not_suggested_where_it_would_not_help():
    with pytest.raises(ValueError) as caught:
        Topology(3, 5, torch.tensor([[4, 0], [4, 1]]))
    assert "flip" not in str(caught.value)


@pytest.mark.parametrize(
    ("size", "error", "message"),
    [
        (2.0, TypeError, "`in_features` must be an integer, got 2.0"),
        (True, TypeError, "`in_features` must be an integer, got True"),
        (-1, ValueError, "`in_features` must not be negative, got -1"),
    ],
)
def test_bad_sizes_are_refused(size, error, message):
    with pytest.raises(error, match=message):
        Topology(size, 2, [])


def test_unknown_duplicates_rule_is_refused():
    with pytest.raises(ValueError, match="`duplicates` must be one of .*, got 'sum'"):
        Topology(2, 2, [], duplicates="sum")
