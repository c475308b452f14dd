"""The layers or the network of a picture, and what it calls them."""

from typing import Any, NamedTuple

from torch import nn

from edgelinear.layers import EdgeLinear
from edgelinear.layers.held import held_by
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
        return [Called(_heading(name), layer) for name, layer in held_by(model, "model")]
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


def _heading(name: str) -> str:
    return f"layer {name}" if name.isdigit() else shortened(name)
