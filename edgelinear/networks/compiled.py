"""Passes through the levels of a network in one call of the compiled kernels."""

from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise

from torch import Tensor

from edgelinear.backends import cpp, library
from edgelinear.networks import generic
from edgelinear.networks.activations import COMPILED
from edgelinear.networks.plan import ACTIVATION, FIRST, LEVEL, Plan, rows_of
from edgelinear.topology.views import View


def levels(
    view: View,  # by target
    weight: Tensor,  # (num_edges,), in the order of its positions
    bias: Tensor | None,  # (num_nodes,)
    x: Tensor,  # (batch, inputs)
    plan: Plan,
    aggregates: library.Aggregates | None = None,
) -> Tensor:  # (num_nodes, batch)
    """Return the values of all nodes: `h[t] = f(bias[t] + sum of weight[e] * h[s])`."""
    kernels = cpp.kernels()
    h = kernels.state(x, view.indptr.shape[0] - 1, x.shape[0])
    if x.numel():
        kernels.copy(library.unit_stride(x), h.t())
    if not h.numel():
        return h

    def parts() -> Iterator[tuple[int, int]]:
        for first, last, left in _parts(plan.groups, plan.groups_of_inputs):
            yield first, last
            generic.activate(h, plan, left)

    kernels.run_pass(plan.table, view, weight, h, bias=bias, aggregates=aggregates, parts=parts())
    return h


@lru_cache(maxsize=256)
def _parts(groups: str, inputs: int) -> list[tuple[int, int, list[tuple[int, int, int]]]]:
    """Cut the groups after the inputs where torch must compute: first, last, and what it does then.

    Levels whose activations the kernels all compute go together, others one by one.
    """
    rows = rows_of(groups)
    parts: list[tuple[int, int, list[tuple[int, int, int]]]] = []
    start = inputs
    while start < len(rows) - 1:
        stop = start + 1
        while stop < len(rows) - 1 and rows[stop][LEVEL] == rows[start][LEVEL]:
            stop += 1
        left = [
            (row[FIRST], after[FIRST], row[ACTIVATION])
            for row, after in pairwise(rows[start : stop + 1])
            if row[ACTIVATION] >= COMPILED
        ]
        if not left and parts and not parts[-1][2]:
            parts[-1] = (parts[-1][0], stop, [])
        else:
            parts.append((start, stop, left))
        start = stop
    return parts


def pull(
    view: View,  # by source
    weight: Tensor,  # (num_edges,), in the order of its positions
    h: Tensor,  # (num_nodes, batch): what `levels` gave
    grad: Tensor,  # (batch, outputs)
    pairs: Tensor,  # (outputs, 2)
    table: Tensor,  # of the groups whose gradients are asked for
    factors: Tensor | None,  # (num_nodes, batch): derivatives, where kernels have none
) -> Tensor:  # (num_nodes, batch)
    """Return the gradient by the sum of each node, from that by the outputs."""
    kernels = cpp.kernels()
    added = kernels.empty(h, grad.shape[1], grad.shape[0], dtype=h.dtype)
    if grad.numel():
        kernels.copy(library.unit_stride(grad), added.t())
    gradient = kernels.state(h, *h.shape)
    if gradient.numel():
        kernels.run_pass(
            table,
            view,
            weight,
            gradient,
            mode=library.DERIVE if factors is None else library.SCALE,
            reverse=True,
            state=h if factors is None else factors,
            added=added,
            pairs=pairs,
        )
    return gradient


def solve(
    view: View,
    weight: Tensor,  # (num_edges,), in the order of its positions
    d: Tensor,  # (num_nodes, batch)
    r: Tensor,  # (num_nodes, batch)
    table: Tensor,
    transposed: bool,
) -> Tensor:  # (num_nodes, batch)
    """Return u with `u = d * (r + W u)`, level by level; transposed, from the last one on."""
    kernels = cpp.kernels()
    d, r = d.contiguous(), r.contiguous()
    u = kernels.state(r, *r.shape)
    if u.numel():
        kernels.run_pass(
            table, view, weight, u, mode=library.SCALE, reverse=transposed, state=d, added=r
        )
    return u
