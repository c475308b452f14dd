"""The numbers that edges have: weights, values, contributions, and those of another wiring."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from edgelinear.layers import EdgeNetwork
from edgelinear.topology import EdgeMap, Topology
from edgelinear.topology.numbers import as_numbers
from edgelinear.viewer.subject import Subject


class Columns(NamedTuple):
    """Edges of a subject, and after them those of the other wiring alone, with their numbers."""

    topology: Topology
    number: int  # of edges of the subject, which come first
    here: dict[str, np.ndarray]  # (number,) float64: "weight", "values", "contribution"
    all: dict[str, np.ndarray]  # (num_edges,): "other" and "difference", where there is another one
    there: np.ndarray | None  # (num_edges,) bool: which edges the other wiring has
    edge_map: EdgeMap | None  # which edge of the other wiring each edge of the subject is
    digits: dict[str, Any]  # types of NumPy that have the digits of some of the numbers

    def state(self, edge: int) -> str:
        if edge >= self.number:
            return "there"
        return "both" if self.there is not None and self.there[edge] else "here"

    def value(self, column: str, edge: int) -> float | None:
        """Return a number of an edge, or None where it has none."""
        if column in self.all:
            missing = column == "other" and not self.there[edge]  # type: ignore[index]
            return None if missing else float(self.all[column][edge])
        found = self.here.get(column)
        return None if found is None or edge >= self.number else float(found[edge])


def columns_of(
    subject: Subject, values: np.ndarray | None, means: np.ndarray | None, other: Subject | None
) -> Columns:
    """Return the edges of a subject and of another one, with their numbers.

    Args:
        means: (in_features,) the mean value of each source.
    """
    topology, number = subject.topology, subject.num_edges
    here = {"weight": subject.weight, "values": values}
    if means is not None:
        sent = means[topology.src.numpy()]
        here["contribution"] = sent if subject.weight is None else sent * subject.weight
    known = {name: column for name, column in here.items() if column is not None}
    digits = {"weight": subject.precision}
    if other is None:
        return Columns(topology, number, known, {}, None, None, digits)
    digits["other"] = other.precision
    edges = _between(other.topology, topology)
    old = edges.old.numpy()
    alone = np.ones(other.num_edges, dtype=bool)
    alone[old[old >= 0]] = False
    rest = np.flatnonzero(alone)  # edges of the other wiring
    if rest.size:
        added = other.topology.edge_index[:, torch.from_numpy(rest)]
        both = torch.cat([topology.edge_index, added], dim=1)
        topology = Topology(topology.in_features, topology.out_features, both, duplicates="keep")
    place = np.concatenate([old, rest])
    there = place >= 0
    # Where one side has no weights, edges are what differs: each counts as 1.
    weighted = subject.weight is not None and other.weight is not None
    difference = np.zeros(place.size)
    difference[:number] = subject.weight if weighted else 1.0
    difference[there] -= other.weight[place[there]] if weighted else 1.0  # type: ignore[index]
    compared = {"difference": difference}
    if other.weight is not None:
        found = np.full(place.size, np.nan)
        found[there] = other.weight[place[there]]
        compared["other"] = found
    return Columns(topology, number, known, compared, there, edges, digits)


def _between(before: Topology, after: Topology) -> EdgeMap:
    return EdgeMap.identity(after.num_edges) if before == after else EdgeMap.between(before, after)


def as_values(values: Any, number: int) -> np.ndarray | None:  # (num_edges,)
    """Return values that a user has for edges as numbers.

    Raises:
        TypeError: if they are no real numbers.
        ValueError: if there is not one for each edge.
    """
    if values is None:
        return None
    found = as_numbers("`values`", one_after_another(values))
    check_here("values", found)
    if found.is_complex():
        raise TypeError(f"`values` must be real numbers, got {found.dtype}.")
    if tuple(found.shape) != (number,):
        raise ValueError(
            f"`values` must hold one number for each of the {number} edges, got shape "
            f"{tuple(found.shape)}."
        )
    return found.detach().to("cpu", torch.float64, copy=True).numpy()


def one_after_another(numbers: Any) -> Any:
    """Return the tensors of several layers as one, in which edges are numbered."""
    is_list = isinstance(numbers, (list, tuple)) and len(numbers) > 0
    if is_list and all(isinstance(part, Tensor) and part.dim() == 1 for part in numbers):
        return torch.cat(list(numbers))
    return numbers


def check_here(argument: str, numbers: Tensor) -> None:
    if numbers.is_meta:
        raise ValueError(f"`{argument}` must have values, got a tensor on the meta device.")


@torch.no_grad()
def means_of(layer: Any, subject: Subject, inputs: Any) -> np.ndarray | None:  # (in_features,)
    """Return the mean value of each source over samples of inputs.

    Raises:
        TypeError: if they are no real numbers, or layers follow one another.
        ValueError: if there is no sample, or they have another number of features.
    """
    if inputs is None:
        return None
    if subject.is_joined:
        raise TypeError(
            "`inputs` must be those of one layer or network, as it is not known what happens "
            "between layers: pass what edges contribute as `values`."
        )
    found = as_numbers("`inputs`", inputs)
    check_here("inputs", found)
    is_network = isinstance(layer, EdgeNetwork)
    size = layer.in_features if is_network else subject.topology.in_features
    if found.is_complex() or found.dim() == 0 or found.shape[-1] != size or found.numel() == 0:
        raise ValueError(
            f"`inputs` must hold samples of {size} real numbers in their last dimension, got shape "
            f"{tuple(found.shape)} of {found.dtype}."
        )
    if is_network:
        found = layer.nodes(found.to(layer.weight))
    return _mean(found)


def _mean(values: Tensor) -> np.ndarray:
    return values.detach().to("cpu", torch.float64).reshape(-1, values.shape[-1]).mean(0).numpy()
