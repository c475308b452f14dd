"""The names of nodes in a state dict."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgelinear.topology.wiring import as_names

NAMES = ("in_names", "out_names")


class Names(list):
    """Names of nodes, of which loaders may ask what they ask of every tensor in a state dict."""

    @property
    def shape(self) -> torch.Size:
        return names_as_bytes(self).shape

    @property
    def dtype(self) -> torch.dtype:
        return torch.uint8

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    def to(self, *arguments: Any, **options: Any) -> Tensor:
        return names_as_bytes(self).to(*arguments, **options)

    def is_contiguous(self) -> bool:
        return True

    def data_ptr(self) -> int:
        return 0


def names_as_bytes(names: Sequence[str | int]) -> Tensor:  # (bytes,) uint8
    """Return names as a JSON list, which a state dict holds as a tensor."""
    return torch.from_numpy(np.frombuffer(json.dumps(names).encode(), dtype=np.uint8).copy())


def saved_names(state: Mapping[str, Any], key: str, size: int) -> list[str | int] | None:
    """Return the names in a state dict, or None where it has none.

    Raises:
        ValueError: if they are no JSON list of `size` different names.
    """
    if key not in state:
        return None
    try:
        saved = torch.as_tensor(state[key]).to("cpu")
        if saved.is_floating_point():  # as after an average
            saved = saved.round()
        names = json.loads(saved.to(torch.uint8).numpy().tobytes())
        if not isinstance(names, list):
            raise TypeError("they are no list")
        return as_names(key, names, size)
    except (TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"`{key}` in this checkpoint is corrupt: {error}") from error


def refuse_names(ours: list[str | int] | None, saved: list[str | int], key: str) -> str | None:
    """Return None, or a sentence that says how the saved names differ from those here."""
    if ours is None or ours == saved:
        return None
    i = next(i for i, (a, b) in enumerate(zip(ours, saved, strict=True)) if a != b)
    return (
        f"`{key}` in this checkpoint holds other names: number {i} is {ours[i]!r} here, "
        f"{saved[i]!r} there. Use el.adopt_wiring to take them."
    )
