"""Layers made of a state dict, and models that take the wiring of one."""

import pytest
import torch
import torch.nn.functional as F
from problems import random, through_a_file
from saved import (
    EDGES,
    corrupt,
    corrupted,
    make_layer,
    make_model,
    other_layer,
    other_wirings,
    values,
)
from torch import nn
from torch.testing import assert_close

import edgelinear as el


@other_wirings
def test_from_state_dict_takes_any_wiring(name):
    saved = other_layer(name)
    layer = el.EdgeLinear.from_state_dict(saved.state_dict())
    assert layer.topology == saved.topology
    assert_close(values(layer), values(saved))


def test_from_state_dict_reads_below_a_prefix():
    model = make_model()
    layer = el.EdgeLinear.from_state_dict(model.state_dict(), prefix="0.encoder.0.")
    assert_close(values(layer), values(model[0]["encoder"][0]))


def test_from_state_dict_keeps_type_and_missing_bias():
    saved = make_layer(bias=False, dtype=torch.float16)
    layer = el.EdgeLinear.from_state_dict(saved.state_dict())
    assert layer.bias is None
    assert layer.weight.dtype == torch.float16


def test_from_state_dict_keeps_its_own_memory():
    state = make_layer().state_dict()
    layer = el.EdgeLinear.from_state_dict(state)
    state["weight"].fill_(0)
    assert layer.weight.abs().min() > 0


@pytest.mark.parametrize("key", ["weight", "edge_index", "shape"])
def test_from_state_dict_names_what_is_missing(key):
    state = make_layer().state_dict()
    del state[key]
    with pytest.raises(ValueError, match=f"holds no `{key}`"):
        el.EdgeLinear.from_state_dict(state)


@other_wirings
def test_adopted_wiring_loads(name):
    saved, layer = other_layer(name), make_layer()
    el.adopt_wiring(layer, saved.state_dict())
    layer.load_state_dict(saved.state_dict())
    assert layer.topology == saved.topology
    assert (layer.in_features, layer.out_features) == (saved.in_features, saved.out_features)
    assert_close(values(layer), values(saved))


@other_wirings
def test_adopted_wiring_computes_and_trains(name):
    saved, layer = other_layer(name), make_layer()
    el.adopt_wiring(layer, saved.state_dict())
    layer.load_state_dict(saved.state_dict())
    x = random(3, layer.in_features)
    y = layer(x)
    assert_close(y, F.linear(x, saved.to_dense(), saved.bias))
    y.sum().backward()
    assert layer.weight.grad.shape == layer.weight.shape


def test_adopt_wiring_reaches_nested_layers_by_prefix():
    saved, model = make_model(), make_model()
    saved[0]["encoder"][0] = other_layer("fewer edges")
    saved[1] = el.EdgeLinear(4, 3, [(1, 1)], dtype=torch.float64)
    el.adopt_wiring(model, saved.state_dict())
    model.load_state_dict(saved.state_dict())
    assert_close(values(model), values(saved))


def test_adopt_wiring_leaves_layers_of_the_same_wiring_alone():
    layer = make_layer()
    weight, before = layer.weight, values(layer)
    el.adopt_wiring(layer, make_layer().state_dict())
    assert layer.weight is weight
    assert_close(values(layer), before, rtol=0, atol=0)


def test_adopt_wiring_keeps_type_frozen_parameters_and_backend():
    layer = make_layer(dtype=torch.float32, backend="reference").requires_grad_(False)
    el.adopt_wiring(layer, other_layer("fewer edges").state_dict())
    assert layer.weight.dtype == torch.float32
    assert not layer.weight.requires_grad and not layer.bias.requires_grad
    assert layer.backend == "reference"


def test_adopt_wiring_changes_nothing_when_one_layer_is_missing():
    model, state = make_model(), make_model().state_dict()
    state["0.encoder.0.edge_index"] = EDGES.flip(1)
    del state["1.edge_index"]
    before = values(model)
    with pytest.raises(ValueError, match="holds no `1.edge_index`"):
        el.adopt_wiring(model, state)
    assert_close(values(model), before, rtol=0, atol=0)


def test_adopt_wiring_leaves_shared_weights_shared():
    first, second = make_layer(), make_layer()
    before = second.weight = first.weight
    model = nn.Sequential(first, nn.Linear(4, 5), second)
    state = {k: v for k, v in model.state_dict().items()}
    for key in ("0.edge_index", "2.edge_index"):
        state[key] = state[key].flip(1)
    el.adopt_wiring(model, state)
    assert model[0].weight is model[2].weight
    assert model[0].weight is not before


def test_prefix_that_is_wrong_is_named_beside_those_there():
    with pytest.raises(ValueError, match="no `0edge_index`.* prefixes '0.encoder.0.', '1.'"):
        el.EdgeLinear.from_state_dict(make_model().state_dict(), prefix="0")


def test_adopt_wiring_changes_nothing_when_one_layer_has_rules():
    model, state = make_model(), make_model().state_dict()
    for key in ("0.encoder.0.edge_index", "1.edge_index"):
        state[key] = state[key].flip(1)
    el.rules.fix_nonnegative(model[1])
    before = values(model)
    with pytest.raises(ValueError, match="the weights of `1` have rules"):
        el.adopt_wiring(model, state)
    assert_close(values(model), before, rtol=0, atol=0)


@corrupt
def test_corrupt_wiring_is_refused_by_from_state_dict(name):
    with pytest.raises(ValueError, match="is corrupt|must hold 2 integers"):
        el.EdgeLinear.from_state_dict(corrupted(name))


@corrupt
def test_corrupt_wiring_is_refused_by_adopt_wiring(name):
    layer = make_layer()
    before = values(layer)
    with pytest.raises(ValueError, match="is corrupt|must hold 2 integers"):
        el.adopt_wiring(layer, corrupted(name))
    assert_close(values(layer), before, rtol=0, atol=0)


def test_corrupt_file_is_refused_after_torch_load():
    state = through_a_file(corrupted("source too large"))
    with pytest.raises(ValueError, match="source 5 at edge 5 is outside"):
        el.EdgeLinear.from_state_dict(state)


@pytest.mark.parametrize("changed", [("0", "2"), ("0",), ("2",)])
def test_adopt_wiring_leaves_shared_biases_shared(changed):
    first, second = make_layer(), make_layer()
    second.bias = first.bias
    model = nn.Sequential(first, nn.Linear(4, 5), second)
    state = {k: v for k, v in model.state_dict().items()}
    for name in changed:
        state[f"{name}.edge_index"] = state[f"{name}.edge_index"].flip(1)
    el.adopt_wiring(model, state)
    assert model[0].bias is model[2].bias
    assert len([*model.parameters()]) == 5
