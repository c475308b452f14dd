"""The layers that a model holds, or its one network."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from torch import nn

from edgelinear.layers import EdgeLinear
from edgelinear.layers.module import EdgeModule
from edgelinear.plot._figure import shortened


class Called(NamedTuple):
    """A layer or a network, and what messages and headings call it."""

    name: str
    layer: EdgeModule


def layers_in(model: Any) -> list[Called]:
    """Return layers in their order, or the one network that a model is or holds.

    Raises:
        TypeError, ValueError: if there is none, or a module has something else between its layers
            that mixes features.
    """
    if isinstance(model, EdgeModule):
        return [Called("outputs", model)]
    if isinstance(model, nn.Module):
        return _in_module(model)
    if not isinstance(model, list | tuple):
        raise TypeError(
            "`model` must be an EdgeNetwork, an EdgeRNN, a list of EdgeLinears or a module that "
            f"holds some, got {type(model).__name__}."
        )
    for i, layer in enumerate(model):
        if not isinstance(layer, EdgeLinear):
            raise TypeError(
                f"`model` must hold EdgeLinears alone where it is a {type(model).__name__}, "
                f"got {type(layer).__name__} at position {i}."
            )
    if not model:
        raise ValueError(
            f"`model` must hold at least one EdgeLinear, got an empty {type(model).__name__}."
        )
    return [Called(_heading(str(i)), layer) for i, layer in enumerate(model)]


def _in_module(model: nn.Module) -> list[Called]:
    every = [*_mixing(model, "", set())]
    found = [at for at, (_, one) in enumerate(every) if isinstance(one, EdgeModule)]
    if not found:
        raise ValueError(
            "`model` must hold at least one EdgeLinear, or a network, got a "
            f"{type(model).__name__} without."
        )
    layers = every[found[0] : found[-1] + 1]
    for name, one in layers:
        if len(layers) > 1 and not isinstance(one, EdgeLinear):
            raise ValueError(
                "`model` must mix features in EdgeLinears alone, from the first of them to the "
                f"last, got {type(one).__name__} at {name!r}: pass a list of the layers that "
                "follow one another, or a network by itself."
            )
    return [Called(_heading(name), one) for name, one in layers]


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


def _heading(name: str) -> str:
    return f"layer {name}" if name.isdigit() else shortened(name)
