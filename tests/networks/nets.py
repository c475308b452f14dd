"""Networks that tests share."""

import torch
from graphs import random_dag

import edgelinear as el

COMPILED = ["tanh", "relu", "identity", "sigmoid"]
MIXED = ["tanh", "sin", "gelu", "softplus"]
NAMES = ["a", "b", "c", "d", "e", "f"]
EDGES = [(0, 2), (1, 2), (2, 3), (0, 3), (3, 4), (2, 5)]


def small(edges=EDGES, inputs=("a", "b"), outputs=("e", "f"), **options):
    """Return a network of six nodes with names, in float64."""
    options = {"activation": "tanh", "dtype": torch.float64, "node_names": NAMES} | options
    net = el.EdgeNetwork(6, edges, inputs, outputs, **options)
    if net.bias is not None and not net.bias.is_meta:
        torch.nn.init.normal_(net.bias)
    return net


def drawn(activations=MIXED, nodes=30, edges=100, inputs=4, outputs=(29, 28, 20), **options):
    """Return a network drawn at random, and its edges."""
    ends = random_dag(nodes, edges, inputs)
    each = [activations[node % len(activations)] for node in range(nodes)]
    options = {"dtype": torch.float64, "activation": each} | options
    net = el.EdgeNetwork(nodes, ends, range(inputs), outputs, **options)
    if net.bias is not None and not net.bias.is_meta:
        torch.nn.init.normal_(net.bias)
    return net, ends
