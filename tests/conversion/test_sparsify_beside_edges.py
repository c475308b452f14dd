"""`el.sparsify` on models that have layers and networks on edges already, and schedules on them."""

import copy

import pytest
import torch
from pruned_models import evaluated, masked, sparsify, zeros
from torch import nn
from torch.testing import assert_close

import edgelinear as el

pytestmark = pytest.mark.usefixtures("few_rounds")


class Mixed(nn.Module):
    """A pruned layer between a layer, a network and a recurrent network on edges."""

    def __init__(self):
        super().__init__()
        self.first = el.EdgeLinear(12, 16, el.generators.fixed_fan_in(12, 16, fan_in=3))
        self.fc = zeros(nn.Linear(16, 16), 0.9)
        self.network = el.EdgeNetwork(18, [(i, 16 + i % 2) for i in range(16)], range(16), [16, 17])
        edges = [(0, 2), (1, 2), (2, 3), (3, 2)]
        self.loop = el.EdgeRNN(4, edges, inputs=[0, 1], outputs=[3])

    def forward(self, x):  # (batch, time, 12) -> (batch, time, 1)
        return self.loop(self.network(self.fc(self.first(x)).relu()))[0]


def test_what_is_on_edges_stays_and_the_report_says_so():
    model, x = Mixed(), torch.randn(3, 5, 12)
    held = [model.first, model.network, model.loop]
    weights = [module.weight for module in held]
    state = copy.deepcopy({k: v for k, v in model.state_dict().items() if not k.startswith("fc.")})
    exact = evaluated(model, x)
    report = sparsify(model, x)
    assert all(a is b for a, b in zip(held, (model.first, model.network, model.loop), strict=True))
    assert all(module.weight is weight for module, weight in zip(held, weights, strict=True))
    assert all(torch.equal(model.state_dict()[key], value) for key, value in state.items())
    assert [(layer.name, layer.action) for layer in report.layers] == [
        *(("first", "left"), ("fc", "converted"), ("network", "left"), ("loop", "left")),
    ]
    assert [layer.reason for layer in report.layers if layer.action == "left"] == [
        *("EdgeLinear is on edges already", "EdgeNetwork is on edges already"),
        "EdgeRNN is on edges already",
    ]
    assert report.layers[0].density == 3 / 12 and report.layers[0].calls is None
    with torch.no_grad():
        assert_close(model.eval()(x), exact.float(), rtol=1e-5, atol=1e-5)


def test_model_that_is_all_on_edges_is_no_error():
    layer = el.EdgeLinear(4, 3, [(0, 0), (3, 2)])
    report = sparsify(layer, torch.randn(2, 4), amount=0.9)
    assert report.model is layer and layer.num_edges == 2
    assert report.sentence == (
        "No layer was converted. Left as they are: 1 (EdgeLinear is on edges already)."
    )
    assert str(report).startswith("1 layer, ")


def trained(model, optimizer, schedule, steps):
    for x in torch.randn(steps, 8, 6, 12, generator=torch.Generator().manual_seed(3)):
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()
        schedule.step()


def test_waiting_update_of_rigl_sees_nothing_of_the_measuring():
    """RigL grows by the gradients of the training step alone, whatever runs before it."""
    model = nn.Sequential(
        el.EdgeLinear(12, 16, el.generators.fixed_fan_in(12, 16, fan_in=3)),
        zeros(nn.Linear(16, 16), 0.9).requires_grad_(False),
    )
    wirings = []
    for measured in (False, True):
        torch.manual_seed(1)
        twin = copy.deepcopy(model)
        optimizer = torch.optim.Adam(twin.parameters())
        schedule = el.dynamic.RigL(twin, optimizer, fraction=0.5, every=1)
        if measured:
            assert len(sparsify(twin, 100 * torch.randn(8, 6, 12)).converted) == 1
        else:
            twin[1] = el.EdgeLinear.from_linear(twin[1]).requires_grad_(False)
        trained(twin, optimizer, schedule, 2)
        wirings.append(twin[0].edge_index)
    assert torch.equal(*wirings)
    assert not torch.equal(wirings[0], model[0].edge_index)


@pytest.mark.parametrize("kind", [el.dynamic.SET, el.dynamic.RigL])
def test_schedules_go_on_and_take_what_was_converted(kind):
    torch.manual_seed(1)
    model = nn.Sequential(
        el.EdgeLinear(12, 16, el.generators.fixed_fan_in(12, 16, fan_in=3)),
        masked(nn.Linear(16, 16), 0.9),
    )
    optimizer = torch.optim.Adam(model.parameters())
    schedule = kind(model, optimizer, fraction=0.5, every=2)
    trained(model, optimizer, schedule, 2)
    sparsify(model, torch.randn(8, 6, 12), optimizer=optimizer)
    before = [layer.topology for layer in model]
    trained(model, optimizer, schedule, 2)
    assert model[0].topology != before[0] and model[1].topology == before[1]
    both = kind(model, optimizer, fraction=0.5, every=2)
    trained(model, optimizer, both, 2)
    assert model[1].topology != before[1] and model[1].num_edges == before[1].num_edges
