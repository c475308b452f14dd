"""`EdgeLinear.from_state_dict` of what an `nn.Linear` saved, dense, of zeros, or pruned."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import prune
from torch.testing import assert_close

import edgelinear as el


def of_zeros(dtype=torch.float64):
    linear = nn.Linear(5, 4, dtype=dtype)
    with torch.no_grad():
        linear.weight[torch.rand(4, 5) < 0.6] = 0.0
    return linear


def test_wiring_is_what_is_not_zero():
    linear, x = of_zeros(), torch.randn(3, 5, dtype=torch.float64)
    state = nn.ModuleDict({"head": linear}).state_dict()
    layer = el.EdgeLinear.from_state_dict(state, prefix="head.", backend="reference")
    assert layer.num_edges == int(linear.weight.count_nonzero()) and layer.backend == "reference"
    assert_close(layer(x), F.linear(x, linear.weight, linear.bias))


def test_wiring_is_the_mask_with_zeros_inside():
    linear, x = of_zeros(), torch.randn(3, 5, dtype=torch.float64)
    mask = torch.rand(4, 5) < 0.5
    prune.custom_from_mask(linear, "weight", mask)
    prune.custom_from_mask(linear, "bias", torch.tensor([1, 0, 1, 1]))
    layer = el.EdgeLinear.from_state_dict(linear.state_dict())
    assert torch.equal(layer.edge_index, mask.nonzero().T.flip(0))
    weight = linear.weight_orig * mask
    assert_close(layer(x), F.linear(x, weight, linear.bias_orig * torch.tensor([1, 0, 1, 1])))


def test_type_stays_and_memory_is_its_own():
    linear = of_zeros(torch.bfloat16)
    linear.bias = None
    state = linear.state_dict()
    layer = el.EdgeLinear.from_state_dict(state)
    assert layer.weight.dtype == torch.bfloat16 and layer.bias is None
    assert layer.weight.requires_grad
    state["weight"].zero_()
    assert layer.weight.abs().min() > 0


def test_bias_of_another_length_is_refused():
    state = of_zeros().state_dict() | {"bias": torch.zeros(1)}
    with pytest.raises(ValueError, match=r"`bias` .* must have shape \(4,\) beside .* got \(1,\)"):
        el.EdgeLinear.from_state_dict(state)


def test_weights_that_are_not_finite_are_refused():
    state = of_zeros().state_dict()
    state["weight"][2, 3] = float("inf")
    with pytest.raises(ValueError, match="inf"):
        el.EdgeLinear.from_state_dict(state)


@pytest.mark.parametrize("name", ["weight", "weight_orig"])
def test_layer_on_edges_says_what_a_matrix_is_for(name):
    layer = el.EdgeLinear.from_linear(of_zeros())
    state = {name: of_zeros().weight, "bias": layer.bias}
    with pytest.raises(RuntimeError, match="is the matrix of an nn.Linear. Load it before"):
        layer.load_state_dict(state)
