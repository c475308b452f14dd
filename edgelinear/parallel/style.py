"""`EdgeParallel`: how `parallelize_module` shares one layer among processes."""

from typing import Any

import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import Placement, Replicate, Shard
from torch.distributed.tensor.parallel import ParallelStyle

from edgelinear.layers import EdgeLinear, EdgeNetwork, EdgeRNN
from edgelinear.parallel.agreement import check_same, together
from edgelinear.parallel.layer import ShardedEdgeLinear, become_sharded, complete
from edgelinear.parallel.sharding import Axes, Sharding
from edgelinear.topology.shares import Share, bounds

Layouts = Placement | tuple[Placement, ...]


class EdgeParallel(ParallelStyle):
    """Share the edges of an `EdgeLinear` among the processes of a mesh.

    For `torch.distributed.tensor.parallel.parallelize_module`. Each process holds an equal part
    of the edges, in (target, source) order, and no more of the wiring: `layer.share`. The weight is
    a DTensor in that order, whatever the order before, so that optimizers, clipping and distributed
    checkpoints work as they do on any DTensor. Only inputs that the edges of a process read, and
    sums of the targets that they reach, move between processes.

    Args:
        input_layouts: how inputs lie over the processes: `Replicate()`, each has all of them; or
            `Shard(-1)`, each has its part of the features, as `torch.chunk` cuts them. For a mesh
            of several axes a tuple, with one layout for each: `Shard(0)` where an axis has other
            samples, as in data parallel training. Where the edges are shared along two axes, a grid
            of (targets, sources), layouts are the same on both.
        output_layouts: likewise, of outputs. Biases lie as outputs do.
        use_local_output: whether outputs are local tensors, or DTensors. Inputs may be either.
        halo: how a process gets `Shard(-1)` inputs that others have: True receives those alone that
            its edges read, False all of them, "auto" what moves less.

    Every process must have built the same layer. Rules go together with FSDP2 and DDP only.

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
        axes = axes_of(device_mesh, *self.layouts)
        layer = together(axes.group, lambda: checked(module, axes))
        same = {
            "bias": layer.bias is not None,
            "type": layer.weight.dtype,
            "backend": layer.backend,
            "layouts": (*axes.layouts, self.use_local_output, self.halo),
        }
        if isinstance(layer, ShardedEdgeLinear):
            share = layer.share
            same["wiring"] = (share.in_features, share.out_features, share.num_edges, share.parts)
            check_same(axes.group, same)
            return complete(layer, self._sharding(share, axes))
        topology, order = layer.topology.sorted()
        check_same(axes.group, same | {"wiring": topology.digest})
        start, stop = bounds(topology.num_edges, axes.parts, axes.part)
        share = Share(
            topology.in_features,
            topology.out_features,
            topology.num_edges,
            axes.part,
            axes.parts,
            topology.edge_index[:, start:stop].clone(),
        )
        return become_sharded(layer, self._sharding(share, axes), order)

    def _sharding(self, share: Share, axes: Axes) -> Sharding:
        return Sharding.of(share, axes, self.use_local_output, self.halo)


def checked(module: nn.Module, axes: Axes) -> EdgeLinear:
    """Return the module, if its edges can be shared.

    Raises:
        TypeError, ValueError: if they cannot be; the message says what to do.
    """
    if isinstance(module, ShardedEdgeLinear):
        share = module.share
        if module._sharding is not None:
            raise ValueError("the edges of this layer are shared already: use `EdgeParallel` once.")
        if (share.part, share.parts) != (axes.part, axes.parts):
            raise ValueError(
                f"the share of this layer is number {share.part} of {share.parts}, and this is "
                f"process {axes.part} of {axes.parts}: use the mesh that `load_shares` was given."
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
    if module.rules or module._stand_in() is not None:
        raise ValueError(
            "the weight of this layer is computed, by rules or a hook of torch, from parameters "
            "that are not in the order of its edges: use `fully_shard` or DDP, or take them off."
        )
    return module


def axes_of(mesh: Any, inputs: Layouts, outputs: Layouts) -> Axes:
    """Return what the axes of a mesh do, by the layouts of what comes in and goes out.

    Raises:
        TypeError, ValueError: if layouts do not fit the mesh, or each other.
    """
    if not isinstance(mesh, DeviceMesh):
        raise TypeError(
            f"`device_mesh` must be a DeviceMesh, got {type(mesh).__name__}: use "
            "`init_device_mesh` after `init_process_group`, or run the script by `torchrun`."
        )
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
                f"{given[0] if len(given) == 1 else given}."
            )
    axes = [axis for axis in range(mesh.ndim) if axis != data]
    if len(axes) > 2:
        raise ValueError(
            f"edges must be shared along one axis of the mesh or two, got {len(axes)} axes: make "
            "the mesh of fewer, or take some of it, as `mesh['edges']`."
        )
    if len(axes) == 1:
        return Axes(mesh, data, layouts, mesh.get_group(axes[0]))
    ranks = mesh.mesh if data is None else mesh.mesh.select(data, mesh.get_local_rank(data))
    group = dist.new_group(ranks.flatten().tolist(), use_local_synchronization=True)
    return Axes(mesh, data, layouts, group)


def _by_axis(name: str, layouts: Any, axes: int) -> tuple[Placement, ...]:
    given = tuple(layouts) if isinstance(layouts, (tuple, list)) else (layouts,)
    if len(given) != axes or not all(isinstance(layout, Placement) for layout in given):
        raise ValueError(
            f"`{name}` must have a layout for each of the {axes} axes of the mesh, as Replicate() "
            f"or Shard(-1), got {layouts!r}."
        )
    return given
