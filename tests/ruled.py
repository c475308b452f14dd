"""A layer under every rule, and whether its weight obeys."""

import pytest
import torch
from problems import PROBLEMS, random

from edgelinear import rules

PROBLEM = PROBLEMS["unsorted"]
INDEX = torch.arange(40) % 7
SCALE = random(40, seed=5) + 3
SIGNS = torch.where(torch.arange(13) % 3 == 0, -1, 1)
MASK = torch.arange(40) % 4 == 0
make_layer = PROBLEM.layer

RULES = {
    "tied": lambda layer: rules.tie(layer, INDEX),
    "tied and scaled": lambda layer: rules.tie(layer, INDEX, scale=SCALE),
    "signed": lambda layer: rules.fix_signs(layer, SIGNS),
    "nonnegative": rules.fix_nonnegative,
    "frozen": lambda layer: rules.freeze(layer, MASK),
    "frozen and signed": lambda layer: rules.fix_signs(
        rules.freeze(with_signs(layer), MASK), SIGNS
    ),
    "tied and nonnegative": lambda layer: rules.fix_nonnegative(rules.tie(layer, INDEX)),
}


def with_signs(layer, signs=SIGNS):
    with torch.no_grad():
        layer.weight.copy_(layer.weight.abs() * signs[layer.topology.src.long()])
    return layer


def follows(name, layer, before):
    """Whether the weight obeys the rule; `before` is what it was when the rule was made."""
    weight = layer.weight.detach()
    if "scaled" in name:
        weight = weight / SCALE
    if "tied" in name and not all(
        torch.allclose(weight[INDEX == i], weight[INDEX == i][0]) for i in range(7)
    ):
        return False
    if "signed" in name and (weight * SIGNS[layer.topology.src.long()] < 0).any():
        return False
    if "nonnegative" in name and (weight < 0).any():
        return False
    return "frozen" not in name or torch.equal(weight[MASK], before[MASK])


every_rule = pytest.mark.parametrize("name", RULES)
