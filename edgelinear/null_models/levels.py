"""Null models of graphs without cycles: every node keeps its level."""

import numpy as np
import torch

from edgelinear.generators._draw import numpy_generator
from edgelinear.null_models.degrees import TRADES, check_no_parallel_edges, deal
from edgelinear.null_models.shared import Kind, drawn, topology_of
from edgelinear.topology import Topology, Wiring
from edgelinear.topology.levels import find_cycle, find_levels


def level_preserving(topology: Kind, *, generator: torch.Generator | None = None) -> Kind:
    """Return a random graph without cycles in which nodes keep their levels and their degrees.

    The level of a node is the length of the longest path to it. Each node keeps its number of edges
    from every level, and its number of edges to every level: as one at level k keeps an edge from
    level k - 1, it stays there, and edges that skip levels still skip as many. All such graphs
    without parallel edges are equally likely, in the limit of many trades, which are those of
    `degree_preserving`, among targets of one level and their sources of one level.

    The weights of a Wiring stay with the edges of their source.

    Args:
        topology: that of an `EdgeNetwork`, or its `wiring`.
        generator: source of randomness; torch's default one, which `torch.manual_seed` sets.

    Raises:
        ValueError: if there is a cycle, there are parallel edges, or the topology is not square.

    Example:
        >>> graph = Topology(6, 6, [(0, 2), (1, 3), (2, 4), (3, 5), (0, 4)])
        >>> null = level_preserving(graph)
        >>> null.fan_in.tolist(), null.fan_out.tolist()
        ([0, 0, 1, 1, 2, 1], [2, 1, 1, 1, 0, 0])
    """
    src, dst, level = _levels(topology)
    nodes = level.size
    check_no_parallel_edges(np.sort(dst * np.int64(nodes) + src))
    random = numpy_generator(generator)
    # A node counts as one target for each level that it has sources in.
    depth = int(level.max(initial=0)) + 1
    targets, end = np.unique(dst * np.int64(depth) + level[src], return_inverse=True)
    target, of_source = np.divmod(targets, depth)
    group = np.unique(level[target] * depth + of_source, return_inverse=True)[1]
    start = np.cumsum(np.bincount(group)) - np.bincount(group)
    old = np.arange(src.size)
    for _ in range(TRADES):
        order = np.argsort(group + random.random(group.size))
        pair = np.empty(group.size, dtype=np.int64)
        first = start[group[order]]
        pair[order] = first + (np.arange(group.size) - first) // 2
        src, end, old = deal(src, end, old, pair, random)
    return drawn(topology, src, target[end], old)


def permute_levels(topology: Kind, *, generator: torch.Generator | None = None) -> Kind:
    """Return the same graph with the targets of each level renamed among themselves, at random.

    Which sources converge stays as it was; what they converge on does not, but for its level. Each
    node keeps its edges to others, so that a graph without cycles stays one.

    Args:
        topology: that of an `EdgeNetwork`, or its `wiring`.
        generator: source of randomness; torch's default one, which `torch.manual_seed` sets.

    Raises:
        ValueError: if there is a cycle, or the topology is not square.

    Example:
        >>> null = permute_levels(Topology(5, 5, [(0, 2), (1, 2), (1, 3), (2, 4)]))
        >>> sorted(null.fan_in.tolist()), null.fan_out.tolist()
        ([0, 0, 1, 1, 2], [1, 2, 1, 0, 0])
    """
    src, dst, level = _levels(topology)
    random = numpy_generator(generator)
    names = np.empty(level.size, dtype=np.int64)
    names[np.argsort(level, kind="stable")] = np.argsort(level + random.random(level.size))
    return drawn(topology, src, names[dst], np.arange(src.size), duplicates="keep")


def _levels(topology: Kind) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return sources, targets, and the level of each node."""
    wiring: Topology = topology_of(topology)
    nodes = wiring.in_features
    if isinstance(topology, Wiring) and topology.in_names != topology.out_names:
        raise ValueError(
            "the wiring must be one among nodes to have levels, and this one has other names of "
            "sources than of targets: make a network of it, and pass its `wiring`."
        )
    if nodes != wiring.out_features:
        raise ValueError(
            "the topology must be square to have levels, as that of an EdgeNetwork, got "
            f"{nodes} -> {wiring.out_features}: of layers, `degree_preserving` keeps the degrees."
        )
    src, dst = wiring.edge_index.cpu().numpy()
    level = find_levels(nodes, src, dst)
    if (level < 0).any():
        cycle = " -> ".join(map(str, find_cycle(src, dst, level)))
        raise ValueError(
            f"the topology must have no cycle to have levels, got {cycle}: of graphs with cycles, "
            "`degree_preserving` keeps the degrees."
        )
    return src, dst, level
