"""The layers that a model holds, in their order, or its one network."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from torch import nn

from edgelinear.layers.linear import EdgeLinear
from edgelinear.layers.module import EdgeModule


class Held(NamedTuple):
    name: str  # in the model, but for what torch.compile puts around it
    layer: EdgeModule


def held_by(model: nn.Module, argument: str) -> list[Held]:
    """Return the EdgeLinears of a model as they are registered, or the one network that it holds.

    Raises:
        ValueError: if there is none, or something else mixes features between them.
    """
    every = [*_mixing(model, "", set())]
    found = [at for at, (_, one) in enumerate(every) if isinstance(one, EdgeModule)]
    if not found:
        raise ValueError(
            f"`{argument}` must hold at least one EdgeLinear, or a network, got a "
            f"{type(model).__name__} without."
        )
    layers = every[found[0] : found[-1] + 1]
    for name, one in layers:
        if len(layers) > 1 and not isinstance(one, EdgeLinear):
            raise ValueError(
                f"`{argument}` must mix features in EdgeLinears alone, from the first of them to "
                f"the last, got {type(one).__name__} at {name!r}: pass a list of the layers that "
                "follow one another, or a network by itself."
            )
    return [Held(*one) for one in layers]


def _mixing(model: nn.Module, name: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """Yield what mixes features, by name, in the order in which it is registered.

    A module in two places is there once, but for those of one Sequential or ModuleList: what these
    hold twice is used twice.
    """
    seen.add(id(model))
    own = model.parameters(recurse=False)
    if isinstance(model, EdgeModule) or any(parameter.dim() > 1 for parameter in own):
        yield name, model
    if isinstance(model, EdgeModule):
        return
    repeats = isinstance(model, nn.Sequential | nn.ModuleList)
    before = frozenset(seen)
    for key, child in model._modules.items():
        known = set(before) if repeats else seen
        if child is not None and id(child) not in known:
            path = name if key == "_orig_mod" else f"{name}.{key}".lstrip(".")  # of torch.compile
            yield from _mixing(child, path, known)
            seen |= known
