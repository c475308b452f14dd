"""`set_weight`, and assignment: what goes in comes out, rules hold, and nothing is shared."""

import math

import numpy as np
import pytest
import torch
from torch.nn.utils import parametrizations, prune
from torch.testing import assert_close

import edgelinear as el
from edgelinear import rules

EDGES = [(0, 0), (1, 0), (2, 1), (0, 1)]
VALUES = [2.0, -3.0, 4.0, 5.0]
RULES = {
    "none": lambda layer: layer,
    "tied": lambda layer: rules.tie(layer, [0, 1, 0, 2], scale=[1, 1, 2, 1], on_conflict="project"),
    "signed": lambda layer: rules.fix_signs(layer, [1, -1, 1]),
    "frozen": lambda layer: rules.freeze(layer, [False, False, True, False]),
    "signed and frozen": lambda layer: rules.freeze(
        rules.fix_signs(layer, [1, -1, 1]), [False, False, True, False]
    ),
    "weight_norm": lambda layer: parametrizations.weight_norm(layer),
}
every_rule = pytest.mark.parametrize("name", RULES)


def make_layer(name="none", **options):
    return RULES[name](el.EdgeLinear(3, 2, EDGES, weight=[1.0, -1.0, 4.0, 1.0], **options))


def numbers(layer):
    return [p.detach().clone() for p in layer.parameters()]


@every_rule
@pytest.mark.parametrize(
    "kind",
    [list, tuple, np.array, torch.tensor, lambda v: torch.tensor(v).double(), np.float16],
    ids=["list", "tuple", "array", "tensor", "float64", "float16"],
)
def test_weights_are_those_that_are_set(name, kind):
    if name == "tied":
        layer, values = make_layer(name), [2.0, -3.0, 4.0, 5.0]
    else:
        layer, values = make_layer(name), VALUES
    layer.set_weight(kind(values))
    assert_close(layer.weight.detach(), torch.tensor(values))
    x = torch.tensor([[1.0, 10.0, 100.0]])
    expected = torch.tensor([[2.0 - 30.0, 400.0 + 5.0]])
    assert_close((layer(x) - layer.bias).detach(), expected)


@every_rule
def test_parameters_stay_the_same_objects_in_the_same_memory(name):
    layer = make_layer(name)
    before = [(p, p.data_ptr()) for p in layer.parameters()]
    layer.set_weight(VALUES)
    assert all(
        p is q and p.data_ptr() == at for p, (q, at) in zip(layer.parameters(), before, strict=True)
    )


@every_rule
def test_values_are_copied(name):
    layer, values = make_layer(name), torch.tensor(VALUES)
    layer.set_weight(values)
    multiply(layer)
    assert values.tolist() == VALUES


@pytest.mark.parametrize("name", ["tied", "signed", "frozen", "signed and frozen"])
def test_values_that_are_assigned_are_copied(name):
    layer, values = make_layer(name), torch.tensor(VALUES)
    layer.weight = values
    multiply(layer)
    assert values.tolist() == VALUES


@torch.no_grad()
def multiply(layer):
    for parameter in layer.parameters():
        parameter.mul_(10.0)


@every_rule
@pytest.mark.parametrize(
    "values, error, message",
    [
        (VALUES[:3], ValueError, r"one number for each of the 4 edges, got shape \(3,\)"),
        (1.0, ValueError, r"one number for each of the 4 edges, got shape \(\)"),
        ([VALUES], ValueError, r"got shape \(1, 4\)"),
        (torch.tensor(VALUES) * 1j, TypeError, "must be real"),
        (
            np.array([2.0, -1e39, 4.0, 5.0]),
            ValueError,
            r"`weight` holds -1e\+39 at position 1, which is too large for torch.float32",
        ),
    ],
    ids=["short", "scalar", "two dimensions", "complex", "overflow"],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(name, values, error, message):
    layer = make_layer(name)
    before = numbers(layer)
    with pytest.raises(error, match=message):
        layer.set_weight(values)
    if name not in ("none", "weight_norm"):
        with pytest.raises(error, match=message):
            layer.weight = values
    assert_close(numbers(layer), before, rtol=0, atol=0)


@pytest.mark.parametrize(
    "name, values, message",
    [
        ("tied", [2.0, -3.0, 5.0, 5.0], "one number times the scale .* edge 0"),
        ("signed", [2.0, 3.0, 4.0, 5.0], "got 3 for edge 1, whose sign is -1"),
        ("frozen", [2.0, -3.0, 4.5, 5.0], "got 4.5 for edge 2, which is frozen at 4"),
        ("signed and frozen", [2.0, 3.0, 4.0, 5.0], "got 3 for edge 1, whose sign is -1"),
        ("signed and frozen", [2.0, -3.0, 4.5, 5.0], "got 4.5 for edge 2, which is frozen at 4"),
    ],
)
def test_what_breaks_a_rule_is_refused_with_its_edge(name, values, message):
    layer = make_layer(name)
    before = numbers(layer)
    with pytest.raises(ValueError, match=message):
        layer.set_weight(values)
    assert_close(numbers(layer), before, rtol=0, atol=0)


@every_rule
def test_gradients_flow_after_weights_are_set(name):
    layer = make_layer(name)
    layer.set_weight((layer.weight * 1.0).requires_grad_())
    layer(torch.ones(1, 3)).sum().backward()
    assert all(p.grad is not None for p in layer.parameters())


def test_weights_on_the_meta_device_are_refused():
    with pytest.raises(ValueError, match="on the meta device, .* `to_empty`"):
        el.EdgeLinear(3, 2, EDGES, device="meta").set_weight(VALUES)


def test_weights_that_something_else_computes_are_refused():
    layer = make_layer()
    prune.l1_unstructured(layer, "weight", amount=0.5)
    with pytest.raises(ValueError, match="computed from weight_orig"):
        layer.set_weight(VALUES)
    prune.remove(layer, "weight")
    layer.set_weight(VALUES)
    assert layer.weight.tolist() == VALUES

    class Half(torch.nn.Module):
        def forward(self, weight):
            return weight / 2

    layer = make_layer()
    torch.nn.utils.parametrize.register_parametrization(layer, "weight", Half())
    with pytest.raises(ValueError, match="a Half, which has no `right_inverse`"):
        layer.set_weight(VALUES)


def test_weights_of_another_type_are_rounded_as_torch_does():
    layer = make_layer(dtype=torch.bfloat16)
    layer.set_weight([1.001, math.pi, 4.0, 1e-3])
    assert torch.equal(layer.weight, torch.tensor([1.001, math.pi, 4.0, 1e-3]).bfloat16())


def test_shared_memory_stays_shared():
    layer = rules.fix_signs(el.EdgeLinear(3, 2, EDGES), [1, -1, 1]).share_memory()
    layer.weight = torch.tensor(VALUES)
    assert layer.parametrizations.weight.original.is_shared()


@pytest.mark.parametrize("value", [1e39, -1e39])
def test_initial_weights_that_overflow_are_refused(value):
    with pytest.raises(ValueError, match="too large for torch.float32"):
        el.EdgeLinear(2, 1, [(0, 0), (1, 0)], weight=np.array([1.0, value]))
    layer = el.EdgeLinear(
        2, 1, [(0, 0), (1, 0)], weight=np.array([1.0, value]), dtype=torch.float64
    )
    assert layer.weight.tolist() == [1.0, value]
    assert el.EdgeLinear(1, 1, [(0, 0)], weight=[math.inf]).weight.tolist() == [math.inf]


@pytest.mark.parametrize("values", [[0.0] * 3, [1.0, 0.0, 2.0]])
@pytest.mark.parametrize("dim", [0, None])
def test_weights_that_a_norm_cannot_give_are_refused(values, dim):
    layer = el.EdgeLinear(2, 2, [(0, 0), (0, 1), (1, 1)], weight=[1.0, 2.0, 3.0])
    parametrizations.weight_norm(layer, dim=dim)
    if dim is None and any(values):  # one norm for all
        layer.set_weight(values)
        assert_close(layer.weight, torch.tensor(values))
        return
    edge = values.index(0.0)
    with pytest.raises(
        ValueError, match=f"not be 0 for edge {edge}, of which _WeightNorm makes nan"
    ):
        layer.set_weight(values)
    assert_close(layer.weight, torch.tensor([1.0, 2.0, 3.0]))


def test_values_on_the_meta_device_are_refused():
    values = torch.empty(1, device="meta")
    layer = el.EdgeLinear(1, 1, [(0, 0)], weight=[2.0])
    with pytest.raises(ValueError, match="`weight` is on the meta device, where no values are"):
        layer.set_weight(values)
    assert layer.weight.tolist() == [2.0]
    with pytest.raises(ValueError, match="`weight` is on the meta device"):
        el.EdgeLinear(1, 1, [(0, 0)], weight=values)
    el.EdgeLinear(1, 1, [(0, 0)], weight=values, device="meta")


@pytest.mark.parametrize("index", [[0, 1, 2], [0, 0, 1]])
def test_wrong_signs_of_tied_weights_are_named_as_such(index):
    layer = el.EdgeLinear(2, 2, [(0, 0), (0, 1), (1, 1)], weight=[1.0, 1.0, 3.0])
    rules.tie(layer, index, scale=[2.0, 2.0, -1.0], nonnegative=True, on_conflict="project")
    with pytest.raises(
        ValueError, match="must have the signs of the scale.* got -1 for edge 0, whose scale is 2"
    ):
        layer.set_weight([-1.0, -1.0, 3.0])
