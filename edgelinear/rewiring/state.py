"""The state of optimizers, when the entries of a parameter move."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from edgelinear.topology import EdgeMap

# What entries start at, where it is not 0: a state of torch's optimizers, and the option with it.
_STARTS = {"sum": "initial_accumulator_value", "step_size": "lr"}


class Moved(NamedTuple):
    """A tensor of a state, and what is to take its place."""

    state: dict
    name: str
    value: Tensor


def moved_state(optimizer: Any, parameter: nn.Parameter, entries: EdgeMap) -> list[Moved]:
    """Return what becomes of the state of a parameter. Nothing is changed.

    Raises:
        TypeError: if it is no optimizer.
        ValueError: if it does not hold the parameter, or its state has other shapes.
    """
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(
            f"`optimizer` must be an optimizer of torch, got {type(optimizer).__name__}."
        )
    groups = [g for g in optimizer.param_groups if any(p is parameter for p in g["params"])]
    if not groups:
        raise ValueError(
            "`optimizer` does not hold the weight of this layer: pass the one that trains it, or "
            "None if there is none."
        )
    if isinstance(optimizer, torch.optim.LBFGS):  # which keeps all of it with one parameter
        raise ValueError(
            "the state of LBFGS is no number for each edge, but of all parameters together: rewire "
            "without `optimizer`, and make a new one."
        )
    state = optimizer.state.get(parameter, {})
    found = []
    for name, value in state.items():
        if not isinstance(value, Tensor):
            if isinstance(value, (list, tuple, dict)) and len(value):
                raise ValueError(_unknown(optimizer, name, f"a {type(value).__name__}"))
            continue
        if value.dim() == 0:  # a count of steps
            continue
        if value.shape[0] != parameter.shape[0]:
            there = f"shape {tuple(value.shape)} for {parameter.shape[0]} parameters"
            raise ValueError(_unknown(optimizer, name, there))
        start = groups[0].get(_STARTS.get(name, ""), 0.0)
        followed = entries.follow(value, fill=start if isinstance(start, Tensor) else float(start))
        found.append(Moved(state, name, followed.to(value.dtype)))
    return found


def _unknown(optimizer: Any, name: str, what: str) -> str:
    return (
        f"the state `{name}` of {type(optimizer).__name__} is no number for each edge, got {what}: "
        "rewire without `optimizer`, and make a new one."
    )


def commit(moved: list[Moved]) -> None:
    """Put the values in their place: into the same memory, where they have the same shape."""
    for state, name, value in moved:
        if state[name].shape == value.shape:
            state[name].copy_(value)
        else:
            state[name] = value
