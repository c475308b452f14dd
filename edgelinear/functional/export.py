"""The layer in torch's own operators: for ONNX, and for compiled transforms of `torch.func`.

An exporter to ONNX knows no operator of this library. Two forms stand in for it there, of gathers,
products and sums of whole rows; neither scatters, which ONNX does rightly from opset 16 on alone.
`benchmarks/onnx_forms.py` has what was measured of them in onnxruntime.

Both take targets in blocks: those of about the same fan-in, padded to as many slots each. A slot
that is padding reads an input of zeros with a weight of zero, so that values travel along edges
only. Blocks have a bounded number of slots, which also bounds what is held at once.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from edgelinear import _torch
from edgelinear.topology import Topology

Form = Callable[[Tensor, Tensor, Topology], Tensor]

BLOCK_SLOTS = 4096  # gathered at once: 1 MiB at 64 samples of float32, which a cache holds
MOST_BLOCKS = 64  # of full size: the graph of a large wiring stays small, its blocks grow
GROWTH = 1.25  # from one block size to the next: at most a fifth of the slots are padding
FEW_SLOTS = 256  # of padding, which cost less than a block of their own
FEW_SAMPLES = 4  # up to which onnxruntime gathers numbers faster than rows of them


def form() -> Form | None:
    """Return the form to compute with where only torch's operators will do, or None elsewhere."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        dynamo = torch.compiler.is_dynamo_compiling()
        if torch.onnx.is_in_onnx_export():
            return differentiable if dynamo else onnx  # Dynamo cannot look at the wiring
        if dynamo and _torch.is_compiled_transform():
            return differentiable
    return None


def differentiable(
    x: Tensor,  # (*batch, in_features)
    weight: Tensor,  # (num_edges,)
    topology: Topology,
) -> Tensor:  # (*batch, out_features)
    """The definition, with derivatives of every kind. It holds batch * edges products."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    batch = x.shape[:-1]
    # Inductor fails on derivatives of `index_add` and of `x[..., src]`, not on those of these two.
    src, dst = (end.long().expand(*batch, -1) for end in (topology.src, topology.dst))
    products = x.to(dtype).gather(-1, src) * weight.to(dtype)
    y = products.new_zeros(*batch, topology.out_features)
    return y.scatter_add(-1, dst, products).to(x.dtype)


def take(tensor: Tensor, dim: int, index: Tensor) -> Tensor:
    """Return `tensor.index_select(dim, index)`, with a derivative that Inductor gets right.

    That of `index_select`, an `index_add`, writes out of bounds if the kernel transposes, and there
    is more than one thread (pytorch#191837); that of `gather` is torch's own kernel.
    """
    if not torch.compiler.is_compiling() or torch.onnx.is_in_onnx_export():
        return tensor.index_select(dim, index)
    ones, sizes = [1] * tensor.dim(), list(tensor.shape)
    ones[dim], sizes[dim] = -1, index.shape[0]
    return tensor.gather(dim, index.long().view(ones).expand(sizes))


def onnx(
    x: Tensor,  # (*batch, in_features)
    weight: Tensor,  # (num_edges,)
    topology: Topology,
) -> Tensor:  # (*batch, out_features)
    """The form that onnxruntime runs fastest, for any batch; few samples in the export choose."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    batch = x.shape[:-1]
    samples = x.to(dtype)
    if len(batch) != 1:
        samples = samples.flatten(0, -2) if batch else samples.unsqueeze(0)
    weight = torch.cat([weight.to(dtype), weight.new_zeros(1, dtype=dtype)])
    # Another thread sees neither tracers nor fake modes: it reads wiring and sizes as they are.
    with ThreadPoolExecutor(1) as thread:
        plan = thread.submit(_plan, topology, samples).result()
    y = (_by_sample if plan.few else _by_row)(samples, weight, plan).to(x.dtype)
    return y if len(batch) == 1 else y.reshape(*batch, topology.out_features)


class _Plan(NamedTuple):
    """Which numbers to gather. Graphs are built node by node: fewer of them export sooner."""

    few: bool  # whether to compute sample by sample
    shapes: list[tuple[int, int]]  # (rows, slots) of each block
    sources: list[Tensor]  # (rows, slots) of each block: an input, or in_features for padding
    edges: Tensor  # (all slots,): an edge, or num_edges for padding
    order: Tensor  # (out_features,): the row of each target, in all blocks one after the other


def _plan(topology: Topology, x: Tensor) -> _Plan:
    few = isinstance(x.shape[0], int) and x.shape[0] <= FEW_SAMPLES  # not where it is left open
    view = topology.by_dst
    indptr, fan_in = view.indptr.cpu().numpy(), topology.fan_in.cpu().numpy()
    edges = np.arange(topology.num_edges)
    if view.edge_ids is not None:
        edges = view.edge_ids.cpu().numpy()
    # A last one of each is what padding reads.
    sources = np.append(view.indices.cpu().numpy(), topology.in_features)
    edges = np.append(edges, topology.num_edges)
    slots = _slots(fan_in)
    most = max(BLOCK_SLOTS, slots.sum() // MOST_BLOCKS)
    rows, places = [], []
    for size in np.unique(slots[slots > 0]):
        (targets,) = np.nonzero(slots == size)
        for row in np.array_split(targets, min(targets.size, -(-targets.size * size // most))):
            slot = np.arange(size)
            rows.append(row)
            places.append(np.where(slot < fan_in[row, None], indptr[row, None] + slot, -1))
    order = np.full(topology.out_features, sum(map(len, rows)))  # of those without edges: zeros
    order[np.concatenate([*rows, order[:0]])] = np.arange(sum(map(len, rows)))

    def tensor(array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(topology.device, topology.src.dtype)

    flat = np.concatenate([place.ravel() for place in places] or [order[:0]])
    if few:
        blocks = [tensor(sources[flat]).long()[None]]  # `gather` takes no others
    else:
        blocks = [tensor(sources[place]) for place in places]
    shapes = [place.shape for place in places]
    return _Plan(few, shapes, blocks, tensor(edges[flat]), tensor(order))


def _slots(fan_in: np.ndarray) -> np.ndarray:  # (out_features,)
    """Return the number of slots of each target, 0 for those without edges."""
    sizes = [1]
    while sizes[-1] < fan_in.max(initial=0):
        sizes.append(max(sizes[-1] + 1, int(sizes[-1] * GROWTH)))
    slots = np.where(fan_in > 0, np.array(sizes)[np.searchsorted(sizes, fan_in)], 0)
    above = 0
    for size in sizes[::-1]:
        targets = slots == size
        if 0 < (above - size) * targets.sum() <= FEW_SLOTS:
            slots[targets] = above
        elif targets.any():
            above = size
    return slots


def _by_row(x: Tensor, weight: Tensor, plan: _Plan) -> Tensor:
    """Gather inputs with all of their samples, and multiply them with weights row by row."""
    columns = torch.cat([x.t(), x.new_zeros(1, x.shape[0])])
    blocks = _blocks(weight.index_select(0, plan.edges), plan)
    sums = [
        torch.bmm(weights.view(rows, 1, slots), F.embedding(sources, columns))
        for (rows, slots), weights, sources in zip(plan.shapes, blocks, plan.sources, strict=True)
    ]
    rows = torch.cat([*sums, x.new_zeros(1, 1, x.shape[0])]).squeeze(1)
    return F.embedding(plan.order, rows).t()


def _by_sample(x: Tensor, weight: Tensor, plan: _Plan) -> Tensor:
    """Gather number by number."""
    columns = torch.cat([x, x.new_zeros(x.shape[0], 1)], 1)
    gathered = columns.gather(1, plan.sources[0].expand(x.shape[0], -1))
    products = gathered * weight.index_select(0, plan.edges)
    sums = [
        block.view(x.shape[0], *shape).sum(-1)
        for shape, block in zip(plan.shapes, _blocks(products, plan), strict=True)
    ]
    return torch.cat([*sums, x.new_zeros(x.shape[0], 1)], 1).index_select(1, plan.order)


def _blocks(slots: Tensor, plan: _Plan) -> Iterator[Tensor]:
    """Yield the slots of each block, of a tensor whose last dimension has all of them."""
    # Not `split`: onnxruntime cannot read its sizes where they lie in a file beside the graph.
    start = 0
    for rows, size in plan.shapes:
        yield slots.narrow(-1, start, rows * size)
        start += rows * size
