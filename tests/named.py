"""A layer whose nodes have names."""

import edgelinear as el

EDGES = [(0, 0), (1, 0), (2, 1)]
NAMES = {"in_names": ["TP53", "MYC", "AKT1"], "out_names": ["repair", "growth"]}


def make_layer(weight=(0.5, -0.31, 2.0), **names):
    return el.EdgeLinear(3, 2, EDGES, weight=weight, **(names or NAMES))
