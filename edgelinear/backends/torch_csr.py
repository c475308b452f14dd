"""torch's own CSR kernels: MKL on the CPU, cuSPARSE on CUDA.

The values of a `sparse_csr_tensor` must not come from autograd, whose backward would allocate
in_features * out_features; the weight gradient is `sampled_addmm`, on the pattern alone.
"""

import threading
import warnings

import torch
from torch import Tensor

from edgelinear.backends import shared
from edgelinear.topology import CSR, Topology

_lock = threading.Lock()
_is_silenced = False


def why_not(x: Tensor, weight: Tensor, topology: Topology) -> str | None:
    """Return None, or why torch's CSR kernels cannot run this call."""
    device = topology.device.type
    if device not in ("cpu", "cuda"):
        return f"torch has no CSR kernels on {device}"
    if device == "cpu" and not torch.backends.mkl.is_available():
        return "this build of torch lacks MKL, which its CSR kernels need on a CPU"
    if device == "cpu" and topology.src.dtype == torch.int64:
        return "MKL takes 32-bit indices, and this topology needs 64-bit ones"
    return None


def spmm(weight: Tensor, x: Tensor, topology: Topology, bias: Tensor | None = None) -> Tensor:
    """Return y with `y[b, t]` the sum of `weight[e] * x[b, s]` over the edges e: s -> t, + bias."""
    if topology.num_edges == 0 or x.numel() == 0:
        return shared.finish(x.new_zeros(topology.out_features, x.shape[0]), x, bias)
    dtype = torch.promote_types(x.dtype, torch.float32)
    matrix = _csr_tensor(topology.by_dst, weight.to(dtype), topology)
    return shared.finish(matrix @ x.t().to(dtype).contiguous(), x, bias)


def sddmm(a: Tensor, b: Tensor, topology: Topology, dtype: torch.dtype) -> Tensor:
    """Return w with `w[e]` the sum of `a[n, t] * b[n, s]` over the batch n, for edge e: s -> t."""
    if topology.num_edges == 0 or a.shape[0] == 0:
        return a.new_zeros(topology.num_edges, dtype=dtype)
    accumulate = torch.promote_types(dtype, torch.float32)
    if topology.num_edges > topology.in_features * topology.out_features:
        # So many parallel edges that torch refuses the pattern, and a dense product is smaller.
        product = a.t().to(accumulate) @ b.to(accumulate)
        return product[topology.dst, topology.src].to(dtype)
    by_dst = topology.by_dst._replace(edge_ids=None)
    pattern = _csr_tensor(by_dst, a.new_zeros(topology.num_edges, dtype=accumulate), topology)
    at, bt = (m.t().to(accumulate).contiguous() for m in (a, b))
    w = torch.sparse.sampled_addmm(pattern, at, bt.t(), beta=0.0).values().to(dtype)
    edge_ids = topology.by_dst.edge_ids
    return w if edge_ids is None else torch.empty_like(w).index_copy_(0, edge_ids.long(), w)


def _csr_tensor(view: CSR, weight: Tensor, topology: Topology) -> Tensor:
    if not _is_silenced:
        _silence_beta_warning()
    values = weight.contiguous() if view.edge_ids is None else weight[view.edge_ids]
    size = (topology.out_features, topology.in_features)
    return torch.sparse_csr_tensor(view.indptr, view.indices, values, size, check_invariants=False)


def _silence_beta_warning() -> None:
    """Build a CSR tensor with warnings off.

    torch warns at the first one of a process that they are in beta: once, whoever made it. A user
    whose own comes first is warned as ever; one whose comes after ours is not. One thread at a
    time, as two that restore Python's filters in the wrong order leave them off.
    """
    global _is_silenced
    with _lock:
        if not _is_silenced:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                # Invariants: unless told, torch has another warning, which is the user's to see.
                torch.sparse_csr_tensor(
                    [0, 0], [], [], (1, 1), device="cpu", check_invariants=False
                )
            _is_silenced = True
