"""Several layers that follow one another, as one graph whose levels are columns of nodes."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgelinear.topology import Topology, Wiring
from edgelinear.viewer.names import Names
from edgelinear.viewer.subject import (
    Subject,
    check_size,
    names_in,
    notes_of,
    weights_of,
    wiring_in,
)


def joined(layers: Sequence[Any], argument: str) -> Subject:
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
    called = {"node": Names(_unique(names), nodes)}
    return Subject(
        "layers",
        Topology(nodes, nodes, np.stack([*map(np.concatenate, (src, dst))]), duplicates="keep"),
        *weights_of(wirings, argument),
        called,
        names,
        np.arange(sizes[0]),
        np.arange(first[-2], nodes),
        np.repeat(np.arange(len(sizes)), sizes),
        wirings,
        [
            f"{len(wirings)} layers, between {len(sizes)} columns of nodes, which are its levels.",
            *notes_of(called),
        ],
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
        node = first_difference(out, into)
        if node is not None:
            raise ValueError(
                f"`{argument}` must hold layers that follow one another: output {node} of layer "
                f"{at} is {out[node]!r}, and input {node} of layer {at + 1} is {into[node]!r}."
            )
        found.append(into if out.names is None else out)
    return [*found, sides[-1]["out"]]


def first_difference(one: Names, other: Names) -> int | None:
    """Return the first node that two sides call by different names, where both have names."""
    if one.names is None or other.names is None or one.names == other.names:
        return None
    return next((node for node in range(one.size) if one[node] != other[node]), None)


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
