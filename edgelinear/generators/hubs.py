"""Networks with hubs: preferential attachment."""

import numpy as np
import torch

from edgelinear.generators._draw import attachments, from_ends, numpy_generator, positive
from edgelinear.topology import Topology
from edgelinear.topology.checks import as_size


def barabasi_albert(
    in_features: int,
    out_features: int,
    *,
    edges_per_node: int,
    generator: torch.Generator | None = None,
) -> Topology:
    """Return a network with hubs, every edge in both directions if in_features = out_features.

    With equal sizes this is the undirected graph of Barabasi and Albert, "Emergence of scaling in
    random networks" (1999): after a star of edges_per_node + 1 nodes, each new node in turn is
    joined to `edges_per_node` distinct ones: the first to come up as ends of edges are drawn
    uniformly, so that an old one is the more likely the more edges it has. This is the law of
    networkx.barabasi_albert_graph.

    With different sizes it is bipartite, after Guillaume and Latapy, "Bipartite graphs as models of
    complex networks" (2006), and of one direction: each target in turn is given `edges_per_node`
    distinct sources, each drawn from those that it has not yet with a probability in proportion to
    one more than the edges that the source had before this target.

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
        star = np.stack([np.zeros(count, dtype=np.int64), np.arange(1, count + 1)])
        newcomers = in_features - count - 1
        chosen = attachments(star.ravel(), newcomers, count, random, joined=True)
        node = np.concatenate([star[1], np.repeat(np.arange(count + 1, in_features), count)])
        other = np.concatenate([star[0], chosen.ravel()])
        ends = np.concatenate([node, other]), np.concatenate([other, node])
        return from_ends(in_features, in_features, *ends)
    if count > in_features:
        raise ValueError(
            f"`edges_per_node` must be at most in_features={in_features}, got {count}."
        )
    src = attachments(np.arange(in_features), out_features, count, random, joined=False)
    dst = np.repeat(np.arange(out_features), count)
    return from_ends(in_features, out_features, src.ravel(), dst)
