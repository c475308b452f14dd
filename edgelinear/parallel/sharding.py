"""`Sharding`: which edges a process holds of a layer, and what moves for it."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Partial, Placement, Replicate, Shard

from edgelinear.parallel.agreement import group_of, groups_of
from edgelinear.parallel.moves import Exchange, Gather, Move, Select, gathered
from edgelinear.topology import Topology
from edgelinear.topology.shares import Share, part_bounds

# Of what an all-gather moves, how much send lists may move at most: they copy rows besides.
_HALO_PAYS = 0.75


@dataclass(frozen=True, eq=False)
class Axes:
    """Which axes of a mesh share the edges, and which one shares the samples, if any does."""

    mesh: DeviceMesh
    data: int | None
    layouts: tuple[tuple[Placement, ...], tuple[Placement, ...]]  # of inputs and outputs, by axis
    group: Any  # of the processes that share the edges
    grid: tuple[int, int]  # of them

    @classmethod
    def of(cls, mesh: DeviceMesh, data: int | None, layouts: Any) -> "Axes":
        """Return the roles of these axes: of two that share edges, the first one has targets."""
        sizes = [mesh.size(axis) for axis in range(mesh.ndim) if axis != data]
        grid = (sizes[0], sizes[1] if len(sizes) == 2 else 1)
        return cls(mesh, data, layouts, group_of(mesh, data), grid)

    @property
    def device(self) -> torch.device:
        """Where the processes of this mesh exchange tensors."""
        return torch.empty(0, device=self.mesh.device_type).device

    @property
    def parts(self) -> int:
        return dist.get_world_size(self.group)

    @property
    def part(self) -> int:
        return dist.get_rank(self.group)

    def bounds(self, size: int) -> tuple[int, int]:
        """Return where this process's part of so many features begins and ends."""
        return part_bounds(size, self.grid, self.part)

    def placements(self, placement: Placement) -> list[Placement]:
        """Return those of a parameter: so over the axes of edges, in full over that of samples."""
        return [Replicate() if axis == self.data else placement for axis in range(self.mesh.ndim)]

    def local(self, parameter: Any) -> Tensor:
        """Return what is here of a parameter; gradients of other samples are added to its own."""
        kept = parameter.placements
        grads = [Partial() if axis == self.data else p for axis, p in enumerate(kept)]
        return parameter.redistribute(placements=kept).to_local(grad_placements=grads)

    def whole(self, local: Tensor, placement: Placement, shape: torch.Size) -> DTensor:
        """Return a parameter, or what is like one, of what the processes have of it."""
        return self.dtensor(local, self.placements(placement), shape)

    def shared_seed(self) -> int:
        """Return a random number that is the same on all processes of the mesh."""
        seed = torch.randint(2**62, (1,), device="cpu").to(self.device)
        for group in groups_of(self.mesh):
            dist.broadcast(seed, group=group, group_src=0)
        return int(seed)

    def dtensor(self, local: Tensor, placements: Any, shape: torch.Size) -> DTensor:
        stride = torch.empty(shape, device="meta").stride()
        return DTensor.from_local(
            local, self.mesh, placements, run_check=False, shape=shape, stride=stride
        )


@dataclass(frozen=True, eq=False)
class Sharding:
    """What a process needs to compute with its share of the edges: no parameters."""

    axes: Axes
    share: Share
    local: Topology  # from the inputs that the edges here read, to the targets that they reach
    fan_in: Tensor  # of its targets, in the whole wiring
    bring: Move  # inputs to those here
    send: Move  # sums of the targets here to the outputs
    counted: tuple[int, int]  # inputs that move to all by send lists, and in an all-gather
    use_local_output: bool

    @classmethod
    def of(cls, share: Share, axes: Axes, use_local_output: bool, halo: Any) -> "Sharding":
        src, dst = share.edge_index
        first, last = (int(dst[0]), int(dst[-1]) + 1) if len(dst) else (0, 0)
        targets = torch.arange(first, last)
        inputs, columns = torch.unique(src, return_inverse=True)
        ends = torch.stack([columns, dst - first])
        local = Topology(len(inputs), len(targets), ends, duplicates="keep").to(axes.device)
        into, out = (on_edges(axes, side) for side in range(2))
        back, _ = _fetch(targets, share.out_features, Shard(-1), axes, True)
        total = back.run(back.T.run(local.fan_in.double()[:, None]))[:, 0].long()
        bring, counted = _fetch(inputs, share.in_features, into, axes, halo)
        send = _fetch(targets, share.out_features, out, axes, True)[0].T
        return cls(axes, share, local, total, bring, send, counted, use_local_output)

    def __str__(self) -> str:
        """Say what this process is, and what moves in a pass."""
        axes, (lists, whole) = self.axes, self.counted
        place = f"process={axes.part} of {axes.parts}"
        if axes.grid[1] > 1:
            place += f" in a grid of {axes.grid}"
        chosen = ""
        if axes.parts > 1 and self.bring.kind != Select.kind:
            chosen = f" by {self.bring.kind} ({lists} in all by halo, {whole} by all-gather)"
        return f"{place}, receives={self.bring.comes_in}{chosen}, sends={self.send.goes_out}"

    def __deepcopy__(self, memo: dict) -> "Sharding":
        return self

    def __getstate__(self) -> Any:
        raise TypeError(
            "a layer whose edges are shared cannot be pickled, as its processes cannot: save its "
            "`state_dict()`, or use `torch.distributed.checkpoint`."
        )


def on_edges(axes: Axes, side: int) -> Placement:
    """Return the layout of inputs (0) or outputs (1) over the axes of edges."""
    return next(one for axis, one in enumerate(axes.layouts[side]) if axis != axes.data)


def _fetch(
    needs: Tensor, size: int, layout: Placement, axes: Axes, halo: Any
) -> tuple[Move, tuple[int, int]]:
    """Return the move of all rows, laid out so over the processes, to those that are needed here.

    And how many rows move to all processes by send lists, and in an all-gather. All processes call
    it together.
    """
    group, parts, device = axes.group, axes.parts, axes.device
    needs = needs.to(device)
    if isinstance(layout, Replicate):
        counts = _gather(needs.new_tensor([len(needs)]), group)[:, 0].tolist()
        of_all = None
        if parts * max(counts) <= 2 * size:  # where an all-gather moves less than a sum of all
            padded = needs.new_zeros(max(1, *counts))
            padded[: len(needs)] = needs
            found = _gather(padded, group)
            of_all = [some[:count] for some, count in zip(found, counts, strict=True)]
        return Select(group, size, needs, of_all), (0, 0)
    ends = [part_bounds(size, axes.grid, part) for part in range(parts)]
    starts, stops = torch.tensor(ends, device=device).T.contiguous()
    owner = torch.searchsorted(stops, needs, right=True)
    wanted = torch.bincount(owner, minlength=parts)
    table = _gather(wanted, group)  # [who needs, who has]
    moved = int(table.sum() - table.diagonal().sum())
    each, own = int((stops - starts).max()), int(stops[axes.part] - starts[axes.part])
    counted = moved, parts * (parts - 1) * each
    if halo is False or (halo == "auto" and moved > _HALO_PAYS * counted[1]):
        return Gather(group, each, own, owner * each + needs - starts[owner]), counted
    sent_to = table[:, axes.part].tolist()
    asked = needs.new_empty(sum(sent_to))
    # `needs` are in order, so that those of the first owner come first.
    dist.all_to_all_single(asked, needs, sent_to, wanted.tolist(), group=group)
    sent = asked - starts[axes.part]
    return Exchange(group, own, sent, sent_to, None, wanted.tolist(), len(needs)), counted


def _gather(numbers: Tensor, group: Any) -> Tensor:  # (number,) -> (parts, number)
    """Return the numbers of all processes, a row each."""
    return gathered(numbers, len(numbers), group).view(-1, len(numbers))
