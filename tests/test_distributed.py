"""Two processes: data parallel, sharded parameters, and their checkpoints, against one process."""

import pytest
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
import torch.nn.functional as F
from problems import SMALL, random
from processes import Work
from torch import nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    set_model_state_dict,
)
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel
from torch.testing import assert_close

import edgelinear as el

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (dist.is_available() and dist.is_gloo_available()), reason="torch has no gloo"
    ),
]

# Seven edges shard unevenly over two processes, and so do the three of the second layer.
EDGES = SMALL.edge_index
SECOND = torch.tensor([[3, 0, 2], [0, 2, 2]])
FULL = StateDictOptions(full_state_dict=True)
BROADCAST = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)


def make_model(seed=0):
    torch.manual_seed(seed)
    first = SMALL.layer()
    second = el.EdgeLinear(4, 3, SECOND, dtype=torch.float64)
    return nn.Sequential(first, nn.Tanh(), second)


def shard(model, **options):
    for layer in model:
        if isinstance(layer, el.EdgeLinear):
            fully_shard(layer, **options)
    return fully_shard(model, **options)


def train(model, rank=0, world=1, steps=3):
    """Train on one process's part of each batch of eight."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for step in range(steps):
        x, target = random(8, 5, seed=step), random(8, 3, seed=50 + step)
        optimizer.zero_grad()
        F.mse_loss(model(x.chunk(world)[rank]), target.chunk(world)[rank]).backward()
        optimizer.step()


def weights_and_gradients(model):
    """Return each parameter and its gradient, if any, gathered where they are sharded."""

    def whole(tensor):
        if tensor is None:
            return None
        return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).detach()

    return [(whole(p), whole(p.grad)) for p in model.parameters()]


def full_state(model):
    return get_model_state_dict(model, options=FULL)


work = Work()
two_processes = work.fixture()


def in_one_process():
    model = make_model()
    train(model)
    return model


# Data parallel


@work
def train_with_ddp(path, rank):
    model = DistributedDataParallel(make_model(seed=rank))
    train(model, rank, 2)
    return weights_and_gradients(model.module)


def test_ddp_trains_as_one_process(two_processes):
    expected = weights_and_gradients(in_one_process())
    for got in two_processes(train_with_ddp):
        assert_close(got, expected)


@work
def count_broadcasts(path, rank):
    model = DistributedDataParallel(make_model())
    counted = []
    model._distributed_broadcast_coalesced = lambda *arguments: counted.append(arguments)
    model(random(4, 5))
    return counted


def test_ddp_broadcasts_nothing_in_a_forward(two_processes):
    assert two_processes(count_broadcasts) == [[], []]


def test_layer_has_no_buffers():
    assert list(make_model().buffers()) == []


# Sharded parameters


@work
def train_with_fsdp(path, rank):
    model = shard(make_model())
    sizes = [p.to_local().numel() for p in (model[0].weight, model[2].weight)]
    train(model, rank, 2)
    return sizes, weights_and_gradients(model)


def test_fsdp_trains_as_one_process_with_uneven_shards(two_processes):
    expected = weights_and_gradients(in_one_process())
    results = two_processes(train_with_fsdp)
    assert [sizes for sizes, _ in results] == [[4, 2], [3, 1]]
    for _, got in results:
        assert_close(got, expected)


@work
def reset_from_meta(path, rank):
    with torch.device("meta"):
        model = make_model()
    shard(model).to_empty(device="cpu")
    torch.manual_seed(0)
    for layer in (model[0], model[2]):
        layer.reset_parameters()
    model(random(4, 5))
    return full_state(model)


def test_fsdp_from_meta_draws_within_the_bound_of_each_target(two_processes):
    states = two_processes(reset_from_meta)
    assert_close(*states)
    for name, edges, targets in (("0", EDGES, 4), ("2", SECOND, 3)):
        fan_in = torch.bincount(edges[1], minlength=targets)
        weight, bias = (states[0][f"{name}.{key}"] for key in ("weight", "bias"))
        bound = torch.where(fan_in > 0, fan_in.clamp(min=1).double().rsqrt(), 0.0)
        assert (weight.abs() <= bound[edges[1]] + 1e-7).all()
        assert (bias.abs() <= bound + 1e-7).all()
        assert (bias[fan_in == 0] == 0).all()


def test_fsdp_from_meta_draws_the_values_of_one_process(two_processes):
    torch.manual_seed(0)
    expected = make_model().state_dict()
    for got in two_processes(reset_from_meta):
        assert_close(got, dict(expected))


@work
def load_into_meta(path, rank):
    with torch.device("meta"):
        model = make_model()
    shard(model).to_empty(device="cpu")
    set_model_state_dict(model, make_model().state_dict(), options=FULL)
    train(model, rank, 2)
    return weights_and_gradients(model)


def test_fsdp_loaded_from_meta_trains_as_one_process(two_processes):
    expected = weights_and_gradients(in_one_process())
    for got in two_processes(load_into_meta):
        assert_close(got, expected)


# Checkpoints of sharded parameters


@work
def gather(path, rank):
    return full_state(shard(make_model()))


def test_full_state_dict_of_shards_is_that_of_one_process(two_processes):
    for got in two_processes(gather):
        assert_close(got, dict(make_model().state_dict()))


def loaded_full(make):
    model = shard(make(seed=1))
    set_model_state_dict(model, make().state_dict(), options=FULL)
    return full_state(model)


def loaded_broadcast(make, rank):
    model = shard(make(seed=1))
    state = make().state_dict() if rank == 0 else {}
    set_model_state_dict(model, state, options=BROADCAST)
    return full_state(model)


def loaded_from_files(make, folder):
    dcp.save({"model": get_model_state_dict(shard(make()))}, checkpoint_id=folder)
    model = shard(make(seed=1))
    state = {"model": get_model_state_dict(model)}
    dcp.load(state, checkpoint_id=folder)
    set_model_state_dict(model, state["model"])
    return full_state(model)


@work
def load_full(path, rank):
    return loaded_full(make_model)


@work
def load_shards(path, rank):
    model = shard(make_model(seed=1))
    set_model_state_dict(model, get_model_state_dict(shard(make_model())))
    return full_state(model)


@work
def load_broadcast(path, rank):
    return loaded_broadcast(make_model, rank)


@work
def load_broadcast_into_meta(path, rank):
    with torch.device("meta"):
        model = shard(make_model())
    state = make_model().state_dict() if rank == 0 else {}
    set_model_state_dict(model, state, options=BROADCAST)
    model(random(4, 5))
    return full_state(model)


@work
def save_and_load_files(path, rank):
    return loaded_from_files(make_model, f"{path}/files")


@pytest.mark.parametrize(
    "load", [load_full, load_shards, load_broadcast, load_broadcast_into_meta, save_and_load_files]
)
def test_shards_take_a_checkpoint_of_this_wiring(load, two_processes):
    for got in two_processes(load):
        assert_close(got, dict(make_model().state_dict()))


def rewired():
    """Return a model with as many edges as the others, between other ends."""
    model = make_model()
    model[0] = el.EdgeLinear(5, 4, EDGES.flip(1), duplicates="keep", dtype=torch.float64)
    return model


def message_of(load, *arguments, **options):
    try:
        load(*arguments, **options)
    except (RuntimeError, CheckpointException) as error:
        return str(error)
    return ""


@work
def load_full_of_another_wiring(path, rank):
    model = shard(make_model())
    return message_of(set_model_state_dict, model, rewired().state_dict(), options=FULL)


@work
def load_shards_of_another_wiring(path, rank):
    model = shard(make_model())
    return message_of(set_model_state_dict, model, get_model_state_dict(shard(rewired())))


@work
def load_files_of_another_wiring(path, rank):
    dcp.save({"model": get_model_state_dict(shard(rewired()))}, checkpoint_id=f"{path}/other")
    model = shard(make_model())
    before = model[0].weight.full_tensor()
    state = {"model": get_model_state_dict(model)}
    message = message_of(dcp.load, state, checkpoint_id=f"{path}/other")
    return message if torch.equal(model[0].weight.full_tensor(), before) else "weights are lost"


@pytest.mark.parametrize(
    "load",
    [
        load_full_of_another_wiring,
        load_shards_of_another_wiring,
        load_files_of_another_wiring,
    ],
)
def test_shards_refuse_a_checkpoint_of_another_wiring(load, two_processes):
    for message in two_processes(load):
        assert "`0.edge_index` in this checkpoint is another wiring" in message


@work
def load_broadcast_of_another_wiring(path, rank):
    model = shard(make_model())
    state = rewired().state_dict() if rank == 0 else {}
    return message_of(set_model_state_dict, model, state, options=BROADCAST)


def test_rank_0_refuses_a_broadcast_of_another_wiring(two_processes):
    message, _ = two_processes(load_broadcast_of_another_wiring)
    assert "`0.edge_index` in this checkpoint is another wiring" in message


@work
def load_without_wiring(path, rank):
    model = shard(make_model())
    sharded = get_model_state_dict(model)
    plain = make_model().state_dict()
    messages = []
    for state in (sharded, plain):
        half = {k: v for k, v in state.items() if not k.endswith("edge_index")}
        messages.append(message_of(model.load_state_dict, half, strict=False))
    bare = {k: v for k, v in plain.items() if not k.endswith(("edge_index", "shape"))}
    messages.append(message_of(make_model().load_state_dict, bare, strict=False))
    if rank == 0:
        bare = {k: v for k, v in sharded.items() if not k.endswith(("edge_index", "shape"))}
        messages.append(message_of(model.load_state_dict, bare, strict=False))
    return messages


def test_missing_wiring_is_refused_except_beside_shards_on_other_ranks(two_processes):
    for messages in two_processes(load_without_wiring):
        assert all("holds no `0.edge_index`" in message for message in messages)


# Rules


def make_model_with_rules(seed=0):
    """Return a model of tied weights, whose indices shard unevenly, of signs and frozen edges."""
    model = make_model(seed)
    el.rules.tie(model[0], [0, 0, 1, 2, 1, 2, 0], scale=[1, -2, 3, 1, 1, 2, 1])
    el.rules.fix_signs(model[2], [1, -1, 1, -1])
    model.append(el.EdgeLinear(3, 3, [(0, 0), (1, 0), (2, 2)], dtype=torch.float64))
    el.rules.freeze(model[3], [False, True, False])
    return model


@work
def train_rules_with_ddp(path, rank):
    model = DistributedDataParallel(make_model_with_rules(seed=rank))
    train(model, rank, 2)
    return weights_and_gradients(model.module)


@work
def train_rules_with_fsdp(path, rank):
    model = shard(make_model_with_rules())
    train(model, rank, 2)
    return weights_and_gradients(model)


@pytest.mark.parametrize("train_rules", [train_rules_with_ddp, train_rules_with_fsdp])
def test_rules_train_as_in_one_process(train_rules, two_processes):
    model = make_model_with_rules()
    train(model)
    for got in two_processes(train_rules):
        assert_close(got, weights_and_gradients(model))


@work
def run_rules_in_half_types(path, rank):
    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, output_dtype=torch.float64)
    model = shard(make_model_with_rules(), mp_policy=policy)
    return model(random(8, 5)).detach()


def test_rules_run_in_half_types(two_processes):
    expected = make_model_with_rules()(random(8, 5)).detach()
    for got in two_processes(run_rules_in_half_types):
        assert_close(got, expected, rtol=0.02, atol=0.02)  # an eighth bit is 0.004


@work
def load_rules_full(path, rank):
    return loaded_full(make_model_with_rules)


@work
def load_rules_broadcast(path, rank):
    return loaded_broadcast(make_model_with_rules, rank)


@work
def load_rules_from_files(path, rank):
    return loaded_from_files(make_model_with_rules, f"{path}/rules")


@pytest.mark.parametrize("load", [load_rules_full, load_rules_broadcast, load_rules_from_files])
def test_sharded_rules_take_their_checkpoint(load, two_processes):
    for got in two_processes(load):
        assert_close(got, dict(make_model_with_rules().state_dict()))
