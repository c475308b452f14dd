"""`EdgeParallel`: how `parallelize_module` shares one layer among processes."""

from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Placement, Replicate, Shard
from torch.distributed.tensor.parallel import ParallelStyle
from torch.nn.utils import parametrize

from edgelinear.layers import EdgeLinear, EdgeNetwork, EdgeRNN
from edgelinear.parallel.agreement import (
    check_ascends,
    check_group,
    check_same,
    groups_of,
    let_go_at_exit,
    together,
)
from edgelinear.parallel.layer import ShardedEdgeLinear
from edgelinear.parallel.making import become_sharded, complete
from edgelinear.parallel.sharding import Axes, Sharding
from edgelinear.topology import Share

Layouts = Placement | tuple[Placement, ...]


class EdgeParallel(ParallelStyle):
    """Share the edges of an `EdgeLinear` among the processes of a mesh.

    For `torch.distributed.tensor.parallel.parallelize_module`. Each process holds an equal part
    of the edges, in (target, source) order, and no more of the wiring: `layer.share`. The weight is
    a `Shard(0)` DTensor in that order, whatever the order before, so that optimizers, clipping and
    distributed checkpoints work as they do on any DTensor. Only inputs that the edges of a process
    read, and sums of the targets that they reach, move between processes.

    Args:
        input_layouts: how inputs lie over the processes: `Replicate()`, each has all of them; or
            `Shard(-1)`, each has its part of the features, as `torch.chunk` cuts them. For a mesh
            of several axes a tuple, with one layout for each: `Shard(0)` where an axis has other
            samples, as in data parallel training. Edges are shared along the other axes: one, or
            two, a grid of (targets, sources), which have the same layouts.
        output_layouts: likewise, of outputs. Biases lie as outputs do.
        use_local_output: whether outputs are local tensors, or DTensors. Inputs may be either.
        halo: how a process gets `Shard(-1)` inputs that others have: True receives those alone that
            its edges read, False all of them, "auto" what moves less.

    Every process must have built the same layer, and goes through it as often, with as many
    samples, which each forward compares; the first one compares some values of inputs that are to
    be the same. Parameters start as those of the first process, as DTensors do, and are new
    objects: make the optimizer afterwards, and tie layers afterwards. Gradients are summed
    over the samples of a `Shard(0)` axis: have the loss divide by the number of all of them, or
    leave that axis to `fully_shard`. A row whose edges lie on several processes is added up in the
    order of these, so that bits are the same from run to run. Rules go with FSDP2 and DDP alone,
    and a compiler leaves such layers as they are.

    Raises:
        TypeError, ValueError, RuntimeError: on every process, if a layout or the module does not
            fit, or processes differ; the message says what to do.

    Example:
        >>> from torch.distributed.tensor import Shard
        >>> genes = EdgeParallel(output_layouts=Shard(-1))
        >>> pathways = EdgeParallel(input_layouts=Shard(-1))
        >>> # parallelize_module(net, mesh, {"genes": genes, "pathways": pathways})
    """

    def __init__(
        self,
        *,
        input_layouts: Layouts = Replicate(),  # noqa: B008
        output_layouts: Layouts = Replicate(),  # noqa: B008
        use_local_output: bool = True,
        halo: Any = "auto",
    ) -> None:
        super().__init__()
        if halo not in (True, False, "auto"):
            raise ValueError(f'`halo` must be True, False or "auto", got {halo!r}.')
        self.layouts = input_layouts, output_layouts
        self.use_local_output = use_local_output
        self.halo = halo

    def _apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        check_mesh(device_mesh)
        let_go_at_exit()
        groups = groups_of(device_mesh)
        data, layouts = together(groups, lambda: roles_of(device_mesh, *self.layouts))
        axes = Axes.of(device_mesh, data, layouts)
        layer = together(groups, lambda: checked(module, axes))
        share, order = _share_of(layer, axes)
        same = {
            "kind": "whole" if order is not None else "a share",
            "wiring": (share.in_features, share.out_features, share.num_edges, share.fingerprint),
            "bias": layer.bias is not None,
            "type": layer.weight.dtype,
            "backend": layer.backend,
            "layouts": (*layouts, self.use_local_output, self.halo),
            "trained": [p.requires_grad for p in layer.parameters(recurse=False)],
        }
        check_same(groups, same)
        sharding = Sharding.of(share, axes, self.use_local_output, self.halo)
        if isinstance(layer, ShardedEdgeLinear):
            return complete(layer, sharding)
        return become_sharded(layer, sharding, order)


def _share_of(layer: EdgeLinear, axes: Axes) -> tuple[Share, Any]:
    """Return the share of this process, and where the edges of all shares stand in a layer."""
    if isinstance(layer, ShardedEdgeLinear):
        return layer.share, None
    shares = layer.topology.split(axes.grid, by="blocks")
    return shares[axes.part], torch.cat([one.positions for one in shares])  # type: ignore[misc]


def check_mesh(mesh: Any) -> None:
    """Refuse what no processes could agree about.

    Raises:
        TypeError, RuntimeError, ValueError: if it is no mesh, or one without this process.
    """
    if not isinstance(mesh, DeviceMesh):
        raise TypeError(
            f"`device_mesh` must be a DeviceMesh, got {type(mesh).__name__}: use "
            "`init_device_mesh`, and run the script by `torchrun`."
        )
    check_group()
    if mesh.get_coordinate() is None:
        raise ValueError(
            f"process {dist.get_rank()} is not in the mesh, which has {mesh.size()} of "
            f"{dist.get_world_size()}: make it of all, start as many by `torchrun`, or leave the "
            "layer out on this one."
        )


def checked(module: nn.Module, axes: Axes) -> EdgeLinear:
    """Return the module, if its edges can be shared.

    Raises:
        TypeError, ValueError: if they cannot be; the message says what to do.
    """
    if isinstance(module, ShardedEdgeLinear):
        share = module.share
        if module._sharding is not None:
            raise ValueError("the edges of this layer are shared already: use `EdgeParallel` once.")
        if (share.part, share.grid) != (axes.part, axes.grid):
            raise ValueError(
                f"the share of this layer is part {share.part} in a grid of {share.grid}, and this "
                f"is process {axes.part} in {axes.grid}: use the mesh that `load_shares` had, or "
                "share the edges anew, by in_features and out_features of `load_shares`."
            )
        if module.weight.is_meta and share.weight is not None:
            raise ValueError(
                "the edges of this share came with weights, which a layer on the meta device has "
                "no place for: make the layer on a device."
            )
        return module
    if isinstance(module, (EdgeNetwork, EdgeRNN)):
        raise TypeError(
            f"`EdgeParallel` must be given to an EdgeLinear, got {type(module).__name__}, whose "
            "levels or steps would each wait for the other processes: use `fully_shard` or DDP."
        )
    if not isinstance(module, EdgeLinear):
        raise TypeError(
            f"`EdgeParallel` must be given to an EdgeLinear, got {type(module).__name__}: name the "
            'layer in the plan, as {"0": EdgeParallel()}.'
        )
    _check_kind(type(module))
    if any(getattr(p, "is_shared_out", False) for p in module.parameters(recurse=False)):
        raise ValueError(
            "a parameter of this layer is one of a layer whose edges are shared already, and would "
            "become another one: tie both after `EdgeParallel`, as by `b.weight = a.weight`."
        )
    if parametrize.is_parametrized(module, "bias"):
        raise ValueError(
            "the bias of this layer is parametrized: take that off by "
            "`torch.nn.utils.parametrize.remove_parametrizations`, or use `fully_shard` or DDP."
        )
    if module.rules or module._stand_in() is not None:
        raise ValueError(
            "the weight of this layer is computed, by rules or a hook of torch, from parameters "
            "that are not in the order of its edges: use `fully_shard` or DDP, or take them off."
        )
    if isinstance(module.weight, DTensor):
        raise ValueError(
            "the weight of this layer is a DTensor already: use `EdgeParallel` first, and "
            "`fully_shard` after it."
        )
    return module


def _check_kind(kind: type[EdgeLinear]) -> None:
    """Refuse methods that a layer of many processes has of its own, and would have no more."""
    for name, ours in vars(ShardedEdgeLinear).items():
        inherited = getattr(EdgeLinear, name, None)
        if callable(ours) and not name.startswith("__") and name != "extra_repr":
            if getattr(kind, name, None) is not inherited:
                raise TypeError(
                    f"{kind.__name__} has a `{name}` of its own, which a layer whose edges are "
                    "shared would not call: put an EdgeLinear inside of a module that does the "
                    "rest, and name it in the plan."
                )


def roles_of(
    mesh: DeviceMesh, inputs: Layouts, outputs: Layouts
) -> tuple[int | None, tuple[tuple[Placement, ...], tuple[Placement, ...]]]:
    """Return which axis of a mesh shares samples, if any, and the layouts by axis.

    Raises:
        ValueError: if layouts do not fit the mesh, or each other.
    """
    check_ascends(mesh)
    layouts = (
        _by_axis("input_layouts", inputs, mesh.ndim),
        _by_axis("output_layouts", outputs, mesh.ndim),
    )
    shares_samples = [{into, out} == {Shard(0)} for into, out in zip(*layouts, strict=True)]
    data = shares_samples.index(True) if True in shares_samples else None
    for name, given in zip(("input_layouts", "output_layouts"), layouts, strict=True):
        edges = {layout for axis, layout in enumerate(given) if axis != data}
        if edges not in ({Replicate()}, {Shard(-1)}):
            raise ValueError(
                f"`{name}` must be Replicate() or Shard(-1), the same on all axes that share "
                "edges, and Shard(0) in both on one that shares samples, got "
                f"{given[0] if len(given) == 1 else given!r}."
            )
    shared = mesh.ndim - (data is not None)
    if shared not in (1, 2):
        raise ValueError(
            f"edges must be shared along one axis of the mesh or two, got {shared} axes: make the "
            'mesh of others, or take some of it, as mesh["edges"].'
        )
    return data, layouts


def _by_axis(name: str, layouts: Any, axes: int) -> tuple[Placement, ...]:
    given = tuple(layouts) if isinstance(layouts, (tuple, list)) else (layouts,)
    if len(given) != axes or not all(isinstance(layout, Placement) for layout in given):
        raise ValueError(
            f"`{name}` must have a layout for each of the {axes} axes of the mesh: Replicate() or "
            f"Shard(-1) where it shares edges, Shard(0) where it shares samples, got {layouts!r}."
        )
    return given
