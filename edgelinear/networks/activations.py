"""Activations by name: what they compute, their derivatives, and how weights start for them."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgelinear import _torch

Function = Callable[[Tensor], Tensor]


class Activation(NamedTuple):
    """An elementwise function, and its derivative at z, where it gives h."""

    function: Function
    derivative: Callable[[Tensor, Tensor], Tensor] | None = None  # of (z, h), differentiable
    from_h: bool = False  # whether the derivative needs h alone


def _normal_density(z: Tensor) -> Tensor:
    return torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)


def _gelu_derivative(z: Tensor, _: Tensor) -> Tensor:
    return (1 + torch.erf(z / math.sqrt(2))) / 2 + z * _normal_density(z)


def _silu_derivative(z: Tensor, _: Tensor) -> Tensor:
    s = torch.sigmoid(z)
    return s * (1 + z * (1 - s))


def _gauss(z: Tensor) -> Tensor:
    return torch.exp(-z.square())


# The first four are computed inside the compiled kernels: `Activation` of kernels.h has the same.
ACTIVATIONS = {
    "identity": Activation(lambda z: z, lambda z, h: torch.ones_like(h), True),
    "relu": Activation(torch.relu, lambda z, h: (h > 0).to(h.dtype), True),
    "tanh": Activation(torch.tanh, lambda z, h: 1 - h * h, True),
    "sigmoid": Activation(torch.sigmoid, lambda z, h: h * (1 - h), True),
    "gelu": Activation(F.gelu, _gelu_derivative),
    "silu": Activation(F.silu, _silu_derivative),
    "softplus": Activation(F.softplus, lambda z, h: torch.sigmoid(z)),
    "elu": Activation(F.elu, lambda z, h: torch.where(z > 0, 1.0, z.clamp(max=0).exp())),
    "leaky_relu": Activation(F.leaky_relu, lambda z, h: torch.where(z > 0, 1.0, 0.01).to(z.dtype)),
    "softsign": Activation(F.softsign, lambda z, h: 1 / (1 + z.abs()).square()),
    "hardtanh": Activation(F.hardtanh, lambda z, h: ((z > -1) & (z < 1)).to(z.dtype)),
    "sin": Activation(torch.sin, lambda z, h: torch.cos(z)),
    "cos": Activation(torch.cos, lambda z, h: -torch.sin(z)),
    "gauss": Activation(_gauss, lambda z, h: -2 * z * h),
    "abs": Activation(torch.abs, lambda z, h: torch.sign(z)),
    "square": Activation(torch.square, lambda z, h: 2 * z),
    "exp": Activation(torch.exp, lambda z, h: h, True),
}
NAMES = tuple(ACTIVATIONS)
COMPILED = 4  # how many of them the kernels compute


@dataclass(frozen=True)
class Scaled:
    """A named activation of a multiple of the sum: networks put this into weights and biases."""

    name: str
    factor: float

    def __call__(self, z: Tensor) -> Tensor:
        return ACTIVATIONS[self.name].function(self.factor * z)


# What people pass instead of a name.
_SAME = {
    torch.relu: "relu",
    torch.tanh: "tanh",
    torch.sigmoid: "sigmoid",
    torch.sin: "sin",
    torch.cos: "cos",
    torch.abs: "abs",
    torch.exp: "exp",
    F.relu: "relu",
    F.tanh: "tanh",
    F.sigmoid: "sigmoid",
    F.gelu: "gelu",
    F.silu: "silu",
    F.softplus: "softplus",
    F.elu: "elu",
    F.softsign: "softsign",
}
_SAME_MODULES = {
    nn.Identity: "identity",
    nn.ReLU: "relu",
    nn.Tanh: "tanh",
    nn.Sigmoid: "sigmoid",
    nn.SiLU: "silu",
    nn.Softsign: "softsign",
}


def as_activation(argument: str, activation: Any) -> str | Function:
    """Return the name of an activation, or the function that it is if it has no name here.

    Raises:
        TypeError: if it is neither, or a module with parameters or buffers of its own.
        ValueError: if there is none of this name, or the function is not elementwise, draws at
            random, has no derivative, changes its argument, or has a mode for training.
    """
    if isinstance(activation, str):
        if activation not in ACTIVATIONS:
            raise ValueError(
                f"`{argument}` must be one of {', '.join(NAMES)}, or a function, "
                f"got {activation!r}."
            )
        return activation
    if isinstance(activation, Scaled):
        return activation
    if isinstance(activation, nn.Module):
        _check_module(argument, activation)
        if type(activation) in _SAME_MODULES:
            return _SAME_MODULES[type(activation)]
    if isinstance(activation, type):
        raise TypeError(
            f"`{argument}` must be a name or a function, got the class {activation.__name__}: "
            f"pass an instance, `{activation.__name__}()`."
        )
    if isinstance(activation, np.ufunc):
        name = activation.__name__
        cure = f"`torch.{name}`" if hasattr(torch, name) else "a function of torch"
        raise TypeError(
            f"`{argument}` must be differentiable by torch, got NumPy's {name}: pass {cure}."
        )
    if not callable(activation):
        raise TypeError(
            f"`{argument}` must be a name or a function, got {type(activation).__name__}."
        )
    try:
        if activation in _SAME:
            return _SAME[activation]
    except TypeError:  # a callable that cannot be hashed
        pass
    _check_elementwise(argument, activation)
    return activation


def _check_module(argument: str, module: nn.Module) -> None:
    name = type(module).__name__
    if any(True for _ in module.parameters()):
        raise TypeError(
            f"`{argument}` must have no parameters of its own, got {name}: nothing would train "
            "them. Pass a name or a function."
        )
    if any(True for _ in module.buffers()):
        raise TypeError(
            f"`{argument}` must be elementwise, without buffers of its own, got {name}: nothing "
            "would move or save them. Pass a name or a function, and normalise outside."
        )


def _check_elementwise(argument: str, function: Function) -> None:
    probe = torch.linspace(-1.5, 1.5, 35, dtype=torch.float64, device="cpu").reshape(5, 7)
    name = getattr(function, "__name__", type(function).__name__)

    def called(z: Tensor, function: Function = function) -> Tensor:
        try:
            return function(z)
        except Exception as error:
            raise ValueError(
                f"`{argument}` must be elementwise, a function of tensors of any shape, and "
                f"{name} fails for one of {tuple(z.shape)}: {error}"
            ) from error

    with torch.random.fork_rng([]), torch.no_grad():
        given = probe.clone()
        result, again = called(given), called(probe.clone())
        if not isinstance(result, Tensor) or result.shape != probe.shape:
            got = tuple(result.shape) if isinstance(result, Tensor) else type(result).__name__
            raise ValueError(
                f"`{argument}` must keep the shape of what it takes, and {name} makes {got} of "
                f"{tuple(probe.shape)}."
            )
        if not torch.equal(given, probe):
            raise ValueError(
                f"`{argument}` must leave its argument as it is, and {name} changes it: pass a "
                "function that returns a new tensor, as one of `inplace=False`."
            )
        alone = torch.stack([called(z.clone().reshape(1, 1)).reshape(()) for z in probe.ravel()])
        if isinstance(function, nn.Module):
            modes = [called(probe.clone(), copy.deepcopy(function).train(m)) for m in (True, False)]
            if not torch.equal(*map(torch.nan_to_num, modes)):
                raise ValueError(
                    f"`{argument}` must be the same in training and in evaluation, and {name} is "
                    "not: nothing would change its mode. Put it behind the network."
                )
    if not torch.equal(torch.nan_to_num(result), torch.nan_to_num(again)):
        raise ValueError(f"`{argument}` must give the same each time, and {name} draws at random.")
    if not torch.allclose(result.double().ravel(), alone.double(), equal_nan=True):
        raise ValueError(
            f"`{argument}` must be elementwise, and what {name} gives for a node depends on others."
        )
    with torch.enable_grad():
        z = probe.clone().requires_grad_()
        if not called(z).requires_grad:
            raise ValueError(f"`{argument}` must be differentiable, and {name} is not.")


def derivative(function: Function, z: Tensor) -> Tensor:
    """Return the derivative of an elementwise function, differentiable where that is asked for."""
    if (
        not torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and not _torch.is_transforming()
        and not _torch.is_forward_mode()
        and _torch.is_memory(z)
    ):  # torch.func takes several times as long
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            return torch.autograd.grad(function(z), z, torch.ones_like(z))[0]
    pull = torch.func.vjp(function, z)[1]
    return pull(torch.ones_like(z))[0]


@lru_cache(maxsize=1)
def _normal_points() -> tuple[np.ndarray, np.ndarray]:
    return np.polynomial.hermite_e.hermegauss(64)


def gain(activation: str | Function) -> float:
    """Return by what weights must grow so that what this activation gives has a mean square of 1.

    It is 1 / sqrt(E f(z)**2) for z of a standard normal distribution: sqrt(2) for relu (He et al.
    2015, arXiv 1502.01852), 1.59 for tanh; 1 where that is not finite.
    """
    points, weights = _normal_points()
    function = ACTIVATIONS[activation].function if isinstance(activation, str) else activation
    with torch.no_grad():
        values = function(torch.from_numpy(points)[None])[0].double().numpy()
    square = float((values**2 * weights).sum() / weights.sum())
    return square**-0.5 if math.isfinite(square) and square > 1e-4 else 1.0
