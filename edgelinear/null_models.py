"""Random wirings like a given one, to tell what of it matters: `name(topology, *, generator=None)`.

Each gives its edges in (target, source) order.
"""

import numpy as np
import torch

from edgelinear.generators import erdos_renyi
from edgelinear.generators._draw import from_ends, numpy_generator
from edgelinear.topology import Topology

TRADES = 20  # rounds of `degree_preserving`; Carstens et al. find the mixing done after about 10


def degree_preserving(topology: Topology, *, generator: torch.Generator | None = None) -> Topology:
    """Return a random wiring in which every source and every target keeps its number of edges.

    All such wirings without parallel edges are equally likely, in the limit of many trades. In each
    round, targets are paired at random, and each pair deals out anew the sources that only one of
    them has: the global curveball of Carstens, Hamann, Meyer, Penschuck, Tran and Wagner, "Parallel
    and I/O-efficient randomisation of massive networks using global curveball trades" (2018).

    Raises:
        ValueError: if the topology has parallel edges.

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
    for _ in range(TRADES):
        dst, src = np.divmod(keys, max(1, in_features))
        partner = np.empty(out_features, dtype=np.int64)  # pair of each target
        partner[random.permutation(out_features)] = np.arange(out_features) // 2
        pair = partner[dst]
        order = np.argsort(pair * in_features + src)
        pair, src, dst = pair[order], src[order], dst[order]
        same = (pair[1:] == pair[:-1]) & (src[1:] == src[:-1])
        shared = np.zeros(src.size, dtype=bool)
        shared[1:] |= same
        shared[:-1] |= same
        # A permutation of these targets within each pair: they stand in the order of pairs.
        dealt = np.flatnonzero(~shared)
        dst[dealt[np.argsort(pair[dealt] + random.random(dealt.size))]] = dst[dealt]
        keys = dst * in_features + src
    return from_ends(in_features, out_features, src, dst).to(topology.device)


def permute_targets(topology: Topology, *, generator: torch.Generator | None = None) -> Topology:
    """Return the same wiring with its targets renamed at random: target t becomes permutation[t].

    Which sources converge stays as it was; what they converge on does not.

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


def erdos_renyi_like(topology: Topology, *, generator: torch.Generator | None = None) -> Topology:
    """Return as many edges between as many nodes, every set of distinct ones alike.

    Raises:
        ValueError: if there are more edges, by parallel ones, than pairs of a source and a target.

    Example:
        >>> erdos_renyi_like(Topology(3, 3, [(0, 0), (1, 0)])).num_edges
        2
    """
    sizes, num_edges = (topology.in_features, topology.out_features), topology.num_edges
    random = erdos_renyi(*sizes, num_edges=num_edges, generator=generator)
    return random.to(topology.device)
