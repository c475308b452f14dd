"""Which edges stay, which are new, and the wiring of both."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from edgelinear.layers.module import EdgeModule
from edgelinear.topology import EdgeMap, Topology, Wiring
from edgelinear.topology.checks import as_edge_index, check_range
from edgelinear.topology.numbers import as_numbers
from edgelinear.topology.wiring import positions


class Change(NamedTuple):
    """A new wiring of the same nodes."""

    topology: Topology  # on the CPU
    edges: EdgeMap
    added: Tensor  # (number,): where the new edges stand, in the order given


def change_of(layer: EdgeModule, keep: Any, add: Any) -> Change | None:
    """Return the new wiring, or None where all edges stay.

    Edges that stay keep their order. New ones go where a sorted wiring has them, and else to the
    end.

    Raises:
        TypeError, ValueError: if edges that stay or are new are not there, or given twice.
    """
    before = layer.topology.to("cpu")
    kept = _kept(keep, before.num_edges)
    edges = _added(add, layer)
    if len(kept) == before.num_edges and edges.shape[1] == 0:
        return None
    ends = before.edge_index.numpy()
    ends = ends if len(kept) == before.num_edges else ends[:, kept]
    there, cells = _cells(ends, before), _cells(edges, before)
    order = np.argsort(cells, kind="stable")
    _check_different(layer, edges, order, cells)
    if before.is_sorted:
        place = np.searchsorted(there, cells[order])
        found = np.append(there, -1)[place] == cells[order]
        present = order[found], place[found]
        added = np.empty_like(order)
        added[order] = place + np.arange(len(order))
    else:
        place = np.searchsorted(cells[order], there)
        found = np.append(cells[order], -1)[place] == there
        present = order[place[found]], np.flatnonzero(found)
        added = len(kept) + np.arange(len(order))
    if found.any():
        at, edge = present[0][0], kept[present[1][0]]
        shown = layer._named(*edges[:, at].tolist())
        raise ValueError(
            f"`add` has the edge {shown}, which is there already (edge {edge}): leave it out, or "
            "do not keep that one."
        )
    old = np.full(len(kept) + len(order), -1)
    is_old = np.ones(len(old), bool)
    is_old[added] = False
    old[is_old] = kept
    both = np.empty((2, len(old)), np.int64)
    both[:, is_old], both[:, added] = ends, edges
    topology = Topology(before.in_features, before.out_features, both, duplicates="keep")
    return Change(topology, EdgeMap(torch.from_numpy(old)), torch.from_numpy(added))


def _kept(keep: Any, num_edges: int) -> np.ndarray:
    """Return the positions of edges that stay, in order."""
    if keep is None:
        return np.arange(num_edges)
    keep = as_numbers("`keep`", keep).detach().cpu()
    if keep.dtype == torch.bool:
        if keep.shape != (num_edges,):
            raise ValueError(
                f"`keep` must have a truth value for each of the {num_edges} edges, got shape "
                f"{tuple(keep.shape)}."
            )
        return np.flatnonzero(keep.numpy())
    if keep.numel() == 0:
        return np.zeros(0, np.int64)
    if keep.dtype == torch.uint8:
        raise TypeError(
            "`keep` must be truth values or the numbers of edges, got uint8: `.bool()`."
        )
    if keep.dim() != 1 or keep.is_floating_point() or keep.is_complex():
        raise TypeError(
            "`keep` must be truth values or the numbers of edges, got "
            f"{keep.dtype} of shape {tuple(keep.shape)}."
        )
    ids = np.sort(keep.long().numpy())
    if ids[0] < 0 or ids[-1] >= num_edges:
        wrong = ids[0] if ids[0] < 0 else ids[-1]
        raise ValueError(f"`keep` must hold edges from 0 to {num_edges - 1}, got {wrong}.")
    twice = np.flatnonzero(ids[1:] == ids[:-1])
    if twice.size:
        raise ValueError(f"`keep` lists edge {ids[twice[0]]} twice.")
    return ids


def _added(add: Any, layer: EdgeModule) -> np.ndarray:  # (2, number)
    if add is None:
        return np.zeros((2, 0), np.int64)
    names = layer._in_names, layer._out_names
    if isinstance(add, Wiring):
        given = add.topology.edge_index.numpy()
        return np.stack(
            [
                _by_name(row, theirs, ours, end)
                for row, theirs, ours, end in zip(
                    given, (add.in_names, add.out_names), names, ("source", "target"), strict=True
                )
            ]
        )
    if isinstance(add, Topology):
        add = add.edge_index
    is_list = isinstance(add, (list, tuple))
    if is_list and len(add) == 2 and all(isinstance(end, (int, str)) for end in add):
        raise TypeError(f"`add` must be a list of edges, got {add!r}: write `[{tuple(add)!r}]`.")
    if is_list and any(isinstance(e, tuple) and isinstance(n, str) for e in add for n in e):
        columns = [list(column) for column in zip(*add, strict=True)]
        ends = ("source", "target")
        return np.stack([_numbers(*each) for each in zip(columns, names, ends, strict=True)])
    try:
        edges = as_edge_index(add)
        check_range(edges, layer.topology.in_features, layer.topology.out_features)
    except (TypeError, ValueError) as error:
        raise type(error)(f"`add`: {error}".replace("`edge_index` must", "it must")) from error
    return edges.numpy()


def _by_name(row: np.ndarray, theirs: Any, ours: Any, end: str) -> np.ndarray:
    if theirs is None:
        raise ValueError(f"`add` must have names for each {end}: pass its edges instead.")
    return _numbers([theirs[node] for node in row.tolist()], ours, end)


def _numbers(names: list, known: Any, end: str) -> np.ndarray:
    """Return the node of each name."""
    if known is None:
        raise TypeError(
            f"`add` must hold numbers of nodes, got {names[0]!r}: the layer has no names."
        )
    position = positions("names", known)
    for name in names:
        if name not in position:
            raise ValueError(f"`add` has {name!r} as a {end}, which is no name of the layer's.")
    return np.array([position[name] for name in names], np.int64)


def _cells(edges: np.ndarray, topology: Topology) -> np.ndarray:
    """Return a number for each pair of nodes, ascending in (target, source) order."""
    return edges[1] * max(topology.in_features, 1) + edges[0]


def _check_different(
    layer: EdgeModule, edges: np.ndarray, order: np.ndarray, cells: np.ndarray
) -> None:
    """Refuse new edges that are given twice."""
    twice = np.flatnonzero(np.diff(cells[order]) == 0)
    if twice.size:
        first, second = order[twice[0]], order[twice[0] + 1]
        shown = layer._named(*edges[:, first].tolist())
        raise ValueError(f"`add` has the edge {shown} twice (its edges {first} and {second}).")
