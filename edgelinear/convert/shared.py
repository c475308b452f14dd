"""The steps that importers share, and those that exporters share."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgelinear.topology import EdgeMap, Wiring, numbers
from edgelinear.topology.build import build
from edgelinear.topology.views import RepeatedEdge
from edgelinear.topology.wiring import check_names


def checked_wiring(
    in_features: int,
    out_features: int,
    src: Any,  # (num_edges,): the input of each edge, in the order of the data
    dst: Any,  # (num_edges,)
    values: Any,  # (num_edges,), or None
    duplicates: str,
    *,
    in_names: list | None = None,
    out_names: list | None = None,
    unit: str = "entries",
    sort: bool = True,
    kept: np.ndarray | None = None,  # (num_edges,): the position in the data of each edge
    number: int = 0,  # and how many positions the data has
) -> Wiring:
    """Return the wiring, in (target, source) order unless the data has an order that a user sees.

    An edge given twice is refused by name, and by its two positions in the data, counted in `unit`;
    and so is a value that is not finite.
    """

    def named(source: int, target: int) -> tuple[Any, Any]:
        return (
            source if in_names is None else in_names[source],
            target if out_names is None else out_names[target],
        )

    values = None if values is None else numbers.as_values("`weight`", values)
    check_finite(values, unit, lambda edge: named(int(src[edge]), int(dst[edge])))
    edges = np.stack([np.asarray(src, dtype=np.int64), np.asarray(dst, dtype=np.int64)])
    try:
        topology, weight, merged = build(
            in_features, out_features, edges, values, duplicates=duplicates
        )
    except RepeatedEdge as error:
        first, second = error.first, error.second
        if kept is not None:
            first, second = int(kept[first]), int(kept[second])
        raise RepeatedEdge(*named(error.src, error.dst), first, second, unit) from None
    if merged is not None and values is not None:
        weight = as_merged(
            weight,
            values.dtype,
            lambda edge: named(int(topology.src[edge]), int(topology.dst[edge])),
        )
    rows = EdgeMap.identity(topology.num_edges) if merged is None else merged
    if kept is not None:
        place = np.full(number, -1)
        place[kept] = np.arange(len(kept))
        rows = EdgeMap(torch.from_numpy(kept), torch.from_numpy(place)).then(rows)
    if sort and not topology.is_sorted:
        topology, order = topology._sorted()
        weight, rows = order.follow(weight) if weight is not None else None, rows.then(order)
    return Wiring(topology, weight, in_names, out_names, rows)


def check_finite(values: Tensor | None, unit: str, ends: Callable[[int], tuple]) -> None:
    """Refuse values of data that are NaN or infinite: no layer could use them.

    Args:
        unit: what the data counts: "edges", "entries" or "rows".
        ends: the names of the two ends of an edge.
    """
    if values is None or values.is_meta or values.isfinite().all():
        return
    edge = int((~values.isfinite()).nonzero()[0])
    (u, v), one = ends(edge), {"entries": "entry"}.get(unit, unit.removesuffix("s"))
    raise ValueError(
        f"edge {u!r} -> {v!r} ({one} {edge}) has the value {values[edge].item()}: values must be "
        "finite, so drop such edges or repair their values."
    )


def as_merged(values: Any, dtype: torch.dtype, ends: Callable[[int], tuple]) -> Tensor:
    """Return what values of data were merged to in their type, which it must fit into."""
    check_finite(values, "merged edges", ends)
    narrow = values.to(dtype)
    lost = narrow.isinf()
    if not narrow.is_meta and lost.any():
        edge = int(lost.nonzero()[0])
        u, v = ends(edge)
        raise ValueError(
            f"the values of edge {u!r} -> {v!r} make {values[edge].item()} together, which is too "
            f"large for {dtype}: scale the values, or give them in torch.float64."
        )
    return narrow


def as_values(array: np.ndarray) -> Tensor | None:
    """Return numbers as a tensor of their own width, and None for truth values: no weights.

    Whole numbers take torch's default type.
    """
    kind = array.dtype.kind
    if kind == "b":
        return None
    if kind == "c":
        raise TypeError(f"the values must be real numbers, got {array.dtype}.")
    return numbers.as_values("the data", np.array(array))  # a copy


def named_nodes(
    wiring: Wiring, in_names: Sequence[Hashable] | None, out_names: Sequence[Hashable] | None
) -> tuple[list | None, list | None]:
    """Return the names of inputs and of outputs: those given, or else the wiring's own."""
    inputs = wiring.in_names if in_names is None else in_names
    outputs = wiring.out_names if out_names is None else out_names
    return (
        check_names("in_names", inputs, wiring.topology.in_features),
        check_names("out_names", outputs, wiring.topology.out_features),
    )


def weight_array(wiring: Wiring) -> np.ndarray | None:  # (num_edges,)
    """Return a copy of the weights in their own type, or float32 where NumPy or scipy lack it."""
    if wiring.weight is None:
        return None
    weight = wiring.weight.detach().cpu()
    if weight.dtype in (torch.float16, torch.bfloat16):
        weight = weight.float()
    return weight.numpy().copy()
