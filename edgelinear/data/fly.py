"""The motion pathways of a fly's eye: who connects, by how many synapses, of which sign."""

import gzip
import json
from importlib import resources
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from edgelinear.topology import Topology
from edgelinear.topology.checks import as_size

_MARGIN = 6  # columns around the lattice, as many as the longest offset


class FlyVisualSystem(NamedTuple):
    """Neurons, one of a type in each column of a hexagonal lattice, and their connections.

    Example:
        >>> fly = fly_visual_system(extent=2)
        >>> source, target = fly.topology.edge_index[:, 0].tolist()
        >>> fly.cell_types[fly.cell_type[source]], fly.cell_types[fly.cell_type[target]]
        ('L2', 'R1')
    """

    topology: Topology  #: neurons to neurons, in (target, source) order
    cell_types: list[str]
    cell_type: Tensor  #: (neurons,): the type of each neuron, an index into `cell_types`
    column: Tensor  #: (neurons, 2): its axial coordinates u and v
    pairs: list[tuple[str, str]]  #: types that connect, source and target
    pair: Tensor  #: (num_edges,): of each edge, an index into `pairs`
    synapses: Tensor  #: (num_edges,) float32: their number
    sign: Tensor  #: (num_edges,) float32: 1 excites, -1 inhibits


def fly_visual_system(extent: int = 15) -> FlyVisualSystem:
    """Return the network of an eye of `extent` columns from its centre to its rim.

    With the published extent of 15 these are 45,669 neurons of 65 types and 1,513,231 edges between
    604 pairs of types. The data has, for each pair, the offsets between columns at which cells
    connect, and every column repeats them. Neurons are numbered by type, then by column: u, then v.
    Lappalainen et al., "Connectome-constrained networks predict neural activity across the fly
    visual system" (2024); the data is that of their package flyvis 1.2.0.

    Raises:
        TypeError: if `extent` is no whole number.
        ValueError: if it is negative.

    Example:
        >>> fly_visual_system(extent=2).topology.num_edges
        28904
    """
    extent = as_size("extent", extent)
    path = resources.files("edgelinear") / "data" / "fly_visual_system.json.gz"
    data = json.loads(gzip.decompress(path.read_bytes()))
    u, v = np.mgrid[-extent : extent + 1, -extent : extent + 1]
    lattices: dict[str, np.ndarray] = {}
    types: list[int] = []
    columns, count = [], 0
    for number, (name, u_stride, v_stride) in enumerate(data["cell_types"]):
        # In a hexagon, |u|, |v| and |u + v| are at most its extent.
        present = (abs(u + v) <= extent) & (u % u_stride == 0) & (v % v_stride == 0)
        lattice = np.where(present, count + np.cumsum(present).reshape(u.shape) - 1, -1)
        lattices[name] = np.pad(lattice, _MARGIN, constant_values=-1)
        types += [number] * int(present.sum())
        columns.append(np.stack([u[present], v[present]], axis=1))
        count += int(present.sum())

    ends, numbers = [], []
    pairs: list[tuple[str, str]] = []
    for source, target, sign, offsets in data["pairs"]:
        sources, targets = lattices[source], lattices[target]
        *steps, synapses = np.array(offsets).T
        start = np.argwhere(sources >= 0)[:, None]  # (cells, 1, 2)
        stop = start + np.stack(steps, axis=1)  # (cells, offsets, 2)
        src, dst = np.broadcast_arrays(sources[*start.T], targets[*stop.astype(int).T])
        there = dst >= 0
        if not there.any():
            continue
        ends.append(np.stack([src[there], dst[there]]))
        synapses = np.broadcast_to(synapses[:, None], there.shape)[there]
        kinds = np.full(synapses.size, len(pairs))
        numbers.append(np.stack([kinds, synapses, np.full(synapses.size, sign)]))
        pairs.append((source, target))
    edges = np.concatenate(ends, axis=1)
    order = np.lexsort(edges)
    pair, synapses, sign = torch.from_numpy(np.concatenate(numbers, axis=1)[:, order])
    return FlyVisualSystem(
        Topology(count, count, edges[:, order]),
        [name for name, *_ in data["cell_types"]],
        torch.tensor(types),
        torch.from_numpy(np.concatenate(columns)),
        pairs,
        pair.long(),
        synapses.float(),
        sign.float(),
    )
