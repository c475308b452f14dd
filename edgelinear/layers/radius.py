"""The spectral radius of the weights of a module, and weights scaled to one."""

import math
from numbers import Real
from typing import Any

import torch

from edgelinear.layers.module import EdgeModule
from edgelinear.layers.parametrizations import Frozen
from edgelinear.networks.spectrum import spectral_radius


def radius_of(module: EdgeModule) -> float:
    """Return the largest absolute eigenvalue of the matrix of weights, and 0 without a cycle.

    Raises:
        ValueError: if a weight is not finite, or rounding decides the eigenvalue.
    """
    weight = module._in_sums().detach().double()
    wrong = ~weight.isfinite()
    if wrong.any():
        edge = int(wrong.nonzero()[0])
        raise ValueError(f"weights must be finite, got {weight[edge]:g} for edge {edge}.")
    src, dst = module.edge_index.cpu().numpy()
    return spectral_radius(module.topology.in_features, src, dst, weight.cpu().numpy())


def check_radius(radius: Any) -> None:
    """Refuse what is no positive number."""
    if isinstance(radius, bool) or not isinstance(radius, Real):
        raise TypeError(f"`radius` must be a number, got {radius!r}.")
    if not 0 < float(radius) < math.inf:
        raise ValueError(f"`radius` must be a positive number, got {radius}.")


@torch.no_grad()
def scale_radius(module: EdgeModule, radius: float) -> None:
    """Scale all weights by one factor, so that the largest absolute eigenvalue is `radius`.

    Raises:
        ValueError: if there is no cycle, a weight is not finite, weights are frozen, or rounding
            decides the eigenvalue. Nothing changes then.
    """
    still = sum(len(rule.still) for rule in module.rules if isinstance(rule, Frozen))
    if still:
        are = "1 weight is" if still == 1 else f"{still} weights are"
        raise ValueError(f"{are} frozen, so that not all can be scaled: scale before `freeze`.")
    found = radius_of(module)
    if found == 0:
        raise ValueError(
            "the wiring has no cycle, so that its spectral radius is 0 whatever the factor: add "
            "edges that lead back, or scale by another measure."
        )
    drawn = module._is_drawn
    module.set_weight(module.weight.detach().double() * (radius / found))
    if drawn:
        module._mark_drawn()
