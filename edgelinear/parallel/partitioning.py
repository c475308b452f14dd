"""`partition`: nodes numbered anew, so that less moves between processes."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.csgraph import reverse_cuthill_mckee
from torch import Tensor

from edgelinear._optional import import_optional
from edgelinear.parallel.formulas import away, between
from edgelinear.topology import EdgeMap, Topology
from edgelinear.topology.checks import as_size
from edgelinear.topology.shares import bounds

METHODS = ("auto", "metis", "cuthill_mckee")


class Renumbered(NamedTuple):
    """A topology of other numbers, in (target, source) order, and what leads there."""

    topology: Topology
    edges: EdgeMap  #: weights follow by `edges.follow(weight)`
    inputs: Tensor  #: (in_features,): the old input that each new one is: `x[..., inputs]`
    outputs: Tensor  #: (out_features,): the old output that each new one is


@dataclass(frozen=True, eq=False, repr=False)
class Partition:
    """A numbering of nodes for a number of processes, and what moves before and after.

    Counts are of the inputs that come to each process in a pass, and of the sums that it sends
    away, where both lie over the processes by `Shard(-1)`.

    Example:
        >>> found = partition(el.generators.watts_strogatz(12, 12, neighbors=2, rewiring=0.0), 2)
        >>> found.parts, found.after <= found.before
        (2, True)
    """

    parts: int
    method: str  #: "metis", "cuthill_mckee", or "none" where no other numbering moves less
    inputs: Tensor  #: (in_features,): the old input that each new one is
    outputs: Tensor  #: (out_features,)
    inputs_before: list[int]  #: that come to each process
    inputs_after: list[int]
    sums_before: list[int]  #: that each process sends away
    sums_after: list[int]
    _topology: Topology = field(repr=False)

    @property
    def before(self) -> int:
        """How many rows move in a pass, over all processes, as the nodes are numbered now."""
        return sum(self.inputs_before) + sum(self.sums_before)

    @property
    def after(self) -> int:
        """How many rows move in a pass, over all processes, with the new numbers."""
        return sum(self.inputs_after) + sum(self.sums_after)

    def apply(self) -> Renumbered:
        """Return the topology with the new numbers, and the permutations that lead there.

        Example:
            >>> topology = el.generators.watts_strogatz(12, 12, neighbors=2, rewiring=0.0)
            >>> new = partition(topology, 2).apply()
            >>> layer = EdgeLinear.from_topology(topology, bias=False)
            >>> weight = new.edges.follow(layer.weight)
            >>> other = EdgeLinear.from_topology(new.topology, bias=False, weight=weight)
            >>> x = torch.randn(3, 12)
            >>> torch.allclose(other(x[:, new.inputs]), layer(x)[:, new.outputs], atol=1e-6)
            True
        """
        old = self._topology
        src = _inverse(self.inputs)[old.src.cpu().long()]
        dst = _inverse(self.outputs)[old.dst.cpu().long()]
        sizes = old.in_features, old.out_features
        renumbered = Topology(*sizes, torch.stack([src, dst]), duplicates="keep")
        topology, edges = renumbered._sorted()
        return Renumbered(topology.to(old.device), edges, self.inputs, self.outputs)

    def __repr__(self) -> str:
        most_before, most_after = max(self.inputs_before), max(self.inputs_after)
        share = 1 - self.after / self.before if self.before else 0.0
        return (
            f"Partition(parts={self.parts}, method={self.method!r}, rows moved in a pass: "
            f"{self.before:,} -> {self.after:,} ({share:.0%} less), inputs that come to a process, "
            f"at most: {most_before:,} -> {most_after:,})"
        )


def partition(topology: Topology, parts: int, *, method: str = "auto", seed: int = 0) -> Partition:
    """Return a numbering of the nodes by which less moves between `parts` processes.

    A square wiring is a graph whose inputs and outputs are the same nodes, which keep one number;
    of another one, the two sides are numbered apart. METIS (Karypis and Kumar, 1998) cuts the graph
    by pymetis where that is installed; else nodes are put in the reverse order of Cuthill and McKee
    by scipy. What moves is counted for each, and the numbers stay as they are where none moves
    less. Nothing changes before `apply`.

    Args:
        parts: the number of processes among which the edges are split.
        method: "metis" or "cuthill_mckee"; "auto" takes the one that moves less.
        seed: of METIS.

    Raises:
        TypeError, ValueError: if `parts` is no positive number, or `method` is something else.
        ImportError: if `method="metis"` is asked for and pymetis is not installed.

    Example:
        >>> ring = el.generators.watts_strogatz(60, 60, neighbors=4, rewiring=0.0)
        >>> order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
        >>> shuffled = Topology(60, 60, order[ring.edge_index])
        >>> found = partition(shuffled, 3)
        >>> found.after < found.before / 2
        True
    """
    if not isinstance(topology, Topology):
        raise TypeError(f"`topology` must be a Topology, got {type(topology).__name__}.")
    if as_size("parts", parts) < 1:
        raise ValueError(f"`parts` must be at least 1, got {parts}.")
    if method not in METHODS:
        raise ValueError(f"`method` must be one of {METHODS}, got {method!r}.")
    src, dst = (end.cpu().numpy().astype(np.int64) for end in (topology.src, topology.dst))
    sizes = topology.in_features, topology.out_features
    kept = tuple(map(np.arange, sizes))
    before = moved_rows(src, dst, sizes, parts)
    best = ("none", kept, before)
    if parts > 1 and src.size:
        graph = _Graph(src, dst, sizes)
        for name, inputs, outputs in graph.numberings(parts, method, seed):
            moved = moved_rows(_rank(inputs)[src], _rank(outputs)[dst], sizes, parts)
            if _total(moved) < _total(best[2]):
                best = (name, (inputs, outputs), moved)
    name, (inputs, outputs), after = best
    return Partition(
        parts,
        name,
        torch.from_numpy(inputs),
        torch.from_numpy(outputs),
        before[0],
        after[0],
        before[1],
        after[1],
        topology,
    )


def moved_rows(
    src: np.ndarray, dst: np.ndarray, sizes: tuple[int, int], parts: int
) -> tuple[list[int], list[int]]:
    """Return the inputs that come to each process, and the sums that it sends away, in a pass.

    Each is counted once, where it lies on another process by `Shard(-1)`.
    """
    order = np.lexsort((src, dst))
    moved = []
    for part in range(parts):
        edges = order[slice(*bounds(src.size, parts, part))]
        come = away(np.unique(src[edges]), sizes[0], (parts, 1), part)
        moved.append((come, away(between(dst[edges]), sizes[1], (parts, 1), part)))
    return [come for come, _ in moved], [go for _, go in moved]


class _Graph:
    """The undirected graph of a wiring: of its nodes, or of those of both sides."""

    def __init__(self, src: np.ndarray, dst: np.ndarray, sizes: tuple[int, int]) -> None:
        self._sizes = sizes
        self._square = sizes[0] == sizes[1]
        shift = 0 if self._square else sizes[0]
        nodes = sizes[0] if self._square else sum(sizes)
        loops = src == dst + shift
        pairs = (np.ones((~loops).sum(), dtype=np.int32), (src[~loops], dst[~loops] + shift))
        one_way = sparse.coo_array(pairs, shape=(nodes, nodes)).tocsr()
        self._matrix = (one_way + one_way.T).tocsr()  # entries count the edges between two nodes
        self._fan_in = np.bincount(dst + shift, minlength=nodes)

    def numberings(self, parts: int, method: str, seed: int) -> Any:
        """Return candidates: a name, and the old input and output that each new one is."""
        if method != "cuthill_mckee":
            try:
                pymetis = import_optional("pymetis", "partition")
            except ImportError:
                if method == "metis":
                    raise
            else:
                yield from self._by_metis(pymetis, parts, seed)
        if method != "metis":
            order = reverse_cuthill_mckee(sparse.csr_matrix(self._matrix), symmetric_mode=True)
            yield "cuthill_mckee", *self._sides(order.astype(np.int64))

    def _by_metis(self, pymetis: Any, parts: int, seed: int) -> Any:
        adjacency = pymetis.CSRAdjacency(self._matrix.indptr, self._matrix.indices)
        # Processes have as many nodes, and as many edges, which are two aims: the first by nodes
        # alike, the second by the edges that end at them.
        for weights in (None, self._fan_in + 1):
            found = pymetis.part_graph(
                parts,
                adjacency,
                eweights=self._matrix.data,
                vweights=weights,
                options=pymetis.Options(seed=seed),
            )
            part = np.asarray(found.vertex_part)
            yield "metis", *self._sides(np.argsort(part, kind="stable"))

    def _sides(self, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self._square:
            return order, order
        inputs = order < self._sizes[0]
        return order[inputs], order[~inputs] - self._sizes[0]


def _total(moved: tuple[list[int], list[int]]) -> int:
    return sum(moved[0]) + sum(moved[1])


def _rank(order: np.ndarray) -> np.ndarray:
    rank = np.empty_like(order)
    rank[order] = np.arange(order.size)
    return rank


def _inverse(order: Tensor) -> Tensor:
    return torch.from_numpy(_rank(order.numpy()))
