"""`F.embedding_bag` with per-sample weights: a bag of sources for each target."""

import torch.nn.functional as F

from peers import Step, make_step


def peer(problem) -> Step | None:
    indptr, indices, weight, in_edge_order = problem.by_target()
    weight.requires_grad_()
    x = problem.x.clone().requires_grad_()

    def forward():
        # Indices and offsets in their own int32: it takes them.
        return F.embedding_bag(
            indices,
            x.t(),
            indptr,
            mode="sum",
            per_sample_weights=weight,
            include_last_offset=True,
        ).t()

    return make_step(forward, (x, weight), problem.grad, in_edge_order)
