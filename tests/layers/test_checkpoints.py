"""State dicts: the wiring travels with the weights, and another one is refused."""

import pytest
import torch
from saved import (
    EDGES,
    OTHER_WIRINGS,
    assert_equals_dense,
    corrupt,
    corrupted,
    make_layer,
    make_model,
    other_layer,
    other_wirings,
    values,
)
from torch import nn
from torch.testing import assert_close

import edgelinear as el

strictly = pytest.mark.parametrize("options", [{}, {"strict": False}, {"assign": True}], ids=str)
MISSING = [("edge_index",), ("shape",), ("edge_index", "shape")]


def test_state_dict_holds_weight_bias_and_wiring():
    assert set(make_layer().state_dict()) == {"weight", "bias", "edge_index", "shape"}
    assert set(make_layer(bias=False).state_dict()) == {"weight", "edge_index", "shape"}


def test_state_dict_entries_are_the_edges_and_sizes():
    state = make_layer().state_dict()
    assert_close(state["edge_index"], EDGES)
    assert state["shape"].tolist() == [5, 4]


def test_state_dict_shares_no_memory_with_the_wiring():
    layer = make_layer()
    layer.state_dict()["edge_index"].fill_(0)
    assert_close(layer.edge_index, EDGES)


@pytest.mark.parametrize("assign", [False, True])
def test_state_dict_passes_through_a_file(tmp_path, assign):
    saved, layer = make_layer(), make_layer()
    torch.save(saved.state_dict(), tmp_path / "layer.pt")
    layer.load_state_dict(torch.load(tmp_path / "layer.pt", weights_only=True), assign=assign)
    assert_close(values(layer), values(saved))
    assert_equals_dense(layer)


def test_nested_state_dict_passes_through_a_file(tmp_path):
    saved, model = make_model(), make_model()
    torch.save(saved.state_dict(), tmp_path / "model.pt")
    model.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    assert_close(values(model), values(saved))


def test_layer_on_another_int_type_of_indices_is_the_same_wiring():
    layer, state = make_layer(), make_layer().state_dict()
    state["edge_index"], state["shape"] = state["edge_index"].int(), state["shape"].int()
    layer.load_state_dict(state)
    assert_close(layer.weight, state["weight"])


def test_safetensors_file_holds_the_layer(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    saved, layer = make_layer(), make_layer()
    safetensors.save_file(saved.state_dict(), tmp_path / "layer.safetensors")
    layer.load_state_dict(safetensors.load_file(tmp_path / "layer.safetensors"))
    assert_close(values(layer), values(saved))


def test_safetensors_save_model_takes_two_layers_on_one_topology(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    topology = el.Topology(4, 4, [(3, 2), (0, 0), (1, 2)])

    def make():
        return nn.Sequential(*(el.EdgeLinear.from_topology(topology) for _ in range(2)))

    saved, model = make(), make()
    safetensors.save_model(saved, tmp_path / "model.safetensors")
    safetensors.load_model(model, tmp_path / "model.safetensors")
    assert_close(values(model), values(saved))


def test_safetensors_load_model_refuses_another_wiring(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    safetensors.save_model(make_layer(), tmp_path / "layer.safetensors")
    with pytest.raises(RuntimeError, match="another wiring"):
        safetensors.load_model(other_layer("another order"), tmp_path / "layer.safetensors")


@strictly
@other_wirings
def test_another_wiring_is_refused_and_named(name, options):
    layer = make_layer()
    with pytest.raises(RuntimeError, match=OTHER_WIRINGS[name][3]):
        layer.load_state_dict(other_layer(name).state_dict(), **options)


@strictly
@other_wirings
def test_refused_load_leaves_the_layer_untouched(name, options):
    layer = make_layer()
    before, parameter = values(layer), layer.weight
    with pytest.raises(RuntimeError):
        layer.load_state_dict(other_layer(name).state_dict(), **options)
    assert_close(values(layer), before, rtol=0, atol=0)
    assert layer.weight is parameter


@strictly
@pytest.mark.parametrize("missing", MISSING, ids=" and ".join)
def test_missing_wiring_is_refused(missing, options):
    state = make_layer().state_dict()
    for key in missing:
        del state[key]
    layer = make_layer()
    before = values(layer)
    with pytest.raises(RuntimeError, match=f"holds no `{missing[0]}`"):
        layer.load_state_dict(state, **options)
    assert_close(values(layer), before, rtol=0, atol=0)


@strictly
def test_dense_state_dict_is_refused(options):
    with pytest.raises(RuntimeError, match="holds no `edge_index`"):
        make_layer().load_state_dict(nn.Linear(5, 4).state_dict(), **options)


@strictly
def test_another_wiring_deep_in_a_model_is_refused_by_its_name(options):
    model, state = make_model(), make_model().state_dict()
    state["0.encoder.0.edge_index"] = EDGES.flip(1)
    with pytest.raises(RuntimeError, match="`0.encoder.0.edge_index` in this checkpoint"):
        model.load_state_dict(state, **options)


def test_weight_of_another_length_is_refused():
    layer, state = make_layer(), make_layer().state_dict()
    state["weight"] = state["weight"][:6]
    with pytest.raises(RuntimeError, match="size mismatch for weight"):
        layer.load_state_dict(state, strict=False)


def test_missing_weight_is_reported_by_strict_loading():
    layer, state = make_layer(), make_layer().state_dict()
    del state["weight"]
    with pytest.raises(RuntimeError, match='Missing key.*"weight"'):
        layer.load_state_dict(state)


def test_unexpected_entry_is_reported_by_strict_loading():
    layer, state = make_layer(), make_layer().state_dict()
    with pytest.raises(RuntimeError, match='Unexpected key.*"mask"'):
        layer.load_state_dict({**state, "mask": torch.ones(1)})


@strictly
@corrupt
def test_corrupt_wiring_is_refused_by_load_state_dict(name, options):
    layer = make_layer()
    before = values(layer)
    with pytest.raises(RuntimeError, match="another wiring|is corrupt|must hold 2 integers"):
        layer.load_state_dict(corrupted(name), **options)
    assert_close(values(layer), before, rtol=0, atol=0)
