"""Random wirings like a given one, to tell what of it matters: `name(topology, *, generator=None)`.

They are nulls of a bipartite wiring: source i and target i count as two nodes, even where both
stand for node i of a graph. So self-loops may come up, unless `self_loops=False`, and edges in both
directions between two nodes do not stay together. Those with levels in their names are of graphs
without cycles, as of an `EdgeNetwork`, and draw such graphs. Each gives its edges in (target,
source) order.

Of a `Wiring` they return a Wiring: nodes keep their names, and each weight goes along with its
edge, if there is an edge that can be said to be it. `rows` says which, for other data of edges.
"""

from edgelinear.null_models.degrees import degree_preserving
from edgelinear.null_models.levels import level_preserving, permute_levels
from edgelinear.null_models.permutations import permute_targets, permute_weights
from edgelinear.null_models.uniform import erdos_renyi_like

__all__ = [
    "degree_preserving",
    "erdos_renyi_like",
    "level_preserving",
    "permute_levels",
    "permute_targets",
    "permute_weights",
]
