"""Layers over several processes in whole trainings, with what torch does around them."""

import copy

import pytest
import torch
import torch.distributed as dist
from problems import random, random_edges
from processes import Work
from sharing import (
    PARTS,
    WHOLE,
    distance,
    here,
    in_order,
    layer_of,
    meshes,
    same_bits,
    samples,
    shared,
    topology_of,
    trained,
    whole,
)
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_module, distribute_tensor
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

import edgelinear as el
from edgelinear.parallel import ShardedEdgeLinear, load_shares

pytestmark = pytest.mark.slow
work = Work()
processes = work.fixture(2, 4)


def network():
    """Two layers that processes can share, and a dense one between them."""
    torch.manual_seed(0)
    return nn.Sequential(
        el.EdgeLinear(13, 11, random_edges(13, 11, 47), dtype=torch.float64),
        nn.Tanh(),
        nn.Linear(11, 11, dtype=torch.float64),
        nn.Tanh(),
        el.EdgeLinear(11, 7, random_edges(11, 7, 30), dtype=torch.float64),
    )


def shared_network(mesh, **layouts):
    net = network()
    shared(net[0], mesh, **layouts)
    shared(net[4], mesh, **layouts)
    return net


def far(net, alone, mesh):
    """Return the largest difference of the gradients of two networks, of which one is shared."""
    theirs = [
        p.grad[in_order(network()[int(name[0])], mesh)]
        if name in ("0.weight", "4.weight")
        else p.grad
        for name, p in alone.named_parameters()
    ]
    return distance([whole(p.grad) for p in net.parameters()], theirs)


def steps():
    return samples(13, 7)


def loss(y):
    return (y - random(*y.shape, seed=9)).square().sum()


@work
def train_with_others(path, rank):
    mesh = meshes()["edges"]
    alone = trained(network(), steps())
    with_ddp = shared_network(mesh)
    with_ddp[2] = DistributedDataParallel(with_ddp[2])
    with_fsdp = shared_network(mesh)
    fully_shard(with_fsdp[2], mesh=mesh)
    found = {"DDP": with_ddp, "FSDP2": with_fsdp, "neither": shared_network(mesh)}
    return {name: distance(trained(net, steps()), alone) for name, net in found.items()}


@pytest.mark.parametrize("others", ["DDP", "FSDP2", "neither"])
def test_other_layers_train_as_they_will(processes, others):
    for found in processes(train_with_others):
        assert found[others] <= 1e-12


@work
def train_under_fsdp(path, rank):
    """Return the largest error of a step whose samples another axis shares, by FSDP2."""
    if dist.get_world_size() != 4:
        return 0.0
    mesh = meshes()["data edges"]
    net, alone = shared_network(mesh["edges"]), network()
    fully_shard(net, mesh=mesh["data"])
    x = random(6, 13)
    net(here(mesh, x, WHOLE)).square().sum().backward()
    alone(x).square().sum().div(2).backward()  # FSDP2 divides by the size of its mesh
    return far(net, alone, mesh)


def test_fsdp_shards_what_edges_leave(processes):
    assert max(processes(train_under_fsdp)) <= 1e-12


def with_dtensors(linear, mesh):
    """Make the parameters of a dense layer DTensors that every process has whole."""

    def into(module, inputs, mesh):
        return DTensor.from_local(inputs[0], mesh, [Replicate()])

    return distribute_module(
        linear, mesh, input_fn=into, output_fn=lambda module, y, mesh: y.to_local()
    )


@work
def clip(path, rank):
    mesh, found = meshes()["edges"], {}
    for way in ("edges alone", "FSDP2", "DTensors"):
        net, alone = shared_network(mesh), network()
        if way == "FSDP2":
            fully_shard(net[2], mesh=mesh)
        if way == "DTensors":
            with_dtensors(net[2], mesh)
        if way == "edges alone":
            net, alone = net[:1], alone[:1]
        for one in (net, alone):
            one(random(5, 13)).square().sum().backward()
        norms = [whole(nn.utils.clip_grad_norm_(one.parameters(), 0.1)) for one in (net, alone)]
        found[way] = max(far(net, alone, mesh), distance(*[[norm] for norm in norms]))
    return found


@pytest.mark.parametrize("way", ["edges alone", "FSDP2", "DTensors"])
def test_norm_of_gradients_is_clipped_over_all_processes(processes, way):
    for found in processes(clip):
        assert found[way] <= 1e-12


@work
def take_gradients_in_other_ways(path, rank):
    mesh, found, x = meshes()["edges"], {}, random(6, 13)
    net, alone = shared_network(mesh), network()

    def of(way):
        net.zero_grad()
        alone.zero_grad()
        way(net), way(alone)
        return far(net, alone, mesh)

    def accumulated(one):
        for part in x.split(2):
            loss(one(part)).backward()

    def twice(one):
        inputs = x.clone().requires_grad_()
        (grad,) = torch.autograd.grad(loss(one(inputs)), inputs, create_graph=True)
        grad.square().sum().backward()

    found["accumulated"] = of(accumulated)
    found["twice"] = of(twice)
    for reentrant in (True, False):
        inputs = x.clone().requires_grad_()
        found["checkpointed", reentrant] = of(
            lambda one, x=inputs, kind=reentrant: loss(
                checkpoint(one, x, use_reentrant=kind)
            ).backward()
        )
    return found


def test_gradients_are_accumulated_checkpointed_and_differentiated(processes):
    for found in processes(take_gradients_in_other_ways):
        assert len(found) == 4
        assert max(found.values()) <= 1e-11, found


@work
def compile_it(path, rank):
    mesh, x = meshes()["edges"], random(5, 13)
    net, alone = shared_network(mesh), network()
    compiled = torch.compile(net)
    found = []
    for _ in range(2):
        loss(compiled(x)).backward()
        loss(alone(x)).backward()
        found.append(distance([compiled(x).detach()], [alone(x).detach()]))
    return max(found), far(net, alone, mesh)


def test_compiled_layers_compute_the_same(processes):
    for found in processes(compile_it):
        assert max(found) <= 1e-12


@work
def autocast(path, rank):
    mesh, x, found = meshes()["edges"], random(5, 13), []
    wide, net, alone = network(), shared_network(mesh).float(), network().float()
    expected = wide(x)
    expected.square().sum().backward()
    for one in (net, alone):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = one(x.float())
        y.float().square().sum().backward()
        found.append((y.dtype, distance([y], [expected])))
    theirs = distance([p.grad for p in alone.parameters()], [p.grad for p in wide.parameters()])
    return found, far(net, wide, mesh), theirs


def test_autocast_errs_no_more_than_in_one_process(processes):
    for found, ours, theirs in processes(autocast):
        (kind, error), (other, alone) = found
        assert kind == other == torch.bfloat16
        assert error <= 2 * alone
        assert ours <= 2 * theirs


@work
def use_dtensors(path, rank):
    x, found = random(5, 13), {}
    for names, mesh in meshes().items():
        alone = layer_of("uneven")
        layer = shared(layer_of("uneven"), mesh, PARTS, PARTS, use_local_output=False)
        axes = names.split()
        inputs = distribute_tensor(x, mesh, [Shard(0 if a == "data" else 1) for a in axes])
        inputs.requires_grad_()
        y = layer(inputs)
        x_alone = x.clone().requires_grad_()
        y.full_tensor().square().sum().backward()
        alone(x_alone).square().sum().backward()
        layouts = [Shard(0 if a == "data" else 1) for a in axes]
        assert list(y.placements) == layouts
        found[names] = distance(
            [whole(y).detach(), whole(inputs.grad), whole(layer.weight.grad)],
            [alone(x).detach(), x_alone.grad, alone.weight.grad[in_order(alone, mesh)]],
        )
        rows = distribute_tensor(x, mesh, [Replicate()] * mesh.ndim)
        found[names, "laid out anew"] = distance([whole(layer(rows))], [alone(x)])
    return found


def test_dtensors_come_in_and_go_out(processes):
    for found in processes(use_dtensors):
        assert max(found.values()) <= 1e-12, found


@work
def begin_on_meta(path, rank):
    found = {}
    for names, mesh in meshes().items():
        layer = shared(layer_of("uneven", device="meta"), mesh, PARTS, WHOLE)
        assert layer.weight.is_meta
        layer.to_empty(device="cpu")
        layer.reset_parameters()
        found[names] = whole(layer.weight).detach(), layer.bias.to_local().detach().clone()
        if "data" not in names:
            by = "blocks" if mesh.ndim == 2 else "edges"
            sizes = dict(in_features=13, out_features=11)
            share = load_shares(topology_of("uneven").edge_index, mesh, by=by, **sizes)
            layer = ShardedEdgeLinear(share, device="meta", dtype=torch.float64)
            layer = shared(layer, mesh, PARTS, WHOLE).to_empty(device="cpu")
            layer.reset_parameters()
        layer.load_state_dict(shared(layer_of("uneven"), mesh, PARTS, WHOLE).state_dict())
        y = layer(here(mesh, random(5, 13), PARTS))
        found[names] += (distance([y], [here(mesh, layer_of("uneven")(random(5, 13)), WHOLE)]),)
    return found


def test_layers_that_begin_on_meta_are_drawn_and_loaded(processes):
    topology = topology_of("uneven")
    found = processes(begin_on_meta)
    for names in found[0]:
        weight, bias, _ = found[0][names]
        for other in found:
            assert torch.equal(weight, other[names][0])
            assert torch.equal(bias, other[names][1])
            assert other[names][2] <= 1e-12
        if names == "edges":
            bound = topology.fan_in[topology.dst[in_order(layer_of("uneven"))]].double().rsqrt()
            assert (weight.abs() <= bound).all() and weight.unique().numel() == 47
            assert weight.std() > 0.2 * bound.mean()


@work
def begin_with_shares(path, rank):
    """Write shares to files, let each process read its own, and train a layer of that."""
    found = {}
    for names, mesh in meshes().items():
        if "data" in names:
            continue
        alone = layer_of("uneven", bias=False)
        by = "blocks" if mesh.ndim == 2 else "edges"
        grid = tuple(mesh.mesh.shape) if mesh.ndim == 2 else mesh.size()
        shares = alone.topology.split(grid, by)
        paths = [f"{path}/{by}{i}.npz" for i in range(len(shares))]
        if rank == 0:
            for share, file in zip(shares, paths, strict=True):
                share.save(file, weight=share.follow(alone.weight.detach()))
        dist.barrier()
        share = load_shares(paths, mesh, by=by)
        layer = shared(ShardedEdgeLinear(share, bias=False, dtype=torch.float64), mesh)
        ours, theirs = trained(layer, samples(13, 11)), trained(alone, samples(13, 11))
        ours.append(whole(layer.weight).detach())
        theirs.append(alone.weight.detach()[in_order(alone, mesh)])
        found[names] = distance(ours, theirs), layer.share.edge_index.shape[1]
    return found


def test_layers_of_shares_from_files_train_as_one_process(processes):
    for found in processes(begin_with_shares):
        for error, number in found.values():
            assert error <= 1e-12
            assert number <= -(-47 // processes.number)


@work
def begin_with_other_numbers(path, rank):
    """Draw other parameters on each process."""
    found = []
    for mesh in meshes().values():
        torch.manual_seed(0)
        first = layer_of("uneven").state_dict()
        torch.manual_seed(rank)
        layer = el.EdgeLinear.from_topology(topology_of("uneven"), dtype=torch.float64)
        if rank == 0:
            layer.load_state_dict(first)
        found.append(
            distance(
                [shared(layer, mesh)(here(mesh, random(5, 13), WHOLE))],
                [here(mesh, layer_of("uneven")(random(5, 13)), WHOLE)],
            )
        )
    return max(found)


def test_parameters_begin_as_those_of_the_first_process(processes):
    assert max(processes(begin_with_other_numbers)) <= 1e-12


def uncut():
    """Rows of six edges, whose number four processes divide."""
    edges = torch.stack([torch.arange(72) * 7 % 13, torch.arange(72) // 6])
    return el.Topology(13, 12, edges).sorted()[0]


def backends_here():
    kinds = el.backends.BACKENDS
    x, weight = random(5, 13), random(72)
    topology = uncut()
    return [name for name in kinds if el.backends.why_not(name, x, weight, topology) is None]


@work
def compare_bits(path, rank):
    mesh, found = meshes()["edges"], {}
    for backend in backends_here():
        alone = el.EdgeLinear.from_topology(uncut(), dtype=torch.float64, backend=backend)
        layer = shared(copy.deepcopy(alone), mesh)
        x = random(5, 13)
        y, expected = layer(x), alone(x)
        y.square().sum().backward(), expected.square().sum().backward()
        found[backend] = same_bits(
            [y, whole(layer.weight.grad), whole(layer.bias.grad)],
            [expected, alone.weight.grad, alone.bias.grad],
        )
    return found


def test_bits_are_those_of_one_process_where_no_row_is_cut(processes):
    for found in processes(compare_bits):
        assert {"cpp", "torch_csr", "reference"} <= {*found}
        assert all(found.values()), found


@work
def sum_cut_rows(path, rank):
    """Return outputs of a hub, whose edges all processes share, by each layout."""
    mesh = meshes()["edges"]
    x = random(5, 40)
    found = []
    for out in (WHOLE, PARTS):
        layer = layer_of("hub", bias=False, backend="reference")
        found.append(whole(shared(layer, mesh, WHOLE, out, use_local_output=False)(x)).detach())
    return found


def test_rows_that_are_cut_are_added_by_rank(processes):
    layer, x = layer_of("hub", bias=False), random(5, 40)
    expected = torch.zeros(5, 6, dtype=torch.float64)
    for share in layer.topology.split(processes.number):
        part = el.Topology(40, 6, share.edge_index)
        weight = share.follow(layer.weight.detach())
        expected += el.edge_linear(x, weight, part, backend="reference")
    for found in processes(sum_cut_rows):
        assert all(torch.equal(y, expected) for y in found)


@work
def handle_layers(path, rank):
    mesh = meshes()["edges"]
    alone = layer_of("shuffled")
    layer = shared(layer_of("shuffled"), mesh)
    x = random(5, 13)
    values = random(47, seed=3)
    other = copy.deepcopy(layer)
    other.set_weight(values[in_order(alone, mesh)])
    alone.set_weight(values)
    found = {"set": distance([other(x)], [alone(x)])}
    found["copied"] = distance([layer(x)], [layer_of("shuffled")(x)])
    here_ = layer.share.follow(values)
    found["followed"] = distance([here_], [other.weight.to_local().detach()])
    other.set_weight(layer.weight.detach())
    found["set from DTensor"] = distance([other(x)], [layer(x)])
    groups = el.param_groups(nn.Sequential(layer), weight_decay=0.1)
    found["groups"] = abs(sum(len(group["params"]) for group in groups) - 2)
    frozen = layer_of("uneven")
    frozen.weight.requires_grad_(False)
    found["frozen"] = float(shared(frozen, mesh).weight.requires_grad)
    with torch.no_grad():
        found["many dimensions"] = distance(
            [layer(random(2, 3, 13)), layer(random(13)), layer(random(0, 13))],
            [layer_of("shuffled")(one) for one in (random(2, 3, 13), random(13), random(0, 13))],
        )
    return found, repr(layer)


def test_layers_are_handled_as_any_others(processes):
    for rank, (found, text) in enumerate(processes(handle_layers)):
        assert max(found.values()) <= 1e-12, found
        assert f"process={rank} of {processes.number}, receives=0, sends=" in text
