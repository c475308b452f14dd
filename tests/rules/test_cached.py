"""Weights with rules under `parametrize.cached()`, and read once a step: never those of before."""

import copy

import pytest
import torch
from torch.nn.utils import parametrize
from torch.testing import assert_close
from torch.utils.checkpoint import checkpoint

import edgelinear as el
from edgelinear import rules

EDGES = [(s, t) for t in range(6) for s in range(6) if (s + 2 * t) % 3]
NUMBER = len(EDGES)
INDEX = torch.arange(NUMBER) % 5
MASK = torch.arange(NUMBER) % 4 == 0
RULES = {
    "tied": lambda layer: rules.tie(layer, INDEX),
    "signed": lambda layer: rules.fix_signs(layer, [1, -1, 1, -1, 1, 1]),
    "frozen": lambda layer: rules.freeze(layer, MASK),
    "tied and signed": lambda layer: rules.tie(rules.fix_nonnegative(layer), INDEX),
}
every_rule = pytest.mark.parametrize("name", RULES)


def make_layer(name):
    torch.manual_seed(0)
    return RULES[name](el.EdgeLinear(6, 6, EDGES, dtype=torch.float64))


def parameter(layer):
    return layer.parametrizations.weight.original


def dense_weight(name, values, start):  # (6, 6), of a parameter
    """Return the dense matrix that these values of the parameter give, by its definition."""
    if name == "tied":
        weight = values[INDEX]
    elif name == "signed":
        signs = torch.tensor([1.0, -1, 1, -1, 1, 1], dtype=torch.float64)
        weight = values.abs() * signs[torch.tensor(EDGES)[:, 0]]
    elif name == "frozen":
        weight = start.clone().index_put(((~MASK).nonzero()[:, 0],), values)
    else:
        weight = values[INDEX].abs()
    src, dst = torch.tensor(EDGES).T
    return torch.zeros(6, 6, dtype=torch.float64).index_put((dst, src), weight)


def inputs(steps):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(steps, 3, 6, generator=generator, dtype=torch.float64)


def dense_states(name, layer, x):
    """Return the gradient of the sum of squares of the last state, by a dense loop."""
    values = parameter(layer).detach().clone().requires_grad_()
    matrix = dense_weight(name, values, layer.weight.detach())
    h = torch.zeros(3, 6, dtype=torch.float64)
    for step in x:
        h = torch.tanh(h @ matrix.T + layer.bias.detach() + step)
    h.square().sum().backward()
    return h.detach(), values.grad


def step_once(layer, weight, h, x):
    return torch.tanh(el.edge_linear(h, weight, layer.topology, layer.bias) + x)


@every_rule
def test_weight_read_once_gives_the_gradient_through_time_of_a_dense_loop(name):
    layer, x = make_layer(name), inputs(5)
    expected, grad = dense_states(name, layer, x)
    weight, h = layer.weight, torch.zeros(3, 6, dtype=torch.float64)
    for step in x:
        h = step_once(layer, weight, h, step)
    h.square().sum().backward()
    assert_close(h.detach(), expected)
    assert_close(parameter(layer).grad, grad)


@every_rule
@pytest.mark.parametrize("reentrant", [True, False])
def test_weight_read_once_may_be_checkpointed(name, reentrant):
    layer, x = make_layer(name), inputs(5)
    _, grad = dense_states(name, layer, x)
    weight, h = layer.weight, torch.zeros(3, 6, dtype=torch.float64)
    for step in x:
        h = checkpoint(step_once, layer, weight, h, step, use_reentrant=reentrant)
    h.square().sum().backward()
    assert_close(parameter(layer).grad, grad)


@every_rule
def test_weight_read_once_a_stretch_trains_truncated_as_a_dense_loop_does(name):
    layer, twin = make_layer(name), make_layer(name)
    values = parameter(twin).detach().clone().requires_grad_()
    start, bias = twin.weight.detach(), twin.bias.detach().clone().requires_grad_()
    ours = torch.optim.SGD(layer.parameters(), 0.1)
    theirs = torch.optim.SGD([values, bias], 0.1)
    h = g = torch.zeros(3, 6, dtype=torch.float64)
    for stretch in inputs(6).split(2):
        weight, matrix = layer.weight, dense_weight(name, values, start)
        h, g = h.detach(), g.detach()
        for step in stretch:
            h = step_once(layer, weight, h, step)
            g = torch.tanh(g @ matrix.T + bias + step)
        for optimizer, state in ((ours, h), (theirs, g)):
            optimizer.zero_grad()
            state.square().sum().backward()
            optimizer.step()
    assert_close(parameter(layer).detach(), values.detach())
    assert_close(h, g)


@every_rule
def test_weight_is_not_kept_when_the_optimizer_steps(name):
    layer = make_layer(name)
    optimizer = torch.optim.SGD(layer.parameters(), 0.5)
    with parametrize.cached():
        layer(inputs(1)[0]).square().sum().backward()
        before = layer.weight.detach().clone()
        optimizer.step()
        inside = layer.weight.detach().clone()
        inside_y = layer(inputs(1)[0])
    assert not torch.equal(inside, before)
    assert torch.equal(inside, layer.weight)
    assert torch.equal(inside_y, layer(inputs(1)[0]))


@every_rule
def test_weight_is_not_kept_when_a_backward_has_freed_its_graph(name):
    layer, x = make_layer(name), inputs(4)
    _, grad = dense_states(name, layer, x[:1])
    with parametrize.cached():
        for _ in range(2):
            torch.tanh(
                layer(torch.zeros(3, 6, dtype=torch.float64)) + x[0]
            ).square().sum().backward()
    assert_close(parameter(layer).grad, 2 * grad)


@every_rule
def test_weight_is_not_kept_without_gradients(name):
    layer = make_layer(name)
    with parametrize.cached():
        with torch.no_grad():
            layer(inputs(1)[0])
        layer(inputs(1)[0]).sum().backward()
    assert parameter(layer).grad is not None


@every_rule
@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("inside", [True, False], ids=["within", "after"])
def test_layer_under_cached_may_be_checkpointed(name, reentrant, inside):
    layer, x = make_layer(name), inputs(4)
    _, grad = dense_states(name, layer, x)

    def run(h, step):
        return torch.tanh(layer(h) + step)

    h = torch.zeros(3, 6, dtype=torch.float64, requires_grad=True)
    with parametrize.cached():
        state = h
        for step in x:
            state = checkpoint(run, state, step, use_reentrant=reentrant)
        if inside:
            state.square().sum().backward()
    if not inside:
        state.square().sum().backward()
    assert_close(parameter(layer).grad, grad)


@every_rule
def test_copies_under_cached_have_weights_of_their_own(name):
    layer = make_layer(name)
    twin = copy.deepcopy(layer)
    with torch.no_grad():
        parameter(twin).mul_(3.0)
    expected = twin.weight.detach().clone()
    with parametrize.cached():
        assert not torch.equal(layer.weight, expected)
        assert torch.equal(twin.weight, expected)


@every_rule
def test_rules_are_taken_off_as_torch_does(name):
    layer = make_layer(name)
    weight = layer.weight.detach().clone()
    parametrize.remove_parametrizations(layer, "weight")
    assert type(layer) is el.EdgeLinear
    assert isinstance(layer.weight, torch.nn.Parameter) and torch.equal(layer.weight, weight)
