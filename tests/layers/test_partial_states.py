"""State dicts that hold a part of a model: what is missing is reported, what differs is refused."""

import pytest
import torch
from problems import random
from torch import nn
from torch.testing import assert_close

import edgelinear as el

EDGES = torch.tensor([[3, 0, 1, 3, 0, 4], [2, 0, 2, 1, 2, 0]])


def make_model(seed=0, edges=EDGES):
    torch.manual_seed(seed)
    return nn.ModuleDict(
        {
            "body": nn.Sequential(el.EdgeLinear(5, 4, edges), nn.Tanh()),
            "head": nn.Linear(4, 2),
        }
    )


def values(module):
    return {key: value.clone() for key, value in module.state_dict().items()}


def part(model, *endings):
    return {k: v for k, v in model.state_dict().items() if k.endswith(endings)}


RULES = {
    "no rule": lambda layer: layer,
    "signs": lambda layer: el.rules.fix_signs(layer, [1, -1, 1, -1, 1]),
    "tied": lambda layer: el.rules.tie(layer, [0, 0, 1, 1, 2, 2]),
    "frozen": lambda layer: el.rules.freeze(layer, torch.arange(6) < 3),
}


@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize("rule", RULES)
def test_part_without_the_layer_loads_and_reports_what_is_missing(rule, assign):
    model, other = make_model(), make_model(seed=1)
    RULES[rule](model["body"][0])
    before = values(model["body"])
    adapter = {k: v for k, v in other.state_dict().items() if k.startswith("head.")}
    missing, unexpected = model.load_state_dict(adapter, strict=False, assign=assign)
    assert_close(values(model["body"]), before, rtol=0, atol=0)
    assert_close(values(model["head"]), values(other["head"]))
    assert unexpected == []
    # As torch says of any module of which nothing is there: all of it, each once.
    assert sorted(missing) == sorted(k for k in model.state_dict() if k.startswith("body."))


def test_strict_loading_names_all_that_is_missing():
    model = make_model()
    adapter = {k: v for k, v in model.state_dict().items() if k.startswith("head.")}
    with pytest.raises(RuntimeError, match="Missing key") as error:
        model.load_state_dict(adapter)
    for key in ("weight", "bias", "edge_index", "shape"):
        assert f'"body.0.{key}"' in str(error.value)


def test_empty_state_dict_leaves_a_layer_as_it_is():
    layer = make_model()["body"][0]
    before = values(layer)
    missing, _ = layer.load_state_dict({}, strict=False)
    assert sorted(missing) == ["bias", "edge_index", "shape", "weight"]
    assert_close(values(layer), before, rtol=0, atol=0)


def test_bias_alone_loads_as_it_needs_no_wiring():
    model, other = make_model(), make_model(seed=1)
    weight = model["body"][0].weight.detach().clone()
    model.load_state_dict(part(other, "bias"), strict=False)
    assert_close(model["body"][0].bias, other["body"][0].bias)
    assert_close(model["body"][0].weight, weight, rtol=0, atol=0)


@pytest.mark.parametrize(
    "endings", [("edge_index",), ("edge_index", "shape"), ("body.0.bias", "edge_index")]
)
def test_another_wiring_is_refused_where_no_weights_come_with_it(endings):
    model, other = make_model(), make_model(seed=1, edges=EDGES.flip(1))
    before = values(model)
    with pytest.raises(RuntimeError, match="`body.0.edge_index` in this checkpoint is another"):
        model.load_state_dict(part(other, *endings), strict=False)
    assert_close(values(model), before, rtol=0, atol=0)


@pytest.mark.parametrize("assign", [False, True])
def test_weights_without_their_wiring_are_refused(assign):
    model, other = make_model(), make_model(seed=1)
    trainable = {k: p.detach() for k, p in other.named_parameters()}
    before = values(model["body"])
    with pytest.raises(RuntimeError, match="holds no `body.0.edge_index`"):
        model.load_state_dict(trainable, strict=False, assign=assign)
    assert_close(values(model["body"]), before, rtol=0, atol=0)


def test_lone_weight_is_refused_unless_it_comes_to_a_layer_on_meta():
    layer, other = make_model()["body"][0], make_model(seed=1)["body"][0]
    lone = {"weight": other.weight.detach()}
    for options in ({}, {"assign": True}):
        with pytest.raises(RuntimeError, match="holds no `edge_index`"):
            layer.load_state_dict(lone, strict=False, **options)
    missing, _ = layer.to("meta").load_state_dict(lone, strict=False, assign=True)
    assert set(missing) == {"bias", "edge_index", "shape"}


def test_functional_call_takes_a_whole_state_dict():
    model, other = make_model()["body"], make_model(seed=1)["body"]
    x = random(3, 5, dtype=torch.float32)
    y = torch.func.functional_call(model, dict(other.state_dict()), x)
    assert_close(y, other(x))
    strange = make_model(edges=EDGES.flip(1))["body"]
    with pytest.raises(RuntimeError, match="another wiring"):
        torch.func.functional_call(model, dict(strange.state_dict()), x)
