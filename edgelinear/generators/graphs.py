"""Patterns of network science: small worlds, preferential attachment, mixed radices."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch

from edgelinear.edges import as_size
from edgelinear.generators._draw import from_ends, numpy_generator, positive
from edgelinear.topology import Topology

_MOST_ROUNDS = 100  # of moving edges at once, of which a sparse graph takes a few


def watts_strogatz(
    in_features: int,
    out_features: int,
    *,
    neighbors: int,
    rewiring: float,
    generator: torch.Generator | None = None,
) -> Topology:
    """Return a small world: a ring of near neighbors, some of whose edges lead anywhere.

    If in_features equals out_features, this is the undirected graph of Watts and Strogatz,
    "Collective dynamics of small-world networks" (1998), each of its edges in both directions:
    a node is joined to its `neighbors` nearest others on a ring, half of them on either side, and
    one end of each edge is moved with probability `rewiring` to a node drawn uniformly from those
    that are not joined yet.

    Otherwise it is bipartite, after Zhang et al., "Brain network science modelling of sparse neural
    networks" (2024): sources and targets stand on two rings of the same length, a target sees the
    `neighbors` sources nearest to it, and an edge is given another source in the same way.

    Args:
        neighbors: even if in_features equals out_features.
        rewiring: a probability; 0 gives the ring, 1 a random graph.
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
    node = np.repeat(np.arange(nodes), neighbors // 2)
    other = (node + np.tile(np.arange(1, neighbors // 2 + 1), nodes)) % max(1, nodes)

    def key(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.minimum(a, b) * nodes + np.maximum(a, b)

    moved = random.random(node.size) < rewiring
    if neighbors == nodes - 1:
        moved[:] = False  # all are joined: there is nowhere to move to
    other = _move(node, other, moved, nodes, key, random, to_itself=False)
    return from_ends(nodes, nodes, np.concatenate([node, other]), np.concatenate([other, node]))


def _bipartite_small_world(
    in_features: int,
    out_features: int,
    neighbors: int,
    rewiring: float,
    random: np.random.Generator,
) -> Topology:
    if neighbors > in_features:
        raise ValueError(f"`neighbors` must be at most in_features={in_features}, got {neighbors}.")
    dst = np.repeat(np.arange(out_features), neighbors)
    nearest = np.arange(out_features) * in_features // max(1, out_features)
    offsets = np.arange(neighbors) - (neighbors - 1) // 2
    src = (nearest[:, None] + offsets).ravel() % max(1, in_features)

    def key(target: np.ndarray, source: np.ndarray) -> np.ndarray:
        return target * in_features + source

    moved = random.random(dst.size) < rewiring
    if neighbors == in_features:
        moved[:] = False
    src = _move(dst, src, moved, in_features, key, random, to_itself=True)
    return from_ends(in_features, out_features, src, dst)


def _move(
    node: np.ndarray,  # (edges,)
    other: np.ndarray,  # (edges,)
    moved: np.ndarray,  # (edges,)
    population: int,
    key: Callable[[np.ndarray, np.ndarray], np.ndarray],  # what is the same for the same edge
    random: np.random.Generator,
    *,
    to_itself: bool,
) -> np.ndarray:
    """Return `other` with new ends for the edges that are `moved`, so that no two are the same.

    All are moved at once. A new end is drawn anew as long as its edge is there already. Where nodes
    are joined to almost all others, edges are moved in turn instead.
    """
    original, other = other, other.copy()
    waiting = np.flatnonzero(moved)
    taken = np.sort(key(node[~moved], other[~moved]))
    rounds = 0
    while waiting.size:
        rounds += 1
        if rounds > _MOST_ROUNDS and not to_itself:
            return _move_in_turn(node, original, moved, population, random)
        drawn = random.integers(population, size=waiting.size)
        keys = key(node[waiting], drawn)
        _, first = np.unique(keys, return_index=True)
        free = np.zeros(waiting.size, dtype=bool)
        free[first] = True
        free &= ~_is_in(keys, taken) & (to_itself | (drawn != node[waiting]))
        other[waiting[free]] = drawn[free]
        taken = np.sort(np.concatenate([taken, keys[free]]))
        waiting = waiting[~free]
    return other


def _move_in_turn(
    node: np.ndarray, other: np.ndarray, moved: np.ndarray, nodes: int, random: np.random.Generator
) -> np.ndarray:
    """Do the same for undirected edges, as published: one that has nowhere to go stays.

    The matrix of who is joined takes memory in proportion to edges: it is needed where most are.
    """
    other, joined = other.copy(), np.eye(nodes, dtype=bool)
    joined[node, other] = joined[other, node] = True
    for edge in np.flatnonzero(moved):
        here, old = node[edge], other[edge]
        (free,) = np.nonzero(~joined[here])
        if free.size:
            new = other[edge] = random.choice(free)
            joined[here, old] = joined[old, here] = False
            joined[here, new] = joined[new, here] = True
    return other


def _is_in(keys: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    place = np.searchsorted(ordered, keys)
    found = np.zeros(keys.size, dtype=bool)
    inside = place < ordered.size
    found[inside] = ordered[place[inside]] == keys[inside]
    return found


def barabasi_albert(
    in_features: int,
    out_features: int,
    *,
    edges_per_node: int,
    generator: torch.Generator | None = None,
) -> Topology:
    """Return a network with hubs: newcomers join what many others have joined.

    If in_features equals out_features, this is the undirected graph of Barabasi and Albert,
    "Emergence of scaling in random networks" (1999), each of its edges in both directions: after a
    star of edges_per_node + 1 nodes, each new node is joined to `edges_per_node` distinct ones, an
    old one the more likely the more edges it has.

    Otherwise it is bipartite, after Guillaume and Latapy, "Bipartite graphs as models of complex
    networks" (2006): each target in turn is given `edges_per_node` distinct sources, each drawn
    with a probability in proportion to one more than the edges that it has.

    Args:
        generator: source of randomness; torch's default one, which `torch.manual_seed` sets.

    Raises:
        TypeError: if a size or `edges_per_node` is no integer.
        ValueError: if there are too few nodes for that many distinct edges.

    Example:
        >>> barabasi_albert(1000, 1000, edges_per_node=3).num_edges  # 2 * 3 * (1000 - 3)
        5982
    """
    in_features = as_size("in_features", in_features)
    out_features = as_size("out_features", out_features)
    count = positive("edges_per_node", edges_per_node)
    random = numpy_generator(generator)
    if in_features == out_features:
        if count >= max(1, in_features):
            raise ValueError(
                f"`edges_per_node` must be less than the {in_features} nodes, got {count}."
            )
        # Ends of edges so far, of which one is drawn: those of the star, then of each newcomer.
        star = np.stack([np.zeros(count, dtype=np.int64), np.arange(1, count + 1)], axis=1)
        newcomer = np.repeat(np.arange(count + 1, in_features), count)
        old = _attach(star.ravel(), newcomer, count, random, both_ends=True)
        node = np.concatenate([star[:, 1], newcomer])
        other = np.concatenate([star[:, 0], old])
        ends = np.concatenate([node, other]), np.concatenate([other, node])
        return from_ends(in_features, in_features, *ends)
    if count > in_features:
        raise ValueError(
            f"`edges_per_node` must be at most in_features={in_features}, got {count}."
        )
    dst = np.repeat(np.arange(out_features), count)
    src = _attach(np.arange(in_features), dst, count, random, both_ends=False)
    return from_ends(in_features, out_features, src, dst)


def _attach(
    pool: np.ndarray,  # ends to draw from before there is a newcomer
    newcomer: np.ndarray,  # (edges,): `count` edges of each, in order
    count: int,
    random: np.random.Generator,
    *,
    both_ends: bool,
) -> np.ndarray:
    """Return the other end of each edge: one drawn from the pool and all ends of earlier newcomers.

    An end that was drawn itself is followed to where it leads: Batagelj and Brandes, "Efficient
    generation of large random networks" (2005).
    """
    ends = 2 if both_ends else 1  # of an edge, that count
    size = pool.size + ends * (np.arange(newcomer.size) // count * count)
    drawn = random.integers(size)
    while True:
        other, at = np.empty(newcomer.size, dtype=np.int64), drawn.copy()
        following = np.arange(newcomer.size)
        while following.size:
            here = at[following]
            in_pool = here < pool.size
            other[following[in_pool]] = pool[here[in_pool]]
            following, here = following[~in_pool], here[~in_pool]
            edge, end = np.divmod(here - pool.size, ends)
            if both_ends:
                other[following[end == 0]] = newcomer[edge[end == 0]]
                following, edge = following[end == 1], edge[end == 1]
            at[following] = drawn[edge]
        rows = other.reshape(-1, count)
        order = np.argsort(rows, axis=1, kind="stable")
        ordered = np.take_along_axis(rows, order, axis=1)
        row, rank = np.nonzero(ordered[:, 1:] == ordered[:, :-1])
        if row.size == 0:
            return other
        repeats = row * count + order[row, rank + 1]
        drawn[repeats] = random.integers(size[repeats])


def radix_net(
    in_features: int, out_features: int, *, radices: Sequence[int], layer: int
) -> Topology:
    """Return one layer of a RadiX-Net: few edges, and as many paths between any two ends.

    Number nodes by digits in mixed radices. A layer joins nodes that differ in one digit at most:
    target t to sources `(t - n * stride) % size` for n in [0, radices[layer]), where `size` is the
    product of all radices and `stride` of those before. Between a source and a target of all layers
    in a row there is exactly one path. Layers of a multiple of `size` repeat the pattern in every
    block: Kepner and Robinett, "RadiX-Net: structured sparse matrices for deep neural networks"
    (2019).

    Raises:
        TypeError: if an argument is no integer.
        ValueError: if a size is no multiple of the product of the radices, or there is no such
            layer.

    Example:
        >>> radix_net(4, 4, radices=(2, 2), layer=1).edge_index  # differ by two
        tensor([[0, 2, 1, 3, 0, 2, 1, 3],
                [0, 0, 1, 1, 2, 2, 3, 3]])
    """
    in_features = as_size("in_features", in_features)
    out_features = as_size("out_features", out_features)
    layer = as_size("layer", layer)
    radices = [positive("radices", radix) for radix in radices]
    if layer >= len(radices):
        raise ValueError(
            f"`layer` must be below the number of radices, {len(radices)}, got {layer}."
        )
    size, stride = math.prod(radices), math.prod(radices[:layer])
    if in_features % size or out_features % size:
        raise ValueError(
            f"in_features and out_features must be multiples of {size}, the product of `radices`, "
            f"got {in_features} and {out_features}."
        )
    target = np.arange(out_features)[:, None, None]
    step = np.arange(radices[layer])[:, None] * stride
    block = np.arange(in_features // size) * size
    src = (target - step) % size + block  # (out_features, radix, blocks)
    dst = np.broadcast_to(target, src.shape)
    return from_ends(in_features, out_features, src.ravel(), dst.ravel())
