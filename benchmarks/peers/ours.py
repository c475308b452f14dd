"""edgelinear as a user has it, a layer with a bias: one contender for each backend."""

import torch

import edgelinear as el
from peers import Step, make_step


def make(backend: str):
    def peer(problem) -> Step | None:
        topology = problem.topology
        if el.backends.why_not(backend, problem.x, problem.weight, topology) is not None:
            return None
        layer = el.EdgeLinear.from_topology(topology, weight=problem.weight, backend=backend)
        torch.nn.init.zeros_(layer.bias)
        x = problem.x.clone().requires_grad_()
        return make_step(lambda: layer(x), (x, layer.weight, layer.bias), problem.grad)

    return peer
