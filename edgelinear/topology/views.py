"""Both sorted views of an edge list, in O(edges); edges given twice are refused or merged."""

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from edgelinear.topology.checks import (
    as_edge_index,
    as_size,
    check_duplicates,
    check_numbering,
    check_range,
)
from edgelinear.topology.edits import EdgeMap
from edgelinear.topology.schedules import bands_of, order_of, pieces_of, runs_of

_INT32_MAX = np.iinfo(np.int32).max


class CSR(NamedTuple):
    """Edges grouped by one of their ends: row `r` owns positions `indptr[r]` to `indptr[r + 1]`.

    `edge_ids` maps a position to its edge, and is None where positions are edges already.

    Example:
        >>> Topology(3, 2, [(2, 1), (0, 0), (1, 1)]).by_dst
        CSR(indptr=tensor([0, 1, 3], dtype=torch.int32), ..., edge_ids=tensor([1, 2, 0], ...))
    """

    indptr: Tensor  #: (rows + 1,)
    indices: Tensor  #: (num_edges,): the other end of the edge at each position
    edge_ids: Tensor | None  #: (num_edges,)


class View(NamedTuple):
    """A CSR with the ends of its rows and the schedules that kernels follow.

    Operators take a view as its tensors, one after the other: these fields are their schema.
    """

    end: Tensor  # (num_edges,): the row of each edge, in the order given
    indptr: Tensor  # (rows + 1,)
    indices: Tensor  # (num_edges,): the other end of the edge at each position
    edge_ids: Tensor | None  # (num_edges,): that edge, or None where positions are edges
    runs: Tensor | None = None  # (num_runs, 3): see `schedules.runs_of`
    pieces: Tensor | None = None  # (num_pieces, 2): see `schedules.pieces_of`
    order: Tensor | None = None  # (rows,): see `schedules.order_of`
    bands: Tensor | None = None  # (num_bands + 1,): see `schedules.bands_of`


OPTIONAL = {"edge_ids", "runs", "pieces", "order", "bands"}  # the fields that may be None


class Grouped(NamedTuple):
    """The same three as arrays."""

    indptr: np.ndarray  # (rows + 1,)
    indices: np.ndarray  # (num_edges,)
    edge_ids: np.ndarray | None  # (num_edges,)


class RepeatedEdge(ValueError):
    """An edge is given twice: where, and between which nodes."""

    def __init__(self, src: Any, dst: Any, first: int, second: int, unit: str) -> None:
        super().__init__(
            f"edge {src!r} -> {dst!r} is given twice ({unit} {first} and {second}). "
            'Pass duplicates="merge" for one weight, or duplicates="keep" for two.'
        )
        self.src, self.dst = src, dst
        self.first, self.second = first, second


def checked_views(
    in_features: Any, out_features: Any, edge_index: Any, duplicates: str
) -> tuple[View, View, EdgeMap | None]:
    check_duplicates(duplicates)
    in_features = as_size("in_features", in_features)
    out_features = as_size("out_features", out_features)
    edges = as_edge_index(edge_index)
    check_range(edges, in_features, out_features)
    for name, size in (("in_features", in_features), ("out_features", out_features)):
        check_numbering(f"`{name}`", size, edges.shape[1])
    with torch.inference_mode(False):  # or autograd could not save these tensors
        return make_views(in_features, out_features, edges.numpy(), duplicates)


def make_views(
    in_features: int,
    out_features: int,
    edges: np.ndarray,  # (2, num_edges): row 0 the source, row 1 the target
    duplicates: str,
) -> tuple[View, View, EdgeMap | None]:
    """Return the views by target and by source; and which edges were merged, if any were.

    Raises:
        RepeatedEdge: if an edge is given twice under `duplicates="error"`.
    """
    largest = max(in_features, out_features, edges.shape[1])
    dtype = np.int32 if largest <= _INT32_MAX else np.int64
    src, dst = (np.array(row, dtype=dtype, order="C") for row in edges)
    by_dst, by_src = _group_both(in_features, out_features, src, dst)
    merged = None
    if duplicates != "keep" and (repeated := _repeats(by_dst)).any():
        if duplicates == "error":
            raise _first_repeat(by_dst, repeated)
        merged = _merge(by_dst, repeated)
        src, dst = src[merged.old.numpy()], dst[merged.old.numpy()]
        by_dst, by_src = _group_both(in_features, out_features, src, dst)

    if by_dst.edge_ids is None:  # this view and the edges as given then share memory
        src = by_dst.indices
    elif by_src.edge_ids is None:
        dst = by_src.indices
    unsorted = by_dst.edge_ids is not None and by_src.edge_ids is not None
    shared: dict[int, Tensor] = {}

    def tensor(array: np.ndarray | None) -> Tensor | None:
        return None if array is None else shared.setdefault(id(array), torch.from_numpy(array))

    def runs(grouped: Grouped, columns: int) -> np.ndarray | None:
        # Views of unsorted edges take 24 bytes an edge already, and have no runs.
        return None if unsorted else runs_of(grouped.indptr, grouped.indices, columns)

    dst_runs, src_runs = runs(by_dst, in_features), runs(by_src, out_features)

    def bands(grouped: Grouped, other: Grouped) -> np.ndarray | None:
        alone = grouped.edge_ids is None and other.edge_ids is not None  # in the order of edges
        if not alone or dst_runs is not None or src_runs is not None:
            return None
        return bands_of(other.indptr, grouped.indptr.size - 1)

    def view(
        end: np.ndarray, grouped: Grouped, runs: np.ndarray | None, bands: np.ndarray | None
    ) -> View:
        schedules = (runs, pieces_of(grouped.indptr), order_of(grouped.indptr), bands)
        return View(*map(tensor, (end, *grouped, *schedules)))  # type: ignore[arg-type]

    by_target = view(dst, by_dst, dst_runs, bands(by_dst, by_src))
    by_source = view(src, by_src, src_runs, bands(by_src, by_dst))
    return by_target, by_source, merged


def _group_both(
    in_features: int, out_features: int, src: np.ndarray, dst: np.ndarray
) -> tuple[Grouped, Grouped]:
    """Return the edges grouped by target and by source, each row ordered by the other end."""
    edge_ids = np.arange(src.size, dtype=src.dtype)
    if _is_lexicographic(dst, src):
        by_dst = Grouped(_indptr(dst, out_features), src, None)
        rows, indices, ids = dst, src, edge_ids
    else:
        # Stable sorts by the minor key, then by the major one.
        indptr, indices, ids = _group(in_features, src, dst, edge_ids, out_features)
        rows = _rows(indptr)
        indptr, indices, ids = _group(out_features, indices, rows, ids, in_features)
        by_dst = Grouped(indptr, indices, ids)
        rows = _rows(indptr)
    if _is_lexicographic(src, dst):
        return by_dst, Grouped(_indptr(src, in_features), dst, None)
    return by_dst, Grouped(*_group(in_features, indices, rows, ids, out_features))


def _group(
    rows: int,
    row: np.ndarray,  # (num_edges,): the row of each edge
    other: np.ndarray,  # (num_edges,): its other end
    edge_ids: np.ndarray,  # (num_edges,)
    columns: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Group edges by row, keeping their order within a row: scipy's counting sort."""
    matrix = scipy.sparse.coo_array((edge_ids, (row, other)), shape=(rows, columns))
    matrix.has_canonical_format = True  # or tocsr() would add up the ids of parallel edges
    matrix = matrix.tocsr()
    dtype = row.dtype
    return matrix.indptr.astype(dtype), matrix.indices.astype(dtype, copy=False), matrix.data


def _is_lexicographic(major: np.ndarray, minor: np.ndarray) -> bool:
    """Whether pairs stand in ascending order, by `major` and then by `minor`."""
    step = np.diff(major)
    return bool((step >= 0).all() and (np.diff(minor)[step == 0] >= 0).all())


def _indptr(sorted_rows: np.ndarray, rows: int) -> np.ndarray:
    indptr = np.zeros(rows + 1, sorted_rows.dtype)
    np.cumsum(np.bincount(sorted_rows, minlength=rows), out=indptr[1:])
    return indptr


def _rows(indptr: np.ndarray) -> np.ndarray:
    return np.repeat(np.arange(indptr.size - 1, dtype=indptr.dtype), np.diff(indptr))


def _repeats(grouped: Grouped) -> np.ndarray:  # (num_edges,) bool
    """Return for each position whether it repeats the edge at the position before it."""
    indptr, indices, _ = grouped
    repeated = np.zeros(indices.size, dtype=bool)
    repeated[1:] = indices[1:] == indices[:-1]
    repeated[indptr[:-1][np.diff(indptr) > 0]] = False  # a row's first edge repeats nothing
    return repeated


def _first_repeat(by_dst: Grouped, repeated: np.ndarray) -> RepeatedEdge:
    """Return the error that names the first edge of the list that repeats an earlier one."""
    edge_ids, positions = _edge_ids(by_dst), np.flatnonzero(repeated)
    position = positions[np.argmin(edge_ids[positions])]
    first, second = int(edge_ids[position - 1]), int(edge_ids[position])
    dst = int(np.searchsorted(by_dst.indptr, position, side="right")) - 1
    return RepeatedEdge(int(by_dst.indices[position]), dst, first, second, "edges")


def _merge(by_dst: Grouped, repeated: np.ndarray) -> EdgeMap:
    """Return the map to edges that are all different, each where it came first."""
    edge_ids = _edge_ids(by_dst)
    first = np.zeros(edge_ids.size, dtype=bool)
    first[edge_ids[~repeated]] = True
    place = np.cumsum(first) - 1  # of each first edge among the new ones
    new = np.empty(edge_ids.size, dtype=np.int64)
    new[edge_ids] = place[edge_ids[~repeated]][np.cumsum(~repeated) - 1]
    return EdgeMap(torch.from_numpy(np.flatnonzero(first)), torch.from_numpy(new))


def _edge_ids(grouped: Grouped) -> np.ndarray:
    """Return the edge at each position."""
    edge_ids = grouped.edge_ids
    return np.arange(grouped.indices.size) if edge_ids is None else edge_ids
