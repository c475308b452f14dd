"""A network by `edge_linear` and torch's own operators, level by level.

It is for what the kernels and the operators of networks do not do: functions of one's own under a
compiler, ONNX, and aggregations other than sums and means on other devices, under compilers and
transforms, and where derivatives have derivatives. Every level copies those before it.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from edgelinear import _torch
from edgelinear.functional import edge_linear
from edgelinear.functional.export import take
from edgelinear.networks.activations import Function
from edgelinear.networks.plan import Plan
from edgelinear.topology import Topology
from edgelinear.topology.levels import positions_of

AGGREGATIONS = ("sum", "mean", "product", "max", "min", "median", "maxabs")


@dataclass(frozen=True, eq=False)
class Block:
    """Nodes with one aggregation and about the same fan-in: what they gather, padded."""

    aggregation: str
    edges: Tensor  # (nodes, slots), or any where there is none
    sources: Tensor  # (nodes, slots)
    is_edge: Tensor  # (nodes, slots)
    count: Tensor  # (nodes,)


@dataclass(frozen=True, eq=False)
class Part:
    """A level: nodes that sum, those that aggregate otherwise, and how both come together."""

    start: int
    stop: int  # of places
    edges: Tensor  # of the sums
    topology: Topology  # of the sums, from all places before the level
    blocks: list[Block]
    order: Tensor  # (stop - start,): of each place, where it stands among sums and then blocks
    activations: list[tuple[int, int, Function]]  # from one place of the level to another


class Formula:
    """The levels of a plan, one by one. They are made when they are first needed."""

    def __init__(self, plan: Plan, aggregations: Sequence[str]) -> None:  # of each node
        self.plan = plan
        self.aggregations = aggregations
        self.parts: list[Part] | None = None

    @_torch.is_constant  # for Dynamo, which cannot make them
    def _prepare(self) -> None:
        if self.parts is None:
            # In a thread of its own, which is in no mode: no tensor is then a tracer's or a fake.
            with ThreadPoolExecutor(1) as thread:
                self.parts = thread.submit(_parts, self.plan, self.aggregations).result()

    def __call__(
        self,
        weight: Tensor,  # (num_edges,), in which means and the responses of sums are
        bias: Tensor | None,  # (num_nodes,), by place
        response: Tensor | None,  # (num_nodes,), by place: of the other aggregations
        x: Tensor,  # (batch, inputs)
        backend: str,
    ) -> Tensor:  # (batch, num_nodes), by place
        """Return the values of all nodes."""
        self._prepare()
        assert self.parts is not None
        values = x
        for part in self.parts:
            parts = []
            if part.topology.num_edges:
                sums = edge_linear(
                    values, take(weight, 0, part.edges), part.topology, backend=backend
                )
                parts.append(sums)
            elif part.topology.out_features or not part.blocks:
                # Without edges: torch could not save an exported program with empty constants.
                parts.append(values.new_zeros(values.shape[0], part.topology.out_features))
            for block in part.blocks:
                shape = block.sources.shape
                sources = take(values, 1, block.sources.flatten())
                # Not `unflatten`, which would fix the batch of a trace.
                sources = sources.reshape(values.shape[0], *shape)
                weights = take(weight, 0, block.edges.flatten()).view(shape)
                parts.append(aggregate(block, sources * weights))
            z = take(torch.cat(parts, 1), 1, part.order) if part.blocks else parts[0]
            if response is not None and part.blocks:
                z = z * response[part.start : part.stop]
            if bias is not None:
                z = z + bias[part.start : part.stop]
            groups = [function(z[:, first:last]) for first, last, function in part.activations]
            values = torch.cat([values, *groups], 1)
        return values


def aggregate(block: Block, messages: Tensor) -> Tensor:  # (batch, nodes, slots) -> (batch, nodes)
    """Return the aggregation of what comes in at each node."""

    def filled(value: float) -> Tensor:
        return torch.where(block.is_edge, messages, value)

    if block.aggregation == "product":
        return filled(1.0).prod(-1)
    if block.aggregation == "max":
        return filled(-torch.inf).max(-1).values
    if block.aggregation == "min":
        return filled(torch.inf).min(-1).values
    if block.aggregation == "maxabs":
        at = torch.where(block.is_edge, messages.abs(), -1.0).argmax(-1, keepdim=True)
        return messages.gather(-1, at).squeeze(-1)
    ordered = filled(torch.inf).sort(-1).values
    middle = torch.stack([(block.count - 1) // 2, block.count // 2], -1)
    last = block.is_edge.shape[-1] - 1  # where NaN is, if there is any
    middle = torch.where(ordered[..., -1:].isnan(), last, middle)
    return ordered.gather(-1, middle).mean(-1)


def _parts(plan: Plan, aggregations: Sequence[str]) -> list[Part]:
    view = plan.topology._target_view
    indptr = view.indptr.cpu().numpy().astype(np.int64)
    edges = np.arange(indptr[-1])
    if view.edge_ids is not None:
        edges = view.edge_ids.cpu().numpy().astype(np.int64)
    sources = view.indices.cpu().numpy().astype(np.int64)
    kinds = np.array(aggregations)[plan.order.cpu().numpy()]
    is_empty = (np.diff(indptr) == 0) & (kinds != "product")  # which is then 1
    kinds[is_empty | (kinds == "mean")] = "sum"
    return [
        _part(plan, r.start, r.stop, indptr, edges, sources, kinds)
        for r in plan.ranges()
        if r.start >= plan.num_inputs
    ]


def _part(
    plan: Plan,
    start: int,
    stop: int,
    indptr: np.ndarray,
    edges: np.ndarray,
    sources: np.ndarray,
    kinds: np.ndarray,
) -> Part:
    places = np.arange(start, stop)
    fan_in = np.diff(indptr)[start:stop]
    kind = kinds[start:stop]
    (sums,) = np.nonzero(kind == "sum")
    at = positions_of(indptr, places[sums])
    targets = np.repeat(np.arange(sums.size), fan_in[sums])
    topology = Topology(start, sums.size, np.stack([sources[at], targets]), duplicates="keep")

    def tensor(array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(plan.topology.device)

    blocks, order = [], [sums]
    size = 2 ** np.ceil(np.log2(np.maximum(fan_in, 1))).astype(np.int64) * (fan_in > 0)
    source_of = np.empty_like(sources)
    source_of[edges] = sources
    for aggregation in AGGREGATIONS[2:]:
        for slots in np.unique(size[kind == aggregation]):
            (nodes,) = np.nonzero((kind == aggregation) & (size == slots))
            is_edge = np.arange(slots) < fan_in[nodes, None]
            position = np.where(is_edge, indptr[places[nodes], None] + np.arange(slots), 0)
            # In the order given: the first of those alike is taken, in backward passes too.
            here = np.sort(np.where(is_edge, edges[position], edges.size)) * is_edge
            arrays = here, source_of[here] * is_edge, is_edge, fan_in[nodes]
            blocks.append(Block(aggregation, *map(tensor, arrays)))
            order.append(nodes)
    where = np.empty(stop - start, np.int64)
    where[np.concatenate(order)] = np.arange(stop - start)
    activations = [
        (first - start, last - start, plan.function_of(code))
        for first, last, code in plan.activations(start, stop)
    ]
    topology = topology.to(plan.topology.device)
    return Part(start, stop, tensor(edges[at]), topology, blocks, tensor(where), activations)
