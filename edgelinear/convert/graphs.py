"""Graphs: edge lists, PyG and networkx."""

import numbers
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from edgelinear.convert.shared import (
    as_values,
    checked_wiring,
    import_optional,
    named_nodes,
    weight_array,
)
from edgelinear.topology import EdgeMap, Wiring
from edgelinear.topology.build import build
from edgelinear.topology.wiring import HasWiring, as_list, positions, wiring_of

if TYPE_CHECKING:
    import networkx


def from_edges(
    in_features: int | None,
    out_features: int | None,
    edge_index: Any,  # (2, num_edges)
    *,
    weight: Any = None,  # (num_edges,)
    duplicates: str = "error",
) -> Wiring:
    """Read an edge list: row 0 of `edge_index` is the source (an input), row 1 the target (output).

    The edges keep their order, as in `Topology`.

    Args:
        in_features: number of sources; None takes it from a PyG `Data` or `EdgeIndex`.
        out_features: number of targets, likewise.
        edge_index: a tensor, an array, a list of (source, target) tuples, or a PyG `EdgeIndex` or
            `Data`, whose `edge_weight` is then the weight.

    Raises:
        ValueError: if a size is not known, or as `Topology` does.

    Example:
        >>> from_edges(3, 2, [(0, 0), (2, 1)], weight=[0.5, -1.0]).weight
        tensor([ 0.5000, -1.0000])
    """
    sizes: Any = (None, None)
    if isinstance(edge_index, Tensor):
        if hasattr(edge_index, "sparse_size"):  # PyG's EdgeIndex
            sizes = edge_index.sparse_size()  # pyright: ignore[reportAttributeAccessIssue]
    elif hasattr(edge_index, "edge_index"):  # PyG's Data
        data = edge_index
        edge_index = data.edge_index
        if edge_index is None:
            raise ValueError("the graph holds no edges: its `edge_index` is None.")
        weight = getattr(data, "edge_weight", None) if weight is None else weight
        nodes = getattr(data, "num_nodes", None)
        sizes = (nodes, nodes)
    in_features = sizes[0] if in_features is None else in_features
    out_features = sizes[1] if out_features is None else out_features
    for name, size in (("in_features", in_features), ("out_features", out_features)):
        if size is None:
            raise ValueError(f"the edges do not say how many nodes there are: give `{name}`.")
    assert in_features is not None and out_features is not None
    topology, values, merged = build(
        in_features, out_features, edge_index, weight, duplicates=duplicates
    )
    rows = EdgeMap.identity(topology.num_edges) if merged is None else merged
    # A copy, so that a later change of the caller's data does not reach the wiring.
    return Wiring(topology, None if values is None else values.clone(), rows=rows)


def from_networkx(
    graph: "networkx.Graph",
    *,
    inputs: Sequence[Hashable] | None = None,
    outputs: Sequence[Hashable] | None = None,
    weight: str = "weight",
    duplicates: str = "error",
) -> Wiring:
    """Read a directed networkx graph: an edge u -> v feeds output v from input u.

    Values are kept in double precision, which a Python float has; where all are whole numbers they
    take torch's default type.

    Args:
        inputs: the nodes that are inputs, in the order of the columns of x. Without `inputs` and
            `outputs`, all nodes are both, in the graph's own order, which `in_names` returns; but
            nodes ("in", i) and ("out", j), as `to_networkx` names them, are what they say, and
            are named i and j, or not at all where these are indices.
        outputs: the nodes that are outputs, in the order of the columns of y.
        weight: the edge attribute that holds values; edges either all have it, or none has.

    Raises:
        TypeError: if the graph is undirected, or a value is no number.
        ValueError: if a node is unknown or listed twice, an edge ends outside the lists, or is
            given twice under `duplicates="error"`.

    Example:
        >>> import networkx
        >>> graph = networkx.DiGraph([("a", "y"), ("b", "y"), ("b", "z")])
        >>> from_networkx(graph, inputs=["a", "b"], outputs=["y", "z"]).topology.edge_index
        tensor([[0, 1, 1],
                [0, 0, 1]])
    """
    if not hasattr(graph, "is_directed"):
        raise TypeError(f"`graph` must be a networkx graph, got {type(graph).__name__}.")
    if not graph.is_directed():
        raise TypeError(
            "`graph` must be directed, as an edge leads from an input to an output: "
            "use `graph.to_directed()` for both directions."
        )
    if (inputs is None) != (outputs is None):
        raise ValueError("give both `inputs` and `outputs`, or neither.")
    if inputs is None or outputs is None:
        inputs, outputs = _own_names(graph)
    in_names, column = _listed("inputs", inputs, graph)
    out_names, row = _listed("outputs", outputs, graph)
    src, dst, values = [], [], []
    for u, v, value in graph.edges(data=weight):
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
    if {*_kinds(in_names)} <= {"in"} and {*_kinds(out_names)} <= {"out"}:
        wiring = wiring._replace(in_names=_numbers(in_names), out_names=_numbers(out_names))
    return wiring


def to_edge_index(layer: HasWiring | Wiring) -> tuple[Tensor, Tensor | None]:
    """Return `edge_index`, row 0 the source and row 1 the target, and the weight of each edge.

    Both are copies, on the layer's device and in the order of its edges. A Wiring without values
    gives None for the weights.

    Example:
        >>> edge_index, weight = to_edge_index(el.EdgeLinear(3, 2, [(0, 0), (2, 1)]))
        >>> edge_index.shape, weight.shape
        (torch.Size([2, 2]), torch.Size([2]))
    """
    topology, weight, *_ = wiring_of(layer)
    return topology.edge_index, None if weight is None else weight.clone()


def to_networkx(
    layer: HasWiring | Wiring,
    *,
    in_names: Sequence[Hashable] | None = None,
    out_names: Sequence[Hashable] | None = None,
) -> "networkx.DiGraph":
    """Return a directed graph with an edge from input to output for each weight.

    Nodes are the names given here, or else those of the layer, or else ("in", i) and ("out", j). A
    name among both inputs and outputs is one node. Parallel edges make a MultiDiGraph.

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
    inputs = inputs or [("in", i) for i in range(topology.in_features)]
    outputs = outputs or [("out", j) for j in range(topology.out_features)]
    src, dst = topology.edge_index.tolist()
    parallel = len(set(zip(src, dst, strict=True))) < len(src)
    graph = networkx.MultiDiGraph() if parallel else networkx.DiGraph()
    graph.add_nodes_from(inputs)
    graph.add_nodes_from(outputs)
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
    return nodes, nodes


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
    array = np.asarray(values)
    return as_values(array.astype(np.int64) if array.dtype.kind == "b" else array)
