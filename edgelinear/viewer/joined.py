"""Several layers that follow one another, as one graph whose levels are columns of nodes."""

from collections import Counter
from typing import Any

import numpy as np
from torch import nn

from edgelinear.layers import EdgeLinear
from edgelinear.topology import Topology, Wiring
from edgelinear.viewer.names import Names
from edgelinear.viewer.subject import Subject, check_size, names_in, weights_of, wiring_in


def layers_of(model: nn.Sequential, argument: str) -> list[nn.Module]:
    """Return the layers with edges of a model, in order.

    Raises:
        TypeError: if something else mixes features, which paths would have to go through.
    """
    layers: list[nn.Module] = []
    for module in model:
        if isinstance(module, nn.Sequential):
            layers += layers_of(module, argument)
        elif isinstance(module, EdgeLinear):
            layers.append(module)
        elif any(parameter.dim() > 1 for parameter in module.parameters()):
            raise TypeError(
                f"`{argument}` must mix features in EdgeLinears alone, got {type(module).__name__} "
                "among them: pass a list of the layers that follow one another."
            )
    return layers


def joined(layers: list[Any], kind: str, argument: str) -> Subject:
    """Return the graph of some layers: their edges in order, between columns of nodes.

    Raises:
        TypeError: if one of them is no layer.
        ValueError: if there is none, or they do not follow one another.
    """
    wirings = [wiring_in(layer, argument) for layer in layers]
    if not wirings:
        raise ValueError(f"`{argument}` must hold at least one EdgeLinear, got none.")
    if any(wiring.inputs is not None for wiring in wirings):
        raise TypeError(f"`{argument}` must hold layers, got a network: look at that alone.")
    check_size(sum(wiring.topology.num_edges for wiring in wirings), argument)
    names = _column_names(wirings, argument)
    sizes = [column.size for column in names]
    first = np.cumsum([0, *sizes])
    src = [w.topology.src.cpu().numpy() + first[at] for at, w in enumerate(wirings)]
    dst = [w.topology.dst.cpu().numpy() + first[at + 1] for at, w in enumerate(wirings)]
    nodes = int(first[-1])
    return Subject(
        kind,
        Topology(nodes, nodes, np.stack([*map(np.concatenate, (src, dst))]), duplicates="keep"),
        *weights_of(wirings, argument),
        {"node": Names(_unique(names), nodes)},
        np.arange(sizes[0]),
        np.arange(first[-2], nodes),
        np.repeat(np.arange(len(sizes)), sizes),
        wirings,
        [f"{len(wirings)} layers, between {len(sizes)} columns of nodes, which are its levels."],
        is_joined=True,
    )


def _column_names(wirings: list[Wiring], argument: str) -> list[Names]:
    """Return the names of each column, by the layers on both its sides."""
    sides = [names_in(wiring) for wiring in wirings]
    found = [sides[0]["in"]]
    for at, (before, after) in enumerate(zip(sides, sides[1:], strict=False)):
        out, into = before["out"], after["in"]
        if out.size != into.size:
            raise ValueError(
                f"`{argument}` must hold layers that follow one another: layer {at} has {out.size} "
                f"outputs, and layer {at + 1} has {into.size} inputs."
            )
        both = out.names is not None and into.names is not None
        odd = (node for node in range(out.size) if both and out[node] != into[node])
        node = next(odd, None)
        if node is not None:
            raise ValueError(
                f"`{argument}` must hold layers that follow one another: output {node} of layer "
                f"{at} is {out[node]!r}, and input {node} of layer {at + 1} is {into[node]!r}."
            )
        found.append(into if out.names is None else out)
    return [*found, sides[-1]["out"]]


def _unique(columns: list[Names]) -> list[str]:
    """Return the names of all columns, with the number of the column where they are not unique."""
    times = Counter(
        str(name) for column in columns if column.names is not None for name in column.names
    )
    return [
        column[node]
        if column.names is not None and times[column[node]] == 1
        else f"{at}:{column[node]}"
        for at, column in enumerate(columns)
        for node in range(column.size)
    ]
