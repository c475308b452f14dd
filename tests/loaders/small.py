"""The small models that loaders load: an EdgeLinear inside, with or without names and rules."""

import torch
from torch import nn
from torch.testing import assert_close

import edgelinear as el

EDGES = torch.tensor([[3, 0, 1, 3, 0, 4], [2, 0, 2, 1, 2, 0]])
WIRINGS = {
    "this": EDGES,
    "another order": EDGES.flip(1),
    "another edge": torch.tensor([[3, 0, 1, 3, 2, 4], [2, 0, 2, 1, 2, 0]]),
    "fewer edges": EDGES[:, :5],
}
OTHERS = [name for name in WIRINGS if name != "this"]
KINDS = ("plain", "named", "signed")
REFUSED = "another wiring|size mismatch|Trying to set a tensor of shape|raising an error"


def make_layer(kind="plain", wiring="this", seed=0, **options):
    torch.manual_seed(seed)
    if kind == "named":
        options["in_names"] = ["a", "bé", 3, "d", "e"]
    layer = el.EdgeLinear(5, 4, WIRINGS[wiring], **options)
    return el.rules.fix_signs(layer, [1, -1, 1, -1, 1]) if kind == "signed" else layer


class Model(nn.Module):
    """A layer below a block, and a plain one beside it."""

    def __init__(self, kind="plain", wiring="this", seed=0):
        super().__init__()
        self.block = nn.ModuleDict({"edges": make_layer(kind, wiring, seed)})
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.block["edges"](x).relu())


def values(module):
    return {key: value.clone() for key, value in module.state_dict().items()}


def assert_same(model, other):
    assert_close(values(model), values(other), rtol=0, atol=0)
    x = torch.randn(6, 5)
    assert_close(model(x), other(x), rtol=0, atol=0)
