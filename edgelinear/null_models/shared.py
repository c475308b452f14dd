"""What null models share: a Topology or a Wiring comes in, and one of the kind goes out."""

from typing import Any, TypeVar

import numpy as np
import torch

from edgelinear.generators._draw import from_cells
from edgelinear.topology import EdgeMap, Topology, Wiring

Kind = TypeVar("Kind", Topology, Wiring)


def topology_of(given: Any) -> Topology:
    """Return the topology of what a null model is drawn of."""
    if isinstance(given, Wiring):
        return given.topology
    if not isinstance(given, Topology):
        hint = ": use its `.topology` or `.wiring`" if hasattr(given, "wiring") else ""
        raise TypeError(
            f"`topology` must be a Topology or a Wiring, got {type(given).__name__}{hint}."
        )
    return given


def drawn(
    given: Kind,
    src: np.ndarray,  # (num_edges,)
    dst: np.ndarray,  # (num_edges,)
    old: np.ndarray,  # (num_edges,): the edge of `given` whose weight each of these has
    duplicates: str = "error",
) -> Kind:
    """Return the wiring of these edges, in (target, source) order."""
    before = topology_of(given)
    cells = dst * np.int64(max(1, before.in_features)) + src
    order = np.argsort(cells, kind="stable")
    sizes = before.in_features, before.out_features
    topology = from_cells(*sizes, cells[order], duplicates).to(before.device)
    if isinstance(given, Topology):
        return topology
    edges = EdgeMap(torch.from_numpy(old[order]))
    weight = None if given.weight is None else edges.follow(given.weight)
    rows = edges if given.rows is None else given.rows.then(edges)
    return given._replace(topology=topology, weight=weight, rows=rows, rules=())


def check_loop_free(topology: Topology) -> None:
    if topology.in_features != topology.out_features:
        raise ValueError(
            "in_features must equal out_features for self_loops=False, as each source must be a "
            f"target too, got {topology.in_features} and {topology.out_features}."
        )
    src, dst = topology.edge_index
    loops = int((src == dst).sum())
    if loops:
        raise ValueError(
            f"the topology must have no self-loops for self_loops=False, got {loops} of "
            f"{topology.num_edges} edges."
        )
