"""sparselab's `SparseLinear`: padded CSR kernels of its own, float32 on a CPU.

It has no door for a wiring, only for a random density: ours goes in by its private attributes.
"""

import numpy as np
import torch

from peers import Step, make_step


def peer(problem) -> Step:
    import sparselab

    # Its transposes are cached by `id`, which a later matrix may have again.
    sparselab.ops._clear_transpose_cache()
    topology = problem.topology
    indptr, indices, weight, in_edge_order = problem.by_target()
    matrix = torch.sparse_csr_tensor(
        indptr, indices, weight, (topology.out_features, topology.in_features)
    )
    layer = sparselab.SparseLinear(1, 1, sparsity=0.0)
    layer.in_features, layer.out_features = topology.in_features, topology.out_features
    layer._csr = sparselab.PaddedCSR.from_torch_sparse_csr(matrix)
    layer._values = torch.nn.Parameter(torch.from_numpy(np.asarray(layer._csr.values)))
    layer.bias = torch.nn.Parameter(torch.zeros(topology.out_features))
    # Rows have room to grow, so that the slot of an edge is not its position.
    slots = torch.from_numpy(np.flatnonzero(np.asarray(layer._csr.col_indices) >= 0))
    x = problem.x.clone().requires_grad_()
    leaves = (x, layer._values, layer.bias)
    return make_step(lambda: layer(x), leaves, problem.grad, lambda dw: in_edge_order(dw[slots]))
