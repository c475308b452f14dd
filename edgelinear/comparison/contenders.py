"""What `compare` holds against each other: the backends and the dense layers."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from edgelinear.baselines import MaskedLinear
from edgelinear.functional import edge_linear
from edgelinear.layers import EdgeLinear

MASKED, LINEAR = "MaskedLinear", "nn.Linear"
# Of networks, level by level or step by step, as they are written without such a module.
COMPOSED, COMPOSED_MASKED = "EdgeLinear composed", "MaskedLinear composed"
DENSE = (MASKED, LINEAR, COMPOSED_MASKED)


class Contender(NamedTuple):
    """One way to compute the layer, on parameters of its own."""

    name: str
    forward: Callable[[Tensor], Tensor]
    parameters: tuple[Tensor, ...]
    fixed: tuple[Tensor | None, ...]  # index tensors and buffers
    at_edges: Callable[..., Tensor]  # the gradients of the parameters to one number an edge

    def step(self, x: Tensor, grad: Tensor) -> tuple[Tensor, ...]:
        """Return the output, and the gradients of the input and of the parameters."""
        y = self.forward(x)
        return y, *torch.autograd.grad(y, (x, *self.parameters), grad)


def parameters_of(*given: Tensor | None) -> tuple[Tensor, ...]:
    """Return those that are there."""
    return tuple(parameter for parameter in given if parameter is not None)


def too_large(layer: EdgeLinear) -> str | None:
    """Return why the dense matrices are left out, or None where they fit."""
    # The truth takes the matrix and its gradient in float64. The layers take a weight and its
    # gradient each, and MaskedLinear a mask, the product with it, and the gradient of that.
    each = max(16, 6 * layer.weight.element_size() + 1)
    cells = layer.in_features * layer.out_features
    what = f"the dense {layer.out_features} x {layer.in_features} matrices"
    return more_than_a_quarter(what, cells * each, layer.weight.device)


def more_than_a_quarter(what: str, needed: int, device: torch.device) -> str | None:
    """Return a sentence where something would take more than a quarter of the memory free."""
    free, gib = _free_bytes(device), 2**30
    if needed <= free / 4:
        return None
    return (
        f"{what} would take {needed / gib:.1f} GiB, more than a quarter of the "
        f"{free / gib:.1f} GiB free"
    )


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    with contextlib.suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    with contextlib.suppress(AttributeError, ValueError, OSError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    return 4 * 2**30


def edge_contender(layer: EdgeLinear, name: str) -> Contender:
    """Return the layer on the backend `name`, with copies of its parameters."""
    topology, weight = layer.topology, _copy(layer.weight)
    bias = None if layer.bias is None else _copy(layer.bias)

    def forward(x: Tensor) -> Tensor:
        return edge_linear(x, weight, topology, bias, backend=name)

    parameters = parameters_of(weight, bias)
    return Contender(name, forward, parameters, topology._tensors, lambda grad, *_: grad)


def _copy(parameter: Tensor) -> Tensor:
    return parameter.detach().clone().requires_grad_()


def dense_contenders(layer: EdgeLinear) -> list[Contender]:
    """Return the two dense layers of the same function."""
    masked, linear = layer.to_masked_linear(), layer.to_linear()
    src, dst = layer.topology.src.long(), layer.topology.dst.long()

    def contender(name: str, twin: MaskedLinear | nn.Linear, *fixed: Tensor) -> Contender:
        parameters = parameters_of(twin.weight, twin.bias)
        return Contender(name, twin.forward, parameters, fixed, lambda grad, *_: grad[dst, src])

    return [contender(MASKED, masked, masked.mask), contender(LINEAR, linear)]
