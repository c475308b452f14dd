"""What moves between processes: linear maps of rows, each with its transpose.

A move takes (rows, batch) of each process to (other rows, batch). Its gradient is its transpose,
and that of the transpose is the move, so that derivatives of every order follow. Rows that meet are
added in the order of ranks, in float32 at least: bits are the same from run to run.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from edgelinear.topology.shares import bounds


class Move:
    """A linear map of the rows of all processes of a group."""

    T: Any  # its transpose, whose transpose it is
    kind: str  # as it is called in messages

    @property
    def comes_in(self) -> int:
        """How many rows come here from other processes."""
        return 0

    @property
    def goes_out(self) -> int:
        """How many rows go from here to other processes, each counted as often as it goes."""
        return 0

    def __call__(self, x: Tensor) -> Tensor:  # (rows, batch) -> (rows, batch)
        return _Moved.apply(x, self)

    def run(self, x: Tensor) -> Tensor:
        """Move these rows, without a graph."""
        raise NotImplementedError

    def to(self, device: torch.device) -> "Move":
        """Return this move with its indices on `device`."""
        raise NotImplementedError

    def _and(self, transpose: "Move") -> "Move":
        transpose.__dict__["T"] = self
        return transpose


class _Moved(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, move: Move) -> Tensor:
        return move.run(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        ctx.move = inputs[1]

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple:
        return ctx.move.T(grads[0].contiguous()), None

    @staticmethod
    def jvp(ctx: Any, tangent: Any, _: Any) -> Any:
        return ctx.move(tangent)


@dataclass(frozen=True, eq=False)
class Exchange(Move):
    """Each process sends rows to others, and adds up those that it receives."""

    group: Any
    size: int  # rows of what goes in
    sent: Tensor  # which of them go out, those for the first rank first
    sent_to: list[int]  # how many to each rank
    received: Tensor  # where each row that comes in is added
    received_from: list[int]
    into: int  # rows of what comes out
    kind = "halo"

    @cached_property
    def T(self) -> Move:
        there = (self.group, self.into, self.received, self.received_from)
        return self._and(Exchange(*there, self.sent, self.sent_to, self.size))

    @property
    def comes_in(self) -> int:
        return sum(self.received_from) - self.received_from[dist.get_rank(self.group)]

    @property
    def goes_out(self) -> int:
        return sum(self.sent_to) - self.sent_to[dist.get_rank(self.group)]

    def run(self, x: Tensor) -> Tensor:
        out = x.index_select(0, self.sent)
        came = x.new_empty(len(self.received), *x.shape[1:])
        dist.all_to_all_single(came, out, self.received_from, self.sent_to, group=self.group)
        return added(came, self.received, self.into).to(x.dtype)


@dataclass(frozen=True, eq=False)
class Gather(Move):
    """Every process gets all rows, which lie in chunks over the processes, and takes some."""

    group: Any
    size: int  # of all rows
    taken: Tensor
    kind = "all-gather"

    @property
    def comes_in(self) -> int:
        return self.size - own(self.size, self.group)

    @property
    def goes_out(self) -> int:
        return own(self.size, self.group) * (dist.get_world_size(self.group) - 1)

    @cached_property
    def T(self) -> Move:
        return self._and(Scatter(self.group, self.size, self.taken))

    def run(self, x: Tensor) -> Tensor:
        each = -(-self.size // dist.get_world_size(self.group))
        return gathered(x, each, self.group).index_select(0, self.taken)


@dataclass(frozen=True, eq=False)
class Scatter(Move):
    """Every process has some of all rows, which are added up and left in chunks."""

    group: Any
    size: int
    given: Tensor
    kind = "reduce-scatter"

    @property
    def comes_in(self) -> int:
        return self.T.goes_out

    @property
    def goes_out(self) -> int:
        return self.T.comes_in

    @cached_property
    def T(self) -> Move:
        return self._and(Gather(self.group, self.size, self.given))

    def run(self, x: Tensor) -> Tensor:
        parts = dist.get_world_size(self.group)
        each = -(-self.size // parts)
        whole = added(x, self.given, parts * each).to(x.dtype)
        came = torch.empty_like(whole)
        dist.all_to_all_single(came, whole, group=self.group)
        rows = add_in_order(came.view(parts, each, *x.shape[1:]))
        return rows[: own(self.size, self.group)]


@dataclass(frozen=True, eq=False)
class Select(Move):
    """Every process has all rows, and takes some: nothing moves, but in the transpose."""

    group: Any
    size: int  # of all rows
    taken: Tensor
    of_all: list[Tensor] | None  # those of each rank, where their sum need not be of all rows
    kind = "nothing"

    @cached_property
    def T(self) -> Move:
        return self._and(Sum(self.group, self.size, self.taken, self.of_all))

    def run(self, x: Tensor) -> Tensor:
        return x.index_select(0, self.taken)


@dataclass(frozen=True, eq=False)
class Sum(Move):
    """Every process has some of all rows, which are added up and given to all."""

    group: Any
    size: int
    given: Tensor
    of_all: list[Tensor] | None

    @property
    def kind(self) -> str:  # type: ignore[override]
        return "all-reduce" if self.of_all is None else "all-gather"

    @property
    def comes_in(self) -> int:
        parts = dist.get_world_size(self.group)
        if self.of_all is None:  # as a ring does it
            return -(-2 * (parts - 1) * self.size // parts)
        return (parts - 1) * max(map(len, self.of_all))

    goes_out = comes_in

    @cached_property
    def T(self) -> Move:
        return self._and(Select(self.group, self.size, self.given, self.of_all))

    def run(self, x: Tensor) -> Tensor:
        if self.of_all is None:
            total = added(x, self.given, self.size)
            dist.all_reduce(total, group=self.group)
            return total.to(x.dtype)
        most = max(1, *map(len, self.of_all))
        whole = gathered(x, most, self.group)
        wide = torch.promote_types(x.dtype, torch.float32)
        total = x.new_zeros(self.size, *x.shape[1:], dtype=wide)
        for rows, at in zip(whole.split(most), self.of_all, strict=True):
            total.index_add_(0, at, rows[: len(at)].to(total.dtype))
        return total.to(x.dtype)


def own(size: int, group: Any) -> int:
    """Return how many of the rows are of this process, where they lie in chunks."""
    start, stop = bounds(size, dist.get_world_size(group), dist.get_rank(group))
    return stop - start


def gathered(rows: Tensor, most: int, group: Any) -> Tensor:
    """Return the rows of all ranks, each padded to the same number."""
    padded = rows.new_zeros(most, *rows.shape[1:])
    padded[: len(rows)] = rows
    whole = rows.new_empty(dist.get_world_size(group) * most, *rows.shape[1:])
    dist.all_gather_into_tensor(whole, padded, group=group)
    return whole


def added(rows: Tensor, at: Tensor, size: int) -> Tensor:
    """Return `size` rows of zeros, to which these are added, in float32 at least."""
    wide = torch.promote_types(rows.dtype, torch.float32)
    total = torch.zeros(size, *rows.shape[1:], dtype=wide, device=rows.device)
    return total.index_add_(0, at, rows.to(wide))


def add_in_order(parts: Tensor) -> Tensor:  # (parts, rows, batch) -> (rows, batch)
    total = parts[0].to(torch.promote_types(parts.dtype, torch.float32))
    for rows in parts[1:]:
        total = total + rows
    return total.to(parts.dtype)
