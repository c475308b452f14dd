"""Compiled kernels for the CPU: see `edgelinear/kernels`. They are loaded when first used."""

from typing import Any

import torch
from torch import Tensor

from edgelinear import _torch
from edgelinear.backends.library import (
    BOTH,
    DOTS,
    DTYPES,
    HUGE,
    SPREAD,
    SUMS,
    load,
    unit_stride,
    warn_of,
)
from edgelinear.topology import Topology

_HALF = (torch.bfloat16, torch.float16)

_kernels: Any = None  # once they were used: Kernels, or why they cannot be used


def _first_use() -> Any:
    """Return the kernels, or why they cannot be used, and set `_kernels` to it.

    Without a lock: threads that come here at once each find the same.
    """
    global _kernels
    _kernels = load()
    if type(_kernels) is str:
        warn_of(_kernels)
    return _kernels


def kernels() -> Any:
    """Return the kernels, or why they cannot be used."""
    return _kernels or _first_use()


def instruction_set() -> str:
    """Return the instruction set in use: one of INSTRUCTION_SETS."""
    return kernels().instruction_set


def move_to_huge_pages(weight: Tensor) -> None:
    """Move a large weight on a CPU to huge pages, at the addresses where it is.

    Edges read it in the order of sources or of targets, and in one of them all over memory.
    """
    if not weight.is_cpu or weight.nbytes < HUGE or not _torch.is_memory(weight):
        return
    kernels = _kernels or _first_use()
    if type(kernels) is not str:
        kernels.move_to_huge_pages(weight)


def why_not(x: Tensor, weight: Tensor, topology: Topology) -> str | None:
    """Return None, or why the compiled kernels cannot run this call."""
    if not (x.is_cpu and weight.is_cpu):
        return (
            f"its kernels run on a CPU: the input is on {x.device}, the weight on {weight.device}"
        )
    kernels = _kernels or _first_use()
    if type(kernels) is str:
        return kernels
    if x.dtype not in DTYPES:
        return f"it has no kernels for {x.dtype}"
    return None


def spmm(weight: Tensor, x: Tensor, topology: Topology, bias: Tensor | None = None) -> Tensor:
    """Return y with `y[b, t]` the sum of `weight[e] * x[b, s]` over the edges e: s -> t, + bias.

    y is laid out as x is.
    """
    kernels = _kernels or _first_use()
    dtype = x.dtype
    if weight.dtype != dtype and not _takes(dtype, weight.dtype):
        weight = weight.to(torch.promote_types(dtype, torch.float32))
    x, weight = unit_stride(x), weight.contiguous()
    y = kernels.empty_like(x, topology.out_features)
    if bias is not None:
        # `to` is not called in vain, here as elsewhere: it takes as long as a small layer's sums.
        bias = (bias if bias.dtype == dtype else bias.to(dtype)).contiguous()
    if topology._source_view.bands is not None and weight.dtype not in _HALF:
        kernels.run(SPREAD, topology.T, y, rowwise=x, weight=weight, bias=bias)
    else:
        kernels.run(SUMS, topology, x, sums=y, weight=weight, bias=bias)
    return y


def sddmm(a: Tensor, b: Tensor, topology: Topology, dtype: torch.dtype) -> Tensor:
    """Return w with `w[e]` the sum of `a[n, t] * b[n, s]` over the batch n, for edge e: s -> t."""
    if a.shape[0] == 0:
        return a.new_zeros(topology.num_edges, dtype=dtype)
    if a.dtype != b.dtype or dtype == torch.float64 != a.dtype:
        common = torch.promote_types(torch.promote_types(a.dtype, b.dtype), dtype)
        a, b = a.to(common), b.to(common)
    kernels = _kernels or _first_use()
    a, b = unit_stride(a), unit_stride(b)
    w_dtype = dtype if _takes(a.dtype, dtype) else torch.promote_types(a.dtype, torch.float32)
    w = kernels.empty(a, topology.num_edges, dtype=w_dtype)
    if _by_source(topology):
        kernels.run(DOTS, topology.T, a, rowwise=b, dots=w)
    else:
        kernels.run(DOTS, topology, b, rowwise=a, dots=w)
    return w if w_dtype == dtype else w.to(dtype)


def gradients(
    grad: Tensor,
    weight: Tensor,
    x: Tensor,
    topology: Topology,
    dtype: torch.dtype,
    grad_bias: Tensor | None = None,
) -> tuple[Tensor, Tensor] | None:
    """Return the gradients of the weight, in `dtype`, and of x; or None if two walks are faster.

    With them comes that of a bias, if there is a tensor for it, whose samples are added in order.
    """
    if not _takes(x.dtype, dtype) or weight.dtype != dtype or grad.dtype != x.dtype:
        return None
    if not _one_walk(topology, grad.shape[0], dtype):
        return None
    kernels = _kernels or _first_use()
    grad, x, weight = unit_stride(grad), unit_stride(x), weight.contiguous()
    grad_x = kernels.empty_like(grad, topology.in_features)
    grad_weight = kernels.empty(weight, topology.num_edges)
    kernels.run(BOTH, topology.T, grad, x, grad_x, weight, grad_weight, column_sums=grad_bias)
    return grad_weight, grad_x


def _by_source(topology: Topology) -> bool:
    """Return whether the gradient of the weight takes a walk by source instead of one by target.

    It does where that walk meets the edges in their order, and so writes side by side. And where
    inputs are many and edges few: a walk by target would pack the inputs, which then costs more
    than all else, and a walk by source packs the outputs.
    """
    wide = topology.in_features > max(2 * topology.out_features, topology.num_edges // 8)
    return topology.by_src.edge_ids is None or wide


def _one_walk(topology: Topology, batch: int, dtype: torch.dtype) -> bool:
    """Return whether one walk by source for both gradients takes less time than two.

    It reads the edges, and what it gathers, once. But where a walk by target meets the edges in
    their order, the one walk does not, and writes the gradient of the weight all over memory: then
    it pays only for so few edges that most of the time goes to the calls themselves. A large batch
    or a half weight would take too much scratch.
    """
    sample_bytes = batch * dtype.itemsize
    if not 0 < sample_bytes <= 256 or dtype in _HALF:
        return False
    unordered = topology.by_dst.edge_ids is not None and sample_bytes <= 128
    return topology.num_edges < 10_000 or unordered or _by_source(topology)


def _takes(dtype: torch.dtype, edge_dtype: torch.dtype) -> bool:
    """Return whether the kernels take matrices of `dtype` beside a weight of `edge_dtype`."""
    return edge_dtype == dtype or (dtype in _HALF and edge_dtype == torch.float32)
