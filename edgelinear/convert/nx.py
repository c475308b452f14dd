"""Graphs of networkx."""

import numbers
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from edgelinear._optional import import_optional
from edgelinear.convert.shared import (
    checked_wiring,
    named_nodes,
    weight_array,
)
from edgelinear.topology import Wiring
from edgelinear.topology.numbers import as_array, cast, from_array
from edgelinear.topology.wiring import HasWiring, as_list, positions, wiring_of

if TYPE_CHECKING:
    import networkx


def from_networkx(
    graph: "networkx.Graph",
    *,
    inputs: Sequence[Hashable] | None = None,
    outputs: Sequence[Hashable] | None = None,
    weight: str = "weight",
    duplicates: str = "error",
) -> Wiring:
    """Read a directed networkx graph: an edge u -> v feeds output v from input u.

    Of an undirected graph, `inputs` and `outputs` give the direction: each edge leads from a node
    of the one list to a node of the other.

    Values are kept in double precision, which a Python float has; where all are whole numbers they
    take torch's default type.

    Args:
        inputs: the nodes that are inputs, in the order of the columns of x. Without `inputs` and
            `outputs`, all nodes are both, in the graph's own order, which `in_names` returns; but
            nodes ("in", i) and ("out", j), as `to_networkx` names them, are what they say, and
            are named i and j, or not at all where these are indices; and nodes with the attributes
            "input" and "output", as `to_networkx` gives them, stand at these positions.
        outputs: the nodes that are outputs, in the order of the columns of y.
        weight: the edge attribute that holds values; edges either all have it, or none has.

    Raises:
        TypeError: if the graph is undirected and there are no lists, or a value is no number.
        ValueError: if a node is unknown or listed twice, an edge ends outside the lists, has no
            direction or a value that is not finite, or is given twice under `duplicates="error"`.

    Example:
        >>> import networkx
        >>> graph = networkx.DiGraph([("a", "y"), ("b", "y"), ("b", "z")])
        >>> from_networkx(graph, inputs=["a", "b"], outputs=["y", "z"]).topology.edge_index
        tensor([[0, 1, 1],
                [0, 0, 1]])
    """
    if not hasattr(graph, "is_directed"):
        raise TypeError(f"`graph` must be a networkx graph, got {type(graph).__name__}.")
    if (inputs is None) != (outputs is None):
        raise ValueError("give both `inputs` and `outputs`, or neither.")
    if inputs is None and not graph.is_directed():
        raise TypeError(
            "`graph` must be directed, as an edge leads from an input to an output: use "
            "`graph.to_directed()` for both directions, or list `inputs` and `outputs`."
        )
    if inputs is None or outputs is None:
        inputs, outputs = _own_names(graph)
    in_names, column = _listed("inputs", inputs, graph)
    out_names, row = _listed("outputs", outputs, graph)
    src, dst, values = [], [], []
    for u, v, value in graph.edges(data=weight):
        if not graph.is_directed():
            u, v = _directed(u, v, column, row)
        if u not in column or v not in row:
            end, name = (u, "inputs") if u not in column else (v, "outputs")
            raise ValueError(
                f"edge {u!r} -> {v!r} cannot be read, as {end!r} is not listed: "
                f"add it to `{name}`, or pass a subgraph."
            )
        src.append(column[u])
        dst.append(row[v])
        values.append(value)
    wiring = checked_wiring(
        len(in_names),
        len(out_names),
        src,
        dst,
        edge_values(values, weight, lambda edge: (in_names[src[edge]], out_names[dst[edge]])),
        duplicates,
        in_names=in_names,
        out_names=out_names,
        unit="edges",
    )
    if {*_kinds(in_names)} <= {"in"}:
        wiring = wiring._replace(in_names=_numbers(in_names))
    if {*_kinds(out_names)} <= {"out"}:
        wiring = wiring._replace(out_names=_numbers(out_names))
    return wiring


def to_networkx(
    layer: HasWiring | Wiring,
    *,
    in_names: Sequence[Hashable] | None = None,
    out_names: Sequence[Hashable] | None = None,
) -> "networkx.DiGraph":
    """Return a directed graph with an edge from input to output for each weight.

    Nodes are the names given here, or else those of the layer, or else ("in", i) and ("out", j). A
    name among both inputs and outputs is one node; those of a network are their numbers by default.
    Their attributes "input" and "output" say which
    input and which output they are, by which `from_networkx` reads the graph back as it was.
    Parallel edges make a MultiDiGraph.

    Raises:
        ValueError: if there are not as many names as nodes, or one is listed twice.

    Example:
        >>> graph = to_networkx(el.EdgeLinear(3, 2, [(0, 0), (2, 1)]))
        >>> sorted(graph.edges)
        [(('in', 0), ('out', 0)), (('in', 2), ('out', 1))]
    """
    wiring = wiring_of(layer)
    networkx = import_optional("networkx")
    topology = wiring.topology
    inputs, outputs = named_nodes(wiring, in_names, out_names)
    if wiring.inputs is not None and inputs is None and outputs is None:
        inputs = outputs = [*range(topology.in_features)]
    inputs = inputs or [("in", i) for i in range(topology.in_features)]
    outputs = outputs or [("out", j) for j in range(topology.out_features)]
    src, dst = topology.edge_index.tolist()
    parallel = len(set(zip(src, dst, strict=True))) < len(src)
    graph = networkx.MultiDiGraph() if parallel else networkx.DiGraph()
    graph.add_nodes_from((name, {"input": i}) for i, name in enumerate(inputs))
    graph.add_nodes_from((name, {"output": j}) for j, name in enumerate(outputs))
    edges = [(inputs[s], outputs[t]) for s, t in zip(src, dst, strict=True)]
    weight = weight_array(wiring)
    if weight is None:
        graph.add_edges_from(edges)
    else:
        graph.add_weighted_edges_from(
            (u, v, w) for (u, v), w in zip(edges, weight.tolist(), strict=True)
        )
    return graph


def _own_names(graph: Any) -> tuple[list, list]:
    """Return the nodes to use where none are listed: all, or those that `to_networkx` named."""
    nodes = list(graph.nodes)
    if nodes and all(map(_is_ours, nodes)):
        # By number: a graph that was saved or filtered may list its nodes in another order.
        return sorted(n for n in nodes if n[0] == "in"), sorted(n for n in nodes if n[0] == "out")
    return _marked(graph, nodes) or (nodes, nodes)


def _marked(graph: Any, nodes: list) -> tuple[list, list] | None:
    """Return the nodes in the positions that `to_networkx` gave them, or None if it did not."""
    places: tuple[dict, ...] = tuple(
        {node: place for node, place in graph.nodes(data=side) if _is_index(place)}
        for side in ("input", "output")
    )
    marked = places[0].keys() | places[1].keys()
    if not marked:
        return None
    for side, found in zip(("input", "output"), places, strict=True):
        if len(set(found.values())) < len(found):
            raise ValueError(f'two nodes have the same "{side}": list `inputs` and `outputs`.')
    if len(marked) < len(nodes):
        unmarked = next(node for node in nodes if node not in marked)
        raise ValueError(
            f'node {unmarked!r} has neither of the attributes "input" and "output", by which '
            "others say what they are: list `inputs` and `outputs`."
        )
    return sorted(places[0], key=places[0].get), sorted(places[1], key=places[1].get)  # type: ignore


def _is_index(place: Any) -> bool:
    return isinstance(place, int) and not isinstance(place, bool) and place >= 0


def _directed(u: Any, v: Any, column: dict, row: dict) -> tuple[Any, Any]:
    """Return the ends of an undirected edge as input and output: one way alone must be possible."""
    there, back = u in column and v in row, v in column and u in row
    if there and back and u != v:
        raise ValueError(
            f"edge {u!r} - {v!r} could lead both ways, as both are among `inputs` and `outputs`: "
            "use `graph.to_directed()` for both directions."
        )
    for side, listed in (("inputs", column), ("outputs", row)):
        if not there and not back and u in listed and v in listed:
            raise ValueError(
                f"edge {u!r} - {v!r} joins two of the `{side}`, which gives it no direction: drop "
                "it, pass a subgraph, or make the graph directed."
            )
    turned = back or u in row or v in column
    return (v, u) if turned and not there else (u, v)


def _is_ours(node: Any) -> bool:
    """Whether this is ("in", i) or ("out", j), as `to_networkx` names nodes."""
    pair = isinstance(node, tuple) and len(node) == 2 and isinstance(node[1], int)
    return pair and node[0] in ("in", "out")


def _kinds(nodes: list) -> list[str | None]:
    return [node[0] if _is_ours(node) else None for node in nodes]


def _numbers(nodes: list) -> list[int] | None:
    numbers = [number for _, number in nodes]
    return None if numbers == list(range(len(numbers))) else numbers


def _listed(
    argument: str, nodes: Sequence[Hashable], graph: Any
) -> tuple[list, dict[Hashable, int]]:
    nodes = as_list(argument, nodes)
    for node in nodes:
        if node not in graph:
            raise ValueError(f"`{argument}` names {node!r}, which is no node of the graph.")
    return nodes, positions(argument, nodes)


def edge_values(values: list, attribute: str, ends: Any) -> Tensor | None:
    """Return the value of each edge, or None where no edge has one."""
    if all(value is None for value in values):
        return None
    for edge, value in enumerate(values):
        if isinstance(value, (numbers.Real, np.bool_)):
            continue
        u, v = ends(edge)
        if value is None:
            raise ValueError(
                f"edge {u!r} -> {v!r} has no {attribute!r}, and others have: "
                "set it on every edge or on none."
            )
        raise TypeError(f"edge {u!r} -> {v!r} has {attribute}={value!r}, which is no number.")
    array = as_array(f"the attribute {attribute!r}", np.array(values, dtype=object))
    found = from_array(f"the attribute {attribute!r}", array)
    if found.is_floating_point():
        return found
    return cast(f"the attribute {attribute!r}", found, torch.get_default_dtype())
