"""Topologies with the weights that come with their edges."""

from typing import Any

from torch import Tensor

from edgelinear.topology.checks import as_edge_index, check_weight
from edgelinear.topology.edits import EdgeMap, wide
from edgelinear.topology.value import Topology
from edgelinear.topology.views import checked_views


def build(
    in_features: int,
    out_features: int,
    edge_index: Any,  # (2, num_edges)
    weight: Any = None,  # (num_edges,)
    *,
    duplicates: str = "error",
) -> tuple[Topology, Tensor | None, EdgeMap | None]:
    """Return the topology, the weight of its edges, and which edges were merged, if any were.

    Row 0 of `edge_index` is the source (an input), row 1 the target (an output). Of merged edges,
    "merge" adds the weights, and "mean", "max" or "min" takes that of them: in float64, for whoever
    takes them to round once. A topology of these sizes is taken as it is.
    """
    if isinstance(edge_index, Topology):
        topology, merged = _fitting(edge_index, in_features, out_features, duplicates), None
        number = topology.num_edges
    else:
        edges = as_edge_index(edge_index)
        number = edges.shape[1]
        *views, merged = checked_views(in_features, out_features, edges, duplicates)
        topology = Topology._from_views(*views)
    if weight is not None:
        weight = check_weight(weight, number)
        if merged is not None:
            weight = merged.combine(wide(weight), "sum" if duplicates == "merge" else duplicates)
    return topology, weight, merged


def _fitting(topology: Topology, in_features: int, out_features: int, duplicates: str) -> Topology:
    if (topology.in_features, topology.out_features) != (in_features, out_features):
        raise ValueError(
            f"the topology must have {in_features} -> {out_features} features, "
            f"got {topology.in_features} -> {topology.out_features}."
        )
    if duplicates != "error":
        raise ValueError(
            f"`duplicates` is settled when a Topology is built, got {duplicates!r} with one."
        )
    return topology
