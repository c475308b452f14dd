"""What a view looks at: a layer, a network, a wiring or several layers, as arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils import parametrize

from edgelinear.layers import EdgeNetwork
from edgelinear.topology import Topology, Wiring
from edgelinear.topology.levels import find_levels, steps_from
from edgelinear.viewer.names import Names

MOST = 50_000_000  # edges: some 2 GB, and half a minute until the first picture


@dataclass(frozen=True, eq=False)
class Subject:
    """Edges between sources (columns) and targets (rows), with what is known of both.

    The nodes of a graph are one side, "node"; those of a layer are two, "in" and "out". Layers that
    follow one another are a graph, whose levels are their columns of nodes.
    """

    kind: str
    topology: Topology  # on the CPU
    weight: np.ndarray | None  # (num_edges,) float64, or None where there are none
    precision: Any  # the type of NumPy that has the digits of the weights
    names: dict[str, Names]  # of each side
    ends: list[Names]  # as they were given: of sources and targets, or of each column of layers
    inputs: np.ndarray
    outputs: np.ndarray
    level: np.ndarray | None  # (num_nodes,), of a graph: see `edgelinear.orders`
    parts: list[Wiring]  # the layers, or the one there is
    notes: list[str]
    has_cycles: bool = False
    is_joined: bool = False

    @property
    def sides(self) -> tuple[str, ...]:
        return tuple(self.names)

    @property
    def columns(self) -> str:
        """The side of the sources."""
        return self.sides[0]

    @property
    def rows(self) -> str:
        """The side of the targets."""
        return self.sides[-1]

    @property
    def is_graph(self) -> bool:
        return self.rows == self.columns

    @property
    def num_edges(self) -> int:
        return self.topology.num_edges

    @property
    def title(self) -> str:
        topology = self.topology
        edges = "1 edge" if self.num_edges == 1 else f"{self.num_edges:,} edges"
        if self.level is None:
            sizes = f"{topology.in_features:,} -> {topology.out_features:,}"
            return f"{sizes}, {edges} ({100 * topology.density:.3g}% of dense)"
        levels = "" if self.has_cycles else f", {np.max(self.level, initial=-1) + 1} levels"
        ends = f"{self.inputs.size:,} -> {self.outputs.size:,} of "
        return f"{ends}{topology.in_features:,} nodes, {edges}{levels}"

    def firsts(self) -> np.ndarray:  # (parts + 1,)
        """Return the number of the first edge of each layer, and that of all edges."""
        return np.cumsum([0, *(part.topology.num_edges for part in self.parts)])


def single(layer: Any, argument: str) -> Subject:
    """Return what a layer, a network, a Wiring or a Topology looks like."""
    wiring = wiring_in(layer, argument)
    check_size(wiring.topology.num_edges, argument)
    weight, precision = weights_of([wiring], argument)
    topology = wiring.topology.to("cpu")
    names = names_in(wiring)
    ends = [names["in"], names["out"]]
    no_nodes = np.zeros(0, np.int64)
    inputs, outputs, level, has_cycles = no_nodes, no_nodes, None, False
    if wiring.inputs is not None:
        names = {"node": names["in"]}
        inputs, outputs = np.array(wiring.inputs), np.array(wiring.outputs or [], np.int64)
        level, has_cycles = _levels(layer, topology, inputs)
    return Subject(
        _kind_of(layer),
        topology,
        weight,
        precision,
        names,
        ends,
        inputs,
        outputs,
        level,
        [wiring],
        notes_of(names),
        has_cycles,
    )


def _kind_of(layer: Any) -> str:
    """Return the name of a class, which rules have changed."""
    if isinstance(layer, nn.Module):
        return parametrize.type_before_parametrizations(layer).__name__
    return type(layer).__name__


def wiring_in(layer: Any, argument: str) -> Wiring:
    """Return the wiring of whatever has one.

    Raises:
        TypeError: if it has none.
    """
    if isinstance(layer, Topology):
        return Wiring(layer)
    wiring = layer if isinstance(layer, Wiring) else getattr(layer, "wiring", None)
    if not isinstance(wiring, Wiring):
        raise TypeError(
            f"`{argument}` must be an EdgeLinear, an EdgeNetwork, an EdgeRNN, a Wiring, a Topology "
            f"or a list of layers, got {type(layer).__name__}."
        )
    return wiring


def check_size(edges: int, argument: str) -> None:
    if edges > MOST:
        raise ValueError(
            f"`{argument}` has {edges:,} edges, and a view shows {MOST:,} at most: choose some, as "
            "those of a few names, and pass `el.Topology(layer.in_features, layer.out_features, "
            "layer.edge_index[:, chosen])`."
        )


def weights_of(wirings: list[Wiring], argument: str) -> tuple[np.ndarray | None, Any]:
    """Return all weights in float64, and the type whose digits they have."""
    weights = [wiring.weight for wiring in wirings]
    found = [weight for weight in weights if weight is not None]
    if len(found) < len(weights):
        if found:
            at = next(i for i, weight in enumerate(weights) if weight is None)
            raise ValueError(
                f"`{argument}` must have weights in all layers or in none, and layer {at} has none."
            )
        return None, np.float64
    if any(weight.is_meta for weight in found):
        raise ValueError(
            f"`{argument}` is on the meta device, where no values are: load its weights first, or "
            "pass its `.topology`, which shows the edges alone."
        )
    odd = next((weight.dtype for weight in found if weight.is_complex()), None)
    if odd is not None:
        raise TypeError(f"`{argument}` must have real weights to be shown, got {odd}.")
    wide = all(weight.dtype == torch.float64 for weight in found)
    arrays = [weight.detach().to("cpu", torch.float64).numpy() for weight in found]
    return np.concatenate(arrays), np.float64 if wide else np.float32


def names_in(wiring: Wiring) -> dict[str, Names]:
    """Return the names of sources and targets, which nobody may have counted yet."""
    topology = wiring.topology
    sides: dict[str, tuple[Sequence[Any] | None, int]] = {
        "in": (wiring.in_names, topology.in_features),
        "out": (wiring.out_names, topology.out_features),
    }
    for side, (names, size) in sides.items():
        if names is not None and len(names) != size:
            raise ValueError(f"`{side}_names` must hold {size} names, got {len(names)}.")
    return {side: Names(*found) for side, found in sides.items()}


def _levels(layer: Any, topology: Topology, inputs: np.ndarray) -> tuple[np.ndarray, bool]:
    """Return the levels of a graph, or with cycles the steps from its inputs, and which it is."""
    if isinstance(layer, EdgeNetwork):
        return layer.level.numpy(), False
    graph = topology.in_features, topology.src.numpy(), topology.dst.numpy()
    level = find_levels(*graph)
    return (steps_from(*graph, inputs), True) if (level < 0).any() else (level, False)


def notes_of(sides: dict[str, Names]) -> list[str]:
    words = {"in": "sources", "out": "targets", "node": "nodes"}
    return [
        f"Names of {words[side]} are not unique ({names.repeated:,} repeated): numbers tell them "
        "apart."
        for side, names in sides.items()
        if names.repeated
    ]
