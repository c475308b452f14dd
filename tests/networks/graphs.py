"""Graphs drawn at random, and the node-by-node truth about what they compute."""

import numpy as np
import torch

FUNCTIONS = {
    "identity": lambda z: z,
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "gelu": torch.nn.functional.gelu,
    "sin": torch.sin,
    "softplus": torch.nn.functional.softplus,
}


def random_dag(num_nodes, num_edges, inputs, seed=0):
    """Return edges without cycles, in no order, none of them into the first nodes."""
    generator = np.random.default_rng(seed)
    ends = np.sort(generator.integers(0, num_nodes, (2, 3 * num_edges)), axis=0)
    ends = np.unique(ends[:, (ends[0] < ends[1]) & (ends[1] >= inputs)], axis=1)
    return ends[:, generator.permutation(ends.shape[1])[:num_edges]]


def node_by_node(edges, inputs, weight, bias, activations, x):
    """Return the values of all nodes, (batch, nodes): edges lead from lower numbers to higher."""
    values = {int(node): x[:, i] for i, node in enumerate(inputs)}
    for node in range(len(activations)):
        if node in values:
            continue
        z = torch.zeros_like(x[:, 0]) if bias is None else bias[node].expand(len(x))
        for edge in np.flatnonzero(edges[1] == node):
            z = z + weight[edge] * values[int(edges[0, edge])]
        f = activations[node]
        values[node] = (FUNCTIONS[f] if isinstance(f, str) else f)(z)
    return torch.stack([values[node] for node in range(len(activations))], 1)
