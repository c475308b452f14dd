"""Graphs that many processes share, and a training of one layer, on one process or on several."""

import copy

import torch
import torch.distributed as dist
from problems import random, random_edges
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Replicate, Shard
from torch.distributed.tensor.parallel import parallelize_module

import edgelinear as el
from edgelinear.parallel import EdgeParallel

WHOLE, PARTS, SAMPLES = Replicate(), Shard(-1), Shard(0)
BATCH, STEPS = 5, 3
GRAPHS = {
    "uneven": (13, 11, random_edges(13, 11, 47)),
    "shuffled": (13, 11, random_edges(13, 11, 47).flip(1)),
    "few edges": (5, 7, torch.tensor([[4, 0], [6, 2]])),
    "no edges": (5, 7, torch.empty(2, 0, dtype=torch.int64)),
    "few targets": (9, 3, random_edges(9, 3, 20)),
    "hub": (
        40,
        6,
        torch.tensor([[0, *range(40), 7], [0, *[2] * 40, 5]]),
    ),
    "empty rows": (10, 40, torch.stack([torch.arange(10), torch.arange(10) * 2 + 15])),
    "parallel": (6, 6, torch.tensor([[0, 3, 3, 3, 1, 5], [0, 2, 2, 2, 4, 5]])),
    "local": (
        40,
        40,
        torch.tensor(
            [[(t + k) % 40 for t in range(40) for k in range(3)], sorted([*range(40)] * 3)]
        ),
    ),
}
LAYOUTS = {
    "whole to whole": (WHOLE, WHOLE, "auto"),
    "whole to parts": (WHOLE, PARTS, "auto"),
    "parts to whole by halo": (PARTS, WHOLE, True),
    "parts to parts by halo": (PARTS, PARTS, True),
    "parts to parts by all-gather": (PARTS, PARTS, False),
}
# Sizes and names of axes, of which "data" shares samples.
MESHES = {
    1: {"edges": (1,)},
    2: {"edges": (2,)},
    3: {"edges": (3,)},
    4: {
        "edges": (4,),
        "data edges": (2, 2),
        "edges data": (2, 2),
        "targets sources": (2, 2),
        "targets sources data": (2, 1, 2),
        "data targets sources": (2, 1, 2),
    },
}


def meshes():
    """Return the meshes of as many processes as there are, by the names of their axes."""
    return {
        names: init_device_mesh("cpu", sizes, mesh_dim_names=tuple(names.split()))
        for names, sizes in MESHES[dist.get_world_size()].items()
    }


def topology_of(graph):
    return el.Topology(*GRAPHS[graph], duplicates="keep")


def layer_of(graph, **options):
    options = {"dtype": torch.float64} | options
    torch.manual_seed(0)
    return el.EdgeLinear.from_topology(topology_of(graph), **options)


def by_axis(mesh, layout):
    return tuple(SAMPLES if name == "data" else layout for name in mesh.mesh_dim_names)


def shared(layer, mesh, into=WHOLE, out=WHOLE, **options):
    style = EdgeParallel(
        input_layouts=by_axis(mesh, into), output_layouts=by_axis(mesh, out), **options
    )
    return parallelize_module(layer, mesh, style)


def here(mesh, tensor, layout):
    """Return what is here of a tensor that is laid out so over a mesh: chunks, and chunks of these.

    Samples are in its first dimension, features in its last one.
    """
    for axis, name in enumerate(mesh.mesh_dim_names):
        if name == "data" or layout == PARTS:
            dim = 0 if name == "data" else tensor.dim() - 1
            each = -(-tensor.shape[dim] // mesh.size(axis))
            start = min(each * mesh.get_local_rank(axis), tensor.shape[dim])
            tensor = tensor.narrow(dim, start, min(each, tensor.shape[dim] - start))
    return tensor.contiguous()


def whole(tensor):
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def in_order(layer, mesh=None):
    """Return where the edges of all processes, one after the other, stand in a layer."""
    grid = (1, 1) if mesh is None else tuple(s for s, n in sizes(mesh) if n != "data")
    grid = grid if len(grid) == 2 else (*grid, 1)
    return torch.cat([share.positions for share in layer.topology.split(grid, by="blocks")])


def sizes(mesh):
    return zip(mesh.mesh.shape, mesh.mesh_dim_names, strict=True)


def samples(in_features, out_features):
    """Return inputs of each step, and what outputs are compared with."""
    return [
        (random(BATCH, in_features, seed=step), random(BATCH, out_features, seed=step + 50))
        for step in range(STEPS)
    ]


def trained(layer, steps):
    """Return outputs and gradients of inputs in each step of Adam; the loss is a sum."""
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
    found = []
    for x, goal in steps:
        x = x.clone().requires_grad_()
        y = layer(x)
        (y - goal).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        found += [y.detach(), x.grad]
    return found


def trained_apart(graph, mesh, into, out, halo="auto", **options):
    """Return what one process and several find of the same training, each as it is here."""
    alone = layer_of(graph, **options)
    steps = samples(alone.in_features, alone.out_features)
    layer = shared(copy.deepcopy(alone), mesh, into, out, halo=halo)
    ours = trained(layer, [(here(mesh, x, into), here(mesh, goal, out)) for x, goal in steps])
    theirs = trained(alone, steps)
    layouts = (out, into) * STEPS
    theirs = [here(mesh, value, layout) for value, layout in zip(theirs, layouts, strict=True)]
    ours.append(whole(layer.weight).detach())
    theirs.append(alone.weight.detach()[in_order(alone, mesh)])
    if alone.bias is not None:
        ours.append(whole(layer.bias).detach())
        theirs.append(alone.bias.detach())
    return ours, theirs


def distance(ours, theirs):
    """Return the largest difference of two lists of tensors, infinite where shapes differ."""
    largest = 0.0
    for a, b in zip(ours, theirs, strict=True):
        if a.shape != b.shape:
            return float("inf")
        if a.numel():
            largest = max(largest, float((a.detach().double() - b.detach().double()).abs().max()))
    return largest


def same_bits(ours, theirs):
    return all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def error_of(call):
    """Return what a call raises, in one line."""
    try:
        call()
    except (Exception, CheckpointException) as error:
        return f"{type(error).__name__}: {error}"
    return "no error"
