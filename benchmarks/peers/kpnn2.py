"""kpnn2's `PackedLinear`, which gathers, multiplies and adds by `index_add_`."""

import torch

from peers import Step, make_step, products_fit

LARGEST = 2_000_000  # edges, as it draws each first weight in a Python loop: 8 s a million


def peer(problem) -> Step | None:
    import kpnn2

    topology = problem.topology
    if topology.num_edges > LARGEST or not products_fit(problem):
        return None
    src, dst = topology.edge_index
    layer = kpnn2.PackedLinear(src, dst, topology.out_features, topology.in_features)
    layer.weight.data.copy_(problem.weight)
    torch.nn.init.zeros_(layer.bias)
    x = problem.x.clone().requires_grad_()
    return make_step(lambda: layer(x), (x, layer.weight, layer.bias), problem.grad)
