"""What says how a recurrent network moves: leaks, factors of inputs, noise, states; checked."""

import math
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgelinear.topology.numbers import as_numbers

EQUATIONS = ("rate", "potential")


def check_equation(equation: Any) -> str:
    """Return the name of an equation.

    Raises:
        ValueError: if there is none of this name.
    """
    if equation not in EQUATIONS:
        raise ValueError(f"`equation` must be one of {', '.join(EQUATIONS)}, got {equation!r}.")
    return equation


def as_leak(leak: Any, num_nodes: int) -> Tensor:  # () or (num_nodes,)
    """Return leaks in float64.

    Raises:
        TypeError: if they are no numbers.
        ValueError: if they are not one or one for each node, or one is not from 0 to 1.
    """
    if isinstance(leak, Real) and not isinstance(leak, bool):
        values = torch.tensor(float(leak), dtype=torch.float64, device="cpu")
    else:
        values = as_numbers("`leak`", leak).detach().double()
        if values.shape not in ((), (num_nodes,)):
            raise ValueError(
                f"`leak` must be one number, or one for each of the {num_nodes} nodes, "
                f"got shape {tuple(values.shape)}."
            )
    wrong = ~((values >= 0) & (values <= 1))
    if wrong.any():
        at = "" if values.dim() == 0 else f" for node {int(wrong.nonzero()[0])}"
        raise ValueError(
            f"`leak` must be from 0 to 1, got {values[wrong].ravel()[0].item():g}{at}."
        )
    return values


def as_input_weight(given: Any, in_features: int) -> Tensor:  # (in_features,)
    """Return the factors of inputs; those that are to be learned start at 1.

    Raises:
        TypeError: if they are no numbers.
        ValueError: if they are not one for each input, or another word than "learn".
    """
    if isinstance(given, str):
        if given != "learn":
            raise ValueError(f'`input_weight` must be numbers or "learn", got {given!r}.')
        return torch.ones(in_features, device="cpu")
    values = as_numbers("`input_weight`", given).detach()
    if values.shape != (in_features,):
        raise ValueError(
            f"`input_weight` must hold one number for each of the {in_features} inputs, "
            f"got shape {tuple(values.shape)}."
        )
    return values


def as_noise(noise: Any) -> float:
    """Return a standard deviation.

    Raises:
        TypeError: if it is no number.
        ValueError: if it is negative, or not finite.
    """
    if isinstance(noise, bool) or not isinstance(noise, Real):
        raise TypeError(f"`noise` must be a number, got {noise!r}.")
    if not 0 <= float(noise) < math.inf:
        raise ValueError(f"`noise` must be 0 or a finite number above it, got {noise}.")
    return float(noise)


def check_count(name: str, count: Any) -> int:
    """Return a whole number from 1 on.

    Raises:
        TypeError: if it is no whole number.
        ValueError: if it is below 1.
    """
    if isinstance(count, bool) or not isinstance(count, (int, np.integer)):
        raise TypeError(f"`{name}` must be a whole number, got {count!r}.")
    if count < 1:
        raise ValueError(f"`{name}` must be at least 1, got {count}.")
    return int(count)


def check_state(state: Any, batch: torch.Size, num_nodes: int, device: torch.device) -> None:
    """Refuse a state that is not one value for each node of each sequence."""
    if not isinstance(state, Tensor):
        raise TypeError(f"`state` must be a tensor, got {type(state).__name__}.")
    if not state.is_floating_point():
        raise TypeError(f"`state` must be real floating point, got {state.dtype}.")
    if state.shape != (*batch, num_nodes):
        raise ValueError(
            f"`state` must have shape {(*batch, num_nodes)}, one value for each node of "
            f"each sequence, got {tuple(state.shape)}."
        )
    if state.device != device:
        raise ValueError(
            f"`state` is on {state.device} and the network on {device}: "
            f"use `state.to({str(device)!r})`."
        )
