"""`ShardedEdgeLinear`: an `EdgeLinear` whose edges are shared by many processes."""

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, Placement, Replicate, Shard

from edgelinear import _torch
from edgelinear.functional import edge_linear
from edgelinear.init import bound_by_fan_in
from edgelinear.layers import EdgeLinear
from edgelinear.layers.assignment import as_weight
from edgelinear.layers.entries import Comparison
from edgelinear.layers.module import check_options
from edgelinear.parallel import saved
from edgelinear.parallel.entering import agreed, check_alike
from edgelinear.parallel.sharding import Sharding, on_edges
from edgelinear.topology import Topology
from edgelinear.topology.shares import Share, bounds


class ShardedEdgeLinear(EdgeLinear):
    """An `EdgeLinear` of which each process of a group holds some edges, and no more of the wiring.

    `EdgeParallel` turns layers of whole wirings into such ones. Where no process could hold the
    wiring, a layer begins as one, of the share that `load_shares` gave, and `EdgeParallel` then
    says how inputs and outputs lie, and draws the parameters: weights that came with the edges
    stay. Edges are in (target, source) order, and so is the weight, a DTensor with a share on each
    process.

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
    _has_compared = False  # inputs with those of other processes

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
        check_options(backend, dtype, bias)
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

    def _edges_to_save(self) -> Any:
        return self.edge_index

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

    @torch.compiler.disable  # what moves, and sizes that differ among processes, gain nothing
    def forward(self, input: Tensor) -> Tensor:  # (*, inputs here) -> (*, outputs here)
        """Return the outputs, laid out as `EdgeParallel` was told.

        A compiler leaves this layer as it is, and breaks the graph around it.

        Raises:
            TypeError, ValueError, RuntimeError: as `edge_linear` does, or if the weight or the
                input is not what it was told.
        """
        if _torch.is_transforming():
            raise RuntimeError(
                "transforms of `torch.func` do not go through a layer whose edges are shared: use "
                "`backward`, or a layer that is whole."
            )
        sharding = self.sharding
        axes = sharding.axes
        weight = axes.local(self._as_dtensor("weight"))
        if isinstance(input, DTensor):
            input = self._redistributed(input)
        x = agreed(lambda: self._local_input(input), axes.group, axes.device, weight.requires_grad)
        if not self._has_compared:
            if on_edges(axes, 0) == Replicate():
                check_alike(x, axes.group)
            self._has_compared = True
        batch = x.shape[:-1]
        rows = x.reshape(math.prod(batch), x.shape[-1]).t().contiguous()
        sums = edge_linear(
            sharding.bring(rows), weight, sharding.local, dim=0, backend=self.backend
        )
        y = sharding.send(sums).t()
        if self.bias is not None:
            y = y + axes.local(self._as_dtensor("bias")).to(y.dtype)
        y = y.reshape(*batch, y.shape[-1]).contiguous()
        return y if sharding.use_local_output else self._global(y)

    def _redistributed(self, input: DTensor) -> Tensor:
        axes, features = self.sharding.axes, Shard(input.dim() - 1)
        layouts = [features if one == Shard(-1) else one for one in axes.layouts[0]]
        return input.redistribute(axes.mesh, layouts).to_local()

    def _local_input(self, input: Any) -> Tensor:
        axes, layout = self.sharding.axes, on_edges(self.sharding.axes, 0)
        size = self.in_features
        if layout == Shard(-1):
            start, stop = axes.bounds(size)
            size = stop - start
        least = 1 + (axes.data is not None)
        if not isinstance(input, Tensor) or input.dim() < least or input.shape[-1] != size:
            got = tuple(input.shape) if isinstance(input, Tensor) else type(input).__name__
            samples = ", and samples in its first dimension" if least == 2 else ""
            raise ValueError(
                f"`input` must have {size} of the {self.in_features} features in its last "
                f"dimension on this process{samples}, as `input_layouts` is {layout!r}, got {got}."
            )
        if input.device != axes.device:
            raise ValueError(
                f"`input` is on {input.device}, and the processes of this layer exchange tensors "
                f"on {axes.device}: use `input.to({str(axes.device)!r})`."
            )
        if _torch.is_any_autocast() and torch.is_autocast_enabled(input.device.type):
            if input.dtype != torch.float64:  # what moves is smaller so
                input = input.to(torch.get_autocast_dtype(input.device.type))
        return input

    def _placements(self, name: str) -> list[Placement]:
        """Return how a parameter lies over the mesh."""
        axes = self.sharding.axes
        is_whole = name == "bias" and on_edges(axes, 1) == Replicate()
        return axes.placements(Replicate() if is_whole else Shard(0))

    def _as_dtensor(self, name: str) -> Any:
        parameter, expected = getattr(self, name), self._placements(name)
        found = getattr(parameter, "placements", type(parameter).__name__)
        if not isinstance(parameter, DTensor) or list(found) != expected:
            raise TypeError(
                f"`{name}` of a layer whose edges are shared must stay the DTensor that it was, "
                f"{expected}, got {found}: set its numbers by `layer.set_weight` or "
                "`layer.load_state_dict`, before `fully_shard`, and leave rules to layers that are "
                "whole on each process."
            )
        return parameter

    def _global(self, y: Tensor) -> DTensor:
        axes = self.sharding.axes
        shape = [*y.shape[:-1], self.out_features]
        layouts = axes.layouts[1]
        if axes.data is not None:
            group = axes.mesh.get_group(axes.data)
            number = y.new_tensor(y.shape[0], dtype=torch.int64)
            dist.all_reduce(number, group=group)
            shape[0] = int(number)
            start, stop = bounds(shape[0], dist.get_world_size(group), dist.get_rank(group))
            if y.shape[0] != stop - start:
                raise ValueError(
                    f"a DTensor of {shape[0]} samples has {stop - start} of them on this process, "
                    f"got {y.shape[0]}: cut them as `torch.chunk` does, or use local outputs."
                )
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
        names = self._in_names, self._out_names
        return saved.compare(self.share, self.sharding.axes, names, state, prefix)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *rest: Any) -> None:
        for name, parameter in self.named_parameters(recurse=False):
            value = state_dict.get(prefix + name)
            if isinstance(value, Tensor) and not isinstance(value, DTensor):  # of one process
                if list(getattr(parameter, "placements", [])) != self._placements(name):
                    raise ValueError(
                        f"`{prefix}{name}` is sharded further, as by `fully_shard`: load the state "
                        "dict of one process before that, or use `torch.distributed.checkpoint`."
                    )
                state_dict[prefix + name] = saved.part(value, parameter, self.sharding.axes)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def extra_repr(self) -> str:
        share = self._share
        shown = (
            f"in_features={share.in_features}, out_features={share.out_features}, "
            f"edges={share.edge_index.shape[1]} of {share.num_edges}, "
        )
        if self._sharding is not None:
            shown += f"{self._sharding}, "
        return f"{shown}bias={self.bias is not None}, backend={self.backend}"


def _draw(to: Tensor, bound: Tensor, random: torch.Generator) -> None:
    values = torch.empty(to.shape, dtype=torch.promote_types(to.dtype, torch.float32))
    values.uniform_(-1.0, 1.0, generator=random)
    to.copy_(values * bound.cpu())
