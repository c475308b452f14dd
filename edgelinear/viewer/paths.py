"""The strongest paths from one node to another, by the product of the sizes of their weights.

The best way to each node comes first, from all edges at once. What comes next at a node is looked
for only where somebody asks: it goes along one of the edges into it, from the next best way to the
node at its other end (Jimenez and Marzal, "Computing the k shortest paths: a new algorithm and an
experimental comparison", 1999).

A product is held as a fraction and a power of 2, as by `np.frexp`: none is too small or too large
to be compared. What is equal stands in the order of the last edges, then of those before them, and
so on.
"""

import heapq
import math
from typing import NamedTuple

import numpy as np

from edgelinear.topology.levels import find_levels

_NEVER = -(2**40)  # the power of 2 where no way leads
_LAST = np.iinfo(np.int64).max


class Graph(NamedTuple):
    """The edges that paths may go along, in the order of their targets, and then of their names."""

    nodes: int
    src: np.ndarray  # (num_edges,)
    dst: np.ndarray  # (num_edges,)
    size: np.ndarray  # (num_edges,): |weight|, above 0 and finite
    edge: np.ndarray  # (num_edges,): what each is called

    @classmethod
    def of(
        cls, nodes: int, src: np.ndarray, dst: np.ndarray, size: np.ndarray, edge: np.ndarray
    ) -> "Graph":
        order = np.lexsort((edge, dst))
        return cls(nodes, src[order], dst[order], size[order], edge[order])


class Path(NamedTuple):
    edges: list[int]
    fraction: float
    power: int

    @property
    def product(self) -> float:
        try:
            return math.ldexp(self.fraction, self.power)
        except OverflowError:
            return math.inf

    @property
    def log10(self) -> float:
        return math.log10(self.fraction) + self.power * math.log10(2)


class Best(NamedTuple):
    """The best way to each node: its product, and its last edge."""

    power: np.ndarray  # (nodes,) int64
    fraction: np.ndarray  # (nodes,)
    last: np.ndarray  # (nodes,): the position of an edge, or -1

    @classmethod
    def none(cls, nodes: int) -> "Best":
        return cls(np.full(nodes, _NEVER), np.zeros(nodes), np.full(nodes, -1))

    @classmethod
    def at(cls, nodes: int, start: int) -> "Best":
        best = cls.none(nodes)
        best.power[start], best.fraction[start] = 1, 0.5  # a product of nothing, which is 1
        return best


class Way(NamedTuple):
    """A way to a node. The better one is the smaller."""

    power: int  # with the sign turned
    fraction: float  # likewise
    edge: int  # the position of the last edge, or -1 where there is none
    rank: int  # of the rest, among the ways to the node where that edge begins


State = tuple[int, int]  # a table of the best ways, and a node


def strongest(
    graph: Graph, source: int, target: int, k: int, through: int | None, steps: int | None
) -> list[Path]:
    """Return the `k` strongest paths, or fewer if there are not as many.

    Args:
        through: a node that they must pass.
        steps: how many edges they may have, in graphs with cycles, where they may pass a node more
            than once. None of graphs without.
    """
    if through is not None:
        graph, source, target = _doubled(graph, source, target, through)
    if steps is None:
        return Search(graph, [_along(graph, source)], 0, k).first([(0, target)])
    tables = [Best.at(graph.nodes, source)]
    for _ in range(steps):
        best = Best.none(graph.nodes)
        _improve(graph, np.arange(graph.src.size), tables[-1], best)
        tables.append(best)
    return Search(graph, tables, 1, k).first([(step, target) for step in range(1, steps + 1)])


def _doubled(graph: Graph, source: int, target: int, through: int) -> tuple[Graph, int, int]:
    """Return two copies of a graph: edges into what must be passed lead to the second one."""
    n = graph.nodes
    src = np.concatenate([graph.src, graph.src + n])
    dst = np.concatenate([graph.dst + n * (graph.dst == through), graph.dst + n])
    twice = (np.concatenate([part, part]) for part in (graph.size, graph.edge))
    return Graph.of(2 * n, src, dst, *twice), source + n * (source == through), target + n


def _along(graph: Graph, source: int) -> Best:
    """Return the best way to each node of a graph without cycles, level by level."""
    level = find_levels(graph.nodes, graph.src, graph.dst)[graph.dst]
    best = Best.at(graph.nodes, source)
    order = np.argsort(level, kind="stable")
    for edges in np.split(order, np.flatnonzero(np.diff(level[order])) + 1):
        _improve(graph, edges, best, best)
    return best


def _improve(graph: Graph, edges: np.ndarray, before: Best, best: Best) -> None:
    """Set the best ways to the targets of some edges, which are all of these targets."""
    edges = edges[before.power[graph.src[edges]] > _NEVER]
    if edges.size == 0:
        return
    power, fraction = _products(graph, edges, before)
    target = graph.dst[edges]
    first = np.flatnonzero(np.diff(target, prepend=-1))
    count = np.diff(first, append=target.size)
    top = np.maximum.reduceat(power, first)
    fraction = np.where(power == np.repeat(top, count), fraction, 0.0)
    largest = np.maximum.reduceat(fraction, first)
    is_best = fraction == np.repeat(largest, count)
    to = target[first]
    best.power[to], best.fraction[to] = top, largest
    best.last[to] = np.minimum.reduceat(np.where(is_best, edges, _LAST), first)


def _products(graph: Graph, edges: np.ndarray, best: Best) -> tuple[np.ndarray, np.ndarray]:
    """Return the products of the best ways to the sources of some edges and these edges."""
    source = graph.src[edges]
    size, more = np.frexp(graph.size[edges])
    fraction, rest = np.frexp(best.fraction[source] * size)
    return best.power[source] + more + rest, fraction


class Search:
    """Ways to nodes, the best first, found as far as they are asked for."""

    def __init__(self, graph: Graph, tables: list[Best], back: int, k: int) -> None:
        self.graph, self.tables, self.k = graph, tables, k
        self.back = back  # how many tables before that of a state those states are that lead to it
        self.begin = np.searchsorted(graph.dst, np.arange(graph.nodes + 1))
        self.found: dict[State, list[Way]] = {}
        self.waiting: dict[State, list[Way]] = {}  # heaps
        self.ended: set[State] = set()  # states that have no more ways

    def first(self, ends: list[State]) -> list[Path]:
        """Return the best ways to any of some states; of equal ones those to the first states."""
        heap: list[tuple[int, float, int, int]] = []

        def push(at: int, rank: int) -> None:
            ways = self._ways(ends[at])
            while len(ways) <= rank and ways and ends[at] not in self.ended:
                self._find_next(ends[at])
            if len(ways) > rank:
                heapq.heappush(heap, (ways[rank].power, ways[rank].fraction, at, rank))

        for at in range(len(ends)):
            push(at, 0)
        paths: list[Path] = []
        while heap and len(paths) < self.k:
            power, fraction, at, rank = heapq.heappop(heap)
            paths.append(Path(self._edges(ends[at], rank), -fraction, -power))
            push(at, rank + 1)
        return paths

    def _ways(self, state: State) -> list[Way]:
        """Return the ways to a state that are known, which are the best one at least."""
        if state not in self.found:
            table, node = self.tables[state[0]], state[1]
            power, fraction = int(table.power[node]), float(table.fraction[node])
            best = Way(-power, -fraction, int(table.last[node]), 0)
            self.found[state] = [best] if power > _NEVER else []
        return self.found[state]

    def _before(self, state: State, edge: int) -> State:
        return state[0] - self.back, int(self.graph.src[edge])

    def _find_next(self, state: State) -> None:
        """Find one more way to a state, and first those before it that it takes: no recursion."""
        chain = [state]
        while True:
            last = self._ways(chain[-1])[-1]
            if last.edge < 0:
                break
            before = self._before(chain[-1], last.edge)
            if len(self._ways(before)) > last.rank + 1 or before in self.ended:
                break
            chain.append(before)
        for one in reversed(chain):
            self._add(one)

    def _add(self, state: State) -> None:
        """Add the next way to a state, where the way that follows the last one's rest is known."""
        ways = self._ways(state)
        last = ways[-1]
        if last.edge < 0:  # nothing leads to where all ways begin
            self.ended.add(state)
            return
        if state not in self.waiting:
            self.waiting[state] = self._others(state, last.edge)
        heap, rank = self.waiting[state], last.rank + 1
        rest = self._ways(self._before(state, last.edge))
        if len(rest) > rank:
            size, more = math.frexp(self.graph.size[last.edge])
            fraction, less = math.frexp(-rest[rank].fraction * size)
            power = -rest[rank].power + more + less
            heapq.heappush(heap, Way(-power, -fraction, last.edge, rank))
        if heap:
            ways.append(heapq.heappop(heap))
        else:
            self.ended.add(state)

    def _others(self, state: State, best: int) -> list[Way]:
        """Return the best ways to a state by each edge but one, as many as may be asked for."""
        table = self.tables[state[0] - self.back]
        edges = np.arange(self.begin[state[1]], self.begin[state[1] + 1])
        edges = edges[(edges != best) & (table.power[self.graph.src[edges]] > _NEVER)]
        power, fraction = _products(self.graph, edges, table)
        order = np.lexsort((edges, -fraction, -power))[: self.k]  # sorted, and so a heap
        columns = (c[order].tolist() for c in (-power, -fraction, edges))
        return [Way(p, f, edge, 0) for p, f, edge in zip(*columns, strict=True)]

    def _edges(self, state: State, rank: int) -> list[int]:
        """Return the edges of a way, the first one first."""
        edges: list[int] = []
        way = self._ways(state)[rank]
        while way.edge >= 0:
            edges.append(int(self.graph.edge[way.edge]))
            state = self._before(state, way.edge)
            way = self._ways(state)[way.rank]
        return edges[::-1]
