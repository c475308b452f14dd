"""The dense answers: a masked weight, and a plain `nn.Linear`, whose zeros would be trained too."""

import torch
import torch.nn.functional as F

from peers import Step, make_step

LARGEST = 2**28  # elements of the dense matrix


def masked(problem) -> Step | None:
    topology = problem.topology
    if not fits(topology):
        return None
    src, dst = topology.edge_index
    weight = dense_weight(problem).requires_grad_()
    connected = torch.zeros_like(weight, dtype=torch.bool)
    connected[dst, src] = True
    x = problem.x.clone().requires_grad_()

    def forward():
        return F.linear(x, weight * connected)

    return make_step(forward, (x, weight), problem.grad, lambda dw: dw[dst, src])


def plain(problem) -> Step | None:
    topology = problem.topology
    if not fits(topology):
        return None
    src, dst = topology.edge_index
    weight = dense_weight(problem)
    layer = torch.nn.Linear(
        topology.in_features, topology.out_features, device=weight.device, dtype=weight.dtype
    )
    layer.weight.data = weight
    torch.nn.init.zeros_(layer.bias)
    x = problem.x.clone().requires_grad_()
    leaves = (x, layer.weight, layer.bias)
    return make_step(lambda: layer(x), leaves, problem.grad, lambda dw: dw[dst, src])


def fits(topology) -> bool:
    return topology.in_features * topology.out_features <= LARGEST


def dense_weight(problem) -> torch.Tensor:  # (out_features, in_features)
    topology = problem.topology
    src, dst = topology.edge_index
    dense = problem.weight.new_zeros(topology.out_features, topology.in_features)
    dense[dst, src] = problem.weight
    return dense
