"""The strongest edges of a stack, and all that they do not touch folded into others."""

from typing import NamedTuple

import numpy as np

from edgelinear.plot._figure import strongest
from edgelinear.plot._stack import Stack

_NODES = 40  # nodes a column at most, where all are shown
_SWEEPS = 8  # of ordering the nodes of a column by where their neighbours stand


class Folded(NamedTuple):
    """Rows, each of them a node or the others of a column, with the strongest edges and bands.

    A band holds all edges but the strongest from one row to another, in the next column.
    """

    whole: bool  # whether all nodes and edges are there by themselves
    node: np.ndarray  # (rows,) or -1, of others
    column: np.ndarray  # (rows,)
    number: np.ndarray  # (rows,) of nodes
    score: np.ndarray  # (rows,) sum of |value| of the edges in; out, in the first column
    place: np.ndarray  # (rows,) in the column, from the top
    edges: np.ndarray  # (strongest,)
    ends: np.ndarray  # (2, strongest) rows
    bands: np.ndarray  # (2, bands) rows
    total: np.ndarray  # (bands,) sum of |value|
    skipping: int  # edges but the strongest that skip columns, which are in no band


def fold(stack: Stack, top: int) -> Folded:
    """Return the picture of the `top` strongest edges: as many into each column as there are."""
    column, columns = stack.column, len(stack.headings)
    edges = strongest(stack.value, top, column[stack.dst])
    widest = np.bincount(column, minlength=1).max()
    whole = bool(stack.src.size <= top and widest <= _NODES)
    shown = np.full(column.size, whole)
    shown[stack.src[edges]] = shown[stack.dst[edges]] = True
    # Where one alone is left, it takes no more room by its name.
    shown |= (np.bincount(column[~shown], minlength=columns) == 1)[column]

    node = np.flatnonzero(shown)
    left = np.bincount(column[~shown], minlength=columns)
    others = np.flatnonzero(left)
    row = np.empty(column.size, np.int64)
    row[node] = np.arange(node.size)
    row[~shown] = node.size + np.searchsorted(others, column[~shown])
    rows = node.size + others.size
    score = np.bincount(row, _scores(stack), rows)
    number = np.concatenate([np.ones(node.size, np.int64), left[others]])
    node = np.concatenate([node, np.full(others.size, -1)])
    of_row = np.concatenate([column[shown], others])
    ends = row[np.stack([stack.src, stack.dst])]
    key = _heights(of_row, *ends) if whole else np.where(node < 0, np.inf, -score)
    rest = np.ones(stack.src.size, dtype=bool)
    rest[edges] = False
    skips = rest & (column[stack.dst] > column[stack.src] + 1)
    bands, total = _bands(ends, rest & ~skips, stack.value)
    place, skipping = _places(of_row, key), int(skips.sum())
    return Folded(
        whole, node, of_row, number, score, place, edges, ends[:, edges], bands, total, skipping
    )


def _scores(stack: Stack) -> np.ndarray:  # (num_nodes,)
    size, strength = stack.column.size, np.abs(stack.value)
    into = np.bincount(stack.dst, strength, size)
    return np.where(stack.column == 0, np.bincount(stack.src, strength, size), into)


def _bands(
    ends: np.ndarray, chosen: np.ndarray, value: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return what some edges add up to between any two rows."""
    rows = ends.max(initial=0) + 1
    pair, band = np.unique(ends[0, chosen] * rows + ends[1, chosen], return_inverse=True)
    return np.stack(np.divmod(pair, rows)), np.bincount(band, np.abs(value[chosen]), pair.size)


def _places(column: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Return where each row stands in its column, by a key; ties keep their order."""
    order = np.lexsort((key, column))
    place = np.empty(column.size, np.int64)
    place[order] = np.arange(column.size) - np.searchsorted(column[order], column[order])
    return place


def _heights(column: np.ndarray, src: np.ndarray, dst: np.ndarray) -> np.ndarray:  # (rows,)
    """Return heights at which rows stand near to what they are joined to."""
    rows = column.size
    ends, others = np.concatenate([src, dst]), np.concatenate([dst, src])
    number = np.bincount(ends, minlength=rows)
    height = _spread(column, np.arange(rows))
    for _ in range(_SWEEPS):
        mean = np.bincount(ends, height[others], rows) / np.maximum(1, number)
        height = _spread(column, np.where(number > 0, mean, height))
    return height


def _spread(column: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Return heights evenly apart within each column, in the order of a key, centred at 0."""
    return _places(column, key) - (np.bincount(column, minlength=1)[column] - 1) / 2
