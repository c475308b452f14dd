"""Topology: what it accepts, what it refuses, and that both of its views are the edges."""

import copy
import hashlib
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import PROBLEMS, random_edges

import edgelinear as el
from edgelinear import Topology
from edgelinear.topology.schedules import BLOCK_COLUMNS, GROUP_ROWS


@st.composite
def edge_lists(draw):
    in_features, out_features = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    pair = st.tuples(st.integers(0, in_features - 1), st.integers(0, out_features - 1))
    return in_features, out_features, draw(st.lists(pair, max_size=30))


def edges_of(view, rows):
    """Return {edge: (row, other end)} as a loop over a CSR view reads it."""
    found = {}
    for row in range(rows):
        for position in range(view.indptr[row], view.indptr[row + 1]):
            edge = position if view.edge_ids is None else int(view.edge_ids[position])
            found[edge] = (row, int(view.indices[position]))
    return found


@given(edge_lists())
def test_both_views_hold_every_edge(case):
    in_features, out_features, pairs = case
    topology = Topology(in_features, out_features, pairs, duplicates="keep")
    assert [tuple(pair) for pair in topology.edge_index.T.tolist()] == pairs
    expected = dict(enumerate(pairs))
    assert edges_of(topology.by_src, in_features) == expected
    by_dst = edges_of(topology.by_dst, out_features)
    assert {e: (src, dst) for e, (dst, src) in by_dst.items()} == expected


@given(edge_lists())
def test_rows_of_the_views_are_ordered(case):
    topology = Topology(*case, duplicates="keep")
    for view in (topology.by_dst, topology.by_src):
        for start, stop in zip(view.indptr[:-1], view.indptr[1:], strict=True):
            assert (view.indices[start:stop].diff() >= 0).all()


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


def test_strided_edges_are_stored_contiguously():
    edges = random_edges(30, 20, 100).unique(dim=1)  # column-major
    topology = Topology(30, 20, edges)
    assert all(view is None or view.is_contiguous() for view in topology._tensors)


def test_changing_the_given_tensor_changes_nothing():
    edges = torch.tensor([[0, 2], [1, 0]])
    topology = Topology(3, 2, edges)
    edges.zero_()
    topology.edge_index.zero_()
    assert topology.edge_index.tolist() == [[0, 2], [1, 0]]


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


def test_indices_are_int32_and_take_at_most_24_bytes_an_edge():
    topology = Topology(300, 200, random_edges(300, 200, 20_000))
    storages = {v.untyped_storage().data_ptr(): v for v in topology._tensors if v is not None}
    assert {v.dtype for v in storages.values()} == {torch.int32}
    total = sum(v.untyped_storage().nbytes() for v in storages.values())
    pointers = 4 * (300 + 1 + 200 + 1)
    assert total == 24 * 20_000 + pointers
    ordered = topology.sorted()[0]
    tensors = (*ordered._target_view[:4], *ordered._source_view[:4])  # all but the runs
    storages = {v.untyped_storage().data_ptr(): v for v in tensors if v is not None}
    assert sum(v.untyped_storage().nbytes() for v in storages.values()) == 16 * 20_000 + pointers


@pytest.mark.parametrize("size", ["in_features", "out_features", "num_edges"])
def test_indices_beyond_int32_are_int64(size, monkeypatch):
    sizes = {"in_features": 3, "out_features": 2, "num_edges": 4, size: 5}
    edges = torch.zeros(2, sizes.pop("num_edges"), dtype=torch.long)
    monkeypatch.setattr(el.topology.views, "_INT32_MAX", 5)
    narrow = Topology(**sizes, edge_index=edges, duplicates="keep")
    monkeypatch.setattr(el.topology.views, "_INT32_MAX", 4)
    wide = Topology(**sizes, edge_index=edges, duplicates="keep")
    assert {v.dtype for v in narrow._tensors if v is not None} == {torch.int32}
    assert {v.dtype for v in wide._tensors if v is not None} == {torch.int64}


def test_default_device_does_not_move_the_edges():
    with torch.device("meta"):
        topology = Topology(3, 2, [(0, 1), (2, 0)])
    assert topology.device.type == "cpu"
    assert topology.edge_index.tolist() == [[0, 2], [1, 0]]


# Runs: the edges of a row in one block of columns.


def dense_edges(rows, columns, density=0.3):
    """Return edges in (target, source) order, of which runs can be made."""
    mask = torch.rand(rows, columns, generator=torch.Generator().manual_seed(0)) < density
    return mask.nonzero().T.flip(0)


@pytest.mark.parametrize("shape", [(1100, 1030), (2000, 1030), (1030, 3000)])
def test_runs_hold_every_edge_once_by_group_block_and_length(shape):
    topology = Topology(*shape, dense_edges(*shape[::-1]))
    for view, runs in (
        (topology.by_dst, topology._target_view.runs),
        (topology.by_src, topology._source_view.runs),
    ):
        keys, positions = [], []
        for row, begin, count in runs.tolist():
            columns = view.indices[begin : begin + count]
            block = int(columns[0]) // BLOCK_COLUMNS
            assert (columns // BLOCK_COLUMNS == block).all()
            assert view.indptr[row] <= begin and begin + count <= view.indptr[row + 1]
            keys.append((row // GROUP_ROWS, block, count))
            positions += range(begin, begin + count)
        assert keys == sorted(keys)
        assert sorted(positions) == list(range(topology.num_edges))


def test_runs_turn_with_the_wiring_and_move_with_it():
    topology = Topology(1100, 1050, dense_edges(1050, 1100))
    assert (
        topology.T._target_view.runs is topology._source_view.runs
        and topology.T._source_view.runs is topology._target_view.runs
    )
    assert topology.to("meta")._target_view.runs.is_meta


def test_runs_are_made_only_where_they_pay():
    edges = dense_edges(1050, 1100)
    for wiring in (
        Topology(1100, 1050, dense_edges(1050, 1100, density=0.03)),  # few edges a run
        Topology(1100, 300, dense_edges(300, 1100)),  # few groups for the threads to share
        Topology(1100, 3000, edges),  # two groups in three are empty
        Topology(1100, 1050, edges[:, torch.randperm(edges.shape[1])]),  # indices are large already
        Topology(1100, 0, []),
    ):
        assert wiring._target_view.runs is None


def test_indices_take_at_most_24_bytes_an_edge_with_runs():
    topology = Topology(1100, 1050, dense_edges(1050, 1100, density=0.1))
    assert topology._target_view.runs is not None
    storages = {v.untyped_storage().data_ptr(): v for v in topology._tensors if v is not None}
    size = sum(v.numel() * v.element_size() for v in storages.values())
    assert size <= 24 * topology.num_edges
