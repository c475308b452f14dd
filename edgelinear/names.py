"""Names of the nodes of a layer: checked, and as the tensors that a state dict holds."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgelinear.convert.wiring import as_list, check_names

NAMES = ("in_names", "out_names")  # what a state dict holds, where nodes have names


def as_names(argument: str, names: Sequence[Any] | None, size: int) -> list[str | int] | None:
    """Return `names` as a list of `size` different strings or whole numbers.

    Raises:
        TypeError: if a name is something else.
        ValueError: if there is another number of names, or one is listed twice.
    """
    if names is None:
        return None
    names = as_list(argument, names)
    names = [int(name) if isinstance(name, np.integer) else name for name in names]
    for name in names:
        if not isinstance(name, (str, int)) or isinstance(name, bool):
            raise TypeError(
                f"`{argument}` must hold strings or whole numbers, which a checkpoint can keep, "
                f"got {name!r}."
            )
    return check_names(argument, names, size)


def to_tensor(names: list[str | int]) -> Tensor:  # (bytes,) uint8
    """Return names as the bytes of a JSON list."""
    return torch.from_numpy(np.frombuffer(json.dumps(names).encode(), dtype=np.uint8).copy())


def from_state(state: Mapping[str, Any], key: str, size: int) -> list[str | int] | None:
    """Return the names in a state dict, or None where it has none.

    Raises:
        ValueError: if they are no JSON list of `size` different names.
    """
    if key not in state:
        return None
    try:
        names = json.loads(state[key].to("cpu", torch.uint8).numpy().tobytes())
        if not isinstance(names, list):
            raise TypeError("they are no list")
        return as_names(key, names, size)
    except (TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"`{key}` in this checkpoint is corrupt: {error}") from error


def difference(
    ours: list[str | int] | None, theirs: list[str | int] | None, key: str
) -> str | None:
    """Return None, or a sentence that says how the saved names differ from those here."""
    if ours is None or theirs is None or ours == theirs:
        return None
    i = next(i for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b)
    return (
        f"`{key}` in this checkpoint holds other names: number {i} is {ours[i]!r} here, "
        f"{theirs[i]!r} there. Use el.adopt_wiring to take them."
    )
