"""`EdgeParallel`: how `parallelize_module` shares one layer among processes."""

from typing import Any

import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import Placement, Replicate, Shard
from torch.distributed.tensor.parallel import ParallelStyle

from edgelinear.layers import EdgeLinear
from edgelinear.parallel.layer import become_sharded
from edgelinear.parallel.sharding import Axes, Sharding
from edgelinear.topology.shares import Share, bounds

Layouts = Placement | tuple[Placement, ...]


class EdgeParallel(ParallelStyle):
    def __init__(
        self,
        *,
        input_layouts: Layouts = Replicate(),
        output_layouts: Layouts = Replicate(),
        use_local_output: bool = True,
        halo: Any = "auto",
    ) -> None:
        super().__init__()
        self.layouts = input_layouts, output_layouts
        self.use_local_output = use_local_output
        self.halo = halo

    def _apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        axes = axes_of(device_mesh, *self.layouts)
        assert isinstance(module, EdgeLinear)
        topology, order = module.topology.sorted()
        start, stop = bounds(topology.num_edges, axes.parts, axes.part)
        share = Share(
            topology.in_features,
            topology.out_features,
            topology.num_edges,
            axes.part,
            axes.parts,
            topology.edge_index[:, start:stop].clone(),
        )
        sharding = Sharding.of(share, axes, self.use_local_output, self.halo)
        return become_sharded(module, sharding, order)


def axes_of(mesh: DeviceMesh, inputs: Layouts, outputs: Layouts) -> Axes:
    layouts = tuple(
        given if isinstance(given, tuple) else (given,) for given in (inputs, outputs)
    )
    data = None
    for axis in range(mesh.ndim):
        if all(given[axis] == Shard(0) for given in layouts):
            data = axis
    edges = [axis for axis in range(mesh.ndim) if axis != data]
    if len(edges) == 1:
        group = mesh.get_group(edges[0])
    else:
        ranks = mesh.mesh
        if data is not None:
            ranks = ranks.select(data, mesh.get_local_rank(data))
        group = dist.new_group(ranks.flatten().tolist(), use_local_synchronization=True)
    return Axes(mesh, data, layouts, group)
