"""Levels of a directed acyclic graph, and steps and cycles of any other."""

import numpy as np
from scipy import sparse


def positions_of(indptr: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the positions of some rows of a CSR, one row after the other."""
    counts = indptr[rows + 1] - indptr[rows]
    rank = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.repeat(indptr[rows], counts) + rank


def find_levels(
    num_nodes: int,
    src: np.ndarray,  # (num_edges,)
    dst: np.ndarray,  # (num_edges,)
) -> np.ndarray:  # (num_nodes,)
    """Return the length of the longest path to each node, and -1 for those that no order reaches.

    Nodes on a cycle, or after one, have none. Takes time in O(nodes + edges).
    """
    begin, targets = _targets_of(num_nodes, src, dst)
    waiting = np.bincount(dst, minlength=num_nodes)  # edges from nodes without a level as yet
    level = np.full(num_nodes, -1, np.int64)
    ready, depth = np.flatnonzero(waiting == 0), 0
    while ready.size:
        level[ready] = depth
        reached, times = np.unique(targets[positions_of(begin, ready)], return_counts=True)
        waiting[reached] -= times
        ready, depth = reached[waiting[reached] == 0], depth + 1
    return level


def _targets_of(
    num_nodes: int, src: np.ndarray, dst: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:  # (num_nodes + 1,), (num_edges,)
    """Return the targets of each node, one node after the other, and where they begin."""
    begin = np.zeros(num_nodes + 1, np.int64)
    np.cumsum(np.bincount(src, minlength=num_nodes), out=begin[1:])
    return begin, dst[np.argsort(src, kind="stable")]


def steps_from(
    num_nodes: int,
    src: np.ndarray,  # (num_edges,)
    dst: np.ndarray,  # (num_edges,)
    start: np.ndarray,
) -> np.ndarray:  # (num_nodes,)
    """Return the length of the shortest path to each node from those at the start, or -1.

    Takes time in O(nodes + edges).
    """
    begin, targets = _targets_of(num_nodes, src, dst)
    steps = np.full(num_nodes, -1, np.int64)
    ready, number = np.unique(start).astype(np.int64), 0
    while ready.size:
        steps[ready] = number
        reached = np.unique(targets[positions_of(begin, ready)])
        ready, number = reached[steps[reached] < 0], number + 1
    return steps


def find_cycle(
    src: np.ndarray,  # (num_edges,)
    dst: np.ndarray,  # (num_edges,)
    level: np.ndarray,  # (num_nodes,): what `find_levels` gave
) -> list[int]:
    """Return the nodes of a cycle in the order of its edges, the first one once more at the end."""
    left = level[dst] < 0  # a node without a level has an edge from another one
    before = dict(zip(dst[left & (level[src] < 0)], src[left & (level[src] < 0)], strict=True))
    node = next(iter(before))
    path: list[int] = []
    seen: dict[int, int] = {}
    while node not in seen:
        seen[node] = len(path)
        path.append(int(node))
        node = before[node]
    cycle = path[seen[node] :][::-1]
    first = cycle.index(min(cycle))
    return [*cycle[first:], *cycle[: first + 1]]


def reached_from(
    num_nodes: int,
    src: np.ndarray,  # (num_edges,)
    dst: np.ndarray,  # (num_edges,)
    start: np.ndarray,
) -> np.ndarray:  # (num_nodes,) bool
    """Return which nodes a path of any length leads to from those at the start, these included."""
    extra = num_nodes  # a node before all of them
    rows = np.concatenate([src, np.full(start.size, extra)])
    columns = np.concatenate([dst, start])
    graph = sparse.csr_array(
        (np.ones(rows.size, np.int8), (rows, columns)), shape=(num_nodes + 1, num_nodes + 1)
    )
    found = sparse.csgraph.breadth_first_order(graph, extra, return_predecessors=False)
    reached = np.zeros(num_nodes + 1, dtype=bool)
    reached[found] = True
    return reached[:num_nodes]
