"""`RigL`: new edges with the largest gradients."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from edgelinear.dynamic.exchange import Exchange


class RigL(Exchange):
    """The rigged lottery: the smallest weights go, missing edges with the largest gradients come.

    As `SET`, but new edges are those with the largest gradients in size, of all that are missing
    once the smallest weights have gone: Evci et al. 2020 (arXiv 1911.11134). What was dropped may
    be among them, and then stays as it is, with its weight and its state, as in their code; others
    start at 0. Of equal ones the first are taken, by target and source.

    The gradients are those of all backward passes since the step before, summed. In the step of an
    update, and in no other, hooks keep inputs and gradients of outputs, which are `batch *
    (in_features + out_features)` numbers, and compiled models run without their compiled code. The
    gradients of missing edges are computed some two million at a time, in 64 MiB. Where they are
    not finite, as in a step that a GradScaler skips, the update waits for the next step.

    (The paper leaves out the optimizer's step in an update. Here it comes first.)

    Args:
        candidates: how many missing edges of a layer are compared, drawn at random; all by default,
            which takes the time of a dense product of the gradient.
        others: as in `SET`. Of an EdgeNetwork and an EdgeRNN no gradient of missing edges is known.

    Raises:
        TypeError, ValueError: if something does not fit; the message says what would.
        RuntimeError: from `step`, if an update is due and a layer saw no gradient.

    Example:
        >>> model = nn.Sequential(EdgeLinear(4, 2, [(0, 0), (1, 1)], weight=[0.1, 1.0], bias=False))
        >>> optimizer = torch.optim.SGD(model.parameters(), 0.01)
        >>> schedule = el.dynamic.RigL(model, optimizer, fraction=0.5, every=1)
        >>> model(torch.tensor([[1.0, 1.0, 5.0, 1.0]])).sum().backward()
        >>> optimizer.step()
        >>> schedule.step()
        {'0': EdgeMap(num_edges=2, of which new: 1)}
        >>> model[0].edge_index.T.tolist()
        [[2, 0], [1, 1]]
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
        grow: str = "gradient",
        per: str = "layer",
        weight: Any = 0.0,
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
