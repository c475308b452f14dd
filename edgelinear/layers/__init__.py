"""Modules with a learnable weight for each edge."""

from edgelinear.layers.linear import EdgeLinear
from edgelinear.layers.models import adopt_wiring, param_groups

__all__ = ["EdgeLinear", "adopt_wiring", "param_groups"]
