"""`plan`: what a layer over many processes takes, before any is started."""

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from edgelinear.comparison.tables import aligned, drawn, show
from edgelinear.comparison.units import short, size
from edgelinear.parallel import formulas
from edgelinear.topology import Topology
from edgelinear.topology.checks import as_size
from edgelinear.topology.shares import as_grid

if TYPE_CHECKING:
    import rich.table

HEADERS = (
    ("", "way"),
    ("", "edges"),
    ("", "weights"),
    ("", "gradients"),
    ("", "optimizer"),
    ("", "indices"),
    ("", "activations"),
    ("", "in all"),
    ("moved", "a step"),
    ("largest", "batch"),
)
LEGEND = "of the process that has most; moved: what comes and goes, forward and backward"


@dataclass(frozen=True)
class Way:
    """What one way to share a layer takes on each process, in bytes."""

    name: str
    grid: tuple[int, int]
    edges: int
    weights: int
    gradients: int
    optimizer: int
    indices: int
    activations: int
    moved: int  #: in a step of forward and backward
    largest_batch: int | None  #: None where no memory was given

    @property
    def total(self) -> int:
        """All that a process holds."""
        return self.weights + self.gradients + self.optimizer + self.indices + self.activations


@dataclass(frozen=True)
class Plan:
    """What `plan` found: `print` gives a plain table, `show` a coloured one in a terminal.

    Example:
        >>> print(plan((1000, 1000, 50_000), processes=4, batch=32).title)
        1,000 -> 1,000, 50,000 edges over 4 processes, batch 32, float32
    """

    in_features: int
    out_features: int
    num_edges: int
    processes: int
    batch: int
    dtype: str
    memory: int | None  #: bytes of a process
    ways: list[Way]

    @property
    def title(self) -> str:
        """The problem in one line."""
        return (
            f"{self.in_features:,} -> {self.out_features:,}, {self.num_edges:,} edges over "
            f"{self.processes:,} processes, batch {self.batch:,}, {self.dtype}"
        )

    @property
    def sentence(self) -> str:
        """Which way moves least, and whether it fits."""
        least = min(self.ways, key=lambda way: way.moved)
        said = f"{least.name} moves least: {size(least.moved)} to and from a process in a step."
        if self.memory is None:
            return said
        fits = [way.name for way in self.ways if way.total <= self.memory]
        where = f"Within {size(self.memory)} a process "
        return f"{said} {where}{'fit: ' + ', '.join(fits) if fits else 'none fits'}."

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, as `json.dumps` takes them."""
        ways = [asdict(way) | {"total": way.total} for way in self.ways]
        return asdict(self) | {"ways": ways, "sentence": self.sentence}

    def __str__(self) -> str:
        cells = [_cells(way) for way in self.ways]
        table = aligned([*zip(*HEADERS, strict=True), *cells])
        return "\n".join([self.title, "", *table, "", LEGEND, self.sentence])

    def __rich__(self) -> "rich.table.Table":
        cells = [_cells(way) for way in self.ways]
        styles = ["red" if self._overflows(way) else None for way in self.ways]
        return drawn(HEADERS, cells, styles, self.title, f"{LEGEND}\n{self.sentence}")

    def _overflows(self, way: Way) -> bool:
        return self.memory is not None and way.total > self.memory

    def show(self) -> None:
        """Print the table, coloured where the output is a terminal and rich is installed."""
        show(self)


def plan(
    topology: Any,
    processes: int,
    batch: int,
    dtype: torch.dtype = torch.float32,
    *,
    grid: tuple[int, int] | None = None,
    memory: int | None = None,
    optimizer_states: int = 2,
) -> Plan:
    """Return what a layer takes on each of many processes, and what moves in a step of training.

    Each formula stands in `edgelinear.parallel.formulas`. Inputs and outputs lie over the processes
    by `Shard(-1)`. Of a topology, rows are counted; of sizes alone, targets are taken to have as
    many edges each.

    Args:
        topology: a Topology, or (in_features, out_features, num_edges) of a graph on paper.
        processes: how many there are.
        batch: samples in a step.
        dtype: of weights and inputs.
        grid: (targets, sources) of the blocks; as near to a square as can be by default.
        memory: bytes that a process has, for the largest batch.
        optimizer_states: numbers that the optimizer keeps for each weight: two for Adam.

    Raises:
        TypeError, ValueError: if a size is negative or no integer, or the grid has another number
            of blocks.

    Example:
        >>> found = plan((3_563_000_000, 3_563_000_000, 128_736_000_000), 512, batch=4)
        >>> [way.name for way in found.ways]
        ['all-gather', 'blocks 16 x 32']
    """
    counts = _counts(topology)
    processes, batch = as_size("processes", processes), as_size("batch", batch)
    if processes < 1:
        raise ValueError(f"`processes` must be at least 1, got {processes}.")
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise TypeError(f"`dtype` must be a floating type of torch, got {dtype!r}.")
    states = as_size("optimizer_states", optimizer_states)
    memory = None if memory is None else as_size("memory", memory)
    grid = _square(processes) if grid is None else as_grid(grid, "blocks")
    if grid[0] * grid[1] != processes:
        raise ValueError(f"`grid` {grid} has {grid[0] * grid[1]} blocks for {processes} processes.")
    sizes, one = counts[:2], (processes, 1)
    blocks = f"blocks {grid[0]} x {grid[1]}"
    if isinstance(topology, Topology):
        loads = {
            ("all-gather", one): formulas.counted(topology, one, gather=True),
            ("halo", one): formulas.counted(topology, one, gather=False),
            (blocks, grid): formulas.counted(topology, grid, gather=False),
        }
    else:
        loads = {
            ("all-gather", one): formulas.by_gather(sizes, counts[2], processes),
            (blocks, grid): formulas.by_blocks(sizes, counts[2], grid),
        }
    ways = [
        Way(
            name,
            shape,
            load.edges,
            formulas.weight_bytes(load, dtype.itemsize),
            formulas.weight_bytes(load, dtype.itemsize),
            formulas.optimizer_bytes(load, dtype.itemsize, states),
            formulas.index_bytes(load),
            formulas.activation_bytes(load, batch, dtype.itemsize),
            formulas.moved_bytes(load, batch, dtype.itemsize),
            None
            if memory is None
            else formulas.largest_batch(load, dtype.itemsize, states, memory),
        )
        for (name, shape), load in loads.items()
    ]
    kind = str(dtype).removeprefix("torch.")
    return Plan(*counts, processes, batch, kind, memory, ways)


def _counts(topology: Any) -> tuple[int, int, int]:
    if isinstance(topology, Topology):
        return topology.in_features, topology.out_features, topology.num_edges
    if not isinstance(topology, (tuple, list)) or len(topology) != 3:
        raise TypeError(
            "`topology` must be a Topology, or (in_features, out_features, num_edges), got "
            f"{topology!r}."
        )
    names = ("in_features", "out_features", "num_edges")
    in_features, out_features, num_edges = map(as_size, names, topology)
    if num_edges and not (in_features and out_features):
        raise ValueError(f"{num_edges} edges need inputs and outputs, got {tuple(topology)}.")
    return in_features, out_features, num_edges


def _square(processes: int) -> tuple[int, int]:
    """Return the grid nearest to a square."""
    rows = next(n for n in range(math.isqrt(processes), 0, -1) if processes % n == 0)
    return rows, processes // rows


def _cells(way: Way) -> tuple[str, ...]:
    held = (way.weights, way.gradients, way.optimizer, way.indices, way.activations, way.total)
    batch = "-" if way.largest_batch is None else f"{way.largest_batch:,}"
    return (way.name, short(way.edges), *map(size, held), size(way.moved), batch)
