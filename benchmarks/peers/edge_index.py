"""PyG's `EdgeIndex.matmul`, which gathers and scatters wherever its value wants a gradient."""

import torch

from peers import Step, make_step, products_fit


def peer(problem) -> Step | None:
    from torch_geometric import EdgeIndex

    if not products_fit(problem):
        return None
    topology = problem.topology
    _, indices, weight, in_edge_order = problem.by_target()
    dst = torch.repeat_interleave(topology.fan_in.long())
    wiring = EdgeIndex(
        torch.stack([dst, indices.long()]),
        sparse_size=(topology.out_features, topology.in_features),
        sort_order="row",
    ).fill_cache_()
    weight.requires_grad_()
    x = problem.x.clone().requires_grad_()

    def forward():
        return wiring.matmul(x.t().contiguous(), input_value=weight).t()

    return make_step(forward, (x, weight), problem.grad, in_edge_order)
