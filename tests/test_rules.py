"""Tied, signed and frozen weights: what the optimizer sees, and what it cannot break."""

import copy
import io

import pytest
import torch
from problems import PROBLEMS, dense, random
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import weight_norm
from torch.testing import assert_close

import edgelinear as el
from edgelinear import rules

PROBLEM = PROBLEMS["unsorted"]
INDEX = torch.arange(40) % 7
SCALE = random(40, seed=5) + 3
SIGNS = torch.where(torch.arange(13) % 3 == 0, -1, 1)
OTHER_SIGNS = torch.where(torch.arange(40) % 2 == 0, 1.0, -1.0)
MASK = torch.arange(40) % 4 == 0


def make_layer(dtype=torch.float64, **options):
    return el.EdgeLinear.from_topology(PROBLEM.topology(), dtype=dtype, **options)


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


@every_rule
def test_checkpoint_keeps_rule_and_values(name):
    layer = RULES[name](make_layer())
    with torch.no_grad():
        layer.parametrizations.weight.original.mul_(0.5)
    buffer = io.BytesIO()
    torch.save(layer.state_dict(), buffer)
    buffer.seek(0)
    state = torch.load(buffer, weights_only=True)
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


@pytest.mark.parametrize("name", ["tied", "signed", "nonnegative", "frozen", "balanced"])
def test_rules_need_values(name):
    rule = RULES.get(name, rules.balance)
    with pytest.raises(ValueError, match="these are on the meta device"):
        rule(make_layer(device="meta"))


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


@every_rule
def test_reset_draws_anew_within_the_rule(name):
    layer = RULES[name](make_layer())
    before = layer.weight.detach().clone()
    layer.reset_parameters()
    assert follows(name, layer, before)
    assert not torch.equal(layer.weight, before)


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


def test_scale_too_small_for_the_type_is_refused():
    layer = make_layer(torch.float16, weight=torch.full((40,), 100.0))
    with pytest.raises(ValueError, match="of edge 0 would be too large for torch.float16"):
        rules.tie(layer, INDEX, scale=torch.full((40,), 1e-4))


def test_parametrizations_of_torch_may_be_used():
    layer = weight_norm(make_layer())
    decaying, _ = el.param_groups(layer, weight_decay=0.1)
    assert [p.shape for p in decaying["params"]] == [(40,), (40,)]
    twin = weight_norm(make_layer())
    twin.load_state_dict(layer.state_dict())
    assert torch.equal(twin.weight, layer.weight)


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


def test_rules_can_be_taken_off():
    layer = rules.tie(make_layer(), INDEX)
    weight = layer.weight.detach().clone()
    parametrize.remove_parametrizations(layer, "weight")
    assert torch.equal(layer.weight, weight) and layer.weight.shape == (40,)


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
