"""`SET`: random new edges."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from edgelinear.dynamic.exchange import Exchange


class SET(Exchange):
    """Sparse evolutionary training: the smallest weights go, and random new edges come.

    Every so many steps, each layer drops a fraction of its edges, those with the smallest weights
    in size, and grows as many, drawn uniformly from those that are missing then: Mocanu et al. 2018
    (arXiv 1707.04780), who drop the fraction among positive and among negative weights apart. As in
    their code, what was dropped may be drawn again, and starts anew.

    An EdgeNetwork grows edges from a lower level to a higher one, as levels were when the schedule
    began, and an EdgeRNN anywhere but into clamped inputs. With `el.rules.fix_signs`, new edges
    come out of sources that have edges of one sign; others keep theirs.

    Args:
        model: its EdgeLinear, EdgeNetwork and EdgeRNN modules change.
        optimizer: what trains them; its state follows the edges.
        fraction: the part of the edges of a layer that an update drops, rounded down.
        every: steps from one update to the next.
        until: the step at which updates end. Without it they go on, with the whole fraction.
        schedule: how the fraction falls from its value to 0 at `until`: "cosine", "linear" or
            "cubic", or "constant" where it does not.
        grow: "random", or "gradient" for missing edges with the largest gradients, as in RigL.
        per: "layer", or "target" where each target grows as many edges as it loses, so that its
            fan-in stays. Edges are dropped by their rank in the layer in both cases, as in SRigL,
            Lasby et al. 2024 (arXiv 2305.02299).
        weight: what new edges start at: a number, or "init" for a draw by the fan-in of their
            target.
        candidates: see RigL.
        skip: names of modules of the model that are left out.
        generator: of the CPU; draws of all updates. Its state is in `state_dict`.
        group: processes that train one model, as `torch.distributed.group.WORLD`: they compare each
            update, and draw from one seed. That of the model itself where it is a
            `DistributedDataParallel`.

    Raises:
        TypeError, ValueError: if something does not fit; the message says what would.

    Example:
        >>> layer = EdgeLinear.from_topology(el.generators.fixed_fan_in(20, 10, fan_in=4))
        >>> optimizer = torch.optim.Adam(layer.parameters())
        >>> schedule = el.dynamic.SET(layer, optimizer, every=2, until=8)
        >>> for x in torch.randn(10, 5, 20):
        ...     optimizer.zero_grad()
        ...     layer(x).square().sum().backward()
        ...     optimizer.step()
        ...     edges = schedule.step()
        >>> schedule
        SET(step=10, until=8, updates=3, every=2, fraction=0.3 (cosine, now 0), per=layer, ...)
        >>> layer.num_edges
        40
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        fraction: float = 0.3,
        every: int = 100,
        until: int | None = None,
        schedule: str = "cosine",
        grow: str = "random",
        per: str = "layer",
        weight: Any = "init",
        candidates: int | None = None,
        skip: Iterable[str] = (),
        generator: torch.Generator | None = None,
        group: Any = None,
    ) -> None:
        super().__init__(
            model,
            optimizer,
            fraction=fraction,
            every=every,
            until=until,
            schedule=schedule,
            grow=grow,
            per=per,
            weight=weight,
            candidates=candidates,
            skip=skip,
            generator=generator,
            group=group,
        )
