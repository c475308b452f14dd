"""`Exchange`: the smallest weights go, and as many new edges come; what SET and RigL share."""

from typing import Any

import numpy as np
import torch
from torch import nn

from edgelinear.dynamic.choice import shown
from edgelinear.dynamic.gradients import largest, largest_of
from edgelinear.dynamic.room import Room, room_of
from edgelinear.dynamic.schedule import Change, Schedule, as_steps, magnitudes, one_of
from edgelinear.dynamic.smallest import smallest
from edgelinear.dynamic.taps import Taps
from edgelinear.generators._draw import numpy_generator
from edgelinear.layers import EdgeLinear, EdgeNetwork
from edgelinear.layers.module import EdgeModule
from edgelinear.layers.parametrizations import Signed
from edgelinear.rewiring.processes import refuse_together
from edgelinear.topology.numbers import as_numbers

GROW = ("random", "gradient")


class Exchange(Schedule):
    """A schedule that drops a fraction of the edges of each layer, and grows as many."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        grow: str,
        weight: Any,
        candidates: int | None,
        **options: Any,
    ) -> None:
        self.grow = one_of("grow", grow, GROW)
        self.weight = _as_start(weight)
        self.candidates = None if candidates is None else as_steps("candidates", candidates)
        if candidates is not None and grow == "random":
            raise ValueError('`candidates` is for grow="gradient", which compares them.')
        super().__init__(model, optimizer, **options)
        self._levels = {
            name: layer.level.numpy()
            for name, layer in self.layers.items()
            if isinstance(layer, EdgeNetwork)
        }
        for name, layer in self.layers.items():
            self._check(name, layer)
        self._taps = Taps(self.layers.values())
        self._prepare()

    def _check(self, name: str, layer: EdgeModule) -> None:
        """Refuse a layer in which edges cannot be exchanged."""
        room = self._room(name)
        cells = _cells(name, layer, room)
        there = np.sort(cells[cells >= 0])
        twice = there[1:][there[1:] == there[:-1]]
        if twice.size:
            edge = layer._named(*room.edges(twice[:1])[:, 0].tolist())
            raise ValueError(
                f"{shown(name)} has the edge {edge} twice, and which edges are missing counts "
                'pairs of nodes: make it with duplicates="merge", or leave it out by `skip`.'
            )
        if self.grow == "gradient" and not isinstance(layer, EdgeLinear):
            raise ValueError(
                f"{shown(name)} is an {type(layer).__name__}, of whose missing edges no gradient "
                'is known: use grow="random", as `SET` does, or leave it out by `skip`.'
            )
        if self.grow == "gradient" and type(layer).forward is not EdgeLinear.forward:
            raise ValueError(
                f"{shown(name)} is a {type(layer).__name__} with a `forward` of its own, which may "
                "hide the gradients of missing edges: put an EdgeLinear inside of a module that "
                "does the rest."
            )
        if self.weight != "init" and any(isinstance(rule, Signed) for rule in layer.rules):
            raise ValueError(
                f"{shown(name)} has weights of fixed signs, and new ones would not have them or "
                'stay 0: pass weight="init", or leave it out by `skip`.'
            )

    def _is_due(self, step: int) -> bool:
        is_time = step % self.every == 0 or self._waits
        return is_time and (self.until is None or step < self.until)

    def _prepare(self) -> None:
        if self.grow == "gradient" and self._is_due(self.steps + 1):
            self._taps.open()
        else:
            self._taps.close()

    def _start(self) -> Any:
        return self.weight

    def _room(self, name: str) -> Room:
        return room_of(self.layers[name], self._levels.get(name))

    def _changes(self) -> dict[str, Change] | None:
        sizes = self._sizes()
        changes: dict[str, Change] = {}
        for name, layer in self.layers.items():
            change = self._change(name, layer, sizes[name])
            if change is None:
                return None
            changes[name] = change
        return changes

    def _sizes(self) -> dict[str, np.ndarray]:
        """Return the size of each weight, if every process has all that an update needs."""
        refused: Exception | None = None
        try:
            self._check_seen()
            sizes = {name: magnitudes(name, layer) for name, layer in self.layers.items()}
        except (RuntimeError, ValueError) as error:
            refused = error
        if self.group is not None:  # or the others would wait for the gradients of this one
            refuse_together(self.group, refused)
        if refused is not None:
            raise refused
        return sizes

    def _check_seen(self) -> None:
        """Refuse an update by gradient in a step without one."""
        unseen = [name for name, layer in self.layers.items() if not self._taps.has_seen(layer)]
        if self.grow == "gradient" and unseen:
            raise RuntimeError(
                f"{shown(unseen[0])} saw no gradient since the step before: an update by gradient "
                "comes after a forward pass through the module itself, `backward`, and "
                "`optimizer.step()`. `skip` leaves out layers that a step does not use."
            )

    def _change(self, name: str, layer: EdgeModule, sizes: np.ndarray) -> Change | None:
        room = self._room(name)
        cells, dst = _cells(name, layer, room), layer.topology.dst.cpu().numpy()
        may_go = cells >= 0
        if self.per == "target":  # a target with all of its edges has no others to choose from
            fan_in = np.bincount(dst[may_go], minlength=room.width.size)
            may_go &= (fan_in < room.width)[dst]
        if not may_go.all():
            sizes = np.where(may_go, sizes, np.inf)
        number = int(self.fraction * self._left(self.steps) * layer.num_edges)
        keep = ~smallest(sizes, min(number, int(may_go.sum())))
        if keep.all():
            return Change(keep, np.zeros((2, 0), np.int64))
        dropped = np.flatnonzero(~keep)
        taken = cells[keep & (cells >= 0)]
        if (taken[1:] < taken[:-1]).any():
            taken.sort()
        if self.per == "target":
            count = np.bincount(dst[dropped], minlength=room.width.size)
        else:
            count = np.array([dropped.size])
        grown = self._grown(layer, room, taken, count)
        if grown is None:
            return None
        if self.grow == "gradient":  # what is chosen again stays as it is
            again = np.isin(cells[dropped], grown, assume_unique=True)
            grown = np.setdiff1d(grown, cells[dropped], assume_unique=True)
            keep[dropped[again]] = True
        return Change(keep, room.edges(grown))

    def _grown(
        self, layer: EdgeModule, room: Room, taken: np.ndarray, count: np.ndarray
    ) -> np.ndarray | None:
        """Return the cells of edges that come."""
        per_target = self.per == "target"
        if self.grow == "random":
            return room.draw(numpy_generator(self._generator), taken, count, per_target=per_target)
        pairs = self._taps.seen(layer)
        if self.candidates is None:
            return largest(pairs, room, taken, count, self.group, per_target=per_target)
        free = room.free(taken) if per_target else room.free(taken).sum(keepdims=True)
        total = int(count.sum())
        share = -(-count * max(self.candidates, total) // total)  # rounded up
        drawn = np.minimum(free, share)
        random = numpy_generator(self._generator)
        cells = room.draw(random, taken, drawn, per_target=per_target)
        return largest_of(cells, pairs, room, count, self.group, per_target=per_target)

    def state_dict(self) -> dict[str, Any]:
        levels = [torch.from_numpy(level) for level in self._levels.values()]
        return super().state_dict() | {"levels": levels}

    def load_state_dict(self, state: Any) -> None:
        super().load_state_dict(state)
        self._levels = {
            name: level.numpy() for name, level in zip(self._levels, state["levels"], strict=True)
        }


def _cells(name: str, layer: EdgeModule, room: Room) -> np.ndarray:
    """Return the cell of each edge, and -1 where it has none and stays.

    Raises:
        ValueError: if there is every edge that there could be.
    """
    topology = layer.topology
    cells = room.cells(topology.src.cpu().numpy(), topology.dst.cpu().numpy())
    if np.count_nonzero(cells >= 0) == room.first[-1]:
        raise ValueError(
            f"{shown(name)} has all of the {room.first[-1]} edges that it could have, and no other "
            "can come: make it sparser, or leave it out by `skip`."
        )
    return cells


def _as_start(weight: Any) -> Any:
    if isinstance(weight, str):
        if weight != "init":
            raise ValueError(f'`weight` must be a number or "init", got {weight!r}.')
        return weight
    start = as_numbers("`weight`", weight)
    if start.numel() != 1 or start.is_complex() or not bool(start.isfinite().all()):
        raise ValueError(f'`weight` must be one finite number or "init", got {weight!r}.')
    return float(start)
