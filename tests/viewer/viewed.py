"""What tests of the viewer share: questions as a page asks them, and arrays as it gets them."""

import numpy as np

import edgelinear as el
from edgelinear.viewer.answers import answer
from edgelinear.viewer.opening import scene_of

TYPES = np.uint32, np.float64, np.uint32, np.uint32
LAYER_EDGES = [(0, 0), (1, 0), (2, 1)]


def ask(scene, kind, **rest):
    """Return an answer, without its arrays."""
    return answer(scene, {"kind": kind, **rest})[0]


def tile_of(scene, level=0, row=0, column=0, order="given", value="count"):
    """Return the answer to a tile, and its arrays."""
    asked = {"order": order, "value": value, "level": level, "row": row, "column": column}
    found, buffers = answer(scene, {"kind": "tile", **asked})
    return found, [np.frombuffer(b, t) for b, t in zip(buffers, TYPES, strict=False)]


def named_layer(**options):
    names = {"in_names": ["TP53", "MYC", "AKT1"], "out_names": ["repair", "growth"]}
    options = {"weight": [0.5, -1.0, 2.0]} | names | options
    return el.EdgeLinear(3, 2, LAYER_EDGES, **options)


def network(**options):
    """Two inputs, three levels, a skip; products of weights are exact."""
    edges = [(0, 2), (1, 2), (2, 3), (0, 3), (3, 4), (1, 4)]
    names = ["in a", "in b", "hidden", "also", "out"]
    options = {"weight": [1.0, -2.0, 0.5, 4.0, -0.25, 1.5], "node_names": names} | options
    return el.EdgeNetwork(5, edges, ["in a", "in b"], ["out"], **options)


def scene(*arguments, **options):
    return scene_of(*arguments, **options)
