"""The steps of a recurrent network.

    h[t] = (1 - leak) * h[t-1] + leak * f[t]
    f[t] = function(W h[t-1] + bias + x[t]), with x at the inputs alone

or, where h are potentials, and what nodes send on is the activation of them,

    f[t] = W function(h[t-1]) + bias + x[t]

Where the compiled kernels compute the activations, all steps are one autograd.Function. It returns
f too, and what it keeps follows from that alone: where a graph of the gradient is asked for, this
is a composition of operators, and the gradient by f leads back into the Function. Elsewhere steps
are `edge_linear`, one by one: for other activations and backends, compilers, exporters, transforms
of `torch.func`, forward mode, and tensors that are more than memory.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from edgelinear import _torch, ops
from edgelinear.functional import edge_linear
from edgelinear.functional.export import take
from edgelinear.networks import history, pull
from edgelinear.networks.activations import Function
from edgelinear.networks.passes import _derivatives, _is_plain_cpp, _ordered
from edgelinear.networks.plan import Plan


class Recurrence(NamedTuple):
    """A plan without levels, with the activation of each range of places."""

    plan: Plan
    activations: list[tuple[int, int, Function]]
    is_potential: bool  # whether activations are of what is gathered; there is a leak then

    @classmethod
    def of(cls, plan: Plan, is_potential: bool) -> "Recurrence":
        activations = [
            (first, last, plan.function_of(code))
            for first, last, code in plan.activations(0, plan.num_nodes)
        ]
        return cls(plan, activations, is_potential)

    def activate(self, values: Tensor, dim: int) -> Tensor:
        """Return the activations of the places along a dimension."""
        parts = [
            function(values.narrow(dim, first, last - first))
            for first, last, function in self.activations
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim)


def steps(
    weight: Tensor,  # (num_edges,)
    bias: Tensor | None,  # (num_nodes,), by place
    leak: Tensor | None,  # (num_nodes,), by place; None is 1
    x: Tensor,  # (batch, steps, inputs)
    state: Tensor | None,  # (batch, num_nodes); None is 0
    noise: Tensor | None,  # (steps, num_nodes, batch), by place: added to the sums; overwritten
    going: Tensor | None,  # (batch, steps): which states move; None where all do
    recurrence: Recurrence,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:  # (batch, steps, outputs), (batch, num_nodes)
    """Return the outputs after each step, and the last state.

    Differentiable, any number of times, in all but the noise. All are of one type.
    """
    plan = recurrence.plan
    if going is not None or not _is_fast(weight, bias, leak, x, state, plan, backend):
        return loop(weight, bias, leak, x, state, noise, going, recurrence, backend)
    tensors = (weight, bias, leak, x, state)
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors):
        return _torch.quick_apply(_Steps, *tensors, noise, recurrence, backend)[:2]
    with ops._no_autocast(x):
        ordered = _ordered(weight, plan.topology, False)
        rest = noise, plan, recurrence.is_potential, False
        return history.forward(ordered, bias, leak, x, state, *rest)[:2]


def step(
    weight: Tensor,
    bias: Tensor | None,
    leak: Tensor | None,
    x: Tensor,  # (batch, inputs)
    state: Tensor | None,
    recurrence: Recurrence,
    backend: str = "auto",
) -> Tensor:  # (batch, num_nodes)
    """Return the state after one step, as `steps` does, where no gradient is asked for."""
    plan = recurrence.plan
    if not _is_fast(weight, bias, leak, x, state, plan, backend):
        return steps(weight, bias, leak, x[:, None], state, None, None, recurrence, backend)[1]
    with ops._no_autocast(x):
        ordered = _ordered(weight, plan.topology, False)
        return history.step(ordered, bias, leak, x, state, plan, recurrence.is_potential)


def _is_fast(
    weight: Tensor,
    bias: Tensor | None,
    leak: Tensor | None,
    x: Tensor,
    state: Tensor | None,
    plan: Plan,
    backend: str,
) -> bool:
    # In this order: Dynamo cannot trace a `cached_property`.
    return _is_plain_cpp(backend, x, weight, plan.topology, bias, leak, state) and plan.is_compiled


def loop(
    weight: Tensor,
    bias: Tensor | None,
    leak: Tensor | None,
    x: Tensor,
    state: Tensor | None,
    noise: Tensor | None,
    going: Tensor | None,
    recurrence: Recurrence,
    backend: str,
) -> tuple[Tensor, Tensor]:
    """Return the same as `steps`, by one `edge_linear` after the other."""
    plan = recurrence.plan
    inputs, others = x.shape[2], plan.num_nodes - x.shape[2]
    if state is None:
        h = x.new_zeros(x.shape[0], plan.num_nodes)
    else:
        h = take(state, 1, plan.order)
    y = []
    for step in range(x.shape[1]):
        sent = recurrence.activate(h, 1) if recurrence.is_potential else h
        z = edge_linear(sent, weight, plan.topology, bias, backend=backend)
        if noise is not None:
            z = z + noise[step].t()
        z = torch.cat([z[:, :inputs] + x[:, step], z[:, inputs:]], 1) if others else z + x[:, step]
        f = z if recurrence.is_potential else recurrence.activate(z, 1)
        after = f if leak is None else h + leak * (f - h)
        h = after if going is None else torch.where(going[:, step, None], after, h)
        y.append(take(h, 1, plan.outputs))
    return torch.stack(y, 1), take(h, 1, plan.place)


class _Steps(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        weight, bias, leak, x, state, noise, ctx.recurrence, ctx.backend = arguments
        ctx.inputs = x.shape[2]
        with ops._no_autocast(x):
            plan = ctx.recurrence.plan
            ordered = _ordered(weight, plan.topology, False)
            is_potential = ctx.recurrence.is_potential
            keep_drive = is_potential and ctx.needs_input_grad[2]
            rest = noise, plan, is_potential, True, keep_drive
            y, last, values, drive = history.forward(ordered, bias, leak, x, state, *rest)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(weight, leak, state, values, drive)
        return y, last, values, drive

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple:
        saved = ctx.saved_tensors  # read once: activation checkpoints allow no more
        grad_y, grad_last, *by_kept = grads
        needs = ctx.needs_input_grad[:5]
        if (
            by_kept == [None, None]
            and not torch.is_grad_enabled()
            and not torch.compiler.is_compiling()
            and not _torch.is_transforming()
            and _torch.is_memory(grad_y, grad_last, *saved)
        ):
            weight, leak, state, values, drive = saved
            with ops._no_autocast(weight):
                plan, is_potential = ctx.recurrence.plan, ctx.recurrence.is_potential
                ordered = _ordered(weight, plan.topology, True)
                back = pull.Pull(
                    needs, weight, ordered, leak, state, values, drive, plan, is_potential
                )
                gradients = back(grad_y, grad_last, ctx.inputs)
        else:
            rest = *saved, ctx.inputs, ctx.recurrence, ctx.backend
            gradients = _gradients(needs, grads, *rest)
        return *gradients, None, None, None


def _gradients(
    needs: tuple,  # of weight, bias, leak, x and state
    grads: tuple,
    weight: Tensor,
    leak: Tensor | None,
    state: Tensor | None,
    values: Tensor,  # (steps, num_nodes, batch)
    drive: Tensor | None,  # likewise
    inputs: int,
    recurrence: Recurrence,
    backend: str,
) -> tuple:
    """Return the gradients as a composition, which is differentiable in all of its arguments."""
    grad_y, grad_last, grad_values, grad_drive = grads
    plan, is_potential = recurrence.plan, recurrence.is_potential
    there = plan.topology.T
    first = torch.zeros_like(values[0])
    carry: Any = first  # the gradient by the state after a step
    if state is not None:
        first = state.index_select(1, plan.order).t()
    if grad_last is not None:
        carry = grad_last.index_select(1, plan.order).t()
    goal: Any = drive if is_potential else values  # where a leak goes
    before = [first]
    for value in () if goal is None else goal:
        h = before[-1]
        before.append(value if leak is None else h + leak[:, None] * (value - h))
    sent = [recurrence.activate(first, 0), *values] if is_potential else before
    # Compiled activations have derivatives that follow from what they gave, whatever the bias.
    activated = sent if is_potential else values
    slopes = [_derivatives(weight, None, value, plan, backend) for value in activated]
    by_goals = grad_drive if is_potential else grad_values
    by_sums: list[Tensor] = []
    grad_leak = None
    for step in reversed(range(len(values))):
        if grad_y is not None:
            carry = carry.index_add(0, plan.outputs, grad_y[:, step].t())
        if is_potential and grad_values is not None:
            carry = carry + slopes[step + 1] * grad_values[step]
        if needs[2]:
            moved = (carry * (goal[step] - before[step])).sum(1)
            grad_leak = moved if grad_leak is None else grad_leak + moved
        by_goal = carry if leak is None else leak[:, None] * carry
        if by_goals is not None:
            by_goal = by_goal + by_goals[step]
        by_sum = by_goal if is_potential else by_goal * slopes[step]
        by_sums.append(by_sum)
        back = ops.spmm(weight, by_sum, there, backend, feature_major=True)
        if is_potential:
            back = back * slopes[step]
        carry = back if leak is None else back + (1 - leak[:, None]) * carry
    by_sums.reverse()
    grad_weight = grad_bias = grad_x = grad_state = None
    if needs[0]:
        ends = torch.cat(by_sums, 1), torch.cat(sent[:-1], 1)
        grad_weight = ops.sddmm(*ends, plan.topology, backend=backend, feature_major=True)
    by_sum = torch.stack(by_sums)
    if needs[1]:
        grad_bias = by_sum.sum((0, 2))
    if needs[3]:
        grad_x = by_sum[:, :inputs].permute(2, 0, 1)
    if needs[4]:
        grad_state = carry.t().index_select(1, plan.place)
    return grad_weight, grad_bias, grad_leak, grad_x, grad_state
