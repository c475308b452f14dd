"""What layers over several processes refuse: on every process, with what to do."""

import dataclasses
import os
import time
from functools import partial

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from problems import random, random_edges
from processes import Work, run
from sharing import PARTS, SAMPLES, WHOLE, error_of, here, layer_of, meshes, shared
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import parallelize_module

import edgelinear as el
from edgelinear.parallel import EdgeParallel, ShardedEdgeLinear, load_shares

pytestmark = pytest.mark.slow
work = Work()
two_processes = work.fixture(2)

ELSEWHERE = "RuntimeError: process {} refused: "


def given(style, layer=None, mesh=None):
    mesh = meshes()["edges"] if mesh is None else mesh
    return parallelize_module(layer_of("uneven") if layer is None else layer, mesh, style)


def wrong_layout(rank):
    given(EdgeParallel(output_layouts=Shard(1)))


def wrong_layout_of_one(rank):
    given(EdgeParallel(input_layouts=(WHOLE, PARTS)[rank], output_layouts=(Shard(1), PARTS)[rank]))


def samples_alone(rank):
    given(EdgeParallel(input_layouts=SAMPLES, output_layouts=SAMPLES))


def too_many_layouts(rank):
    given(EdgeParallel(input_layouts=(SAMPLES, WHOLE)))


def too_few_layouts(rank):
    given(EdgeParallel(), mesh=init_device_mesh("cpu", (2, 1)))


def too_many_axes(rank):
    layouts = dict(input_layouts=(WHOLE,) * 3, output_layouts=(WHOLE,) * 3)
    given(EdgeParallel(**layouts), mesh=init_device_mesh("cpu", (2, 1, 1)))


def ranks_that_fall(rank):
    given(EdgeParallel(), mesh=DeviceMesh("cpu", [1, 0]))


def other_layouts(rank):
    given(EdgeParallel(input_layouts=(WHOLE, PARTS)[rank]))


def other_wiring(rank):
    torch.manual_seed(rank)
    wiring = el.generators.erdos_renyi(13, 11, num_edges=47)
    given(EdgeParallel(), el.EdgeLinear.from_topology(wiring))


def other_type(rank):
    given(EdgeParallel(), layer_of("uneven", dtype=(torch.float32, torch.float64)[rank]))


def no_bias_on_one(rank):
    given(EdgeParallel(), layer_of("uneven", bias=rank == 0))


def share_on_one(rank):
    layer = layer_of("uneven")
    share = layer.topology.split(2)[rank]
    given(EdgeParallel(), layer if rank == 0 else ShardedEdgeLinear(share, dtype=torch.float64))


def shares_of_two_wirings(rank):
    shares = layer_of(("uneven", "local")[rank]).topology.split(2)
    given(EdgeParallel(), ShardedEdgeLinear(shares[rank]))


def a_share_of_three(rank):
    given(EdgeParallel(), ShardedEdgeLinear(layer_of("uneven").topology.split(3)[rank]))


def the_first_share_twice(rank):
    given(EdgeParallel(), ShardedEdgeLinear(layer_of("uneven").topology.split(2)[0]))


def saved(rank, parts, path):
    paths = [f"{path}/of{parts}_{i}.npz" for i in range(parts)]
    if rank == 0:
        for share, file in zip(layer_of("uneven").topology.split(parts), paths, strict=True):
            share.save(file)
    dist.barrier()
    return paths


def shares_for_three(rank, path):
    load_shares(saved(rank, 3, path), meshes()["edges"])


def a_missing_share(rank, path):
    load_shares(saved(rank, 2, path)[:1], meshes()["edges"])


def a_missing_file(rank, path):
    load_shares([*saved(rank, 2, path)[:1], f"{path}/none.npz"], meshes()["edges"])


def weights_on_meta(rank):
    topology = layer_of("uneven").topology
    share = dataclasses.replace(topology.split(2)[rank], weight=random(24 - rank))
    given(EdgeParallel(), ShardedEdgeLinear(share, device="meta"))


def dense_layer(rank):
    given(EdgeParallel(), nn.Linear(3, 2))


def a_network(rank):
    given(EdgeParallel(), el.EdgeNetwork(3, [(0, 1), (1, 2)], [0], [2]))


def twice(rank):
    given(EdgeParallel(), given(EdgeParallel()))


def after_fsdp(rank):
    layer = layer_of("uneven")
    fully_shard(layer, mesh=meshes()["edges"])
    given(EdgeParallel(), layer)


def rules_before(rank):
    given(EdgeParallel(), el.rules.fix_nonnegative(layer_of("uneven"), on_conflict="project"))


def a_mask_before(rank):
    layer = layer_of("uneven")
    torch.nn.utils.prune.identity(layer, "weight")
    given(EdgeParallel(), layer)


def rules_after(rank):
    layer = given(EdgeParallel())
    mask = torch.arange(47) < 3
    rules = [
        partial(el.rules.fix_nonnegative, layer),
        partial(el.rules.fix_signs, layer, torch.ones(47)),
        partial(el.rules.freeze, layer, mask),
        partial(el.rules.tie, layer, mask.long()),
    ]
    said = {error_of(rule) for rule in rules}
    if len(said) == 1:
        raise AssertionError(said.pop())


def a_rule_of_torch_after(rank):
    layer = given(EdgeParallel())
    full = layer.weight.full_tensor().detach()
    del layer.weight
    layer.weight = nn.Parameter(full)
    layer(random(5, 13))


def weight_made_whole(rank):
    layer = given(EdgeParallel())
    full = distribute_tensor(layer.weight.full_tensor().detach(), meshes()["edges"], [Replicate()])
    layer.weight = nn.Parameter(full)
    layer(random(5, 13))


def bias_changed(rank):
    layer = given(EdgeParallel(output_layouts=PARTS))
    layer.bias = nn.Parameter(torch.zeros(11, dtype=torch.float64))
    layer(random(5, 13))


def too_many_weights(rank):
    given(EdgeParallel()).set_weight(torch.zeros(48))


def whole_input(rank):
    given(EdgeParallel(input_layouts=PARTS))(random(5, 13))


def samples_cut_otherwise(rank):
    mesh = init_device_mesh("cpu", (2, 1), mesh_dim_names=("data", "edges"))
    shared(layer_of("uneven"), mesh, use_local_output=False)(random(2 + rank, 13))


def one_sample_without_a_dimension(rank):
    mesh = init_device_mesh("cpu", (2, 1), mesh_dim_names=("data", "edges"))
    shared(layer_of("uneven"), mesh)(random(13))


def input_elsewhere(rank):
    given(EdgeParallel())(random(5, 13).to("meta"))


def no_tensor(rank):
    given(EdgeParallel())([1.0])


def whole_wiring(rank):
    given(EdgeParallel()).to_dense()


def rewired(rank):
    el.rewire(given(EdgeParallel()), keep=torch.arange(47) > 3)


def used_before(rank):
    ShardedEdgeLinear(layer_of("uneven").topology.split(2)[rank])(random(5, 13))


def no_share(rank):
    ShardedEdgeLinear(layer_of("uneven").topology)


def no_mesh(rank):
    EdgeParallel()._apply(layer_of("uneven"), dist.group.WORLD)


LAYOUT = "ValueError: `output_layouts` must be Replicate() or Shard(-1), the same on all axes"
SAME = "RuntimeError: processes must share one layer, and its "
SHARDED = "ValueError: rules need the values of the weights, and these are sharded"
WHOLE_LAYER = (
    "RuntimeError: the wiring of this layer is shared by many processes, and whole on none"
)
REFUSED = {
    wrong_layout: LAYOUT,
    wrong_layout_of_one: (LAYOUT, f"RuntimeError: process 0 refused: {LAYOUT}"),
    samples_alone: "ValueError: `input_layouts` must be Replicate() or Shard(-1)",
    too_many_layouts: "ValueError: `input_layouts` must have a layout for each of the 1 axes",
    too_few_layouts: "ValueError: `input_layouts` must have a layout for each of the 2 axes",
    too_many_axes: "ValueError: edges must be shared along one axis of the mesh or two, got 3",
    ranks_that_fall: "ValueError: the ranks of the mesh must ascend, got [1, 0]",
    other_layouts: f"{SAME}layouts is ",
    other_wiring: f"{SAME}wiring is (13, 11, 47, ",
    other_type: f"{SAME}type is torch.float32 on process 0 and torch.float64 on process 1",
    no_bias_on_one: f"{SAME}bias is True on process 0 and False on process 1",
    share_on_one: f"{SAME}kind is whole on process 0 and a share on process 1",
    shares_of_two_wirings: f"{SAME}wiring is (13, 11, 47, ",
    a_share_of_three: "ValueError: the share of this layer is part {rank} in a grid of (3, 1)",
    the_first_share_twice: (
        f"{ELSEWHERE.format(1)}ValueError: the share of this layer is part 0",
        "ValueError: the share of this layer is part 0 in a grid of (2, 1), and this is process 1",
    ),
    shares_for_three: "was saved for 3 processes in a grid of (3, 1), and here are 2 in (2, 1)",
    a_missing_share: "ValueError: no file holds part 1 of 2",
    a_missing_file: (f"{ELSEWHERE.format(1)}FileNotFoundError", "FileNotFoundError"),
    weights_on_meta: "ValueError: the edges of this share came with weights, which a layer on",
    dense_layer: "TypeError: `EdgeParallel` must be given to an EdgeLinear, got Linear",
    a_network: "got EdgeNetwork, whose levels or steps would each wait",
    twice: "ValueError: the edges of this layer are shared already",
    after_fsdp: "ValueError: the weight of this layer is a DTensor already: use `EdgeParallel`",
    rules_before: "ValueError: the weight of this layer is computed, by rules",
    a_mask_before: "ValueError: the weight of this layer is computed, by rules or a hook of torch",
    rules_after: f"AssertionError: {SHARDED}",
    a_rule_of_torch_after: "TypeError: `weight` of a layer whose edges are shared must stay the",
    weight_made_whole: "[Shard(dim=0)], got (Replicate(),): set its numbers by `layer.set_weight`",
    bias_changed: "TypeError: `bias` of a layer whose edges are shared must stay the DTensor",
    too_many_weights: "ValueError: `weight` must",
    whole_input: "of the 13 features in its last dimension on this process, as `input_layouts`",
    samples_cut_otherwise: (
        "ValueError: a DTensor of 5 samples has 3 of them on this process, got 2: cut them as",
        "ValueError: a DTensor of 5 samples has 2 of them on this process, got 3: cut them as",
    ),
    one_sample_without_a_dimension: "on this process, and samples in its first dimension, as",
    input_elsewhere: "ValueError: `input` is on meta, and the processes of this layer exchange",
    no_tensor: "ValueError: `input` must have 13 of the 13 features",
    whole_wiring: WHOLE_LAYER,
    rewired: "ValueError: the weights are sharded",
    used_before: "nothing says yet which processes have the others: give it `EdgeParallel()`",
    no_share: "TypeError: `share` must be a Share, got Topology: use `el.parallel.load_shares`",
    no_mesh: "TypeError: `device_mesh` must be a DeviceMesh, got ProcessGroup",
}


@work
def refuse(path, rank):
    found = {}
    for function in REFUSED:
        arguments = (rank, path)[: function.__code__.co_argcount]
        found[function.__name__] = error_of(partial(function, *arguments))
        dist.barrier()
    return found


@pytest.mark.parametrize("function", REFUSED, ids=lambda function: function.__name__)
def test_it_is_refused_on_every_process(two_processes, function):
    expected = REFUSED[function]
    for rank, found in enumerate(two_processes(refuse)):
        sentence = expected if isinstance(expected, str) else expected[rank]
        assert sentence.format(rank=rank) in found[function.__name__]


@work
def leave_one_out(path, rank):
    mesh = DeviceMesh("cpu", [0])
    return error_of(partial(given, EdgeParallel(), mesh=mesh))


def test_a_process_outside_of_the_mesh_is_told_so(two_processes):
    inside, outside = two_processes(leave_one_out)
    assert inside == "no error"
    assert outside == (
        "ValueError: process 1 is not in the mesh, which has 1 of 2: make it of all, start as many "
        "by `torchrun`, or leave the layer out on this one."
    )


@work
def keep_a_refused_layer(path, rank):
    """Return whether a layer that was refused is as it was."""
    layer = layer_of("uneven", bias=rank == 0)
    before = layer(random(5, 13))
    error_of(partial(given, EdgeParallel(), layer))
    return type(layer) is el.EdgeLinear and torch.equal(layer(random(5, 13)), before)


def test_a_refused_layer_stays_as_it_was(two_processes):
    assert two_processes(keep_a_refused_layer) == [True, True]


def test_halo_must_be_a_choice():
    with pytest.raises(ValueError, match="`halo` must be True, False or \"auto\", got 'all'"):
        EdgeParallel(halo="all")


def test_without_a_process_group_there_is_an_error(tmp_path):
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/one", rank=0, world_size=1)
    mesh = init_device_mesh("cpu", (1,))
    dist.destroy_process_group()
    with pytest.raises(RuntimeError, match="there is no process group: start the program by"):
        parallelize_module(layer_of("uneven"), mesh, EdgeParallel())


def die(path, rank):
    """Leave in the middle of training, on one of three processes."""
    torch.manual_seed(0)
    mesh = meshes()["edges"]
    layer = shared(el.EdgeLinear(13, 11, random_edges(13, 11, 47)), mesh, PARTS, PARTS)
    x = here(mesh, random(5, 13).float(), PARTS)
    if rank == 1:
        layer(x)
        os._exit(1)
    start = time.monotonic()
    error = error_of(lambda: [layer(x).sum().backward() for _ in range(3)])
    return error, time.monotonic() - start


def test_a_process_that_dies_leaves_an_error_on_the_others(tmp_path):
    context = mp.get_context("spawn")
    arguments = [({"die": die}, rank, 3, str(tmp_path)) for rank in range(3)]
    workers = [context.Process(target=run, args=one) for one in arguments]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        alive = worker.is_alive()
        worker.kill()
        assert not alive
    for rank in (0, 2):
        results, said = torch.load(tmp_path / f"results{rank}.pt", weights_only=False)
        assert "die" in results, said
        error, seconds = results["die"]
        assert error.startswith(("RuntimeError", "DistNetworkError", "DistBackendError")), error
        assert seconds < 60  # of the 180 after which the group gives up
