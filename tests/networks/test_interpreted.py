"""Networks by the Triton kernels, level by level: interpreted where there is no GPU."""

import pytest
import torch
from nets import drawn
from torch.testing import assert_close

import edgelinear as el

pytestmark = pytest.mark.triton
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def test_triton_gives_values_and_gradients_of_the_reference():
    options = dict(nodes=12, edges=25, inputs=3, outputs=(11, 10))
    net, _ = drawn(["tanh", "sin"], backend="triton", **options)
    twin, _ = drawn(["tanh", "sin"], backend="reference", **options)
    twin.load_state_dict(net.state_dict())
    net, twin = net.to(DEVICE), twin.to(DEVICE)
    x = torch.randn(4, 3, dtype=torch.float64, device=DEVICE, requires_grad=True)
    results = []
    for each in (net, twin):
        y = each(x)
        wanted = [*each.parameters(), x]
        results.append((y, *torch.autograd.grad(y.square().sum(), wanted)))
    assert_close(*results)


@pytest.mark.parametrize("equation", ["rate", "potential"])
def test_triton_gives_the_recurrent_network_of_the_reference(equation):
    x = torch.randn(3, 2, 2, dtype=torch.float64, device=DEVICE, requires_grad=True)
    edges, results = [(0, 1), (1, 2), (2, 1), (2, 2), (2, 3), (0, 3)], []
    weight = torch.randn(len(edges), dtype=torch.float64)
    for backend in ("triton", "reference"):
        options = dict(equation=equation, leak=0.5, weight=weight, dtype=torch.float64)
        net = el.EdgeRNN(4, edges, [0, 2], [3, 1], backend=backend, **options).to(DEVICE)
        y, state = net(x)
        wanted = [*net.parameters(), x]
        found = torch.autograd.grad(y.square().sum() + state.sum(), wanted)
        results.append((y, state, *found))
    assert_close(*results)
