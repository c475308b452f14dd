"""The activations of neat-python, in torch: differentiable nearly everywhere.

Each equals the function of its name in `neat.activations`, with its scale and its bounds. They are
functions of this module, so that networks that hold them can be pickled.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from edgelinear.networks.activations import Function, Scaled


def bounded_sin(z: Tensor) -> Tensor:
    return torch.sin((5.0 * z).clamp(-60.0, 60.0))


def bounded_softplus(z: Tensor) -> Tensor:
    return 0.2 * torch.log1p(torch.exp((5.0 * z).clamp(-60.0, 60.0)))


def lelu(z: Tensor) -> Tensor:
    return F.leaky_relu(z, 0.005)


def inverse(z: Tensor) -> Tensor:
    is_zero = z == 0
    return torch.where(is_zero, 0.0, 1.0 / torch.where(is_zero, 1.0, z))


def bounded_log(z: Tensor) -> Tensor:
    return torch.log(z.clamp(min=1e-7))


def bounded_exp(z: Tensor) -> Tensor:
    return torch.exp(z.clamp(-60.0, 60.0))


def hat(z: Tensor) -> Tensor:
    return torch.relu(1.0 - z.abs())


def cube(z: Tensor) -> Tensor:
    return z * z * z


# Zeros: what a node has that neat-python never computes.
silent = Scaled("identity", 0.0)

NEAT_ACTIVATIONS: dict[str, str | Function] = {
    # Outside of neat-python's bounds, these three are within 1e-25 of what they are there.
    "sigmoid": Scaled("sigmoid", 5.0),
    "tanh": Scaled("tanh", 2.5),
    "sin": bounded_sin,
    "gauss": Scaled("gauss", math.sqrt(5.0)),
    "relu": "relu",
    "elu": "elu",
    "lelu": lelu,
    "selu": F.selu,
    "softplus": bounded_softplus,
    "identity": "identity",
    "clamped": "hardtanh",
    "inv": inverse,
    "log": bounded_log,
    "exp": bounded_exp,
    "abs": "abs",
    "hat": hat,
    "square": "square",
    "cube": cube,
}
