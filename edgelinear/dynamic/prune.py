"""`Prune`: the smallest weights go, little by little."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from edgelinear.dynamic.schedule import Change, Schedule, as_steps, magnitudes
from edgelinear.dynamic.smallest import smallest, smallest_of_each


class Prune(Schedule):
    """Gradual pruning: edges with the smallest weights in size go, until a fraction is gone.

    Of the edges that there are when the schedule begins, a part of
    `fraction * (1 - (1 - (step - start) / (until - start))**3)` is gone after an update: Zhu and
    Gupta 2017 (arXiv 1710.01878). None come back.

    Args:
        model: its EdgeLinear, EdgeNetwork and EdgeRNN modules change.
        optimizer: what trains them; its state follows the edges.
        fraction: the part of the edges of a layer that is gone at the end, rounded down.
        every: steps from one update to the next.
        until: the step of the last update.
        start: the step after which updates begin.
        schedule: "cubic", "linear" or "cosine", from none at `start` to the fraction at `until`.
        per: "layer", or "target" where each target loses this part of its own edges.
        skip, generator, group: as in `SET`. Nothing is drawn.

    Raises:
        TypeError, ValueError: if something does not fit; the message says what would.

    Example:
        >>> layer = EdgeLinear.from_linear(nn.Linear(20, 10))
        >>> optimizer = torch.optim.Adam(layer.parameters())
        >>> schedule = el.dynamic.Prune(layer, optimizer, fraction=0.9, every=2, until=10)
        >>> for x in torch.randn(10, 5, 20):
        ...     optimizer.zero_grad()
        ...     layer(x).square().sum().backward()
        ...     optimizer.step()
        ...     edges = schedule.step()
        >>> [update.num_edges for update in schedule.history]
        [200, 113, 59, 32, 22, 20]
    """

    _grows = False

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        fraction: float = 0.9,
        every: int = 100,
        until: int,
        start: int = 0,
        schedule: str = "cubic",
        per: str = "layer",
        skip: Iterable[str] = (),
        generator: torch.Generator | None = None,
        group: Any = None,
    ) -> None:
        if isinstance(model, DistributedDataParallel):
            raise ValueError(
                "`model` must not be a DistributedDataParallel, which has memory for as many "
                "gradients as there were edges when it was made: pass its `.module`, and make it "
                "anew after each step that changed something (`if schedule.step(): ...`)."
            )
        self.start = as_steps("start", start, 0)
        if as_steps("until", until) <= self.start:
            raise ValueError(f"`until` must be after `start`, got {until} and {start}.")
        if schedule == "constant":
            raise ValueError('`schedule` must go from none to all, got "constant": use "cubic".')
        super().__init__(
            model,
            optimizer,
            fraction=fraction,
            every=every,
            until=until,
            schedule=schedule,
            per=per,
            skip=skip,
            generator=generator,
            group=group,
        )
        self._first = {
            name: layer.topology.fan_in.cpu().long() for name, layer in self.layers.items()
        }

    def _is_due(self, step: int) -> bool:
        assert self.until is not None
        since = step - self.start
        return step == self.until or (
            0 < since < self.until - self.start and since % self.every == 0
        )

    def _part_gone(self) -> float:
        return self.fraction * (1 - self._left(self.steps, self.start))

    def _changes(self) -> dict[str, Change]:
        changes = {}
        for name, layer in self.layers.items():
            sizes = magnitudes(name, layer)
            first = self._first[name].numpy()
            if self.per == "target":
                gone = first - layer.topology.fan_in.cpu().numpy()
                count = (self._part_gone() * first).astype(np.int64) - gone
                dst = layer.topology.dst.cpu().numpy()
                goes = smallest_of_each(sizes, dst, count)
            else:
                gone = first.sum() - layer.num_edges
                goes = smallest(sizes, max(0, int(self._part_gone() * first.sum()) - int(gone)))
            changes[name] = Change(~goes, np.zeros((2, 0), np.int64))
        return changes

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"first": list(self._first.values())}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self._first = dict(zip(self._first, state["first"], strict=True))

    def _progress(self) -> str:
        return f"{self.schedule}, now {self._part_gone():.3g}"
