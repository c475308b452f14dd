"""A network, or layers that follow one another, as nodes in columns with edges between these."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from edgelinear.layers import EdgeLinear, EdgeNetwork
from edgelinear.plot._figure import title_of, title_of_network, values_of, weight_of
from edgelinear.plot._layers import Called

_ORDER = (
    "Those of a module are taken as they are registered: pass a list of them in the order of data."
)
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
    is_one: bool  # whether all values are of one network or layer, and so of one scale


def stack_of(layers: Sequence[Called], scores: Any) -> Stack:
    """Return the columns of a network, or of layers that follow one another.

    Raises:
        TypeError, ValueError: if layers do not follow one another, or scores are not one finite
            number an edge.
    """
    values = _values(layers, scores)
    if isinstance(layers[0].layer, EdgeNetwork):
        return _of_network(layers[0].layer, *values)
    _check_order(layers)
    return _of_layers(layers, values)


def _of_network(net: EdgeNetwork, value: np.ndarray) -> Stack:
    kind = np.full(net.num_nodes, HIDDEN)
    kind[net.outputs.numpy()] = OUTPUT
    kind[net.inputs.numpy()] = INPUT
    names = range(net.num_nodes) if net.node_names is None else net.node_names
    src, dst = net.edge_index.cpu().numpy()
    headings = [f"level {i}" for i in range(net.num_levels)]
    title = title_of_network(net)
    return Stack(net.level.numpy(), kind, names, src, dst, value, headings, title, True)


def _check_order(layers: Sequence[Called]) -> None:
    for (name, layer), (next_name, following) in pairwise(layers):
        if layer.out_features != following.in_features:
            raise ValueError(
                f"`model` must hold layers that follow one another: {name} gives "
                f"{layer.out_features} values, and {next_name} takes {following.in_features}. "
                f"{_ORDER}"
            )
        pairs = zip(layer.out_names or (), following.in_names or (), strict=False)
        for node, (out_name, in_name) in enumerate(pairs):
            if out_name != in_name:
                raise ValueError(
                    f"`model` must hold layers that follow one another: output {node} of {name} "
                    f"is {out_name!r}, and input {node} of {next_name} is {in_name!r}. {_ORDER}"
                )


def _values(layers: Sequence[Called], scores: Any) -> list[np.ndarray]:
    """Return the weights of each layer, or the scores given for it."""
    if len(layers) == 1:
        ((_, layer),) = layers
        nested = isinstance(scores, list | tuple) and len(scores) == 1 and np.ndim(scores[0]) == 1
        scores = scores[0] if nested else scores
        return [
            weight_of(layer) if scores is None else values_of("`scores`", scores, layer.num_edges)
        ]
    if scores is None:
        return [weight_of(layer, f"`weight` of {name}") for name, layer in layers]
    if not isinstance(scores, list | tuple):
        raise TypeError(
            f"`scores` must be a list with those of each of the {len(layers)} layers, got "
            f"{type(scores).__name__}."
        )
    if len(scores) != len(layers):
        raise ValueError(
            f"`scores` must hold those of each of the {len(layers)} layers, got {len(scores)}."
        )
    return [values_of(f"`scores[{i}]`", scores[i], x.num_edges) for i, (_, x) in enumerate(layers)]


def _of_layers(called: Sequence[Called], values: list[np.ndarray]) -> Stack:
    headings, layers = zip(*called, strict=True)
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
    value, one = np.concatenate(values), len(layers) == 1
    return Stack(column, kind, names, src, dst, value, ["inputs", *headings], title, one)


def _names(layers: Sequence[EdgeLinear], sizes: list[int]) -> list:
    """Return the names of the nodes, column by column, and their numbers where they have none."""
    names: list = []
    for i, size in enumerate(sizes):
        known = layers[i - 1].out_names if i else None
        if known is None and i < len(layers):
            known = layers[i].in_names
        names += range(size) if known is None else known
    return names
