"""Matrices: scipy, torch, masks and `nn.Linear`."""

from typing import Any

import numpy as np
import scipy.sparse
import torch
from torch import Tensor, nn

from edgelinear.convert.shared import as_values, check_finite, weight_array
from edgelinear.convert.sparse import (
    check_compressed,
    entries_of,
    from_coo,
    unwrapped,
    without_zeros,
)
from edgelinear.topology import Wiring
from edgelinear.topology.numbers import as_matrix
from edgelinear.topology.wiring import HasWiring, wiring_of


def from_scipy(matrix: Any, *, layout: str = "adjacency", duplicates: str = "error") -> Wiring:
    """Read a scipy sparse matrix of any format, where `matrix[i, j]` is the edge i -> j: (in, out).

    Stored entries are edges, zeros among them included (the whole blocks of a BSR matrix, say),
    except in DIA matrices, whose zeros scipy takes for padding. Entries given twice are duplicates.
    Of booleans, which are a mask, the true ones are edges, without weights.

    Args:
        layout: "adjacency" for shape (in, out), as in `scipy.sparse.csgraph`; "weight" for shape
            (out, in), as in `nn.Linear.weight` and in what `to_scipy` returns.

    Raises:
        TypeError: if it is no scipy sparse matrix, or its values are not real numbers.
        ValueError: if it has not 2 dimensions, its indices are corrupt, a value is NaN or infinite,
            or an edge is given twice under "error".

    Example:
        >>> matrix = scipy.sparse.csr_array([[0.0, 2.0], [0.0, 0.0], [3.0, 0.0]])
        >>> from_scipy(matrix).topology
        Topology(in_features=3, out_features=2, edges=2, density=33.333%, sorted=True)
    """
    _check_layout(layout)
    if not scipy.sparse.issparse(matrix):
        raise TypeError(f"`matrix` must be a scipy sparse matrix, got {type(matrix).__name__}.")
    if matrix.ndim != 2:
        raise ValueError(f"`matrix` must have 2 dimensions, got shape {matrix.shape}.")
    if matrix.format in ("csr", "csc", "bsr"):
        check_compressed(matrix.indptr, len(matrix.indices))
        if matrix.indptr[-1] < len(matrix.indices):  # `tocoo` would not give these rows
            matrix = matrix.copy()
            matrix.prune()
    coo = matrix.tocoo(copy=False)
    if not {coo.row.dtype.kind, coo.col.dtype.kind} <= {*"iu"}:
        raise TypeError(
            f"`matrix` is corrupt: its indices must be integers, got {coo.row.dtype} and "
            f"{coo.col.dtype}."
        )
    true = coo.data if coo.data.dtype == bool else None
    return from_coo(coo.shape, coo.row, coo.col, as_values(coo.data), true, layout, duplicates)


def from_torch(matrix: Tensor, *, layout: str = "adjacency", duplicates: str = "error") -> Wiring:
    """Read a dense or sparse tensor, where a non-zero `matrix[i, j]` is the edge i -> j: (in, out).

    Entries stored in a sparse tensor are edges, zeros among them included. Of booleans, which are a
    mask, the true ones are edges, without weights. The weight stays on the tensor's device. Takes a
    `SparseTensor` of torch_sparse too.

    Args:
        layout: "adjacency" for shape (in, out); "weight" for (out, in), as in `nn.Linear.weight`.

    Raises:
        TypeError: if it is no tensor, or complex.
        ValueError: if it is no matrix, its indices are corrupt, an entry is NaN or infinite, or an
            edge is stored twice under "error".

    Example:
        >>> from_torch(torch.tensor([[0.0, 2.0], [0.0, 0.0], [3.0, 0.0]])).weight
        tensor([3., 2.])
    """
    _check_layout(layout)
    matrix = unwrapped(matrix, layout)
    if not isinstance(matrix, Tensor):
        raise TypeError(f"`matrix` must be a tensor, got {type(matrix).__name__}.")
    if matrix.dim() != 2:
        raise ValueError(f"`matrix` must have 2 dimensions, got shape {tuple(matrix.shape)}.")
    if matrix.is_meta:
        raise ValueError("`matrix` is on the meta device, where no values are: pass it on the CPU.")
    matrix = matrix.detach()
    if matrix.layout == torch.strided:
        row, col = matrix.nonzero(as_tuple=True)
        values = matrix[row, col]
        _refuse_infinite(row, col, values)
    else:
        (row, col), values = entries_of(matrix)
    mask = values.dtype == torch.bool
    return from_coo(
        tuple(matrix.shape),
        row.cpu().numpy(),
        col.cpu().numpy(),
        None if mask else values,
        values.cpu().numpy() if mask else None,
        layout,
        duplicates,
    )


def from_adjacency(adjacency: Any, *, duplicates: str = "error") -> Wiring:
    """Read an adjacency of any kind, where `adjacency[i, j]` is the edge i -> j: shape (in, out).

    Takes what `from_scipy` and `from_torch` take, an `EdgeIndex` of PyG that knows its sizes,
    arrays, nested lists, and data frames, whose labels become the names of nodes if they are
    distinct strings or whole numbers. What a masked array hides is no edge.

    Example:
        >>> from_adjacency([[0, 2], [0, 0], [3, 0]]).topology.edge_index
        tensor([[2, 0],
                [0, 1]])
    """
    if scipy.sparse.issparse(adjacency):
        return from_scipy(adjacency, duplicates=duplicates)
    wiring = from_torch(_as_tensor(adjacency, "adjacency"), duplicates=duplicates)
    return wiring._replace(in_names=_labels(adjacency, 0), out_names=_labels(adjacency, 1))


def from_weight_mask(mask: Any) -> Wiring:
    """Read a mask in the layout of `nn.Linear.weight`: `mask[j, i]` is the edge i -> j, (out, in).

    Takes what `from_adjacency` takes, dense or sparse. Its edges are the entries that are true, or
    other than zero: no zero that a sparse format stores, and none that a masked array hides.

    Example:
        >>> from_weight_mask([[True, False, True], [False, True, False]]).topology
        Topology(in_features=3, out_features=2, edges=3, density=50.000%, sorted=True)
    """
    # Entries stored twice are one entry, their sum, as in the matrix written out.
    if scipy.sparse.issparse(mask):
        wiring = from_scipy(mask, layout="weight", duplicates="merge")
    else:
        wiring = from_torch(_as_tensor(mask, "weight"), layout="weight", duplicates="merge")
    wiring = without_zeros(wiring)
    return wiring._replace(weight=None, in_names=_labels(mask, 1), out_names=_labels(mask, 0))


def from_linear(linear: nn.Linear) -> Wiring:
    """Read the non-zero weights of an `nn.Linear`: `weight[j, i]` is the edge i -> j, (out, in).

    A layer pruned by `torch.nn.utils.prune` keeps its whole mask, zeros inside it included, and one
    whose weight is a sparse tensor keeps what that stores.

    Raises:
        TypeError: if it is no `nn.Linear`.
        ValueError: if a weight is NaN or infinite.

    Example:
        >>> from torch.nn.utils import prune
        >>> linear = prune.l1_unstructured(nn.Linear(3, 2), "weight", amount=4)
        >>> from_linear(linear).topology.num_edges
        2
    """
    if not isinstance(linear, nn.Linear):
        raise TypeError(f"`linear` must be an nn.Linear, got {type(linear).__name__}.")
    weight, mask = getattr(linear, "weight_orig", None), getattr(linear, "weight_mask", None)
    if not (isinstance(weight, Tensor) and isinstance(mask, Tensor)):
        weight, mask = linear.weight, None  # else `linear.weight` is stale until the next forward
    weight = weight.detach()
    if mask is None and weight.layout != torch.strided:
        return from_torch(weight, layout="weight", duplicates="merge")
    topology = from_torch((weight if mask is None else mask) != 0, layout="weight").topology
    here = topology.to(weight.device)
    values = weight[here.dst, here.src]
    if mask is not None:
        values = values * mask[here.dst, here.src]
    check_finite(values, "edges", lambda edge: (int(here.src[edge]), int(here.dst[edge])))
    return Wiring(topology, values)


def to_scipy(layer: HasWiring | Wiring) -> scipy.sparse.coo_array:
    """Return the weights as a scipy COO matrix in the layout of `nn.Linear.weight`, (out, in).

    Entries stand in the order of the edges, parallel ones apart; those of a Wiring without values
    are True. `from_scipy(matrix, layout="weight")` reads it back.

    Example:
        >>> to_scipy(el.EdgeLinear(3, 2, [(0, 0), (2, 1)])).shape
        (2, 3)
    """
    wiring = wiring_of(layer)
    topology = wiring.topology
    src, dst = topology.edge_index.cpu().numpy()
    shape = (topology.out_features, topology.in_features)
    weight = weight_array(wiring)
    values = np.ones(len(src), dtype=bool) if weight is None else weight
    return scipy.sparse.coo_array((values, (dst, src)), shape=shape)


def _check_layout(layout: str) -> None:
    if layout not in ("adjacency", "weight"):
        raise ValueError(
            f'`layout` must be "adjacency" (in, out) or "weight" (out, in), got {layout!r}.'
        )


def _refuse_infinite(row: Tensor, col: Tensor, values: Tensor) -> None:
    infinite = ~values.isfinite()
    if infinite.any():
        entry = int(infinite.nonzero()[0])
        raise ValueError(
            f"entry [{int(row[entry])}, {int(col[entry])}] is {values[entry].item()}, which some "
            "read as an edge and some as none: use 0 for no edge."
        )


def _labels(matrix: Any, axis: int) -> list | None:
    """Return the labels of a data frame that can be names, but for pandas' own: 0, 1, 2, ..."""
    if not (hasattr(matrix, "index") and hasattr(matrix, "columns")):
        return None
    labels = (matrix.index, matrix.columns)[axis].tolist()
    plain = all(isinstance(label, (str, int)) for label in labels)
    if not plain or len({*labels}) < len(labels) or labels == list(range(len(labels))):
        return None
    return labels


def _as_tensor(matrix: Any, layout: str) -> Tensor:
    """Return a matrix of any kind but scipy's as a tensor that torch can search."""
    matrix = unwrapped(matrix, layout)
    if isinstance(matrix, Tensor) and matrix.layout != torch.strided:
        return matrix
    for attribute, importer in (("edge_index", "from_edges"), ("is_directed", "from_networkx")):
        if hasattr(matrix, attribute):
            raise TypeError(
                f"the matrix must hold real numbers in rows, got {type(matrix).__name__}: use "
                f"`el.convert.{importer}`."
            )
    try:
        tensor = as_matrix("the matrix", matrix)
    except TypeError as error:
        said = str(error).replace("numbers", "real numbers in rows", 1)
        raise TypeError(said) from error
    if tensor.is_complex():
        raise TypeError(f"the matrix must hold real numbers, got {tensor.dtype}.")
    return tensor
