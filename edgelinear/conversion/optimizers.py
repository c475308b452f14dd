"""The state of optimizers, when a matrix becomes the weights of edges."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from edgelinear.conversion.twins import at_edges
from edgelinear.topology import Topology

# What these do with a matrix they do not do with one number an edge, or not with a new Parameter.
_WITHOUT = ("LBFGS", "Muon", "ZeroRedundancyOptimizer")


class Replaced(NamedTuple):
    """A matrix, and the weights of edges in its place."""

    before: nn.Parameter  # (out_features, in_features)
    after: nn.Parameter  # (num_edges,)
    topology: Topology


def as_optimizers(optimizer: Any) -> list[torch.optim.Optimizer]:
    """Return those given, one or several."""
    found = [*optimizer] if isinstance(optimizer, (list, tuple)) else [optimizer]
    found = [one for one in found if one is not None]
    for one in found:
        if not isinstance(one, torch.optim.Optimizer):
            raise TypeError(
                "`optimizer` must be an optimizer of torch, or a list of them, got "
                f"{type(one).__name__}."
            )
        if type(one).__name__ in _WITHOUT:
            raise ValueError(
                f"{type(one).__name__} cannot go on with one number for each edge in place of a "
                "matrix: sparsify without `optimizer`, and make another one for the new weights."
            )
    return found


def check_held(
    optimizers: list[torch.optim.Optimizer], weights: Iterable[tuple[str, nn.Parameter]]
) -> None:
    """Refuse optimizers that lack a weight that is trained, or have a state of another shape."""
    if not optimizers:
        return
    held = {id(p) for one in optimizers for group in one.param_groups for p in group["params"]}
    for name, weight in weights:
        if weight.requires_grad and id(weight) not in held:
            raise ValueError(
                f"`optimizer` does not hold the weight of `{name}`: pass those that train it, or "
                "skip the layer."
            )
        for one in optimizers:
            _check_state(one, name, weight)


def _check_state(optimizer: torch.optim.Optimizer, layer: str, weight: nn.Parameter) -> None:
    for name, value in optimizer.state.get(weight, {}).items():
        what = ""
        if isinstance(value, Tensor) and value.dim() and value.shape != weight.shape:
            what = f"shape {tuple(value.shape)} for a weight of {tuple(weight.shape)}"
        elif isinstance(value, (list, tuple, dict)) and len(value):
            what = f"a {type(value).__name__}"
        if what:
            raise ValueError(
                f"the state `{name}` that {type(optimizer).__name__} has of `{layer}` is no number "
                f"for each entry of its weight, got {what}: sparsify without `optimizer`, and make "
                "a new one."
            )


@torch.no_grad()
def replace(optimizers: list[torch.optim.Optimizer], replaced: list[Replaced]) -> None:
    """Put the new weights in the place of the old ones, with the state of the edges there are."""
    new = {id(one.before): one.after for one in replaced}
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["params"] = [new.get(id(p), p) for p in group["params"]]
        for one in replaced:
            if one.before in optimizer.state:
                follow = _follower(one)
                state = optimizer.state.pop(one.before)
                optimizer.state[one.after] = {name: follow(v) for name, v in state.items()}


def _follower(one: Replaced) -> Callable[[Any], Any]:
    def follow(value: Any) -> Any:
        if isinstance(value, Tensor) and value.shape == one.before.shape:
            return at_edges(value, one.topology)
        return value

    return follow
