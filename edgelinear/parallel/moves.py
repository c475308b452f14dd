"""What moves between processes: linear maps of rows, each with its transpose.

A move takes (rows, batch) of each process to (other rows, batch). Its gradient is its transpose, and
that of the transpose the move itself, so that derivatives of every order follow.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class Move:
    """A linear map of the rows of all processes of a group."""

    T: "Move"

    def __call__(self, x: Tensor) -> Tensor:  # (rows, batch) -> (rows, batch)
        return _Moved.apply(x, self)

    def run(self, x: Tensor) -> Tensor:
        """Move these rows, without a graph."""
        raise NotImplementedError


class _Moved(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, move: Move) -> Tensor:
        return move.run(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        ctx.move = inputs[1]

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple:
        return ctx.move.T(grads[0]), None

    @staticmethod
    def jvp(ctx: Any, tangent: Any, _: Any) -> Any:
        return ctx.move(tangent)


@dataclass(frozen=True, eq=False)
class Exchange(Move):
    """Rows go from one process to others, and are added up where they arrive, in order of ranks."""

    group: Any
    rows: int  # of what comes out
    sent: Tensor  # rows that go out, those for the first rank first
    sent_to: list[int]  # how many for each rank
    received: Tensor  # where each row that comes in is added
    received_from: list[int]
    width: int  # rows of what goes in

    @cached_property
    def T(self) -> "Exchange":  # type: ignore[override]
        back = replace(
            self,
            rows=self.width,
            sent=self.received,
            sent_to=self.received_from,
            received=self.sent,
            received_from=self.sent_to,
            width=self.rows,
        )
        back.__dict__["T"] = self
        return back

    def run(self, x: Tensor) -> Tensor:
        came = x.new_empty(len(self.received), *x.shape[1:])
        out = x.index_select(0, self.sent)
        dist.all_to_all_single(came, out, self.received_from, self.sent_to, group=self.group)
        return add_rows(came, self.received, self.rows)


@dataclass(frozen=True, eq=False)
class Selection(Move):
    """Rows of what every process has in full: nothing moves, but back."""

    group: Any
    rows: Tensor  # those that are taken here
    size: int  # of all rows

    @cached_property
    def T(self) -> "Sum":  # type: ignore[override]
        back = Sum(self.group, self.rows, self.size)
        back.__dict__["T"] = self
        return back

    def run(self, x: Tensor) -> Tensor:
        return x.index_select(0, self.rows)


@dataclass(frozen=True, eq=False)
class Sum(Move):
    """Rows that processes have some of each are added up, in full everywhere."""

    group: Any
    rows: Tensor  # where those here are added
    size: int

    @cached_property
    def T(self) -> "Selection":  # type: ignore[override]
        back = Selection(self.group, self.rows, self.size)
        back.__dict__["T"] = self
        return back

    def run(self, x: Tensor) -> Tensor:
        total = add_rows(x, self.rows, self.size)
        dist.all_reduce(total, group=self.group)
        return total


def add_rows(rows: Tensor, at: Tensor, size: int) -> Tensor:
    """Return `size` rows, to which these are added; half types are summed in float32."""
    wide = torch.promote_types(rows.dtype, torch.float32)
    total = torch.zeros(size, *rows.shape[1:], dtype=wide, device=rows.device)
    return total.index_add_(0, at, rows.to(wide)).to(rows.dtype)


def chunk(size: int, parts: int, part: int) -> tuple[int, int]:
    """Return the range of a part, as `torch.chunk` cuts and DTensor shards."""
    each = -(-size // parts)
    return min(part * each, size), min((part + 1) * each, size)


def fetch(needs: Tensor, size: int, group: Any) -> Exchange:
    """Return the move from rows in chunks over all ranks to those that each needs, (number,).

    All ranks of the group call it together.
    """
    parts, rank = dist.get_world_size(group), dist.get_rank(group)
    start, stop = chunk(size, parts, rank)
    each = max(1, -(-size // parts))
    order = torch.argsort(needs // each, stable=True)
    wanted = torch.bincount(needs // each, minlength=parts).tolist()
    asked = exchange_counts(wanted, group)
    ids = needs.new_empty(sum(asked))
    dist.all_to_all_single(ids, needs[order].contiguous(), asked, wanted, group=group)
    return Exchange(group, len(needs), ids - start, asked, order, wanted, stop - start)


def exchange_counts(counts: list[int], group: Any) -> list[int]:
    """Send one number to each rank, and return those that come in."""
    came = torch.empty(len(counts), dtype=torch.int64)
    dist.all_to_all_single(came, torch.tensor(counts), group=group)
    return came.tolist()
