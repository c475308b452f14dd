"""`ShardedEdgeLinear`: an `EdgeLinear` whose edges are shared by many processes."""

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, Replicate, Shard

from edgelinear import _torch
from edgelinear.functional import edge_linear
from edgelinear.init import bound_by_fan_in
from edgelinear.layers import EdgeLinear, checkpoint
from edgelinear.layers.assignment import as_weight
from edgelinear.layers.entries import Comparison, with_local
from edgelinear.layers.module import check_options
from edgelinear.parallel.sharding import Axes, Sharding, on_edges
from edgelinear.topology import Topology
from edgelinear.topology.shares import Share, bounds


class ShardedEdgeLinear(EdgeLinear):
    """An `EdgeLinear` of which each process of a group holds some edges, and no more of the wiring.

    `EdgeParallel` turns layers of whole wirings into such ones. Where no process could hold the
    wiring, a layer begins as one, of the share that `load_shares` gave, and `EdgeParallel` then
    says how inputs and outputs lie. Edges are in (target, source) order, and so is the weight, a
    DTensor with a share on each process.

    Args:
        share: the edges of this process.
        bias: whether to learn an offset for each output.
        backend: "auto", or a name in `edgelinear.backends.BACKENDS`.

    Example:
        >>> share = Topology(4, 2, [(0, 0), (1, 0), (2, 1), (3, 1)]).split(2)[0]
        >>> layer = ShardedEdgeLinear(share)
        >>> layer.num_edges, layer.share.edge_index.tolist()
        (4, [[0, 1], [0, 0]])
    """

    _share: Share
    _sharding: Sharding | None

    def __init__(
        self,
        share: Share,
        *,
        bias: bool = True,
        backend: str = "auto",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        nn.Module.__init__(self)
        check_options(backend, dtype)
        if not isinstance(share, Share):
            raise TypeError(
                f"`share` must be a Share, got {type(share).__name__}: use "
                "`el.parallel.load_shares`, or `topology.split`."
            )
        self._share, self._sharding, self.backend = share, None, backend
        self._in_names = self._out_names = None
        number = share.edge_index.shape[1]
        self.weight = nn.Parameter(torch.empty(number, device=device, dtype=dtype))
        offset = torch.empty(share.out_features, device="meta", dtype=dtype)
        self.register_parameter("bias", nn.Parameter(offset) if bias else None)

    @property  # type: ignore[misc]
    def topology(self) -> Topology:
        """The whole wiring, which no process has."""
        raise RuntimeError(
            "the wiring of this layer is shared by many processes, and whole on none: this one "
            "holds `layer.share`. Do this before `EdgeParallel`, or with a layer that is whole."
        )

    @property
    def share(self) -> Share:
        """The edges that this process holds."""
        return self._share

    @property
    def in_features(self) -> int:
        """Number of inputs."""
        return self._share.in_features

    @property
    def out_features(self) -> int:
        """Number of outputs."""
        return self._share.out_features

    @property
    def num_edges(self) -> int:
        """Number of edges on all processes."""
        return self._share.num_edges

    @property
    def density(self) -> float:
        """Edges over possible edges, and 0 where there are no inputs or no outputs."""
        return self.num_edges / max(1, self.in_features * self.out_features)

    @property
    def shape(self) -> Tensor:
        """(in_features, out_features) as a tensor: the entry of this name in a state dict."""
        return torch.tensor((self.in_features, self.out_features), device="cpu")

    @property
    def edge_index(self) -> Any:
        """All edges, a DTensor (2, num_edges): row 0 the source, row 1 the target."""
        shape = torch.Size([2, self.num_edges])
        axes = self.sharding.axes
        edges = self._share.edge_index.to(axes.device, copy=True)
        return axes.whole(edges, Shard(1), shape)

    @property
    def sharding(self) -> Sharding:
        """What this process needs to take part.

        Raises:
            RuntimeError: if nothing says as yet how inputs and outputs lie over the processes.
        """
        if self._sharding is None:
            raise RuntimeError(
                "this layer has a share of the edges, and nothing says yet which processes have "
                "the others: give it `EdgeParallel()` by `parallelize_module`."
            )
        return self._sharding

    def forward(self, input: Tensor) -> Tensor:  # (*, inputs here) -> (*, outputs here)
        """Return the outputs, laid out as `EdgeParallel` was told.

        Raises:
            TypeError, ValueError, RuntimeError: as `edge_linear` does, or if the weight or the
                input is not what it was told.
        """
        sharding = self.sharding
        axes = sharding.axes
        x = self._local_input(input)
        batch = x.shape[:-1]
        rows = x.reshape(math.prod(batch), x.shape[-1]).t().contiguous()
        weight = axes.local(self._as_dtensor("weight"))
        sums = edge_linear(
            sharding.bring(rows), weight, sharding.local, dim=0, backend=self.backend
        )
        y = sharding.send(sums).t()
        if self.bias is not None:
            y = y + axes.local(self._as_dtensor("bias")).to(y.dtype)
        y = y.reshape(*batch, y.shape[-1]).contiguous()
        return y if sharding.use_local_output else self._global(y)

    def _local_input(self, input: Any) -> Tensor:
        axes, layout = self.sharding.axes, on_edges(self.sharding.axes, 0)
        if isinstance(input, DTensor):
            features = Shard(input.dim() - 1)
            layouts = [features if one == Shard(-1) else one for one in axes.layouts[0]]
            input = input.redistribute(axes.mesh, layouts).to_local()
        size = self.in_features
        if layout == Shard(-1):
            start, stop = bounds(size, axes.parts, axes.part)
            size = stop - start
        if not isinstance(input, Tensor) or input.dim() == 0 or input.shape[-1] != size:
            got = tuple(input.shape) if isinstance(input, Tensor) else type(input).__name__
            raise ValueError(
                f"`input` must have {size} of the {self.in_features} features on this process, as "
                f"`input_layouts` is {layout}, got {got}."
            )
        if _torch.is_any_autocast() and torch.is_autocast_enabled(input.device.type):
            if input.dtype != torch.float64:  # what moves is smaller so
                input = input.to(torch.get_autocast_dtype(input.device.type))
        return input

    def _as_dtensor(self, name: str) -> Any:
        parameter = getattr(self, name)
        if not isinstance(parameter, DTensor):
            raise TypeError(
                f"`{name}` of a layer whose edges are shared must be a DTensor, got "
                f"{type(parameter).__name__}: set its numbers by `layer.set_weight`, or "
                "`layer.load_state_dict`, and add rules to layers that are whole on each process."
            )
        return parameter

    def _global(self, y: Tensor) -> DTensor:
        axes = self.sharding.axes
        shape = [*y.shape[:-1], self.out_features]
        layouts = axes.layouts[1]
        if axes.data is not None:
            number = y.new_tensor(y.shape[0], dtype=torch.int64)
            dist.all_reduce(number, group=axes.mesh.get_group(axes.data))
            shape[0] = int(number)
        layouts = tuple(Shard(y.dim() - 1) if one == Shard(-1) else one for one in layouts)
        return axes.dtensor(y, layouts, torch.Size(shape))

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw weight and bias anew, uniform in +-1/sqrt(fan_in) of their target.

        All processes call it together. Each draws what it holds, by a seed that they share.
        """
        sharding = self.sharding
        axes = sharding.axes
        random = torch.Generator().manual_seed(axes.shared_seed() + axes.part)
        bound = bound_by_fan_in(sharding.fan_in, sharding.local.dst.long())
        _draw(self._as_dtensor("weight").to_local(), bound, random)
        if self.bias is not None:
            if on_edges(axes, 1) == Replicate():
                random.manual_seed(axes.shared_seed())
            fan_in = sharding.send.run(sharding.local.fan_in.double()[:, None])[:, 0]
            _draw(self._as_dtensor("bias").to_local(), bound_by_fan_in(fan_in), random)

    @torch.no_grad()
    def set_weight(self, values: Any) -> None:
        """Set the weight of each edge, in (target, source) order, on all processes.

        Args:
            values: (num_edges,) numbers, of which each process takes its own, or such a DTensor.

        Raises:
            TypeError, ValueError: if they have another shape, or are no real numbers.
        """
        weight = self._as_dtensor("weight")
        if isinstance(values, DTensor):
            weight.copy_(values.redistribute(placements=weight.placements))
            return
        local, start = weight.to_local(), self._share.start
        local.copy_(as_weight(values, self.num_edges, local)[start : start + len(local)])

    def _mark_drawn(self) -> None:
        """No process has all weights, to tell them from others."""

    def _place_topology(self) -> None:
        """The wiring stays where the mesh is."""

    def _compare(self, state: Mapping[str, Tensor], prefix: str, assign: bool) -> Comparison:
        missing = [prefix + key for key in checkpoint.WIRING if prefix + key not in state]
        refused = None if missing else self._refuse(state, prefix)
        if len(missing) == len(checkpoint.WIRING) and prefix + "weight" not in state:
            missing = []
        found: list = [None] * self.sharding.axes.parts
        dist.all_gather_object(found, refused, self.sharding.axes.group)
        return Comparison([said for said in found if said is not None][:1], missing)

    def _refuse(self, state: Mapping[str, Tensor], prefix: str) -> str | None:
        """Return None if the saved wiring is this one, or a sentence that says that it is not."""
        saved, shape = (state[prefix + key] for key in checkpoint.WIRING)
        share, what = self._share, f"`{prefix}edge_index` in this checkpoint is another wiring"
        there = (*shape.tolist(), saved.shape[-1])
        if there != (self.in_features, self.out_features, self.num_edges):
            return (
                f"{what}: {there[0]} -> {there[1]} features and {there[2]} edges there, "
                f"{self.in_features} -> {self.out_features} and {self.num_edges} here."
            )
        if isinstance(saved, DTensor):
            edges = saved.redistribute(placements=self.edge_index.placements).to_local()
        else:
            edges = saved[:, share.start : share.start + share.edge_index.shape[1]]
        edges = edges.cpu()
        if torch.equal(edges, share.edge_index):
            return None
        at = int((edges != share.edge_index).any(0).nonzero()[0])
        ours, theirs = share.edge_index[:, at].tolist(), edges[:, at].tolist()
        return (
            f"{what}, or has another order: edge {share.start + at} is {ours[0]} -> {ours[1]} here "
            f"and {theirs[0]} -> {theirs[1]} there. Where edges are shared they are in (target, "
            "source) order, as those of `topology.sorted()`."
        )

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *rest: Any) -> None:
        for name, parameter in self.named_parameters(recurse=False):
            value = state_dict.get(prefix + name)
            if isinstance(value, Tensor) and not isinstance(value, DTensor):  # of one process
                state_dict[prefix + name] = self._part(value, parameter)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def _part(self, value: Tensor, parameter: Any) -> Tensor:
        """Return what of the value of a whole parameter is here."""
        axes = self.sharding.axes
        if value.shape != parameter.shape:
            return value
        start, number = 0, len(parameter.to_local())
        if list(parameter.placements) != axes.placements(Replicate()):
            start = bounds(len(value), axes.parts, axes.part)[0]
        return with_local(parameter, value[start : start + number])

    def extra_repr(self) -> str:
        share = self._share
        shown = (
            f"in_features={share.in_features}, out_features={share.out_features}, "
            f"edges={share.edge_index.shape[1]} of {share.num_edges}, "
        )
        if self._sharding is not None:
            sharding = self._sharding
            shown += (
                f"process={share.part} of {share.parts}, receives={sharding.receives}, "
                f"by={sharding.bring.kind}, sends={sharding.sends}, "
            )
        return f"{shown}bias={self.bias is not None}, backend={self.backend}"


def _draw(to: Tensor, bound: Tensor, random: torch.Generator) -> None:
    values = torch.empty(to.shape, dtype=torch.promote_types(to.dtype, torch.float32))
    values.uniform_(-1.0, 1.0, generator=random)
    to.copy_(values * bound)


@torch.no_grad()
def become_sharded(layer: EdgeLinear, sharding: Sharding, order: Tensor) -> ShardedEdgeLinear:
    """Turn a layer of the whole wiring into one of a share of it.

    `order` has where the edges of all processes, one after the other, stand in the layer.
    """
    axes, share = sharding.axes, sharding.share
    weight, bias, kind = layer.weight, layer.bias, type(layer)
    here = order[share.start : share.start + share.edge_index.shape[1]]
    if kind is EdgeLinear:
        layer.__class__ = ShardedEdgeLinear
    else:
        layer.__class__ = type(f"Sharded{kind.__name__}", (ShardedEdgeLinear, kind), {})
    assert isinstance(layer, ShardedEdgeLinear)
    layer._share, layer._sharding = share, sharding
    del layer._topology
    layer._drawn = None
    local = weight.detach()[here.to(weight.device)]
    layer.weight = nn.Parameter(
        axes.whole(local, Shard(0), weight.shape), requires_grad=weight.requires_grad
    )
    if bias is not None:
        layer.bias = nn.Parameter(_shared_bias(bias, axes), requires_grad=bias.requires_grad)
    return layer


@torch.no_grad()
def complete(layer: ShardedEdgeLinear, sharding: Sharding) -> ShardedEdgeLinear:
    """Let a layer that began with its share take part, and draw its parameters."""
    axes, weight, bias = sharding.axes, layer.weight, layer.bias
    layer._sharding = sharding
    shape = torch.Size([layer.num_edges])
    layer.weight = nn.Parameter(axes.whole(weight.detach(), Shard(0), shape))
    if bias is not None:
        bias = _shared_bias(bias, axes)
        local = torch.empty_like(bias.to_local(), device=weight.device)
        layer.bias = nn.Parameter(with_local(bias, local))
    if not weight.is_meta:
        layer.reset_parameters()
    return layer


def _shared_bias(bias: Tensor, axes: Axes) -> Any:
    local, placement = bias.detach(), on_edges(axes, 1)
    if placement != Replicate():
        placement = Shard(0)
        local = local[slice(*bounds(len(bias), axes.parts, axes.part))]
    return axes.whole(local.clone(), placement, bias.shape)
