"""What neat-python 2 holds a network in, read and written: genes, phenotypes, and exported JSON.

neat-python itself is not needed: its objects are known by their attributes.
"""

import copy
import json
import math
import os
from collections.abc import Mapping
from numbers import Real
from typing import Any, NamedTuple

from edgelinear.convert.files import read_text


class Node(NamedTuple):
    """A node gene. Names of functions are pairs with whether they are the user's own."""

    bias: float
    response: float
    activation: tuple[str, bool]
    aggregation: tuple[str, bool]


class Genes(NamedTuple):
    """What a genome, a phenotype or a file says, unchecked but for numbers."""

    nodes: dict[int, Node]  # those that are computed, by key
    connections: list[tuple[int, int, float]]  # the enabled ones
    inputs: list[int]
    outputs: list[int]
    is_recurrent: bool | None  # None: it may be run either way


class Numbers(NamedTuple):
    """What training changes, by the keys of genes."""

    weight: dict[tuple[int, int], float]
    bias: dict[int, float]
    response: dict[int, float]


def read_genes(genome: Any, config: Any) -> Genes:
    """Return what any of the three forms says.

    Raises:
        TypeError: if it is none of them, or genes come without a configuration.
        ValueError: if a number is not finite, or a field is missing; the message names it.
    """
    if _is_genome(genome):
        return _read_genome(genome, config)
    if _is_network(genome):
        return _read_network(genome)
    return _read_json(_as_dict(genome))


def write_genes(genome: Any, numbers: Numbers) -> Any:
    """Write numbers into genes or a phenotype, and return it; of JSON, return a copy with them."""
    if _is_genome(genome):
        return _write_genome(genome, numbers)
    if _is_network(genome):
        return _write_network(genome, numbers)
    data = _write_json(copy.deepcopy(_as_dict(genome)), numbers)
    return data if isinstance(genome, Mapping) else json.dumps(data, indent=2)


def _is_genome(genome: Any) -> bool:
    return hasattr(genome, "connections") and hasattr(genome, "nodes")


def _is_network(genome: Any) -> bool:
    return hasattr(genome, "node_evals")


def _as_dict(genome: Any) -> Mapping:
    if isinstance(genome, Mapping):
        return genome
    if not isinstance(genome, (str, os.PathLike)):
        raise TypeError(
            "`genome` must be a genome or a network of neat-python, or what it exports as JSON "
            f"(a path, a string or a dict), got {type(genome).__name__}."
        )
    is_text = isinstance(genome, str) and genome.lstrip().startswith("{")
    text = genome if is_text else read_text(genome)
    try:
        data = json.loads(text)  # type: ignore[arg-type]
    except ValueError as error:
        raise ValueError(f"`genome` cannot be read as JSON: {error}") from error
    if not isinstance(data, dict):
        raise ValueError(f"`genome` must be an object of JSON, got {type(data).__name__}.")
    return data


def _number(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise ValueError(
            f"`genome` must have finite numbers, got {value!r} as {what}: mend or drop this gene."
        )
    return float(value)


def _node(key: Any, bias: Any, response: Any, activation: Any, aggregation: Any) -> Node:
    return Node(
        _number(bias, f"the bias of node {key}"),
        _number(response, f"the response of node {key}"),
        activation,
        aggregation,
    )


def _connection(ends: tuple, weight: Any) -> tuple[int, int, float]:
    source, target = ends
    return source, target, _number(weight, f"the weight of connection {source} -> {target}")


def _name(function: Any, kind: str) -> tuple[str, bool]:
    """Return the name that neat-python has for a function, and whether it is a user's own."""
    name = getattr(function, "__name__", type(function).__name__)
    is_own = getattr(function, "__module__", "") != f"neat.{kind}s"
    return name if is_own else name.removesuffix(f"_{kind}"), is_own


# Genes.


def _read_genome(genome: Any, config: Any) -> Genes:
    config = getattr(config, "genome_config", config)
    if not hasattr(config, "input_keys"):
        raise TypeError(
            "`config` must be the configuration of the genome (neat.Config, or its "
            f"`genome_config`), as only that says what its inputs are, got {type(config).__name__}."
        )

    def is_own(functions: Any, name: str, kind: str) -> tuple[str, bool]:
        found = functions.functions.get(name)
        return name, found is not None and _name(found, kind)[1]

    nodes = {
        key: _node(
            key,
            gene.bias,
            gene.response,
            is_own(config.activation_defs, gene.activation, "activation"),
            is_own(config.aggregation_function_defs, gene.aggregation, "aggregation"),
        )
        for key, gene in genome.nodes.items()
    }
    connections = [
        _connection(gene.key, gene.weight) for gene in genome.connections.values() if gene.enabled
    ]
    inputs, outputs = list(config.input_keys), list(config.output_keys)
    return Genes(nodes, connections, inputs, outputs, None)


def _write_genome(genome: Any, numbers: Numbers) -> Any:
    enabled = {key for key, gene in genome.connections.items() if gene.enabled}
    _check_keys(numbers, enabled, genome.nodes)
    for ends, weight in numbers.weight.items():
        genome.connections[ends].weight = weight
    for key, bias in numbers.bias.items():
        genome.nodes[key].bias = bias
    for key, response in numbers.response.items():
        genome.nodes[key].response = response
    return genome


# Phenotypes.


def _read_network(network: Any) -> Genes:
    kinds = {kind.__name__ for kind in type(network).__mro__}
    if not kinds & {"FeedForwardNetwork", "RecurrentNetwork"}:
        raise TypeError(
            "`genome` must be a FeedForwardNetwork or a RecurrentNetwork if it is a network, got "
            f"{type(network).__name__}: other neurons have no weights and biases alone."
        )
    nodes, connections = {}, []
    for key, activation, aggregation, bias, response, links in network.node_evals:
        names = _name(activation, "activation"), _name(aggregation, "aggregation")
        nodes[key] = _node(key, bias, response, *names)
        connections += [_connection((source, key), weight) for source, weight in links]
    inputs, outputs = list(network.input_nodes), list(network.output_nodes)
    return Genes(nodes, connections, inputs, outputs, "RecurrentNetwork" in kinds)


def _write_network(network: Any, numbers: Numbers) -> Any:
    evals = network.node_evals
    keys = {(source, key) for key, *_, links in evals for source, _ in links}
    _check_keys(numbers, keys, {key for key, *_ in evals})
    network.node_evals = [
        (
            key,
            activation,
            aggregation,
            numbers.bias.get(key, bias),
            numbers.response.get(key, response),
            [(source, numbers.weight.get((source, key), weight)) for source, weight in links],
        )
        for key, activation, aggregation, bias, response, links in evals
    ]
    return network


# JSON.


def _read_json(data: Mapping) -> Genes:
    kind = _field(data, "network_type", "the network")
    if kind not in ("feedforward", "recurrent"):
        raise ValueError(
            '`genome` must have the network_type "feedforward" or "recurrent", got '
            f"{kind!r}: other neurons have no weights and biases alone."
        )
    topology = _field(data, "topology", "the network")
    inputs = list(_field(topology, "input_keys", "the topology"))
    outputs = list(_field(topology, "output_keys", "the topology"))
    nodes = {}
    for node in _field(data, "nodes", "the network"):
        key = _field(node, "id", "a node")
        if key in nodes:
            raise ValueError(f"`genome` has node {key} twice.")
        if key not in inputs:
            names = [_field(node, name, f"node {key}") for name in ("activation", "aggregation")]
            pairs = [(_field(n, "name", f"node {key}"), bool(n.get("custom"))) for n in names]
            nodes[key] = _node(key, node.get("bias"), node.get("response"), *pairs)
    connections = [
        _connection(
            (_field(c, "from", "a connection"), _field(c, "to", "a connection")), c.get("weight")
        )
        for c in _field(data, "connections", "the network")
        if c.get("enabled", True)
    ]
    return Genes(nodes, connections, inputs, outputs, kind == "recurrent")


def _field(data: Mapping, name: str, what: str) -> Any:
    if not isinstance(data, Mapping) or name not in data:
        raise ValueError(f"`genome` must have the field {name!r} in {what}, as neat-python writes.")
    return data[name]


def _write_json(data: Any, numbers: Numbers) -> Any:
    enabled = {(c["from"], c["to"]): c for c in data["connections"] if c.get("enabled", True)}
    nodes = {node["id"]: node for node in data["nodes"]}
    _check_keys(numbers, enabled, nodes)
    for ends, weight in numbers.weight.items():
        enabled[ends]["weight"] = weight
    for name in ("bias", "response"):
        for key, value in getattr(numbers, name).items():
            nodes[key][name] = value
    return data


def _check_keys(numbers: Numbers, connections: Any, nodes: Any) -> None:
    for source, target in numbers.weight:
        if (source, target) not in connections:
            raise ValueError(
                f"`genome` must have all connections of the network, and {source} -> {target} is "
                "no enabled one of it: write to the genome that the network came from, or a copy."
            )
    for key in [*numbers.bias, *numbers.response]:
        if key not in nodes:
            raise ValueError(f"`genome` must have all nodes of the network, and {key} is none.")
