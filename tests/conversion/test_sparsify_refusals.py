"""What `el.sparsify` refuses, in one sentence with the cure, before anything changes."""

import pytest
import torch
from pruned_models import mlp, sparsify, zeros
from torch import nn
from torch.utils.checkpoint import checkpoint

from edgelinear.conversion import timing

pytestmark = pytest.mark.usefixtures("few_rounds")


def refused(kind, model, example, **options):
    """Return the message, after looking that nothing was changed."""
    modules = [*model.modules()] if isinstance(model, nn.Module) else []
    state = None if any(p.is_meta for m in modules for p in m.parameters()) else snapshot(modules)
    with pytest.raises(kind) as raised:
        sparsify(model, example, **options)
    assert [*model.modules()] == modules if modules else True
    if state is not None:
        for (a, hooks), (b, now) in zip(state, snapshot(modules), strict=True):
            assert a.keys() == b.keys() and hooks == now
    message = str(raised.value)
    assert message.count("\n") == 0 and message[-1] in ".?"
    return message


def snapshot(modules):
    held = ({**dict(m.named_parameters()), **dict(m.named_buffers())} for m in modules)
    return [*zip(held, ([*m._forward_pre_hooks] for m in modules), strict=True)]


X = torch.zeros(8, 24)
OPTIONS = {
    "when": (ValueError, {"when": "fast"}, '`when` must be "faster" or "always", got \'fast\'.'),
    "mode": (ValueError, {"mode": "train"}, '`mode` must be "training" or "inference"'),
    "scope": (ValueError, {"amount": 0.9, "scope": "all"}, '`scope` must be "global" or "layer"'),
    "min_sparsity": (ValueError, {"min_sparsity": 80}, "share in [0, 1], as 0.95, got 80."),
    "amount": (ValueError, {"amount": -0.1}, "`amount` must be a share in [0, 1]"),
    "NaN": (ValueError, {"amount": float("nan")}, "`amount` must be a share in [0, 1]"),
    "amount of another type": (
        TypeError,
        {"amount": "0.9"},
        "must be a share in [0, 1], got '0.9'",
    ),
    "seconds": (ValueError, {"seconds": 0}, "`seconds` must be positive, got 0."),
    "skip": (ValueError, {"skip": "head"}, "`skip` must name modules of `model`, got 'head'"),
    "skip nothing": (ValueError, {"skip": ""}, "`skip` must name modules of `model`, got ''"),
    "skip near": (ValueError, {"skip": ["00"]}, "got '00': did you mean '0'?"),
    "optimizer": (TypeError, {"optimizer": 3}, "must be an optimizer of torch, or a list of them"),
}


@pytest.mark.parametrize(("kind", "options", "said"), OPTIONS.values(), ids=OPTIONS)
def test_options(kind, options, said):
    assert said in refused(kind, mlp(), X, **options)


@pytest.mark.parametrize("example", [None, [X], "x", 3])
def test_example_of_another_type(example):
    message = refused(TypeError, mlp(), example)
    assert "a tensor, a tuple of arguments, or a dict of keyword arguments" in message


@pytest.mark.parametrize(
    ("example", "hint"),
    [
        ([X, X], "of a batch [inputs, labels] pass the inputs, of several batches one"),
        (torch.utils.data.DataLoader([X]), "pass the inputs of one batch"),
    ],
)
def test_batches_are_no_example(example, hint):
    assert hint in refused(TypeError, mlp(), example)


@pytest.mark.parametrize(
    ("example", "said"),
    [
        ((X, X), "(input), got 2 arguments (too many positional arguments): pass its inputs alone"),
        (
            {"x": X, "labels": X},
            "got a dict with the keys 'x', 'labels' (missing a required argument: 'input'): a dict "
            "is keyword arguments; for a forward of a dict, pass `(example,)`.",
        ),
    ],
)
def test_example_of_other_arguments(example, said):
    message = refused(TypeError, mlp(), example)
    assert message.startswith("`example` must be what the forward of `model` takes, (input")
    assert said.replace("(input)", "") in message


def test_forward_of_a_dict():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = zeros(nn.Linear(24, 8), 0.9)

        def forward(self, batch):
            return {"y": self.fc(batch["x"])}

    assert "pass `(example,)`" in refused(TypeError, Model(), {"x": X})
    assert len(sparsify(Model(), ({"x": X},)).converted) == 1


def test_type_error_inside_the_model_is_its_own():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = zeros(nn.Linear(24, 8), 0.9)

        def forward(self, x):
            return self.fc(x) + "a"

    with pytest.raises(TypeError, match="unsupported operand"):
        sparsify(Model(), X)


def test_model_that_is_none():
    assert "must be a module of torch, got function" in refused(TypeError, lambda x: x, X)


def test_model_without_a_layer():
    message = refused(ValueError, nn.Sequential(nn.ReLU()), X)
    assert message.startswith("`model` must have an nn.Linear to replace, and has none")


def test_scripted_model():
    message = refused(ValueError, torch.jit.script(nn.Sequential(nn.Linear(24, 3))), X)
    assert "scripted layers are no nn.Linear any more, so sparsify before that" in message


def test_example_that_reaches_no_layer():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = zeros(nn.Linear(24, 8), 0.9)

        def forward(self, x):
            return x * self.fc.bias[0]

    message = refused(ValueError, Model(), X)
    assert message.startswith("`example` reaches none of the layers that could be replaced, as `fc")


def test_weights_on_meta():
    model = nn.Sequential(nn.Linear(24, 3, device="meta"))
    assert "`0` is on the meta device" in refused(ValueError, model, X)


def test_lazy_layer():
    message = refused(ValueError, nn.Sequential(nn.LazyLinear(3)), X)
    assert "`0` is a lazy layer that was never run" in message and "run the model once" in message


def test_training_of_what_needs_no_gradients():
    model = mlp().requires_grad_(False)
    assert 'pass mode="inference"' in refused(ValueError, model, X)
    assert len(sparsify(model, X, mode="inference").converted) == 2


def test_outputs_that_need_no_gradients():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = zeros(nn.Linear(24, 8), 0.9)

        def forward(self, x):
            return self.fc(x).detach()

    message = refused(ValueError, Model(), X)
    assert message.startswith("what `model` returns must require gradients")


class Checkpointed(nn.Module):
    def __init__(self, reentrant):
        super().__init__()
        self.first, self.fc = nn.Linear(24, 24), zeros(nn.Linear(24, 8), 0.9)
        self.reentrant = reentrant

    def forward(self, x):
        return {"y": [checkpoint(self.fc, self.first(x), use_reentrant=self.reentrant) + 1.0]}


def test_reentrant_checkpoints_are_refused_before_anything_is_measured(monkeypatch):
    monkeypatch.setattr(timing, "time_layers", None)
    message = refused(ValueError, Checkpointed(True), X)
    assert "checkpoints activations in torch's reentrant way" in message
    assert "use_reentrant=False, or not while sparsifying, or pass mode" in message


def test_other_checkpoints_are_measured():
    assert len(sparsify(Checkpointed(False), X).converted) == 1
    assert len(sparsify(Checkpointed(True), X, mode="inference").converted) == 1


def test_weights_that_are_not_finite():
    model = mlp()
    with torch.no_grad():
        model[4].weight[0, 0] = float("inf")
    assert "`4` has weights that are NaN or infinite" in refused(ValueError, model, X)
    assert len(sparsify(model, X, skip="4").converted) == 1


def test_error_of_the_model_itself():
    model = mlp()
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        sparsify(model, torch.zeros(8, 5))
    assert type(model[0]) is nn.Linear and model.training
    assert not model[0]._forward_pre_hooks and not model[0]._forward_hooks


def test_model_that_processes_share(tmp_path):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1
    )
    try:
        model = nn.parallel.DistributedDataParallel(nn.Linear(24, 8))
        message = refused(TypeError, model, X)
        inside = refused(TypeError, nn.ModuleDict({"body": model}), X)
    finally:
        torch.distributed.destroy_process_group()
    assert "sparsify `model.module` first, and wrap it then" in message
    assert "sparsify `model.body.module` first" in inside
