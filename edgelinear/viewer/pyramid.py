"""The matrix of a wiring in cells: how many edges each has, and the mean of their values."""

from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np

from edgelinear.topology import CSR, Topology
from edgelinear.topology.levels import positions_of

TILE = 256  # cells a side of what is sent at once
BASE = 1024  # cells a side at most of what is made at once, from which all coarser ones follow
_CHUNK = 2**20  # edges whose cells are held at a time
NO_EDGE = 0xFFFFFFFF  # where a cell's first edge is none of those that come first


class Grid(NamedTuple):
    """The cells of a level: how many, and how many nodes each of them spans."""

    rows: int
    columns: int
    row_size: int
    column_size: int


class Shade(NamedTuple):
    """What cells are coloured by: the mean of a value over some of the edges, or their number."""

    label: str
    value: np.ndarray | None = None  # (num_edges,), or None for the number of edges
    edges: np.ndarray | None = None  # (num_edges,) bool: which of them count
    is_signed: bool = False  # or the mean is of sizes

    def of(self, edges: slice | np.ndarray) -> np.ndarray:
        assert self.value is not None
        values = self.value[edges]
        return values if self.is_signed else np.abs(values)


class Tile(NamedTuple):
    """The cells of a tile that have edges."""

    rows: int
    columns: int
    cell: np.ndarray  # uint32: row * columns + column
    value: np.ndarray  # float64
    number: np.ndarray  # uint32: edges
    edge: np.ndarray | None  # int64: the first edge, where a cell is one node by one node


def grids_of(rows: int, columns: int) -> list[Grid]:
    """Return the cells of each level: one tile, and twice as many a side until each is a node."""
    depths = [1 + max(0, -(-size // TILE) - 1).bit_length() for size in (rows, columns)]
    grids = []
    for level in range(max(depths)):
        row_size, column_size = (1 << max(0, depth - 1 - level) for depth in depths)
        grids.append(Grid(-(-rows // row_size), -(-columns // column_size), row_size, column_size))
    return grids


class Pyramid:
    """The edges of a topology in cells, with rows and columns in an order.

    The grid of at most 1,024 cells a side is made of all edges at once, in O(edges), and coarser
    ones of that; finer tiles are made of the edges of their rows or columns, when asked for.
    """

    def __init__(
        self,
        topology: Topology,
        rows: np.ndarray,  # (out_features,): the target that each row shows
        columns: np.ndarray,  # (in_features,): the source that each column shows
        shades: dict[str, Shade],
    ) -> None:
        self.src, self.dst = topology.src.numpy(), topology.dst.numpy()
        self.topology = topology
        self.rows, self.columns = rows, columns
        self.row, self.column = _inverse(rows, self.dst.dtype), _inverse(columns, self.src.dtype)
        self.shades = shades
        self.grids = grids_of(rows.size, columns.size)
        self._made: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
        self._most: dict[tuple[str, int], float] = {}

    @cached_property
    def base(self) -> int:
        """The level of the largest grid that is made at once."""
        fits = [max(grid.rows, grid.columns) <= BASE for grid in self.grids]
        return len(self.grids) - 1 if all(fits) else fits.index(False) - 1

    def numbers(self, key: str, level: int) -> tuple[np.ndarray, np.ndarray]:  # of cells
        """Return the edges and the sum of their values in each cell of a level up to `base`."""
        if key not in self._made:
            found = [self._binned(self.shades[key])]
            for at in range(self.base, 0, -1):
                found.append(tuple(_coarser(part, self.grids[at - 1]) for part in found[-1]))  # type: ignore[arg-type]
            self._made[key] = found[::-1]
        return self._made[key][level]

    def forget(self) -> None:
        """Let go of the cells, which are made again when they are asked for."""
        self._made.clear()

    def _binned(self, shade: Shade) -> tuple[np.ndarray, np.ndarray]:
        grid = self.grids[self.base]
        number = np.zeros(grid.rows * grid.columns, np.int64)
        total = number if shade.value is None else np.zeros(number.size)
        for part in self._chunks(shade):
            cells = self._cells(part, grid)
            number += np.bincount(cells, minlength=number.size)
            if shade.value is not None:
                total += np.bincount(cells, shade.of(part), number.size)
        shape = grid.rows, grid.columns
        return number.reshape(shape), total.reshape(shape)

    def _chunks(self, shade: Shade) -> Iterator[slice | np.ndarray]:
        """Yield the edges that count, some at a time."""
        for start in range(0, self.src.size, _CHUNK):
            part = slice(start, start + _CHUNK)
            yield part if shade.edges is None else start + np.flatnonzero(shade.edges[part])

    def _cells(self, edges: slice | np.ndarray, grid: Grid) -> np.ndarray:
        """Return the cell of each edge in a whole level."""
        row, column = self._places(edges, grid)
        if grid.rows * grid.columns > np.iinfo(np.int32).max:
            row = row.astype(np.int64)
        return row * row.dtype.type(grid.columns) + column

    def _places(self, edges: slice | np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
        """Return the row and the column of cells that each edge is in."""
        return (
            self.row[self.dst[edges]] >> (grid.row_size.bit_length() - 1),
            self.column[self.src[edges]] >> (grid.column_size.bit_length() - 1),
        )

    def most(self, key: str, level: int) -> float:
        """Return the largest value of a level, whatever its sign, and of finite ones alone.

        Below `base` that is a bound: the mean of some values is no larger than the largest.
        """
        if (key, level) not in self._most:
            self._most[key, level] = self._largest(key, level)
        return self._most[key, level]

    def _largest(self, key: str, level: int) -> float:
        shade = self.shades[key]
        if level <= self.base:
            return _largest_of(_mean(*self.numbers(key, level), shade))
        if shade.value is not None:
            return max((_largest_of(shade.of(part)) for part in self._chunks(shade)), default=0.0)
        grid = self.grids[level]
        parts = [self._cells(part, grid) for part in self._chunks(shade)]
        cells = np.sort(np.concatenate([*parts, np.zeros(0, np.int32)]))
        ends = np.flatnonzero(np.diff(cells, prepend=-1, append=-1))
        return float(np.diff(ends).max(initial=0))

    def tile(self, key: str, level: int, row: int, column: int) -> Tile:
        """Return a tile of a level: the one that is `row` down and `column` across.

        Raises:
            ValueError: if there is none.
        """
        grid, shade = self.grid(level), self.shades[key]
        top, left = row * TILE, column * TILE
        bottom, right = min(top + TILE, grid.rows), min(left + TILE, grid.columns)
        if not (0 <= top < max(1, grid.rows) and 0 <= left < max(1, grid.columns)):
            raise ValueError(f"there is no tile at row {row} and column {column} of level {level}.")
        shape = bottom - top, right - left
        is_deepest = grid.row_size == grid.column_size == 1
        if level <= self.base and not is_deepest:
            parts = (part[top:bottom, left:right] for part in self.numbers(key, level))
            number, total = (part.reshape(-1) for part in parts)
            return _tile(shape, number, total, shade, None)
        edges = self.edges_in(
            (top * grid.row_size, bottom * grid.row_size),
            (left * grid.column_size, right * grid.column_size),
        )
        if shade.edges is not None:
            edges = edges[shade.edges[edges]]
        places = self._places(edges, grid)
        cells = (places[0].astype(np.int64) - top) * shape[1] + (places[1] - left)
        size = shape[0] * shape[1]
        number = np.bincount(cells, minlength=size)
        total = number
        if shade.value is not None:
            total = np.bincount(cells, shade.of(edges), size)
        first = None
        if is_deepest:
            first = np.zeros(size, np.int64)
            first[cells[::-1]] = edges[
                ::-1
            ]  # of several edges in a cell, the first is written last
        return _tile(shape, number, total, shade, first)

    def grid(self, level: int) -> Grid:
        """Return the cells of a level.

        Raises:
            ValueError: if there is none.
        """
        if not 0 <= level < len(self.grids):
            raise ValueError(f"there is no level {level}: this matrix has {len(self.grids)}.")
        return self.grids[level]

    def edges_in(self, rows: tuple[int, int], columns: tuple[int, int]) -> np.ndarray:
        """Return the edges of a window, from a first row up to a last one, in ascending order."""
        by_dst, by_src = self.topology.by_dst, self.topology.by_src
        targets, sources = self.rows[slice(*rows)], self.columns[slice(*columns)]
        if degree(by_src, sources) < degree(by_dst, targets):
            edges, targets_of = edges_at(by_src, sources)
            inside = _within(self.row[targets_of], rows)
        else:
            edges, sources_of = edges_at(by_dst, targets)
            inside = _within(self.column[sources_of], columns)
        return np.sort(edges[inside])


def degree(csr: CSR, nodes: np.ndarray) -> int:
    """Return how many edges some rows of a CSR have together."""
    indptr = csr.indptr.numpy()
    return int((indptr[nodes + 1].astype(np.int64) - indptr[nodes]).sum())


def edges_at(csr: CSR, nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the edges of some rows of a CSR, one row after the other, and their other ends."""
    places = positions_of(csr.indptr.numpy(), nodes)
    edges = places if csr.edge_ids is None else csr.edge_ids.numpy()[places].astype(np.int64)
    return edges, csr.indices.numpy()[places]


def _within(places: np.ndarray, bounds: tuple[int, int]) -> np.ndarray:
    return (places >= bounds[0]) & (places < bounds[1])


def _inverse(order: np.ndarray, dtype: np.dtype) -> np.ndarray:
    place = np.empty(order.size, dtype)
    place[order] = np.arange(order.size, dtype=dtype)
    return place


def _coarser(cells: np.ndarray, grid: Grid) -> np.ndarray:
    """Return the sums of cells of which two or one a side are one of a grid."""
    for axis, size in enumerate((grid.rows, grid.columns)):
        if cells.shape[axis] > size:
            cells = np.add.reduceat(cells, np.arange(0, cells.shape[axis], 2), axis)
    return cells


def _mean(number: np.ndarray, total: np.ndarray, shade: Shade) -> np.ndarray:
    return total if shade.value is None else total / np.maximum(number, 1)


def _largest_of(values: np.ndarray) -> float:
    found = np.abs(values)
    return float(found.max(initial=0, where=np.isfinite(found)))


def _tile(
    shape: tuple[int, int],
    number: np.ndarray,
    total: np.ndarray,
    shade: Shade,
    first: np.ndarray | None,
) -> Tile:
    cell = np.flatnonzero(number)
    number, total = number[cell], total[cell]
    return Tile(
        *shape,
        cell.astype(np.uint32),
        _mean(number, total, shade).astype(np.float64),
        number.astype(np.uint32),
        None if first is None else first[cell],
    )
