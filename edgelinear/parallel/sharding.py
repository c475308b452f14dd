"""`Sharding`: which edges a process holds of a layer, and what moves for it."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Partial, Placement, Replicate, Shard

from edgelinear.parallel.moves import Exchange, Gather, Move, Select, gathered
from edgelinear.topology import Topology
from edgelinear.topology.shares import Share, bounds

# Of what an all-gather moves, how much send lists may move at most: they copy rows besides.
_HALO_PAYS = 0.75


@dataclass(frozen=True, eq=False)
class Axes:
    """Which axes of a mesh share the edges, and which one shares the samples, if any does."""

    mesh: DeviceMesh
    data: int | None
    layouts: tuple[tuple[Placement, ...], tuple[Placement, ...]]  # of inputs and outputs, by axis
    group: Any  # of the processes that share the edges

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
        groups = [self.group] if self.data is None else [self.group, self.mesh.get_group(self.data)]
        for group in groups:
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
    inputs: Tensor  # which inputs these are
    targets: Tensor  # which targets: a range
    fan_in: Tensor  # of these targets, in the whole wiring
    bring: Move  # inputs to those here
    send: Move  # sums of the targets here to the outputs
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
        back = _fetch(targets, share.out_features, Shard(-1), axes, True)
        total = back.run(back.T.run(local.fan_in.double()[:, None]))[:, 0]
        bring = _fetch(inputs, share.in_features, into, axes, halo)
        send = _fetch(targets, share.out_features, out, axes, True).T
        return cls(axes, share, local, inputs, targets, total.long(), bring, send, use_local_output)

    @property
    def receives(self) -> int:
        """How many inputs come from other processes in a pass."""
        return self.bring.comes_in

    @property
    def sends(self) -> int:
        """How many sums go to other processes in a pass."""
        return self.send.goes_out

    def __deepcopy__(self, memo: dict) -> "Sharding":
        return self


def on_edges(axes: Axes, side: int) -> Placement:
    """Return the layout of inputs (0) or outputs (1) over the axes of edges."""
    return next(one for axis, one in enumerate(axes.layouts[side]) if axis != axes.data)


def _fetch(needs: Tensor, size: int, layout: Placement, axes: Axes, halo: Any) -> Move:
    """Return the move of all rows, laid out so over the processes, to those that are needed here.

    All processes call it together.
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
        return Select(group, size, needs, of_all)
    wanted = torch.bincount(needs // max(1, -(-size // parts)), minlength=parts)
    table = _gather(wanted, group)  # [who needs, who has]
    moved = int(table.sum() - table.diagonal().sum())
    if halo is False or (halo == "auto" and moved > _HALO_PAYS * (parts - 1) * size):
        return Gather(group, size, needs)
    start, stop = bounds(size, parts, axes.part)
    sent_to = table[:, axes.part].tolist()
    asked = needs.new_empty(sum(sent_to))
    # `needs` are in order, so that those of the first owner come first.
    dist.all_to_all_single(asked, needs, sent_to, wanted.tolist(), group=group)
    here = torch.arange(len(needs), device=device)
    return Exchange(group, stop - start, asked - start, sent_to, here, wanted.tolist(), len(needs))


def _gather(numbers: Tensor, group: Any) -> Tensor:  # (number,) -> (parts, number)
    """Return the numbers of all processes, a row each."""
    return gathered(numbers, len(numbers), group).view(-1, len(numbers))
