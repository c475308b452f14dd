"""torch-scatter's `segment_csr`, on a slice of the edges at a time."""

import importlib

import torch
from torch import Tensor

from edgelinear.backends import reference
from edgelinear.topology import Topology

# torch-scatter has no kernel for the weight gradient: it takes the definition.
sddmm = reference.sddmm


def why_not(x: Tensor, weight: Tensor, topology: Topology) -> str | None:
    """Return None, or why torch-scatter cannot run this call."""
    return missing("torch_scatter") or too_large(x, topology)


def spmm(weight: Tensor, x: Tensor, topology: Topology, bias: Tensor | None = None) -> Tensor:
    """Return y with `y[b, t]` the sum of `weight[e] * x[b, s]` over the edges e: s -> t, + bias."""
    from torch_scatter import segment_csr

    dtype = torch.promote_types(x.dtype, torch.float32)
    indptr, indices, edge_ids = topology.by_dst
    indptr = indptr.long()
    weight = weight if edge_ids is None else weight[edge_ids]
    xt = x.t().to(dtype).contiguous()
    yt = xt.new_zeros(topology.out_features, x.shape[0])
    for edges in reference.edge_slices(topology.num_edges, x.shape[0]):
        products = xt[indices[edges]] * weight[edges, None].to(dtype)
        # The rows that this slice touches; a row cut by a slice's end is added up in parts.
        ends = torch.tensor([edges.start, edges.stop - 1], device=indptr.device)
        first, last = (torch.searchsorted(indptr, ends, right=True) - 1).tolist()
        segments = indptr[first : last + 2].clamp(edges.start, edges.stop) - edges.start
        yt[first : last + 1] += segment_csr(products, segments, reduce="sum")
    return reference.finish(yt, x, bias)


def missing(package: str) -> str | None:
    """Return None if `package` can be imported, or what keeps it from it."""
    try:
        importlib.import_module(package)
    except ModuleNotFoundError:
        name = package.replace("_", "-")
        return (
            f"{name} is not installed (it compiles from source and needs torch first: "
            "pip install --no-build-isolation 'edgelinear[pyg]')"
        )
    except (ImportError, OSError) as error:  # built for another torch
        return f"{package} cannot be imported: {str(error).splitlines()[0]}"
    return None


def too_large(x: Tensor, topology: Topology) -> str | None:
    """Return None, or a sentence if a matrix of this call is too large for 32-bit offsets."""
    elements = x.shape[0] * max(topology.in_features, topology.out_features)
    if elements < 2**31:
        return None
    return f"its kernels count in 32 bits, and batch * features is {elements} here, 2^31 or more"
