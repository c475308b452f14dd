"""The definition: gather, multiply, `index_add`, a slice of the edges at a time."""

import torch
from torch import Tensor

from edgelinear.backends import shared
from edgelinear.topology import Topology

sddmm = shared.sddmm


def why_not(x: Tensor, weight: Tensor, topology: Topology) -> None:
    """Return None: plain torch runs wherever torch does."""
    return None


def spmm(weight: Tensor, x: Tensor, topology: Topology, bias: Tensor | None = None) -> Tensor:
    """Return y with `y[b, t]` the sum of `weight[e] * x[b, s]` over the edges e: s -> t, + bias."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    xt = x.t().to(dtype).contiguous()  # rows are sources, so that a gather reads whole rows
    yt = xt.new_zeros(topology.out_features, x.shape[0])
    for edges in shared.edge_slices(topology.num_edges, x.shape[0]):
        products = xt[topology.src[edges]] * weight[edges, None].to(dtype)
        yt.index_add_(0, topology.dst[edges], products)
    return shared.finish(yt, x, bias)
