"""`el.sparsify`: the same function, on edges, and everything else as it was."""

import copy
import itertools
import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pruned_models import affine, evaluated, masked, mlp, sparsify, zeros
from torch import nn
from torch.nn.utils import prune
from torch.testing import assert_close

import edgelinear as el
from edgelinear.conversion import timing

pytestmark = pytest.mark.usefixtures("few_rounds")


def output(model, *example, **named):
    with torch.no_grad():
        return model.eval()(*example, **named)


@pytest.mark.parametrize("mode", ["training", "inference"])
@pytest.mark.parametrize("bias", [True, False])
def test_model_computes_the_same_on_edges(mode, bias):
    model, x = mlp(bias=bias), torch.randn(8, 24)
    exact = evaluated(model, x)
    report = sparsify(model, x, mode=mode)
    assert report.model is model
    assert [type(m).__name__ for m in model] == [
        *("EdgeLinear", "BatchNorm1d", "ReLU", "Dropout", "EdgeLinear", "Tanh", "Linear"),
    ]
    assert_close(output(model, x), exact.float(), rtol=1e-5, atol=1e-5)


def test_without_a_mask_the_wiring_is_what_is_not_zero():
    model = nn.Sequential(nn.Linear(4, 3))
    with torch.no_grad():
        model[0].weight.zero_()
        model[0].weight[2, 1], model[0].weight[0, 3] = 5.0, -1.0
    sparsify(model, torch.randn(2, 4))
    assert model[0].edge_index.tolist() == [[3, 1], [0, 2]]
    assert model[0].weight.tolist() == [-1.0, 5.0]


def test_with_a_mask_the_mask_is_the_wiring():
    model = nn.Sequential(nn.Linear(4, 3))
    mask = torch.zeros(3, 4)
    mask[0, 1] = mask[2, 2] = 1
    prune.custom_from_mask(model[0], "weight", mask)
    with torch.no_grad():
        model[0].weight_orig[0, 1] = 0.0
    kept = model[0].weight_orig[2, 2].item()
    sparsify(model, torch.randn(2, 4))
    assert model[0].edge_index.tolist() == [[1, 2], [0, 2]]
    assert model[0].weight.tolist() == [0.0, kept]


def test_mask_counts_before_the_next_forward_too():
    """After an optimizer's step, `linear.weight` is that of the forward before it."""
    model, x = nn.Sequential(masked(nn.Linear(16, 8), 0.9)), torch.randn(4, 16)
    with torch.no_grad():
        model[0].weight_orig += 1.0
    exact = affine(model[0], x)
    sparsify(model, x)
    assert_close(output(model, x), exact.float())


def test_sparsifier_of_torch_is_a_mask():
    from torch.ao.pruning import WeightNormSparsifier

    model, x = nn.Sequential(nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 4)), torch.randn(4, 32)
    sparsifier = WeightNormSparsifier(sparsity_level=0.9, sparse_block_shape=(1, 1))
    sparsifier.prepare(model, [{"tensor_fqn": "0.weight"}])
    sparsifier.step()
    exact = evaluated(model, x)
    edges = int(model[0].parametrizations.weight[0].mask.sum())
    sparsify(model, x, amount=0.9, skip="2")  # which keeps the mask that is there
    assert model[0].num_edges == edges
    assert_close(output(model, x), exact.float(), rtol=1e-5, atol=1e-6)


@given(
    sizes=st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 5)),
    sparsity=st.floats(0, 1),
    how=st.sampled_from(["zeros", "mask"]),
    shape=st.sampled_from([(3,), (1,), (2, 3), (0,), (2, 1, 2)]),
)
def test_any_layer_computes_the_same(sizes, sparsity, how, shape):
    first, middle, last = sizes
    model = nn.Sequential(nn.Linear(first, middle), nn.Linear(middle, last, bias=False))
    for layer in model:
        (zeros if how == "zeros" else masked)(layer, sparsity)
    x = torch.randn(*shape, first)
    exact = affine(model[1], affine(model[0], x))
    to_learn = [how == "zeros" and not layer.weight.any() for layer in model]
    report = sparsify(model, x, min_sparsity=0, seconds=0.01)
    actions = ["left" if stays else "converted" for stays in to_learn]
    assert [layer.action for layer in report.layers] == actions
    assert_close(output(model, x), exact.float(), rtol=1e-5, atol=1e-5)


def test_layers_without_inputs_or_outputs():
    model = nn.Sequential(nn.Linear(4, 0), nn.Linear(0, 3))
    x = torch.randn(2, 4)
    sparsify(model, x)
    assert_close(output(model, x), model[1].bias.detach().expand(2, 3))


@pytest.mark.parametrize("how", ["mask", "frozen"])
def test_layer_of_zeros_becomes_one_of_no_edges(how):
    model, x = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 2)), torch.randn(3, 6)
    with torch.no_grad():
        model[0].weight.zero_()
    if how == "mask":
        prune.custom_from_mask(model[0], "weight", torch.zeros(4, 6))
    else:
        model[0].weight.requires_grad_(False)
    exact = evaluated(model, x)
    report = sparsify(model, x, min_sparsity=0.9)
    assert model[0].num_edges == 0 and report.layers[0].density == 0
    assert report.layers[0].reason.endswith(", with no weight left")
    assert_close(output(model, x), exact.float())
    model(x).sum().backward()
    assert model[0].bias.grad is not None


@pytest.mark.parametrize("mode", ["training", "inference"])
def test_zeros_that_are_to_be_trained_stay(mode):
    """As the second matrix of an adapter starts: on no edges it would never learn."""
    model, x = nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 4)), torch.randn(3, 6)
    with torch.no_grad():
        model[1].weight.zero_()
    report = sparsify(model, x, mode=mode, amount=0.5, min_sparsity=0)
    assert [layer.action for layer in report.layers] == ["converted", "left"]
    assert report.layers[1].reason.startswith("all its weights are 0 and are to be trained")
    assert model[0].num_edges == 24 and not hasattr(model[1], "weight_mask")


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_types_stay(dtype):
    model, x = mlp().to(dtype), torch.randn(8, 24, dtype=dtype)
    exact = evaluated(model, x)
    sparsify(model, x)
    assert model[0].weight.dtype == model[0].bias.dtype == dtype
    error = 1e-10 if dtype == torch.float64 else 5e-2  # a few of its roundings
    assert_close(output(model, x).double(), exact, rtol=error, atol=error)


@pytest.mark.parametrize("kind", ["tensor", "tuple", "dict"])
def test_example_is_what_a_forward_takes(kind):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = zeros(nn.Linear(8, 8), 0.9)

        def forward(self, x, scale=1.0):
            return {"y": [self.fc(x) * scale]}

    x, scale = torch.randn(4, 8), torch.tensor(3.0)
    example = {"tensor": x, "tuple": (x, scale), "dict": {"scale": scale, "x": x}}[kind]
    report = sparsify(Model(), example)
    assert [layer.calls for layer in report.layers] == [1]


def test_layer_alone_comes_back_by_the_report():
    linear, x = zeros(nn.Linear(8, 6), 0.9), torch.randn(4, 8)
    exact = affine(linear, x)
    report = sparsify(linear, x)
    assert type(linear) is nn.Linear and type(report.model) is el.EdgeLinear
    assert report.layers[0].name == "model"
    assert_close(report.model(x).detach(), exact.float())
    assert sparsify(linear, {"input": x}, min_sparsity=1).model is linear


# What is measured, and what comes of it


def timed(monkeypatch, faster):
    """Let the times of layers be these: 1 ms before, and less after where they are `faster`."""
    monkeypatch.setattr(
        timing, "_times", lambda entry, *_: (1.0, 0.5 if faster(entry.linear) else 2.0)
    )


def test_what_is_slower_stays(monkeypatch):
    timed(monkeypatch, lambda linear: linear.in_features == 32)
    monkeypatch.setattr(timing, "time_model", lambda *_: (2.0, 1.0))
    model = mlp()
    kept = model[0]
    report = sparsify(model, torch.randn(8, 24), when="faster")
    assert model[0] is kept and type(model[4]) is el.EdgeLinear
    assert [layer.reason for layer in report.layers] == [
        *("faster as it is", "2.0 times faster", "less than 80% zeros"),
    ]
    assert report.ms_before == 2.0 and report.ms_after == 1.0


def test_model_that_is_no_faster_stays(monkeypatch):
    timed(monkeypatch, lambda linear: True)
    monkeypatch.setattr(timing, "time_model", lambda *_: (1.0, 1.5))
    model = mlp()
    kept = [*model]
    report = sparsify(model, torch.randn(8, 24), when="faster")
    assert all(a is b for a, b in zip(model, kept, strict=True))
    assert report.converted == [] and "1.50 times slower. It is as it was." in report.sentence


def test_always_converts_what_is_slower(monkeypatch):
    timed(monkeypatch, lambda linear: False)
    monkeypatch.setattr(timing, "time_model", lambda *_: (1.0, 1.5))
    report = sparsify(mlp(), torch.randn(8, 24))
    assert len(report.converted) == 2
    assert report.layers[0].reason == "2.0 times slower, as asked"


def test_layer_that_is_reached_several_times_is_measured_on_all_its_shapes(monkeypatch):
    calls = []

    def times(entry, call, *_):
        calls.append((call.rows, call.requires_grad))
        return (1.0, 0.25)

    monkeypatch.setattr(timing, "_times", times)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = zeros(nn.Linear(8, 8), 0.9)

        def forward(self, x):
            for _ in range(3):
                x = self.fc(x)
            return self.fc(x[:2])

    report = sparsify(Model(), torch.randn(5, 3, 8), when="faster")
    assert sorted(calls) == [(6, True), (15, False), (15, True)]
    assert report.layers[0].calls == 4
    assert report.layers[0].ms_before == 4.0 and report.layers[0].ms_after == 1.0


def test_equal_layers_are_measured_once(monkeypatch):
    seen = []
    monkeypatch.setattr(timing, "_times", lambda entry, *_: seen.append(entry.name) or (1.0, 0.5))
    layers = [zeros(nn.Linear(16, 16), 0.9) for _ in range(4)]
    layers[3] = zeros(nn.Linear(16, 16), 0.95)
    report = sparsify(nn.Sequential(*layers), torch.randn(4, 16), mode="inference")
    assert len(seen) == 2
    assert [layer.ms_after for layer in report.layers] == [0.5] * 4


def test_measuring_is_bounded():
    """No round begins after its time: the clock of each says so."""
    clock = iter(range(10**6))
    model = mlp()
    with pytest.MonkeyPatch.context() as patch:
        rounds = []
        real = timing.measure.rounds

        def counted(contenders, run, deadline):
            rounds.append(deadline)
            return real(contenders, run, deadline)

        patch.setattr(timing.measure, "rounds", counted)
        patch.setattr(timing.time, "perf_counter", lambda: float(next(clock)))
        sparsify(model, torch.randn(8, 24), seconds=50)
    assert len(rounds) == 3  # two layers, and the model
    assert all(a <= b for a, b in zip(rounds, rounds[1:], strict=False))


def test_ten_layers_take_less_than_fifteen_seconds():
    """By a clock of which a run takes 0.01 s, and as long as times do not hold still."""
    clock = itertools.count(step=0.01)
    model = nn.Sequential(*[zeros(nn.Linear(8 + i, 9 + i), 0.9) for i in range(10)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timing.measure, "_SECONDS", 0.5)
        patch.setattr(timing.measure, "hold_still", lambda *_: False)
        patch.setattr(timing.time, "perf_counter", lambda: next(clock))
        report = sparsify(model, torch.randn(4, 8))
    assert len(report.converted) == 10 and not report.steady
    assert next(clock) < 15


# What stays as it was


class Draws(nn.Module):
    def forward(self, x):
        return x + 0.1 * random.random() + 0.1 * np.random.rand()


def test_random_states_modes_buffers_and_gradients_stay():
    model, x = mlp().append(Draws()), torch.randn(8, 24)
    model[1].eval(), model[4].eval()
    model(x).sum().backward()
    state = {name: b.clone() for name, b in model.named_buffers()}
    held = dict(model.named_buffers())
    gradients = [model[0].weight.grad.clone(), model[1].weight.grad.clone(), model[0].bias.grad]
    torch.manual_seed(5), random.seed(5), np.random.seed(5)
    draws = torch.rand(3), random.random(), np.random.rand()
    torch.manual_seed(5), random.seed(5), np.random.seed(5)
    sparsify(model, x)
    assert torch.equal(torch.rand(3), draws[0])
    assert (random.random(), np.random.rand()) == draws[1:]
    assert model.training and model[0].training and model[3].training
    assert not model[1].training and not model[4].training
    for name, buffer in model.named_buffers():
        assert buffer is held[name] and torch.equal(buffer, state[name])
    src, dst = model[0].edge_index
    assert_close(model[0].weight.grad, gradients[0][dst, src])
    assert torch.equal(model[1].weight.grad, gradients[1])
    assert model[0].bias.grad is gradients[2]


def test_what_needs_no_gradients_needs_none_afterwards():
    model = mlp()
    model[0].weight.requires_grad_(False)
    model[4].bias.requires_grad_(False)
    sparsify(model, torch.randn(8, 24))
    assert not model[0].weight.requires_grad and model[0].bias.requires_grad
    assert model[4].weight.requires_grad and not model[4].bias.requires_grad


def test_biases_stay_the_same_parameters_and_attributes_of_weights_stay():
    model = mlp()
    bias = model[0].bias
    model[0].weight.decays = False
    sparsify(model, torch.randn(8, 24))
    assert model[0].bias is bias and model[0].weight.decays is False


@pytest.mark.parametrize("grad", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_gradients_may_be_off_around_it(grad):
    model, x = mlp(), torch.randn(8, 24)
    with grad():
        report = sparsify(model, x)
    assert len(report.converted) == 2
    model(x).sum().backward()


def test_failure_in_the_midst_changes_nothing(monkeypatch):
    model, x = mlp(), torch.randn(8, 24)
    kept, state = [*model], copy.deepcopy(model.state_dict())

    def fails(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(timing, "time_model", fails)
    with pytest.raises(KeyboardInterrupt):
        sparsify(model, x, amount=0.95)
    assert all(a is b for a, b in zip(model, kept, strict=True))
    assert model.state_dict().keys() == state.keys()
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name])
    assert not model[0]._forward_pre_hooks and model.training
    model(x).sum().backward()


# Pruning first


def test_amount_is_the_share_of_zeros_of_all_layers_together():
    model, x = mlp(sparsity=0), torch.randn(8, 24)
    weights = torch.cat([m.weight.detach().flatten() for m in (model[0], model[4], model[6])])
    least = weights.abs().sort(descending=True).values[round(0.1 * len(weights)) - 1]
    expected = [int((m.weight.abs() >= least).sum()) for m in (model[0], model[4], model[6])]
    sparsify(model, x, amount=0.9, min_sparsity=0)
    assert [model[i].num_edges for i in (0, 4, 6)] == expected


def test_amount_may_be_that_of_each_layer():
    model, x = mlp(sparsity=0), torch.randn(8, 24)
    kept = model[4].weight.detach().abs().flatten().topk(32 * 40 - round(0.95 * 32 * 40)).values
    sparsify(model, x, amount=0.95, scope="layer", skip=["6"])
    assert model[0].num_edges == 24 * 32 - round(0.95 * 24 * 32)
    assert_close(model[4].weight.detach().abs().sort(descending=True).values, kept)
    assert type(model[6]) is nn.Linear and not hasattr(model[6], "weight_mask")


@pytest.mark.parametrize(("amount", "edges"), [(0.9, 20), (0.3, 100)])
def test_amount_counts_what_is_pruned_already(amount, edges):
    model = nn.Sequential(masked(nn.Linear(20, 10), 0.5))
    sparsify(model, torch.randn(4, 20), amount=amount, min_sparsity=0)
    assert model[0].num_edges == edges


@pytest.mark.parametrize("before", [0.0, 0.5])
def test_layers_that_stay_are_left_pruned(before, monkeypatch):
    timed(monkeypatch, lambda linear: False)
    model, x = mlp(sparsity=0), torch.randn(8, 24)
    if before:
        masked(model[4], before)
    report = sparsify(model, x, amount=0.9, scope="layer", when="faster")
    assert {layer.reason for layer in report.layers} == {
        "faster as it is, with a mask of torch's `prune`"
    }
    assert [type(model[i]) for i in (0, 4, 6)] == [nn.Linear] * 3
    assert prune.is_pruned(model)
    model(x).sum().backward()
    assert float((model[4].weight_orig.grad == 0).float().mean()) >= 0.9
    assert int(model[4].weight_mask.sum()) == 32 * 40 - round(0.9 * 32 * 40)


@pytest.mark.parametrize("amount", [0.0, 1.0])
def test_amount_may_be_none_or_all(amount):
    model = nn.Sequential(nn.Linear(6, 5))
    sparsify(model, torch.randn(3, 6), amount=amount, min_sparsity=0)
    assert model[0].num_edges == 30 * (1 - amount)


# State dicts


def test_state_dict_keeps_names_and_makes_the_model_again():
    model, x = mlp(), torch.randn(8, 24)
    sparsify(model, x)
    state = model.state_dict()
    assert {"0.weight", "0.bias", "6.weight", "1.running_mean"} <= state.keys()
    assert state["0.weight"].shape == (model[0].num_edges,)
    fresh = mlp(sparsity=0)
    for name, _ in [*fresh.named_modules()]:
        if f"{name}.edge_index" in state:
            fresh.set_submodule(name, el.EdgeLinear.from_state_dict(state, prefix=f"{name}."))
    fresh.load_state_dict(state)
    assert torch.equal(output(fresh, x), output(model, x))


def test_state_dict_of_the_dense_model_is_refused_afterwards():
    model, x = mlp(), torch.randn(8, 24)
    state = copy.deepcopy(model.state_dict())
    sparsify(model, x)
    with pytest.raises(RuntimeError):
        model.load_state_dict(state)


def test_densify_goes_back():
    model, x = mlp(), torch.randn(8, 24)
    exact = evaluated(model, x)
    sparsify(model, x)
    assert_close(output(el.densify(model), x), exact.float(), rtol=1e-5, atol=1e-5)


def test_converted_model_is_copied_and_converted_again():
    model, x = mlp(), torch.randn(8, 24)
    sparsify(model, x)
    twin = copy.deepcopy(model)
    edges = [layer.num_edges for layer in (model[0], model[4])]
    report = sparsify(twin, x, amount=0.9)
    assert [layer.name for layer in report.layers] == ["0", "4", "6"]
    assert [layer.name for layer in report.converted] == ["6"]
    assert [layer.num_edges for layer in (twin[0], twin[4])] == edges
    assert type(twin[0]) is el.EdgeLinear
