"""Schedules in two processes, and under a compiler."""

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from by_hand import layer_of, pairs
from processes import Work
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend
from torch.nn.parallel import DistributedDataParallel
from torch.testing import assert_close

import edgelinear as el

pytestmark = pytest.mark.slow
work = Work()
two_processes = work.fixture()


def make_model():
    return nn.Sequential(layer_of((12, 9), 40), nn.Tanh(), layer_of((9, 5), 15, seed=1))


def batch(step):
    generator = torch.Generator().manual_seed(step)
    x = torch.randn(8, 12, dtype=torch.float64, generator=generator)
    return x, torch.randn(8, 5, dtype=torch.float64, generator=generator)


def train(model, inner, kind, rank=0, world=1, **options):
    """Train on one process's part of each batch of eight."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    options |= dict(generator=torch.Generator().manual_seed(3))
    schedule = kind(model, optimizer, fraction=0.4, every=2, **options)
    for step in range(7):
        x, target = batch(step)
        optimizer.zero_grad()
        F.mse_loss(model(x.chunk(world)[rank]), target.chunk(world)[rank]).backward()
        optimizer.step()
        schedule.step()
    assert schedule.updates == 3
    return [(layer.edge_index, layer.weight.detach()) for layer in (inner[0], inner[2])]


CASES = {
    "SET": (el.dynamic.SET, {}),
    "SET per target": (el.dynamic.SET, {"per": "target"}),
    "RigL": (el.dynamic.RigL, {}),
    "RigL per target": (el.dynamic.RigL, {"per": "target"}),
    "RigL of a sample": (el.dynamic.RigL, {"candidates": 30}),
}


@work
def train_with_ddp(path, rank):
    found = {}
    for name, (kind, options) in CASES.items():
        inner = make_model()
        found[name] = train(DistributedDataParallel(inner), inner, kind, rank, 2, **options)
    return found


@pytest.mark.parametrize("name", CASES)
def test_processes_make_the_updates_of_one_with_the_whole_batch(two_processes, name):
    kind, options = CASES[name]
    model = make_model()
    expected = train(model, model, kind, **options)
    for found in two_processes(train_with_ddp):
        for (edges, weight), (theirs, weights) in zip(found[name], expected, strict=True):
            assert torch.equal(edges, theirs)
            assert_close(weight, weights)


def prune(model, rank=0, world=1, group=None):
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    schedule = el.dynamic.Prune(model, optimizer, fraction=0.6, every=2, until=6, group=group)
    whole = model if world == 1 else DistributedDataParallel(model)
    for step in range(7):
        x, target = batch(step)
        optimizer.zero_grad()
        F.mse_loss(whole(x.chunk(world)[rank]), target.chunk(world)[rank]).backward()
        optimizer.step()
        if schedule.step() and world > 1:
            whole = DistributedDataParallel(model)
    return [(layer.edge_index, layer.weight.detach()) for layer in (model[0], model[2])]


@work
def prune_with_ddp(path, rank):
    model = make_model()
    with pytest.raises(ValueError, match="must not be a DistributedDataParallel, which has memory"):
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        el.dynamic.Prune(DistributedDataParallel(model), optimizer, until=3)
    return prune(model, rank, 2, dist.group.WORLD)


def test_processes_prune_as_one_does(two_processes):
    expected = prune(make_model())
    assert [len(weight) for _, weight in expected] == [16, 6]
    for found in two_processes(prune_with_ddp):
        for (edges, weight), (theirs, weights) in zip(found, expected, strict=True):
            assert torch.equal(edges, theirs)
            assert_close(weight, weights)


@work
def draw_without_a_generator(path, rank):
    torch.manual_seed(rank)
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    schedule = el.dynamic.SET(model, optimizer, every=1, group=dist.group.WORLD)
    schedule.step()
    return pairs(model[0])


def test_processes_draw_from_one_seed(two_processes):
    first, second = two_processes(draw_without_a_generator)
    assert first == second


@work
def see_no_gradient_in_one(path, rank):
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    schedule = el.dynamic.RigL(model, optimizer, every=1, group=dist.group.WORLD)
    if rank == 0:
        model(batch(0)[0]).sum().backward()
    with pytest.raises(RuntimeError, match="`0` saw no gradient since the step before"):
        schedule.step()
    return pairs(model[0])


def test_a_process_without_a_gradient_is_refused_in_all(two_processes):
    assert two_processes(see_no_gradient_in_one) == [pairs(make_model()[0])] * 2


@work
def diverge_in_one(path, rank):
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for kind in (el.dynamic.RigL, el.dynamic.SET):
        schedule = kind(model, optimizer, every=1, group=dist.group.WORLD)
        model(batch(0)[0]).sum().backward()
        with torch.no_grad():
            model[2].weight[3] = torch.inf if rank else 1.0
        with pytest.raises(RuntimeError, match="`2` has the weight inf at edge 3"):
            schedule.step()
    return pairs(model[0])


def test_a_process_that_diverged_is_refused_in_all(two_processes):
    assert two_processes(diverge_in_one) == [pairs(make_model()[0])] * 2


@work
def prune_apart(path, rank):
    model = make_model()
    if rank:
        with torch.no_grad():
            model[0].weight.mul_(torch.rand(40, dtype=torch.float64))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    schedule = el.dynamic.Prune(model, optimizer, until=1, group=dist.group.WORLD)
    with pytest.raises(RuntimeError, match="processes would rewire in different ways"):
        schedule.step()
    return model[0].num_edges


def test_weights_that_differ_between_processes_are_noticed(two_processes):
    assert two_processes(prune_apart) == [40, 40]


@pytest.mark.parametrize("name", CASES)
def test_compiled_models_make_the_updates_of_others(name):
    torch.compiler.reset()
    kind, options = CASES[name]
    model, twin = make_model(), make_model()
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(model, backend=counter)
    found = train(compiled, model, kind, **options)
    expected = train(twin, twin, kind, **options)
    for (edges, weight), (theirs, weights) in zip(found, expected, strict=True):
        assert torch.equal(edges, theirs)
        assert_close(weight, weights)
    assert counter.frame_count == 1  # also where the wiring changed
