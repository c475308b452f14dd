"""Rows in order over the processes of a group, by a sample sort.

Rows are columns of one length: keys first, by which they are ordered, then what goes with them.
Each process holds little more than its own: blocks are sent to their owners as they are read.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from edgelinear.parallel.agreement import together
from edgelinear.topology.digests import all_gather, device_of

Columns = list[np.ndarray]

_SAMPLE = 4096  # keys of a process among which the splitters are chosen
_OF_A_BLOCK = 1024  # keys of a block among which these are chosen
_MORE, _DONE, _FAILED = range(3)


class Sample:
    """Keys of blocks, drawn at random, and the number of rows that each stands for."""

    def __init__(self) -> None:
        self.rows = 0
        self._keys: list[np.ndarray] = []
        self._weights: list[np.ndarray] = []

    def take(self, keys: Columns) -> None:
        """Draw from the keys of a block."""
        number = keys[0].size
        size = min(number, _OF_A_BLOCK)
        at = np.random.default_rng(len(self._keys)).permutation(number)[:size]
        self._keys.append(np.stack([key[at] for key in keys]))
        self._weights.append(np.full(size, number / max(1, size)))
        self.rows += number

    def drawn(self, height: int) -> np.ndarray:  # (height, up to _SAMPLE)
        """Return keys of which each stands for as many rows of this process."""
        if self.rows == 0:
            return np.empty((height, 0), dtype=np.int64)
        keys = np.concatenate(self._keys, axis=1)
        order = order_of(list(keys))
        until = np.cumsum(np.concatenate(self._weights)[order])
        size = min(_SAMPLE, order.size)
        middles = (np.arange(size) + 0.5) * (until[-1] / size)
        return keys[:, order[np.searchsorted(until, middles)]]


def splitters_of(sample: Sample, height: int, group: Any) -> tuple[np.ndarray, int]:
    """Return the keys between which the rows of each process lie, and how many it may expect.

    (processes - 1, height): all get about as many.
    """
    drawn = sample.drawn(height)
    shapes = gathered(np.array([drawn.shape[1], sample.rows]), group)
    most = max(1, int(shapes[:, 0].max()))
    padded = np.zeros((height, most), dtype=np.int64)
    padded[:, : drawn.shape[1]] = drawn
    found = gathered(padded.reshape(-1), group).reshape(-1, height, most)
    keys = np.concatenate([one[:, :n] for one, (n, _) in zip(found, shapes, strict=True)], axis=1)
    weights = np.concatenate([np.full(n, rows / max(1, n)) for n, rows in shapes])
    order = order_of(list(keys))
    if order.size == 0:
        return np.zeros((len(found) - 1, height), dtype=np.int64), 0
    until = np.cumsum(weights[order])
    shares = np.arange(1, len(found)) * (until[-1] / len(found))
    chosen = order[np.searchsorted(until, shares).clip(max=order.size - 1)]
    return keys[:, chosen].T, int(shapes[:, 1].sum()) // len(found)


def sorted_over(
    blocks: Callable[[], Iterable[Columns]], height: int, dtypes: list[np.dtype], group: Any
) -> Columns:
    """Return the rows of this process: those of all are then in order, by their first columns.

    All processes call it together. Rows of one key come to one process.

    Args:
        blocks: what reads the rows, block by block; it is called twice.
        height: how many columns are keys.
        dtypes: of all columns.
    """

    def sampled() -> Sample:
        sample = Sample()
        for block in blocks():
            sample.take(block[:height])
        return sample

    splitters, expected = splitters_of(together([group], sampled), height, group)
    columns = _dealt(blocks(), splitters, _Kept(dtypes, expected + expected // 8), group)
    order = order_of(columns[:height])
    for i, column in enumerate(columns):
        columns[i] = column[order]
    return columns


def _dealt(blocks: Iterable[Columns], splitters: np.ndarray, kept: "_Kept", group: Any) -> Columns:
    """Send each row to its process as it is read, and return those that come here."""
    height = splitters.shape[1]
    size = dist.get_world_size(group)
    reading: Iterator[Columns] = iter(blocks)
    state, error = _MORE, None
    while True:
        block = None
        if state == _MORE:
            try:
                block = next(reading, None)
                state = _MORE if block is not None else _DONE
            except Exception as caught:
                state, error = _FAILED, caught
        if block is None:
            block = [np.empty(0, dtype) for dtype in kept.dtypes]
        order = order_of(block[:height])
        block = [column[order] for column in block]
        cuts = _cuts(block[:height], splitters)
        sent = np.diff(cuts)
        states = np.stack([sent, np.full(size, state)], axis=1).reshape(-1)
        each = [2] * size
        came = exchanged(states, each, each, group).reshape(-1, 2)
        if (came[:, 1] == _FAILED).any():
            together([group], partial(_raise, error))
        if (came[:, 1] == _DONE).all():
            return kept.columns()
        counts = sent.tolist(), came[:, 0].tolist()
        kept.append([exchanged(column, *counts, group) for column in block])


def _raise(error: Exception | None) -> None:
    if error is not None:
        raise error


class _Kept:
    """Columns that grow in place: memory that is not written to yet costs nothing."""

    def __init__(self, dtypes: list[np.dtype], expected: int) -> None:
        self.dtypes = dtypes
        self._size = 0
        self._memory = [np.empty(expected, dtype) for dtype in dtypes]

    def append(self, columns: Columns) -> None:
        stop = self._size + columns[0].size
        for i, column in enumerate(columns):
            memory = self._memory[i]
            if stop > memory.size:
                grown = np.empty(max(stop, memory.size + memory.size // 4), memory.dtype)
                grown[: self._size] = memory[: self._size]
                memory = self._memory[i] = grown
            memory[self._size : stop] = column
        self._size = stop

    def columns(self) -> Columns:
        return [memory[: self._size] for memory in self._memory]


def balanced(columns: Columns, ends: Callable[[int], list[tuple[int, int]]], group: Any) -> Columns:
    """Return the rows of this process by position: rows in order go where their part begins.

    Args:
        ends: of the number of all rows, where the part of each process begins and ends.
    """
    first, total = placed(columns[0].size, group)
    bounds = ends(total)
    last = first + columns[0].size
    firsts = gathered(np.array([first, last]), group)
    sent = [_overlap(first, last, *part) for part in bounds]
    mine = bounds[dist.get_rank(group)]
    came = [_overlap(int(a), int(b), *mine) for a, b in firsts]
    for i, column in enumerate(columns):
        columns[i] = exchanged(column, sent, came, group)
    return columns


def placed(number: int, group: Any) -> tuple[int, int]:
    """Return how many rows come before those of this process, and how many there are."""
    counts = gathered(np.array([number]), group)[:, 0]
    return int(counts[: dist.get_rank(group)].sum()), int(counts.sum())


def _overlap(a: int, b: int, start: int, stop: int) -> int:
    return max(0, min(b, stop) - max(a, start))


def exchanged(column: np.ndarray, sent: list[int], came: list[int], group: Any) -> np.ndarray:
    """Return what the others send of a column, by rank."""
    device = device_of(group)
    out = torch.from_numpy(np.ascontiguousarray(column)).to(device)
    into = torch.empty(sum(came), dtype=out.dtype, device=device)
    dist.all_to_all_single(into, out, list(came), list(sent), group=group)
    return into.cpu().numpy()


def gathered(row: np.ndarray, group: Any) -> np.ndarray:  # (processes, number)
    """Return the numbers of all processes, a row each."""
    mine = torch.from_numpy(row).to(device_of(group))
    found = mine.new_empty(dist.get_world_size(group) * mine.numel())
    all_gather(found, mine, group)
    return found.cpu().numpy().reshape(-1, row.size)


def order_of(keys: Columns) -> np.ndarray:
    """Return the stable order by the first key, then by the next ones; none is negative."""
    if keys[0].size == 0:
        return np.empty(0, dtype=np.int64)
    sizes = [int(key.max()) + 1 for key in keys]
    if np.prod([float(size) for size in sizes]) >= 2**62:
        return np.lexsort(keys[::-1])
    cell = keys[0]
    for key, size in zip(keys[1:], sizes[1:], strict=True):
        cell = cell * size + key
    return np.argsort(cell, kind="stable")


def _cuts(keys: Columns, splitters: np.ndarray) -> np.ndarray:  # (parts + 1,)
    """Return where rows in order begin to be those of each part."""
    cuts = [0]
    for splitter in splitters:
        low, high = 0, keys[0].size
        for key, value in zip(keys, splitter, strict=True):
            rows = key[low:high]
            low, high = (
                low + int(np.searchsorted(rows, value)),
                low + int(np.searchsorted(rows, value, side="right")),
            )
        cuts.append(low)
    return np.array([*cuts, keys[0].size])
