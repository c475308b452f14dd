"""The two operators that carry everything, `spmm` and `sddmm`, each the derivative of the other.

    y = spmm(weight, x)     y[b, t] = sum of weight[e] * x[b, s]   over the edges e: s -> t
    w = sddmm(a, b)         w[e]    = sum of a[n, t] * b[n, s]     over the batch n, for e: s -> t

Matrices are (batch, features), or (features, batch) if `feature_major`. `gradients` is both at
once, as one walk over the edges may compute both derivatives of `spmm`.

Each is registered twice, and needs to be: as a `torch.library` operator with autograd, which is
what `torch.export` and AOTAutograd see, and inside an `autograd.Function`, which brings vmap,
forward mode and derivatives of derivatives under `torch.func`. Where nothing watches the call, no
compiler, no mode and no profiler, the backend is called at once: the dispatcher costs more than a
small layer.
"""

from contextlib import AbstractContextManager, nullcontext
from enum import Enum, auto
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from edgelinear import _torch, backends
from edgelinear.topology import Topology
from edgelinear.topology.views import OPTIONAL, View

_EDGES = ", ".join(
    f"Tensor{'?' * (field in OPTIONAL)} {end}_{field}"
    for end in ("dst", "src")
    for field in View._fields
)
_NUM_TENSORS = 2 * len(View._fields)
torch.library.define(
    "edgelinear::spmm",
    f"(Tensor weight, Tensor x, Tensor? bias, {_EDGES}, bool feature_major, str backend) -> Tensor",
)
torch.library.define(
    "edgelinear::sddmm",
    f"(Tensor a, Tensor b, {_EDGES}, ScalarType dtype, bool feature_major, str backend) -> Tensor",
)
torch.library.define(  # of the weight and of x: what compiled backwards call, as one walk may do
    "edgelinear::gradients",
    f"(Tensor grad, Tensor weight, Tensor x, {_EDGES}, ScalarType dtype, bool feature_major, "
    "str backend) -> (Tensor, Tensor)",
)
_spmm_op = torch.ops.edgelinear.spmm.default
_sddmm_op = torch.ops.edgelinear.sddmm.default
_gradients_op = torch.ops.edgelinear.gradients.default


def spmm(
    weight: Tensor,  # (num_edges,)
    x: Tensor,  # (batch, in_features)
    topology: Topology,
    backend: str = "auto",
    *,
    bias: Tensor | None = None,  # (out_features,)
    feature_major: bool = False,
) -> Tensor:  # (batch, out_features)
    """Return y with `y[b, t]` the sum of `weight[e] * x[b, s]` over the edges e: s -> t, + bias.

    Differentiable in `weight`, `x` and `bias`, any number of times. `y` has the type of `x`; sums
    are in float32 at least. If `feature_major`, `x` is (in_features, batch) and `y` (out_features,
    batch).

    Example:
        >>> topology = Topology(3, 2, [(0, 0), (2, 0), (1, 1)])
        >>> spmm(torch.tensor([1.0, 10.0, 100.0]), torch.tensor([[1.0, 2.0, 3.0]]), topology)
        tensor([[ 31., 200.]])
    """
    way = _way(weight, x, bias)
    if way is _Way.KERNEL:
        return _run_spmm(weight, x, bias, topology, feature_major, backend)
    if way is _Way.OPERATOR:
        return _spmm_op(weight, x, bias, *topology._tensors, feature_major, backend)
    apply = _torch.quick_apply if way is _Way.QUICK_FUNCTION else _apply
    return apply(_Spmm, weight, x, bias, topology, feature_major, backend)


def sddmm(
    a: Tensor,  # (batch, out_features)
    b: Tensor,  # (batch, in_features)
    topology: Topology,
    dtype: torch.dtype | None = None,
    backend: str = "auto",
    *,
    feature_major: bool = False,
) -> Tensor:  # (num_edges,)
    """Return w with `w[e]` the sum of `a[n, t] * b[n, s]` over the batch n, for edge e: s -> t.

    The product of `a.T @ b`, computed at the edges alone. Differentiable in `a` and `b`, any number
    of times. `dtype` is the result's, by default that of `a`; sums are in float32 at least. If
    `feature_major`, `a` is (out_features, batch) and `b` (in_features, batch).

    Example:
        >>> topology = Topology(3, 2, [(0, 0), (2, 0), (1, 1)])
        >>> sddmm(torch.tensor([[1.0, 10.0]]), torch.tensor([[1.0, 2.0, 3.0]]), topology)
        tensor([ 1.,  3., 20.])
    """
    dtype = dtype or a.dtype
    way = _way(a, b, None)
    if way is _Way.KERNEL:
        return _run_sddmm(a, b, topology, dtype, feature_major, backend)
    if way is _Way.OPERATOR:
        return _sddmm_op(a, b, *topology._tensors, dtype, feature_major, backend)
    apply = _torch.quick_apply if way is _Way.QUICK_FUNCTION else _apply
    return apply(_Sddmm, a, b, topology, dtype, feature_major, backend)


class _Way(Enum):
    """The ways into an operator, from the cheapest on."""

    KERNEL = auto()  # at once: nothing is differentiated, and nothing watches
    QUICK_FUNCTION = auto()  # an autograd.Function without the care that `torch.func` needs
    FUNCTION = auto()
    OPERATOR = auto()  # through the dispatcher, with the autograd that is registered there


def _way(a: Tensor, b: Tensor, bias: Tensor | None) -> _Way:
    """Return the cheapest way in that is right: the one place where this is decided."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return _Way.OPERATOR  # AOTAutograd and tracers see the operator, and its own autograd
    if _torch.is_transforming():
        return _Way.FUNCTION
    if _torch.is_forward_mode() or (
        torch.is_grad_enabled()
        and (a.requires_grad or b.requires_grad or (bias is not None and bias.requires_grad))
    ):
        return _Way.QUICK_FUNCTION
    return _Way.KERNEL if _torch.is_plain(a, b, bias) else _Way.OPERATOR


def _apply(function: type[torch.autograd.Function], *arguments: Any) -> Any:
    return function.apply(*arguments)


# Kernels: a backend is chosen here, for each call anew, by its shapes and types.


def _run_spmm(
    weight: Tensor,
    x: Tensor,
    bias: Tensor | None,
    topology: Topology,
    feature_major: bool,
    backend: str,
) -> Tensor:
    if not feature_major:
        with _no_autocast(x):
            chosen = backends.select(backend, x, weight, topology)
            return chosen.spmm(weight, x, topology, bias).contiguous()
    x = x.t()
    with _no_autocast(x):
        chosen = backends.select(backend, x, weight, topology)
        return chosen.spmm(weight, x, topology, bias).t().contiguous()


def _run_sddmm(
    a: Tensor,
    b: Tensor,
    topology: Topology,
    dtype: torch.dtype,
    feature_major: bool,
    backend: str,
) -> Tensor:
    if feature_major:
        a, b = a.t(), b.t()
    with _no_autocast(a):
        return backends.select(backend, b, a, topology).sddmm(a, b, topology, dtype)


def _run_gradients(
    grad: Tensor,
    weight: Tensor,
    x: Tensor,
    topology: Topology,
    dtype: torch.dtype,
    feature_major: bool,
    backend: str,
) -> tuple[Tensor, Tensor]:
    """Return the gradients of the weight and of x, in one pass if the backend has one."""
    g, h = (grad.t(), x.t()) if feature_major else (grad, x)
    both = None
    with _no_autocast(g):
        chosen = backends.select(backend, g, weight, topology.T)
        if hasattr(chosen, "gradients"):
            both = chosen.gradients(g, weight, h, topology, dtype)
    if both is None:
        grad_weight = _run_sddmm(grad, x, topology, dtype, feature_major, backend)
        return grad_weight, _run_spmm(weight, grad, None, topology.T, feature_major, backend)
    grad_weight, grad_x = both
    return grad_weight, (grad_x.t() if feature_major else grad_x).contiguous()


# An operator takes the tensors of a topology one by one, and then its options.


def _split(arguments: tuple) -> tuple[Topology, tuple]:
    tensors, options = arguments[:_NUM_TENSORS], arguments[_NUM_TENSORS:]
    return Topology._from_tensors(tensors), options


def _spmm_kernel(weight: Tensor, x: Tensor, bias: Tensor | None, *rest: Any) -> Tensor:
    topology, options = _split(rest)
    return _run_spmm(weight, x, bias, topology, *options)


def _sddmm_kernel(a: Tensor, b: Tensor, *rest: Any) -> Tensor:
    topology, options = _split(rest)
    return _run_sddmm(a, b, topology, *options)


def _gradients_kernel(grad: Tensor, weight: Tensor, x: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    topology, options = _split(rest)
    return _run_gradients(grad, weight, x, topology, *options)


def _spmm_fake(weight: Tensor, x: Tensor, bias: Tensor | None, *rest: Any) -> Tensor:
    topology, (feature_major, _) = _split(rest)
    targets = topology.out_features
    return x.new_empty((targets, x.shape[1]) if feature_major else (x.shape[0], targets))


def _sddmm_fake(a: Tensor, b: Tensor, *rest: Any) -> Tensor:
    topology, (dtype, *_) = _split(rest)
    return a.new_empty(topology.num_edges, dtype=dtype)


def _gradients_fake(grad: Tensor, weight: Tensor, x: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    topology, (dtype, feature_major, backend) = _split(rest)
    reverse = topology.T._tensors
    grad_weight = _sddmm_fake(grad, x, *topology._tensors, dtype, feature_major, backend)
    return grad_weight, _spmm_fake(weight, grad, None, *reverse, feature_major, backend)


for _name, _kernel, _fake in (
    ("edgelinear::spmm", _spmm_kernel, _spmm_fake),
    ("edgelinear::sddmm", _sddmm_kernel, _sddmm_fake),
    ("edgelinear::gradients", _gradients_kernel, _gradients_fake),
):
    torch.library.impl(_name, "default", _kernel)
    torch.library.register_fake(_name, _fake)

_NOTHING = nullcontext()


def _no_autocast(tensor: Tensor) -> AbstractContextManager:
    """Keep autocast out of a kernel, whose types were decided before it."""
    if _torch.is_any_autocast():
        return torch.autocast(tensor.device.type, enabled=False)
    return _NOTHING


# Derivatives, each operator's by the other. The Functions and the registrations share them.


def _spmm_gradients(
    needs: tuple,  # of weight, x and bias
    grad: Tensor,
    weight: Tensor,
    x: Tensor,
    topology: Topology,
    dtype: torch.dtype,
    feature_major: bool,
    backend: str,
) -> tuple:
    grad_weight = grad_x = grad_bias = None
    way = _way(grad, x, weight) if needs[0] and needs[1] else None
    options = dtype, feature_major, backend
    if way is _Way.KERNEL:
        grad_weight, grad_x = _run_gradients(grad, weight, x, topology, *options)
    elif way is _Way.OPERATOR:
        grad_weight, grad_x = _gradients_op(grad, weight, x, *topology._tensors, *options)
    else:
        if needs[0]:
            grad_weight = sddmm(grad, x, topology, dtype, backend, feature_major=feature_major)
        if needs[1]:
            grad_x = spmm(weight, grad, topology.T, backend, feature_major=feature_major)
    if needs[2]:
        grad_bias = grad.sum(1 if feature_major else 0)
    return grad_weight, grad_x, grad_bias


def _sddmm_gradients(
    needs: tuple,  # of a and b
    grad: Tensor,
    a: Tensor,
    b: Tensor,
    topology: Topology,
    feature_major: bool,
    backend: str,
) -> tuple:
    grad_a = grad_b = None
    if needs[0]:
        grad_a = spmm(grad, b, topology, backend, feature_major=feature_major)
    if needs[1]:
        grad_b = spmm(grad, a, topology.T, backend, feature_major=feature_major)
    return grad_a, grad_b


def _save_factors(ctx: Any, first: Tensor, second: Tensor, *others: Any) -> None:
    # The derivative by one factor needs the other one: each is kept only where that is asked for.
    needs_first, needs_second, *_ = ctx.needs_input_grad
    ctx.save_for_backward(first if needs_second else None, second if needs_first else None, *others)


class _Spmm(torch.autograd.Function):
    @staticmethod
    def forward(weight: Tensor, x: Tensor, bias: Tensor | None, *rest: Any) -> Tensor:
        if _torch.is_plain(weight, x, bias):
            return _run_spmm(weight, x, bias, *rest)
        return _spmm_op(weight, x, bias, *rest[0]._tensors, *rest[1:])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        weight, x, _, *ctx.rest = inputs
        ctx.dtype = weight.dtype
        _save_factors(ctx, weight, x)
        if _torch.is_forward_mode():
            ctx.save_for_forward(weight, x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple:
        weight, x = ctx.saved_tensors  # read once: activation checkpoints allow no more
        topology, *options = ctx.rest
        needs = ctx.needs_input_grad
        gradients = _spmm_gradients(needs, grads[0], weight, x, topology, ctx.dtype, *options)
        return *gradients, None, None, None

    @staticmethod
    def jvp(ctx: Any, weight_tangent: Tensor, x_tangent: Tensor, bias_tangent: Any, *_: Any) -> Any:
        # The tangents of weight and x are materialised, as zeros where an input has none.
        weight, x = ctx.saved_tensors
        topology, feature_major, backend = ctx.rest
        by_weight = spmm(
            weight_tangent, x, topology, backend, bias=bias_tangent, feature_major=feature_major
        )
        return by_weight + spmm(weight, x_tangent, topology, backend, feature_major=feature_major)

    @staticmethod
    def vmap(info: Any, in_dims: tuple, *inputs: Any) -> tuple[Tensor, int]:
        weight, x, bias, topology, feature_major, backend = inputs
        if in_dims[0] is None and in_dims[2] is None and not feature_major:
            x = x.movedim(in_dims[1], 0)  # one set of weights: the new dimension is more samples
            y = spmm(weight, x.flatten(0, 1), topology, backend, bias=bias)
            return y.unflatten(0, x.shape[:2]), 0
        return torch.stack(
            [
                spmm(w, x, topology, backend, bias=b, feature_major=feature_major)
                for w, x, b in zip(*_unbind(info, in_dims, weight, x, bias), strict=True)
            ]
        ), 0


class _Sddmm(torch.autograd.Function):
    @staticmethod
    def forward(a: Tensor, b: Tensor, *rest: Any) -> Tensor:
        if _torch.is_plain(a, b, None):
            return _run_sddmm(a, b, *rest)
        return _sddmm_op(a, b, *rest[0]._tensors, *rest[1:])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        a, b, *ctx.rest = inputs
        _save_factors(ctx, a, b)
        if _torch.is_forward_mode():
            ctx.save_for_forward(a, b)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple:
        a, b = ctx.saved_tensors
        topology, _, *options = ctx.rest
        gradients = _sddmm_gradients(ctx.needs_input_grad, grads[0], a, b, topology, *options)
        return *gradients, None, None, None, None

    @staticmethod
    def jvp(ctx: Any, a_tangent: Tensor, b_tangent: Tensor, *_: Any) -> Tensor:
        a, b = ctx.saved_tensors
        topology, dtype, feature_major, backend = ctx.rest
        by_a = sddmm(a_tangent, b, topology, dtype, backend, feature_major=feature_major)
        return by_a + sddmm(a, b_tangent, topology, dtype, backend, feature_major=feature_major)

    @staticmethod
    def vmap(info: Any, in_dims: tuple, *inputs: Any) -> tuple[Tensor, int]:
        a, b, topology, dtype, feature_major, backend = inputs
        return torch.stack(
            [
                sddmm(a, b, topology, dtype, backend, feature_major=feature_major)
                for a, b in zip(*_unbind(info, in_dims, a, b), strict=True)
            ]
        ), 0


def _unbind(info: Any, in_dims: tuple, *tensors: Tensor | None) -> list:
    """Return a list of tensors for each argument, the same one again where it is not mapped."""
    return [
        [t] * info.batch_size if t is None or dim is None else t.unbind(dim)
        for t, dim in zip(tensors, in_dims, strict=False)
    ]


def _save_spmm(ctx: Any, inputs: tuple, output: Tensor) -> None:
    weight, x, _, *rest = inputs
    _save_factors(ctx, weight, x, *rest[:_NUM_TENSORS])
    ctx.options = (weight.dtype, *rest[_NUM_TENSORS:])


def _spmm_backward(ctx: Any, grad: Tensor) -> tuple:
    weight, x, *tensors = ctx.saved_tensors
    topology = Topology._from_tensors(tensors)
    gradients = _spmm_gradients(ctx.needs_input_grad, grad, weight, x, topology, *ctx.options)
    return *gradients, *[None] * (_NUM_TENSORS + 2)


def _save_sddmm(ctx: Any, inputs: tuple, output: Tensor) -> None:
    a, b, *rest = inputs
    _save_factors(ctx, a, b, *rest[:_NUM_TENSORS])
    _, *ctx.options = rest[_NUM_TENSORS:]


def _sddmm_backward(ctx: Any, grad: Tensor) -> tuple:
    a, b, *tensors = ctx.saved_tensors
    topology = Topology._from_tensors(tensors)
    gradients = _sddmm_gradients(ctx.needs_input_grad, grad, a, b, topology, *ctx.options)
    return *gradients, *[None] * (_NUM_TENSORS + 3)


def _save_gradients(ctx: Any, inputs: tuple, output: tuple) -> None:
    ctx.save_for_backward(*inputs[: 3 + _NUM_TENSORS])
    _, *ctx.options = inputs[3 + _NUM_TENSORS :]


def _gradients_backward(ctx: Any, by_weight: Tensor, by_x: Tensor) -> tuple:
    grad, weight, x, *tensors = ctx.saved_tensors
    topology = Topology._from_tensors(tensors)
    needs, (feature_major, backend) = ctx.needs_input_grad, ctx.options
    of_grad = of_weight = of_x = None

    def sums(weight: Tensor, x: Tensor, topology: Topology) -> Tensor:
        return spmm(weight, x, topology, backend, feature_major=feature_major)

    if needs[0]:
        of_grad = sums(by_weight.to(weight.dtype), x, topology) + sums(weight, by_x, topology)
    if needs[1]:
        dtype = weight.dtype
        of_weight = sddmm(grad, by_x, topology, dtype, backend, feature_major=feature_major)
    if needs[2]:
        of_x = sums(by_weight.to(weight.dtype), grad, topology.T)
    return of_grad, of_weight, of_x, *[None] * (_NUM_TENSORS + 3)


torch.library.register_autograd("edgelinear::spmm", _spmm_backward, setup_context=_save_spmm)
torch.library.register_autograd(
    "edgelinear::gradients", _gradients_backward, setup_context=_save_gradients
)
torch.library.register_autograd("edgelinear::sddmm", _sddmm_backward, setup_context=_save_sddmm)


@register_flop_formula(torch.ops.edgelinear.spmm)
def _spmm_flops(weight_shape: Any, x_shape: Any, bias: Any, *rest: Any, **__: Any) -> int:
    feature_major, _ = rest[_NUM_TENSORS:]
    return 2 * weight_shape[0] * x_shape[1 if feature_major else 0]


@register_flop_formula(torch.ops.edgelinear.sddmm)
def _sddmm_flops(a_shape: Any, b_shape: Any, *rest: Any, **__: Any) -> int:
    end_shape, (_, feature_major, _) = rest[0], rest[_NUM_TENSORS:]
    return 2 * end_shape[0] * a_shape[1 if feature_major else 0]


@register_flop_formula(torch.ops.edgelinear.gradients)
def _gradients_flops(grad_shape: Any, weight_shape: Any, *rest: Any, **__: Any) -> int:
    _, feature_major, _ = rest[1 + _NUM_TENSORS :]
    return 4 * weight_shape[0] * grad_shape[1 if feature_major else 0]
