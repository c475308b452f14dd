"""edgelinear as a user has it, a layer with a bias: one contender for each backend."""

import torch

import edgelinear as el
from peers import Step, make_step, products_fit

# They multiply edge by edge, and a step on the largest problems takes them minutes.
SLOW = ("torch_sparse", "torch_scatter", "reference")


def make(backend: str):
    def peer(problem) -> Step | None:
        topology = problem.topology
        if el.backends.why_not(backend, problem.x, problem.weight, topology) is not None:
            return None
        if backend in SLOW and not products_fit(problem):
            return None
        weight = problem.weight
        layer = el.EdgeLinear.from_topology(
            topology, weight=weight, backend=backend, device=weight.device, dtype=weight.dtype
        )
        torch.nn.init.zeros_(layer.bias)
        x = problem.x.clone().requires_grad_()
        return make_step(lambda: layer(x), (x, layer.weight, layer.bias), problem.grad)

    return peer
