"""Passes through the levels of a network by any backend: a call of its `spmm` for each level."""

from types import ModuleType

import torch
from torch import Tensor

from edgelinear.networks.plan import Plan, Range


def levels(
    backend: ModuleType,
    weight: Tensor,  # (num_edges,), in the order of positions by target
    bias: Tensor | None,  # (num_nodes,)
    x: Tensor,  # (batch, inputs)
    plan: Plan,
) -> Tensor:  # (num_nodes, batch)
    """Return the values of all nodes: `h[t] = f(bias[t] + sum of weight[e] * h[s])`."""
    h = x.new_empty(plan.num_nodes, x.shape[0])
    h[: x.shape[1]] = x.t()
    for r in plan.ranges():
        if r.start < x.shape[1]:
            continue
        offset = None if bias is None else bias[r.start : r.stop]
        h[r.start : r.stop] = backend.spmm(weight[r.edges], h.t(), r.topology, offset).t()
        activate(h, plan, plan.activations(r.start, r.stop))
    return h


def activate(h: Tensor, plan: Plan, groups: list[tuple[int, int, int]]) -> None:
    """Activate the sums of groups: their first and last place, and their code."""
    for first, last, code in groups:
        if code:  # 0 is the identity
            part = h[first:last]
            part.copy_(plan.function_of(code)(part))


def solve(
    backend: ModuleType,
    weight: Tensor,  # (num_edges,), in the order of positions by target or, transposed, by source
    d: Tensor,  # (num_nodes, batch)
    r: Tensor,  # (num_nodes, batch)
    ranges: list[Range],
) -> Tensor:  # (num_nodes, batch)
    """Return u with `u = d * (r + W u)`, level by level in the order of the ranges."""
    u = torch.empty_like(r, memory_format=torch.contiguous_format)
    for level in ranges:
        rows = slice(level.start, level.stop)
        sums = backend.spmm(weight[level.edges], u.t(), level.topology, None).t()
        u[rows] = d[rows] * (r[rows] + sums)
    return u
