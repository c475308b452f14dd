"""Which nodes of a graph are its inputs and outputs, and what each of them computes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from edgelinear.networks.activations import Function, as_activation
from edgelinear.topology import Topology, Wiring
from edgelinear.topology.levels import reached_from
from edgelinear.topology.wiring import as_list, positions


def as_nodes(
    argument: str, nodes: Any, num_nodes: int, names: Sequence[str | int] | None
) -> np.ndarray:
    """Return nodes, given by number or by name where nodes have names, as numbers.

    Raises:
        TypeError: if they are no list.
        ValueError: if there are none, one is unknown, or one is listed twice.
    """
    if isinstance(nodes, Tensor):
        nodes = nodes.detach().cpu().tolist()
    if isinstance(nodes, (str, bytes)) or not hasattr(nodes, "__iter__"):
        raise TypeError(
            f"`{argument}` must be a list of nodes, got {nodes!r}: pass `[{nodes!r}]` for one."
        )
    nodes = as_list(argument, nodes)
    if nodes and all(isinstance(node, (bool, np.bool_)) for node in nodes):
        raise TypeError(
            f"`{argument}` must hold numbers or names of nodes, got truth values: use "
            "`mask.nonzero()[:, 0]` of a tensor."
        )
    if not nodes:
        raise ValueError(f"`{argument}` must have at least one node, got none.")
    positions(argument, nodes)
    known = _numbers_of(names)
    return np.array([_as_node(argument, node, num_nodes, known) for node in nodes], np.int64)


def _numbers_of(names: Sequence[str | int] | None) -> dict[str | int, int]:
    """Return the number of the node of each name."""
    return {} if names is None else {name: node for node, name in enumerate(names)}


def _as_node(argument: str, node: Any, num_nodes: int, known: Mapping[str | int, int]) -> int:
    if known:
        if node not in known:
            first = next(iter(known))
            raise ValueError(
                f"`{argument}` names {node!r}, and no node has this name: nodes go by their names "
                f"here, of which the first is {first!r}."
            )
        return known[node]
    if not isinstance(node, int) or isinstance(node, bool):
        raise TypeError(
            f"`{argument}` must hold numbers of nodes, got {node!r}: to go by names, pass "
            "`node_names`."
        )
    if not 0 <= node < num_nodes:
        raise ValueError(
            f"`{argument}` must hold nodes from 0 to {num_nodes - 1}, of `num_nodes` "
            f"{num_nodes}, got {node}."
        )
    return node


def check_inputs(
    topology: Topology,
    inputs: np.ndarray,
    names: Sequence[str | int] | None,
    cure: str = "use an `EdgeRNN`",
) -> None:
    """Refuse an edge into an input."""
    is_input = np.zeros(topology.in_features, dtype=bool)
    is_input[inputs] = True
    dst = topology.dst.cpu().numpy()
    fed = is_input[dst]
    if fed.any():
        edge = int(np.flatnonzero(fed)[0])
        ends = int(topology.src[edge]), int(dst[edge])
        shown = ends if names is None else (names[ends[0]], names[ends[1]])
        raise ValueError(
            f"`inputs` must have no edges into them, got edge {edge}, {shown[0]!r} -> "
            f"{shown[1]!r}: take it out, or {cure}."
        )


def activations_of(
    activation: Any,
    output_activation: Any,
    num_nodes: int,
    outputs: np.ndarray,
    names: Sequence[str | int] | None,
    default: str,
) -> list[str | Function]:
    """Return the activation of each node.

    One for all is that of nodes other than outputs; a list has one for each node; a dict has some,
    by name or number, and others are `default`. Outputs are the identity unless they are named by
    one of these, or `output_activation` says otherwise.
    """
    found: list[Any] = [None] * num_nodes
    if isinstance(activation, Mapping):
        known = _numbers_of(names)
        for node, value in activation.items():
            found[_as_node("activation", node, num_nodes, known)] = as_activation(
                "activation", value
            )
        activation = default
    elif isinstance(activation, (list, tuple)):
        if len(activation) != num_nodes:
            raise ValueError(
                f"`activation` must hold one for each of the {num_nodes} nodes, "
                f"got {len(activation)}."
            )
        distinct: dict[Any, str | Function] = {}
        for node, value in enumerate(activation):
            key = value if isinstance(value, str) else id(value)
            if key not in distinct:
                distinct[key] = as_activation("activation", value)
            found[node] = distinct[key]
        activation = default
    usual = as_activation("activation", activation)
    last: str | Function = "identity"
    if output_activation is not None:
        last = as_activation("output_activation", output_activation)
    for node in outputs.tolist():
        if found[node] is None or output_activation is not None:
            found[node] = last
    return [usual if value is None else value for value in found]


def per_node(
    argument: str,
    values: Any,
    num_nodes: int,
    names: Sequence[str | int] | None,
    allowed: Sequence[str],
    default: str,
    cure: str = "",
) -> list[str]:
    """Return one of the `allowed` words for each node, given as one, a list, or a dict."""
    if isinstance(values, Mapping):
        known = _numbers_of(names)
        found = [default] * num_nodes
        for node, value in values.items():
            found[_as_node(argument, node, num_nodes, known)] = value
    elif isinstance(values, str):
        found = [values] * num_nodes
    else:
        found = list(values)
        if len(found) != num_nodes:
            raise ValueError(
                f"`{argument}` must hold one for each of the {num_nodes} nodes, got {len(found)}."
            )
    for node, value in enumerate(found):
        if value not in allowed:
            at = (
                ""
                if isinstance(values, str)
                else f" for node {node if not names else names[node]!r}"
            )
            raise ValueError(
                f"`{argument}` must be one of {', '.join(allowed)}, got {value!r}{at}{cure}."
            )
    return found


def dead_nodes(
    topology: Topology, inputs: np.ndarray, outputs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the nodes that no input reaches, and those that reach no output."""
    src, dst = topology.src.cpu().numpy(), topology.dst.cpu().numpy()
    number = topology.in_features
    fed = reached_from(number, src, dst, inputs)
    useful = reached_from(number, dst, src, outputs)
    return np.flatnonzero(~fed), np.flatnonzero(~useful)


def square(wiring: Wiring) -> tuple[Topology, list | None]:
    """Return a wiring as one between nodes that are both sources and targets, and their names.

    By names, where there are any: a name that is both a source's and a target's is one node. Edges
    keep their order.

    Raises:
        ValueError: if there are no names, and not as many sources as targets.
    """
    topology = wiring.topology
    if wiring.in_names is None or wiring.out_names is None:
        if topology.in_features != topology.out_features:
            raise ValueError(
                f"a wiring of {topology.in_features} -> {topology.out_features} features must "
                "have names, by which sources and targets are the same nodes: pass `in_names` and "
                "`out_names` where it is made."
            )
        return topology, None
    names = list(dict.fromkeys([*wiring.in_names, *wiring.out_names]))
    number = _numbers_of(names)
    edges = topology.edge_index.cpu().numpy()
    src = np.array([number[name] for name in wiring.in_names], np.int64)[edges[0]]
    dst = np.array([number[name] for name in wiring.out_names], np.int64)[edges[1]]
    together = Topology(len(names), len(names), np.stack([src, dst]), duplicates="keep")
    return together.to(topology.device), names


def kept(given: Any) -> Any:
    """Return an argument so that no change to it is seen here."""
    if isinstance(given, Mapping):
        return dict(given)
    return list(given) if isinstance(given, (list, tuple)) else given
