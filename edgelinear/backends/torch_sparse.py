"""torch-sparse's compiled `spmm`.

It accumulates in the input's type and counts in int64: half types are widened to float32 before it,
and int32 indices are copied to int64 at every call.
"""

import torch
from torch import Tensor

from edgelinear.backends import shared
from edgelinear.topology import Topology

# torch-sparse hides its weight gradient behind its own autograd: ours is the definition.
sddmm = shared.sddmm


def why_not(x: Tensor, weight: Tensor, topology: Topology) -> str | None:
    """Return None, or why torch-sparse cannot run this call."""
    return shared.missing("torch_sparse") or shared.too_large(x, topology)


def spmm(weight: Tensor, x: Tensor, topology: Topology, bias: Tensor | None = None) -> Tensor:
    """Return y with `y[b, t]` the sum of `weight[e] * x[b, s]` over the edges e: s -> t, + bias."""
    import torch_sparse  # noqa: F401, registers the operator

    if topology.num_edges == 0 or x.shape[0] == 0:  # its kernel divides by the batch
        return shared.finish(x.new_zeros(topology.out_features, x.shape[0]), x, bias)
    dtype = torch.promote_types(x.dtype, torch.float32)
    indptr, indices, edge_ids = topology.by_dst
    weight, x = weight.detach(), x.detach()  # or its own autograd asks for more indices
    values = weight.contiguous() if edge_ids is None else weight[edge_ids]
    xt = x.t().to(dtype).contiguous()
    yt = torch.ops.torch_sparse.spmm_sum(
        None, indptr.long(), indices.long(), values.to(dtype), None, None, xt
    )
    return shared.finish(yt, x, bias)
