"""Copies, files and devices: the wiring travels with the weights and is never taken unasked."""

import copy
import io
import pickle

import pytest
import torch
import torch.nn.functional as F
from problems import random
from torch import nn
from torch.testing import assert_close

import edgelinear as el

# 5 -> 4, unsorted. Nothing leaves source 2, nothing reaches target 3, and 3 -> 2 is there twice.
EDGES = torch.tensor([[3, 0, 1, 3, 0, 4, 3], [2, 0, 2, 1, 2, 0, 2]])
OTHER_WIRINGS = {
    "no edges": (5, 4, EDGES[:, :0], "0 there"),
    "fewer edges": (5, 4, EDGES[:, :6], "7 edges here, 6 there"),
    "more edges": (5, 4, torch.cat([EDGES, torch.tensor([[2], [3]])], 1), "7 edges here, 8 there"),
    "more inputs": (6, 4, EDGES, "5 -> 4 features here, 6 -> 4 there"),
    "more outputs": (5, 5, EDGES, "5 -> 4 features here, 5 -> 5 there"),
    "sizes swapped": (4, 5, EDGES.flip(0), "5 -> 4 features here, 4 -> 5 there"),
    "another order": (5, 4, EDGES.flip(1), "the same edges in another order"),
    "one edge different": (
        5,
        4,
        torch.where(torch.arange(7) == 2, torch.tensor([[2], [3]]), EDGES),
        "edge 2 is 1 -> 2 here, 2 -> 3 there",
    ),
}
other_wirings = pytest.mark.parametrize("name", OTHER_WIRINGS)
strictly = pytest.mark.parametrize("options", [{}, {"strict": False}, {"assign": True}], ids=str)
MISSING = [("edge_index",), ("shape",), ("edge_index", "shape")]

INDEX = EDGES.clone()
CORRUPT = {
    "negative source": {"edge_index": INDEX.index_put((torch.tensor(0),), torch.tensor(-1))},
    "source too large": {"edge_index": torch.where(EDGES == 4, 5, EDGES)},
    "target too large": {"edge_index": torch.stack([EDGES[0], EDGES[1] + 2])},
    "huge": {"edge_index": torch.full_like(EDGES, 2**62)},
    "float": {"edge_index": EDGES.double()},
    "transposed": {"edge_index": EDGES.T.contiguous()},
    "one row": {"edge_index": EDGES[0]},
    "a scalar": {"edge_index": torch.tensor(3)},
    "on meta": {"edge_index": EDGES.to("meta")},
    "shape too small": {"shape": torch.tensor([4, 4])},
    "negative shape": {"shape": torch.tensor([5, -4])},
    "float shape": {"shape": torch.tensor([5.0, 4.0])},
    "three sizes": {"shape": torch.tensor([5, 4, 3])},
    "a size": {"shape": torch.tensor(5)},
}
corrupt = pytest.mark.parametrize("name", CORRUPT)


def make_layer(**options):
    options = {"dtype": torch.float64, "duplicates": "keep", **options}
    return el.EdgeLinear(5, 4, EDGES, **options)


def other_layer(name):
    in_features, out_features, edges, _ = OTHER_WIRINGS[name]
    return el.EdgeLinear(in_features, out_features, edges, duplicates="keep", dtype=torch.float64)


def make_model():
    """Return a model with a layer two levels down, one beside it, and a plain one."""
    return nn.Sequential(
        nn.ModuleDict({"encoder": nn.Sequential(make_layer(), nn.Tanh())}),
        el.EdgeLinear(4, 3, [(3, 0), (0, 2)], dtype=torch.float64),
        nn.Linear(3, 2, dtype=torch.float64),
    )


def corrupted(name):
    return {**make_layer().state_dict(), **CORRUPT[name]}


def values(module):
    return {key: value.clone() for key, value in module.state_dict().items()}


def assert_equals_dense(layer):
    x = random(3, 5)
    assert_close(layer(x), F.linear(x, layer.to_dense(), layer.bias))


# Copies


def test_deepcopy_shares_the_wiring_and_not_the_weights():
    layer = make_layer()
    twin = copy.deepcopy(layer)
    assert twin.topology is layer.topology
    assert twin.weight is not layer.weight
    with torch.no_grad():
        twin.weight.zero_()
    assert layer.weight.abs().min() > 0


@pytest.mark.parametrize("protocol", [2, pickle.HIGHEST_PROTOCOL])
def test_pickled_layer_has_the_same_wiring_and_function(protocol):
    layer, x = make_layer(), random(3, 5)
    loaded = pickle.loads(pickle.dumps(layer, protocol))
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


@corrupt
def test_corrupt_topology_in_a_pickle_is_refused(name):
    state = corrupted(name)
    reduce = el.Topology.__reduce__
    rebuild, _ = reduce(make_layer().topology)
    with pytest.raises((TypeError, ValueError)):
        rebuild(*state["shape"].tolist(), state["edge_index"])


# State dicts


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


# safetensors


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


# The meta device


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


# Conversions


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


# Another wiring


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


# Taking another wiring


@other_wirings
def test_from_state_dict_takes_any_wiring(name):
    saved = other_layer(name)
    layer = el.EdgeLinear.from_state_dict(saved.state_dict())
    assert layer.topology == saved.topology
    assert_close(values(layer), values(saved))


def test_from_state_dict_reads_below_a_prefix():
    model = make_model()
    layer = el.EdgeLinear.from_state_dict(model.state_dict(), prefix="0.encoder.0.")
    assert_close(values(layer), values(model[0]["encoder"][0]))


def test_from_state_dict_keeps_type_and_missing_bias():
    saved = make_layer(bias=False, dtype=torch.float16)
    layer = el.EdgeLinear.from_state_dict(saved.state_dict())
    assert layer.bias is None
    assert layer.weight.dtype == torch.float16


def test_from_state_dict_keeps_its_own_memory():
    state = make_layer().state_dict()
    layer = el.EdgeLinear.from_state_dict(state)
    state["weight"].fill_(0)
    assert layer.weight.abs().min() > 0


@pytest.mark.parametrize("key", ["weight", "edge_index", "shape"])
def test_from_state_dict_names_what_is_missing(key):
    state = make_layer().state_dict()
    del state[key]
    with pytest.raises(ValueError, match=f"holds no `{key}`"):
        el.EdgeLinear.from_state_dict(state)


@other_wirings
def test_adopted_wiring_loads(name):
    saved, layer = other_layer(name), make_layer()
    el.adopt_wiring(layer, saved.state_dict())
    layer.load_state_dict(saved.state_dict())
    assert layer.topology == saved.topology
    assert (layer.in_features, layer.out_features) == (saved.in_features, saved.out_features)
    assert_close(values(layer), values(saved))


@other_wirings
def test_adopted_wiring_computes_and_trains(name):
    saved, layer = other_layer(name), make_layer()
    el.adopt_wiring(layer, saved.state_dict())
    layer.load_state_dict(saved.state_dict())
    x = random(3, layer.in_features)
    y = layer(x)
    assert_close(y, F.linear(x, saved.to_dense(), saved.bias))
    y.sum().backward()
    assert layer.weight.grad.shape == layer.weight.shape


def test_adopt_wiring_reaches_nested_layers_by_prefix():
    saved, model = make_model(), make_model()
    saved[0]["encoder"][0] = other_layer("fewer edges")
    saved[1] = el.EdgeLinear(4, 3, [(1, 1)], dtype=torch.float64)
    el.adopt_wiring(model, saved.state_dict())
    model.load_state_dict(saved.state_dict())
    assert_close(values(model), values(saved))


def test_adopt_wiring_leaves_layers_of_the_same_wiring_alone():
    layer = make_layer()
    weight, before = layer.weight, values(layer)
    el.adopt_wiring(layer, make_layer().state_dict())
    assert layer.weight is weight
    assert_close(values(layer), before, rtol=0, atol=0)


def test_adopt_wiring_keeps_type_frozen_parameters_and_backend():
    layer = make_layer(dtype=torch.float32, backend="reference").requires_grad_(False)
    el.adopt_wiring(layer, other_layer("fewer edges").state_dict())
    assert layer.weight.dtype == torch.float32
    assert not layer.weight.requires_grad and not layer.bias.requires_grad
    assert layer.backend == "reference"


def test_adopt_wiring_changes_nothing_when_one_layer_is_missing():
    model, state = make_model(), make_model().state_dict()
    state["0.encoder.0.edge_index"] = EDGES.flip(1)
    del state["1.edge_index"]
    before = values(model)
    with pytest.raises(ValueError, match="holds no `1.edge_index`"):
        el.adopt_wiring(model, state)
    assert_close(values(model), before, rtol=0, atol=0)


def test_adopt_wiring_leaves_shared_weights_shared():
    first, second = make_layer(), make_layer()
    before = second.weight = first.weight
    model = nn.Sequential(first, nn.Linear(4, 5), second)
    state = {k: v for k, v in model.state_dict().items()}
    for key in ("0.edge_index", "2.edge_index"):
        state[key] = state[key].flip(1)
    el.adopt_wiring(model, state)
    assert model[0].weight is model[2].weight
    assert model[0].weight is not before


def test_prefix_that_is_wrong_is_named_beside_those_there():
    with pytest.raises(ValueError, match="no `0edge_index`.* prefixes '0.encoder.0.', '1.'"):
        el.EdgeLinear.from_state_dict(make_model().state_dict(), prefix="0")


def test_adopt_wiring_changes_nothing_when_one_layer_has_rules():
    model, state = make_model(), make_model().state_dict()
    for key in ("0.encoder.0.edge_index", "1.edge_index"):
        state[key] = state[key].flip(1)
    el.rules.fix_nonnegative(model[1])
    before = values(model)
    with pytest.raises(ValueError, match="the weights of `1` have rules"):
        el.adopt_wiring(model, state)
    assert_close(values(model), before, rtol=0, atol=0)


# Corrupt files


@strictly
@corrupt
def test_corrupt_wiring_is_refused_by_load_state_dict(name, options):
    layer = make_layer()
    before = values(layer)
    with pytest.raises(RuntimeError, match="another wiring|is corrupt|must hold 2 integers"):
        layer.load_state_dict(corrupted(name), **options)
    assert_close(values(layer), before, rtol=0, atol=0)


@corrupt
def test_corrupt_wiring_is_refused_by_from_state_dict(name):
    with pytest.raises(ValueError, match="is corrupt|must hold 2 integers"):
        el.EdgeLinear.from_state_dict(corrupted(name))


@corrupt
def test_corrupt_wiring_is_refused_by_adopt_wiring(name):
    layer = make_layer()
    before = values(layer)
    with pytest.raises(ValueError, match="is corrupt|must hold 2 integers"):
        el.adopt_wiring(layer, corrupted(name))
    assert_close(values(layer), before, rtol=0, atol=0)


def test_corrupt_file_is_refused_after_torch_load():
    buffer = io.BytesIO()
    torch.save(corrupted("source too large"), buffer)
    buffer.seek(0)
    with pytest.raises(ValueError, match="source 5 at edge 5 is outside"):
        el.EdgeLinear.from_state_dict(torch.load(buffer, weights_only=True))
