"""The example of edges that mattered, on models whose answer is known."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import edgelinear as el

pytest.importorskip("captum")
pytest.importorskip("matplotlib")
pytest.importorskip("networkx")
EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def important_edges(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    from important_edges import important_edges

    return important_edges


def drawn(*sizes, num_edges=12):
    topology = el.generators.erdos_renyi(*sizes, num_edges=num_edges)
    return el.EdgeLinear.from_topology(topology).double()


def test_edges_of_a_linear_layer_are_worth_their_weight_times_the_mean_input(important_edges):
    layer, x = drawn(6, 4), torch.randn(50, 6, dtype=torch.float64)
    side = torch.full((50, 1), 1 / 50, dtype=torch.float64)
    (worth,) = important_edges(nn.Sequential(layer), x, side)
    expected = layer.weight.detach() * x.mean(0)[layer.edge_index[0]]
    torch.testing.assert_close(worth, expected)


def test_worths_add_up_to_what_the_weights_change(important_edges):
    model = nn.Sequential(drawn(6, 5), nn.Tanh(), drawn(5, 3, num_edges=9))
    x, side = (torch.randn(50, n, dtype=torch.float64) for n in (6, 3))
    worth = important_edges(model, x, side)
    with torch.no_grad():
        changed = (side * model(x)).sum()
        for layer in (model[0], model[2]):
            layer.set_weight(torch.zeros(layer.num_edges))
        changed -= (side * model(x)).sum()
    total = sum(float(given.sum()) for given in worth)
    assert total == pytest.approx(float(changed), rel=1e-6)  # which 64 points of a smooth line give


def test_worths_are_what_the_pictures_draw(important_edges):
    layer, x = drawn(6, 4), torch.randn(50, 6, dtype=torch.float64)
    (worth,) = important_edges(nn.Sequential(layer), x, torch.ones(50, 1, dtype=torch.float64))
    strongest = np.sort(worth.abs().numpy())[-3:]
    bipartite = el.plot.bipartite(layer, values=worth, top=3).axes[0].collections[0]
    columns = el.plot.network(nn.Sequential(layer), scores=worth, top=3).axes[0].collections[1]
    for lines in (bipartite, columns):
        assert np.abs(lines.get_array()).tolist() == strongest.tolist()
