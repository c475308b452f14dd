"""A sparse CSR `nn.Parameter`, which no optimizer of torch but plain SGD can train."""

import torch

from peers import Step, make_step


def peer(problem) -> Step:
    topology = problem.topology
    indptr, indices, weight, in_edge_order = problem.by_target()
    matrix = torch.sparse_csr_tensor(
        indptr, indices, weight, (topology.out_features, topology.in_features)
    ).requires_grad_()
    x = problem.x.clone().requires_grad_()

    def forward():
        return torch.sparse.mm(matrix, x.t()).t()

    return make_step(forward, (x, matrix), problem.grad, lambda dw: in_edge_order(dw.values()))
