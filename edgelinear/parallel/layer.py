"""`Sharded`: what an `EdgeLinear` becomes whose edges are shared by many processes."""

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, Replicate, Shard

from edgelinear import _torch
from edgelinear.functional import edge_linear
from edgelinear.layers import EdgeLinear, checkpoint
from edgelinear.layers.entries import Comparison, with_local
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
    def shape(self) -> Tensor:
        """(in_features, out_features) as a tensor: the entry of this name in a state dict."""
        return torch.tensor((self.in_features, self.out_features), device="cpu")

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

    def _compare(self, state: Mapping[str, Tensor], prefix: str, assign: bool) -> Comparison:
        keys = [prefix + key for key in checkpoint.WIRING]
        missing = [key for key in keys if key not in state]
        if len(missing) < len(keys) or prefix + "weight" in state:
            refused = [self._refuse(state, prefix)] if not missing else []
        else:
            refused = []
        found: list = [None] * self._sharding.axes.parts
        dist.all_gather_object(found, [s for s in refused if s], self._sharding.axes.group)
        return Comparison(next(filter(None, found), []), missing)

    def _refuse(self, state: Mapping[str, Tensor], prefix: str) -> str | None:
        """Return None if the saved wiring is this one, or a sentence that says that it is not."""
        saved, shape = (state[prefix + key] for key in checkpoint.WIRING)
        share = self.share
        there = [*shape.tolist(), saved.shape[-1]]
        here = [share.in_features, share.out_features, share.num_edges]
        if there != here:
            return (
                f"`{prefix}edge_index` in this checkpoint is another wiring ({there[2]} edges from "
                f"{there[0]} to {there[1]} features there, {here[2]} from {here[0]} to {here[1]} here)."
            )
        if isinstance(saved, DTensor):
            edges = saved.redistribute(placements=self.edge_index.placements).to_local()
        else:
            edges = saved[:, share.start : share.start + share.edge_index.shape[1]]
        if torch.equal(edges, share.edge_index):
            return None
        differs = int((edges != share.edge_index).any(0).nonzero()[0])
        (src, dst), (other, target) = share.edge_index[:, differs].tolist(), edges[:, differs].tolist()
        return (
            f"`{prefix}edge_index` in this checkpoint is another wiring, or in another order (edge "
            f"{share.start + differs} is {src} -> {dst} here, {other} -> {target} there): a layer "
            "whose edges are shared has them in (target, source) order, as `topology.sorted()`."
        )

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *rest: Any) -> None:
        whole = {}
        for name, parameter in self.named_parameters(recurse=False):
            value = state_dict.get(prefix + name)
            if isinstance(value, Tensor) and not isinstance(value, DTensor):  # of one process
                whole[prefix + name] = self._part(value, parameter)
        super()._load_from_state_dict({**state_dict, **whole}, prefix, *rest)

    def _part(self, value: Tensor, parameter: Any) -> Tensor:
        """Return what of the value of a whole parameter is here."""
        axes = self._sharding.axes
        if value.shape != parameter.shape:
            return value
        shard = parameter.placements != tuple(axes.placements(Replicate()))
        size, number = value.shape[0], len(parameter.to_local())
        start = bounds(size, axes.parts, axes.part)[0] if shard else 0
        return with_local(parameter, value[start : start + number])

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
