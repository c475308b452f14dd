"""Pictures of wirings, networks, comparisons and schedules. Each function returns a `Figure`.

These are of matplotlib, and belong to no window and to no global state:
`figure.savefig("wiring.png")` writes one, and a notebook shows what ends a cell.
"""

from edgelinear.plot._bipartite import bipartite
from edgelinear.plot._comparison import comparison
from edgelinear.plot._controls import controls
from edgelinear.plot._degrees import degrees
from edgelinear.plot._figure import formats
from edgelinear.plot._levels import levels
from edgelinear.plot._matrix import block_counts, matrix
from edgelinear.plot._network import network
from edgelinear.plot._rewiring import rewiring
from edgelinear.plot._weights import weights

__all__ = [
    "bipartite",
    "block_counts",
    "comparison",
    "controls",
    "degrees",
    "formats",
    "levels",
    "matrix",
    "network",
    "rewiring",
    "weights",
]
