"""Modules with a learnable weight for each edge."""

from edgelinear.layers.linear import EdgeLinear
from edgelinear.layers.models import adopt_wiring, param_groups
from edgelinear.layers.network import EdgeNetwork

__all__ = ["EdgeLinear", "EdgeNetwork", "adopt_wiring", "param_groups"]
