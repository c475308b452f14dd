"""The strongest paths between nodes that were chosen, as a small graph to be drawn."""

from typing import Any, NamedTuple

import numpy as np

from edgelinear.topology import CSR
from edgelinear.topology.levels import find_levels
from edgelinear.viewer.partners import plain
from edgelinear.viewer.paths import Graph, Path, strongest
from edgelinear.viewer.pyramid import edges_at
from edgelinear.viewer.subject import Subject

NODES = 500  # that can be drawn
PATHS = 100  # that can be asked for
STEPS = 6  # of graphs with cycles, unless others are asked for
_MOST_STEPS = 50

Node = tuple[str, int]  # a side and a number


class Found(NamedTuple):
    paths: list[Path]
    said: list[str]


def paths_between(
    subject: Subject, source: Node, target: Node, through: Node | None, k: int, steps: int | None
) -> Found:
    """Return the strongest paths, and what is to be said of them.

    Raises:
        ValueError: if `k` or `steps` is out of its range, or the nodes are on the wrong sides.
    """
    if not 1 <= k <= PATHS:
        raise ValueError(f"`k` must be from 1 to {PATHS}, got {k}.")
    if (source[0], target[0]) != (subject.columns, subject.rows):
        raise ValueError(
            f"paths lead from {subject.columns!r} to {subject.rows!r}, got {source[0]!r} and "
            f"{target[0]!r}."
        )
    if not subject.has_cycles:
        steps = None
    elif not 1 <= (STEPS if steps is None else steps) <= _MOST_STEPS:
        raise ValueError(f"`steps` must be from 1 to {_MOST_STEPS}, got {steps}.")
    else:
        steps = STEPS if steps is None else steps
    names = f"{_name(subject, source)} to {_name(subject, target)}"
    if source == target and steps is None:
        return Found([], [f"No path leads from {names}: there are no cycles."])
    local = _local(subject, source[1], target[1], steps)
    is_there, by = local.number > 0, None
    if through is not None:
        by = local.place(through, subject)
        is_there &= by is not None
        names += f" through {_name(subject, through)}"
    found = strongest(local.graph, *local.ends, k, by, steps) if is_there else []
    return Found(found, _said(local, is_there, bool(found), names, steps))


class Local(NamedTuple):
    """The part of a graph where paths between two nodes may be."""

    graph: Graph
    nodes: np.ndarray  # the node of each of its nodes
    ends: tuple[int, int]  # places of the source and of the target
    number: int  # of edges, those included along which no path goes, as their weight is 0
    others: int  # edges whose weight is not finite, likewise

    def place(self, node: Node, subject: Subject) -> int | None:
        """Return where a node is in this part, or None."""
        if not subject.is_graph:  # the source is at 0, and the target at 1
            at = subject.sides.index(node[0])
            return at if self.nodes[at] == node[1] else None
        at = int(np.searchsorted(self.nodes, node[1]))
        return at if at < self.nodes.size and self.nodes[at] == node[1] else None


def _local(subject: Subject, source: int, target: int, steps: int | None) -> Local:
    topology = subject.topology
    if subject.is_graph:
        most = np.inf if steps is None else steps
        ahead = _distances(topology.by_src, source, most)
        back = _distances(topology.by_dst, target, most)
        is_on_way = (ahead >= 0) & (back >= 0) & (ahead + back <= most)
        nodes = np.flatnonzero(is_on_way)
        edges, from_node = edges_at(topology.by_dst, nodes)
        edges = edges[is_on_way[from_node]]
        src = np.searchsorted(nodes, topology.src.numpy()[edges])
        dst = np.searchsorted(nodes, topology.dst.numpy()[edges])
        ends = int(np.searchsorted(nodes, source)), int(np.searchsorted(nodes, target))
    else:
        nodes, ends = np.array([source, target]), (0, 1)
        edges, from_node = edges_at(topology.by_dst, np.array([target]))
        edges = edges[from_node == source]
        src, dst = np.zeros(edges.size, np.int64), np.ones(edges.size, np.int64)
    weight = np.ones(edges.size) if subject.weight is None else subject.weight[edges]
    is_finite = np.isfinite(weight)
    kept = is_finite & (weight != 0)
    graph = Graph.of(nodes.size, src[kept], dst[kept], np.abs(weight[kept]), edges[kept])
    return Local(graph, nodes, ends, edges.size, int((~is_finite).sum()))


def _distances(csr: CSR, start: int, most: float) -> np.ndarray:  # (nodes,)
    """Return after how many edges each node is reached, and -1 beyond `most`."""
    distance = np.full(csr.indptr.shape[0] - 1, -1)
    ready, steps = np.array([start]), 0
    while ready.size and steps <= most:
        distance[ready] = steps
        reached = np.unique(edges_at(csr, ready)[1])
        ready, steps = reached[distance[reached] < 0], steps + 1
    return distance


def _said(local: Local, is_there: bool, found: bool, names: str, steps: int | None) -> list[str]:
    within = "" if steps is None else f" of at most {steps} steps"
    if not is_there:
        return [f"No path{within} leads from {names}."]
    said = []
    if not found:
        why = "is 0 or not finite" if local.others else "is 0"
        said.append(f"Every path{within} from {names} has an edge whose weight {why}.")
    elif steps is not None:
        said.append(f"With cycles, these are walks{within}, which may pass a node more than once.")
    if found and local.others:
        edges = "1 edge" if local.others == 1 else f"{local.others:,} edges"
        said.append(f"Left out: {edges} on the way whose weight is not finite.")
    return said


def _name(subject: Subject, node: Node) -> str:
    return repr(subject.names[node[0]][node[1]])


def as_drawn(
    subject: Subject, found: Found, source: Node, target: Node, through: Node | None
) -> dict[str, Any]:
    """Return paths as the page has them, with the graph of their edges: 500 nodes at most."""
    src, dst = subject.topology.src.numpy(), subject.topology.dst.numpy()
    ways = [
        [source, *((subject.rows, int(dst[edge])) for edge in path.edges)] for path in found.paths
    ]
    total = len({node for way in ways for node in way})
    shown: dict[Node, int] = {}  # with the first place at which a path passes each
    number = 0
    for way in ways:
        if len(shown.keys() | {*way}) > NODES:
            break
        for at, node in enumerate(way):
            shown[node] = min(at, shown.get(node, at))
        number += 1
    said = list(found.said)
    if number < len(ways):
        said.append(f"{number} of {len(ways)} paths are shown: all of them have {total} nodes.")
    edges = sorted({edge for path in found.paths[:number] for edge in path.edges})
    links = [((subject.columns, int(src[edge])), (subject.rows, int(dst[edge]))) for edge in edges]
    column = _columns(shown, links)
    roles = {through: "through", source: "source", target: "target"}
    return {
        "paths": [
            {
                "nodes": [list(node) for node in way],
                "edges": path.edges,
                "product": plain(path.product),
                "sign": _sign(subject, path.edges),
                "log10": path.log10,
            }
            for way, path in zip(ways[:number], found.paths, strict=False)
        ],
        "nodes": [
            {
                "side": node[0],
                "node": node[1],
                "name": subject.names[node[0]][node[1]],
                "column": column[node],
                "role": roles.get(node, "node"),
            }
            for node in shown
        ],
        "links": [
            {"edge": edge, "from": list(a), "to": list(b), "weight": _weight(subject, edge)}
            for edge, (a, b) in zip(edges, links, strict=True)
        ],
        "said": " ".join(said),
    }


def _columns(shown: dict[Node, int], links: list[tuple[Node, Node]]) -> dict[Node, int]:
    """Return a column for each node: its level by these links, or with cycles its first place."""
    place = {node: at for at, node in enumerate(shown)}
    ends = np.array([[place[a], place[b]] for a, b in links], np.int64).reshape(-1, 2)
    level = find_levels(len(shown), ends[:, 0], ends[:, 1])
    if (level < 0).any():
        level = np.unique([*shown.values()], return_inverse=True)[1]
    return dict(zip(shown, level.tolist(), strict=True))


def _sign(subject: Subject, edges: list[int]) -> int:
    if subject.weight is None:
        return 1
    return -1 if int((subject.weight[edges] < 0).sum()) % 2 else 1


def _weight(subject: Subject, edge: int) -> float | str | None:
    return None if subject.weight is None else plain(float(subject.weight[edge]))
