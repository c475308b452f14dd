"""What several backends take: the definition of `sddmm`, slices of the edges, and refusals."""

import importlib
from collections.abc import Iterator

import torch
from torch import Tensor

from edgelinear.topology import Topology

SLICE_ELEMENTS = 2**20  # of the (edges, batch) products that exist at one time


def sddmm(a: Tensor, b: Tensor, topology: Topology, dtype: torch.dtype) -> Tensor:
    """Return w with `w[e]` the sum of `a[n, t] * b[n, s]` over the batch n, for edge e: s -> t."""
    accumulate = torch.promote_types(dtype, torch.float32)
    at, bt = (m.t().to(accumulate).contiguous() for m in (a, b))
    w = at.new_empty(topology.num_edges)
    for edges in edge_slices(topology.num_edges, a.shape[0]):
        w[edges] = (at[topology.dst[edges]] * bt[topology.src[edges]]).sum(1)
    return w.to(dtype)


def edge_slices(num_edges: int, batch: int) -> Iterator[slice]:
    """Cut the edges so that a slice of them times the batch stays small, whatever their product."""
    step = max(1, SLICE_ELEMENTS // max(1, batch))
    for start in range(0, num_edges, step):
        yield slice(start, min(start + step, num_edges))


def finish(yt: Tensor, x: Tensor, bias: Tensor | None) -> Tensor:
    """Return the sums `yt`, (out_features, batch), as y: with the bias, in the type of x."""
    if bias is not None:
        yt += bias[:, None]
    return yt.to(x.dtype).t()


def missing(package: str) -> str | None:
    """Return None if `package` can be imported, or why it cannot."""
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
