"""Graphs of PyG: edges, values and sizes of what its classes hold, none of them guessed."""

import warnings
from typing import Any

import torch
from torch import Tensor

from edgelinear.convert.sparse import entries_of, unwrapped

Edges = tuple[Any, Any, tuple[int | None, int | None]]  # edge_index, weight or None, sizes


def edges_of(graph: Any, edge_type: Any = None) -> Edges:
    """Return the edges of a `Data`, a `HeteroData`, one of its types of edges, or an `EdgeIndex`.

    Anything else is taken for an edge list of unknown sizes.
    """
    if hasattr(graph, "edge_types"):
        return _of_type(graph, edge_type)
    if edge_type is not None:
        raise ValueError(
            f"`edge_type` chooses among those of a HeteroData, got {type(graph).__name__}."
        )
    if isinstance(graph, Tensor):
        return graph, None, tuple(getattr(graph, "sparse_size", _unknown)())  # type: ignore
    if hasattr(graph, "edge_index") or hasattr(graph, "adj_t"):
        return _of_store(graph, *_sizes(graph))
    return graph, None, (None, None)


def _unknown() -> tuple[None, None]:
    return None, None


def _of_type(graph: Any, edge_type: Any) -> Edges:
    """Return the edges of one type, from the nodes of one type to those of another."""
    types = list(graph.edge_types)
    if edge_type is None and len(types) == 1:
        (edge_type,) = types
    if edge_type not in types:
        what = "holds several types of edges" if edge_type is None else f"has no {edge_type!r}"
        raise ValueError(
            f"the graph {what}: give `edge_type` as one of {', '.join(map(repr, types)) or 'none'}."
        )
    source, _, target = edge_type
    return _of_store(graph[edge_type], _num_nodes(graph[source]), _num_nodes(graph[target]))


def _of_store(store: Any, *nodes: int | None) -> Edges:
    """Return the edges that a `Data` or one type of edges of a `HeteroData` holds."""
    edges: Any = getattr(store, "edge_index", None)
    weight = getattr(store, "edge_weight", None)
    sizes = edges.sparse_size() if hasattr(edges, "sparse_size") else (None, None)
    if edges is None:
        transposed = getattr(store, "adj_t", None)  # (targets, sources)
        if transposed is None:
            raise ValueError("the graph holds no edges: its `edge_index` is None.")
        edges, weight, sizes = _of_transposed(transposed)
    if sizes == (None, None):
        return edges, weight, nodes  # type: ignore[return-value]
    return edges, weight, sizes


def _of_transposed(matrix: Any) -> Edges:
    matrix = unwrapped(matrix, "weight")
    edges, values = entries_of(matrix)
    edges = edges.flip(0)
    if values.dtype == torch.bool:  # a mask: its true entries are edges
        return edges[:, values], None, (matrix.shape[1], matrix.shape[0])
    return edges, values, (matrix.shape[1], matrix.shape[0])


def _sizes(graph: Any) -> tuple[int | None, int | None]:
    """Return how many nodes both ends of edges have; of several sets, as x_s and x_t, none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where the graph does not know, it is not asked
        if hasattr(graph, "size") and not hasattr(graph, "num_nodes"):  # one type of edges
            return graph.size()
    keys = graph.keys() if callable(getattr(graph, "keys", None)) else vars(graph)
    if sum(key.startswith("x_") for key in keys) > 1:
        return None, None
    return (_num_nodes(graph),) * 2


def _num_nodes(nodes: Any) -> int | None:
    """Return the number of nodes if the graph knows it: PyG guesses it from the edges otherwise."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        number = getattr(nodes, "num_nodes", None)
    return None if any("num_nodes" in str(warning.message) for warning in said) else number
