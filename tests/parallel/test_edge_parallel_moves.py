"""What layers over several processes move: collectives and bytes, against what a plan says."""

import pytest
import torch
import torch.distributed as dist
from problems import random, random_edges
from processes import Work
from sharing import PARTS, WHOLE, here, layer_of, meshes, shared, topology_of
from torch import nn
from torch.distributed.tensor.debug import CommDebugMode

import edgelinear as el
from edgelinear.parallel import ShardedEdgeLinear, load_shares, plan
from edgelinear.topology.views import View

pytestmark = pytest.mark.slow
work = Work()
processes = work.fixture(2, 3, 4)
BATCH = 5


class Counted:
    """Collectives of each kind, and bytes that come to this process and go from it."""

    def __enter__(self):
        self.came = self.went = 0
        self._exchange = dist.all_to_all_single
        self._gather = getattr(dist, "all_gather_single", dist.all_gather_into_tensor)
        dist.all_to_all_single = self.exchange
        self._name = self._gather.__name__
        setattr(dist, self._name, self.gather)
        self._mode = CommDebugMode()
        self._mode.__enter__()
        return self

    def __exit__(self, *rest):
        self._mode.__exit__(*rest)
        dist.all_to_all_single = self._exchange
        setattr(dist, self._name, self._gather)
        counts = self._mode.get_comm_counts()
        names = {"alltoall_base_": "all-to-all", "_allgather_base_": "all-gather"}
        names |= {"allreduce_": "agreement"}  # of a few numbers, in each forward
        self.counts = {names[str(op).split(".")[-1]]: number for op, number in counts.items()}

    def exchange(self, output, input, came=None, sent=None, group=None):
        parts, mine = dist.get_world_size(group), dist.get_rank(group)
        for split, tensor, name in ((came, output, "came"), (sent, input, "went")):
            rows = split or [len(tensor) // parts] * parts
            row = tensor[0].nbytes if len(tensor) else 0
            setattr(self, name, getattr(self, name) + (sum(rows) - rows[mine]) * row)
        return self._exchange(output, input, came, sent, group=group)

    def gather(self, output, input, group=None):
        self.came += output.nbytes - input.nbytes
        self.went += output.nbytes - input.nbytes
        return self._gather(output, input, group=group)


def topology():
    return el.Topology(30, 24, random_edges(30, 24, 90))


def grids():
    """Return the meshes of edges, and the grids that they are."""
    found = {"edges": (dist.get_world_size(), 1)}
    return found | ({"targets sources": (2, 2)} if dist.get_world_size() == 4 else {})


@work
def count_steps(path, rank):
    """Return what moves in a step, forward and backward, with halo and without."""
    found, all_meshes = {}, meshes()
    for names, grid in grids().items():
        for halo in (True, False):
            layer = el.EdgeLinear.from_topology(topology(), dtype=torch.float64)
            layer = shared(layer, all_meshes[names], PARTS, PARTS, halo=halo)
            x = here(all_meshes[names], random(BATCH, 30), PARTS).requires_grad_()
            with Counted() as forward:
                y = layer(x)
            with Counted() as backward:
                y.sum().backward()
            found[grid, halo] = (
                forward.counts,
                backward.counts,
                (forward.came, forward.went, backward.came, backward.went),
                (layer._sharding.bring.comes_in, layer._sharding.send.goes_out),
            )
    return found


def test_a_step_has_two_collectives_each_way(processes):
    for found in processes(count_steps):
        for (_, halo), (forward, backward, _, _) in found.items():
            assert backward == {"all-to-all": 2}
            moves = {"all-to-all": 2} if halo else {"all-gather": 1, "all-to-all": 1}
            assert forward == moves | {"agreement": 1}


def test_bytes_are_those_that_a_plan_says(processes):
    """Rows that come before the product and go after it, and their gradients the other way."""
    found, row = processes(count_steps), BATCH * 8
    for grid, halo in found[0]:
        if grid[1] > 1 and not halo:
            continue  # no plan has it
        ways = plan(topology(), processes.number, BATCH, torch.float64, grid=grid).ways
        way = ways[-1 if halo else 0]
        rows = [one[grid, halo][3] for one in found]
        assert way.moved == 2 * row * sum(max(kind) for kind in zip(*rows, strict=True))
        moved = [one[grid, halo][2] for one in found]
        for (came, went, back_came, back_went), (come, go) in zip(moved, rows, strict=True):
            # What others fetch of here goes too, and what others send here comes.
            assert came >= come * row and went >= go * row
            assert (back_came, back_went) == (went, came)
        assert sum(one[0] for one in moved) == row * sum(map(sum, rows))


@work
def measure_memory(path, rank):
    """Return bytes of weights, gradients, optimizer state and indices, by the grid."""
    found, all_meshes = {}, meshes()
    for names, grid in grids().items():
        share = load_shares(
            topology().edge_index,
            all_meshes[names],
            in_features=30,
            out_features=24,
            by="blocks" if grid[1] > 1 else "edges",
        )
        layer = ShardedEdgeLinear(share, bias=False)
        shared(layer, all_meshes[names], PARTS, PARTS)
        optimizer = torch.optim.Adam(layer.parameters())
        layer(here(all_meshes[names], random(BATCH, 30).float(), PARTS)).sum().backward()
        optimizer.step()
        state = optimizer.state[layer.weight]
        fields = zip(View._fields * 2, layer._sharding.local._tensors, strict=True)
        indices = {t.data_ptr(): t.nbytes for name, t in fields if t is not None and name != "runs"}
        found[grid] = {
            "weights": layer.weight.to_local().nbytes,
            "gradients": layer.weight.grad.to_local().nbytes,
            "optimizer": sum(state[key].to_local().nbytes for key in ("exp_avg", "exp_avg_sq")),
            "indices": share.edge_index.nbytes + sum(indices.values()),
        }
    return found


def test_bytes_that_are_held_are_those_that_a_plan_says(processes):
    found = processes(measure_memory)
    for grid in found[0]:
        way = plan(topology(), processes.number, BATCH, grid=grid).ways[-1]
        for name in ("weights", "gradients", "optimizer"):
            assert max(one[grid][name] for one in found) == getattr(way, name), name
        most = max(one[grid]["indices"] for one in found)
        assert most <= way.indices <= 1.05 * most


@work
def count_chained(path, rank):
    """Return the collectives of two layers, the first of which leaves parts for the second."""
    torch.manual_seed(0)
    mesh = meshes()["edges"]
    net = nn.Sequential(
        el.EdgeLinear.from_topology(topology()),
        nn.Tanh(),
        el.EdgeLinear(24, 12, random_edges(24, 12, 60)),
    )
    shared(net[0], mesh, WHOLE, PARTS)
    shared(net[2], mesh, PARTS, PARTS, halo=True)
    x = random(BATCH, 30).float()
    with Counted() as forward:
        y = net(x)
    with Counted() as backward:
        y.sum().backward()
    return forward.counts, backward.counts


def test_chained_layers_gather_nothing_in_between(processes):
    """The first layer brings nothing, as each has its inputs whole, which need no gradient."""
    for forward, backward in processes(count_chained):
        assert forward == {"all-to-all": 3, "agreement": 3}  # one of them of values
        assert backward == {"all-to-all": 3}


@work
def choose(path, rank):
    """Return what layers of local and of random wirings say that they chose."""
    mesh = meshes()["edges"]
    dense = el.EdgeLinear.from_topology(el.generators.erdos_renyi(40, 40, density=0.9))
    layers = {"local": layer_of("local"), "dense": dense}
    return {name: repr(shared(layer, mesh, PARTS, PARTS)) for name, layer in layers.items()}


def test_what_moves_less_is_chosen_and_said(processes):
    number = processes.number
    each, fetched = -(-40 // number), 0
    for share in topology_of("local").split(number):
        home = range(share.part * each, (share.part + 1) * each)
        fetched += len({*share.edge_index[0].tolist()} - {*home})
    gathered = f"{number * (number - 1) * each} by all-gather)"
    for found in processes(choose):
        assert f"by halo ({fetched} in all by halo, {gathered}" in found["local"]
        assert "by all-gather (" in found["dense"] and gathered in found["dense"]


@work
def move_under_autocast(path, rank):
    """Return bytes that come in a pass of float32 numbers, and in one under autocast."""
    mesh = meshes()["edges"]
    layer = shared(el.EdgeLinear.from_topology(topology()), mesh, PARTS, PARTS)
    x, found = here(mesh, random(BATCH, 30).float(), PARTS).requires_grad_(), []
    for is_on in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=is_on), Counted() as forward:
            y = layer(x)
        with Counted() as backward:
            y.sum().backward()
        found.append((forward.came, backward.came))
    return found


def test_autocast_halves_what_moves(processes):
    for wide, narrow in processes(move_under_autocast):
        assert all(two == 2 * one for one, two in zip(narrow, wide, strict=True))
        assert min(narrow) > 0
