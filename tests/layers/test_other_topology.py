"""`layer.topology = other`: weights belong to their edges, so only an equal wiring is taken."""

import copy
import pickle

import pytest
import torch

import edgelinear as el

EDGES = [(0, 0), (1, 0), (2, 1)]
OTHERS = {
    "sizes": (el.Topology(4, 2, EDGES), r"3 -> 2 features here, 4 -> 2 there"),
    "count": (el.Topology(3, 2, EDGES[:2]), r"3 edges here, 2 there"),
    "edges": (el.Topology(3, 2, [(0, 0), (1, 1), (2, 1)]), r"edge 1 is 1 -> 0 here, 1 -> 1 there"),
    "order": (el.Topology(3, 2, EDGES[::-1]), r"the same edges in another order"),
    "reverse": (el.Topology(3, 2, EDGES).T, r"3 -> 2 features here, 2 -> 3 there"),
}


def make_layer(ruled):
    layer = el.EdgeLinear(3, 2, EDGES, weight=[1.0, 2.0, 3.0], in_names=["a", "b", "c"])
    return el.rules.freeze(layer, [True, False, False]) if ruled else layer


@pytest.mark.parametrize("ruled", [False, True], ids=["no rules", "rules"])
@pytest.mark.parametrize("name", OTHERS)
def test_another_wiring_is_refused_and_changes_nothing(name, ruled):
    other, message = OTHERS[name]
    layer = make_layer(ruled)
    before, y = layer.topology, layer(torch.ones(1, 3))
    with pytest.raises(ValueError, match=f"another wiring \\({message}\\).*from_topology"):
        layer.topology = other
    assert layer.topology is before and torch.equal(layer(torch.ones(1, 3)), y)


@pytest.mark.parametrize("ruled", [False, True], ids=["no rules", "rules"])
def test_an_equal_wiring_is_shared(ruled):
    layer, equal = make_layer(ruled), el.Topology(3, 2, EDGES)
    y = layer(torch.ones(1, 3))
    layer.topology = equal
    assert layer.topology is equal
    assert torch.equal(layer(torch.ones(1, 3)), y)


@pytest.mark.parametrize("other", [EDGES, None, torch.tensor(EDGES).T])
def test_what_is_no_topology_is_refused(other):
    with pytest.raises(TypeError, match="`topology` must be a Topology, got"):
        make_layer(False).topology = other


def test_a_wiring_is_no_topology():
    with pytest.raises(TypeError, match="got Wiring: use its `.topology`"):
        make_layer(False).topology = make_layer(False).wiring


def test_wiring_still_moves_is_copied_and_adopted():
    layer = make_layer(False)
    assert layer.to("meta").topology.device.type == "cpu"
    assert copy.deepcopy(layer).topology is layer.topology
    assert pickle.loads(pickle.dumps(layer)).topology == layer.topology
    state = el.EdgeLinear(3, 4, [(0, 3)]).state_dict()
    el.adopt_wiring(layer, state)
    assert layer.topology == el.Topology(3, 4, [(0, 3)])


@pytest.mark.cuda
def test_a_topology_elsewhere_comes_to_the_weights():
    layer = make_layer(False).cuda()
    layer.topology = el.Topology(3, 2, EDGES)
    assert layer.topology.device == layer.weight.device
