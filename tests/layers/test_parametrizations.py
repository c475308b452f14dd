"""Layers under rules as modules: their checkpoints, copies, types and devices."""

import copy

import pytest
import torch
from problems import through_a_file
from ruled import INDEX, MASK, PROBLEM, RULES, SIGNS, every_rule, make_layer, with_signs
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import weight_norm
from torch.testing import assert_close

import edgelinear as el
from edgelinear import rules


def test_half_types_and_back_keep_the_rule():
    scale = torch.full((40,), 70001.0)
    layer = rules.tie(make_layer(torch.float32), INDEX, scale=scale)
    state = layer.state_dict()
    layer.half().float()
    assert torch.equal(layer.parametrizations.weight[0].scale, scale)
    layer.load_state_dict(state)
    layer.double().load_state_dict(state)
    half = {k: v.bfloat16() if k.endswith("scale") else v for k, v in state.items()}
    layer.load_state_dict(half)


@every_rule
def test_parameters_of_another_type_compute_in_theirs(name):
    layer = RULES[name](make_layer(torch.float32))
    half = {key: p.bfloat16() for key, p in layer.named_parameters()}
    y = torch.func.functional_call(layer, half, PROBLEM.x(torch.bfloat16))
    assert y.dtype == torch.bfloat16
    assert_close(y.float(), layer(PROBLEM.x(torch.float32)), rtol=0.05, atol=0.05)


@every_rule
def test_state_dict_holds_copies_of_what_is_fixed(name):
    layer = RULES[name](make_layer())
    before = layer.weight.detach().clone()
    for key, value in layer.state_dict().items():
        if key not in dict([*layer.named_parameters(), *layer.named_buffers()]):
            value.zero_()
    assert torch.equal(layer.weight, before)


MOVING = "parametrizations.weight.0.moving"
REFUSED = {
    "another wiring": lambda state: state | {"edge_index": state["edge_index"].flip(1)},
    "other names": lambda state: state | {"in_names": names_of(range(1, 14))},
    "another rule": lambda state: state | {MOVING: (state[MOVING] + 1) % 40},
    "no rule": lambda state: {k: v for k, v in state.items() if k != MOVING},
}


def names_of(names):
    return make_layer(in_names=names).state_dict()["in_names"]


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("change", REFUSED)
def test_refused_state_changes_nothing(change, strict):
    layer = rules.freeze(make_layer(in_names=range(13)), MASK)
    before = {key: value.clone() for key, value in layer.state_dict().items()}
    state = rules.freeze(make_layer(in_names=range(13)), MASK).state_dict()
    with pytest.raises(RuntimeError, match="in this checkpoint|which the rule"):
        layer.load_state_dict(REFUSED[change](state), strict=strict)
    assert_close(dict(layer.state_dict()), before, rtol=0, atol=0)


@every_rule
def test_checkpoint_keeps_rule_and_values(name):
    layer = RULES[name](make_layer())
    with torch.no_grad():
        layer.parametrizations.weight.original.mul_(0.5)
    state = through_a_file(layer.state_dict())
    assert all(type(value) is torch.Tensor for value in state.values())
    other = RULES[name](make_layer())
    other.load_state_dict(state)
    assert torch.equal(other.weight, layer.weight)


def test_checkpoint_brings_the_frozen_weights():
    layer, other = (rules.freeze(make_layer(), MASK) for _ in range(2))
    assert not torch.equal(other.weight[MASK], layer.weight[MASK])
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other.weight, layer.weight)
    with pytest.raises(RuntimeError, match="that of another rule"):
        rules.freeze(make_layer(), ~MASK).load_state_dict(layer.state_dict())


@every_rule
def test_rules_are_no_buffers_and_survive_to_empty(name):
    layer = RULES[name](make_layer())
    # DDP would send buffers around at every step: of frozen edges, their weights alone are one.
    assert len(list(layer.buffers())) == name.count("frozen")
    state = {key: value.clone() for key, value in layer.state_dict().items()}
    weight = layer.weight.detach().clone()
    layer.to_empty(device="cpu").load_state_dict(state)
    assert torch.equal(layer.weight, weight)


def test_frozen_weights_are_no_parameters():
    layer = rules.freeze(make_layer(), MASK)
    assert [p.shape for p in layer.parameters()] == [(7,), (30,)]
    assert [b.shape for b in layer.buffers()] == [(10,)]


@pytest.mark.parametrize("name", ["frozen", "tied"])
def test_rule_below_signs_leaves_copies_and_optimizers_whole(name):
    signs = SIGNS if name == "frozen" else torch.ones(13)
    layer = rules.fix_signs(with_signs(make_layer(), signs), signs)
    twin, parameter = copy.deepcopy(layer), layer.parametrizations.weight.original
    RULES[name](layer)
    assert layer.parametrizations.weight.original is parameter
    assert twin(PROBLEM.x()).shape == (5, 7)
    RULES[name](twin)
    layer.load_state_dict(twin.state_dict())
    assert torch.equal(layer(PROBLEM.x()), twin(PROBLEM.x()))


@every_rule
def test_layer_moves_to_meta_and_back(name):
    layer = RULES[name](make_layer()).to("meta").to_empty(device="cpu")
    layer.load_state_dict(state := RULES[name](make_layer()).state_dict())
    assert_close(layer.state_dict(), state)


def test_checkpoint_of_another_rule_is_refused():
    state = rules.tie(make_layer(), INDEX).state_dict()
    with pytest.raises(RuntimeError, match="that of another rule"):
        rules.tie(make_layer(), INDEX.flip(0)).load_state_dict(state)
    with pytest.raises(RuntimeError, match="Missing key.*original"):
        rules.fix_signs(make_layer(), SIGNS).load_state_dict(make_layer().state_dict())
    with pytest.raises(RuntimeError, match="`weight` in this checkpoint has rules: apply the same"):
        make_layer().load_state_dict(state)
    with pytest.raises(ValueError, match="has rules: build the layer"):
        el.EdgeLinear.from_state_dict(state)


@every_rule
def test_deepcopy_is_apart(name):
    layer = RULES[name](make_layer())
    twin = copy.deepcopy(layer)
    assert torch.equal(twin.weight, layer.weight)
    with torch.no_grad():
        twin.parametrizations.weight.original.add_(1.0)
    assert not torch.equal(twin.weight, layer.weight)


@every_rule
def test_layer_moves_to_another_type(name):
    layer = RULES[name](make_layer()).float()
    assert layer.weight.dtype == torch.float32
    assert layer(PROBLEM.x(torch.float32)).dtype == torch.float32


@every_rule
def test_autocast_runs(name):
    layer = RULES[name](make_layer(torch.float32))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = layer(PROBLEM.x(torch.float32))
    assert y.dtype == torch.bfloat16
    assert_close(y.float(), layer(PROBLEM.x(torch.float32)), rtol=0.05, atol=0.05)


@pytest.mark.slow
@every_rule
def test_compile_and_export_compute_the_same(name):
    layer = RULES[name](make_layer(torch.float32))
    x, grad = PROBLEM.x(torch.float32), PROBLEM.grad(torch.float32)
    y = layer(x)
    y.backward(grad)
    expected = layer.parametrizations.weight.original.grad.clone()
    layer.zero_grad()
    torch._dynamo.reset()
    compiled = torch.compile(layer, fullgraph=True)(x)
    compiled.backward(grad)
    assert_close(compiled, y)
    assert_close(layer.parametrizations.weight.original.grad, expected)
    exported = torch.export.export(layer, (x,)).module()
    assert_close(exported(x), y)


def test_rules_beside_parametrizations_of_torch_are_compared():
    layer, other = (
        rules.fix_signs(weight_norm(make_layer()), signs * torch.ones(13)) for signs in (1, -1)
    )
    with pytest.raises(RuntimeError, match="that of another rule"):
        other.load_state_dict(layer.state_dict())
    with pytest.raises(ValueError, match="`freeze` goes with signs alone, .* are weightnorm"):
        rules.freeze(weight_norm(make_layer()), MASK)


def test_refused_state_leaves_parameters_where_they_are():
    layer = rules.freeze(make_layer(), MASK)
    before = dict(layer.named_parameters())
    with pytest.raises(RuntimeError):
        layer.load_state_dict(rules.freeze(make_layer(), ~MASK).state_dict(), assign=True)
    assert all(p is before[key] for key, p in layer.named_parameters())


def test_parametrizations_of_torch_may_be_used():
    layer = weight_norm(make_layer())
    decaying, _ = el.param_groups(layer, weight_decay=0.1)
    assert [p.shape for p in decaying["params"]] == [(40,), (40,)]
    twin = weight_norm(make_layer())
    twin.load_state_dict(layer.state_dict())
    assert torch.equal(twin.weight, layer.weight)


def test_rules_can_be_taken_off():
    layer = rules.tie(make_layer(), INDEX)
    weight = layer.weight.detach().clone()
    parametrize.remove_parametrizations(layer, "weight")
    assert torch.equal(layer.weight, weight) and layer.weight.shape == (40,)
