"""Training: every optimizer moves the weights of the edges as it moves those of a dense layer."""

import copy
import warnings

import pytest
import torch
import torch.nn.functional as F
from problems import SMALL, Problem, backend_params, random
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.testing import assert_close

import edgelinear as el

PARALLEL = SMALL
PROBLEM = SMALL._replace(edge_index=SMALL.edge_index[:, :6])  # each edge once
backends = pytest.mark.parametrize("backend", backend_params())

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "sgd momentum": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
    "sgd weight decay": lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.1),
    "sgd foreach": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, foreach=True),
    "sgd fused": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, fused=True),
    "adam": lambda p: torch.optim.Adam(p, lr=0.05),
    "adam amsgrad": lambda p: torch.optim.Adam(p, lr=0.05, amsgrad=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.05, weight_decay=0.1),
    "adamw foreach": lambda p: torch.optim.AdamW(p, lr=0.05, weight_decay=0.1, foreach=True),
    "adamw fused": lambda p: torch.optim.AdamW(p, lr=0.05, weight_decay=0.1, fused=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.02, momentum=0.5, centered=True),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.1),
}


def make_layer(problem=PROBLEM, backend="auto", dtype=torch.float64):
    return problem.layer(dtype, backend)


def on_edges(layer, matrix):
    """Return the entries of a dense matrix at the edges of the layer."""
    src, dst = layer.edge_index
    return matrix[dst, src]


def step(model, optimizer, seed, dtype=torch.float64):
    x, target = random(8, 5, dtype=dtype, seed=seed), random(8, 4, dtype=dtype, seed=100 + seed)
    optimizer.zero_grad()
    F.mse_loss(model(x), target, reduction="sum").backward()
    optimizer.step()


def train(model, make_optimizer, steps=4):
    optimizer = make_optimizer(model.parameters())
    for seed in range(steps):
        step(model, optimizer, seed)


# Optimizers


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer_trains_as_the_dense_masked_layer(name):
    layer = make_layer()
    twin = layer.to_masked_linear()
    before = layer.weight.detach().clone()
    train(layer, OPTIMIZERS[name])
    train(twin, OPTIMIZERS[name])
    assert_close(layer.weight, on_edges(layer, twin.weight))
    assert_close(layer.bias, twin.bias)
    assert (layer.weight != before).all()


@backends
def test_adam_trains_as_the_dense_masked_layer_on_backend(backend):
    layer = make_layer(backend=backend)
    twin = layer.to_masked_linear()
    train(layer, OPTIMIZERS["adam"])
    train(twin, OPTIMIZERS["adam"])
    assert_close(layer.weight, on_edges(layer, twin.weight))


def test_parallel_edges_train_as_two_dense_matrices():
    layer = make_layer(PARALLEL)
    first, second = torch.arange(7) < 6, torch.arange(7) >= 6
    halves = [
        el.EdgeLinear(5, 4, layer.edge_index[:, half], weight=layer.weight[half], bias=False)
        .double()
        .to_masked_linear()
        for half in (first, second)
    ]
    for half, twin in zip((first, second), halves, strict=True):
        with torch.no_grad():
            twin.weight.copy_(torch.zeros(4, 5, dtype=torch.float64))
            src, dst = layer.edge_index[:, half]
            twin.weight[dst, src] = layer.weight[half]
    bias = nn.Parameter(layer.bias.detach().clone())

    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.halves, self.bias = nn.ModuleList(halves), bias

        def forward(self, x):
            return self.halves[0](x) + self.halves[1](x) + self.bias

    train(layer, OPTIMIZERS["adam"])
    train(Sum(), OPTIMIZERS["adam"])
    expected = torch.cat(
        [
            halves[0].weight[layer.edge_index[1, first], layer.edge_index[0, first]],
            halves[1].weight[layer.edge_index[1, second], layer.edge_index[0, second]],
        ]
    )
    assert_close(layer.weight, expected)


def test_param_groups_train_as_the_dense_masked_layer():
    layer = make_layer()
    twin = layer.to_masked_linear()
    for model in (layer, twin):
        optimizer = torch.optim.AdamW(el.param_groups(model, weight_decay=0.3), lr=0.05)
        for seed in range(4):
            step(model, optimizer, seed)
    assert_close(layer.weight, on_edges(layer, twin.weight))
    assert_close(layer.bias, twin.bias)


@pytest.mark.parametrize("foreach", [True, False])
def test_clip_grad_norm_clips_as_on_the_dense_masked_layer(foreach):
    layer = make_layer()
    twin = layer.to_masked_linear()
    norms = []
    for model in (layer, twin):
        model(PROBLEM.x()).pow(2).sum().backward()
        norms.append(nn.utils.clip_grad_norm_(model.parameters(), 0.5, foreach=foreach))
    assert norms[0] > 0.5
    assert_close(*norms)
    assert_close(layer.weight.grad, on_edges(layer, twin.weight.grad))


def test_exponential_average_equals_that_of_the_dense_masked_layer():
    layer = make_layer()
    twin = layer.to_masked_linear()
    averages = []
    for model in (layer, twin):
        average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
        optimizer = OPTIMIZERS["adam"](model.parameters())
        for seed in range(4):
            step(model, optimizer, seed)
            average.update_parameters(model)
        averages.append(average)
    x = PROBLEM.x()
    assert_close(averages[0](x), averages[1](x))
    assert not torch.allclose(averages[0](x), layer(x))


def test_average_shares_the_wiring_of_its_layer():
    layer = make_layer()
    assert AveragedModel(layer).module.topology is layer.topology


# Frozen parts


@pytest.mark.parametrize("frozen", ["weight", "bias", "x", "weight and bias", "bias and x"])
def test_frozen_part_has_no_gradient_and_the_rest_the_dense_ones(frozen):
    layer, x = make_layer(PARALLEL), PARALLEL.x()
    parts = {"weight": layer.weight, "bias": layer.bias, "x": x}
    for name, part in parts.items():
        part.requires_grad_(name not in frozen)
    layer(x).pow(2).sum().backward()
    learning = {name: part for name, part in parts.items() if part.requires_grad}
    y = F.linear(x, layer.to_dense(), layer.bias)
    expected = torch.autograd.grad(y.pow(2).sum(), list(learning.values()))
    for name, part in parts.items():
        assert (part.grad is None) == (name not in learning)
    assert_close([part.grad for part in learning.values()], list(expected))


def test_layer_that_is_all_frozen_gives_an_output_without_graph():
    layer = make_layer().requires_grad_(False)
    assert not layer(PROBLEM.x()).requires_grad


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@backends
def test_output_without_grad_equals_dense_and_has_no_graph(backend, mode):
    layer = make_layer(PARALLEL, backend)
    with mode():
        y = layer(PARALLEL.x())
    assert not y.requires_grad
    assert_close(y, F.linear(PARALLEL.x(), layer.to_dense(), layer.bias).detach())


def test_layer_trains_after_inference_mode():
    layer = make_layer()
    with torch.inference_mode():
        layer(PROBLEM.x())
    layer(PROBLEM.x()).sum().backward()
    assert layer.weight.grad.abs().sum() > 0


def test_layer_made_under_inference_mode_gives_its_output_there():
    with torch.inference_mode():
        layer = make_layer()
        assert_close(layer(PROBLEM.x()), F.linear(PROBLEM.x(), layer.to_dense(), layer.bias))


def test_topology_made_under_inference_mode_can_train():
    with torch.inference_mode():
        topology = PARALLEL.topology()
    layer = el.EdgeLinear.from_topology(topology, dtype=torch.float64)
    layer(PARALLEL.x()).sum().backward()
    assert layer.weight.grad.abs().sum() > 0


def test_gradients_accumulate_over_two_backwards():
    layer, x = make_layer(PARALLEL), PARALLEL.x()
    layer(x).pow(2).sum().backward()
    once = layer.weight.grad.clone()
    layer(x).pow(2).sum().backward()
    assert_close(layer.weight.grad, 2 * once)


# Half types


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_training_step_is_within_twice_the_error_of_dense(dtype):
    exact = make_layer(PARALLEL)
    half = copy.deepcopy(exact).to(dtype)
    exact = copy.deepcopy(half).double()  # from the same rounded weights
    x, target = random(8, 5, dtype=dtype, seed=1), random(8, 4, dtype=dtype, seed=2)

    def gradient(layer, dense):
        x_, target_ = x.to(layer.weight.dtype), target.to(layer.weight.dtype)
        y = F.linear(x_, layer.to_dense(), layer.bias) if dense else layer(x_)
        (grad,) = torch.autograd.grad(F.mse_loss(y, target_, reduction="sum"), [layer.weight])
        return grad.double()

    truth = gradient(exact, dense=True)
    ours = (gradient(half, dense=False) - truth).abs().max()
    plain = (gradient(half, dense=True) - truth).abs().max()
    assert ours <= 2 * plain


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_training_lowers_the_loss(dtype):
    layer = make_layer(dtype=dtype)
    x = random(64, 5, dtype=dtype)
    target = F.linear(x, make_layer(dtype=dtype).to_dense()).detach()
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.2)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = F.mse_loss(layer(x), target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]


# Determinism


@pytest.fixture
def deterministic():
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@backends
def test_deterministic_algorithms_are_silent(backend, deterministic):
    layer = make_layer(PARALLEL, backend)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(layer, OPTIMIZERS["sgd"], steps=1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@backends
def test_two_runs_give_the_same_bits(backend, dtype):
    problem = Problem(60, 40, torch.stack([torch.arange(900) % 60, torch.arange(900) * 7 % 40]))

    def run():
        torch.manual_seed(0)
        layer = make_layer(problem, backend, dtype)
        x = random(33, 60, dtype=dtype).requires_grad_()
        y = layer(x)
        return y, *torch.autograd.grad(y.pow(2).sum(), [layer.weight, layer.bias, x])

    assert_close(run(), run(), rtol=0, atol=0)
