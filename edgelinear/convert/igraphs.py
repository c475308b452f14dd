"""Graphs of igraph."""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from edgelinear.convert.nx import edge_values
from edgelinear.convert.shared import checked_wiring
from edgelinear.topology import Wiring
from edgelinear.topology.wiring import as_list, positions


def from_igraph(
    graph: Any,
    *,
    inputs: Sequence[Hashable] | None = None,
    outputs: Sequence[Hashable] | None = None,
    weight: str = "weight",
    duplicates: str = "error",
) -> Wiring:
    """Read a directed igraph graph: an edge u -> v feeds output v from input u.

    Vertices have their attribute "name", or else are their indices.

    Args:
        inputs: the vertices that are inputs, in the order of the columns of x. Without `inputs` and
            `outputs`, all are both, in the graph's own order.
        outputs: the vertices that are outputs, in the order of the columns of y.
        weight: the edge attribute that holds values; edges either all have it, or none has.

    Raises:
        TypeError: if the graph is undirected and no lists give a direction, or a value is no
            number.
        ValueError: if a vertex is unknown or listed twice, an edge ends outside the lists, or is
            given twice under `duplicates="error"`.

    Example:
        >>> import igraph  # doctest: +SKIP
        >>> pairs = [("a", "y"), ("b", "y")]
        >>> graph = igraph.Graph.TupleList(pairs, directed=True)  # doctest: +SKIP
        >>> from_igraph(graph, inputs=["a", "b"], outputs=["y"]).out_names  # doctest: +SKIP
        ['y']
    """
    if not hasattr(graph, "get_edgelist") or not hasattr(graph, "vs"):
        raise TypeError(f"`graph` must be an igraph graph, got {type(graph).__name__}.")
    if (inputs is None) != (outputs is None):
        raise ValueError("give both `inputs` and `outputs`, or neither.")
    names = graph.vs["name"] if "name" in graph.vs.attributes() else list(range(graph.vcount()))
    known = positions("name", names)
    edges = np.array(graph.get_edgelist(), dtype=np.int64).reshape(-1, 2)
    if inputs is None or outputs is None:
        if not graph.is_directed():
            raise TypeError(
                "`graph` must be directed, as an edge leads from an input to an output: use "
                "`graph.as_directed()` for both directions, or give `inputs` and `outputs`."
            )
        inputs = outputs = names
    sides, lists = [], []
    for argument, listed in (("inputs", inputs), ("outputs", outputs)):
        listed = as_list(argument, listed)
        for name in listed:
            if name not in known:
                raise ValueError(f"`{argument}` names {name!r}, which is no vertex of the graph.")
        positions(argument, listed)
        place = np.full(graph.vcount(), -1)
        place[[known[name] for name in listed]] = np.arange(len(listed))
        sides.append(place)
        lists.append(listed)
    if not graph.is_directed():  # an edge leads from the end that is an input to the other
        turn = (sides[0][edges[:, 0]] < 0) | (sides[1][edges[:, 1]] < 0)
        both = ~turn & (sides[0][edges[:, 1]] >= 0) & (sides[1][edges[:, 0]] >= 0)
        if (both & (edges[:, 0] != edges[:, 1])).any():
            u, v = (names[end] for end in edges[int(both.argmax())])
            raise TypeError(
                f"the edge between {u!r} and {v!r} may lead either way, as both are inputs and "
                "outputs: use `graph.as_directed()` for both directions."
            )
        edges[turn] = edges[turn, ::-1]
    src, dst = sides[0][edges[:, 0]], sides[1][edges[:, 1]]
    outside = (src < 0) | (dst < 0)
    if outside.any():
        edge = int(outside.argmax())
        u, v = (names[end] for end in edges[edge])
        end, argument = (u, "inputs") if src[edge] < 0 else (v, "outputs")
        raise ValueError(
            f"edge {u!r} -> {v!r} cannot be read, as {end!r} is not listed: add it to "
            f"`{argument}`, or pass a subgraph."
        )
    has_values = weight in graph.es.attributes()
    values = graph.es[weight] if has_values else [None] * len(edges)
    return checked_wiring(
        len(lists[0]),
        len(lists[1]),
        src,
        dst,
        edge_values(values, weight, lambda edge: tuple(names[end] for end in edges[edge])),
        duplicates,
        in_names=lists[0],
        out_names=lists[1],
        unit="edges",
    )
