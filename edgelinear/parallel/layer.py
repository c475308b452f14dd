"""`Sharded`: what an `EdgeLinear` becomes whose edges are shared by many processes."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, Replicate, Shard

from edgelinear import _torch
from edgelinear.functional import edge_linear
from edgelinear.layers import EdgeLinear
from edgelinear.parallel.sharding import Sharding, on_edges
from edgelinear.topology import Topology
from edgelinear.topology.shares import Share, bounds


class Sharded(EdgeLinear):
    """An `EdgeLinear` of which each process of a group holds some edges, and no more of the wiring.

    Edges are in (target, source) order, in which the weight is a DTensor with a share on each process.
    """

    _sharding: Sharding

    @property
    def topology(self) -> Topology:
        raise RuntimeError(
            "the wiring of this layer is shared by many processes, and whole on none: this one "
            "holds `layer.share`. Do it before `EdgeParallel`, or on a layer that was not sharded."
        )

    @property
    def share(self) -> Share:
        """The edges that this process holds."""
        return self._sharding.share

    @property
    def in_features(self) -> int:
        """Number of inputs."""
        return self.share.in_features

    @property
    def out_features(self) -> int:
        """Number of outputs."""
        return self.share.out_features

    @property
    def num_edges(self) -> int:
        """Number of edges on all processes."""
        return self.share.num_edges

    @property
    def density(self) -> float:
        """Edges over possible edges."""
        return self.num_edges / max(1, self.in_features * self.out_features)

    @property
    def edge_index(self) -> Any:
        """The edges of all processes, a DTensor (2, num_edges): row 0 the source, row 1 the target."""
        sharding = self._sharding
        shape = torch.Size([2, self.num_edges])
        return sharding.axes.whole(self.share.edge_index.clone(), Shard(1), shape)

    def forward(self, input: Tensor) -> Tensor:
        sharding, axes = self._sharding, self._sharding.axes
        x = self._local_input(input)
        batch = x.shape[:-1]
        rows = x.reshape(math.prod(batch), x.shape[-1]).t().contiguous()
        weight = axes.local(self.weight)
        sums = edge_linear(sharding.bring(rows), weight, sharding.local, dim=0, backend=self.backend)
        y = sharding.send(sums).t()
        if self.bias is not None:
            y = y + axes.local(self.bias).to(y.dtype)
        y = y.reshape(*batch, y.shape[-1]).contiguous()
        if sharding.use_local_output:
            return y
        layouts = axes.layouts[1]
        shape = list(y.shape)
        shape[-1] = self.out_features
        if axes.data is not None:
            shape[0] *= axes.mesh.size(axes.data)
        return axes._of(y, layouts, torch.Size(shape))

    def _local_input(self, input: Tensor) -> Tensor:
        axes = self._sharding.axes
        layouts = axes.layouts[0]
        if isinstance(input, DTensor):
            layouts = [Shard(input.dim() - 1) if l == Shard(-1) else l for l in layouts]
            input = input.redistribute(axes.mesh, layouts).to_local()
        if _torch.is_any_autocast() and torch.is_autocast_enabled(input.device.type):
            if input.dtype != torch.float64:
                input = input.to(torch.get_autocast_dtype(input.device.type))
        return input

    def _place_topology(self) -> None:
        """The wiring stays where the mesh is."""

    def extra_repr(self) -> str:
        sharding = self._sharding
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"edges={len(self.share.edge_index[0])} of {self.num_edges}, "
            f"process={sharding.axes.part} of {sharding.axes.parts}, "
            f"inputs={len(sharding.inputs)} by {type(sharding.bring).__name__.lower()}, "
            f"targets={len(sharding.targets)} by {type(sharding.send).__name__.lower()}, "
            f"bias={self.bias is not None}, backend={self.backend}"
        )


@torch.no_grad()
def become_sharded(layer: EdgeLinear, sharding: Sharding, order: Tensor) -> Sharded:
    """Turn a layer of the whole wiring into one of a share of it.

    `order` has where the edges of all processes, one after the other, stand in the layer.
    """
    axes, share = sharding.axes, sharding.share
    start = share.start
    here = order[start : start + share.edge_index.shape[1]]
    weight, bias = layer.weight, layer.bias
    kind: Any = type(layer)
    layer.__class__ = type(f"Sharded{kind.__name__}", (Sharded, kind), {})
    layer.__dict__["_sharding"] = sharding
    layer._topology = sharding.local
    whole = axes.whole(weight.detach()[here], Shard(0), weight.shape)
    layer.weight = nn.Parameter(whole, requires_grad=weight.requires_grad)
    if bias is not None:
        placement = on_edges(axes, axes.layouts[1])
        local = bias.detach().clone()
        if not isinstance(placement, Replicate):
            placement = Shard(0)
            local = local[slice(*bounds(share.out_features, axes.parts, axes.part))].clone()
        found = axes.whole(local, placement, bias.shape)
        layer.bias = nn.Parameter(found, requires_grad=bias.requires_grad)
    return layer  # type: ignore[return-value]
