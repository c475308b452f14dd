"""The definition: gather, multiply, `index_add`, a slice of the edges at a time."""

from collections.abc import Iterator

import torch
from torch import Tensor

from edgelinear.topology import Topology

_SLICE_ELEMENTS = 2**20  # of the (edges, batch) products that exist at one time


def why_not(x: Tensor, weight: Tensor, topology: Topology) -> None:
    """Return None: plain torch runs wherever torch does."""
    return None


def spmm(weight: Tensor, x: Tensor, topology: Topology, bias: Tensor | None = None) -> Tensor:
    """Return y with `y[b, t]` the sum of `weight[e] * x[b, s]` over the edges e: s -> t, + bias."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    xt = x.t().to(dtype).contiguous()  # rows are sources, so that a gather reads whole rows
    yt = xt.new_zeros(topology.out_features, x.shape[0])
    for edges in edge_slices(topology.num_edges, x.shape[0]):
        products = xt[topology.src[edges]] * weight[edges, None].to(dtype)
        yt.index_add_(0, topology.dst[edges], products)
    return finish(yt, x, bias)


def sddmm(a: Tensor, b: Tensor, topology: Topology, dtype: torch.dtype) -> Tensor:
    """Return w with `w[e]` the sum of `a[n, t] * b[n, s]` over the batch n, for edge e: s -> t."""
    accumulate = torch.promote_types(dtype, torch.float32)
    at, bt = (m.t().to(accumulate).contiguous() for m in (a, b))
    w = at.new_empty(topology.num_edges)
    for edges in edge_slices(topology.num_edges, a.shape[0]):
        w[edges] = (at[topology.dst[edges]] * bt[topology.src[edges]]).sum(1)
    return w.to(dtype)


def finish(yt: Tensor, x: Tensor, bias: Tensor | None) -> Tensor:
    """Return the sums `yt`, (out_features, batch), as y: with the bias, in the type of x."""
    if bias is not None:
        yt += bias[:, None]
    return yt.to(x.dtype).t()


def edge_slices(num_edges: int, batch: int) -> Iterator[slice]:
    """Cut the edges so that a slice of them times the batch stays small, whatever their product."""
    step = max(1, _SLICE_ELEMENTS // max(1, batch))
    for start in range(0, num_edges, step):
        yield slice(start, min(start + step, num_edges))
