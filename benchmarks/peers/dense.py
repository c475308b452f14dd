"""The dense answers: a masked weight, and a plain `nn.Linear`, whose zeros would be trained too."""

import torch
import torch.nn.functional as F

from peers import Step

LARGEST = 2**28  # elements of the dense matrix


def masked(problem) -> Step | None:
    return _dense(problem, mask=True)


def plain(problem) -> Step | None:
    return _dense(problem, mask=False)


def _dense(problem, mask: bool) -> Step | None:
    topology = problem.topology
    if topology.in_features * topology.out_features > LARGEST:
        return None
    src, dst = topology.edge_index
    dense = torch.zeros(topology.out_features, topology.in_features)
    dense[dst, src] = problem.weight
    connected = torch.zeros_like(dense, dtype=torch.bool)
    connected[dst, src] = True
    weight, x = dense.requires_grad_(), problem.x.clone().requires_grad_()

    def forward():
        return F.linear(x, weight * connected if mask else weight)

    def step():
        y = forward()
        dx, dw = torch.autograd.grad(y, (x, weight), problem.grad)
        return y, dx, dw[dst, src]

    return Step(forward, step)
