"""What a process holds and what moves, in numbers: each formula stands here once.

Inputs and outputs lie over the processes by `Shard(-1)`. Rows are features of one sample.
"""

from dataclasses import dataclass

import numpy as np

from edgelinear.topology import Topology
from edgelinear.topology.schedules import order_of
from edgelinear.topology.shares import part_bounds, split

_INT32_MAX = 2**31 - 1


@dataclass(frozen=True)
class Load:
    """The edges and rows of the process that has most of each, which is what must fit."""

    edges: int
    inputs: int  # rows of the input that lie on a process
    outputs: int  # rows of the output that lie on it
    needed: int  # inputs that its edges read
    reached: int  # rows from the first target that its edges reach to the last one
    fetched: int  # rows that come to it before the product, in a forward pass
    sent: int  # rows that it sends away after it
    whole: int  # rows that it holds of all inputs, where it fetches them all
    ordered: int = 0  # needed and reached rows that are ordered by length, as they are unlike


def chunk(size: int, grid: tuple[int, int]) -> int:
    """Rows or edges of a process: cut over the rows of a grid as `torch.chunk` does, then again."""
    rows = -(-size // grid[0])
    return -(-rows // grid[1])


def by_gather(sizes: tuple[int, int], num_edges: int, parts: int) -> Load:
    """Edge shares, all inputs gathered: whole = N, fetched = N - N / P; sums of N' / P + 1 rows.

    What is gathered is padded to as many rows of each process. Where targets have as many edges
    each, those of a part are its own, but for one that it shares and what rounding up leaves over:
    sent = 1 + (P - 1) * (ceil(N' / P) - N' / P).
    """
    edges, inputs, outputs = (chunk(n, (parts, 1)) for n in (num_edges, *sizes))
    reached = min(sizes[1], edges, outputs + 1)
    left_over = chunk((parts - 1) * (outputs * parts - sizes[1]), (parts, 1))
    alone = parts == 1
    return Load(
        edges,
        inputs,
        outputs,
        min(sizes[0], edges),
        reached,
        inputs * (parts - 1),
        0 if alone else min(reached, 1 + left_over),
        0 if alone else inputs * parts,
    )


def by_blocks(sizes: tuple[int, int], num_edges: int, grid: tuple[int, int]) -> Load:
    """Blocks of a grid (R, C): N / C inputs come, and N' / R sums go, but for those that lie here.

    The outputs of a process are among its sums. Of its inputs it has some in a grid of one row or
    one column alone: elsewhere a process, which is what counts, has none that it needs.
    """
    edges, inputs, outputs = (chunk(n, grid) for n in (num_edges, *sizes))
    columns, rows = chunk(sizes[0], (1, grid[1])), chunk(sizes[1], (grid[0], 1))
    here = inputs if 1 in grid else 0
    return Load(
        edges,
        inputs,
        outputs,
        min(columns, edges),
        min(rows, edges),
        min(columns - here, edges),
        min(rows - outputs, edges),
        0,
    )


def counted(topology: Topology, grid: tuple[int, int], gather: bool) -> Load:
    """The same as counted on a topology: the most of any process, rows that lie there left out."""
    parts = grid[0] * grid[1]
    sizes = topology.in_features, topology.out_features
    rows = []
    for share in split(topology, grid, "blocks"):
        src, dst = share.edge_index.numpy()
        needed, fan_out = np.unique(src, return_counts=True)
        reached = between(dst)
        fan_in = np.bincount(dst - dst.min()) if dst.size else dst
        elsewhere = [
            away(ids, size, grid, share.part)
            for ids, size in zip((needed, reached), sizes, strict=True)
        ]
        ordered = ordered_rows(fan_out) + ordered_rows(fan_in)
        rows.append((src.size, needed.size, reached.size, *elsewhere, ordered))
    edges, most_needed, most_reached, fetched, sent, ordered = map(max, zip(*rows, strict=True))
    inputs, outputs = (chunk(size, grid) for size in sizes)
    whole = 0
    if gather and parts > 1:
        whole, fetched = inputs * parts, inputs * (parts - 1)
    return Load(edges, inputs, outputs, most_needed, most_reached, fetched, sent, whole, ordered)


def between(dst: np.ndarray) -> np.ndarray:
    """The rows that a process computes: from the first target of its edges to the last."""
    return np.arange(dst.min(), dst.max() + 1) if dst.size else dst


def ordered_rows(counts: np.ndarray) -> int:
    """How many of these rows, of so many edges each, a view keeps an order of: all or none."""
    return 0 if order_of(np.append(0, counts.cumsum())) is None else counts.size


def away(rows: np.ndarray, size: int, grid: tuple[int, int], part: int) -> int:
    """How many of these rows lie on other processes than this one."""
    start, stop = part_bounds(size, grid, part)
    return int(((rows < start) | (rows >= stop)).sum())


def weight_bytes(load: Load, itemsize: int) -> int:
    """Weights, and gradients likewise: edges * itemsize."""
    return load.edges * itemsize


def optimizer_bytes(load: Load, itemsize: int, states: int) -> int:
    """State of the optimizer: edges * itemsize * states; Adam has two."""
    return load.edges * itemsize * states


def index_bytes(load: Load) -> int:
    """Indices: 16 bytes an edge for its numbers in the whole, and 4 local ones of 4 bytes each.

    Both views besides have a pointer a row, and some an order of their rows; on paper rows are
    alike, and have none. Runs, pieces and bands, the schedules of some large graphs, are left out.
    Local numbers beyond int32 take 8 bytes.
    """
    local = 4 if max(load.edges, load.needed, load.reached) <= _INT32_MAX else 8
    rows = load.needed + load.reached + 2 + load.ordered
    return 16 * load.edges + local * (4 * load.edges + rows)


def activation_bytes(load: Load, batch: int, itemsize: int) -> int:
    """Values and gradients of rows here, needed and reached, and all inputs twice if gathered."""
    rows = 2 * (load.inputs + load.outputs + load.needed + load.reached + load.whole)
    return batch * itemsize * rows


def moved_bytes(load: Load, batch: int, itemsize: int) -> int:
    """Rows that come before the product and go after it, and their gradients, the other way."""
    return 2 * batch * itemsize * (load.fetched + load.sent)


def largest_batch(load: Load, itemsize: int, states: int, memory: int) -> int:
    """Samples whose activations fit beside weights, gradients, optimizer state and indices."""
    fixed = (
        2 * weight_bytes(load, itemsize)
        + optimizer_bytes(load, itemsize, states)
        + index_bytes(load)
    )
    each = activation_bytes(load, 1, itemsize)
    return max(0, memory - fixed) // each if each else 0
