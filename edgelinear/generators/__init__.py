"""Patterns to start from: `name(in_features, out_features, *, ..., generator=None) -> Topology`.

Each takes O(edges) time and memory, but for sorting, and gives its edges in (target, source) order.
"""

from edgelinear.generators.hubs import barabasi_albert
from edgelinear.generators.local import banded, block_diagonal, local1d, local2d
from edgelinear.generators.radix import radix_net
from edgelinear.generators.small_worlds import watts_strogatz
from edgelinear.generators.uniform import erdos_renyi, fixed_fan_in, fixed_fan_out

__all__ = [
    "banded",
    "barabasi_albert",
    "block_diagonal",
    "erdos_renyi",
    "fixed_fan_in",
    "fixed_fan_out",
    "local1d",
    "local2d",
    "radix_net",
    "watts_strogatz",
]
