"""Random wirings like a given one, to tell what of it matters: `name(topology, *, generator=None)`.

They are nulls of a bipartite wiring: source i and target i count as two nodes, even where both
stand for node i of a graph. So self-loops may come up, unless `self_loops=False`, and edges in both
directions between two nodes do not stay together. Each gives its edges in (target, source) order.
"""

import numpy as np
import torch

from edgelinear.generators import erdos_renyi
from edgelinear.generators._draw import from_ends, numpy_generator
from edgelinear.topology import Topology

TRADES = 20  # rounds of `degree_preserving`; Carstens et al. find the mixing done after about 10


def degree_preserving(
    topology: Topology, *, generator: torch.Generator | None = None, self_loops: bool = True
) -> Topology:
    """Return a random wiring in which every source and every target keeps its number of edges.

    It is a bipartite wiring: a topology without self-loops can get some by default. All such
    wirings without parallel edges are equally likely, in the limit of many trades. In each round,
    targets are paired at random, and each pair deals out anew the sources that only one of them
    has: the global curveball of Carstens, Hamann, Meyer, Penschuck, Tran and Wagner, "Parallel and
    I/O-efficient randomisation of massive networks using global curveball trades" (2018).

    If `self_loops` is False, all of those without self-loops are equally likely instead. A pair
    keeps the edges between its two nodes: Carstens, Berger and Strona, "A unifying framework for
    fast randomization of ecological networks with fixed (node) degrees" (2016). Such trades cannot
    reverse a cycle of three nodes that is there, in one direction or the other, in every wiring of
    these degrees, so that a coin is tossed for it: Berger and Mueller-Hannemann, "Uniform sampling
    of undirected and directed graphs with a fixed degree sequence" (2010). Where only few wirings
    have these degrees, most trades change nothing, and the topology itself may come up too often.

    Args:
        generator: source of randomness; torch's default one, which `torch.manual_seed` sets.
        self_loops: whether an edge may lead from source i to target i.

    Raises:
        ValueError: if the topology has parallel edges; or self-loops, or unequal numbers of sources
            and targets, with `self_loops=False`.

    Example:
        >>> star = Topology(3, 3, [(0, 0), (1, 0), (2, 1)])
        >>> degree_preserving(star).fan_in.tolist()
        [2, 1, 0]
    """
    src, dst = topology.edge_index.cpu().numpy()
    in_features, out_features = topology.in_features, topology.out_features
    keys = np.sort(dst * in_features + src)
    if (keys[1:] == keys[:-1]).any():
        raise ValueError(
            "the topology must have no parallel edges, as wirings without them are drawn: build it "
            'with duplicates="merge".'
        )
    random = numpy_generator(generator)
    if not self_loops:
        _check_loop_free(topology)
        keys = _reverse_cycles(keys, topology, random)
    # Without self-loops, pairs of few nodes have little to deal: 20 rounds leave the worst wirings
    # of 5 nodes 0.18 from uniform, in total variation, and 200 rounds leave them 0.000003.
    rounds = TRADES if self_loops else max(TRADES, 1000 // max(1, out_features))
    for _ in range(rounds):
        dst, src = np.divmod(keys, max(1, in_features))
        partner = np.empty(out_features, dtype=np.int64)  # pair of each target
        partner[random.permutation(out_features)] = np.arange(out_features) // 2
        pair = partner[dst]
        order = np.argsort(pair * in_features + src)
        pair, src, dst = pair[order], src[order], dst[order]
        same = (pair[1:] == pair[:-1]) & (src[1:] == src[:-1])
        kept = np.zeros(src.size, dtype=bool)
        kept[1:] |= same
        kept[:-1] |= same
        if not self_loops:
            kept |= partner[src] == pair
        # A permutation of these targets within each pair: they stand in the order of pairs.
        dealt = np.flatnonzero(~kept)
        dst[dealt[np.argsort(pair[dealt] + random.random(dealt.size))]] = dst[dealt]
        keys = dst * in_features + src
    return from_ends(in_features, out_features, src, dst).to(topology.device)


def _check_loop_free(topology: Topology) -> None:
    if topology.in_features != topology.out_features:
        raise ValueError(
            "in_features must equal out_features for self_loops=False, as each source must be a "
            f"target too, got {topology.in_features} and {topology.out_features}."
        )
    src, dst = topology.edge_index
    loops = int((src == dst).sum())
    if loops:
        raise ValueError(
            f"the topology must have no self-loops for self_loops=False, got {loops} of "
            f"{topology.num_edges} edges."
        )


def _reverse_cycles(
    keys: np.ndarray,  # (num_edges,), ascending: target * nodes + source of each edge
    topology: Topology,
    random: np.random.Generator,
) -> np.ndarray:  # (num_edges,)
    """Return the edges with some cycles of three nodes reversed, a coin tossed for each.

    The coin is for cycles that are there in every wiring of these degrees. Any other node is joined
    to all three nodes of one or to none, as two edges could be swapped to end the cycle otherwise.
    So the three have the same degrees, and no fourth node has: it could stand in for one of them in
    another wiring, where they are no cycle. Reversing other cycles of such nodes does no harm.
    """
    nodes = topology.in_features
    degrees = (topology.fan_in.long() * nodes + topology.fan_out).cpu().numpy()
    order = np.argsort(degrees, kind="stable")
    _, first, counts = np.unique(degrees[order], return_index=True, return_counts=True)
    trios = order[first[counts == 3][:, None] + np.arange(3)]  # (trios, 3)
    ways = np.stack([np.roll(trios, shift, axis=1) * nodes + trios for shift in (-1, 1)])
    there = np.isin(ways, keys).sum(axis=2)  # (2, trios): edges of each direction
    for way in (0, 1):
        cycle = (there[way] == 3) & (there[1 - way] == 0)
        reverse = cycle & (random.random(len(trios)) < 0.5)
        kept = keys[~np.isin(keys, ways[way, reverse])]
        keys = np.concatenate([kept, ways[1 - way, reverse].ravel()])
    return keys


def permute_targets(topology: Topology, *, generator: torch.Generator | None = None) -> Topology:
    """Return the same wiring with its targets renamed at random: target t becomes permutation[t].

    Which sources converge stays as it was; what they converge on does not. Sources keep their
    names, as in a bipartite wiring: a topology without self-loops can get some.

    Example:
        >>> wiring = Topology(3, 2, [(0, 1), (1, 1), (2, 0)])
        >>> sorted(permute_targets(wiring).fan_in.tolist())
        [1, 2]
    """
    random = numpy_generator(generator)
    src, dst = topology.edge_index.cpu().numpy()
    dst = random.permutation(topology.out_features)[dst]
    sizes = (topology.in_features, topology.out_features)
    return from_ends(*sizes, src, dst, duplicates="keep").to(topology.device)


def erdos_renyi_like(
    topology: Topology, *, generator: torch.Generator | None = None, self_loops: bool = True
) -> Topology:
    """Return as many edges between as many nodes, every set of distinct ones alike.

    It is a bipartite wiring: a topology without self-loops can get some by default.

    Args:
        generator: source of randomness; torch's default one, which `torch.manual_seed` sets.
        self_loops: whether an edge may lead from source i to target i.

    Raises:
        ValueError: if there are more edges, by parallel ones, than pairs of a source and a target;
            or self-loops, or unequal numbers of sources and targets, with `self_loops=False`.

    Example:
        >>> erdos_renyi_like(Topology(3, 3, [(0, 0), (1, 0)])).num_edges
        2
    """
    inputs, outputs, num_edges = topology.in_features, topology.out_features, topology.num_edges
    if self_loops:
        random = erdos_renyi(inputs, outputs, num_edges=num_edges, generator=generator)
        return random.to(topology.device)
    _check_loop_free(topology)
    others = erdos_renyi(max(0, inputs - 1), outputs, num_edges=num_edges, generator=generator)
    src, dst = others.edge_index  # of which source i is the one after i, where a loop would be
    random = Topology(inputs, outputs, torch.stack([src + (src >= dst), dst]))
    return random.to(topology.device)
