"""Optimizers of models that are sparsified: they go on as those of the masked dense model."""

import copy

import pytest
import torch
from pruned_models import masked, sparsify
from torch import nn
from torch.testing import assert_close

import edgelinear as el

pytestmark = pytest.mark.usefixtures("few_rounds")


def model_of():
    torch.manual_seed(2)
    return nn.Sequential(
        masked(nn.Linear(12, 16), 0.9),
        nn.Tanh(),
        masked(nn.Linear(16, 12), 0.85),
        nn.Tanh(),
        nn.Linear(12, 3),
    )


def step(model, optimizer, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(8, 12, generator=generator, dtype=torch.float64)
    optimizer.zero_grad()
    model(x).square().mean().backward()
    optimizer.step()


OPTIMIZERS = {
    "SGD": lambda p: torch.optim.SGD(p, lr=0.1),
    "SGD momentum": lambda p: torch.optim.SGD(
        p, lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=True
    ),
    "Adam": lambda p: torch.optim.Adam(p, lr=0.01, amsgrad=True),
    "Adam fused": lambda p: torch.optim.Adam(p, lr=0.01, fused=True),
    "AdamW": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
    "Adamax": lambda p: torch.optim.Adamax(p, lr=0.01),
    "NAdam": lambda p: torch.optim.NAdam(p, lr=0.01),
    "RAdam": lambda p: torch.optim.RAdam(p, lr=0.01),
    "RMSprop": lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.9, centered=True),
    "Rprop": lambda p: torch.optim.Rprop(p, lr=0.01),
    "Adagrad": lambda p: torch.optim.Adagrad(p, lr=0.01, initial_accumulator_value=0.1),
    "Adadelta": lambda p: torch.optim.Adadelta(p),
    "ASGD": lambda p: torch.optim.ASGD(p, lr=0.01),
}


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_goes_on_in_step_with_the_masked_dense_model(make):
    dense, sparse = model_of().double(), model_of().double()
    optimizers = [make(m.parameters()) for m in (dense, sparse)]
    for seed in range(3):
        for model, optimizer in zip((dense, sparse), optimizers, strict=True):
            step(model, optimizer, seed)
    report = sparsify(sparse, torch.randn(8, 12).double(), optimizer=optimizers[1])
    assert len(report.converted) == 2
    for seed in range(3, 8):
        for model, optimizer in zip((dense, sparse), optimizers, strict=True):
            step(model, optimizer, seed)
        for i in (0, 2):
            assert_close(
                sparse[i].to_dense().detach(),
                (dense[i].weight_orig * dense[i].weight_mask).detach(),
            )
        assert_close(sparse[4].weight, dense[4].weight)


def test_groups_hold_the_new_weights_in_the_places_of_the_old():
    model = model_of().double()
    groups = [
        {"params": [model[2].bias, model[2].weight_orig], "lr": 0.5},
        {"params": [model[0].weight_orig, model[4].weight]},
    ]
    optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9)
    step(model, optimizer, 0)
    old = model[0].weight_orig
    sparsify(model, torch.randn(8, 12).double(), optimizer=optimizer)
    first, second = optimizer.param_groups
    assert first["params"][0] is model[2].bias and first["params"][1] is model[2].weight
    assert second["params"][0] is model[0].weight and second["lr"] == 0.1 and first["lr"] == 0.5
    assert old not in optimizer.state
    assert optimizer.state[model[0].weight]["momentum_buffer"].shape == model[0].weight.shape


def test_several_optimizers_follow():
    model = model_of().double()
    optimizers = [torch.optim.Adam(model[i].parameters()) for i in (0, 2)]
    sparsify(model, torch.randn(8, 12).double(), optimizer=optimizers, skip="4")
    for i, optimizer in zip((0, 2), optimizers, strict=True):
        assert any(p is model[i].weight for p in optimizer.param_groups[0]["params"])


def test_scheduler_and_state_dict_go_on():
    model = model_of().double()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    step(model, optimizer, 0)
    sparsify(model, torch.randn(8, 12).double(), optimizer=optimizer)
    scheduler.step()
    step(model, optimizer, 1)
    other = torch.optim.Adam(copy.deepcopy(model).parameters(), lr=0.1)
    other.load_state_dict(optimizer.state_dict())
    assert optimizer.param_groups[0]["lr"] == 0.05


def test_adafactor_that_has_not_begun_is_taken():
    model = model_of().double()
    optimizer = torch.optim.Adafactor(model.parameters())
    sparsify(model, torch.randn(8, 12).double(), optimizer=optimizer)
    before = model[0].weight.detach().clone()
    step(model, optimizer, 0)
    assert not torch.equal(model[0].weight, before)


def unchanged(model, optimizer, **options):
    """Return the message, after nothing was changed."""
    kept, held = [*model], [[*g["params"]] for g in optimizer.param_groups]
    with pytest.raises(ValueError) as raised:
        sparsify(model, torch.randn(8, 12).double(), optimizer=optimizer, **options)
    assert all(a is b for a, b in zip(model, kept, strict=True))
    for group, params in zip(optimizer.param_groups, held, strict=True):
        assert all(a is b for a, b in zip(group["params"], params, strict=True))
    step(model, optimizer, 9)
    return str(raised.value)


def test_adafactor_that_has_begun_is_refused():
    model = model_of().double()
    optimizer = torch.optim.Adafactor(model.parameters())
    step(model, optimizer, 0)
    message = unchanged(model, optimizer)
    assert (
        "the state `row_var` that Adafactor has of `0`" in message and "make a new one" in message
    )


def test_optimizer_without_the_weight_is_refused():
    model = model_of().double()
    message = unchanged(model, torch.optim.Adam(model[4].parameters()))
    assert message == (
        "`optimizer` does not hold the weight of `0`: pass those that train it, or skip the layer."
    )


def test_frozen_weights_need_no_optimizer():
    model = model_of().double()
    model[0].weight_orig.requires_grad_(False)
    model[2].weight_orig.requires_grad_(False)
    optimizer = torch.optim.Adam(model[4].parameters())
    assert len(sparsify(model, torch.randn(8, 12).double(), optimizer=optimizer).converted) == 2


@pytest.mark.parametrize(
    "make", [torch.optim.LBFGS, lambda p: torch.optim.Muon(p)], ids=["LBFGS", "Muon"]
)
def test_what_cannot_go_on_is_refused(make):
    model = nn.Sequential(nn.Linear(12, 12, bias=False))
    with pytest.raises(ValueError, match="cannot go on with one number for each edge"):
        sparsify(model, torch.randn(4, 12), optimizer=make(model.parameters()), amount=0.9)
    assert type(model[0]) is nn.Linear and not hasattr(model[0], "weight_mask")


def test_state_of_hand_made_zeros_is_gathered_at_the_edges():
    model = nn.Sequential(nn.Linear(6, 5))
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.randn(3, 6)).square().sum().backward()
    optimizer.step()
    with torch.no_grad():
        model[0].weight[torch.rand(5, 6) < 0.8] = 0.0
    moments = optimizer.state[model[0].weight]["exp_avg"].clone()
    sparsify(model, torch.randn(3, 6), optimizer=optimizer, min_sparsity=0)
    layer = model[0]
    assert type(layer) is el.EdgeLinear
    for e, (source, target) in enumerate(layer.edge_index.T.tolist()):
        assert optimizer.state[layer.weight]["exp_avg"][e] == moments[target, source]
