"""What sparse matrices of every library share: stored entries, and indices that may be corrupt."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgelinear import _torch
from edgelinear.convert.shared import checked_wiring
from edgelinear.topology import EdgeMap, Topology, Wiring


def from_coo(
    shape: tuple,
    row: np.ndarray,  # (entries,)
    col: np.ndarray,  # (entries,)
    values: Tensor | None,  # (entries,)
    true: np.ndarray | None,  # (entries,): of a mask, which entries are edges
    layout: str,
    duplicates: str,
) -> Wiring:
    kept, number = None, len(row)
    if true is not None and not true.all():
        kept = np.flatnonzero(true)
        row, col = row[kept], col[kept]
    (rows, columns), (src, dst) = shape, (row, col)
    if layout == "weight":
        rows, columns, src, dst = columns, rows, col, row
    return checked_wiring(rows, columns, src, dst, values, duplicates, kept=kept, number=number)


def without_zeros(wiring: Wiring) -> Wiring:
    """Return the edges whose values are not zero."""
    topology, weight, *_ = wiring
    if weight is None or (weight != 0).all():
        return wiring
    kept = (weight != 0).nonzero()[:, 0].cpu()
    edges = topology.edge_index[:, kept]
    rows = None if wiring.rows is None else wiring.rows.then(EdgeMap(kept))
    topology = Topology(topology.in_features, topology.out_features, edges)
    return wiring._replace(topology=topology, weight=weight[kept.to(weight.device)], rows=rows)


def unwrapped(matrix: Any, layout: str) -> Any:
    """Return a matrix of torch_sparse, of PyG or of `torch.masked` as a plain tensor of torch."""
    if isinstance(matrix, torch.masked.MaskedTensor):
        return matrix.to_tensor(0)  # what it hides is no edge
    if hasattr(matrix, "sparse_sizes") and hasattr(matrix, "coo"):  # torch_sparse's SparseTensor
        row, col, values = matrix.coo()
        shape, edges = matrix.sparse_sizes(), torch.stack([row, col])
    elif isinstance(matrix, Tensor) and hasattr(matrix, "sparse_size"):  # PyG's EdgeIndex
        if layout == "weight":
            raise TypeError(
                "an EdgeIndex has no layout of a matrix, as its row 0 is the source: use "
                "`el.convert.from_edges(None, None, edge_index)`."
            )
        shape, values = matrix.sparse_size(), getattr(matrix, "_value", None)
        if None in shape:
            raise ValueError(
                "this EdgeIndex does not know how many nodes there are: use "
                "`el.convert.from_edges(in_features, out_features, edge_index)`."
            )
        edges = matrix.as_subclass(Tensor)
    else:
        return matrix
    if values is None:
        values = torch.ones(edges.shape[1], dtype=torch.bool, device=edges.device)
    return torch.sparse_coo_tensor(edges, values.detach(), tuple(shape), check_invariants=True)


def entries_of(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Return indices and values of a sparse tensor as they are stored, repeated ones apart."""
    # torch reads past the end where pointers are corrupt, and crashes.
    if matrix.layout in (torch.sparse_csr, torch.sparse_bsr):
        _check_whole(matrix.crow_indices(), matrix.col_indices(), matrix, 0)
    elif matrix.layout in (torch.sparse_csc, torch.sparse_bsc):
        _check_whole(matrix.ccol_indices(), matrix.row_indices(), matrix, 1)
    coo = matrix if matrix.layout == torch.sparse_coo else matrix.to_sparse_coo()
    if coo.dense_dim():
        raise ValueError(
            f"`matrix` must be sparse in both dimensions, got {coo.dense_dim()} dense: "
            "use `matrix.to_dense()`."
        )
    return _torch.stored_entries(coo)


def _check_whole(pointer: Tensor, indices: Tensor, matrix: Tensor, dim: int) -> None:
    indptr, stored = pointer.cpu().numpy(), indices.shape[-1]
    check_compressed(indptr, stored)
    values = matrix.values()  # (stored,), or (stored, *block) where entries are blocks
    rows = matrix.shape[dim] // (values.shape[1 + dim] if values.dim() == 3 else 1)
    if indptr[-1] != stored or len(indptr) != rows + 1:
        raise ValueError(
            f"`matrix` is corrupt: its pointer to the entries of each row has {len(indptr) - 1} "
            f"rows and ends at {indptr[-1]}, with {rows} rows and {stored} entries."
        )


def check_compressed(indptr: np.ndarray, stored: int) -> None:
    """Refuse pointers to rows that go back or point past the entries, as in a corrupt file."""
    falling = np.diff(indptr) < 0
    if falling.any() or indptr[0] != 0 or indptr[-1] > stored:
        what = f"goes from {indptr[0]} to {indptr[-1]}, with {stored} entries"
        if falling.any():
            what = f"falls after position {int(falling.argmax())}"
        raise ValueError(
            "`matrix` is corrupt: its pointer to the entries of each row must rise "
            f"from 0 to the number of entries, and it {what}."
        )
