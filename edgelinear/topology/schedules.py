"""In which order kernels take the edges of a view: runs and bands on a CPU, pieces on a GPU."""

import numpy as np

BLOCK_COLUMNS = 128  # in the first-level cache at once: 32 KiB at 64 samples of float32
GROUP_ROWS = 64  # that pass over a block before the next one is fetched; the same in kernels.h
RUN_EDGES = 8  # of a run on average, below which runs do not pay

BANDS = 64  # of columns, which are joined into a few blocks for each thread
BAND_EDGES = 1 << 17  # of a view, up to which bands do not pay
BAND_DEGREE = 16  # edges for each row and column, likewise

PIECE_EDGES = 1024  # of a long row; the order of sums on a GPU follows from it
FEW_ROWS = 256  # that no order pays for
SIDE_BY_SIDE = 4  # rows that a program of a GPU takes at once
WINDOW_ROWS = 4096  # that are ordered by length among themselves: neighbours stay in the cache


def runs_of(
    indptr: np.ndarray,  # (rows + 1,)
    indices: np.ndarray,  # (num_edges,)
    columns: int,
) -> np.ndarray | None:  # (num_runs, 3)
    """Return the runs of a view, or None where they do not pay.

    A run is a row, its first position and its length: the edges of the row whose columns lie in one
    block. Runs are in order of groups of rows, then of blocks, then of length. They pay where rows
    are dense; and as a group is the work of one thread, there must be many, and much alike.
    """
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


def bands_of(
    indptr: np.ndarray,  # (columns + 1,): of the edges grouped by column
    rows: int,
) -> np.ndarray | None:  # (BANDS + 1,)
    """Return where bands of columns begin that have about as many edges, or None for none.

    Where edges are in the order of rows, a walk by column meets their weights all over memory. With
    bands, a walk by row adds to the columns instead, to one block of them after another. It pays
    where edges are many; and a column is the work of one thread, so none may have too many.
    """
    columns, edges = indptr.size - 1, int(indptr[-1])
    if edges <= max(BAND_EDGES, BAND_DEGREE * (rows + columns)):
        return None
    if np.diff(indptr).max() > edges // BANDS:
        return None
    bands = np.searchsorted(indptr, np.linspace(0, edges, BANDS + 1).astype(np.int64))
    bands[0], bands[-1] = 0, columns
    return bands.astype(indptr.dtype)


def pieces_of(indptr: np.ndarray) -> np.ndarray | None:  # (num_pieces, 2)
    """Return the pieces of rows of more than PIECE_EDGES edges, or None where there are none.

    A piece is a row and a first position. One program of a GPU sums it, so that no row keeps the
    others waiting.
    """
    counts = np.diff(indptr)
    (rows,) = np.nonzero(counts > PIECE_EDGES)
    if rows.size == 0:
        return None
    number = -(-counts[rows] // PIECE_EDGES)
    row = np.repeat(rows, number)
    rank = np.arange(row.size) - np.repeat(np.cumsum(number) - number, number)
    return np.stack([row, indptr[row] + rank * PIECE_EDGES], axis=1).astype(indptr.dtype)


def order_of(indptr: np.ndarray) -> np.ndarray | None:  # (rows,)
    """Return rows so that neighbours are as long as each other, or None where they are already.

    Programs of a GPU take some rows side by side, 16 edges of each at a time, and all wait for the
    longest among them.
    """
    counts = np.diff(indptr)
    if counts.size < FEW_ROWS or indptr[-1] < counts.size:  # or most rows have no edge
        return None
    rounds = -(-counts // 16)
    full = rounds[: rounds.size // SIDE_BY_SIDE * SIDE_BY_SIDE].reshape(-1, SIDE_BY_SIDE)
    if SIDE_BY_SIDE * full.max(axis=1, initial=0).sum() <= 1.1 * full.sum():
        return None
    rows = np.arange(counts.size)
    return np.lexsort((-counts, rows // WINDOW_ROWS)).astype(indptr.dtype)
