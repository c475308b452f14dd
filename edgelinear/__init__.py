"""Linear layers whose connections are any edge list."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from edgelinear import backends, baselines, convert, generators, null_models, rules
from edgelinear.functional import edge_linear
from edgelinear.layers import EdgeLinear, EdgeNetwork, EdgeRNN, adopt_wiring, param_groups
from edgelinear.rewiring import rewire
from edgelinear.topology import CSR, EdgeMap, Topology

if TYPE_CHECKING:
    from edgelinear import data, dynamic, parallel, plot
    from edgelinear.comparison import Comparison, compare
    from edgelinear.conversion.densify import densify
    from edgelinear.conversion.report import SparsifyReport
    from edgelinear.conversion.sparsify import sparsify
    from edgelinear.trials import ControlsReport, controls
    from edgelinear.viewer import View, view

__version__ = "0.1.0"

__all__ = [
    "CSR",
    "Comparison",
    "ControlsReport",
    "EdgeLinear",
    "EdgeMap",
    "EdgeNetwork",
    "EdgeRNN",
    "SparsifyReport",
    "Topology",
    "View",
    "adopt_wiring",
    "backends",
    "baselines",
    "compare",
    "controls",
    "convert",
    "data",
    "densify",
    "dynamic",
    "edge_linear",
    "generators",
    "null_models",
    "parallel",
    "param_groups",
    "plot",
    "rewire",
    "rules",
    "sparsify",
    "view",
]

# What a layer does not need is imported when it is first asked for.
_LAZY = {
    "data": "data",
    "dynamic": "dynamic",
    "parallel": "parallel",
    "plot": "plot",
    "Comparison": "comparison",
    "compare": "comparison",
    "SparsifyReport": "conversion",
    "densify": "conversion",
    "sparsify": "conversion",
    "ControlsReport": "trials",
    "controls": "trials",
    "View": "viewer",
    "view": "viewer",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{_LAZY[name]}")
    found = module if name == _LAZY[name] else getattr(module, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
