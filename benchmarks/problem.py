"""One step to be timed: a wiring, its weight, a batch and a gradient; and its float64 truth."""

from typing import NamedTuple

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

import edgelinear as el


class Problem(NamedTuple):
    topology: el.Topology
    weight: Tensor  # (num_edges,)
    x: Tensor  # (batch, in_features)
    grad: Tensor  # (batch, out_features)

    @classmethod
    def make(cls, topology: el.Topology, batch: int) -> "Problem":
        generator = torch.Generator().manual_seed(0)
        layer = el.EdgeLinear.from_topology(topology, bias=False)
        x = torch.randn(batch, topology.in_features, generator=generator)
        grad = torch.randn(batch, topology.out_features, generator=generator)
        return cls(topology, layer.weight.detach(), x, grad)

    def leaves(self) -> tuple[Tensor, Tensor]:
        """Return fresh leaves for the weight and x, both wanting a gradient."""
        return self.weight.clone().requires_grad_(), self.x.clone().requires_grad_()

    def truth(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return y, dx and dw in float64, by scipy."""
        src, dst = self.topology.edge_index.numpy()
        shape = (self.topology.out_features, self.topology.in_features)
        weight, x, grad = (t.double().numpy() for t in (self.weight, self.x, self.grad))
        matrix = scipy.sparse.csr_array((weight, (dst, src)), shape=shape)
        dw = np.zeros(len(src))
        for sample, sample_grad in zip(x, grad, strict=True):
            dw += sample_grad[dst] * sample[src]
        return (matrix @ x.T).T, (matrix.T @ grad.T).T, dw
