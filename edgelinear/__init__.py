"""Linear layers whose connections are any edge list."""

from edgelinear import backends, baselines, convert, generators
from edgelinear.functional import edge_linear
from edgelinear.layers import EdgeLinear, adopt_wiring, param_groups
from edgelinear.topology import CSR, Topology

__version__ = "0.1.0"

__all__ = [
    "CSR",
    "EdgeLinear",
    "Topology",
    "adopt_wiring",
    "backends",
    "baselines",
    "convert",
    "edge_linear",
    "generators",
    "param_groups",
]
