"""State dicts that passed through other hands: averaged, cast, migrated, written into."""

import copy
import io
import pickle

import pytest
import torch
import torch.distributed.checkpoint as dcp
from problems import random
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.distributed.checkpoint.api import CheckpointException
from torch.testing import assert_close

import edgelinear as el

# Indices that bfloat16 rounds (above 256), half too (above 2048), and float32 (above 2**24).
SIZES = {"small": 200, "bfloat16 rounds": 1000, "half rounds": 5000, "float32 rounds": 2**24 + 9}


def make_layer(size=200, seed=0, order=1, **options):
    torch.manual_seed(seed)
    last = size - 1
    edges = torch.tensor([[last, 0, 5, last - 2, 0, 150], [2, 0, 2, 1, 3, 0]])[:, ::order]
    return el.EdgeLinear(size, 4, edges, dtype=torch.float64, **options)


def flipped(layer):
    return el.EdgeLinear(
        layer.in_features,
        4,
        layer.edge_index.flip(1),
        dtype=torch.float64,
        bias=layer.bias is not None,
    )


def values(module):
    return {key: value.clone() for key, value in module.state_dict().items()}


def mean(states):
    return {key: sum(state[key] for state in states) / len(states) for key in states[0]}


def weighted(states):
    return {key: 0.3 * states[0][key] + 0.7 * states[1][key] for key in states[0]}


def moving(states):
    average = {key: value.clone().float() for key, value in states[0].items()}
    for _ in range(50):
        for key, value in states[1].items():
            average[key].mul_(0.99).add_(value, alpha=0.01)
    return average


AVERAGES = {"mean": mean, "weighted": weighted, "moving": moving}
averages = pytest.mark.parametrize("average", AVERAGES)


@averages
@pytest.mark.parametrize("names", [None, [f"node {i}" for i in range(200)]], ids=["", "named"])
def test_average_of_one_wiring_loads(average, names):
    states = [make_layer(seed=i, in_names=names).state_dict() for i in range(2)]
    layer = make_layer(seed=2, in_names=names)
    averaged = AVERAGES[average](states)
    assert averaged["edge_index"].is_floating_point()
    layer.load_state_dict(averaged)
    assert_close(layer.weight, averaged["weight"].double())
    assert layer.in_names == names


@averages
def test_average_of_models_with_rules_loads(average):
    def make(seed):
        layer = el.rules.tie(make_layer(seed=seed), [0, 1, 1, 2, 0, 2], scale=[1, 2, 1, 3, 0.1, 1])
        return el.rules.fix_signs(layer, layer.weight.sign().ge(0) * 2.0 - 1, of="edges")

    torch.manual_seed(0)
    first = make(0)
    states = [first.state_dict(), copy.deepcopy(first.state_dict())]
    layer = copy.deepcopy(first)
    averaged = AVERAGES[average](states)
    layer.load_state_dict(averaged)
    assert_close(layer.weight, first.weight, rtol=1e-5, atol=1e-6)


@averages
def test_average_of_two_wirings_is_refused(average):
    layer = make_layer()
    other = el.EdgeLinear(200, 4, layer.edge_index.index_fill(1, torch.tensor([4]), 1))
    averaged = AVERAGES[average]([layer.state_dict(), other.state_dict()])
    before = values(layer)
    with pytest.raises(RuntimeError, match="not whole|another wiring"):
        layer.load_state_dict(averaged)
    assert_close(values(layer), before, rtol=0, atol=0)


@pytest.mark.parametrize("there_and_back", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("size", SIZES)
def test_cast_state_dict_loads_where_its_numbers_are_right_and_else_says_what_to_do(
    size, dtype, there_and_back
):
    layer, other = make_layer(SIZES[size]), make_layer(SIZES[size], seed=1)
    state = {key: value.to(dtype) for key, value in other.state_dict().items()}
    if there_and_back:
        state = {key: value.to(other.state_dict()[key].dtype) for key, value in state.items()}
    right = torch.equal(state["edge_index"].long(), other.edge_index)
    right &= state["shape"].long().tolist() == [SIZES[size], 4]
    if right:
        layer.load_state_dict(state)
        assert_close(layer.weight, state["weight"].double())
    else:
        with pytest.raises(RuntimeError, match="numbers rounded to torch|not whole") as error:
            layer.load_state_dict(state)
        if "rounded" in str(error.value):
            assert str(dtype) in str(error.value)
            # The cure, as it is written there.
            state["edge_index"], state["shape"] = layer.edge_index, layer.shape
            layer.load_state_dict(state)
            assert_close(layer.weight, state["weight"].double())


def test_floats_beside_integers_are_refused():
    layer = make_layer()
    for key in ("edge_index", "shape"):
        state = layer.state_dict()
        state[key] = state[key].double()
        with pytest.raises(RuntimeError, match="is corrupt|must hold 2 integers"):
            layer.load_state_dict(state)


def adopted(state):
    layer = make_layer(size=300, order=2)
    el.adopt_wiring(layer, state)
    layer.load_state_dict(state)
    return layer


takers = pytest.mark.parametrize("take", [el.EdgeLinear.from_state_dict, adopted])


@takers
@averages
@pytest.mark.parametrize("names", [None, [f"node {i}" for i in range(200)]], ids=["", "named"])
def test_average_of_one_wiring_is_taken_as_a_new_one(take, average, names):
    states = [make_layer(seed=i, in_names=names).state_dict() for i in range(2)]
    averaged = AVERAGES[average](states)
    layer = take(averaged)
    assert layer.topology == make_layer().topology and layer.in_names == names
    assert_close(layer.weight.double(), averaged["weight"].double())


@takers
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("size", SIZES)
def test_cast_wiring_is_taken_where_its_type_has_all_its_numbers(take, size, dtype):
    saved = make_layer(SIZES[size])
    state = {key: value.to(dtype) for key, value in saved.state_dict().items()}
    if SIZES[size] <= 2 / torch.finfo(dtype).eps:
        assert take(state).topology == saved.topology
        return
    with pytest.raises(ValueError, match=f"rounded to {dtype}.* state.'edge_index'.*made_of"):
        take(state)
    made_of = saved.state_dict()
    # The cure, as it is written there.
    state["edge_index"], state["shape"] = made_of["edge_index"], made_of["shape"]
    assert take(state).topology == saved.topology


@takers
def test_average_that_is_not_whole_is_never_taken_as_a_new_wiring(take):
    layers = make_layer(), el.EdgeLinear(200, 4, make_layer().edge_index.flip(1))
    with pytest.raises(ValueError, match="not whole"):
        take(mean([layer.state_dict() for layer in layers]))


# A number of each type that is another one, rounded to it.
ROUNDED = {torch.float16: 2052, torch.bfloat16: 300, torch.float32: 2**24 + 4}


@pytest.mark.parametrize("dtype", ROUNDED, ids=str)
@pytest.mark.parametrize("prefix", ["", "0."])
def test_other_wiring_that_a_cast_rounds_to_this_one_is_refused(dtype, prefix):
    number = ROUNDED[dtype]
    layer, other = (el.EdgeLinear(number + 4, 1, [(n, 0), (0, 0)]) for n in (number, number + 1))
    state = {prefix + key: value.to(dtype) for key, value in other.state_dict().items()}
    state[prefix + "shape"] = layer.state_dict()["shape"].to(dtype)
    assert torch.equal(state[prefix + "edge_index"].long(), layer.edge_index)
    model = nn.Sequential(layer) if prefix else layer
    before = values(model)
    with pytest.raises(RuntimeError, match=f"rounded to {dtype}.* this wiring, or another"):
        model.load_state_dict(state)
    assert_close(values(model), before, rtol=0, atol=0)
    with pytest.raises(RuntimeError, match="another wiring"):
        layer.state_dict()["edge_index"].copy_(state[prefix + "edge_index"])
    # The cure, as it is written there.
    state[f"{prefix}edge_index"], state[f"{prefix}shape"] = layer.edge_index, layer.shape
    model.load_state_dict(state)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_cast_wiring_as_large_as_its_type_tells_loads(dtype):
    size = int(2 / torch.finfo(dtype).eps)
    layer = el.EdgeLinear(size, 1, [(size - 1, 0), (0, 0)])
    layer.load_state_dict({key: value.to(dtype) for key, value in layer.state_dict().items()})


@pytest.mark.parametrize("key", ["edge_index", "shape"])
def test_entry_that_is_no_tensor_is_named(key):
    state = make_layer().state_dict() | {key: None}
    said = f"`{key}` in this checkpoint is corrupt: it must be a tensor of integers, got NoneType"
    with pytest.raises(RuntimeError, match=said):
        make_layer().load_state_dict(state)
    with pytest.raises(ValueError, match=said):
        el.EdgeLinear.from_state_dict(state)


# Hooks


def rename(old, new):
    def hook(module, state_dict, prefix, *_):
        for key in [k for k in state_dict if k.startswith(prefix + old)]:
            state_dict[prefix + new + key[len(prefix + old) :]] = state_dict.pop(key)

    return hook


def make_model(seed=0):
    return nn.Sequential(nn.ModuleDict({"encoder": make_layer(seed=seed)}), nn.Tanh())


def test_hook_of_the_layer_migrates_renamed_entries():
    saved, model = make_model(), make_model(seed=1)
    old = {
        k.replace("edge_index", "edges").replace("shape", "sizes"): v
        for k, v in saved.state_dict().items()
    }
    layer = model[0]["encoder"]
    layer.register_load_state_dict_pre_hook(rename("edges", "edge_index"))
    layer.register_load_state_dict_pre_hook(rename("sizes", "shape"))
    assert str(model.load_state_dict(old)) == "<All keys matched successfully>"
    assert_close(values(model), values(saved))


@pytest.mark.parametrize("level", [0, 1], ids=["model", "block"])
def test_hook_above_the_layer_migrates_its_prefix(level):
    saved, model = make_model(), make_model(seed=1)
    old = {k.replace("encoder", "layer"): v for k, v in saved.state_dict().items()}
    module, prefix = [(model, "0."), (model[0], "")][level]
    module.register_load_state_dict_pre_hook(rename(f"{prefix}layer", f"{prefix}encoder"))
    model.load_state_dict(old)
    assert_close(values(model), values(saved))


def test_hook_that_adds_the_wiring_lets_a_bare_checkpoint_load():
    saved, model = make_model(), make_model(seed=1)
    bare = {k: v for k, v in saved.state_dict().items() if not k.endswith(("edge_index", "shape"))}

    def add(module, state_dict, prefix, *_):
        state_dict[prefix + "edge_index"], state_dict[prefix + "shape"] = (
            saved[0]["encoder"].edge_index,
            module.shape,
        )

    model[0]["encoder"].register_load_state_dict_pre_hook(add)
    model.load_state_dict(bare)
    assert_close(values(model), values(saved))


def test_hook_runs_once_and_stays():
    layer, calls = make_layer(), []
    layer.register_load_state_dict_pre_hook(lambda *arguments: calls.append(1))
    for i in range(1, 3):
        layer.load_state_dict(layer.state_dict())
        assert len(calls) == i


def test_hook_that_brings_another_wiring_is_refused():
    layer = make_layer()
    before = values(layer)

    def flip(module, state_dict, prefix, *_):
        state_dict[prefix + "edge_index"] = state_dict[prefix + "edge_index"].flip(1)

    layer.register_load_state_dict_pre_hook(flip)
    with pytest.raises(RuntimeError, match="the same edges in another order"):
        layer.load_state_dict(layer.state_dict())
    assert_close(values(layer), before, rtol=0, atol=0)


def test_entries_that_hooks_add_when_saving_come_back_through_hooks():
    saved, model = make_model(), make_model(seed=1)
    for layer in (saved[0]["encoder"], model[0]["encoder"]):
        layer.register_state_dict_post_hook(
            lambda module, state, prefix, _: state.update({prefix + "version": torch.tensor(3)})
        )
        layer.register_load_state_dict_pre_hook(
            lambda module, state, prefix, *_: state.pop(prefix + "version")
        )
    model.load_state_dict(saved.state_dict())
    assert_close(values(model), values(saved))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda layer: checkpoint_wrapper(layer),
        lambda layer: torch.nn.utils.parametrizations.weight_norm(layer),
        lambda layer: el.rules.fix_nonnegative(layer),
    ],
    ids=["activation checkpoints", "weight_norm", "rule"],
)
def test_wrapped_layer_saves_and_loads(wrap):
    saved, model = (nn.Sequential(wrap(make_layer(seed=i))) for i in range(2))
    model.load_state_dict(saved.state_dict())
    assert_close(values(model), values(saved))
    other = nn.Sequential(wrap(flipped(make_layer(seed=2))))
    with pytest.raises(RuntimeError, match="another wiring"):
        model.load_state_dict(other.state_dict())
    assert_close(values(model), values(saved), rtol=0, atol=0)


def test_checkpoint_of_the_old_weight_norm_loads_into_the_new_one():
    saved = torch.nn.utils.weight_norm(make_layer())
    layer = torch.nn.utils.parametrizations.weight_norm(make_layer(seed=1))
    layer.load_state_dict(saved.state_dict())
    x = random(3, 200)
    assert_close(layer(x), saved(x))


# Tensors of a state dict, written into


def write_by_dcp(folder):
    def write(source, target):
        dcp.save(source.state_dict(), checkpoint_id=folder, no_dist=True)
        dcp.load(target.state_dict(), checkpoint_id=folder, no_dist=True)

    return write


def write_by_copy(source, target):
    state = target.state_dict()
    for key, value in source.state_dict().items():
        state[key].copy_(value)


@pytest.fixture(params=["dcp", "copy_"])
def write(request, tmp_path):
    return write_by_dcp(tmp_path / "files") if request.param == "dcp" else write_by_copy


def two_layers(seed=0, rule=False):
    layers = make_layer(seed=seed), el.EdgeLinear(4, 3, [(3, 0), (0, 2)], dtype=torch.float64)
    if rule:
        el.rules.fix_signs(layers[1], [1, 1, 1, -1])
    return nn.Sequential(*layers)


@pytest.mark.parametrize("rule", [False, True])
def test_state_dict_takes_values_of_the_same_wiring_in_place(write, rule):
    source, target = two_layers(rule=rule), two_layers(seed=1, rule=rule)
    write(source, target)
    assert_close(values(target), values(source))


OTHERS = {
    "first": lambda model: model.__setitem__(0, flipped(model[0])),
    "second": lambda model: model.__setitem__(
        1, el.EdgeLinear(4, 3, [(2, 0), (0, 2)], dtype=torch.float64)
    ),
    "rule": lambda model: model[1].parametrizations.weight[0].signs.neg_(),
}


@pytest.mark.parametrize("which", OTHERS)
def test_state_dict_refuses_another_wiring_in_place(write, which):
    rule = which == "rule"
    source, target = two_layers(rule=rule), two_layers(seed=1, rule=rule)
    OTHERS[which](source)
    layer = target[0] if which == "first" else target[1]
    before = layer.weight.detach().clone()
    key = {"first": "0.edge_index", "second": "1.edge_index", "rule": "signs"}[which]
    with pytest.raises(
        (RuntimeError, CheckpointException), match=f"{key}` in this checkpoint is an"
    ):
        write(source, target)
    if rule and write is write_by_copy:
        return  # torch puts the parameter before the rules that it follows
    assert_close(layer.weight, before, rtol=0, atol=0)  # which others would be silently wrong for


def test_running_average_in_place_works():
    model, average = make_model(), make_model(seed=1)
    state = average.state_dict()
    for key, value in model.state_dict().items():
        state[key].copy_(0.99 * state[key] + 0.01 * value)
    average.load_state_dict(state)
    assert_close(values(average), state)


@pytest.mark.parametrize(
    "copied",
    [
        lambda state: copy.deepcopy(state),
        lambda state: pickle.loads(pickle.dumps(state)),
        lambda state: {k: v.clone() for k, v in state.items()},
        lambda state: {k: v.cpu().numpy() for k, v in state.items()},
        lambda state: {k: v * 1 for k, v in state.items()},
    ],
    ids=["deepcopy", "pickle", "clone", "numpy", "times 1"],
)
def test_copies_of_a_state_dict_hold_plain_tensors(copied):
    state = copied(make_layer(in_names=range(200)).state_dict())
    for key, value in state.items():
        assert type(value) in (torch.Tensor, type(make_layer().edge_index.numpy())), key
        value.fill(1) if hasattr(value, "fill") else value.copy_(torch.ones_like(value))


def test_file_of_a_state_dict_is_read_with_weights_only():
    torch.save(make_layer().state_dict(), buffer := io.BytesIO())
    buffer.seek(0)
    state = torch.load(buffer, weights_only=True)
    assert {type(value) for value in state.values()} == {torch.Tensor}
    assert repr(make_layer().state_dict()["shape"]) == "tensor([200,   4])"
