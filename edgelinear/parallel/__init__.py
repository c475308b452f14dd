"""One layer over many processes."""

from edgelinear.parallel.layer import ShardedEdgeLinear
from edgelinear.parallel.loading import load_shares
from edgelinear.parallel.style import EdgeParallel

__all__ = ["EdgeParallel", "ShardedEdgeLinear", "load_shares"]
