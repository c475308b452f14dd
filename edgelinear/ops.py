"""The two operators that carry everything, `spmm` and `sddmm`, each the derivative of the other.

    y = spmm(weight, x)     y[b, t] = sum of weight[e] * x[b, s]   over the edges e: s -> t
    w = sddmm(a, b)         w[e]    = sum of a[n, t] * b[n, s]     over the batch n, for e: s -> t

Each is registered twice, and needs to be: as a `torch.library` operator with autograd, which is
what `torch.export` and AOTAutograd see, and inside an `autograd.Function`, which brings vmap,
forward mode and derivatives of derivatives under `torch.func`.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from edgelinear import backends
from edgelinear.topology import Topology

_EDGES = (
    "Tensor src, Tensor dst, "
    "Tensor dst_indptr, Tensor dst_indices, Tensor? dst_edge_ids, "
    "Tensor src_indptr, Tensor src_indices, Tensor? src_edge_ids"
)
torch.library.define(
    "edgelinear::spmm", f"(Tensor weight, Tensor x, {_EDGES}, str backend) -> Tensor"
)
torch.library.define(
    "edgelinear::sddmm",
    f"(Tensor a, Tensor b, {_EDGES}, ScalarType dtype, str backend) -> Tensor",
)


def spmm(
    weight: Tensor,  # (num_edges,)
    x: Tensor,  # (batch, in_features)
    topology: Topology,
    backend: str = "auto",
) -> Tensor:  # (batch, out_features)
    """Return y with `y[b, t]` the sum of `weight[e] * x[b, s]` over the edges e: s -> t.

    Differentiable in `weight` and `x`, any number of times. `y` has the type of `x`; sums are in
    float32 at least.

    Example:
        >>> topology = Topology(3, 2, [(0, 0), (2, 0), (1, 1)])
        >>> spmm(torch.tensor([1.0, 10.0, 100.0]), torch.tensor([[1.0, 2.0, 3.0]]), topology)
        tensor([[ 31., 200.]])
    """
    return _spmm(weight, x, topology.views, backend)


def sddmm(
    a: Tensor,  # (batch, out_features)
    b: Tensor,  # (batch, in_features)
    topology: Topology,
    dtype: torch.dtype | None = None,
    backend: str = "auto",
) -> Tensor:  # (num_edges,)
    """Return w with `w[e]` the sum of `a[n, t] * b[n, s]` over the batch n, for edge e: s -> t.

    The product of `a.T @ b`, computed at the edges alone. Differentiable in `a` and `b`, any number
    of times. `dtype` is the result's, by default that of `a`; sums are in float32 at least.

    Example:
        >>> topology = Topology(3, 2, [(0, 0), (2, 0), (1, 1)])
        >>> sddmm(torch.tensor([[1.0, 10.0]]), torch.tensor([[1.0, 2.0, 3.0]]), topology)
        tensor([ 1.,  3., 20.])
    """
    return _sddmm(a, b, topology.views, dtype or a.dtype, backend)


def _spmm(weight: Tensor, x: Tensor, views: tuple, backend: str) -> Tensor:
    return _enter(torch.ops.edgelinear.spmm.default, _Spmm, weight, x, *views, backend)


def _sddmm(a: Tensor, b: Tensor, views: tuple, dtype: torch.dtype, backend: str) -> Tensor:
    return _enter(torch.ops.edgelinear.sddmm.default, _Sddmm, a, b, *views, dtype, backend)


def _enter(op: Callable, function: Any, *args: Any) -> Tensor:
    """Enter an operator the cheapest way that is right: the one place where this is decided."""
    if torch.compiler.is_compiling():
        return op(*args)  # AOTAutograd and export see the operator, and its own autograd
    if torch._C._are_functorch_transforms_active():
        return function.apply(*args)
    if torch.autograd.forward_ad._current_level >= 0 or _needs_grad(args[0], args[1]):
        # `Function.apply` spends most of its time in `inspect.bind`, which only transforms need.
        return super(torch.autograd.Function, function).apply(*args)
    return op(*args)


def _needs_grad(a: Tensor, b: Tensor) -> bool:
    return torch.is_grad_enabled() and (a.requires_grad or b.requires_grad)


def _transposed(views: tuple) -> tuple:
    src, dst, *by = views
    return (dst, src, *by[3:], *by[:3])


# Kernels: the compile boundary. Here a backend is chosen, from the shapes of this very call.


def _spmm_kernel(weight: Tensor, x: Tensor, *rest: Any) -> Tensor:
    topology, backend = Topology.from_views(rest[:8]), rest[8]
    with _no_autocast(x):
        return backends.select(backend, x, weight, topology).spmm(weight, x, topology)


def _sddmm_kernel(a: Tensor, b: Tensor, *rest: Any) -> Tensor:
    topology, dtype, backend = Topology.from_views(rest[:8]), rest[8], rest[9]
    with _no_autocast(a):
        return backends.select(backend, b, a, topology).sddmm(a, b, topology, dtype)


def _spmm_fake(
    weight: Tensor, x: Tensor, src: Tensor, dst: Tensor, dst_indptr: Tensor, *_: Any
) -> Tensor:
    return x.new_empty(x.shape[0], dst_indptr.shape[0] - 1)


def _sddmm_fake(a: Tensor, b: Tensor, src: Tensor, *rest: Any) -> Tensor:
    return a.new_empty(src.shape[0], dtype=rest[-2])


for _name, _kernel, _fake in (
    ("edgelinear::spmm", _spmm_kernel, _spmm_fake),
    ("edgelinear::sddmm", _sddmm_kernel, _sddmm_fake),
):
    torch.library.impl(_name, "default", _kernel)
    torch.library.register_fake(_name, _fake)


def _no_autocast(tensor: Tensor) -> AbstractContextManager:
    """Keep autocast out of a kernel, whose types were decided before it."""
    device_type = tensor.device.type
    if torch.is_autocast_enabled(device_type):
        return torch.autocast(device_type, enabled=False)
    return nullcontext()


# Derivatives, each operator's by the other. Both registrations share them.


def _save(ctx: Any, inputs: tuple, output: Tensor) -> None:
    first, second, *views = inputs[:10]
    needs_first, needs_second = ctx.needs_input_grad[:2]
    # Of two factors, the derivative by one needs the other: a frozen one spares its partner.
    ctx.save_for_backward(first if needs_second else None, second if needs_first else None, *views)
    ctx.dtype, ctx.result_dtype, ctx.backend = first.dtype, output.dtype, inputs[-1]


def _save_for_both_modes(ctx: Any, inputs: tuple, output: Tensor) -> None:
    _save(ctx, inputs, output)
    ctx.save_for_forward(*inputs[:10])


def _saved(ctx: Any) -> tuple[Tensor, Tensor, tuple]:
    first, second, *views = ctx.saved_tensors  # read once: activation checkpoints allow no more
    return first, second, tuple(views)


def _spmm_backward(ctx: Any, *grads: Tensor) -> tuple:
    (grad,) = grads
    weight, x, views = _saved(ctx)
    grad_weight = grad_x = None
    if ctx.needs_input_grad[0]:
        grad_weight = _sddmm(grad, x, views, ctx.dtype, ctx.backend)
    if ctx.needs_input_grad[1]:
        grad_x = _spmm(weight, grad, _transposed(views), ctx.backend)
    return grad_weight, grad_x, *[None] * 9


def _sddmm_backward(ctx: Any, *grads: Tensor) -> tuple:
    (grad,) = grads
    a, b, views = _saved(ctx)
    grad_a = grad_b = None
    if ctx.needs_input_grad[0]:
        grad_a = _spmm(grad, b, views, ctx.backend)
    if ctx.needs_input_grad[1]:
        grad_b = _spmm(grad, a, _transposed(views), ctx.backend)
    return grad_a, grad_b, *[None] * 10


torch.library.register_autograd("edgelinear::spmm", _spmm_backward, setup_context=_save)
torch.library.register_autograd("edgelinear::sddmm", _sddmm_backward, setup_context=_save)


class _Spmm(torch.autograd.Function):
    setup_context = staticmethod(_save_for_both_modes)
    backward = staticmethod(_spmm_backward)

    @staticmethod
    def forward(*args: Any) -> Tensor:
        return torch.ops.edgelinear.spmm.default(*args)

    @staticmethod
    def jvp(ctx: Any, weight_tangent: Tensor, x_tangent: Tensor, *_: Any) -> Tensor:
        # Both tangents are materialised, as zeros where an input has none.
        weight, x, views = _saved(ctx)
        by_weight = _spmm(weight_tangent, x, views, ctx.backend)
        return by_weight + _spmm(weight, x_tangent, views, ctx.backend)

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple, weight: Tensor, x: Tensor, *rest: Any
    ) -> tuple[Tensor, int]:
        views, backend = rest[:8], rest[8]
        if in_dims[0] is None:  # one set of weights: the mapped dimension is more samples
            x = x.movedim(in_dims[1], 0)
            return _spmm(weight, x.flatten(0, 1), views, backend).unflatten(0, x.shape[:2]), 0
        pairs = zip(*_unbind(info, in_dims, weight, x), strict=True)
        return torch.stack([_spmm(w, x, views, backend) for w, x in pairs]), 0


class _Sddmm(torch.autograd.Function):
    setup_context = staticmethod(_save_for_both_modes)
    backward = staticmethod(_sddmm_backward)

    @staticmethod
    def forward(*args: Any) -> Tensor:
        return torch.ops.edgelinear.sddmm.default(*args)

    @staticmethod
    def jvp(ctx: Any, a_tangent: Tensor, b_tangent: Tensor, *_: Any) -> Tensor:
        a, b, views = _saved(ctx)
        by_a = _sddmm(a_tangent, b, views, ctx.result_dtype, ctx.backend)
        return by_a + _sddmm(a, b_tangent, views, ctx.result_dtype, ctx.backend)

    @staticmethod
    def vmap(info: Any, in_dims: tuple, a: Tensor, b: Tensor, *rest: Any) -> tuple[Tensor, int]:
        views, dtype, backend = rest[:8], rest[8], rest[9]
        pairs = zip(*_unbind(info, in_dims, a, b), strict=True)
        return torch.stack([_sddmm(a, b, views, dtype, backend) for a, b in pairs]), 0


def _unbind(info: Any, in_dims: tuple, *tensors: Tensor) -> list:
    """Return a list of tensors for each argument, the same one again where it is not mapped."""
    return [
        [t] * info.batch_size if dim is None else t.unbind(dim)
        for t, dim in zip(tensors, in_dims, strict=False)
    ]


@register_flop_formula(torch.ops.edgelinear.spmm)
def _spmm_flops(weight_shape: Any, x_shape: Any, *_: Any, **__: Any) -> int:
    return 2 * weight_shape[0] * x_shape[0]


@register_flop_formula(torch.ops.edgelinear.sddmm)
def _sddmm_flops(a_shape: Any, b_shape: Any, src_shape: Any, *_: Any, **__: Any) -> int:
    return 2 * src_shape[0] * a_shape[0]
