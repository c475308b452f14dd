"""The formula as it is written: gather, multiply, `index_add`, left to autograd."""

from collections.abc import Callable

from torch import Tensor

from peers import Step, make_step, products_fit


def peer(problem) -> Step | None:
    return step_of(formula, problem)


def step_of(formula: Callable, problem) -> Step | None:
    """Return the step of a `formula` like the one below, or None if its products do not fit."""
    if not products_fit(problem):
        return None
    weight, x = problem.leaves()
    src, dst = problem.topology.edge_index
    out_features = problem.topology.out_features

    def forward():
        return formula(x, weight, src, dst, out_features)

    return make_step(forward, (x, weight), problem.grad)


def formula(
    x: Tensor,  # (batch, in_features)
    weight: Tensor,  # (num_edges,)
    src: Tensor,  # (num_edges,)
    dst: Tensor,  # (num_edges,)
    out_features: int,
) -> Tensor:  # (batch, out_features)
    y = x.new_zeros(x.shape[0], out_features)
    return y.index_add(1, dst, x[:, src] * weight)
