"""torch-sparse: the `SparseTensor` of a graph with a trainable value, times x."""

from peers import Step, make_step


def peer(problem) -> Step:
    from torch_sparse import SparseTensor

    topology = problem.topology
    indptr, indices, weight, in_edge_order = problem.by_target()
    wiring = SparseTensor(
        rowptr=indptr.long(),
        col=indices.long(),
        sparse_sizes=(topology.out_features, topology.in_features),
        is_sorted=True,
        trust_data=True,
    ).fill_cache_()  # its transpose, which each step would sort for otherwise
    weight.requires_grad_()
    x = problem.x.clone().requires_grad_()

    def forward():
        return (wiring.set_value(weight, layout="coo") @ x.t()).t()

    return make_step(forward, (x, weight), problem.grad, in_edge_order)
