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


def random_graph(num_nodes, num_edges, seed=0):
    """Return edges in no order, cycles and self-loops among them, none of them twice."""
    generator = np.random.default_rng(seed)
    ends = np.unique(generator.integers(0, num_nodes, (2, num_edges)), axis=1)
    return ends[:, generator.permutation(ends.shape[1])]


def step_by_step(net, x, state=None, noise=None):
    """Return the states of a recurrent network after each step, (batch, time, nodes).

    Every node is computed on its own, from the edges into it. `noise` is (time, nodes, batch), by
    node.
    """
    src, dst = net.edge_index.tolist()
    h = [torch.zeros_like(x[:, 0, 0])] * net.num_nodes
    if state is not None:
        h = list(state.unbind(1))
    functions = [FUNCTIONS[f] if isinstance(f, str) else f for f in net.activations]
    is_potential = net.equation == "potential"
    source = {node: i for i, node in enumerate(net.inputs.tolist())}
    leak = torch.as_tensor(net.leak, dtype=x.dtype).expand(net.num_nodes)
    states = []
    for t in range(x.shape[1]):
        for _ in range(net.steps_per_input):
            new = []
            sent = [functions[n](h[n]) for n in range(net.num_nodes)] if is_potential else h
            for node in range(net.num_nodes):
                z = torch.zeros_like(h[0]) if net.bias is None else net.bias[node].expand(len(x))
                for edge in [e for e, target in enumerate(dst) if target == node]:
                    z = z + net.weight[edge] * sent[src[edge]]
                if node in source:
                    fed = x[:, t, source[node]]
                    factor = net.input_weight
                    z = z + (fed if factor is None else factor[source[node]] * fed)
                if noise is not None:
                    z = z + noise[t, node]
                f = z if is_potential else functions[node](z)
                new.append((1 - leak[node]) * h[node] + leak[node] * f)
            h = new
        states.append(torch.stack(h, 1))
    return torch.stack(states, 1)
