"""Checkpoints of layers over several processes, on as many, on others, and on one."""

import copy

import pytest
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from problems import random
from processes import Work, in_processes
from sharing import (
    PARTS,
    WHOLE,
    distance,
    error_of,
    in_order,
    layer_of,
    meshes,
    samples,
    shared,
    topology_of,
    trained,
    whole,
)
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_state_dict,
    set_model_state_dict,
    set_state_dict,
)
from torch.distributed.fsdp import fully_shard

import edgelinear as el

pytestmark = pytest.mark.slow
FULL = StateDictOptions(full_state_dict=True, cpu_offload=True)
saving, loading = Work(), Work()


def model(topology=None, by=None):
    torch.manual_seed(0)
    layer = (
        layer_of("uneven")
        if topology is None
        else el.EdgeLinear.from_topology(topology, dtype=torch.float64)
    )
    layer = nn.Sequential(layer)
    if by is not None:
        shared(layer[0], by, PARTS if by.ndim == 2 else WHOLE, WHOLE)
    return layer


def with_another_last_edge():
    edges = topology_of("uneven").sorted()[0].edge_index
    edges[0, -1] = next(s for s in range(13) if [s, edges[1, -1]] not in edges.T.tolist())
    return el.Topology(13, 11, edges).sorted()[0]


def batch():
    return [(random(6, 13, seed=1), random(6, 11, seed=2))]


@saving
def save(path, rank):
    net = model(by=meshes()["edges"])
    trained(net, samples(13, 11))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.1)
    loss_step(net, optimizer)
    states = dict(zip(("model", "optimizer"), get_state_dict(net, optimizer), strict=True))
    dcp.save(states, checkpoint_id=f"{path}/checkpoint")


def loss_step(net, optimizer):
    ((x, goal),) = batch()
    (net(x) - goal).square().sum().backward()
    optimizer.step()
    optimizer.zero_grad()


def loaded(net, path):
    """Return an optimizer, which with the network goes on from the checkpoint."""
    optimizer = torch.optim.Adam(net.parameters(), lr=0.1)
    states = dict(zip(("model", "optimizer"), get_state_dict(net, optimizer), strict=True))
    dcp.load(states, checkpoint_id=f"{path}/checkpoint")
    set_state_dict(
        net,
        optimizer,
        model_state_dict=states["model"],
        optim_state_dict=states["optimizer"],
    )
    return optimizer


@loading
def load(path, rank):
    net = model(by=meshes()["edges"])
    with torch.no_grad():
        net[0].weight.zero_()
    optimizer = loaded(net, path)
    loss_step(net, optimizer)
    return [whole(p).detach() for p in net.parameters()]


@loading
def load_another(path, rank):
    """Return what is said of a wiring that differs where the last process has it."""
    net = model(with_another_last_edge(), meshes()["edges"])
    state = net.state_dict()
    here = error_of(lambda: dcp.load({"model": state}, checkpoint_id=f"{path}/checkpoint"))
    wide = model(with_another_last_edge())
    ours = model(by=meshes()["edges"])
    elsewhere = error_of(lambda: ours.load_state_dict(net.state_dict()))
    of_one = error_of(lambda: ours.load_state_dict(wide.state_dict()))
    kept = torch.equal(whole(ours[0].weight), model()[0].weight[in_order(model()[0])])
    return here, elsewhere, of_one, kept


@loading
def take_states_of_one_process(path, rank):
    """Return how far a layer is from one whose state dict it took, and the other way round."""
    found = {}
    ordered = topology_of("uneven").sorted()[0]
    for names, mesh in meshes().items():
        if "data" in names:
            continue
        alone, net = model(ordered), model(ordered, mesh)
        with torch.no_grad():
            alone[0].weight.mul_(2), alone[0].bias.add_(1)
        x = random(5, 13)
        if names == "edges":
            net.load_state_dict(alone.state_dict())
            found["taken"] = distance([net(x)], [alone(x)])
            other = model(ordered)
            full = get_model_state_dict(net, options=FULL)
            if rank == 0:
                other.load_state_dict(full)
                found["given"] = distance([other(x)], [alone(x)])
            set_model_state_dict(net, copy.deepcopy(net.state_dict()))
            found["set"] = distance([net(x)], [alone(x)])
        else:
            found["blocks"] = error_of(
                lambda net=net, alone=alone: net.load_state_dict(alone.state_dict())
            )
            again = model(ordered, mesh)
            with torch.no_grad():
                again[0].weight.zero_()
            again.load_state_dict(net.state_dict())
            found["same blocks"] = distance([whole(again[0].weight)], [whole(net[0].weight)])
    return found


def named(mesh, in_names, first=0):
    layer = el.EdgeLinear(3, 2, [(0, 0), (2, 1)], in_names=in_names, out_names=["a", "b"])
    layer.set_weight([first, 1.0])
    return shared(layer, mesh)


@loading
def take_other_states(path, rank):
    """Return what is said of states that are wrong on the last process alone, and of names."""
    mesh = meshes()["edges"]
    is_last = rank == mesh.size() - 1
    net, found = model(by=mesh), {}
    state = dict(net.state_dict())
    if is_last:
        state["0.shape"] = torch.tensor([13, 11, 47])
    found["corrupt"] = error_of(lambda: net.load_state_dict(state))
    state["0.shape"] = torch.tensor([13, 11 + is_last])
    found["sizes"] = error_of(lambda: net.load_state_dict(state))
    layer = named(mesh, ["x", "y", "z"])
    others = named(mesh, ["x", "y", "w"], first=5.0).state_dict()
    found["names"] = error_of(lambda: layer.load_state_dict(others))
    found["kept"] = float(whole(layer.weight)[0])
    nameless = el.EdgeLinear(3, 2, [(0, 0), (2, 1)])
    nameless = shared(nameless, mesh)
    nameless.load_state_dict(layer.state_dict())
    found["taken"] = [*nameless.in_names, *nameless.out_names]
    return found


@loading
def take_states_under_fsdp(path, rank):
    """Return what a layer that FSDP2 shards further says of plain states, and takes of others."""
    if dist.get_world_size() != 4:
        return None
    mesh = meshes()["data edges"]
    ordered = topology_of("uneven").sorted()[0]
    net, alone = model(ordered, mesh["edges"]), model(ordered)
    fully_shard(net, mesh=mesh["data"])
    said = error_of(lambda: net.load_state_dict(alone.state_dict()))
    state = net.state_dict()
    dcp.load({"model": state}, checkpoint_id=f"{path}/checkpoint")
    net.load_state_dict(state)
    other = model(ordered, meshes()["edges"])
    state = other.state_dict()
    dcp.load({"model": state}, checkpoint_id=f"{path}/checkpoint")
    other.load_state_dict(state)
    x = random(5, 13)
    return said, distance([net(x)], [other(x)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved")
    in_processes(saving, path)(save)
    (path / "rendezvous").unlink(missing_ok=True)
    return path


@pytest.fixture(scope="module", params=[1, 3, 4])
def processes(request, folder):
    results = in_processes(loading, folder, request.param)
    (folder / "rendezvous").unlink(missing_ok=True)
    return results


def alone():
    """Return a network that one process trained as far as the checkpoint, and its optimizer."""
    net = model()
    trained(net, samples(13, 11))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.1)
    loss_step(net, optimizer)
    return net, optimizer


def test_checkpoint_of_two_goes_on_with_any_number(processes):
    net, optimizer = alone()
    loss_step(net, optimizer)
    expected = [net[0].weight.detach()[in_order(net[0])], net[0].bias.detach()]
    for found in processes(load):
        assert distance(found, expected) <= 1e-12


def test_checkpoint_of_two_goes_on_without_a_group(folder):
    """Of one process, in the order of the edges that is saved."""
    net = nn.Sequential(
        el.EdgeLinear.from_topology(topology_of("uneven").sorted()[0], dtype=torch.float64)
    )
    state = net.state_dict()
    dcp.load({"model": state}, checkpoint_id=f"{folder}/checkpoint", no_dist=True)
    net.load_state_dict(state)
    expected, _ = alone()
    x = random(5, 13)
    assert distance([net(x)], [expected(x)]) <= 1e-12


def test_another_wiring_is_refused_on_every_process(processes):
    for here, elsewhere, of_one, kept in processes(load_another):
        assert "`0.edge_index` in this checkpoint is another wiring than that of the model" in here
        assert (
            "`0.edge_index` in this checkpoint is another wiring, or has another order" in elsewhere
        )
        assert "`0.edge_index` in this checkpoint is another wiring, or has another order" in of_one
        assert kept


def test_states_go_between_one_process_and_several(processes):
    for rank, found in enumerate(processes(take_states_of_one_process)):
        for way in ("taken", "set", *["given"] * (rank == 0)):
            assert found[way] <= 1e-12, way
        if processes.number == 4:
            assert "another wiring, or has another order" in found["blocks"]
            assert "the same grid" in found["blocks"]
            assert found["same blocks"] == 0.0


def test_states_that_are_wrong_on_one_process_are_refused_on_all(processes):
    for found in processes(take_other_states):
        assert (
            "`0.edge_index` in this checkpoint is corrupt: it must be (2, number)"
            in found["corrupt"]
        )
        assert "another wiring: 13 -> 12 features and 47 edges there, 13 -> 11" in found["sizes"]
        assert "names" in found["names"] and "RuntimeError" in found["names"]
        assert found["kept"] == 0.0
        assert found["taken"] == ["x", "y", "z", "a", "b"]


def test_what_fsdp_shards_further_takes_distributed_checkpoints(processes):
    for found in processes(take_states_under_fsdp):
        if processes.number == 4:
            said, error = found
            assert "`0.weight` is sharded further, as by `fully_shard`: load the state" in said
            assert error <= 1e-12
