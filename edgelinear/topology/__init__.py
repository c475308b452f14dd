"""The wiring as a value: edges that are checked and sorted once, and maps from edges to edges."""

from edgelinear.topology.checks import DUPLICATES
from edgelinear.topology.edits import EdgeMap
from edgelinear.topology.shares import Share
from edgelinear.topology.value import CSR, Topology, _load  # `_load`: pickles name it here
from edgelinear.topology.wiring import Wiring

__all__ = ["CSR", "DUPLICATES", "EdgeMap", "Share", "Topology", "Wiring", "_load"]
