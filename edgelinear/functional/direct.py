"""The shortest way to the compiled kernels, for layers so small that every question costs.

It takes calls as most are: plain tensors of one type on a CPU, and nothing that watches. All others
go the way of `edge_linear`, which checks them one by one, to the same kernels and the same bits,
but for the gradient of a bias: kernels add its samples in order here, and torch does there.
"""

from typing import Any

import torch
from torch import Tensor

from edgelinear import _torch, ops
from edgelinear.backends import cpp
from edgelinear.backends.library import DTYPES
from edgelinear.topology import Topology


def edge_linear(
    x: Any,  # (batch, in_features)
    weight: Any,  # (num_edges,)
    topology: Any,
    bias: Any,  # (out_features,), or None
    backend: Any,
) -> Tensor | None:  # (batch, out_features)
    """Return what `edge_linear` does, or None where it must look at the call."""
    if not (
        _torch.is_unwatched()
        and _torch.is_memory_of_cpu(x, weight, bias)
        and _fit(x, weight, topology, bias)
        and (backend == "auto" or backend == "cpp")
    ):
        return None
    kernels = cpp.kernels()
    if type(kernels) is str:  # why there are none
        return None
    if torch.is_grad_enabled() and (
        x.requires_grad or weight.requires_grad or (bias is not None and bias.requires_grad)
    ):
        return _apply(weight, x, bias, (kernels, topology, backend))
    return kernels.sums(topology, x, weight, bias)


def _fit(x: Tensor, weight: Tensor, topology: Any, bias: Tensor | None) -> bool:
    """Return whether these are contiguous, of one type, and of the shapes of a layer."""
    if x.is_nested:  # and has no shape
        return False
    dtype, shape = x.dtype, x.shape
    return (
        type(topology) is Topology
        and dtype in DTYPES
        and dtype == weight.dtype
        and len(shape) == 2
        and shape[1] == topology.in_features
        and weight.shape == topology.src.shape
        and x.is_contiguous()
        and weight.is_contiguous()
        and topology.src.is_cpu
        and topology._source_view.bands is None  # whose sums take another way
        and (
            bias is None
            or (
                bias.dtype == dtype
                and bias.shape == (topology.out_features,)
                and bias.is_contiguous()
            )
        )
    )


class _Linear(torch.autograd.Function):
    """What `ops._Spmm` is where a transform may be active, with less around it."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, x: Tensor, bias: Tensor | None, rest: tuple) -> Tensor:
        needs = ctx.needs_input_grad
        ctx.save_for_backward(weight if needs[1] else None, x if needs[0] else None)
        ctx.rest = rest
        kernels, topology, _ = rest
        return kernels.sums(topology, x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple:
        (grad,) = grads
        weight, x = ctx.saved_tensors  # read once: activation checkpoints allow no more
        _, topology, backend = ctx.rest
        needs_weight, needs_x, needs_bias, _ = ctx.needs_input_grad
        if (
            torch.is_grad_enabled()
            or not _torch.is_unwatched()
            or not _torch.is_memory_of_cpu(grad, weight if x is None else x, weight)
        ):
            needs = needs_weight, needs_x, needs_bias
            rest = topology, grad.dtype, False, backend
            return *ops._spmm_gradients(needs, grad, weight, x, *rest), None
        grad_weight = grad_x = grad_bias = both = None
        if needs_weight and needs_x:
            if needs_bias:
                grad_bias = grad.new_empty(topology.out_features)
            both = cpp.gradients(grad, weight, x, topology, grad.dtype, grad_bias)
        if both is not None:
            grad_weight, grad_x = both[0], both[1].contiguous()
        else:
            if needs_weight:
                grad_weight = cpp.sddmm(grad, x, topology, grad.dtype)
            if needs_x:
                grad_x = cpp.spmm(weight, grad, topology.T).contiguous()
            if needs_bias:
                grad_bias = grad.sum(0)
        return grad_weight, grad_x, grad_bias, None


_apply = _torch.quick(_Linear)
