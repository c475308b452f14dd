"""Magnitude pruning, by torch's own `prune`, which can be taken back."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from edgelinear.conversion.found import Found, groups

_HELD = ("_parameters", "_buffers", "_forward_pre_hooks")


@torch.no_grad()
def prune_smallest(found: list[Found], amount: float, scope: str) -> Callable[[], None]:
    """Mask the smallest weights of layers, so that this share of them is zero.

    Returns what takes it back.
    """
    together = groups(found)
    scores = [_magnitudes(group[0]) for group in together]
    if scope == "layer" or not scores:
        masks = [_kept(s, amount) for s in scores]
    else:
        parts = [s.numel() for s in scores]
        kept = _kept(torch.cat([s.flatten().cpu() for s in scores]), amount).split(parts)
        masks = [k.view_as(s).to(s.device) for k, s in zip(kept, scores, strict=True)]
    undo = []
    for group, mask in zip(together, masks, strict=True):
        for entry in group:
            undo.append(_masked(entry, mask))

    def take_back() -> None:
        for take_one_back in undo:
            take_one_back()

    return take_back


def _magnitudes(entry: Found) -> Tensor:
    """Return what weights are kept by; those that a mask has off go first."""
    assert entry.weight is not None
    values = entry.weight.detach().abs().float()
    return values if entry.mask is None else values.masked_fill(entry.mask == 0, -1.0)


def _kept(scores: Tensor, amount: float) -> Tensor:
    number = round(amount * scores.numel())
    kept = torch.ones_like(scores, dtype=torch.bool)
    kept.view(-1)[scores.flatten().topk(number, largest=False).indices] = False
    return kept


def _masked(entry: Found, mask: Tensor) -> Callable[[], None]:
    linear, before = entry.linear, (entry.weight, entry.mask)
    held = {name: copy.copy(getattr(linear, name)) for name in _HELD}
    computed = vars(linear).get("weight")
    prune.custom_from_mask(linear, "weight", mask)
    entry.mask, entry.is_masked = linear._buffers["weight_mask"], True

    def take_back() -> None:
        _set_aside(linear, held, computed)
        entry.weight, entry.mask = before

    return take_back


def _set_aside(linear: nn.Module, held: dict, computed: Tensor | None) -> None:
    vars(linear).pop("weight", None)
    for name, value in held.items():
        getattr(linear, name).clear()
        getattr(linear, name).update(value)
    if computed is not None:
        vars(linear)["weight"] = computed
