"""One layer over many processes."""

from edgelinear.parallel.layer import ShardedEdgeLinear
from edgelinear.parallel.loading import load_shares
from edgelinear.parallel.partitioning import Partition, partition
from edgelinear.parallel.planning import Plan, plan
from edgelinear.parallel.style import EdgeParallel

__all__ = [
    "EdgeParallel",
    "Partition",
    "Plan",
    "ShardedEdgeLinear",
    "load_shares",
    "partition",
    "plan",
]
