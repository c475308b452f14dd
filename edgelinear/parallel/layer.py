"""`Sharded`: what an `EdgeLinear` becomes whose edges are shared by many processes."""

import math
from typing import Any, NoReturn

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Replicate, Shard

from edgelinear.functional import edge_linear
from edgelinear.layers import EdgeLinear
from edgelinear.parallel.moves import Move, Selection, fetch
from edgelinear.topology import Topology
from edgelinear.topology.shares import Share, bounds


class Sharded(EdgeLinear):
    """An `EdgeLinear` of which each process of a group holds some edges, and no more of the wiring.

    Edges are in (target, source) order, and the weight is a DTensor that is sharded in it.
    """

    _share: Share
    _mesh: DeviceMesh
    _local: Topology  # from the columns that the edges here need, to the rows that they reach
    _bring: Move  # inputs to those columns
    _take: Move  # those rows to outputs
    _layouts: tuple[Any, Any]
    _use_local_output: bool

    @property
    def topology(self) -> Topology:
        raise RuntimeError(
            "`topology` of a sharded layer is on no process: each holds `layer.share`."
        )

    @property
    def share(self) -> Share:
        """The edges that this process holds."""
        return self._share

    def forward(self, input: Tensor) -> Tensor:
        x = self._local_input(input)
        batch = x.shape[:-1]
        rows = x.reshape(math.prod(batch), x.shape[-1]).t().contiguous()
        weight = self.weight.redistribute(placements=self.weight.placements).to_local()
        sums = edge_linear(self._bring(rows), weight, self._local, dim=0, backend=self.backend)
        y = self._take(sums).t()
        if self.bias is not None:
            y = y + self.bias.to_local()
        y = y.reshape(*batch, y.shape[-1]).contiguous()
        layout = self._layouts[1]
        if self._use_local_output:
            return y
        shape = torch.Size([*batch, self._share.out_features])
        stride = torch.empty(shape, device="meta").stride()
        return DTensor.from_local(
            y, self._mesh, [layout], run_check=False, shape=shape, stride=stride
        )

    def _local_input(self, input: Tensor) -> Tensor:
        layout = self._layouts[0]
        if isinstance(input, DTensor):
            return input.redistribute(self._mesh, [layout]).to_local()
        return input

    def extra_repr(self) -> str:
        return f"{self._share}, bias={self.bias is not None}, backend={self.backend}"


@torch.no_grad()
def shard(
    layer: EdgeLinear,
    mesh: DeviceMesh,
    layouts: tuple[Any, Any],
    use_local_output: bool,
) -> EdgeLinear:
    group = mesh.get_group()
    parts, part = dist.get_world_size(group), dist.get_rank(group)
    topology, order = layer.topology.sorted()
    start, stop = bounds(topology.num_edges, parts, part)
    share = Share(
        topology.in_features,
        topology.out_features,
        topology.num_edges,
        part,
        parts,
        topology.edge_index[:, start:stop].clone(),
    )
    weight, bias = layer.weight.detach()[order][start:stop].clone(), layer.bias
    src, dst = share.edge_index
    first = int(dst[0]) if len(dst) else 0
    rows = torch.arange(first, int(dst[-1]) + 1) if len(dst) else dst
    needs, columns = torch.unique(src, return_inverse=True)
    layer.__class__ = type(f"Sharded{type(layer).__name__}", (Sharded, type(layer)), {})
    assert isinstance(layer, Sharded)
    layer._share, layer._mesh, layer._layouts = share, mesh, layouts
    layer._use_local_output = use_local_output
    layer._local = Topology(
        len(needs), len(rows), torch.stack([columns, dst - first]), duplicates="keep"
    )
    layer._topology = layer._local
    layer._bring = _bring(needs, share.in_features, layouts[0], group)
    layer._take = _bring(rows, share.out_features, layouts[1], group).T
    layer.weight = nn.Parameter(
        DTensor.from_local(
            weight,
            mesh,
            [Shard(0)],
            run_check=False,
            shape=torch.Size([share.num_edges]),
            stride=(1,),
        )
    )
    if bias is not None:
        one = layouts[1] if isinstance(layouts[1], Replicate) else Shard(0)
        local = bias.detach()
        if isinstance(one, Shard):
            local = local[slice(*bounds(share.out_features, parts, part))]
        layer.bias = nn.Parameter(
            DTensor.from_local(
                local.clone(),
                mesh,
                [one],
                run_check=False,
                shape=torch.Size([share.out_features]),
                stride=(1,),
            )
        )
    return layer


def _bring(needs: Tensor, size: int, layout: Any, group: Any) -> Move:
    if isinstance(layout, Replicate):
        return Selection(group, needs, size)
    return fetch(needs, size, group)
