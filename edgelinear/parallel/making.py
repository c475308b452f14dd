"""How a layer comes to have its edges on many processes."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import Replicate, Shard, distribute_tensor

from edgelinear.layers import EdgeLinear
from edgelinear.parallel.layer import ShardedEdgeLinear
from edgelinear.parallel.sharding import Sharding, on_edges


@torch.no_grad()
def become_sharded(layer: EdgeLinear, sharding: Sharding, order: Tensor) -> ShardedEdgeLinear:
    """Turn a layer of the whole wiring into one of a share of it.

    `order` has where the edges of all processes, one after the other, stand in the layer.
    """
    weight, bias, kind = layer.weight, layer.bias, type(layer)
    for parameter in (weight, bias):
        if parameter is not None:  # another layer may have it, too: see `checked`
            parameter.is_shared_out = True  # type: ignore[attr-defined]
    if kind is EdgeLinear:
        layer.__class__ = ShardedEdgeLinear
    else:
        layer.__class__ = type(f"Sharded{kind.__name__}", (ShardedEdgeLinear, kind), {})
    assert isinstance(layer, ShardedEdgeLinear)
    layer._share, layer._sharding = sharding.share, sharding
    del layer._topology
    layer._drawn = None
    layer.weight = _shared(weight, weight.detach()[order.to(weight.device)], Shard(0), sharding)
    if bias is not None:
        placement = on_edges(sharding.axes, 1)
        placement = placement if placement == Replicate() else Shard(0)
        layer.bias = _shared(bias, bias.detach(), placement, sharding)
    return layer


def _shared(parameter: Tensor, whole: Tensor, placement: Any, sharding: Sharding) -> nn.Parameter:
    """Return a parameter as processes share it: what the first one has, as DTensors begin."""
    axes = sharding.axes
    shared = distribute_tensor(whole, axes.mesh, axes.placements(placement))
    return nn.Parameter(shared, requires_grad=parameter.requires_grad)


@torch.no_grad()
def complete(layer: ShardedEdgeLinear, sharding: Sharding) -> ShardedEdgeLinear:
    """Let a layer that began with its share take part, and draw its parameters."""
    axes, share, weight, bias = sharding.axes, layer.share, layer.weight, layer.bias
    layer._sharding = sharding
    here = weight.detach() if weight.is_meta else weight.detach().to(axes.device)
    whole = axes.whole(here, Shard(0), torch.Size([layer.num_edges]))
    layer.weight = nn.Parameter(whole, requires_grad=weight.requires_grad)
    if bias is not None:
        placement: Any = on_edges(axes, 1)
        number = len(bias)
        if placement != Replicate():
            placement, (start, stop) = Shard(0), axes.bounds(number)
            number = stop - start
        whole = axes.whole(here.new_empty(number, dtype=bias.dtype), placement, bias.shape)
        layer.bias = nn.Parameter(whole, requires_grad=bias.requires_grad)
    if not weight.is_meta:
        layer.reset_parameters()
        if share.weight is not None:
            here.copy_(share.weight)
    return layer
