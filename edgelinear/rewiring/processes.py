"""Whether all processes make the same change, and refuse alike."""

import hashlib
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def check_same(group: Any, change: tuple[Tensor, ...] | str | None) -> None:
    """Refuse a change that is another one elsewhere, in all processes alike.

    `change` is the new wiring and what its edges start at, or None for none, or an error.

    Raises:
        RuntimeError: if processes differ.
    """
    digest = hashlib.sha256(repr(change).encode() if isinstance(change, str) else b"")
    for tensor in change if isinstance(change, tuple) else ():
        digest.update(
            tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        )
    found: list = [None] * dist.get_world_size(group)
    dist.all_gather_object(found, digest.hexdigest(), group)
    if len(set(found)) > 1:
        others = [rank for rank, one in enumerate(found) if one != found[0]]
        raise RuntimeError(
            f"processes would rewire in different ways, as rank {others[0]} and rank 0: draw what "
            "is kept and added, and what it starts at, from generators with the same seed."
        )


def refuse_together(group: Any, error: Exception | None) -> None:
    """Raise in all processes what one of them has to say.

    Raises:
        RuntimeError: if there is an error in one of them, with its sentence.
    """
    found: list = [None] * dist.get_world_size(group)
    dist.all_gather_object(found, None if error is None else str(error), group)
    sentence = next((one for one in found if one is not None), None)
    if sentence is not None:
        raise RuntimeError(sentence) from error
