"""The contenders: each a function from a problem to a `Step`, or to None if it cannot hold it.

Each keeps its weight in the order that it likes best, which no step then pays for. Packages are
imported inside the functions, as no environment has all of them.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

# Bytes of the (batch, num_edges) products, of which a step holds several.
LARGEST_PRODUCTS = {"cpu": 2**30, "cuda": 2**33}


def unchanged(dw: Tensor) -> Tensor:
    return dw


class Step(NamedTuple):
    forward: Callable[[], Tensor]  # () -> (batch, out_features)
    step: Callable[[], tuple[Tensor, Tensor, Tensor]]  # () -> y, dx, dw
    in_edge_order: Callable[[Tensor], Tensor] = unchanged  # dw of `step` -> (num_edges,), untimed


def make_step(
    forward: Callable[[], Tensor],
    leaves: tuple[Tensor, ...],  # x, weight and perhaps a bias
    grad: Tensor,  # (batch, out_features)
    in_edge_order: Callable[[Tensor], Tensor] = unchanged,
) -> Step:
    """Return the step that runs `forward` and differentiates it by autograd."""

    def step():
        y = forward()
        dx, dw, *_ = torch.autograd.grad(y, leaves, grad)
        return y, dx, dw

    return Step(forward, step, in_edge_order)


def products_fit(problem) -> bool:
    """Return whether a peer that writes a product for each sample and edge can hold this one."""
    products = problem.x.shape[0] * problem.topology.num_edges * problem.x.element_size()
    return products <= LARGEST_PRODUCTS[problem.x.device.type]
