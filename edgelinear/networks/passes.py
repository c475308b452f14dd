"""The operators of whole networks, `levels` and `solve`, the second the derivative of the first.

    h = levels(weight, bias, x)    h[t] = f(bias[t] + sum of weight[e] * h[s]), and x at the inputs
    u = solve(weight, d, r)        u = d * (r + W u), level by level; transposed, with W.T

The gradient of `levels` by its sums is `solve(f', grad, transposed)`, its tangent `solve(f', ...)`;
those of `solve` are `solve` again, and the `spmm` and `sddmm` of all edges at once. Only the values
of nodes are kept for a backward pass. States are (num_nodes, batch).

They are registered as `spmm` and `sddmm` are, for the same reasons: see `ops.py`.
"""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from edgelinear import _torch, backends, ops
from edgelinear.backends import cpp
from edgelinear.functional.export import take
from edgelinear.networks import compiled, generic
from edgelinear.networks.activations import ACTIVATIONS, NAMES, derivative
from edgelinear.networks.plan import ACTIVATION, FIRST, Plan
from edgelinear.ops import _EDGES, _NUM_TENSORS, _apply, _no_autocast, _Way, _way
from edgelinear.topology import Topology

torch.library.define(
    "edgelinear::levels",
    f"(Tensor weight, Tensor? bias, Tensor x, {_EDGES}, str groups, str backend) -> Tensor",
)
torch.library.define(
    "edgelinear::solve",
    f"(Tensor weight, Tensor d, Tensor r, {_EDGES}, str groups, bool transposed, str backend) "
    "-> Tensor",
)


_MANY_EDGES = 1 << 16  # from which threads put the weight into order: torch takes one alone

_levels_op = torch.ops.edgelinear.levels.default
_solve_op = torch.ops.edgelinear.solve.default


def levels(
    weight: Tensor,  # (num_edges,)
    bias: Tensor | None,  # (num_nodes,)
    x: Tensor,  # (batch, inputs)
    plan: Plan,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:  # (batch, outputs), (num_nodes, batch)
    """Return the values of the outputs, and those of all nodes by place.

    Differentiable in `weight`, `bias` and `x`, any number of times. All are of one type, float32 or
    float64.
    """
    way = _way(weight, x, bias)
    if way is _Way.KERNEL:
        return _run_levels(weight, _by_place(bias, plan), x, plan, backend)
    if way is _Way.OPERATOR:
        bias = _by_place(bias, plan)
        h = _levels_op(weight, bias, x, *plan.topology._tensors, plan.groups, backend)
        return take(h, 0, plan.outputs).t().contiguous(), h
    apply = _torch.quick_apply if way is _Way.QUICK_FUNCTION else _apply
    return apply(_Levels, weight, bias, x, plan, backend)


def solve(
    weight: Tensor,  # (num_edges,)
    d: Tensor,  # (num_nodes, batch)
    r: Tensor,  # (num_nodes, batch)
    plan: Plan,
    transposed: bool,
    backend: str = "auto",
) -> Tensor:  # (num_nodes, batch)
    """Return u with `u[t] = d[t] * (r[t] + sum of weight[e] * u[s])`, level by level.

    Transposed, edges are taken from their target to their source, from the last level to the first.
    Differentiable in `weight`, `d` and `r`, any number of times.
    """
    way = _way(weight, d, r)
    if way is _Way.KERNEL:
        return _run_solve(weight, d, r, plan, transposed, backend)
    if way is _Way.OPERATOR:
        return _solve_op(weight, d, r, *plan.topology._tensors, plan.groups, transposed, backend)
    apply = _torch.quick_apply if way is _Way.QUICK_FUNCTION else _apply
    return apply(_Solve, weight, d, r, plan, transposed, backend)


def _by_place(bias: Tensor | None, plan: Plan) -> Tensor | None:
    return None if bias is None else take(bias, 0, plan.order)


# Kernels.


def _run_levels(
    weight: Tensor, bias: Tensor | None, x: Tensor, plan: Plan, backend: str
) -> tuple[Tensor, Tensor]:
    h = _run_states(weight, bias, x, plan, backend)
    if not _is_cpp(backend, x, weight, plan.topology):
        return h.index_select(0, plan.outputs).t().contiguous(), h
    y = x.new_empty(x.shape[0], plan.outputs.shape[0])
    if y.numel():
        cpp.kernels().copy(h.t(), y, plan.outputs)
    return y, h


def _run_states(weight: Tensor, bias: Tensor | None, x: Tensor, plan: Plan, backend: str) -> Tensor:
    topology = plan.topology
    with _no_autocast(x):
        ordered = _ordered(weight, topology, False)
        if _is_cpp(backend, x, weight, topology):
            return compiled.levels(topology._target_view, ordered, bias, x, plan)
        chosen = backends.select(backend, _state_like(x, topology), weight, topology)
        return generic.levels(chosen, ordered, bias, x, plan)


def _run_solve(
    weight: Tensor, d: Tensor, r: Tensor, plan: Plan, transposed: bool, backend: str
) -> Tensor:
    topology = plan.topology
    with _no_autocast(r):
        ordered = _ordered(weight, topology, transposed)
        if _is_cpp(backend, r, weight, topology):
            view = topology._source_view if transposed else topology._target_view
            return compiled.solve(view, ordered, d, r, plan.table, transposed)
        chosen = backends.select(backend, r.t(), weight, topology)
        return generic.solve(chosen, ordered, d, r, plan.ranges(transposed))


def _is_cpp(backend: str, x: Tensor, weight: Tensor, topology: Topology) -> bool:
    return backend in ("auto", "cpp") and cpp.why_not(x, weight, topology) is None


def _is_plain_cpp(
    backend: str, x: Tensor, weight: Tensor, topology: Topology, *others: Tensor | None
) -> bool:
    """Return whether kernels can run at once, as nothing but autograd watches these tensors."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False
    return (
        x.numel() > 0
        and x.dtype == weight.dtype
        and x.dtype in (torch.float32, torch.float64)
        and not _torch.is_transforming()
        and not _torch.is_forward_mode()
        and _torch.is_memory(x, weight, *others)
        and _is_cpp(backend, x, weight, topology)
    )


def _state_like(x: Tensor, topology: Topology) -> Tensor:
    """Return a matrix of the shape that each level gathers from, without its numbers."""
    return x.new_empty(1).expand(x.shape[0], topology.in_features)


def _ordered(weight: Tensor, topology: Topology, transposed: bool) -> Tensor:
    """Return the weight in the order in which a pass meets the edges."""
    view = topology._source_view if transposed else topology._target_view
    if view.edge_ids is None:
        return weight.contiguous()
    edges = weight.shape[0]
    if edges < _MANY_EDGES or cpp.why_not(weight[None], weight, topology) is not None:
        return weight.index_select(0, view.edge_ids)
    ordered = cpp.kernels().empty(weight, edges)
    cpp.kernels().copy(weight[None], ordered[None], view.edge_ids)
    return ordered


# Derivatives. The Functions and the registrations share them.


def _derivatives(
    weight: Tensor, bias: Tensor | None, h: Tensor, plan: Plan, backend: str
) -> Tensor:  # (num_nodes, batch)
    """Return the derivative of each node's activation at its sum, differentiable.

    It follows from h itself, or else from the sums, which are computed once more.
    """
    z = None
    if _needs_sums(plan):
        z = ops.spmm(weight, h, plan.topology, backend, bias=bias, feature_major=True)
    return _slopes(z, h, plan)


def _needs_sums(plan: Plan) -> bool:
    codes = {row[ACTIVATION] for row in plan.rows[:-1]}
    return any(code >= len(NAMES) or not ACTIVATIONS[NAMES[code]].from_h for code in codes)


def _slopes(z: Tensor | None, h: Tensor, plan: Plan) -> Tensor:
    """Return the derivatives of activations at sums z, or from h alone."""
    # Groups of one activation go together: there are fewer of these than of levels.
    groups: dict[int, list[int]] = {}
    for number, row in enumerate(plan.rows[:-1]):
        groups.setdefault(row[ACTIVATION], []).append(number)
    sizes = [after[FIRST] - row[FIRST] for row, after in pairwise(plan.rows)]
    parts = [torch.empty(0)] * len(sizes)
    of_z, of_h = (None if t is None else t.split(sizes) for t in (z, h))
    assert of_h is not None
    for code, members in groups.items():
        here = None if of_z is None else torch.cat([of_z[i] for i in members])
        found = _derivative(code, here, torch.cat([of_h[i] for i in members]), plan)
        for i, part in zip(members, found.split([sizes[i] for i in members]), strict=True):
            parts[i] = part
    return torch.cat(parts) if parts else torch.ones_like(h)


def _derivative(code: int, z: Tensor | None, h: Tensor, plan: Plan) -> Tensor:
    if code >= len(NAMES):
        assert z is not None
        return derivative(plan.functions[code - len(NAMES)], z)
    named = ACTIVATIONS[NAMES[code]].derivative
    assert named is not None
    return named(h if z is None else z, h).to(h.dtype)


def _levels_gradients(
    needs: tuple,  # of weight, bias and x
    grad: Tensor | None,  # (batch, outputs)
    grad_h: Tensor | None,  # (num_nodes, batch)
    weight: Tensor,
    bias: Tensor | None,
    h: Tensor,
    plan: Plan,
    backend: str,
) -> tuple:
    inputs = plan.num_inputs
    is_plain = grad_h is None and grad is not None and _way(grad, weight, h) is _Way.KERNEL
    if is_plain:
        assert grad is not None
        gradient = _pull(needs, grad, weight, bias, h, plan, backend)
    else:
        r = torch.zeros_like(h) if grad_h is None else grad_h
        if grad is not None:
            r = r.index_add(0, plan.outputs, grad.t().to(h.dtype))
        d = _derivatives(weight, bias, h, plan, backend)
        gradient = solve(weight, d, r, plan, True, backend)
    grad_weight = grad_bias = grad_x = None
    if needs[0]:
        multiply: Any = ops._run_sddmm if is_plain else ops.sddmm
        options = {"backend": backend, "feature_major": True}
        grad_weight = multiply(gradient, h, plan.topology, h.dtype, **options)
    if needs[1]:
        grad_bias = _by_bias(gradient, inputs)
    if needs[2]:
        grad_x = gradient[:inputs].t()
    return grad_weight, grad_bias, grad_x


def _by_bias(gradient: Tensor, inputs: int) -> Tensor:
    """Return the gradient by biases, by place, from that by sums: inputs have none."""
    sums = gradient[inputs:].sum(1)
    return torch.cat([sums.new_zeros(inputs), sums])


def _pull(
    needs: tuple,
    grad: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    h: Tensor,
    plan: Plan,
    backend: str,
) -> Tensor:
    """Return the gradient by each node's sum, where no graph of it is asked for."""
    topology = plan.topology
    if not _is_cpp(backend, h, weight, topology):
        r = torch.zeros_like(h).index_add_(0, plan.outputs, grad.t().to(h.dtype))
        d = _derivatives(weight, bias, h, plan, backend)
        return _run_solve(weight, d, r, plan, True, backend)
    with _no_autocast(h):
        factors = None
        if not plan.is_compiled:
            factors = _derivatives(weight, bias, h, plan, backend).contiguous()
        table = plan.table if needs[2] else plan.table_of_others
        view, ordered = topology._source_view, _ordered(weight, topology, True)
        return compiled.pull(view, ordered, h, grad, plan.pairs, table, factors)


def _solve_gradients(
    needs: tuple,  # of weight, d and r
    grad: Tensor,
    weight: Tensor,
    d: Tensor,
    r: Tensor,
    u: Tensor,
    plan: Plan,
    transposed: bool,
    backend: str,
) -> tuple:
    there = plan.topology.T if transposed else plan.topology
    grad_r = solve(weight, d, grad, plan, not transposed, backend)
    grad_weight = grad_d = None
    if needs[0]:
        ends = (u, grad_r) if transposed else (grad_r, u)
        grad_weight = ops.sddmm(*ends, plan.topology, backend=backend, feature_major=True)
    if needs[1]:
        back = ops.spmm(weight, grad_r, there.T, backend, feature_major=True)
        grad_d = (grad + back) * (r + ops.spmm(weight, u, there, backend, feature_major=True))
    return grad_weight, grad_d, grad_r if needs[2] else None


class _Levels(torch.autograd.Function):
    @staticmethod
    def forward(
        weight: Tensor, bias: Tensor | None, x: Tensor, plan: Plan, backend: str
    ) -> tuple[Tensor, Tensor]:
        bias = _by_place(bias, plan)
        if _torch.is_plain(weight, x, bias):
            return _run_levels(weight, bias, x, plan, backend)
        h = _levels_op(weight, bias, x, *plan.topology._tensors, plan.groups, backend)
        return h.index_select(0, plan.outputs).t().contiguous(), h

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: tuple) -> None:
        weight, bias, _, *ctx.rest = inputs
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(weight, bias, output[1])
        if _torch.is_forward_mode():
            ctx.save_for_forward(weight, bias, output[1])

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple:
        weight, bias, h = ctx.saved_tensors
        plan, backend = ctx.rest
        bias = None if plan.is_compiled else _by_place(bias, plan)  # sums are then not needed
        by_weight, by_bias, by_x = _levels_gradients(
            ctx.needs_input_grad, grads[0], grads[1], weight, bias, h, plan, backend
        )
        if by_bias is not None:
            by_bias = by_bias.index_select(0, plan.place)
        return by_weight, by_bias, by_x, None, None

    @staticmethod
    def jvp(ctx: Any, weight_tangent: Any, bias_tangent: Any, x_tangent: Any, *_: Any) -> Any:
        weight, bias, h = ctx.saved_tensors
        plan, backend = ctx.rest
        inputs = plan.num_inputs
        r = torch.zeros_like(h[inputs:])
        if weight_tangent is not None:
            moved = ops.spmm(weight_tangent, h, plan.topology, backend, feature_major=True)
            r = r + moved[inputs:]
        if bias_tangent is not None:
            r = r + bias_tangent.index_select(0, plan.order)[inputs:, None]
        first = torch.zeros_like(h[:inputs]) if x_tangent is None else x_tangent.t()
        d = _derivatives(weight, _by_place(bias, plan), h, plan, backend)
        tangent = solve(weight, d, torch.cat([first, r]), plan, False, backend)
        return tangent.index_select(0, plan.outputs).t(), tangent

    @staticmethod
    def vmap(info: Any, in_dims: tuple, *inputs: Any) -> tuple:
        weight, bias, x, plan, backend = inputs
        if in_dims[0] is None and in_dims[1] is None:
            x = x.movedim(in_dims[2], 0)  # one set of weights: more samples
            y, h = levels(weight, bias, x.flatten(0, 1), plan, backend)
            return (y.unflatten(0, x.shape[:2]), h.unflatten(1, x.shape[:2])), (0, 1)
        each = zip(*ops._unbind(info, in_dims, weight, bias, x), strict=True)
        results = [levels(w, b, x, plan, backend) for w, b, x in each]
        return tuple(map(torch.stack, zip(*results, strict=True))), (0, 0)


class _Solve(torch.autograd.Function):
    @staticmethod
    def forward(
        weight: Tensor, d: Tensor, r: Tensor, plan: Plan, transposed: bool, backend: str
    ) -> Tensor:
        if _torch.is_plain(weight, d, r):
            return _run_solve(weight, d, r, plan, transposed, backend)
        return _solve_op(weight, d, r, *plan.topology._tensors, plan.groups, transposed, backend)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        weight, d, r, *ctx.rest = inputs
        ctx.save_for_backward(weight, d, r, output)
        if _torch.is_forward_mode():
            ctx.save_for_forward(weight, d, r, output)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple:
        gradients = _solve_gradients(ctx.needs_input_grad, grads[0], *ctx.saved_tensors, *ctx.rest)
        return *gradients, None, None, None

    @staticmethod
    def jvp(ctx: Any, weight_tangent: Any, d_tangent: Any, r_tangent: Any, *_: Any) -> Any:
        weight, d, r, u = ctx.saved_tensors
        plan, transposed, backend = ctx.rest
        there = plan.topology.T if transposed else plan.topology

        def gathered(weight: Tensor, u: Tensor) -> Tensor:
            return ops.spmm(weight, u, there, backend, feature_major=True)

        # u + du = (d + dd) * (r + dr + (W + dW)(u + du)), but for products of tangents.
        by_d = d_tangent * (r + gathered(weight, u))
        moved = r_tangent + gathered(weight_tangent, u) + gathered(weight, by_d)
        return by_d + solve(weight, d, moved, plan, transposed, backend)

    @staticmethod
    def vmap(info: Any, in_dims: tuple, *inputs: Any) -> tuple:
        weight, d, r, *rest = inputs
        if in_dims[0] is None:
            number = info.batch_size

            def samples(tensor: Tensor, dim: int | None) -> Tensor:
                if dim is None:
                    tensor = tensor[:, None].expand(-1, number, -1)
                else:
                    tensor = tensor.movedim(dim, 1)
                return tensor.flatten(1, 2)

            u = solve(weight, samples(d, in_dims[1]), samples(r, in_dims[2]), *rest)
            return u.unflatten(1, (number, -1)), 1
        each = zip(*ops._unbind(info, in_dims, weight, d, r), strict=True)
        return torch.stack([solve(w, d, r, *rest) for w, d, r in each]), 0


# The operators, for compilers. They take the tensors of a plan one by one.


def _plan_of(tensors: Any, groups: str) -> Plan:
    nothing: Any = None
    return Plan(Topology._from_tensors(tensors), nothing, nothing, nothing, nothing, groups, ())


def _levels_kernel(weight: Tensor, bias: Tensor | None, x: Tensor, *rest: Any) -> Tensor:
    *tensors, groups, backend = rest
    return _run_states(weight, bias, x, _plan_of(tensors, groups), backend)


def _solve_kernel(weight: Tensor, d: Tensor, r: Tensor, *rest: Any) -> Tensor:
    *tensors, groups, transposed, backend = rest
    plan = _plan_of(tensors, groups)
    return _run_solve(weight, d, r, plan, transposed, backend)


def _levels_fake(weight: Tensor, bias: Tensor | None, x: Tensor, *rest: Any) -> Tensor:
    topology = Topology._from_tensors(rest[:_NUM_TENSORS])
    return x.new_empty(topology.in_features, x.shape[0])


def _solve_fake(weight: Tensor, d: Tensor, r: Tensor, *rest: Any) -> Tensor:
    return torch.empty_like(r, memory_format=torch.contiguous_format)


def _save_levels(ctx: Any, inputs: tuple, output: Tensor) -> None:
    weight, bias, _, *rest = inputs
    *tensors, ctx.groups, ctx.backend = rest
    ctx.save_for_backward(weight, bias, output, *tensors)


def _levels_backward(ctx: Any, grad: Tensor) -> tuple:
    weight, bias, h, *tensors = ctx.saved_tensors
    plan = _plan_of(tensors, ctx.groups)
    gradients = _levels_gradients(
        ctx.needs_input_grad, None, grad, weight, bias, h, plan, ctx.backend
    )
    return *gradients, *[None] * (_NUM_TENSORS + 2)


def _save_solve(ctx: Any, inputs: tuple, output: Tensor) -> None:
    weight, d, r, *rest = inputs
    *tensors, ctx.groups, ctx.transposed, ctx.backend = rest
    ctx.save_for_backward(weight, d, r, output, *tensors)


def _solve_backward(ctx: Any, grad: Tensor) -> tuple:
    weight, d, r, u, *tensors = ctx.saved_tensors
    gradients = _solve_gradients(
        ctx.needs_input_grad,
        grad,
        weight,
        d,
        r,
        u,
        _plan_of(tensors, ctx.groups),
        ctx.transposed,
        ctx.backend,
    )
    return *gradients, *[None] * (_NUM_TENSORS + 3)


for _name, _kernel, _fake, _save, _backward in (
    ("edgelinear::levels", _levels_kernel, _levels_fake, _save_levels, _levels_backward),
    ("edgelinear::solve", _solve_kernel, _solve_fake, _save_solve, _solve_backward),
):
    torch.library.impl(_name, "default", _kernel)
    torch.library.register_fake(_name, _fake)
    torch.library.register_autograd(_name, _backward, setup_context=_save)


@register_flop_formula([torch.ops.edgelinear.levels, torch.ops.edgelinear.solve])
def _flops(weight_shape: Any, d_shape: Any, x_shape: Any, *_: Any, **__: Any) -> int:
    return 2 * weight_shape[0] * x_shape[-1]
