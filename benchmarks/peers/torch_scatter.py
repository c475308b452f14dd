"""torch-scatter: gather, multiply, `segment_csr`, with edges in order of target."""

from peers import Step, make_step, products_fit


def peer(problem) -> Step | None:
    from torch_scatter import segment_csr

    if not products_fit(problem):
        return None
    indptr, indices, weight, in_edge_order = problem.by_target()
    indptr = indptr.long()
    weight.requires_grad_()
    x = problem.x.clone().requires_grad_()

    def forward():
        products = x.t().contiguous()[indices] * weight[:, None]  # (num_edges, batch)
        return segment_csr(products, indptr, reduce="sum").t()

    return make_step(forward, (x, weight), problem.grad, in_edge_order)
