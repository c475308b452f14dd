"""torch-scatter's `segment_csr`, on a slice of the edges at a time."""

import torch
from torch import Tensor

from edgelinear.backends import shared
from edgelinear.topology import Topology

# torch-scatter has no kernel for the weight gradient: it takes the definition.
sddmm = shared.sddmm


def why_not(x: Tensor, weight: Tensor, topology: Topology) -> str | None:
    """Return None, or why torch-scatter cannot run this call."""
    return shared.missing("torch_scatter") or shared.too_large(x, topology)


def spmm(weight: Tensor, x: Tensor, topology: Topology, bias: Tensor | None = None) -> Tensor:
    """Return y with `y[b, t]` the sum of `weight[e] * x[b, s]` over the edges e: s -> t, + bias."""
    from torch_scatter import segment_csr

    dtype = torch.promote_types(x.dtype, torch.float32)
    indptr, indices, edge_ids = topology.by_dst
    indptr = indptr.long()
    weight = weight if edge_ids is None else weight[edge_ids]
    xt = x.t().to(dtype).contiguous()
    yt = xt.new_zeros(topology.out_features, x.shape[0])
    slices = [*shared.edge_slices(topology.num_edges, x.shape[0])]
    # The rows that slices touch, of all at once: a device is waited for when it is asked. A row cut
    # by a slice's end is added up in parts.
    ends = indptr.new_tensor([(edges.start, edges.stop - 1) for edges in slices])
    rows = (torch.searchsorted(indptr, ends.view(-1, 2), right=True) - 1).tolist()
    for edges, (first, last) in zip(slices, rows, strict=True):
        products = xt[indices[edges]] * weight[edges, None].to(dtype)
        segments = indptr[first : last + 2].clamp(edges.start, edges.stop) - edges.start
        yt[first : last + 1] += segment_csr(products, segments, reduce="sum")
    return shared.finish(yt, x, bias)
