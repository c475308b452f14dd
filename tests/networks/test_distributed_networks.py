"""Networks in two processes: data parallel, sharded, and their checkpoints, against one process."""

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from graphs import random_dag, random_graph
from processes import in_processes
from torch import nn
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

FULL = StateDictOptions(full_state_dict=True)
BROADCAST = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
NODES = 13  # which shards unevenly, and so do 35 edges


class Whole(nn.Module):
    """A network beside a linear layer, whose inputs are (batch, 3) or, recurrent, of 5 steps."""

    def __init__(self, net):
        super().__init__()
        self.net = net
        self.head = nn.Linear(2, 1, dtype=torch.float64)

    def forward(self, x):
        y = self.net(x)
        return self.head(y[0] if isinstance(y, tuple) else y)


def make_network(seed=0, outputs=(12, 9), edges=0):
    torch.manual_seed(seed)
    ends = random_dag(NODES, 35, 3, seed=edges)
    net = el.EdgeNetwork(
        NODES, ends, [0, 1, 2], outputs, activation=["tanh", "sin"] * 6 + ["tanh"],
        aggregation={9: "max", 8: "mean"}, response=torch.linspace(0.5, 1.5, NODES),
        dtype=torch.float64, node_names=range(NODES),
    )  # fmt: skip
    return Whole(net)


def make_recurrent(seed=0, outputs=(12, 9), edges=0):
    torch.manual_seed(seed)
    net = el.EdgeRNN(
        NODES, random_graph(NODES, 38)[:: 1 - 2 * edges], [0, 1, 2], outputs,
        leak=np.linspace(0.2, 0.9, NODES), learn_leak=True, input_weight="learn",
        dtype=torch.float64,
    )  # fmt: skip
    return Whole(net)


def make_clamped(seed=0):
    """Return one of a fixed leak, which is a buffer, and of signs."""
    torch.manual_seed(seed)
    ends = random_dag(NODES, 35, 3)
    net = el.EdgeRNN(
        NODES, ends, [0, 1, 2], [12, 9], leak=np.linspace(0.2, 0.9, NODES), clamp_inputs=True,
        response=torch.ones(NODES), dtype=torch.float64,
    )  # fmt: skip
    return Whole(el.rules.fix_signs(net, np.where(np.arange(NODES) % 3, 1, -1)))


MAKERS = {"network": make_network, "recurrent": make_recurrent, "clamped": make_clamped}
PLAIN = ("network", "recurrent")


def shard(model):
    fully_shard(model.net)
    return fully_shard(model)


def batch_of(model, step):
    generator = torch.Generator().manual_seed(step)
    shape = (8, 3) if isinstance(unwrapped(model).net, el.EdgeNetwork) else (8, 5, 3)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def unwrapped(model):
    return model.module if isinstance(model, DistributedDataParallel) else model


def train(model, rank=0, world=1, steps=3):
    """Train on one process's part of each batch of eight."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for step in range(steps):
        x = batch_of(model, step)
        optimizer.zero_grad()
        (model(x.chunk(world)[rank]) - 1).square().mean().backward()
        optimizer.step()


def whole(tensor):
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).detach()


def weights_and_gradients(model):
    return [(whole(p), whole(p.grad)) for p in unwrapped(model).parameters()]


def full_state(model):
    return get_model_state_dict(model, options=FULL)


def message_of(load, *arguments, **options):
    try:
        load(*arguments, **options)
    except (RuntimeError, ValueError, dcp.api.CheckpointException) as error:
        return str(error)
    return ""


def train_with_ddp(make, rank):
    model = DistributedDataParallel(make(seed=rank))
    train(model, rank, 2)
    return weights_and_gradients(model)


def train_with_fsdp(make, rank):
    model = shard(make())
    train(model, rank, 2)
    return weights_and_gradients(model)


def sizes(make, rank):
    return [p.to_local().shape[0] for p in shard(make()).net.parameters()]


def run_in_half_types(make, rank):
    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, output_dtype=torch.float64)
    model = make()
    y = fully_shard(model.net, mp_policy=policy)(batch_of(model, 0))
    return (y[0] if isinstance(y, tuple) else y).detach()


def reset_from_meta(make, rank):
    with torch.device("meta"):
        model = make()
    shard(model).to_empty(device="cpu")
    torch.manual_seed(0)
    model.net.reset_parameters()
    return full_state(model.net)


def gather(make, rank):
    return full_state(shard(make()))


def load_full(make, rank):
    model = shard(make(seed=1))
    set_model_state_dict(model, make().state_dict(), options=FULL)
    return full_state(model)


def load_shards(make, rank):
    model = shard(make(seed=1))
    set_model_state_dict(model, get_model_state_dict(shard(make())))
    return full_state(model)


def load_broadcast(make, rank):
    model = shard(make(seed=1))
    state = make().state_dict() if rank == 0 else {}
    set_model_state_dict(model, state, options=BROADCAST)
    return full_state(model)


def load_from_files(make, rank, path):
    folder = f"{path}/{make.__name__}"
    dcp.save({"model": get_model_state_dict(shard(make()))}, checkpoint_id=folder)
    model = shard(make(seed=1))
    state = {"model": get_model_state_dict(model)}
    dcp.load(state, checkpoint_id=folder)
    set_model_state_dict(model, state["model"])
    return full_state(model)


LOADS = (gather, load_full, load_shards, load_broadcast)
OTHERS = {"edges": dict(edges=1), "outputs": dict(outputs=(9, 12))}


def refusals(make, rank, path):
    """Return what is said of checkpoints of other edges, and of other outputs."""
    found = []
    for what, options in OTHERS.items():
        other = make(**options)
        model = shard(make())
        found.append(message_of(set_model_state_dict, model, other.state_dict(), options=FULL))
        folder = f"{path}/{make.__name__}-{what}"
        dcp.save({"model": get_model_state_dict(shard(other))}, checkpoint_id=folder)
        state = {"model": get_model_state_dict(model)}
        found.append(message_of(dcp.load, state, checkpoint_id=folder))
        other = make(**options)
        state = other.state_dict() if rank == 0 else {}
        said = message_of(set_model_state_dict, shard(make()), state, options=BROADCAST)
        found.append(said if rank == 0 else "is another wiring, the list of outputs")
    return found


def everything(path, rank):
    """Do all of it: starting two processes takes longer than all that they do."""
    results = {}
    for name, make in MAKERS.items():
        for function in (train_with_ddp, train_with_fsdp, *LOADS):
            results[name, function.__name__] = function(make, rank)
        results[name, "load_from_files"] = load_from_files(make, rank, path)
    for name in PLAIN:
        for function in (sizes, run_in_half_types, reset_from_meta):
            results[name, function.__name__] = function(MAKERS[name], rank)
        results[name, "refusals"] = refusals(MAKERS[name], rank, path)
    return results


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Return what each of two processes found."""
    path = tmp_path_factory.mktemp("processes")
    return in_processes({"everything": everything}, path)(everything)


each = pytest.mark.parametrize("name", MAKERS)
plain = pytest.mark.parametrize("name", PLAIN)


@each
@pytest.mark.parametrize("way", ["train_with_ddp", "train_with_fsdp"])
def test_two_processes_train_as_one(name, way, both):
    model = MAKERS[name]()
    train(model)
    for results in both:
        assert_close(results[name, way], weights_and_gradients(model))


@plain
def test_shards_are_uneven(name, both):
    first, second = (results[name, "sizes"] for results in both)
    assert [a + b for a, b in zip(first, second, strict=True)] == [
        p.shape[0] for p in MAKERS[name]().net.parameters()
    ]
    assert first != second


@plain
def test_half_types_are_near(name, both):
    model = MAKERS[name]()
    y = model.net(batch_of(model, 0))
    expected = (y[0] if isinstance(y, tuple) else y).detach()
    for results in both:
        found = results[name, "run_in_half_types"]
        assert_close(found, expected, rtol=0.05, atol=0.05)  # a bit is 0.004


@plain
def test_values_drawn_from_meta_are_those_of_one_process(name, both):
    model = MAKERS[name]()
    torch.manual_seed(0)
    model.net.reset_parameters()
    expected = dict(model.net.state_dict())
    for results in both:
        found = results[name, "reset_from_meta"]
        found.pop("response", None), expected.pop("response", None)  # which is given, not drawn
        assert_close(found, expected)


@each
@pytest.mark.parametrize("way", [*(load.__name__ for load in LOADS), "load_from_files"])
def test_checkpoints_bring_what_one_process_has(name, way, both):
    for results in both:
        assert_close(results[name, way], dict(MAKERS[name]().state_dict()))


@plain
def test_checkpoints_of_another_graph_are_refused(name, both):
    for results in both:
        said = results[name, "refusals"]
        assert all("is another wiring" in message for message in said[:3])
        assert all("list of " in message for message in said[3:])


def test_a_gathered_state_dict_is_a_network(both):
    model = make_recurrent()
    state = both[0]["recurrent", "gather"]
    twin = el.EdgeRNN.from_state_dict(state, "net.", learn_leak=True, input_weight="learn")
    x = batch_of(model, 0)
    assert_close(twin(x)[0], model.net(x)[0])
