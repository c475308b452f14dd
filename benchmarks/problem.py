"""One step to be timed: a wiring, its weight, a batch and a gradient; and its float64 truth."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

import edgelinear as el

LARGEST = 2**25  # elements of a dense matrix that is quicker to multiply
PRODUCTS_AT_A_TIME = 2**24  # of the true dw, so that 15 million edges need no more memory than few


class Problem(NamedTuple):
    topology: el.Topology
    weight: Tensor  # (num_edges,)
    x: Tensor  # (batch, in_features)
    grad: Tensor  # (batch, out_features)

    @classmethod
    def make(cls, topology: el.Topology, batch: int) -> "Problem":
        generator = torch.Generator().manual_seed(0)
        torch.manual_seed(0)
        layer = el.EdgeLinear.from_topology(topology, bias=False)
        x = torch.randn(batch, topology.in_features, generator=generator)
        grad = torch.randn(batch, topology.out_features, generator=generator)
        return cls(topology, layer.weight.detach(), x, grad)

    def save(self, folder: Path) -> None:
        """Write this problem and its truth for the workers, so that none draws or sorts it anew."""
        sizes = [self.topology.in_features, self.topology.out_features]
        arrays = {"sizes": sizes, "edge_index": self.topology.edge_index.numpy()}
        arrays |= {name: getattr(self, name).numpy() for name in ("weight", "x", "grad")}
        arrays |= dict(zip(("true_y", "true_dx", "true_dw"), self.truth(), strict=True))
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array)

    @classmethod
    def load(cls, folder: Path) -> "Problem":
        sizes = np.load(folder / "sizes.npy").tolist()
        topology = el.Topology(*sizes, np.load(folder / "edge_index.npy"), duplicates="keep")
        tensors = (torch.from_numpy(np.load(folder / f"{n}.npy")) for n in ("weight", "x", "grad"))
        return cls(topology, *tensors)

    def leaves(self) -> tuple[Tensor, Tensor]:
        """Return fresh leaves for the weight and x, both wanting a gradient."""
        return self.weight.clone().requires_grad_(), self.x.clone().requires_grad_()

    def by_target(self) -> tuple[Tensor, Tensor, Tensor, Callable[[Tensor], Tensor]]:
        """Return CSR's indptr, indices and weight, and what puts such a dw into edge order."""
        indptr, indices, edge_ids = self.topology.by_dst
        if edge_ids is None:
            return indptr, indices, self.weight.clone(), lambda dw: dw

        def in_edge_order(dw: Tensor) -> Tensor:
            return torch.empty_like(dw).index_copy_(0, edge_ids.long(), dw)

        return indptr, indices, self.weight[edge_ids], in_edge_order

    def truth(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return y, dx and dw in float64: by a dense product, or by scipy if that is too large."""
        src, dst = self.topology.edge_index.numpy()
        shape = (self.topology.out_features, self.topology.in_features)
        weight, x, grad = (t.double().numpy() for t in (self.weight, self.x, self.grad))
        matrix = scipy.sparse.csr_array((weight, (dst, src)), shape=shape)
        if shape[0] * shape[1] <= LARGEST:
            dense = matrix.toarray()
            return x @ dense.T, grad @ dense, (grad.T @ x)[dst, src]
        xt, grad_t = np.ascontiguousarray(x.T), np.ascontiguousarray(grad.T)
        dw = np.empty(len(src))
        edges = max(1, PRODUCTS_AT_A_TIME // len(x))
        for start in range(0, len(src), edges):
            part = slice(start, start + edges)
            dw[part] = np.einsum("eb,eb->e", grad_t[dst[part]], xt[src[part]])
        return (matrix @ xt).T, (matrix.T @ grad_t).T, dw
