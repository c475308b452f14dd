"""A network, or layers that follow one another, as nodes in columns with edges between these."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from torch import nn

from edgelinear.layers import EdgeLinear, EdgeNetwork
from edgelinear.plot._figure import shortened, title_of, title_of_network, values_of, weight_of

INPUT, HIDDEN, OUTPUT = range(3)


class Stack(NamedTuple):
    """Nodes in columns, and the edges between them, each with its weight or score."""

    column: np.ndarray  # (num_nodes,)
    kind: np.ndarray  # (num_nodes,)
    names: Sequence[Any]  # (num_nodes,)
    src: np.ndarray  # (num_edges,)
    dst: np.ndarray  # (num_edges,)
    value: np.ndarray  # (num_edges,)
    headings: list[str]  # of the columns
    title: str


def stack_of(model: Any, scores: Any) -> Stack:
    """Return the columns of a network, of layers in a list, or of those in a module.

    Raises:
        TypeError, ValueError: if it holds no layers that follow one another, or scores are not one
            finite number an edge.
    """
    if isinstance(model, EdgeNetwork):
        return _of_network(model, scores)
    names, layers = zip(*_layers_in(model), strict=True)
    _check_order(names, layers)
    return _of_layers(names, layers, _values(names, layers, scores))


def _of_network(net: EdgeNetwork, scores: Any) -> Stack:
    value = weight_of(net) if scores is None else values_of("`scores`", scores, net.num_edges)
    kind = np.full(net.num_nodes, HIDDEN)
    kind[net.outputs.numpy()] = OUTPUT
    kind[net.inputs.numpy()] = INPUT
    names = range(net.num_nodes) if net.node_names is None else net.node_names
    src, dst = net.edge_index.cpu().numpy()
    headings = [f"level {i}" for i in range(net.num_levels)]
    title = title_of_network(net)
    return Stack(net.level.numpy(), kind, names, src, dst, value, headings, title)


def _layers_in(model: Any) -> list[tuple[str, EdgeLinear]]:
    """Return layers in their order, and what messages and headings call them."""
    if isinstance(model, EdgeLinear):
        return [("outputs", model)]
    if isinstance(model, nn.Module):
        # A layer that is used twice is there twice.
        every = model.named_modules(remove_duplicate=False)
        found = [(_called(name), one) for name, one in every if isinstance(one, EdgeLinear)]
    elif isinstance(model, list | tuple):
        for i, layer in enumerate(model):
            if not isinstance(layer, EdgeLinear):
                raise TypeError(
                    f"`model` must hold EdgeLinears alone where it is a {type(model).__name__}, "
                    f"got {type(layer).__name__} at position {i}."
                )
        found = [(_called(str(i)), layer) for i, layer in enumerate(model)]
    else:
        raise TypeError(
            "`model` must be an EdgeNetwork, an EdgeRNN, a list of EdgeLinears or a module that "
            f"holds some, got {type(model).__name__}."
        )
    if not found:
        raise ValueError(
            f"`model` must hold at least one EdgeLinear, got a {type(model).__name__} without."
        )
    return found


def _called(name: str) -> str:
    return f"layer {name}" if name.isdigit() else shortened(name)


def _check_order(names: Sequence[str], layers: Sequence[EdgeLinear]) -> None:
    for i, (layer, following) in enumerate(zip(layers, layers[1:], strict=False)):
        if layer.out_features != following.in_features:
            raise ValueError(
                f"`model` must hold layers that follow one another: {names[i]} gives "
                f"{layer.out_features} values, and {names[i + 1]} takes {following.in_features}."
            )


def _values(names: Sequence[str], layers: Sequence[EdgeLinear], scores: Any) -> list[np.ndarray]:
    """Return the weights of each layer, or the scores given for it."""
    if len(layers) == 1:
        (layer,) = layers
        nested = isinstance(scores, list | tuple) and len(scores) == 1 and np.ndim(scores[0]) == 1
        scores = scores[0] if nested else scores
        return [
            weight_of(layer) if scores is None else values_of("`scores`", scores, layer.num_edges)
        ]
    if scores is None:
        pairs = zip(names, layers, strict=True)
        return [weight_of(layer, f"`weight` of {name}") for name, layer in pairs]
    if not isinstance(scores, list | tuple):
        raise TypeError(
            f"`scores` must be a list with those of each of the {len(layers)} layers, got "
            f"{type(scores).__name__}."
        )
    if len(scores) != len(layers):
        raise ValueError(
            f"`scores` must hold those of each of the {len(layers)} layers, got {len(scores)}."
        )
    return [values_of(f"`scores[{i}]`", scores[i], x.num_edges) for i, x in enumerate(layers)]


def _of_layers(
    headings: Sequence[str], layers: Sequence[EdgeLinear], values: list[np.ndarray]
) -> Stack:
    sizes = [layers[0].in_features, *(layer.out_features for layer in layers)]
    begin = np.cumsum([0, *sizes])
    column = np.repeat(np.arange(len(sizes)), sizes)
    kind = np.full(column.size, HIDDEN)
    kind[column == len(layers)] = OUTPUT
    kind[column == 0] = INPUT
    edges = [layer.edge_index.cpu().numpy() for layer in layers]
    src, dst = np.concatenate([begin[i : i + 2, None] + e for i, e in enumerate(edges)], axis=1)
    title = title_of(layers[0].topology)
    if len(layers) > 1:
        title = f"{' -> '.join(f'{size:,}' for size in sizes)}, {src.size:,} edges"
    names = _names(layers, sizes)
    return Stack(
        column, kind, names, src, dst, np.concatenate(values), ["inputs", *headings], title
    )


def _names(layers: Sequence[EdgeLinear], sizes: list[int]) -> list:
    """Return the names of the nodes, column by column, and their numbers where they have none."""
    names: list = []
    for i, size in enumerate(sizes):
        known = layers[i - 1].out_names if i else None
        if known is None and i < len(layers):
            known = layers[i].in_names
        names += range(size) if known is None else known
    return names
