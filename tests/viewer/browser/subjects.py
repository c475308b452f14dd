"""Wirings that are looked at: real ones, small ones, and those with names of every kind."""

from functools import cache

import numpy as np
import torch

import edgelinear as el
from edgelinear import data

# Nothing of these may be executed, and all of it shown.
ODD_NAMES = [
    "<script>window.hacked=1</script>",
    "<img src=x onerror='window.hacked=1'>",
    '"><svg onload=window.hacked=1>',
    'it\'s "quoted" & <b>bold</b>',
    "😀🧬 emoji",
    "long " + "x" * 195,
    "‮right to left",
    "javascript:window.hacked=1",
]


def named_layer(**options):
    names = {"in_names": ["TP53", "MYC", "AKT1"], "out_names": ["repair", "growth"]}
    options = {"weight": [0.5, -1.0, 2.0]} | names | options
    return el.EdgeLinear(3, 2, [(0, 0), (1, 0), (2, 1)], **options)


def network():
    """Return a network of two inputs and three levels, of whose weights products are exact."""
    edges = [(0, 2), (1, 2), (2, 3), (0, 3), (3, 4), (1, 4)]
    names = ["in a", "in b", "hidden", "also", "out"]
    weight = [1.0, -2.0, 0.5, 4.0, -0.25, 1.5]
    return el.EdgeNetwork(5, edges, ["in a", "in b"], ["out"], weight=weight, node_names=names)


def reactome():
    torch.manual_seed(0)
    return el.EdgeLinear.from_wiring(data.reactome())


def reactome_before():
    """Return the same wiring with other weights, as an earlier checkpoint has."""
    torch.manual_seed(1)
    return el.EdgeLinear.from_wiring(data.reactome())


def pathways():
    """Return the hierarchy of Reactome's pathways as one network, from parts to wholes."""
    torch.manual_seed(0)
    wiring = data.reactome_hierarchy()
    edges = [
        (wiring.in_names[s], wiring.out_names[t]) for s, t in wiring.topology.edge_index.T.tolist()
    ]
    names = list(dict.fromkeys(name for edge in edges for name in edge))
    number = {name: node for node, name in enumerate(names)}
    ends = np.array([(number[a], number[b]) for a, b in edges])
    parts = [names[node] for node in sorted({*ends[:, 0]} - {*ends[:, 1]})]
    wholes = [names[node] for node in sorted({*ends[:, 1]} - {*ends[:, 0]})]
    return el.EdgeNetwork(len(names), ends.T, parts, wholes, node_names=names)


@cache  # it takes seconds
def eye():
    torch.manual_seed(0)
    topology = data.fly_visual_system().topology
    return el.EdgeLinear.from_topology(topology, bias=False)


def empty():
    return el.EdgeLinear(5, 3, torch.zeros(2, 0, dtype=torch.long))


def one_edge():
    return el.EdgeLinear(1, 1, [(0, 0)], weight=[0.25])


def odd_names():
    """Return a layer whose names are those above, each source with an edge to each target."""
    size = len(ODD_NAMES)
    edges = [(s, t) for t in range(size) for s in range(size)]
    outs = [f"{name} out" for name in ODD_NAMES]
    weight = np.linspace(-1, 1, len(edges))
    return el.EdgeLinear(size, size, edges, weight=weight, in_names=ODD_NAMES, out_names=outs)


ALL = {
    "reactome": lambda: el.view(reactome()),
    "compared": lambda: el.view(reactome(), other=reactome_before()),
    "pathways": lambda: el.view(pathways()),
    "network": lambda: el.view(network()),
    "eye": lambda: el.view(eye()),
    "empty": lambda: el.view(empty()),
    "one": lambda: el.view(one_edge()),
    "names": lambda: el.view(odd_names()),
    "small": lambda: el.view(named_layer()),
}
