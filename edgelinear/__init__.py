"""Linear layers whose connections are any edge list."""

from edgelinear import backends, baselines, convert, generators, null_models, plot, rules
from edgelinear.comparison import Comparison, compare
from edgelinear.contrasts import ControlsReport
from edgelinear.functional import edge_linear
from edgelinear.layers import EdgeLinear
from edgelinear.models import adopt_wiring, param_groups
from edgelinear.topology import CSR, Topology
from edgelinear.trials import controls

__version__ = "0.1.0"

__all__ = [
    "CSR",
    "Comparison",
    "ControlsReport",
    "EdgeLinear",
    "Topology",
    "adopt_wiring",
    "backends",
    "baselines",
    "compare",
    "controls",
    "convert",
    "edge_linear",
    "generators",
    "null_models",
    "param_groups",
    "plot",
    "rules",
]
