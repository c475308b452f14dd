"""Rewiring in two processes, and under a compiler."""

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from problems import random
from processes import Work
from torch._dynamo.testing import CompileCounterWithBackend
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel
from torch.testing import assert_close

import edgelinear as el

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (dist.is_available() and dist.is_gloo_available()), reason="torch has no gloo"
    ),
]

EDGES = [(0, 0), (1, 0), (2, 1), (4, 2), (3, 3)]
work = Work()
two_processes = work.fixture()


def make_layer():
    torch.manual_seed(0)
    return el.EdgeLinear(5, 4, EDGES, dtype=torch.float64)


def train(model, layer, rank=0, world=1, group=None):
    """Train on one process's part of each batch of eight, and replace two edges midway."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for step in range(6):
        if step == 3:
            generator = torch.Generator().manual_seed(0)
            options = dict(weight="init", optimizer=optimizer, generator=generator, group=group)
            el.rewire(layer, keep=[0, 2, 3], add=[(4, 0), (0, 3)], **options)
        x, target = random(8, 5, seed=step), random(8, 4, seed=50 + step)
        optimizer.zero_grad()
        F.mse_loss(model(x.chunk(world)[rank]), target.chunk(world)[rank]).backward()
        optimizer.step()


@work
def train_with_ddp(path, rank):
    layer = make_layer()
    train(DistributedDataParallel(layer), layer, rank, 2, dist.group.WORLD)
    return layer.edge_index, layer.weight.detach()


def test_as_many_edges_train_under_ddp_as_in_one_process(two_processes):
    layer = make_layer()
    train(layer, layer)
    for edges, weight in two_processes(train_with_ddp):
        assert torch.equal(edges, layer.edge_index)
        assert_close(weight, layer.weight.detach())


@work
def rewire_apart(path, rank):
    layer = make_layer()
    with pytest.raises(RuntimeError, match="processes would rewire in different ways, as rank 1"):
        el.rewire(layer, keep=[0, 1 + rank], group=dist.group.WORLD)
    return layer.num_edges


def test_other_changes_in_other_processes_are_refused_in_both(two_processes):
    assert two_processes(rewire_apart) == [5, 5]


@work
def draw_apart(path, rank):
    layer = make_layer()
    torch.manual_seed(rank)
    with pytest.raises(RuntimeError, match="what it starts at, from generators with the same seed"):
        el.rewire(layer, add=[(4, 0)], weight="init", group=dist.group.WORLD)
    with pytest.raises((RuntimeError, ValueError), match="different ways|edges from 0 to 4"):
        el.rewire(layer, keep=[7] if rank else [0], group=dist.group.WORLD)
    return layer.num_edges


def test_other_draws_and_errors_of_one_process_are_refused_in_both(two_processes):
    assert two_processes(draw_apart) == [5, 5]


@work
def rewire_shards(path, rank):
    layer = fully_shard(make_layer())
    with pytest.raises(ValueError, match="the weights are sharded"):
        el.rewire(layer, keep=[0])
    return layer.num_edges


def test_sharded_weights_are_refused(two_processes):
    assert two_processes(rewire_shards) == [5, 5]


def test_as_many_edges_are_not_compiled_anew():
    torch.compiler.reset()
    layer = make_layer()
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(layer, backend=counter)
    x = random(3, 5)
    for change in ({}, dict(keep=[0, 2, 3], add=[(4, 0), (0, 3)]), dict(keep=[1], add=EDGES[:1])):
        el.rewire(layer, weight=0.5, **change)
        found, expected = compiled(x), layer(x)
        assert_close(found, expected)
        gradients = (torch.autograd.grad(y.sum(), layer.parameters()) for y in (found, expected))
        assert_close(next(gradients), next(gradients))
        if layer.num_edges == 5:
            assert counter.frame_count == 1
