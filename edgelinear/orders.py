"""Orders of nodes in which the matrix of a wiring is shown."""

from typing import Any

import numpy as np

from edgelinear.topology import Topology
from edgelinear.topology.levels import steps_from

ORDERS = ("given", "level", "degree", "cluster")
CLUSTERED = 2000  # nodes a side at most, all pairs of which have a distance
_UNRELATED = 1 - 1e-9  # the distance of nodes that share no partner is 1
_SMOOTHED = 500  # of which branches are turned around so that neighbours are as near as can be


def order_of(
    topology: Topology,
    order: str,
    level: np.ndarray | None = None,  # (num_nodes,)
    *,
    weight: np.ndarray | None = None,  # (num_edges,)
) -> tuple[np.ndarray, np.ndarray]:  # (out_features,), (in_features,)
    """Return which target each row of the matrix shows, and which source each column.

    - "given": as they are numbered.
    - "level": by `level`, as `level_of` has it; nodes that have none (-1) stand last.
    - "degree": targets by fan-in and sources by fan-out, the largest first.
    - "cluster": nodes with similar edges near to each other, by average linkage of the cosines
      between their rows of the matrix, or columns, of |weight|, or of ones where there are no
      weights or all are zero; sources stand along the targets that they have, and nodes without an
      edge last.

    What is equal keeps the order given.

    Raises:
        ValueError: if `order` is something else; "level" has no level, as of a layer; or "cluster"
            has more than 2,000 nodes a side.

    Example:
        >>> from edgelinear.orders import order_of
        >>> rows, columns = order_of(Topology(3, 2, [(0, 1), (2, 0), (2, 1)]), "degree")
        >>> rows.tolist(), columns.tolist()
        ([1, 0], [2, 0, 1])
    """
    if order not in ORDERS:
        raise ValueError(f"`order` must be one of {ORDERS}, got {order!r}.")
    if order == "level":
        if level is None:
            raise ValueError(
                'order="level" must have a network, whose nodes have levels: of a layer, pass '
                '"degree" or "cluster".'
            )
        place = _stable(unreached_last(level))
        return place, place
    if order == "degree":
        fan_in, fan_out = topology.fan_in.cpu().numpy(), topology.fan_out.cpu().numpy()
        return _stable(-fan_in.astype(np.int64)), _stable(-fan_out.astype(np.int64))
    if order == "cluster":
        matrix = _dense(topology, weight)
        rows = _clustered(matrix)
        return rows, _clustered(matrix.T, np.argsort(rows))
    return np.arange(topology.out_features), np.arange(topology.in_features)


def level_of(network: Any) -> np.ndarray | None:  # (num_nodes,)
    """Return the level of each node of a network, and None of a layer, which has none.

    With cycles, after how many steps an input reaches it, and -1 where none does.

    Example:
        >>> from edgelinear.orders import level_of
        >>> level_of(EdgeRNN(4, [(0, 1), (1, 2), (2, 1)], [0], [2])).tolist()
        [0, 1, 2, -1]
    """
    level = getattr(network, "level", None)
    if level is not None:
        return level.cpu().numpy()
    inputs = getattr(network, "inputs", None)
    if inputs is None:
        return None
    topology = network.topology
    src, dst = topology.edge_index.cpu().numpy()
    return steps_from(topology.in_features, src, dst, np.asarray(inputs))


def unreached_last(level: np.ndarray) -> np.ndarray:  # (num_nodes,)
    """Return a key by which nodes stand by level, and those that have none (-1) last."""
    return np.where(level < 0, level.max(initial=0) + 1, level)


def _stable(key: np.ndarray) -> np.ndarray:
    return np.argsort(key, kind="stable")


def _dense(topology: Topology, weight: np.ndarray | None) -> np.ndarray:
    """Return the matrix of |weight|, (out_features, in_features); parallel edges add up."""
    shape = topology.out_features, topology.in_features
    if max(shape) > CLUSTERED:
        raise ValueError(
            f'order="cluster" compares each node with all others, and must have at most '
            f'{CLUSTERED:,} a side, got {max(shape):,}: pass "degree", or a part of the wiring.'
        )
    src, dst = topology.edge_index.cpu().numpy()
    cells = dst * shape[1] + src
    weight = np.ones(cells.size) if weight is None or not weight.any() else np.abs(weight)
    return np.bincount(cells, weight, shape[0] * shape[1]).reshape(shape)


def _clustered(
    matrix: np.ndarray,  # (nodes, others)
    place: np.ndarray | None = None,  # (others,)
) -> np.ndarray:
    """Return the rows so that similar ones are near to each other, and those of zeros last.

    Groups that have nothing in common stand as their first rows do, or, where the places of the
    columns are known, along these.
    """
    from scipy.cluster import hierarchy

    if matrix.size == 0:
        return np.arange(len(matrix))
    # Equal rows are one leaf, so that they stand together and as they were.
    _, first, leaf = np.unique(matrix, axis=0, return_index=True, return_inverse=True)
    leaf = np.argsort(np.argsort(first))[leaf.reshape(-1)]
    rows = matrix[np.sort(first)]
    norm = np.linalg.norm(rows, axis=1)
    order, rest = np.flatnonzero(norm), np.flatnonzero(norm == 0)
    if order.size > 1:
        unit = rows[order] / norm[order, None]
        distance = np.clip(1 - unit @ unit.T, 0, None)[np.triu_indices(order.size, 1)]
        smooth = order.size <= _SMOOTHED
        tree = hierarchy.linkage(distance, "average", optimal_ordering=smooth)
        group = hierarchy.fcluster(tree, _UNRELATED, "distance") - 1
        key = np.arange(order.size) if place is None else unit @ place / unit.sum(1)
        least = np.full(group.max() + 1, np.inf)
        np.minimum.at(least, group, key)
        leaves = hierarchy.leaves_list(tree)
        order = order[leaves[_stable(least[group[leaves]])]]
    return _stable(np.argsort(np.concatenate([order, rest]))[leaf])
