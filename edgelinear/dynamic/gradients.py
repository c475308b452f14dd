"""The missing edges with the largest gradients, without a matrix of all of them.

That of an edge s -> t, there or not, is the sum over the batch of `gradient[n, t] * x[n, s]` (Evci
et al. 2020, arXiv 1911.11134).
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from edgelinear import ops
from edgelinear.dynamic.room import Room
from edgelinear.dynamic.smallest import smallest, smallest_of_each
from edgelinear.topology import Topology

_BLOCK = 2**21  # gradients at a time: with masks, positions and what is sorted within 64 MiB

Pairs = list[tuple[Tensor, Tensor]]  # inputs and gradients of outputs, (batch, features)


def largest(
    pairs: Pairs, room: Room, taken: np.ndarray, count: np.ndarray, group: Any, *, per_target: bool
) -> np.ndarray | None:
    """Return the free cells whose gradients are the largest in size, ascending.

    Of equal ones the first are taken. All targets of the room must have the same sources.

    Args:
        taken: cells that are not free, ascending.
        count: how many for each target, or of one number for all together.
        group: processes whose gradients are added up.

    Returns:
        None where gradients are not finite, as in a step that a GradScaler skips.
    """
    chosen = _Chosen(int(count.sum()))
    is_found = pairs[0][0].new_empty(max(_BLOCK, room.sources.size), dtype=torch.bool)
    for first, sizes in _blocks(pairs, room, group):
        if not bool(sizes.amax().isfinite()):
            return None
        start, flat = int(room.first[first]), sizes.view(-1)
        within = np.searchsorted(taken, [start, start + flat.numel()])
        flat[torch.from_numpy(taken[slice(*within)] - start).to(flat.device)] = -1.0
        found = is_found[: flat.numel()]
        if not per_target:
            at = _positions(torch.gt(flat, chosen.bound, out=found))
            chosen.add(_taken(flat, at), start + at)
            continue
        wanted = count[first : first + len(sizes)]
        if wanted.any():
            bound = sizes.kthvalue(sizes.shape[1] - wanted.max() + 1, keepdim=True).values
            at = _positions(torch.ge(sizes, bound, out=found.view_as(sizes)).view(-1))
            values = _taken(flat, at)
            first_ones = smallest_of_each(-values, at // sizes.shape[1], wanted)
            chosen.add(values[first_ones], start + at[first_ones])
    return chosen.cells()


def _positions(mask: Tensor) -> np.ndarray:
    if mask.is_cpu:
        return np.flatnonzero(mask.numpy())  # in a fraction of the time of `nonzero`
    return mask.nonzero()[:, 0].cpu().numpy()


def _taken(values: Tensor, at: np.ndarray) -> np.ndarray:
    return values[torch.from_numpy(at).to(values.device)].cpu().numpy()


def largest_of(
    cells: np.ndarray, pairs: Pairs, room: Room, count: np.ndarray, group: Any, *, per_target: bool
) -> np.ndarray | None:
    """Return which of some cells have the largest gradients, likewise."""
    edges = room.edges(cells)
    order = np.lexsort(edges)
    targets = room.width.size
    topology = Topology(room.place.size, targets, edges[:, order]).to(pairs[0][0].device)
    sums = sum(ops.sddmm(g.contiguous(), x.contiguous(), topology) for x, g in pairs)
    assert isinstance(sums, Tensor)
    if group is not None:
        dist.all_reduce(sums, group=group)
    if not bool(sums.isfinite().all()):
        return None
    sizes = np.empty(cells.size, sums.cpu().numpy().dtype)
    sizes[order] = sums.abs().cpu().numpy()
    chosen = smallest_of_each(-sizes, edges[1], count) if per_target else smallest(-sizes, count[0])
    return cells[chosen]


def _blocks(pairs: Pairs, room: Room, group: Any) -> Iterator[tuple[int, Tensor]]:
    """Yield the first target of some, and the sizes of all their gradients, (targets, sources)."""
    width = room.sources.size
    if width < room.place.size:
        sources = torch.from_numpy(room.sources).to(pairs[0][0].device)
        pairs = [(x[:, sources], gradient) for x, gradient in pairs]
    step, targets = max(1, _BLOCK // max(1, width)), room.width.size if width else 0
    # One memory for all blocks: large ones that come and go leave holes.
    memory = pairs[0][0].new_empty(min(step, targets), width)
    for first in range(0, targets, step):
        total = memory[: targets - first]
        for call, (x, gradient) in enumerate(pairs):
            total.addmm_(gradient[:, first : first + step].T, x, beta=float(call > 0))
        if group is not None:
            dist.all_reduce(total, group=group)
        yield first, total.abs_()


class _Chosen:
    """The cells with the largest sizes of those that were added, in ascending order."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.bound = -0.5  # what an added one must be above: all sizes are 0 at least
        self._parts: list[tuple[np.ndarray, np.ndarray]] = []
        self._number = 0

    def add(self, sizes: np.ndarray, cells: np.ndarray) -> None:
        self._parts.append((sizes, cells))
        self._number += cells.size
        if self._number > self.count + _BLOCK // 4:
            self._reduce()

    def cells(self) -> np.ndarray:
        self._reduce()
        return self._parts[0][1]

    def _reduce(self) -> None:
        sizes, cells = (np.concatenate(part) for part in zip(*self._parts, strict=True))
        chosen = smallest(-sizes, min(self.count, sizes.size))
        sizes, cells = sizes[chosen], cells[chosen]
        self._parts, self._number = [(sizes, cells)], cells.size
        if 0 < self.count == cells.size:
            self.bound = float(sizes.min())
