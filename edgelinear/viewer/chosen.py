"""What a user chooses in a view: edges, nodes and ways to show them, checked."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgelinear.topology.numbers import as_numbers
from edgelinear.viewer.columns import one_after_another
from edgelinear.viewer.scene import Scene


def one_of(argument: str, given: Any, known: list[str]) -> str:
    """Return what is given, if it is known."""
    if given not in known:
        raise ValueError(f"`{argument}` must be one of {', '.join(known)} here, got {given!r}.")
    return given


def as_edges(edges: Any, number: int) -> np.ndarray:
    """Return numbers of edges, ascending and each once."""
    found: Tensor = as_numbers("`selected_edges`", one_after_another(edges)).detach().cpu()
    if found.dim() != 1:
        raise ValueError(
            f"`selected_edges` must have one dimension, got shape {tuple(found.shape)}."
        )
    if found.dtype == torch.bool:
        if found.shape[0] != number:
            raise ValueError(
                f"`selected_edges` must hold a truth value for each of the {number} edges, got "
                f"{found.shape[0]}."
            )
        return found.nonzero()[:, 0].numpy()
    if found.numel() and (found.is_floating_point() or found.is_complex()):
        raise TypeError(f"`selected_edges` must hold numbers of edges, got {found.dtype}.")
    unique = np.unique(found.long().numpy())
    if unique.size and not 0 <= unique[0] <= unique[-1] < number:
        wrong = unique[0] if unique[0] < 0 else unique[-1]
        raise ValueError(
            f"`selected_edges` must be from 0 to {number - 1}, of {number} edges, got {wrong}."
        )
    return unique


def as_node(scene: Scene, argument: str, node: Any) -> tuple[str, int]:
    """Return a node as a side and a number."""
    names = scene.subject.names
    if isinstance(node, str):
        found = [(side, number) for side in names for number in names[side].numbers.get(node, ())]
        if len(found) == 1:
            return found[0]
        if found:
            raise ValueError(f"`{argument}` has {node!r}, a name of {len(found)} nodes: {found}.")
        raise ValueError(f"`{argument}` has {node!r}, and no node has this name.")
    is_graph = scene.subject.is_graph
    side, number = node if isinstance(node, (tuple, list)) and len(node) == 2 else ("node", node)
    if side not in names or isinstance(number, bool) or not hasattr(number, "__index__"):
        form = "numbers" if is_graph else '("in", i) and ("out", j)'
        raise TypeError(f"`{argument}` takes nodes as {form}, or by name, got {node!r}.")
    number, size = int(number), names[side].size
    if not 0 <= number < size:
        raise ValueError(
            f"`{argument}` must hold nodes from 0 to {size - 1} of the side {side!r}, got {number}."
        )
    return side, number


def as_nodes(scene: Scene, argument: str, nodes: Iterable[Any]) -> list[tuple[str, int]]:
    """Return nodes as sides and numbers."""
    if isinstance(nodes, str) or not isinstance(nodes, Iterable):
        raise TypeError(f"`{argument}` must be a list of nodes, got {nodes!r}.")
    return [as_node(scene, argument, node) for node in nodes]


def as_window(scene: Scene, window: Sequence[float]) -> list[float]:
    """Return a part of the matrix."""
    topology = scene.subject.topology
    rows, columns = topology.out_features, topology.in_features
    sides = [float(side) for side in window]
    if len(sides) == 4:
        top, left, bottom, right = sides
        if 0 <= top < bottom <= rows and 0 <= left < right <= columns:
            return sides
    raise ValueError(
        f"`window` must be (top, left, bottom, right), within (0, 0, {rows}, {columns}), got "
        f"{tuple(window)!r}."
    )
