"""Whether a model computes the same with its new layers."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from edgelinear.conversion.running import tensors_in
from edgelinear.conversion.timing import AFTER, BEFORE, Swap

_ROUNDINGS = 1e4  # that a deep model may add up to


@torch.no_grad()
def difference_of(root: nn.Module, call: Callable[[], Any], swap: Swap) -> float:
    """Return the largest absolute difference of outputs in evaluation; the twins stay in place.

    It is NaN where a model gives other outputs each time, or no floating ones.

    Raises:
        RuntimeError: if it is beyond rounding, or a layer is called that is replaced.
    """
    root.eval()
    state, called = torch.get_rng_state(), []
    handles = [
        # Hooks keep modules of torch from reading weights themselves, with twins as without.
        entry.linear.register_forward_pre_hook(lambda *_, entry=entry: called.append(entry))
        for entry in swap.found
    ]

    def outputs(state_of: str) -> list[Tensor]:
        swap.to(state_of)
        called.clear()
        torch.set_rng_state(state)
        return [t.clone() for t in tensors_in(call()) if t.is_floating_point() and not t.is_nested]

    try:
        before = outputs(BEFORE)
        after = outputs(AFTER)
        if called:
            raise RuntimeError(
                f"`{called[0].name}` is called by more than its name, as from a list or a closure, "
                "where it cannot be replaced: skip it, or register it as a module there."
            )
        if not _near(before, after):
            again = outputs(BEFORE)
            swap.to(AFTER)
            if not _near(before, again):
                return math.nan
            raise RuntimeError(
                f"the outputs of `model` change by {_distance(before, after):.2g}, which is more "
                "than rounding: some part of it reads a weight in another way than by a call of "
                "its layer; skip that layer."
            )
    finally:
        for handle in handles:
            handle.remove()
    return _distance(before, after)


def _near(before: list[Tensor], after: list[Tensor]) -> bool:
    if [t.shape for t in before] != [t.shape for t in after]:
        return False
    for a, b in zip(before, after, strict=True):
        if a.numel():
            finite = a[a.isfinite()].abs().double()
            scale = float(finite.max()) if finite.numel() else 0.0
            bound = min(0.5, _ROUNDINGS * torch.finfo(a.dtype).eps) * scale
            if not float(_differences(a, b).max()) <= bound:
                return False
    return True


def _distance(before: list[Tensor], after: list[Tensor]) -> float:
    pairs = zip(before, after, strict=False)
    found = [float(_differences(a, b).max()) for a, b in pairs if a.shape == b.shape and a.numel()]
    return max(found, default=math.nan)


def _differences(a: Tensor, b: Tensor) -> Tensor:
    """Return absolute differences, 0 where both are the same infinity or NaN."""
    same = (a == b) | (a.isnan() & b.isnan())
    return (a.double() - b.double()).abs().masked_fill(same, 0.0)
