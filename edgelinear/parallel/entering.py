"""What enters a layer of many processes: the same on all of them, or refused on all.

Otherwise what moves would have other sizes here than there, and a process would wait for others
that stopped, or read memory that nobody wrote.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

_DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
_REFUSED = -1
_SAMPLED = 1024  # values that are compared
_UNLIKE = 0.1  # of their mean size: how far apart values are that rounding does not explain


def agreed(take: Callable[[], Tensor], group: Any, device: torch.device, trains: bool) -> Tensor:
    """Return what `take` returns here, if it is of as many samples, and of one type, on all.

    All processes of the group call it together. `trains` is whether the weight wants a gradient.

    Raises:
        TypeError, ValueError: what `take` raised here.
        RuntimeError: if it raised elsewhere, or what it returned differs.
    """
    error: Exception | None = None
    here = [_REFUSED] * 3
    try:
        x = take()
        if x.dtype not in _DTYPES:
            raise TypeError(f"`input` must be real floating point, got {x.dtype}.")
        wants = 2 * x.requires_grad + trains if torch.is_grad_enabled() else 0
        here = [math.prod(x.shape[:-1]), _DTYPES.index(x.dtype), wants]
    except (TypeError, ValueError) as caught:
        error = caught
    low, high = _range(here, group, device)
    if error is not None:
        raise error
    if _REFUSED in low:
        raise RuntimeError("another process refused its input: what it raised says why.")
    if low != high:
        raise RuntimeError(_difference(low, high))
    return x


def check_alike(x: Tensor, group: Any) -> None:
    """Refuse whole inputs that are others elsewhere, by some of their values.

    All processes of the group call it together.

    Raises:
        ValueError: if values differ by more than rounding.
    """
    if dist.get_world_size(group) == 1 or x.numel() == 0:
        return
    flat = x.detach().reshape(-1)
    some = flat[:: -(-flat.numel() // _SAMPLED)].double().nan_to_num()
    ends = torch.cat([some, -some])
    dist.all_reduce(ends, dist.ReduceOp.MAX, group=group)
    high, low = ends.split(len(some))
    apart, size = (high + low).mean(), torch.maximum(high.abs(), low.abs()).mean()
    if apart > _UNLIKE * size:
        raise ValueError(
            "`input` must be the same on all processes that share the edges, as `input_layouts` is "
            "Replicate(), and other processes have other values: draw samples by one seed, and "
            "leave out a DistributedSampler, or give processes samples of their own along another "
            "axis of the mesh."
        )


def _range(here: list[int], group: Any, device: torch.device) -> tuple[list[int], list[int]]:
    """Return the smallest and the largest of each number on all processes."""
    if dist.get_world_size(group) == 1:
        return here, here
    numbers = torch.tensor(here, device=device)
    ends = torch.cat([-numbers, numbers])
    dist.all_reduce(ends, dist.ReduceOp.MAX, group=group)
    low, high = ends.split(len(numbers))
    return (-low).tolist(), high.tolist()


def _difference(low: list[int], high: list[int]) -> str:
    if low[0] != high[0]:
        what = f"of as many samples, and they have from {low[0]} to {high[0]}"
        cure = "leave out a last batch that is smaller, as by `drop_last=True`"
    elif low[1] != high[1]:
        what = f"of one type, and they have {_DTYPES[low[1]]} and {_DTYPES[high[1]]}"
        cure = "convert them, and use autocast on all processes or on none"
    else:
        what = "that want gradients on all of them or on none, as must weights"
        cure = "use `requires_grad_` and `no_grad` alike"
    return f"processes that share edges must have inputs {what}: {cure}."
