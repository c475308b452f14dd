"""Both views of a Topology are its edges, in order and in few bytes."""

import pytest
import torch
from hypothesis import given
from problems import random_edges
from wired import edge_lists

import edgelinear as el
from edgelinear import Topology


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


def test_strided_edges_are_stored_contiguously():
    edges = random_edges(30, 20, 100).unique(dim=1)  # column-major
    topology = Topology(30, 20, edges)
    assert all(view is None or view.is_contiguous() for view in topology._tensors)


def test_indices_are_int32_and_take_at_most_24_bytes_an_edge():
    def nbytes(topology):
        views = (topology._target_view, topology._source_view)
        tensors = [t for view in views for t in (*view[:4], view.pieces)]  # of the edges
        storages = {t.untyped_storage().data_ptr(): t for t in tensors if t is not None}
        assert {t.dtype for t in storages.values()} == {torch.int32}
        assert all(v.order is None or v.order.nbytes == 4 * len(v.indptr) - 4 for v in views)
        return sum(t.untyped_storage().nbytes() for t in storages.values())

    topology = Topology(300, 200, random_edges(300, 200, 20_000))
    pointers = 4 * (300 + 1 + 200 + 1)
    assert nbytes(topology) == 24 * 20_000 + pointers
    assert nbytes(topology.sorted()[0]) == 16 * 20_000 + pointers
    assert topology._target_view.runs is topology._source_view.runs is None


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
