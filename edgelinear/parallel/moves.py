"""What moves between processes: linear maps of rows, each with its transpose.

A move takes (rows, batch) of each process to (other rows, batch). Its gradient is its transpose,
and that of the transpose is the move, so that derivatives of every order follow. Rows that meet are
added in the order of ranks, in float32 at least: bits are the same from run to run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from edgelinear.topology.digests import all_gather


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
    sent: Tensor | None  # which of them go out, by rank; None for all in their order
    sent_to: list[int]  # how many to each rank
    received: Tensor | None  # where rows that come in are added; None where each is one that is due
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
        out = x if self.sent is None else x.index_select(0, self.sent)
        came = x.new_empty(sum(self.received_from), *x.shape[1:])
        dist.all_to_all_single(came, out, self.received_from, self.sent_to, group=self.group)
        if self.received is None:
            return came
        each = self.received_from
        return added(came.split(each), self.received.split(each), self.into).to(x.dtype)


@dataclass(frozen=True, eq=False)
class Gather(Move):
    """Every process gets the rows of all, each padded to as many, and takes some."""

    group: Any
    each: int  # rows that come of each process
    own: int  # rows of this one
    taken: Tensor
    kind = "all-gather"

    @property
    def comes_in(self) -> int:
        return self.each * (dist.get_world_size(self.group) - 1)

    goes_out = comes_in

    @cached_property
    def T(self) -> Move:
        return self._and(Scatter(self.group, self.each, self.own, self.taken))

    def run(self, x: Tensor) -> Tensor:
        return gathered(x, self.each, self.group).index_select(0, self.taken)


@dataclass(frozen=True, eq=False)
class Scatter(Move):
    """The transpose of `Gather`: every process has some of all rows, added up where they lie."""

    group: Any
    each: int
    own: int
    given: Tensor
    kind = "reduce-scatter"

    @property
    def comes_in(self) -> int:
        return self.each * (dist.get_world_size(self.group) - 1)

    goes_out = comes_in

    def run(self, x: Tensor) -> Tensor:
        parts = dist.get_world_size(self.group)
        whole = added([x], [self.given], parts * self.each).to(x.dtype)
        came = torch.empty_like(whole)
        dist.all_to_all_single(came, whole, group=self.group)
        return add_in_order(came.view(parts, self.each, *x.shape[1:]))[: self.own]


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
    """The transpose of `Select`: every process has some of all rows, added up and given to all."""

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
        if self.of_all is None:
            return 2 * (parts - 1) * -(-self.size // parts)
        return (parts - 1) * max(1, *map(len, self.of_all))

    goes_out = comes_in

    def run(self, x: Tensor) -> Tensor:
        if self.of_all is None:
            return self._reduced(x).to(x.dtype)
        most = max(1, *map(len, self.of_all))
        parts = gathered(x, most, self.group).split(most)
        rows = [part[: len(at)] for part, at in zip(parts, self.of_all, strict=True)]
        return added(rows, self.of_all, self.size).to(x.dtype)

    def _reduced(self, x: Tensor) -> Tensor:
        """Return the sum as an all-reduce moves it, which would have an order of its own."""
        parts = dist.get_world_size(self.group)
        each = -(-self.size // parts)
        whole = added([x], [self.given], parts * each)
        came = torch.empty_like(whole)
        dist.all_to_all_single(came, whole, group=self.group)
        total = add_in_order(came.view(parts, each, *x.shape[1:]))
        return gathered(total, each, self.group)[: self.size]


def gathered(rows: Tensor, most: int, group: Any) -> Tensor:
    """Return the rows of all ranks, each padded to the same number."""
    padded = rows.new_zeros(most, *rows.shape[1:])
    padded[: len(rows)] = rows
    whole = rows.new_empty(dist.get_world_size(group) * most, *rows.shape[1:])
    all_gather(whole, padded, group)
    return whole


def added(parts: Sequence[Tensor], at: Sequence[Tensor], size: int) -> Tensor:
    """Return `size` rows of zeros, to which those of each part are added, in float32 at least.

    One part after the other, so that no row is added to twice at once: atomics have no order.
    """
    wide = torch.promote_types(parts[0].dtype, torch.float32)
    total = parts[0].new_zeros(size, *parts[0].shape[1:], dtype=wide)
    for rows, places in zip(parts, at, strict=True):
        if len(places):
            total.index_add_(0, places, rows.to(wide))
    return total


def add_in_order(parts: Tensor) -> Tensor:  # (parts, rows, batch) -> (rows, batch)
    """Return the sum of all parts, by rank."""
    total = parts[0].to(torch.promote_types(parts.dtype, torch.float32))
    for rows in parts[1:]:
        total = total + rows
    return total.to(parts.dtype)
