"""Options that go through from one way to build a layer to the next."""

import pytest
import torch

import edgelinear as el

EDGES = [(0, 0), (1, 0), (2, 1)]
WIRING = el.convert.from_edges(3, 2, EDGES, weight=[1.0, 2.0, 3.0])
ADJACENCY = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0]])


@pytest.mark.parametrize(
    "build",
    [
        lambda weight: el.EdgeLinear.from_topology(WIRING.topology, weight=weight),
        lambda weight: el.EdgeLinear.from_wiring(WIRING, weight=weight),
        lambda weight: el.EdgeLinear.from_adjacency(ADJACENCY, weight=weight),
        lambda weight: el.EdgeLinear.from_weight_mask(ADJACENCY.T, weight=weight),
    ],
    ids=["topology", "wiring", "adjacency", "mask"],
)
def test_weight_may_be_given_in_place_of_the_values(build):
    assert build([4.0, 5.0, 6.0]).weight.tolist() == [4.0, 5.0, 6.0]


@pytest.mark.parametrize(
    "build", [el.EdgeLinear.from_wiring, el.EdgeLinear.from_adjacency], ids=["wiring", "adjacency"]
)
def test_weight_and_values_at_once_are_refused(build):
    data = WIRING if build == el.EdgeLinear.from_wiring else ADJACENCY
    with pytest.raises(ValueError, match='either `weight` or values="weight", got both'):
        build(data, values="weight", weight=[4.0, 5.0, 6.0])


@pytest.mark.parametrize("name", ["in_features", "out_features", "edge_index"])
def test_what_the_topology_says_is_no_option(name):
    with pytest.raises(TypeError, match=f"`{name}` is that of the topology"):
        el.EdgeLinear.from_topology(WIRING.topology, **{name: 3})
    with pytest.raises(TypeError, match=f"`{name}` is that of the topology"):
        el.EdgeLinear.from_wiring(WIRING, **{name: 3})
