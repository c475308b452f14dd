"""Wirings of the `ncps` package (neural circuit policies): known by their attributes."""

from typing import Any

import numpy as np

from edgelinear.convert.shared import as_values, checked_wiring
from edgelinear.topology import Wiring


def from_ncps(wiring: Any) -> Wiring:
    """Read a wiring of `ncps`, where `adjacency_matrix[i, j]` is a synapse from unit i to unit j.

    Units are the nodes "neuron_0", "neuron_1" and so on, as `ncps` names them, inputs are
    "sensory_0" and so on, and outputs the motor neurons. Values of edges are the polarities, 1 or
    -1. `EdgeRNN.from_wiring(from_ncps(wiring), clamp_inputs=True)` is a network on it, and
    `el.rules.fix_signs(net, from_ncps(wiring).weight, of="edges")` keeps the polarities.

    Raises:
        TypeError: if it has no such matrices.
        ValueError: if it is not built, has no outputs, or matrices of other shapes.

    Example:
        >>> from types import SimpleNamespace
        >>> units, sensory = np.array([[0, 0], [-1, 1]]), np.array([[0, 1]])
        >>> matrices = dict(adjacency_matrix=units, sensory_adjacency_matrix=sensory)
        >>> wiring = from_ncps(SimpleNamespace(**matrices, output_dim=1))
        >>> wiring.topology.edge_index.tolist(), wiring.weight.tolist()
        ([[1, 1, 2], [0, 1, 1]], [-1.0, 1.0, 1.0])
        >>> net = el.EdgeRNN.from_wiring(wiring, clamp_inputs=True)
        >>> net.in_names, net.out_names
        (['sensory_0'], ['neuron_0'])
    """
    if not hasattr(wiring, "adjacency_matrix") or not hasattr(wiring, "sensory_adjacency_matrix"):
        raise TypeError(
            "`wiring` must be a wiring of ncps, with `adjacency_matrix` and "
            f"`sensory_adjacency_matrix`, got {type(wiring).__name__}."
        )
    if wiring.sensory_adjacency_matrix is None:
        raise ValueError("`wiring` must know its inputs: use `wiring.build(input_dim)` first.")
    if not wiring.output_dim:
        raise ValueError("`wiring` must have outputs: use `wiring.set_output_dim(number)` first.")
    between, into = (
        np.asarray(matrix) for matrix in (wiring.adjacency_matrix, wiring.sensory_adjacency_matrix)
    )
    units = len(between)
    if between.shape != (units, units) or into.ndim != 2 or into.shape[1] != units:
        raise ValueError(
            "`wiring` must have matrices of (units, units) and (inputs, units), got shapes "
            f"{between.shape} and {into.shape}."
        )
    if wiring.output_dim > units:
        raise ValueError(
            f"`wiring` must have outputs among its units, got `output_dim` {wiring.output_dim} of "
            f"{units} units: use `wiring.set_output_dim(number)`."
        )
    matrix = np.concatenate([between, into])  # sources are rows
    src, dst = matrix.nonzero()
    nodes = len(matrix)
    names = [f"neuron_{i}" for i in range(units)] + [f"sensory_{i}" for i in range(len(into))]
    values = as_values(matrix[src, dst])
    found = checked_wiring(nodes, nodes, src, dst, values, "error", in_names=names, out_names=names)
    inputs, outputs = [*range(units, nodes)], [*range(wiring.output_dim)]
    return found._replace(rows=None, inputs=inputs, outputs=outputs)
