"""Copies, pickles, devices and types: what is shared, and what is kept."""

import copy
import pickle

import pytest
import torch
from problems import random
from saved import CORRUPT, EDGES, assert_equals_dense, corrupted, make_layer, make_model, values
from torch.testing import assert_close

import edgelinear as el


def test_deepcopy_shares_the_wiring_and_not_the_weights():
    layer = make_layer()
    twin = copy.deepcopy(layer)
    assert twin.topology is layer.topology
    assert twin.weight is not layer.weight
    with torch.no_grad():
        twin.weight.zero_()
    assert layer.weight.abs().min() > 0


def test_pickled_layer_has_the_same_wiring_and_function():
    layer, x = make_layer(), random(3, 5)
    loaded = pickle.loads(pickle.dumps(layer))
    assert loaded.topology == layer.topology
    assert_close(loaded(x), layer(x), rtol=0, atol=0)


def test_pickled_layers_still_share_their_topology():
    layer = make_layer()
    both = [layer, el.EdgeLinear.from_topology(layer.topology)]
    first, second = pickle.loads(pickle.dumps(both))
    assert first.topology is second.topology


def test_module_saved_whole_has_the_same_function(tmp_path):
    model = make_model()[1]
    torch.save(model, tmp_path / "model.pt")
    loaded = torch.load(tmp_path / "model.pt", weights_only=False)
    x = random(3, 4)
    assert_close(loaded(x), model(x), rtol=0, atol=0)


# A pickle has two sizes whatever they are.
@pytest.mark.parametrize("name", [n for n in CORRUPT if n not in ("a size", "three sizes")])
def test_corrupt_topology_in_a_pickle_is_refused(name):
    state = corrupted(name)
    rebuild, _ = make_layer().topology.__reduce__()
    in_features, out_features = state["shape"].tolist()
    with pytest.raises((TypeError, ValueError)):
        rebuild(in_features, out_features, state["edge_index"])


def test_layer_made_on_meta_keeps_its_wiring_off_it():
    with torch.device("meta"):
        layer = make_layer()
    assert layer.weight.is_meta
    assert_close(layer.edge_index, EDGES)


def test_to_empty_and_reset_parameters_draw_the_values_of_a_new_layer():
    with torch.device("meta"):
        layer = make_layer()
    layer.to_empty(device="cpu")
    torch.manual_seed(7)
    layer.reset_parameters()
    torch.manual_seed(7)
    assert_close(values(layer), values(make_layer()))
    assert_equals_dense(layer)


def test_layer_to_meta_and_back_by_to_empty_keeps_its_wiring():
    layer = make_layer().to("meta").to_empty(device="cpu")
    layer.reset_parameters()
    assert_close(layer.edge_index, EDGES)
    assert_equals_dense(layer)


def test_meta_layer_takes_its_values_by_assign():
    saved = make_layer()
    with torch.device("meta"):
        layer = make_layer()
    layer.load_state_dict(saved.state_dict(), assign=True)
    assert_close(values(layer), values(saved))
    assert_equals_dense(layer)


def test_meta_layer_has_a_state_dict_with_its_wiring():
    with torch.device("meta"):
        state = make_layer().state_dict()
    assert_close(state["edge_index"], EDGES)
    assert state["shape"].tolist() == [5, 4]


@pytest.mark.parametrize(
    "convert, dtype",
    [
        (lambda m: m.half(), torch.float16),
        (lambda m: m.bfloat16(), torch.bfloat16),
        (lambda m: m.double(), torch.float64),
        (lambda m: m.to("cpu"), torch.float32),
        (lambda m: m.to(torch.float64), torch.float64),
        (lambda m: m.to_empty(device="cpu"), torch.float32),
    ],
    ids=["half", "bfloat16", "double", "to device", "to type", "to_empty"],
)
def test_training_changes_the_output_after_a_conversion(convert, dtype):
    layer = make_layer(dtype=torch.float32)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.5)
    layer = convert(layer)
    layer.reset_parameters()
    x = random(3, 5, dtype=dtype)
    before = layer(x)
    before.sum().backward()
    optimizer.step()
    after = layer(x)
    assert after.dtype == dtype
    assert not torch.equal(after, before)


def test_values_survive_a_conversion_to_double():
    layer = make_layer(dtype=torch.float32)
    before = layer.weight.detach().clone()
    assert_close(layer.double().weight, before.double())
