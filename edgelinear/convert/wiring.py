"""What every importer returns, and the steps that importers share."""

import importlib
from collections.abc import Hashable, Sequence, Set
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from edgelinear.topology import Topology, topology_with_weight


class Wiring(NamedTuple):
    """Edges from sources (inputs) to targets (outputs), as an importer found them, with values.

    Example:
        >>> wiring = el.convert.from_edges(3, 2, [(0, 0), (2, 1)], weight=[0.5, -1.0])
        >>> el.EdgeLinear.from_topology(wiring.topology, weight=wiring.weight).weight.tolist()
        [0.5, -1.0]
    """

    topology: Topology
    weight: Tensor | None  # (num_edges,), or None where the data has no values
    in_names: list | None  # (in_features,), or None where the data has no names
    out_names: list | None  # (out_features,)


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
) -> Wiring:
    """Return the wiring, in (target, source) order unless the data has an order that a user sees.

    An edge given twice is refused by name, and by its two positions in the data, counted in `unit`.
    """
    edges = np.stack([np.asarray(src, dtype=np.int64), np.asarray(dst, dtype=np.int64)])
    topology, weight = topology_with_weight(
        in_features,
        out_features,
        edges,
        values,
        duplicates="keep" if duplicates == "error" else duplicates,
    )
    ordered, permutation = topology.sorted()
    if duplicates == "error":
        _refuse_repeats(ordered, permutation, in_names, out_names, unit)
    if not sort:
        return Wiring(topology, weight, in_names, out_names)
    if weight is not None:
        weight = weight[permutation.to(weight.device)]
    return Wiring(ordered, weight, in_names, out_names)


def _refuse_repeats(
    topology: Topology,
    permutation: Tensor,
    in_names: list | None,
    out_names: list | None,
    unit: str,
) -> None:
    src, dst = topology.src, topology.dst
    repeated = ((src[1:] == src[:-1]) & (dst[1:] == dst[:-1])).nonzero()[:, 0]
    if len(repeated) == 0:
        return
    position = int(repeated[permutation[repeated + 1].argmin()])  # the first that the data repeats
    first, second = permutation[position : position + 2].tolist()
    source, target = int(src[position]), int(dst[position])
    source = source if in_names is None else in_names[source]
    target = target if out_names is None else out_names[target]
    raise ValueError(
        f"edge {source!r} -> {target!r} is given twice ({unit} {first} and {second}). "
        'Pass duplicates="merge" for one weight, or duplicates="keep" for two.'
    )


def as_values(array: np.ndarray) -> Tensor | None:
    """Return numbers as a tensor of their own width, and None for truth values: no weights.

    Whole numbers take torch's default type.
    """
    kind = array.dtype.kind
    if kind == "b":
        return None
    if kind in "iu":
        return torch.from_numpy(array.astype(np.float64)).to(torch.get_default_dtype())
    if kind != "f":
        raise TypeError(f"the values must be real numbers, got {array.dtype}.")
    return torch.from_numpy(array.astype(f"f{min(8, array.dtype.itemsize)}"))  # no long double


def check_layer(layer: Any) -> None:
    if not hasattr(layer, "in_names"):  # `EdgeLinear` itself is built on this module
        raise TypeError(f"`layer` must be an EdgeLinear, got {type(layer).__name__}.")


def check_names(argument: str, names: Sequence[Hashable] | None, size: int) -> list | None:
    """Return `names` as a list of `size` different names."""
    if names is None:
        return None
    names = as_list(argument, names)
    if len(names) != size:
        raise ValueError(f"`{argument}` must hold {size} names, got {len(names)}.")
    positions(argument, names)
    return names


def as_list(argument: str, names: Any) -> list:
    """Return names as a list, whose order is that of the features: a set has none."""
    if isinstance(names, (Set, str)):
        raise TypeError(
            f"`{argument}` must be a list, whose order is that of the features, "
            f"got a {type(names).__name__}."
        )
    return list(names)


def positions(argument: str, names: list) -> dict[Hashable, int]:
    """Return the position of each name."""
    found = {name: i for i, name in enumerate(names)}
    if len(found) < len(names):
        repeated = next(name for i, name in enumerate(names) if found[name] != i)
        raise ValueError(f"`{argument}` lists {repeated!r} twice.")
    return found


def import_optional(package: str) -> Any:
    """Return a package of the extra `graph`."""
    try:
        return importlib.import_module(package)
    except ImportError:
        raise ImportError(f"this needs {package}: pip install 'edgelinear[graph]'.") from None
