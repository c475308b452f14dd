"""A layer and a model, wirings that are not theirs, and wirings that cannot be."""

import pytest
import torch
import torch.nn.functional as F
from problems import SMALL, random
from torch import nn
from torch.testing import assert_close

import edgelinear as el

EDGES = SMALL.edge_index
OTHER_WIRINGS = {
    "no edges": (5, 4, EDGES[:, :0], "0 there"),
    "fewer edges": (5, 4, EDGES[:, :6], "7 edges here, 6 there"),
    "more edges": (5, 4, torch.cat([EDGES, torch.tensor([[2], [3]])], 1), "7 edges here, 8 there"),
    "more inputs": (6, 4, EDGES, "5 -> 4 features here, 6 -> 4 there"),
    "more outputs": (5, 5, EDGES, "5 -> 4 features here, 5 -> 5 there"),
    "sizes swapped": (4, 5, EDGES.flip(0), "5 -> 4 features here, 4 -> 5 there"),
    "another order": (5, 4, EDGES.flip(1), "the same edges in another order"),
    "one edge different": (
        5,
        4,
        torch.where(torch.arange(7) == 2, torch.tensor([[2], [3]]), EDGES),
        "edge 2 is 1 -> 2 here, 2 -> 3 there",
    ),
}
other_wirings = pytest.mark.parametrize("name", OTHER_WIRINGS)
make_layer = SMALL.layer

INDEX = EDGES.clone()
CORRUPT = {
    "negative source": {"edge_index": INDEX.index_put((torch.tensor(0),), torch.tensor(-1))},
    "source too large": {"edge_index": torch.where(EDGES == 4, 5, EDGES)},
    "target too large": {"edge_index": torch.stack([EDGES[0], EDGES[1] + 2])},
    "huge": {"edge_index": torch.full_like(EDGES, 2**62)},
    "float": {"edge_index": EDGES.double()},
    "transposed": {"edge_index": EDGES.T.contiguous()},
    "one row": {"edge_index": EDGES[0]},
    "a scalar": {"edge_index": torch.tensor(3)},
    "on meta": {"edge_index": EDGES.to("meta")},
    "shape too small": {"shape": torch.tensor([4, 4])},
    "negative shape": {"shape": torch.tensor([5, -4])},
    "float shape": {"shape": torch.tensor([5.0, 4.0])},
    "three sizes": {"shape": torch.tensor([5, 4, 3])},
    "a size": {"shape": torch.tensor(5)},
}
corrupt = pytest.mark.parametrize("name", CORRUPT)


def other_layer(name):
    in_features, out_features, edges, _ = OTHER_WIRINGS[name]
    return el.EdgeLinear(in_features, out_features, edges, duplicates="keep", dtype=torch.float64)


def make_model():
    """Return a model with a layer two levels down, one beside it, and a plain one."""
    return nn.Sequential(
        nn.ModuleDict({"encoder": nn.Sequential(make_layer(), nn.Tanh())}),
        el.EdgeLinear(4, 3, [(3, 0), (0, 2)], dtype=torch.float64),
        nn.Linear(3, 2, dtype=torch.float64),
    )


def corrupted(name):
    return {**make_layer().state_dict(), **CORRUPT[name]}


def values(module):
    return {key: value.clone() for key, value in module.state_dict().items()}


def assert_equals_dense(layer):
    x = random(3, 5)
    assert_close(layer(x), F.linear(x, layer.to_dense(), layer.bias))
