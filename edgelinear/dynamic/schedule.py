"""`Schedule`: what all schedules share: when they change the wiring, and what is saved of them."""

import math
import numbers
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from edgelinear.dynamic.choice import layers_of, shown
from edgelinear.layers.module import EdgeModule
from edgelinear.rewiring.processes import check_same
from edgelinear.rewiring.rewire import Plan, commit, planned
from edgelinear.topology import EdgeMap

# Of each schedule, what is left of its fraction when a part of the time has gone by.
SCHEDULES = {
    "cosine": lambda part: (1 + math.cos(math.pi * part)) / 2,
    "linear": lambda part: 1 - part,
    "cubic": lambda part: (1 - part) ** 3,
    "constant": lambda part: 1.0,
}
PER = ("layer", "target")


class Update(NamedTuple):
    """What became of a layer in an update, or how it was when the schedule began.

    Example:
        >>> layer = EdgeLinear.from_topology(el.generators.fixed_fan_in(20, 10, fan_in=4))
        >>> optimizer = torch.optim.Adam(layer.parameters())
        >>> el.dynamic.SET(layer, optimizer, every=2).history[0]
        Update(step=0, layer='', dropped=0, grown=0, num_edges=40, fan_in=(4.0, 4.0, 4.0, 4.0, 4.0))
    """

    step: int
    layer: str
    dropped: int
    grown: int
    num_edges: int
    fan_in: tuple[float, ...]  #: minimum, quartiles and maximum over targets


class Change(NamedTuple):
    """What is to become of the edges of a layer."""

    keep: np.ndarray  # (num_edges,) bool
    add: np.ndarray  # (2, number)


class Schedule(ABC):
    """Changes of the wiring of a model while it trains, in some of its steps.

    `history` has an `Update` for each layer and update, `layers` the layers by their names.
    """

    history: list[Update]
    _grows = True

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        fraction: float,
        every: int,
        until: int | None,
        schedule: str,
        per: str,
        skip: Iterable[str],
        generator: torch.Generator | None,
        group: Any,
    ) -> None:
        self.fraction = _as_fraction(fraction)
        self.every = as_steps("every", every)
        self.until = None if until is None else as_steps("until", until)
        self.schedule = one_of("schedule", schedule, tuple(SCHEDULES))
        self.per = one_of("per", per, PER)
        self.optimizer = optimizer
        if group is None and isinstance(model, DistributedDataParallel):
            group = model.process_group
        self.group = group
        self.layers = layers_of(model, optimizer, skip, grows=self._grows)
        self.steps = 0
        self.updates = 0
        self._waits = False  # whether an update that is due could not be made as yet
        self._generator = _as_generator(generator, group)
        self.history = [self._update(name, 0, 0) for name in self.layers]

    @abstractmethod
    def _is_due(self, step: int) -> bool:
        """Whether the wiring is to change in this step."""

    @abstractmethod
    def _changes(self) -> dict[str, Change] | None:
        """Return what is to become of each layer, or None where this step cannot tell."""

    @torch.no_grad()
    def step(self) -> dict[str, EdgeMap]:
        """Count a step, change the wiring if it is time, and return which old edge each one is.

        To be called after each `optimizer.step()`. Layers that do not change are not in what comes
        back. Whatever else has an entry an edge, as an average of the weights, follows the maps.

        Raises:
            ValueError, RuntimeError: if the wiring cannot change; the message says why, and nothing
                has changed, the count of steps included.
        """
        step = self.steps + 1
        if not self._is_due(step):
            self.steps = step
            self._prepare()
            return {}
        state, self.steps = self._generator.get_state(), step
        try:
            plans = self._plans()
        except BaseException:
            self._generator.set_state(state)
            self.steps = step - 1
            raise
        self._waits = plans is None
        if plans is None:
            self._generator.set_state(state)
            self._prepare()
            return {}
        self.updates += 1
        found = {}
        for name, layer in self.layers.items():
            dropped = grown = 0
            if name in plans:
                before, grown = layer.num_edges, len(plans[name].change.added)
                found[name] = commit(layer, plans[name])
                dropped = before + grown - layer.num_edges
            self.history.append(self._update(name, dropped, grown))
        self._prepare()
        return found

    def _plans(self) -> dict[str, Plan] | None:
        """Return what is to be done, the same in all processes, before any of it is."""
        plans = {}
        try:
            changes = self._changes()
            for name, change in ({} if changes is None else changes).items():
                plan = self._planned(self.layers[name], change)
                if plan is not None:
                    plans[name] = plan
        except (TypeError, ValueError) as error:
            if self.group is not None:
                check_same(self.group, repr(error))  # or the others would wait
            raise
        if self.group is not None:
            check_same(self.group, tuple(t for plan in plans.values() for t in plan.said))
        return None if changes is None else plans

    def _planned(self, layer: EdgeModule, change: Change) -> Plan | None:
        add = torch.from_numpy(change.add)
        start = (self._start(), None, None)
        keep = torch.from_numpy(change.keep)
        return planned(layer, keep, add, start, self.optimizer, self._generator)

    def _start(self) -> Any:
        """Return what new edges start at."""
        return 0.0

    def _prepare(self) -> None:  # noqa: B027
        """Get ready for the next step, if there is anything to do."""

    def _left(self, step: int, start: int = 0) -> float:
        """Return what is left of the fraction, from 1 down."""
        if self.until is None:
            return 1.0
        part = (step - start) / (self.until - start)
        return SCHEDULES[self.schedule](min(max(part, 0.0), 1.0))

    def _update(self, name: str, dropped: int, grown: int) -> Update:
        topology = self.layers[name].topology
        fan_in = topology.fan_in.cpu().numpy()
        spread = np.quantile(fan_in, [0, 0.25, 0.5, 0.75, 1]) if fan_in.size else np.zeros(5)
        shape = tuple(spread.tolist())
        return Update(self.steps, name, dropped, grown, topology.num_edges, shape)

    def history_of(self, name: str) -> list[Update]:
        """Return what became of a layer, from the beginning on."""
        return [update for update in self.history if update.layer == name]

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` goes on from: counts, history, and the state of draws.

        Wirings, weights and the state of the optimizer are in their own state dicts.
        """
        return {
            "steps": self.steps,
            "updates": self.updates,
            "waits": self._waits,
            "generator": self._generator.get_state(),
            "history": [tuple(update) for update in self.history],
            "wirings": [layer.topology.digest for layer in self.layers.values()],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state, in a model and an optimizer that have theirs already.

        Raises:
            ValueError: if the state is that of other layers or another schedule, or the model has
                another wiring. Nothing is changed then.
        """
        missing = self.state_dict().keys() - state.keys()
        if missing:
            raise ValueError(
                f"`state` must be that of a {type(self).__name__}, and has no {min(missing)!r}."
            )
        if len(state["wirings"]) != len(self.layers):
            raise ValueError(
                f"`state` is that of {len(state['wirings'])} layers, got a model with "
                f"{len(self.layers)}."
            )
        for (name, layer), digest in zip(self.layers.items(), state["wirings"], strict=True):
            if layer.topology.digest != digest:
                raise ValueError(
                    f"{shown(name)} has another wiring than when `state` was saved: load the model "
                    "first, after `el.adopt_wiring(model, ...)`, and make optimizer and schedule "
                    "then."
                )
        self._generator.set_state(state["generator"].cpu())
        self.steps, self.updates = state["steps"], state["updates"]
        self._waits = state["waits"]
        names = list(self.layers)
        before = [update[1] for update in state["history"]][: len(names)]
        renamed = dict(zip(before, names, strict=True))  # as `module.0`, which was `0`
        self.history = [
            Update(step, renamed[layer], dropped, grown, num_edges, tuple(spread))
            for step, layer, dropped, grown, num_edges, spread in state["history"]
        ]
        self._prepare()

    def __repr__(self) -> str:
        edges = sum(layer.num_edges for layer in self.layers.values())
        until = "" if self.until is None else f", until={self.until}"
        grown = sum(update.grown for update in self.history)
        dropped = sum(update.dropped for update in self.history)
        return (
            f"{type(self).__name__}(step={self.steps}{until}, updates={self.updates}, "
            f"every={self.every}, fraction={self.fraction:g} ({self._progress()}), per={self.per}, "
            f"layers={len(self.layers)}, edges={edges}, dropped={dropped}, grown={grown})"
        )

    def _progress(self) -> str:
        return f"{self.schedule}, now {self.fraction * self._left(self.steps):.3g}"


def one_of(name: str, value: Any, known: tuple[str, ...]) -> str:
    if value not in known:
        names = ", ".join(f'"{each}"' for each in known)
        raise ValueError(f"`{name}` must be one of {names}, got {value!r}.")
    return value


def as_steps(name: str, value: Any, least: int = 1) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"`{name}` must be a number of steps, got {value!r}.")
    if value < least:
        raise ValueError(f"`{name}` must be at least {least}, got {value}.")
    return int(value)


def magnitudes(name: str, layer: EdgeModule) -> np.ndarray:  # (num_edges,)
    """Return the size of each weight.

    Raises:
        ValueError: if one of them is not finite.
    """
    weight = layer.weight.detach()
    sizes = weight.abs().to(torch.promote_types(weight.dtype, torch.float32)).cpu().numpy()
    if not np.isfinite(sizes.max(initial=0.0)):  # which is NaN where one is
        edge = int(np.flatnonzero(~np.isfinite(sizes))[0])
        raise ValueError(
            f"{shown(name)} has the weight {float(weight[edge])} at edge {edge}, which no "
            "magnitude tells from others: the training has diverged, go back to a checkpoint."
        )
    return sizes


def _as_fraction(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"`fraction` must be a number, got {value!r}.")
    fraction = float(value)
    if not 0 <= fraction <= 1:
        raise ValueError(f"`fraction` must be between 0 and 1, got {value}.")
    return fraction


def _as_generator(generator: Any, group: Any) -> torch.Generator:
    """Return the generator given, or else one of a new seed, the same in all processes."""
    if generator is None:
        seed = [int(torch.randint(2**63 - 1, (), device="cpu"))]
        if group is not None:
            dist.broadcast_object_list(seed, group_src=0, group=group)
        return torch.Generator().manual_seed(seed[0])
    if not isinstance(generator, torch.Generator) or generator.device.type != "cpu":
        raise TypeError(
            f"`generator` must be a torch.Generator of the CPU, or None, got {generator!r}: pass "
            "torch.Generator().manual_seed(0), of any seed."
        )
    return generator
