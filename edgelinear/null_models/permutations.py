"""Null models that keep the wiring up to names of targets, or places of weights."""

import numpy as np
import torch

from edgelinear.generators._draw import numpy_generator
from edgelinear.null_models.shared import Kind, check_loop_free, drawn, topology_of
from edgelinear.topology import Wiring

ROUNDS = 100  # in each, half of the targets that can get another name do


def permute_targets(
    topology: Kind, *, generator: torch.Generator | None = None, self_loops: bool = True
) -> Kind:
    """Return the same wiring with its targets renamed at random: target t becomes permutation[t].

    Which sources converge stays as it was; what they converge on does not. Sources keep their
    names, as in a bipartite wiring: a topology without self-loops can get some by default.

    If `self_loops` is False, the renamings without self-loops are equally likely instead, in the
    limit of many rounds. In each, targets are put into pairs or threes at random, and each of these
    passes its names on where no self-loop comes of it. Where few renamings are free of self-loops,
    most of that changes nothing, and the topology itself may come up too often.

    Args:
        generator: source of randomness; torch's default one, which `torch.manual_seed` sets.
        self_loops: whether an edge may lead from source i to target i.

    Raises:
        ValueError: if the topology has self-loops, or unequal numbers of sources and targets, with
            `self_loops=False`.

    Example:
        >>> wiring = Topology(3, 2, [(0, 1), (1, 1), (2, 0)])
        >>> sorted(permute_targets(wiring).fan_in.tolist())
        [1, 2]
    """
    wiring = topology_of(topology)
    random = numpy_generator(generator)
    src, dst = wiring.edge_index.cpu().numpy()
    if self_loops:
        names = random.permutation(wiring.out_features)
    else:
        check_loop_free(wiring)
        names = _loop_free_names(src, dst, wiring.out_features, random)
    return drawn(topology, src, names[dst], np.arange(src.size), duplicates="keep")


def _loop_free_names(
    src: np.ndarray,  # (num_edges,)
    dst: np.ndarray,  # (num_edges,)
    nodes: int,
    random: np.random.Generator,
) -> np.ndarray:  # (nodes,)
    """Return a name for each target, which is none of its sources."""
    keys, names = np.sort(dst * nodes + src), np.arange(nodes)
    for i in range(max(ROUNDS, 1000 // max(1, nodes))):
        some = 2 + i % 2  # swaps alone leave three nodes in a cycle as they are
        groups = random.permutation(nodes)[: nodes // some * some].reshape(-1, some)
        passed = np.roll(names[groups], 1, axis=1)
        wanted = groups * nodes + passed
        at = np.searchsorted(keys, wanted).clip(max=max(0, keys.size - 1))
        loops = (keys[at] == wanted) if keys.size else np.zeros_like(wanted, dtype=bool)
        moves = ~loops.any(axis=1) & (random.random(len(groups)) < 0.5)
        names[groups[moves]] = passed[moves]
    return names


def permute_weights(wiring: Wiring, *, generator: torch.Generator | None = None) -> Wiring:
    """Return the same wiring with its weights put onto its edges at random, every order alike.

    What then differs is which edge is strong, and which inhibits: not which are there.

    Args:
        generator: source of randomness; torch's default one, which `torch.manual_seed` sets.

    Raises:
        TypeError: if it is no Wiring, as `layer.wiring`, or what an importer returns.
        ValueError: if it holds no weights.

    Example:
        >>> wiring = el.convert.from_edges(3, 2, [(0, 1), (1, 1), (2, 0)], weight=[1.0, 2.0, 3.0])
        >>> sorted(permute_weights(wiring).weight.tolist())
        [1.0, 2.0, 3.0]
    """
    if not isinstance(wiring, Wiring):
        hint = ": use its `.wiring`" if hasattr(wiring, "wiring") else ""
        raise TypeError(
            f"`wiring` must be a Wiring with weights, got {type(wiring).__name__}{hint}."
        )
    if wiring.weight is None:
        raise ValueError("the wiring holds no weights to permute.")
    order = torch.from_numpy(numpy_generator(generator).permutation(wiring.topology.num_edges))
    return wiring._replace(weight=wiring.weight[order.to(wiring.weight.device)], rules=())
