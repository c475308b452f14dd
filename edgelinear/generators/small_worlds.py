"""Small worlds: a ring of which some edges are moved."""

from collections.abc import Iterator
from itertools import islice

import numpy as np
import torch

from edgelinear.generators._draw import from_ends, numpy_generator
from edgelinear.topology import Topology
from edgelinear.topology.checks import as_size

_IN_TURN = 300  # nodes, below which edges are moved one by one


def watts_strogatz(
    in_features: int,
    out_features: int,
    *,
    neighbors: int,
    rewiring: float,
    generator: torch.Generator | None = None,
) -> Topology:
    """Return a small world, every edge of it in both directions if in_features = out_features.

    With equal sizes this is the undirected graph of Watts and Strogatz, "Collective dynamics of
    small-world networks" (1998): a node is joined to its `neighbors` nearest others on a ring, half
    of them on either side. Then edges are taken in turn, those of nearest nodes first, and each is
    moved with probability `rewiring`: the later end on the ring is replaced by a node drawn
    uniformly from those that the other end is not joined to at that time. An edge of a node that is
    joined to all others stays. This is the law of networkx.watts_strogatz_graph.

    With different sizes it is bipartite, after Zhang et al., "Brain network science modelling of
    sparse neural networks" (2024), and of one direction: source s stands at s / in_features of a
    ring and target t at t / out_features, and a target sees the `neighbors` sources nearest to it;
    of two that are as near, it sees the one after it. Then each of its edges in turn, along the
    ring, is moved with probability `rewiring` to a source drawn uniformly from those that the
    target does not see at that time.

    Args:
        neighbors: even if in_features equals out_features.
        rewiring: a probability; 0 gives the ring, 1 moves every edge.
        generator: source of randomness; torch's default one, which `torch.manual_seed` sets.

    Raises:
        TypeError: if a size or `neighbors` is no integer.
        ValueError: if `neighbors` is odd in the first case or more than there are, or `rewiring` is
            not between 0 and 1.

    Example:
        >>> watts_strogatz(6, 6, neighbors=2, rewiring=0.0).edge_index[:, :4]
        tensor([[1, 5, 0, 2],
                [0, 0, 1, 1]])
    """
    in_features = as_size("in_features", in_features)
    out_features = as_size("out_features", out_features)
    neighbors = as_size("neighbors", neighbors)
    if not 0 <= rewiring <= 1:
        raise ValueError(f"`rewiring` must be between 0 and 1, got {rewiring}.")
    random = numpy_generator(generator)
    if in_features != out_features:
        return _bipartite_small_world(in_features, out_features, neighbors, rewiring, random)
    nodes = in_features
    if neighbors % 2 or neighbors > max(0, nodes - 1):
        raise ValueError(
            f"`neighbors` must be even and at most {max(0, nodes - 1)}, as each of {nodes} nodes "
            f"is joined to half of them on either side, got {neighbors}."
        )
    node = np.tile(np.arange(nodes), neighbors // 2)  # edge e is that of node e % nodes
    other = (node + np.repeat(np.arange(1, neighbors // 2 + 1), nodes)) % max(1, nodes)
    moved = random.random(node.size) < rewiring
    if neighbors == nodes - 1:
        moved[:] = False  # all are joined: there is nowhere to move to
    # Edges moved all at once draw again until the new end is free, which never ends for a node that
    # is joined to all others. With 300 nodes or more, each joined to at most half of the others at
    # first, the odds of such a node are below 1e-30.
    move = _move_in_turn if nodes < max(_IN_TURN, 2 * neighbors) else _move_at_once
    other = move(other, moved, nodes, random)
    return from_ends(nodes, nodes, np.concatenate([node, other]), np.concatenate([other, node]))


def _move_in_turn(
    other: np.ndarray,  # (edges,)
    moved: np.ndarray,  # (edges,)
    nodes: int,
    random: np.random.Generator,
) -> np.ndarray:  # (edges,)
    """Return the new ends, drawn edge by edge; one that has nowhere to go stays.

    The matrix of who is joined takes memory in proportion to edges, as this is for dense graphs.
    """
    node, other = np.arange(other.size) % max(1, nodes), other.copy()
    free = ~np.eye(nodes, dtype=bool)
    free[node, other] = free[other, node] = False
    is_free = free.data  # of which Python reads single elements fast
    drawn = _integers(nodes, random)
    for edge in map(int, np.flatnonzero(moved)):
        here, old = edge % nodes, int(other[edge])
        new = next((there for there in islice(drawn, 8) if is_free[here, there]), None)
        if new is None:
            (places,) = free[here].nonzero()
            if places.size == 0:
                continue
            new = int(places[random.integers(places.size)])
        other[edge] = new
        is_free[here, old] = is_free[old, here] = True
        is_free[here, new] = is_free[new, here] = False
    return other


def _integers(below: int, random: np.random.Generator) -> Iterator[int]:
    while True:
        yield from random.integers(below, size=1000).tolist()


def _move_at_once(
    other: np.ndarray,  # (edges,)
    moved: np.ndarray,  # (edges,)
    nodes: int,
    random: np.random.Generator,
) -> np.ndarray:  # (edges,)
    """Return what edge by edge gives, draw for draw, from draws for all edges at once.

    Each edge proposes to a place drawn uniformly. A place on the ring turns down the edges that
    come before its own has left, and any place keeps the earliest that proposed to it; the others
    draw again. Who has which place in the end does not depend on the order of proposals: Gale and
    Shapley, "College admissions and the stability of marriage" (1962).
    """
    half = other.size // nodes
    place, holder = np.empty((2, 0), dtype=np.int64)  # in ascending places; the edge at each
    waiting = moved.copy()
    while waiting.any():
        edge = np.flatnonzero(waiting)
        here, there = edge % nodes, random.integers(nodes, size=edge.size)
        ahead = (there - here) % nodes
        step = np.minimum(ahead, nodes - ahead)
        free = step > half
        ring = np.flatnonzero(~free & (step > 0))
        owner = (step[ring] - 1) * nodes + np.where(ahead == step, here, there)[ring]
        free[ring] = moved[owner] & (owner < edge[ring])

        proposed = np.minimum(here, there)[free] * nodes + np.maximum(here, there)[free]
        proposed, first = np.unique(proposed, return_index=True)  # the earliest, as edges ascend
        edge = edge[free][first]
        at = np.searchsorted(place, proposed)
        held = at < place.size
        held[held] = place[at[held]] == proposed[held]
        (earlier,) = np.nonzero(held)
        earlier = earlier[edge[earlier] < holder[at[earlier]]]
        waiting[holder[at[earlier]]] = True
        waiting[edge[earlier]] = waiting[edge[~held]] = False
        holder[at[earlier]] = edge[earlier]
        place = np.insert(place, at[~held], proposed[~held])
        holder = np.insert(holder, at[~held], edge[~held])
    other = other.copy()
    low, high = np.divmod(place, nodes)
    other[holder] = low + high - holder % nodes
    return other


def _bipartite_small_world(
    in_features: int,
    out_features: int,
    neighbors: int,
    rewiring: float,
    random: np.random.Generator,
) -> Topology:
    """Return targets that see a window of the ring, some edges of which are moved in turn.

    An edge that is moved draws one of the places that are free, and leaves its own in exchange. So
    it gets the old source of the edge that drew this place before, if there is one.
    """
    if neighbors > in_features:
        raise ValueError(f"`neighbors` must be at most in_features={in_features}, got {neighbors}.")
    target = np.arange(out_features)
    # Just past half a window before target * in_features / out_features, where the target stands.
    start = (2 * target * in_features - neighbors * out_features) // max(1, 2 * out_features) + 1
    src = (start[:, None] + np.arange(neighbors)).ravel() % max(1, in_features)
    dst = np.repeat(target, neighbors)
    places = in_features - neighbors
    moved = np.flatnonzero((random.random(src.size) < rewiring) & (places > 0))
    drawn = random.integers(max(1, places), size=moved.size)
    new = (start[dst[moved]] + neighbors + drawn) % max(1, in_features)
    cell = dst[moved] * places + drawn
    order = np.argsort(cell, kind="stable")
    again = np.flatnonzero(cell[order[1:]] == cell[order[:-1]])
    new[order[again + 1]] = src[moved[order[again]]]
    src[moved] = new
    return from_ends(in_features, out_features, src, dst)
