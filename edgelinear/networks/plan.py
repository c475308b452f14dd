"""`Plan`: the nodes of a network in the order in which they are computed."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgelinear.networks.activations import ACTIVATIONS, COMPILED, NAMES, Function
from edgelinear.topology import Topology
from edgelinear.topology.levels import find_cycle, find_levels
from edgelinear.topology.views import View

# The columns of `Plan.table`, which are the fields of `Group` in kernels.h.
FIRST, LEVEL, ACTIVATION, BY_TARGET, BY_SOURCE = range(5)


@dataclass(frozen=True, eq=False)
class Plan:
    """Nodes by level, and by activation within a level: a level is a range of places.

    Inputs are the first level, in the order given. Edges keep the order given; between places they
    lead from one level to a later one.
    """

    topology: Topology  # between places
    order: Tensor  # (num_nodes,): the node at each place
    place: Tensor  # (num_nodes,): the place of each node
    outputs: Tensor  # (outputs,): the place of each output
    pairs: Tensor  # (outputs, 2): places and outputs, in the order of places; on the CPU
    groups: str  # see `rows_of`: operators take no numbers that compilers may look at but these
    functions: tuple[Function, ...]  # the activations without a name, of codes from len(NAMES) on
    _ranges: dict[bool, list["Range"]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls,
        topology: Topology,  # between nodes
        inputs: np.ndarray,
        outputs: np.ndarray,
        activations: Sequence[str | Function],  # of each node
        *,
        levels: bool = True,
        names: Sequence[str | int] | None = None,  # of the nodes, for what is said of them
    ) -> "Plan":
        """Return the plan of a network, or, without levels, of a recurrent one.

        Raises:
            ValueError: if there is a cycle; the message names its nodes.
        """
        num_nodes = topology.in_features
        edges = topology.edge_index.cpu().numpy()
        is_input = np.zeros(num_nodes, bool)
        is_input[inputs] = True
        functions: dict[Any, int] = {}
        codes = np.array(
            [
                NAMES.index(a)
                if isinstance(a, str)
                else functions.setdefault(a, len(NAMES) + len(functions))
                for a in activations
            ],
            np.int64,
        )
        if levels:
            codes[is_input] = 0  # they are what they are
            level = _levels_of(num_nodes, edges, is_input, names)
        else:
            level = np.zeros(num_nodes, np.int64)
        position = np.arange(num_nodes)
        position[inputs] = np.arange(inputs.size) - inputs.size
        if levels:
            order = np.lexsort((position, codes, level))
        else:  # inputs first, whose activations then make groups as they come
            order = np.lexsort((position, np.where(is_input, -1, codes)))
        place = np.empty(num_nodes, np.int64)
        place[order] = np.arange(num_nodes)
        with torch.inference_mode(False):
            between = Topology(num_nodes, num_nodes, place[edges], duplicates="keep")
            by_place = np.argsort(place[outputs], kind="stable")
            return cls(
                between,
                torch.from_numpy(order),
                torch.from_numpy(place),
                torch.from_numpy(place[outputs]),
                torch.from_numpy(np.stack([place[outputs][by_place], by_place], 1)),
                _groups(between, level[order], codes[order]),
                tuple(functions),
            ).to(topology.device)

    @property
    def num_nodes(self) -> int:
        return self.topology.in_features

    @property
    def rows(self) -> tuple[tuple[int, ...], ...]:
        """The groups: see the columns above."""
        return rows_of(self.groups)

    @cached_property
    def table(self) -> Tensor:  # (groups + 1, 5)
        """The same on the CPU, for the kernels."""
        return torch.tensor(self.rows, device="cpu")

    @cached_property
    def table_of_others(self) -> Tensor:
        """The rows of the table after those of the first level."""
        return self.table[self.groups_of_inputs :]

    @cached_property
    def groups_of_inputs(self) -> int:
        """How many groups the first level has."""
        return sum(row[LEVEL] == 0 for row in self.rows[:-1])

    @property
    def num_inputs(self) -> int:
        """How many nodes the first level has."""
        return self.rows[self.groups_of_inputs][FIRST]

    @cached_property
    def is_compiled(self) -> bool:
        """Whether the kernels compute every activation."""
        return all(row[ACTIVATION] < COMPILED for row in self.rows)

    @property
    def is_named(self) -> bool:
        """Whether every activation has a name."""
        return len(self.functions) == 0  # Dynamo knows no `not` of tuples

    def over(self, topology: Topology) -> "Plan":
        """Return the plan of the same nodes with other edges."""
        rows = np.array(self.rows)
        level, codes = rows[:-1, [LEVEL, ACTIVATION]].repeat(np.diff(rows[:, FIRST]), 0).T
        return replace(self, topology=topology, groups=_groups(topology, level, codes), _ranges={})

    def activations(self, start: int, stop: int) -> list[tuple[int, int, int]]:
        """Return the first and last place and the code of each group from `start` to `stop`."""
        first, last = (bisect_left(self.rows, (place,)) for place in (start, stop))
        return [
            (row[FIRST], after[FIRST], row[ACTIVATION])
            for row, after in pairwise(self.rows[first : last + 1])
        ]

    def function_of(self, code: int) -> Function:
        """Return the activation of a code."""
        if code < len(NAMES):
            return ACTIVATIONS[NAMES[code]].function
        return self.functions[code - len(NAMES)]

    def to(self, device: torch.device) -> "Plan":
        """Return this plan with its indices on `device`."""
        if device == self.topology.device:
            return self
        order, place, outputs = (t.to(device) for t in (self.order, self.place, self.outputs))
        return replace(
            self,
            topology=self.topology.to(device),
            order=order,
            place=place,
            outputs=outputs,
            _ranges={},
        )

    def ranges(self, transposed: bool = False) -> list["Range"]:
        """Return what each level gathers from others, first to last; transposed, last to first."""
        if transposed not in self._ranges:
            self._ranges[transposed] = ranges(self.topology, self.rows, transposed)
        return self._ranges[transposed]


@dataclass(frozen=True, eq=False)
class Range:
    """The edges of one level, as a topology from all places to those of the level."""

    start: int
    stop: int  # of places
    edges: slice  # among the positions of the view
    topology: Topology


def ranges(topology: Topology, rows: Sequence[Sequence[int]], transposed: bool) -> list[Range]:
    """Return the ranges of a plan's topology: levels in order; transposed, in reverse."""
    view = topology._source_view if transposed else topology._target_view
    ends = view.end if view.edge_ids is None else view.end[view.edge_ids]
    starts = [r for r, row in enumerate(rows[:-1]) if r == 0 or row[LEVEL] != rows[r - 1][LEVEL]]
    column = BY_SOURCE if transposed else BY_TARGET
    found = []
    for first, after in zip(starts, [*starts[1:], len(rows) - 1], strict=True):
        start, stop = rows[first][FIRST], rows[after][FIRST]
        edges = slice(rows[first][column], rows[after][column])
        found.append(Range(start, stop, edges, _rows(topology, view, ends, start, stop, edges)))
    return found[::-1] if transposed else found


def _rows(
    topology: Topology, view: View, ends: Tensor, start: int, stop: int, edges: slice
) -> Topology:
    """Return some of the rows of a view. Of the other view, it has what sizes need alone."""
    pieces = view.pieces
    if pieces is not None:
        pieces = pieces[(pieces[:, 0] >= start) & (pieces[:, 0] < stop)]
        pieces = pieces - pieces.new_tensor([start, edges.start])
        pieces = pieces if len(pieces) else None
    order = view.order
    if order is not None:
        order = order[(order >= start) & (order < stop)] - start
    indices = view.indices[edges].contiguous()
    rows = View(
        ends[edges] - start,
        view.indptr[start : stop + 1] - edges.start,
        indices,
        None,
        pieces=pieces,
        order=order,
    )
    columns = topology._target_view.indptr.new_empty(0).new_zeros(topology.in_features + 1)
    return Topology._from_views(rows, View(indices, columns, indices[:0], None))


def _levels_of(
    num_nodes: int,
    edges: np.ndarray,
    is_input: np.ndarray,
    names: Sequence[str | int] | None,
) -> np.ndarray:
    level = find_levels(num_nodes, edges[0], edges[1])
    if (level < 0).any():
        found = find_cycle(edges[0], edges[1], level)
        cycle = " -> ".join(str(node if names is None else names[node]) for node in found)
        raise ValueError(
            f"`edge_index` must have no cycle, got {cycle}: a graph with cycles is an `EdgeRNN`."
        )
    # Nodes that nothing feeds are no inputs: they come after them.
    _, level = np.unique(np.where(is_input, -1, level), return_inverse=True)
    return level


@lru_cache(maxsize=256)
def rows_of(groups: str) -> tuple[tuple[int, ...], ...]:
    """Return the rows of a table written as its numbers, one after the other."""
    numbers = tuple(map(int, groups.split()))
    return tuple(numbers[i : i + 5] for i in range(0, len(numbers), 5))


def _groups(topology: Topology, level: np.ndarray, codes: np.ndarray) -> str:
    """Return the groups of places that have one level and one activation, and a row for the end."""
    changes = (np.diff(level) != 0) | (np.diff(codes) != 0)
    first = np.concatenate([[0], np.flatnonzero(changes) + 1, [level.size]])
    by_target, by_source = topology.by_dst.indptr.numpy(), topology.by_src.indptr.numpy()
    level, codes = np.append(level, level[-1] + 1), np.append(codes, 0)
    columns = (first, level[first], codes[first], by_target[first], by_source[first])
    return " ".join(map(str, np.stack(columns, 1).ravel()))
