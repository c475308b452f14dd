"""The null model that keeps sizes alone."""

import numpy as np
import torch

from edgelinear.generators import erdos_renyi
from edgelinear.generators._draw import numpy_generator
from edgelinear.null_models.shared import Kind, check_loop_free, drawn, topology_of
from edgelinear.topology import Wiring


def erdos_renyi_like(
    topology: Kind, *, generator: torch.Generator | None = None, self_loops: bool = True
) -> Kind:
    """Return as many edges between as many nodes, every set of distinct ones alike.

    It is a bipartite wiring: a topology without self-loops can get some by default. No edge is one
    of before: a Wiring's weights are put onto them at random.

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
    wiring = topology_of(topology)
    inputs, outputs, num_edges = wiring.in_features, wiring.out_features, wiring.num_edges
    if self_loops:
        src, dst = erdos_renyi(inputs, outputs, num_edges=num_edges, generator=generator).edge_index
    else:
        check_loop_free(wiring)
        others = max(0, inputs - 1)
        src, dst = erdos_renyi(others, outputs, num_edges=num_edges, generator=generator).edge_index
        src = src + (src >= dst)  # source i is the one after i, where a loop would be
    if isinstance(topology, Wiring):
        old = numpy_generator(generator).permutation(num_edges)
    else:
        old = np.arange(num_edges)
    return drawn(topology, src.numpy(), dst.numpy(), old)
