"""Both sorted views of an edge list, in O(edges)."""

from typing import NoReturn

import numpy as np
import scipy.sparse

# (indptr, indices, edge_ids) of the edges grouped by one of their ends; no edge_ids where positions
# are edges already.
View = tuple[np.ndarray, np.ndarray, np.ndarray | None]

# Of the runs of dense rows: columns of a block, which take 32 KiB of the first-level cache at 64
# samples of float32; rows of a group, as in kernels.h, which share out the fetching of a block; and
# the fewest edges that are worth a run.
BLOCK_COLUMNS, GROUP_ROWS, RUN_EDGES = 128, 64, 8

# Of the pieces of long rows: their edges. Sums on a GPU take their order from it.
PIECE_EDGES = 1024


def _group(
    rows: int,
    row: np.ndarray,  # (num_edges,): the row of each edge
    other: np.ndarray,  # (num_edges,): its other end
    edge_ids: np.ndarray,  # (num_edges,)
    columns: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Group edges by row in O(edges), keeping their order within a row: scipy's counting sort."""
    matrix = scipy.sparse.coo_array((edge_ids, (row, other)), shape=(rows, columns))
    matrix.has_canonical_format = True  # or tocsr() would add up the ids of parallel edges
    matrix = matrix.tocsr()
    dtype = row.dtype
    return matrix.indptr.astype(dtype), matrix.indices.astype(dtype, copy=False), matrix.data


def both_views(
    in_features: int, out_features: int, src: np.ndarray, dst: np.ndarray
) -> tuple[View, View]:
    """Return the views by target and by source, each row ordered by the other end."""
    edge_ids = np.arange(src.size, dtype=src.dtype)
    by_dst: View
    if _is_lexicographic(dst, src):
        by_dst = (_indptr(dst, out_features), src, None)
        rows, indices, ids = dst, src, edge_ids
    else:
        # Stable sorts by the minor key, then by the major one.
        indptr, indices, ids = _group(in_features, src, dst, edge_ids, out_features)
        rows = _rows(indptr)
        indptr, indices, ids = _group(out_features, indices, rows, ids, in_features)
        by_dst = (indptr, indices, ids)
        rows = _rows(indptr)
    if _is_lexicographic(src, dst):
        return by_dst, (_indptr(src, in_features), dst, None)
    return by_dst, _group(in_features, indices, rows, ids, out_features)


def _is_lexicographic(major: np.ndarray, minor: np.ndarray) -> bool:
    step = np.diff(major)
    return bool((step >= 0).all() and (np.diff(minor)[step == 0] >= 0).all())


def _indptr(sorted_rows: np.ndarray, rows: int) -> np.ndarray:
    counts = np.bincount(sorted_rows, minlength=rows)
    return np.concatenate([[0], np.cumsum(counts)]).astype(sorted_rows.dtype)


def _rows(indptr: np.ndarray) -> np.ndarray:
    return np.repeat(np.arange(indptr.size - 1, dtype=indptr.dtype), np.diff(indptr))


def runs_of(view: View, columns: int) -> np.ndarray | None:
    """Return the runs of a view, (num_runs, 3), or None where they do not pay.

    A run is a row, its first position and its length: the edges of the row whose columns lie in one
    block. Runs are in order of groups of rows, then of blocks, then of length. They pay where rows
    are dense; and as a group is the work of one thread, there must be many, and much alike.
    """
    indptr, indices, _ = view
    rows, edges = indptr.size - 1, indices.size
    groups, blocks = -(-rows // GROUP_ROWS), -(-columns // BLOCK_COLUMNS)
    if groups < 16 or blocks < 3 or edges < RUN_EDGES * rows * blocks:
        return None
    by_group = np.diff(indptr[::GROUP_ROWS], append=edges)
    if by_group.max() > 2 * by_group.mean():
        return None
    block = indices // BLOCK_COLUMNS
    first = np.ones(edges, dtype=bool)
    first[1:] = block[1:] != block[:-1]
    first[indptr[:-1][np.diff(indptr) > 0]] = True
    begin = np.flatnonzero(first)
    row, count = np.searchsorted(indptr, begin, side="right") - 1, np.diff(begin, append=edges)
    order = np.lexsort((count, block[begin], row // GROUP_ROWS))
    runs = np.stack([row, begin, count], axis=1)[order]
    return np.ascontiguousarray(runs, dtype=indices.dtype)


def pieces_of(view: View) -> np.ndarray | None:
    """Return the pieces of rows of more than PIECE_EDGES edges, (num_pieces, 2), or None.

    A piece is a row and a first position. One program of a GPU sums it, so that no row keeps the
    others waiting.
    """
    indptr, indices, _ = view
    counts = np.diff(indptr)
    (rows,) = np.nonzero(counts > PIECE_EDGES)
    if rows.size == 0:
        return None
    number = -(-counts[rows] // PIECE_EDGES)
    row = np.repeat(rows, number)
    rank = np.arange(row.size) - np.repeat(np.cumsum(number) - number, number)
    return np.stack([row, indptr[row] + rank * PIECE_EDGES], axis=1).astype(indices.dtype)


def edge_ids_of(view: View) -> np.ndarray:
    indices, edge_ids = view[1:]
    return np.arange(indices.size) if edge_ids is None else edge_ids


def repeats(view: View) -> np.ndarray:
    """Return for each position of a view whether it repeats the edge before it."""
    indptr, indices, _ = view
    repeated = np.zeros(indices.size, dtype=bool)
    repeated[1:] = indices[1:] == indices[:-1]
    repeated[indptr[:-1][np.diff(indptr) > 0]] = False  # a row's first edge repeats nothing
    return repeated


def refuse_duplicate(by_dst: View, repeated: np.ndarray) -> NoReturn:
    edge_ids, positions = edge_ids_of(by_dst), np.flatnonzero(repeated)
    position = positions[np.argmin(edge_ids[positions])]
    first, second = int(edge_ids[position - 1]), int(edge_ids[position])
    src = int(by_dst[1][position])
    dst = int(np.searchsorted(by_dst[0], position, side="right")) - 1
    raise ValueError(
        f"edge {src} -> {dst} is given twice (edges {first} and {second}). "
        'Pass duplicates="merge" for one weight, or duplicates="keep" for two.'
    )
