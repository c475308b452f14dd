"""Networks whose nodes aggregate otherwise than by sums, in calls of the compiled kernels.

    h[t] = f(bias[t] + response[t] * aggregation of weight[e] * h[s] over the edges e: s -> t)

Edges into sums are a plan of their own; nodes of other kinds take their edges one by one. Only the
values of nodes are kept for a backward pass. Where a graph of the gradient is asked for, it is that
of the `Formula`, which is computed then. Where kernels cannot run, the formula is all there is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgelinear import _torch, ops
from edgelinear.backends import cpp
from edgelinear.backends.library import DERIVE, SCALE, Aggregates
from edgelinear.networks import compiled
from edgelinear.networks.formula import AGGREGATIONS, Formula
from edgelinear.networks.passes import (
    _by_bias,
    _is_plain_cpp,
    _needs_sums,
    _ordered,
    _slopes,
)
from edgelinear.networks.plan import Plan
from edgelinear.topology import Topology

# In the order of `Aggregation` of kernels.h.
KINDS = AGGREGATIONS[2:]


@dataclass(frozen=True, eq=False)
class Split:
    """The edges of a plan: those into sums, and the others by node, in the order given."""

    plan: Plan  # of the edges into sums alone
    most: int  # edges of a node of another kind
    sums: Tensor  # (edges of the plan,): the edge that each is
    others: Tensor  # (other edges,): the edge that each is
    sources: Tensor  # (other edges,): the place of the source of each
    nodes: Tensor  # (count + 1, 3): the `Node`s of kernels.h
    places: Tensor  # (count,): of these nodes

    @classmethod
    def of(cls, plan: Plan, aggregations: Sequence[str]) -> "Split":  # of each node
        src, dst = plan.topology.edge_index.numpy()
        codes = {name: code for code, name in enumerate(KINDS)}
        kinds = np.array([codes.get(name, -1) for name in aggregations])[plan.order.numpy()]
        kinds[: plan.num_inputs] = -1  # they aggregate nothing
        (places,) = np.nonzero(kinds >= 0)
        (sums,) = np.nonzero(kinds[dst] < 0)
        (others,) = np.nonzero(kinds[dst] >= 0)
        others = others[np.argsort(dst[others], kind="stable")]
        rows = np.append(places, plan.num_nodes)
        begin = np.searchsorted(dst[others], rows)
        nodes = np.stack([rows, np.append(kinds[places], 0), begin], 1)
        with torch.inference_mode(False):
            number, ends = plan.num_nodes, np.stack([src[sums], dst[sums]])
            between = Topology(number, number, ends, duplicates="keep")
            most = int(np.diff(begin).max(initial=0))
            arrays = sums, others, src[others], nodes, places
            return cls(plan.over(between), most, *map(torch.from_numpy, arrays))

    def aggregates(self, weight: Tensor, response: Tensor | None) -> Aggregates:
        if response is not None:
            response = response.index_select(0, self.places)
        weight = weight.index_select(0, self.others)
        return Aggregates(self.nodes, self.sources, weight, response, self.most)


def is_fast(
    weight: Tensor,
    bias: Tensor | None,
    response: Tensor | None,
    x: Tensor,
    plan: Plan,
    backend: str,
) -> bool:
    """Return whether the kernels compute this."""
    return _is_plain_cpp(backend, x, weight, plan.topology, bias, response)


def levels(
    weight: Tensor,  # (num_edges,), in which means and the responses of sums are
    bias: Tensor | None,  # (num_nodes,), by place
    response: Tensor | None,  # (num_nodes,), by place: of the other aggregations
    x: Tensor,  # (batch, inputs)
    split: Split,
    formula: Formula,
    backend: str,
) -> Tensor:  # (num_nodes, batch), by place
    """Return the values of all nodes. Differentiable in the tensors, any number of times."""
    tensors = weight, bias, response, x
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors):
        return _torch.quick_apply(_Levels, *tensors, split, formula, backend)
    return _run(*tensors, split)


def _run(
    weight: Tensor, bias: Tensor | None, response: Tensor | None, x: Tensor, split: Split
) -> Tensor:
    plan = split.plan
    with ops._no_autocast(x):
        ordered = _ordered(weight.index_select(0, split.sums), plan.topology, False)
        aggregates = split.aggregates(weight, response)
        return compiled.levels(plan.topology._target_view, ordered, bias, x, plan, aggregates)


class _Levels(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> Tensor:
        weight, bias, response, x, ctx.split, ctx.formula, ctx.backend = arguments
        h = _run(weight, bias, response, x, ctx.split)
        ctx.save_for_backward(weight, bias, response, x, h)
        return h

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple:
        weight, bias, response, x, h = ctx.saved_tensors
        needs, grad = ctx.needs_input_grad[:4], grads[0]
        if (
            torch.is_grad_enabled()
            or torch.compiler.is_compiling()
            or _torch.is_transforming()
            or not _torch.is_memory(grad, weight, bias, response, x, h)
        ):
            tensors = weight, bias, response, x
            gradients = _by_formula(needs, grad, tensors, ctx.formula, ctx.backend)
        else:
            with ops._no_autocast(h):
                gradients = _by_kernels(needs, grad, weight, bias, response, h, ctx.split)
        return *gradients, None, None, None


def _by_formula(
    needs: tuple, grad: Tensor, tensors: tuple, formula: Formula, backend: str
) -> tuple[Tensor | None, ...]:
    """Return the gradients by weight, bias, response and x, with a graph where one is asked for."""
    has_graph = torch.is_grad_enabled()
    with torch.enable_grad():
        # Views, for the gradient by one tensor does not lead through another one.
        views: list[Any] = [None if t is None else t.view_as(t) for t in tensors]
        weight, bias, response, x = views
        h = formula(weight, bias, response, x, backend).t()
        wanted = [view for view, need in zip(views, needs, strict=True) if need]
        if not h.requires_grad:  # there are no edges
            return tuple(
                torch.zeros_like(t) if need else None
                for t, need in zip(tensors, needs, strict=True)
            )
        options = {"create_graph": has_graph, "materialize_grads": True}
        found = iter(torch.autograd.grad(h, wanted, grad, **options))
    return tuple(next(found) if need else None for need in needs)


def _by_kernels(
    needs: tuple,  # of weight, bias, response and x
    grad: Tensor,  # (num_nodes, batch)
    weight: Tensor,
    bias: Tensor | None,
    response: Tensor | None,
    h: Tensor,
    split: Split,
) -> tuple[Tensor | None, ...]:
    """Return the same gradients where no graph of them is asked for."""
    kernels, plan = cpp.kernels(), split.plan
    inputs, topology = plan.num_inputs, plan.topology
    of_sums = weight.index_select(0, split.sums)
    aggregates = split.aggregates(weight, response)._replace(values=h)
    mode, state = DERIVE, h
    if not plan.is_compiled:
        z = _sums(of_sums, bias, h, aggregates, plan) if _needs_sums(plan) else None
        mode, state = SCALE, _slopes(z, h, plan).contiguous()
    by_weight = torch.empty_like(aggregates.weight)
    by_response = h.new_empty(len(split.places))
    if needs[0] or needs[2]:
        aggregates = aggregates._replace(grad_weight=by_weight, grad_response=by_response)
    gradient = kernels.state(h, *h.shape)
    kernels.run_pass(
        plan.table if needs[3] else plan.table_of_others,
        topology._source_view,
        _ordered(of_sums, topology, True),
        gradient,
        mode=mode,
        reverse=True,
        state=state,
        added=kernels.empty(h, *h.shape).copy_(grad),  # which the kernels add to
        aggregates=aggregates,
    )
    grad_weight = grad_bias = grad_response = grad_x = None
    if needs[0]:
        grad_weight = torch.empty_like(weight)
        by_sums = ops.sddmm(gradient, h, topology, feature_major=True)
        grad_weight.index_copy_(0, split.sums, by_sums).index_copy_(0, split.others, by_weight)
    if needs[1]:
        grad_bias = _by_bias(gradient, inputs)
    if needs[2]:
        grad_response = h.new_zeros(len(h)).index_copy_(0, split.places, by_response)
    if needs[3]:
        grad_x = gradient[:inputs].t()
    return grad_weight, grad_bias, grad_response, grad_x


def _sums(
    weight: Tensor,  # of the edges into sums
    bias: Tensor | None,
    h: Tensor,
    aggregates: Aggregates,
    plan: Plan,
) -> Tensor:  # (num_nodes, batch)
    """Return what activations were of: all nodes as one level, whose activation is the identity."""
    kernels = cpp.kernels()
    edges = plan.topology.num_edges
    z = kernels.state(h, *h.shape)
    kernels.run_pass(
        torch.tensor([[0, 0, 0, 0, 0], [plan.num_nodes, 1, 0, edges, edges]], device="cpu"),
        plan.topology._target_view,
        _ordered(weight, plan.topology, False),
        z,
        gathered=kernels.state(h, *h.shape).copy_(h),  # after which memory may be read
        bias=bias,
        aggregates=aggregates,
    )
    return z
