"""Modules with a learnable weight for each edge."""

from edgelinear.layers.linear import EdgeLinear
from edgelinear.layers.models import adopt_wiring, param_groups
from edgelinear.layers.network import EdgeNetwork
from edgelinear.layers.recurrent import EdgeRNN

__all__ = ["EdgeLinear", "EdgeNetwork", "EdgeRNN", "adopt_wiring", "param_groups"]
