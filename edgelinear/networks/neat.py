"""The activations of neat-python, in torch: differentiable nearly everywhere.

Each equals the function of its name in `neat.activations`, with its scale and its bounds. They are
functions of this module, so that networks that hold them can be pickled.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from edgelinear.networks.activations import Function


def scaled_sigmoid(z: Tensor) -> Tensor:
    return torch.sigmoid((5.0 * z).clamp(-60.0, 60.0))


def scaled_tanh(z: Tensor) -> Tensor:
    return torch.tanh(2.5 * z)  # 1 long before neat-python's bound of 60


def scaled_sin(z: Tensor) -> Tensor:
    return torch.sin((5.0 * z).clamp(-60.0, 60.0))


def scaled_gauss(z: Tensor) -> Tensor:
    return torch.exp(-5.0 * z.clamp(-3.4, 3.4).square())


def scaled_softplus(z: Tensor) -> Tensor:
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


def silent(z: Tensor) -> Tensor:
    """Return zeros: what a node has that neat-python never computes."""
    return 0.0 * z


NEAT_ACTIVATIONS: dict[str, str | Function] = {
    "sigmoid": scaled_sigmoid,
    "tanh": scaled_tanh,
    "sin": scaled_sin,
    "gauss": scaled_gauss,
    "relu": "relu",
    "elu": "elu",
    "lelu": lelu,
    "selu": F.selu,
    "softplus": scaled_softplus,
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
