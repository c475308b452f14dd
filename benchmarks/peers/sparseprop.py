"""sparseprop's `SparseLinear`: CSR kernels of its own, one pass for both gradients, float32 on x86.

It takes a dense matrix only: a wiring goes in by the attributes that it makes of one.
"""

import torch

from peers import Step, make_step


def peer(problem) -> Step:
    from sparseprop.modules import SparseLinear

    topology = problem.topology
    indptr, indices, weight, in_edge_order = problem.by_target()
    bias = torch.nn.Parameter(torch.zeros(topology.out_features))
    layer = SparseLinear(torch.ones(1, 1), bias=bias)
    layer.N, layer.M = topology.out_features, topology.in_features
    layer.W_val, layer.W_idx = torch.nn.Parameter(weight), (indptr.int(), indices.int())
    x = problem.x.clone().requires_grad_()
    leaves = (x, layer.W_val, layer.bias)
    return make_step(lambda: layer(x), leaves, problem.grad, in_edge_order)
