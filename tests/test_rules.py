"""Tied, signed and frozen weights: what the optimizer sees, and what it cannot break."""

import pytest
import torch
from problems import dense
from ruled import (
    INDEX,
    MASK,
    PROBLEM,
    RULES,
    SCALE,
    SIGNS,
    every_rule,
    follows,
    make_layer,
    with_signs,
)
from torch.testing import assert_close

import edgelinear as el
from edgelinear import rules

OTHER_SIGNS = torch.where(torch.arange(40) % 2 == 0, 1.0, -1.0)


@every_rule
@pytest.mark.parametrize(
    "optimizer",
    [
        lambda p: torch.optim.SGD(p, 0.5, momentum=0.9, weight_decay=0.1),
        lambda p: torch.optim.AdamW(p, 0.5, weight_decay=0.5),
        lambda p: torch.optim.LBFGS(p, max_iter=3),
    ],
    ids=["SGD", "AdamW", "LBFGS"],
)
def test_no_optimizer_breaks_a_rule(name, optimizer):
    layer = RULES[name](make_layer())
    before = layer.weight.detach().clone()
    optimizer = optimizer(layer.parameters())
    x, y = PROBLEM.x(), PROBLEM.grad()

    def loss():
        optimizer.zero_grad()
        value = (layer(x) - y).square().sum()
        value.backward()
        return value

    for _ in range(4):
        optimizer.step(loss)
    assert follows(name, layer, before)
    assert not torch.equal(layer.weight, before)


@every_rule
def test_gradient_of_the_parameter_is_that_of_a_dense_twin(name):
    layer = RULES[name](make_layer(bias=False))
    layer(PROBLEM.x()).backward(PROBLEM.grad())
    ours = layer.parametrizations.weight.original
    values = ours.detach().clone().requires_grad_()
    if "tied" in name:
        weight = values[INDEX] * (SCALE if "scaled" in name else 1)
    elif "frozen" in name:
        weight = layer.weight.detach().abs() if "signed" in name else layer.weight.detach()
        weight = weight.clone().index_put(((~MASK).nonzero()[:, 0],), values)
    else:
        weight = values
    if "signed" in name:
        weight = weight.abs() * SIGNS[layer.topology.src.long()]
    if "nonnegative" in name:
        weight = weight.abs()
    (PROBLEM.x() @ dense(weight, PROBLEM).T).backward(PROBLEM.grad())
    assert_close(ours.grad, values.grad)


def test_optimizer_sees_as_many_numbers_as_may_move():
    assert rules.tie(make_layer(), INDEX).parametrizations.weight.original.shape == (7,)
    assert rules.freeze(make_layer(), MASK).parametrizations.weight.original.shape == (30,)


@pytest.mark.parametrize("scale", [None, SCALE])
@pytest.mark.parametrize("reset", [False, True])
def test_tied_weights_start_at_the_scale_of_fresh_ones(scale, reset):
    layer = make_layer()
    before = layer.weight.detach().clone()
    rules.tie(layer, INDEX, scale=scale)
    if reset:
        torch.manual_seed(0)
        layer.reset_parameters()
        torch.manual_seed(0)
        before = make_layer().weight.detach()
    for i in range(7):
        into, old = layer.weight[INDEX == i], before[INDEX == i]
        assert_close(into.square().sum(), old.square().sum())
        asked = old if scale is None else old * scale[INDEX == i]
        assert into[0].sign() == asked.sum().sign()


def test_weights_that_are_tied_already_stay():
    weight = torch.arange(7.0, dtype=torch.float64)[INDEX] * SCALE
    layer = rules.tie(make_layer(weight=weight), INDEX, scale=SCALE)
    assert_close(layer.weight, weight)
    assert_close(layer.parametrizations.weight.original, torch.arange(7.0).double())


def test_nonnegative_parameters_leave_edges_the_sign_of_their_scale():
    scale = SCALE * SIGNS[PROBLEM.topology().src.long()]
    layer = rules.tie(make_layer(), INDEX, scale=scale, nonnegative=True)
    assert torch.equal(layer.weight.sign(), scale.sign())
    with torch.no_grad():
        layer.parametrizations.weight.original.sub_(10.0)
    assert torch.equal(layer.weight.sign(), scale.sign())
    with pytest.raises(RuntimeError, match="nonnegative` in this checkpoint is that of another"):
        layer.load_state_dict(rules.tie(make_layer(), INDEX, scale=scale).state_dict())


@pytest.mark.parametrize("name", ["frozen", "tied"])
def test_order_of_signs_and_another_rule_makes_no_difference(name):
    signs = SIGNS if name == "frozen" else torch.ones(13)

    def prepare():
        return with_signs(make_layer(weight=torch.ones(40)), signs)

    first = RULES[name](rules.fix_signs(prepare(), signs))
    last = rules.fix_signs(RULES[name](prepare()), signs)
    last.load_state_dict(first.state_dict())  # of the same rules, in the same order
    assert torch.equal(first.weight, last.weight)
    assert torch.equal(first.weight, prepare().weight)


def test_signs_may_be_those_of_edges():
    signs = torch.where(torch.rand(40) < 0.5, -1, 1)
    layer = rules.fix_signs(make_layer(), signs, of="edges")
    assert torch.equal(layer.weight.sign(), signs.double())


def test_frozen_edges_may_be_anything():
    weight = torch.ones(40, dtype=torch.float64)
    weight[:2] = torch.nan  # one of which is frozen
    layer = rules.freeze(make_layer(weight=weight), MASK)
    assert torch.equal(layer.weight.isnan(), weight.isnan())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_are_tied_exactly(dtype):
    layer = el.EdgeLinear(5000, 1, torch.stack([torch.arange(5000), torch.zeros(5000).long()]),
                          weight=torch.ones(5000), dtype=dtype)  # fmt: skip
    assert rules.tie(layer, [0] * 5000).parametrizations.weight.original.item() == 1.0


@pytest.mark.parametrize(
    "call",
    [
        lambda layer: rules.tie(layer, INDEX, scale=SCALE * torch.nan),
        lambda layer: rules.fix_signs(rules.fix_nonnegative(layer), -torch.ones(13)),
        lambda layer: rules.tie(rules.fix_nonnegative(layer), INDEX, scale=OTHER_SIGNS),
    ],
    ids=["scale", "signs", "tie under signs"],
)
def test_rule_that_fails_changes_nothing(call):
    layer = make_layer(weight=torch.ones(40))
    with pytest.raises(ValueError):
        call(layer)
    assert torch.equal(layer.weight, torch.ones_like(layer.weight))


def test_signed_weights_keep_their_magnitudes():
    layer = make_layer()
    before = layer.weight.detach().clone()
    assert_close(rules.fix_signs(layer, SIGNS).weight.abs(), before.abs())


@pytest.mark.parametrize("name", ["tied", "signed", "nonnegative", "frozen", "balanced"])
def test_rules_need_values(name):
    rule = RULES.get(name, rules.balance)
    with pytest.raises(ValueError, match="these are on the meta device"):
        rule(make_layer(device="meta"))


@every_rule
def test_reset_draws_anew_within_the_rule(name):
    layer = RULES[name](make_layer())
    before = layer.weight.detach().clone()
    layer.reset_parameters()
    assert follows(name, layer, before)
    assert not torch.equal(layer.weight, before)


def test_assignment_must_keep_to_the_rule():
    layer = rules.tie(make_layer(), INDEX)
    layer.weight = torch.arange(7.0, dtype=torch.float64)[INDEX]
    assert layer.parametrizations.weight.original.tolist() == list(range(7))
    with pytest.raises(ValueError, match="one number times the scale"):
        layer.weight = torch.arange(40.0, dtype=torch.float64)
    layer = rules.fix_signs(make_layer(), SIGNS)
    with pytest.raises(ValueError, match="for edge .*, whose sign is"):
        layer.weight = -layer.weight.detach()
    layer = rules.freeze(make_layer(), MASK)
    with pytest.raises(ValueError, match="edge 0, which is frozen at"):
        layer.weight = layer.weight.detach() + 1


def test_weight_decay_reaches_the_parameter():
    layer = rules.tie(make_layer(), INDEX)
    decaying, _ = el.param_groups(layer, weight_decay=0.1)
    assert [p.shape for p in decaying["params"]] == [(7,)]


def test_scale_too_small_for_the_type_is_refused():
    layer = make_layer(torch.float16, weight=torch.full((40,), 100.0))
    with pytest.raises(ValueError, match="of edge 0 would be too large for torch.float16"):
        rules.tie(layer, INDEX, scale=torch.full((40,), 1e-4))


def test_balance_cancels_and_keeps_the_scale():
    layer = make_layer()
    before = layer.weight.detach().clone()
    rules.balance(layer)
    dst = layer.topology.dst.long()
    for target in range(7):
        into, old = layer.weight[dst == target], before[dst == target]
        if (old > 0).any() and (old < 0).any():
            assert_close(into.sum(), into.sum() * 0, rtol=0, atol=1e-12)
        else:
            assert torch.equal(into, old)
        assert_close(into.square().sum(), old.square().sum())
        assert torch.equal(into.sign(), old.sign())


def test_balance_respects_signs():
    layer = rules.balance(rules.fix_signs(make_layer(), SIGNS))
    assert follows("signed", layer, None)


@pytest.mark.parametrize(
    "make",
    [
        lambda layer: rules.freeze(layer, MASK),
        lambda layer: rules.fix_signs(layer, -torch.ones(13)),
        lambda layer: rules.tie(layer, torch.zeros(40, dtype=torch.long), scale=SCALE * SIGNS[0]),
    ],
    ids=["frozen", "signed", "tied"],
)
def test_signs_that_disagree_with_a_rule_are_refused(make):
    layer = make(make_layer())
    before = layer.weight.detach().clone()
    signs = SIGNS if layer.parametrizations.weight.original.shape == (1,) else torch.ones(13)
    with pytest.raises(ValueError):
        rules.fix_signs(layer, signs)
    assert torch.equal(layer.weight, before)


def test_rule_keeps_its_own_numbers():
    index, scale = INDEX.clone(), SCALE.clone()
    layer = rules.tie(make_layer(), index, scale=scale)
    before = layer.weight.detach().clone()
    index.zero_(), scale.zero_()
    assert torch.equal(layer.weight, before)


def test_rule_can_be_made_after_a_gradient():
    layer = make_layer()
    layer(PROBLEM.x()).sum().backward()
    rules.freeze(layer, MASK)
    optimizer = torch.optim.SGD(layer.parameters(), 0.1, momentum=0.9)
    layer(PROBLEM.x()).sum().backward()
    optimizer.step()


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda layer: rules.tie(layer, INDEX[1:]), ValueError, "each of the 40 edges"),
        (lambda layer: rules.tie(layer, INDEX - 1), ValueError, "not be negative, got -1"),
        (lambda layer: rules.tie(layer, INDEX.double()), TypeError, "whole numbers"),
        (lambda layer: rules.tie(layer, INDEX, scale=INDEX), ValueError, "got 0.0 for edge 0"),
        (lambda layer: rules.tie(rules.tie(layer, INDEX), INDEX), ValueError, "are tied already"),
        (lambda layer: rules.fix_signs(layer, SIGNS * 2), ValueError, "got -2 for input 0"),
        (lambda layer: rules.fix_signs(layer, SIGNS > 0), ValueError, "got 0 for input 0"),
        (
            lambda layer: rules.fix_signs(layer, SIGNS, of="edge"),
            ValueError,
            '"sources" or "edges"',
        ),
        (lambda layer: rules.freeze(torch.nn.Linear(2, 2), MASK), TypeError, "got Linear"),
        (lambda layer: rules.fix_signs(layer, [1, -1]), ValueError, "each of the 13 inputs"),
        (lambda layer: rules.freeze(layer, MASK.int()), TypeError, "truth values"),
        (lambda layer: rules.fix_signs(layer, {"a": 1}), TypeError, "`signs` must be .* got dict"),
        (lambda layer: rules.tie(layer, ["a"] * 40), TypeError, "`index` must be .*factorize"),
        (lambda layer: rules.freeze(rules.tie(layer, INDEX), MASK), ValueError, "are tied already"),
    ],
)
def test_impossible_rule_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call(make_layer())
