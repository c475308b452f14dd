"""Checks of what a user gives: edges, sizes, weights. Data is read here and nowhere later."""

import operator
from types import NoneType
from typing import Any

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from edgelinear.topology.numbers import as_array, as_numbers

DUPLICATES = ("error", "keep", "merge", "mean", "max", "min")
_MANY = 2**27  # nodes: from here on, sizes that edges do not account for are taken for ids
_LARGEST = np.iinfo(np.int64).max
_NO_MATRIX = "`edge_index` must list edges (for an adjacency, use `el.convert.from_adjacency`)"


def check_duplicates(duplicates: str) -> None:
    if duplicates not in DUPLICATES:
        raise ValueError(f"`duplicates` must be one of {DUPLICATES}, got {duplicates!r}.")


def check_weight(weight: Any, num_edges: int) -> Tensor:
    """Return `weight` as a tensor of one real number an edge, without its graph.

    Whole numbers and Python's floats are of float64, for whoever takes them to round once.
    """
    weight = as_numbers("`weight`", weight).detach()
    if weight.shape != (num_edges,):
        raise ValueError(
            f"`weight` must hold one number for each of the {num_edges} edges, "
            f"got shape {tuple(weight.shape)}."
        )
    if weight.is_complex():
        raise TypeError(
            f"`weight` must be real, got {weight.dtype}: complex weights are not supported."
        )
    if weight.is_floating_point():
        return weight
    if weight.device.type == "mps":  # which has no float64
        weight = weight.cpu()
    return weight.to(torch.float64)


def check_switch(name: str, switch: Any, cure: str = "") -> bool:
    """Return True or False.

    Raises:
        TypeError: if it is neither.
    """
    if not isinstance(switch, (bool, np.bool_)):
        got = repr(switch) if isinstance(switch, (str, int, NoneType)) else type(switch).__name__
        raise TypeError(f"`{name}` must be True or False, got {got}{cure}.")
    return bool(switch)


def as_edge_index(edge_index: Any) -> Tensor:
    """Return the edges as (2, num_edges) int64 on the CPU: row 0 the source, row 1 the target."""
    if scipy.sparse.issparse(edge_index) or hasattr(edge_index, "sparse_sizes"):
        raise TypeError(f"{_NO_MATRIX}, got {type(edge_index).__name__}.")
    if isinstance(edge_index, Tensor):
        if edge_index.layout != torch.strided:
            raise TypeError(f"{_NO_MATRIX}, got {edge_index.layout}.")
        # `as_subclass` unwraps PyG's EdgeIndex.
        tensor = edge_index.detach().as_subclass(Tensor)
        if tensor.is_meta:
            raise ValueError(
                "`edge_index` is on the meta device, where no values are: pass it on the CPU."
            )
        tensor = tensor.to("cpu")
    else:
        tensor = torch.from_numpy(_as_array(edge_index))
    if tensor.numel() == 0 and tensor.dim() <= 2 and tensor.shape[:1] != (2,):
        tensor = tensor.reshape(2, 0)
    if tensor.dim() != 2 or tensor.shape[0] != 2:
        hint = (
            " Did you pass one row an edge? use `edge_index.T`." if tensor.shape[1:] == (2,) else ""
        )
        if tensor.dtype == torch.bool and tensor.dim() == 2:
            hint = " For a mask, use `EdgeLinear.from_weight_mask` or `from_adjacency`."
        raise ValueError(
            "`edge_index` must have shape (2, num_edges), row 0 the source and row 1 the target, "
            f"got shape {tuple(tensor.shape)}.{hint}"
        )
    if tensor.numel() == 0:
        return tensor.to(torch.int64)
    if tensor.dtype == torch.bool or tensor.is_floating_point() or tensor.is_complex():
        raise TypeError(
            f"`edge_index` must hold integers, got {tensor.dtype}: use `edge_index.long()`."
        )
    return tensor.to(torch.int64)


def _as_array(edge_index: Any) -> np.ndarray:
    listed = isinstance(edge_index, (list, tuple))
    if listed and any(isinstance(e, Tensor) or hasattr(e, "__array__") for e in edge_index):
        rows = [np.asarray(as_numbers("`edge_index`", row).cpu()) for row in edge_index]
        return np.stack(rows)  # (sources, targets)
    pairs = listed and all(isinstance(e, tuple) for e in edge_index)
    if listed and np.shape(edge_index) == (2, 2) and not pairs:
        raise ValueError(
            f"`edge_index` {edge_index} can be read as two rows or as two edges: pass a "
            "(2, num_edges) tensor, row 0 the source and row 1 the target, or a list of "
            "(source, target) tuples."
        )
    try:
        array = np.asarray(edge_index) if listed else as_array("`edge_index`", edge_index)
    except TypeError as error:
        said = str(error).replace("numbers", "integers", 1)
        raise TypeError(f"{said} For names, use `el.convert.from_table`.") from error
    if listed and array.ndim == 2 and array.shape[1] == 2:
        array = array.T  # a list of pairs
    if array.dtype.kind == "u":  # beyond int64, it must not come back as a negative index
        array = np.minimum(array, _LARGEST).astype(np.int64)
    if array.dtype.kind not in "biufc":
        kind = type(edge_index).__name__ if array.ndim == 0 else f"an array of {array.dtype}"
        raise TypeError(
            f"`edge_index` must hold integers, got {kind}: pass a (2, num_edges) tensor, or a list "
            "of (source, target) tuples; for names, use `el.convert.from_table`."
        )
    return np.require(array, requirements=["C", "W"])


def as_size(name: str, size: Any) -> int:
    if isinstance(size, bool) or not hasattr(size, "__index__"):
        raise TypeError(f"`{name}` must be an integer, got {size!r}.")
    size = operator.index(size)
    if size < 0:
        raise ValueError(f"`{name}` must not be negative, got {size}.")
    return size


_BY_ID = "`el.convert.from_table`, which numbers nodes by their ids"


def check_numbering(name: str, size: int, num_edges: int, cure: str = _BY_ID) -> None:
    """Refuse a size that no numbering has, before memory is asked for all of it."""
    if size > max(_MANY, 100 * num_edges):
        raise ValueError(
            f"{name} is {size}, with {num_edges} edge{'s' * (num_edges != 1)}: if these are ids "
            f"and not positions, use {cure}."
        )


def check_range(edges: Tensor, in_features: int, out_features: int) -> None:
    if edges.shape[1] == 0:
        return
    sizes = in_features, out_features
    # By NumPy: torch takes several threads for two rows of any length, and their start takes longer
    # than a small graph.
    low, high = edges.numpy().min(axis=1), edges.numpy().max(axis=1)
    if low.min() >= 0 and high[0] < in_features and high[1] < out_features:
        return
    ends = (("source", "in_features"), ("target", "out_features"))
    row = 0 if low[0] < 0 or high[0] >= in_features else 1
    (end, name), size = ends[row], sizes[row]
    edge = int(((edges[row] < 0) | (edges[row] >= size)).nonzero()[0])
    message = (
        f"{end} {int(edges[row, edge])} at edge {edge} is outside [0, {size}), as {name}={size}."
    )
    if low.min() >= 0 and high[0] < out_features and high[1] < in_features:
        message += (
            " Row 0 must be the source (an input), row 1 the target (an output); here row 1 fits "
            "in_features: did you pass (target, source)? use `edge_index.flip(0)`."
        )
    elif high[row] >= _MANY:
        message += f" If these are ids and not positions, use {_BY_ID}."
    raise ValueError(message)
