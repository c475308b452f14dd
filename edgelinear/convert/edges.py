"""Edge lists in memory: `from_edges`, which takes what PyG holds too, and `to_edge_index`."""

from typing import Any

from torch import Tensor

from edgelinear.convert.pyg import edges_of
from edgelinear.convert.shared import as_merged, check_finite
from edgelinear.topology import EdgeMap, Wiring
from edgelinear.topology.build import build
from edgelinear.topology.numbers import as_values
from edgelinear.topology.wiring import HasWiring, wiring_of


def from_edges(
    in_features: int | None,
    out_features: int | None,
    edge_index: Any,  # (2, num_edges)
    *,
    weight: Any = None,  # (num_edges,)
    duplicates: str = "error",
    edge_type: tuple[str, str, str] | None = None,
) -> Wiring:
    """Read an edge list: row 0 of `edge_index` is the source (an input), row 1 the target (output).

    The edges keep their order, as in `Topology`.

    Args:
        in_features: number of sources; None takes it from a PyG `Data`, `HeteroData` or
            `EdgeIndex` that says it, as by its `x`.
        out_features: number of targets, likewise.
        edge_index: a tensor, an array, a list of (source, target) tuples, or a PyG `EdgeIndex`,
            `Data` or `HeteroData`, whose `edge_weight` is then the weight.
        weight: numbers, whatever holds them, in the order of the edges: an index of pandas has no
            say.
        edge_type: (source, relation, target), where a `HeteroData` has several.

    Raises:
        ValueError: if a size is not known, a value is NaN or infinite, or as `Topology` does.

    Example:
        >>> from_edges(3, 2, [(0, 0), (2, 1)], weight=[0.5, -1.0]).weight
        tensor([ 0.5000, -1.0000])
    """
    edge_index, own_weight, sizes = edges_of(edge_index, edge_type)
    weight = own_weight if weight is None else weight
    in_features = sizes[0] if in_features is None else in_features
    out_features = sizes[1] if out_features is None else out_features
    for name, size in (("in_features", in_features), ("out_features", out_features)):
        if size is None:
            raise ValueError(f"the edges do not say how many nodes there are: give `{name}`.")
    assert in_features is not None and out_features is not None
    weight = None if weight is None else as_values("`weight`", weight)
    topology, values, merged = build(
        in_features, out_features, edge_index, weight, duplicates=duplicates
    )

    def ends(edge: int) -> tuple[int, int]:
        return int(topology.src[edge]), int(topology.dst[edge])

    check_finite(values, "edges", ends)
    if weight is not None and merged is not None:
        values = as_merged(values, weight.dtype, ends)
    rows = EdgeMap.identity(topology.num_edges) if merged is None else merged
    # A copy, so that a later change of the caller's data does not reach the wiring.
    return Wiring(topology, None if values is None else values.clone(), rows=rows)


def to_edge_index(layer: HasWiring | Wiring) -> tuple[Tensor, Tensor | None]:
    """Return `edge_index`, row 0 the source and row 1 the target, and the weight of each edge.

    Both are copies, on the layer's device and in the order of its edges. A Wiring without values
    gives None for the weights.

    Example:
        >>> edge_index, weight = to_edge_index(el.EdgeLinear(3, 2, [(0, 0), (2, 1)]))
        >>> edge_index.shape, weight.shape
        (torch.Size([2, 2]), torch.Size([2]))
    """
    topology, weight, *_ = wiring_of(layer)
    return topology.edge_index, None if weight is None else weight.clone()
