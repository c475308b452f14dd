"""The formula of `gather_scatter` under `torch.compile`, which fuses it by Inductor."""

import torch

from peers import Step, make_step, products_fit
from peers.gather_scatter import formula


def peer(problem) -> Step | None:
    if not products_fit(problem):
        return None
    torch._dynamo.reset()  # or it would make the sizes of the last problem dynamic
    compiled = torch.compile(formula, fullgraph=True, dynamic=False)
    weight, x = problem.leaves()
    src, dst = problem.topology.edge_index
    out_features = problem.topology.out_features

    def forward():
        return compiled(x, weight, src, dst, out_features)

    return make_step(forward, (x, weight), problem.grad)
