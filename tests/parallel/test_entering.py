"""Inputs that differ among processes, and layers that would lose something: refused on all."""

import pickle
import subprocess
import sys

import pytest
import torch
from processes import Work
from sharing import PARTS, WHOLE, error_of, layer_of, meshes, shared
from torch import nn
from torch.nn.utils import parametrize

import edgelinear as el

pytestmark = pytest.mark.slow
work = Work()
two_processes = work.fixture(2)


def given(layouts, x, **options):
    """Return a layer over both processes, and what it makes of an input that may differ."""
    layer = shared(layer_of("uneven", **options), meshes()["edges"], *layouts)
    return layer, error_of(lambda: layer(x))


def parts_of(samples, rank, dtype=torch.float64):
    return torch.ones(samples, (7, 6)[rank], dtype=dtype)


@work
def give_other_numbers_of_samples(path, rank):
    found = []
    for inputs, outputs in ((PARTS, PARTS), (WHOLE, WHOLE), (PARTS, WHOLE), (WHOLE, PARTS)):
        samples = (3, 5)[rank]
        x = parts_of(samples, rank)
        x = torch.ones(samples, 13, dtype=torch.float64) if inputs == WHOLE else x
        found.append(given((inputs, outputs), x)[1])
    return found


def test_numbers_of_samples_must_be_the_same(two_processes):
    sentence = (
        "RuntimeError: processes that share edges must have inputs of as many samples, and they "
        "have from 3 to 5: leave out a last batch that is smaller, as by `drop_last=True`."
    )
    assert two_processes(give_other_numbers_of_samples) == [[sentence] * 4] * 2


@work
def give_what_one_refuses(path, rank):
    wrong = given((PARTS, PARTS), parts_of(3, 0))[1]  # seven features, and rank 1 has six
    halves = given((PARTS, PARTS), parts_of(3, rank, (torch.float64, torch.float32)[rank]))[1]
    x = parts_of(3, rank).requires_grad_(rank == 0)
    return wrong, halves, given((PARTS, PARTS), x)[1]


def test_what_one_process_refuses_is_refused_on_all(two_processes):
    first, second = two_processes(give_what_one_refuses)
    assert first[0] == "RuntimeError: another process refused its input: what it raised says why."
    assert second[0].startswith("ValueError: `input` must have 6 of the 13 features")
    for of_rank in (first, second):
        assert "of one type, and they have torch.float32 and torch.float64: convert" in of_rank[1]
        assert "that want gradients on all of them or on none" in of_rank[2]


@work
def give_other_samples(path, rank):
    torch.manual_seed(rank)
    layer, error = given((WHOLE, PARTS), torch.randn(3, 13, dtype=torch.float64))
    torch.manual_seed(0)
    x = torch.randn(3, 13, dtype=torch.float64)
    rounded = layer(x * (1 + 1e-6 * rank))  # as by other processors
    for nothing in (torch.zeros(3, 13).double(), torch.full((3, 13), torch.nan).double()):
        given((WHOLE, PARTS), nothing)
    return error, rounded.shape


def test_whole_inputs_must_be_the_same(two_processes):
    for error, shape in two_processes(give_other_samples):
        assert error.startswith("ValueError: `input` must be the same on all processes that share")
        assert "leave out a DistributedSampler" in error
        assert shape[0] == 3


class Doubled(el.EdgeLinear):
    def forward(self, input):
        return 2 * super().forward(input)


class Renamed(el.EdgeLinear):
    """Nothing of its own."""


class Half(nn.Module):
    def forward(self, bias):
        return bias / 2


@work
def give_layers_that_would_lose(path, rank):
    mesh, topology = meshes()["edges"], layer_of("uneven").topology
    doubled = Doubled.from_topology(topology)
    tied, other = layer_of("uneven"), layer_of("uneven")
    other.weight = tied.weight
    shared(tied, mesh, WHOLE, WHOLE)
    with_bias = layer_of("uneven")
    parametrize.register_parametrization(with_bias, "bias", Half())
    errors = [
        error_of(lambda layer=layer: shared(layer, mesh, WHOLE, WHOLE))
        for layer in (doubled, other, with_bias)
    ]
    kinds = [type(layer) for layer in (doubled, other, with_bias)]
    renamed = shared(Renamed.from_topology(topology), mesh, WHOLE, WHOLE)
    later = shared(layer_of("uneven"), mesh, WHOLE, WHOLE)
    later.weight = tied.weight
    x = torch.randn(2, 13, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    errors += [
        error_of(lambda: torch.func.vmap(later)(x)),
        error_of(lambda: pickle.dumps(later)),
    ]
    same = torch.equal(tied(x) - tied.bias.to_local(), later(x) - later.bias.to_local())
    return errors, [kind.__name__ for kind in kinds], type(renamed).__name__, same


def test_layers_that_would_lose_something_are_refused_whole(two_processes):
    for errors, kinds, renamed, same in two_processes(give_layers_that_would_lose):
        assert errors[0].startswith("TypeError: Doubled has a `forward` of its own")
        assert "tie both after `EdgeParallel`" in errors[1]
        assert "the bias of this layer is parametrized" in errors[2]
        assert "transforms of `torch.func` do not go through" in errors[3]
        assert "save its `state_dict()`" in errors[4]
        assert kinds == ["Doubled", "EdgeLinear", "ParametrizedEdgeLinear"]
        assert renamed == "ShardedRenamed" and same


ENDING = """
import threading, time
import torch, torch.distributed as dist
from torch.distributed.tensor.parallel import parallelize_module
import edgelinear as el

def let_go():
    time.sleep(0.02)
    print("let go", flush=True)

dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
layer = el.EdgeLinear(1, 1, torch.tensor([[0], [0]]))
parallelize_module(layer, dist.init_device_mesh("cpu", (1,)), el.parallel.EdgeParallel())
threading.Thread(target=let_go, daemon=True).start()
"""


def test_threads_of_gloo_let_go_before_python_ends():
    """The thread stands for one of gloo's, which Python would abort the process for."""
    run = subprocess.run([sys.executable, "-c", ENDING], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout == "let go\n"
