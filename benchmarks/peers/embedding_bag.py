"""`F.embedding_bag` with per-sample weights: a bag of sources for each target."""

import torch
import torch.nn.functional as F

from peers import Step


def peer(problem) -> Step:
    by_dst = problem.topology.by_dst
    weight, x = problem.leaves()
    edge_ids = by_dst.edge_ids

    def forward():
        values = weight if edge_ids is None else weight[edge_ids]
        # Indices and offsets in their own int32: it takes them.
        return F.embedding_bag(
            by_dst.indices,
            x.t(),
            by_dst.indptr,
            mode="sum",
            per_sample_weights=values,
            include_last_offset=True,
        ).t()

    def step():
        y = forward()
        dx, dw = torch.autograd.grad(y, (x, weight), problem.grad)
        return y, dx, dw

    return Step(forward, step)
