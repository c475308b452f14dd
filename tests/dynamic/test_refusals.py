"""What schedules refuse, each with a sentence, and with nothing changed."""

import copy

import pytest
import torch
from by_hand import layer_of, pairs
from torch import nn
from torch.testing import assert_close

import edgelinear as el


def sgd(model):
    return torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)


OPTIONS = {
    "too much": (dict(fraction=1.5), ValueError, "`fraction` must be between 0 and 1, got 1.5"),
    "nan": (dict(fraction=float("nan")), ValueError, "between 0 and 1, got nan"),
    "a word": (dict(fraction="half"), TypeError, "`fraction` must be a number, got 'half'"),
    "never": (dict(every=0), ValueError, "`every` must be at least 1, got 0"),
    "half steps": (dict(every=0.5), TypeError, "`every` must be a number of steps, got 0.5"),
    "no end": (dict(until=0), ValueError, "`until` must be at least 1, got 0"),
    "schedule": (dict(schedule="cos"), ValueError, '"cosine", "linear", .* got \'cos\''),
    "grow": (dict(grow="momentum"), ValueError, '"random", "gradient", got \'momentum\''),
    "per": (dict(per="row"), ValueError, '"layer", "target", got \'row\''),
    "weight": (dict(weight="zeros"), ValueError, "a number or \"init\", got 'zeros'"),
    "weights": (dict(weight=[1.0, 2.0]), ValueError, "one finite number or"),
    "inf": (dict(weight=float("inf")), ValueError, "one finite number or"),
    "candidates": (dict(candidates=5, grow="random"), ValueError, '`candidates` is for grow="grad'),
    "none": (dict(candidates=0, grow="gradient"), ValueError, "`candidates` must be at least 1"),
    "skip": (dict(skip="0"), TypeError, "`skip` must be a list of names, got '0'"),
    "skipped": (dict(skip=["1"]), ValueError, "`skip` has '1', which is no module of the model"),
    "seed": (dict(generator=0), TypeError, "a torch.Generator of the CPU, or None, got 0"),
}


@pytest.mark.parametrize("kind", [el.dynamic.SET, el.dynamic.RigL])
@pytest.mark.parametrize("name", OPTIONS)
def test_options_that_are_none_are_refused(name, kind):
    options, error, message = OPTIONS[name]
    model = nn.Sequential(layer_of((5, 4), 8))
    with pytest.raises(error, match=message):
        kind(model, sgd(model), **options)


def tied():
    return el.rules.tie(layer_of((4, 3), 4), [0, 0, 1, 1], on_conflict="project")


def normed():
    return nn.utils.parametrizations.weight_norm(layer_of((4, 3), 4))


def frozen_alone():
    layer = layer_of((4, 3), 4)
    layer.weight.requires_grad_(False)
    return layer


def shared():
    model = nn.Sequential(layer_of((4, 4), 4), layer_of((4, 4), 4))
    model[1].weight = model[0].weight
    return model


MODELS = {
    "dense": (lambda: nn.Linear(3, 2), "must have an EdgeLinear, an EdgeNetwork or an EdgeRNN"),
    "full": (lambda: layer_of((4, 3), 12), "has all of the 12 edges that it could have"),
    "tied": (
        tied,
        "nothing says which of them a new edge is to have: use `el.rewire` with `index`",
    ),
    "frozen": (
        lambda: el.rules.freeze(layer_of((4, 3), 2), [True, False]),
        "frozen, by `el.rules.freeze`",
    ),
    "no gradient": (frozen_alone, "the weights do not require a gradient"),
    "norm": (normed, "follow _WeightNorm, which says nothing of new edges"),
    "pruned": (
        lambda: nn.utils.prune.random_unstructured(layer_of((4, 3), 4), "weight", 1),
        "computed from `weight_orig`",
    ),
    "meta": (lambda: el.EdgeLinear(4, 3, [(0, 0)], device="meta"), "on the meta device"),
    "twice": (
        lambda: el.EdgeLinear(3, 2, [(1, 0), (1, 0), (0, 1)], duplicates="keep"),
        "has the edge 1 -> 0 twice",
    ),
    "shared": (shared, "`0` and `1` share one weight"),
}


@pytest.mark.parametrize("name", MODELS)
def test_layers_that_cannot_change_are_refused(name):
    make, message = MODELS[name]
    model = make()
    with pytest.raises(ValueError, match=message):
        el.dynamic.SET(model, torch.optim.SGD([*model.parameters()], 0.1))


def test_layers_that_cannot_change_may_be_left_out():
    model = nn.ModuleDict({"tied": tied(), "free": layer_of((5, 4), 8)})
    optimizer = sgd(model)
    with pytest.raises(ValueError, match="`tied`: edges share parameters.*`skip` leaves layers"):
        el.dynamic.SET(model, optimizer)
    assert list(el.dynamic.SET(model, optimizer, skip=["tied"]).layers) == ["free"]


def test_optimizers_that_do_not_hold_the_weight_are_refused():
    model = nn.Sequential(layer_of((5, 4), 8))
    with pytest.raises(ValueError, match="`0`: `optimizer` does not hold the weight"):
        el.dynamic.RigL(model, torch.optim.SGD([model[0].bias], 0.1))
    with pytest.raises(TypeError, match="must be an optimizer of torch, got NoneType"):
        el.dynamic.RigL(model, None)
    with pytest.raises(TypeError, match="`model` must be a module of torch, got list"):
        el.dynamic.SET([model], sgd(model))


def test_rigl_refuses_networks_and_weights_that_would_stay_zero():
    net = el.EdgeNetwork(4, [(0, 1), (1, 2), (2, 3)], [0], [3])
    with pytest.raises(ValueError, match='is an EdgeNetwork, of whose .* use grow="random"'):
        el.dynamic.RigL(net, sgd(net))
    signed = el.rules.fix_signs(layer_of((3, 2), 3), [1, 1, -1], on_conflict="project")
    with pytest.raises(ValueError, match='fixed signs, .* pass weight="init"'):
        el.dynamic.RigL(signed, sgd(signed))
    el.dynamic.RigL(signed, sgd(signed), weight="init")


class Activated(el.EdgeLinear):
    def forward(self, x):
        return super().forward(x).relu()


def test_rigl_refuses_layers_whose_forward_does_more():
    layer = Activated(3, 2, [(0, 0), (1, 1)])
    with pytest.raises(ValueError, match="is a Activated with a `forward` of its own"):
        el.dynamic.RigL(layer, sgd(layer))
    el.dynamic.SET(layer, sgd(layer))


def test_an_update_without_a_gradient_is_refused_and_may_be_made_up_for():
    model = nn.Sequential(layer_of((5, 4), 8), nn.ReLU(), layer_of((4, 3), 6))
    optimizer, x = sgd(model), torch.ones(2, 5, dtype=torch.float64)
    schedule = el.dynamic.RigL(model, optimizer, every=2)
    schedule.step()
    before = copy.deepcopy((model.state_dict(), schedule.state_dict()))
    model[0](x).sum().backward()
    with pytest.raises(RuntimeError, match="`2` saw no gradient since the step before: an update"):
        schedule.step()
    assert schedule.steps == 1
    assert_same(model.state_dict(), before[0])
    assert_same(schedule.state_dict(), before[1])
    model(x).square().sum().backward()
    schedule.step()
    assert schedule.updates == 1


@pytest.mark.parametrize("kind", [el.dynamic.SET, el.dynamic.RigL, el.dynamic.Prune])
def test_weights_that_are_not_finite_are_refused_and_all_layers_stay(kind):
    model = nn.Sequential(layer_of((5, 4), 8), nn.ReLU(), layer_of((4, 3), 6))
    optimizer = sgd(model)
    options = dict(until=1) if kind is el.dynamic.Prune else {}
    schedule = kind(model, optimizer, fraction=0.5, every=1, **options)
    model(torch.ones(2, 5, dtype=torch.float64)).square().sum().backward()
    optimizer.step()
    with torch.no_grad():
        model[2].weight[3] = float("nan")
    before = copy.deepcopy(schedule.state_dict())
    edges = pairs(model[0])
    for _ in range(2):
        with pytest.raises(
            ValueError, match="`2` has the weight nan at edge 3, which no magnitude"
        ):
            schedule.step()
    assert pairs(model[0]) == edges
    assert_same(schedule.state_dict(), before)


def assert_same(state, before):
    assert state.keys() == before.keys()
    for name, value in state.items():
        if name == "history":  # which has texts, too
            assert value == before[name]
        elif name != "wirings":
            assert_close(value, before[name], rtol=0, atol=0)
