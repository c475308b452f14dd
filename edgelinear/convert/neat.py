"""Genomes of NEAT: what `EdgeNetwork` and `EdgeRNN` compute of them, and what they learn, back."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from edgelinear.convert.genes import Genes, Numbers, read_genes, write_genes
from edgelinear.networks.activations import Function
from edgelinear.networks.formula import AGGREGATIONS
from edgelinear.networks.neat import NEAT_ACTIVATIONS, silent
from edgelinear.topology.levels import find_cycle, find_levels, reached_from


class Genome(NamedTuple):
    """The nodes of a genome that its outputs need, and the enabled connections between them.

    Inputs come first, then outputs, then hidden nodes, in the order of the genome; connections are
    in its order. A node is `activation(bias + response * aggregation of weight * source)`.
    """

    edge_index: Tensor  #: (2, num_edges): the positions of nodes
    weight: Tensor  #: (num_edges,), float64
    bias: Tensor  #: (num_nodes,), float64
    response: Tensor  #: (num_nodes,), float64
    activations: list[str | Function]  #: of each node, as `EdgeNetwork` takes them
    aggregations: list[str]  #: of each node
    inputs: list[int]  #: their keys
    outputs: list[int]  #: their keys
    node_names: list[int]  #: the key of each node
    is_recurrent: bool  #: whether all nodes are computed at once, from values of the step before

    def arguments(self) -> dict[str, Any]:
        """Return the arguments with which a module of a whole graph is this genome, but for `bias`.

        Example:
            >>> one, names = torch.ones(2), [-1, 0]
            >>> functions, sums = ["identity", "tanh"], ["sum", "sum"]
            >>> numbers = torch.tensor([[0], [1]]), one[:1], 0 * one, one
            >>> genome = Genome(*numbers, functions, sums, [-1], [0], names, False)
            >>> el.EdgeNetwork(**genome.arguments()).node_names
            [-1, 0]
        """
        return {
            "num_nodes": len(self.node_names),
            "edge_index": self.edge_index,
            "inputs": self.inputs,
            "outputs": self.outputs,
            "activation": self.activations,
            "weight": self.weight,
            "response": self.response,
            "aggregation": self.aggregations,
            "node_names": self.node_names,
        }


def from_neat(
    genome: Any,
    config: Any = None,
    *,
    recurrent: bool | None = None,
    activations: Mapping[str, str | Function] | None = None,
) -> Genome:
    """Read a genome of neat-python 2, where a connection (i, o) leads from node i to node o.

    What it computes is what neat-python's network of this genome computes: nodes that no output
    needs are left out, and so are disabled connections. In a recurrent network, nodes that nothing
    feeds stay at 0, as neat-python never computes them.

    Args:
        genome: a `DefaultGenome`, a `FeedForwardNetwork` or a `RecurrentNetwork`, or what
            `neat.export.export_network_json` gives: a path, a string, or a dict of it.
        config: the `neat.Config` of a `DefaultGenome`, or its `genome_config`.
        recurrent: whether a `DefaultGenome` is meant as a recurrent network; by default, as
            `feed_forward` of its configuration says. Networks and JSON say it themselves.
        activations: functions of one's own by their name in the configuration: a name of
            `edgelinear.networks.activations`, or an elementwise function of a tensor. They go
            before those of neat-python.

    Raises:
        TypeError: if it is none of these, or genes come without a configuration.
        ValueError: if a number is NaN or infinite, a function is unknown, or a genome that is not
            recurrent has a cycle; the message names the gene.

    Example:
        >>> function = {"name": "tanh", "custom": False}
        >>> total = {"name": "sum", "custom": False}
        >>> node = {"id": 0, "activation": function, "aggregation": total, "bias": 0.5}
        >>> genome = from_neat(
        ...     {
        ...         "network_type": "feedforward",
        ...         "topology": {"input_keys": [-1, -2], "output_keys": [0]},
        ...         "nodes": [node | {"response": 1.0}],
        ...         "connections": [{"from": -2, "to": 0, "weight": 3.0}],
        ...     }
        ... )
        >>> genome.node_names, genome.edge_index.tolist(), genome.weight.tolist()
        ([-1, -2, 0], [[1], [2]], [3.0])
    """
    genes = read_genes(genome, config)
    if genes.is_recurrent is None:
        genome_config = getattr(config, "genome_config", config)
        recurrent = not genome_config.feed_forward if recurrent is None else recurrent
    elif recurrent is not None and recurrent != genes.is_recurrent:
        raise ValueError(
            "`genome` is a feed-forward network: use `EdgeNetwork.from_neat`."
            if recurrent
            else "`genome` is a recurrent network, whose nodes take values of the step before: use "
            "`EdgeRNN.from_neat`."
        )
    else:
        recurrent = genes.is_recurrent
    names, edges, weight = _needed(genes)
    _check_ends(genes, edges, names, recurrent)
    fed = np.bincount(edges[1], minlength=len(names)) > 0
    number: dict[str, list[float]] = {"bias": [], "response": []}
    functions: list[str | Function] = []
    aggregations = []
    for place, key in enumerate(names):
        gene = genes.nodes.get(key)
        if key in genes.inputs or gene is None:
            bias, response, aggregation = 0.0, 1.0, "sum"
            functions.append("identity" if key in genes.inputs else silent)
        else:
            bias, response = gene.bias, gene.response
            function = _activation(key, *gene.activation, activations or {})
            functions.append(silent if recurrent and not fed[place] else function)
            aggregation = _aggregation(key, *gene.aggregation)
        number["bias"].append(bias)
        number["response"].append(response)
        aggregations.append(aggregation)
    return Genome(
        torch.from_numpy(edges),
        torch.tensor(weight, dtype=torch.float64),
        torch.tensor(number["bias"], dtype=torch.float64),
        torch.tensor(number["response"], dtype=torch.float64),
        functions,
        aggregations,
        genes.inputs,
        genes.outputs,
        names,
        recurrent,
    )


def to_neat(values: Genome, genome: Any) -> Any:
    """Write weights, biases and responses into a genome of neat-python, and return it.

    Genes that `values` lacks stay as they are. A `DefaultGenome` or a network is changed in place,
    of JSON a copy comes back: a dict for a dict, and a string for a string or a path.

    When neat-python next mutates a number, it moves it into the bounds of its configuration.

    Raises:
        ValueError: if the genome lacks an edge or a node of `values`, or a number is not finite.

    Example:
        >>> name = {"name": "identity", "custom": False}, {"name": "sum", "custom": False}
        >>> node = {"id": 0, "bias": 0.0, "response": 1.0, "activation": name[0]}
        >>> data = {
        ...     "network_type": "feedforward",
        ...     "topology": {"input_keys": [-1], "output_keys": [0]},
        ...     "nodes": [node | {"aggregation": name[1]}],
        ...     "connections": [{"from": -1, "to": 0, "weight": 3.0}],
        ... }
        >>> genome = from_neat(data)
        >>> to_neat(genome._replace(weight=genome.weight + 1), data)["connections"]
        [{'from': -1, 'to': 0, 'weight': 4.0}]
    """
    names = values.node_names
    for what, numbers in (("weights", values.weight), *zip(_NODES, values[2:4], strict=True)):
        if not bool(numbers.isfinite().all()):
            raise ValueError(f"`values` must have finite {what}, got NaN or an infinite one.")
    edges = values.edge_index.T.tolist()
    weight = {
        (names[source], names[target]): float(value)
        for (source, target), value in zip(edges, values.weight.tolist(), strict=True)
    }
    is_input = {*values.inputs}
    # What is never computed is in no gene of a network, or has no say in it.
    written = [
        place
        for place, key in enumerate(names)
        if key not in is_input and values.activations[place] != silent
    ]
    bias, response = (
        {names[place]: float(numbers[place]) for place in written} for numbers in values[2:4]
    )
    return write_genes(genome, Numbers(weight, bias, response))


_NODES = ("biases", "responses")


def _needed(genes: Genes) -> tuple[list[int], np.ndarray, list[float]]:
    """Return the keys of the nodes that outputs need, and the connections between these."""
    keys = list(
        dict.fromkeys(
            [
                *genes.inputs,
                *genes.outputs,
                *genes.nodes,
                *(key for source, target, _ in genes.connections for key in (source, target)),
            ]
        )
    )
    place = {key: number for number, key in enumerate(keys)}
    ends = np.array([(place[s], place[t]) for s, t, _ in genes.connections], np.int64)
    src, dst = ends.reshape(-1, 2).T
    outputs = np.array([place[key] for key in genes.outputs], np.int64)
    needed = reached_from(len(keys), dst, src, outputs)
    kept = np.flatnonzero(needed[dst])
    needed[: len(genes.inputs)] = True
    new = np.cumsum(needed) - 1
    names = [key for key, is_needed in zip(keys, needed, strict=True) if is_needed]
    edges = np.stack([new[src[kept]], new[dst[kept]]])
    return names, edges, [genes.connections[edge][2] for edge in kept]


def _check_ends(genes: Genes, edges: np.ndarray, names: list[int], recurrent: bool) -> None:
    known = {*genes.inputs, *genes.outputs, *genes.nodes}
    for source, target in edges.T.tolist():
        ends = f"`genome` has a connection {names[source]} -> {names[target]}"
        if names[target] not in genes.nodes or names[target] in genes.inputs:
            raise ValueError(f"{ends}, and {names[target]} is no node that is computed.")
        if names[source] not in known and not recurrent:
            raise ValueError(f"{ends}, and there is no node {names[source]}.")
    if not recurrent:
        src, dst = edges
        level = find_levels(len(names), src, dst)
        if (level < 0).any():
            cycle = " -> ".join(str(names[node]) for node in find_cycle(src, dst, level))
            raise ValueError(
                f"`genome` must have no cycle, got {cycle}: for a recurrent genome, use "
                "`EdgeRNN.from_neat`."
            )


def _activation(
    key: int, name: str, is_own: bool, given: Mapping[str, str | Function]
) -> str | Function:
    if name in given:
        return given[name]
    if is_own or name not in NEAT_ACTIVATIONS:
        raise ValueError(
            f"node {key} has the activation {name!r}, which is not neat-python's: pass "
            f"`activations={{{name!r}: f}}` with the same function of a tensor."
        )
    return NEAT_ACTIVATIONS[name]


def _aggregation(key: int, name: str, is_own: bool) -> str:
    if is_own or name not in AGGREGATIONS:
        raise ValueError(
            f"node {key} has the aggregation {name!r}, and only those of neat-python can be "
            f"computed: {', '.join(AGGREGATIONS)}."
        )
    return name
