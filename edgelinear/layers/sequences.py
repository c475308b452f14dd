"""Sequences in parts: from checkpoint to checkpoint, and as long as the same ones go on."""

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence
from torch.utils.checkpoint import checkpoint

# From (batch, time, in_features), a state, and which sequences still go on, (batch, time), or None
# where all do, to (batch, time, out_features) and the next state.
Advance = Callable[[Tensor, Tensor | None, Tensor | None], tuple[Tensor, Tensor]]


def in_parts(
    advance: Advance,
    x: Tensor,  # (batch, time, in_features)
    state: Tensor | None,
    starts: Iterable[int],
    is_checkpoint: bool,  # whether parts are to be computed again in the backward pass
    going: Tensor | None = None,  # (batch, time)
) -> tuple[Tensor, Tensor]:
    """Return what `advance` gives for the parts of a sequence, one after the other."""
    outputs = []
    for start, stop in pairwise([*starts, x.shape[1]]):
        part = x[:, start:stop], state, None if going is None else going[:, start:stop]
        if is_checkpoint and torch.is_grad_enabled():
            y, state = checkpoint(advance, *part, use_reentrant=False)
        else:
            y, state = advance(*part)
        outputs.append(y)
    assert state is not None
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs, 1), state


def as_lengths(lengths: Any, batch: torch.Size) -> Tensor:
    """Return the lengths of sequences, one for each of the batch.

    Raises:
        TypeError: if they are no whole numbers.
        ValueError: if they are not as many as sequences.
    """
    try:
        given = torch.as_tensor(lengths)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"`lengths` must be whole numbers, got {lengths!r}.") from error
    given = given if given.numel() else given.long()  # an empty list is one of floats to torch
    if given.is_floating_point() or given.is_complex() or given.dtype == torch.bool:
        raise TypeError(f"`lengths` must be whole numbers, got {given.dtype}.")
    if given.shape != batch:
        raise ValueError(
            f"`lengths` must have shape {tuple(batch)}, one for each sequence, "
            f"got {tuple(given.shape)}."
        )
    return given.reshape(-1)


class Masked(NamedTuple):
    """Sequences whose lengths cannot be read, as where a compiler traces: all take every step."""

    lengths: Tensor  # (batch,)

    def run(
        self,
        advance: Advance,
        x: Tensor,  # (batch, time, in_features)
        state: Tensor | None,
        checkpoint_every: int | None,
    ) -> tuple[Tensor, Tensor]:
        """Return outputs, 0 beyond the ends of sequences, and the states at these."""
        time = x.shape[1]
        going = torch.arange(time, device=x.device) < self.lengths.to(x.device)[:, None]
        x = torch.where(going[:, :, None], x, 0.0)  # what follows a sequence may be NaN
        starts = range(0, time, checkpoint_every or time)
        y, state = in_parts(advance, x, state, starts, checkpoint_every is not None, going)
        return torch.where(going[:, :, None], y, 0.0), state


class Ragged(NamedTuple):
    """Sequences from the longest to the shortest: which they are, and where each one is then."""

    lengths: list[int]  # the longest first
    order: Tensor  # (batch,)
    place: Tensor  # (batch,)

    @classmethod
    def of(cls, given: Tensor, time: int, device: torch.device) -> "Ragged":
        """Read lengths.

        Raises:
            ValueError: if one is not from 1 to `time`.
        """
        given = given.detach().cpu()
        wrong = (given < 1) | (given > time)
        if wrong.any():
            at = int(wrong.nonzero()[0])
            raise ValueError(
                f"`lengths` must be from 1 to {time}, as the input has {time} steps, "
                f"got {int(given[at])} for sequence {at}."
            )
        order = torch.argsort(given, descending=True, stable=True)
        return cls(given[order].tolist(), order.to(device), torch.argsort(order).to(device))

    def run(
        self,
        advance: Advance,
        x: Tensor,  # (batch, time, in_features)
        state: Tensor | None,
        checkpoint_every: int | None,
    ) -> tuple[Tensor, Tensor]:
        """Return outputs, 0 beyond the ends of sequences, and the states at these."""
        if not self.lengths:
            return advance(x, state, None)
        x = x.index_select(0, self.order)
        state = None if state is None else state.index_select(0, self.order)
        batch, time, _ = x.shape
        outputs, ended, start = [], [], 0
        for stop in sorted({*self.lengths}):
            going = sum(length >= stop for length in self.lengths)
            if state is not None and going < len(state):
                ended.append(state[going:])
                state = state[:going]
            starts = range(0, stop - start, checkpoint_every or stop)
            part = x[:going, start:stop]
            y, state = in_parts(advance, part, state, starts, checkpoint_every is not None)
            outputs.append(F.pad(y, (0, 0, 0, 0, 0, batch - going)))
            start = stop
        assert state is not None
        outputs.append(outputs[0].new_zeros(batch, time - start, outputs[0].shape[2]))
        last = torch.cat([state, *reversed(ended)])
        return torch.cat(outputs, 1).index_select(0, self.place), last.index_select(0, self.place)


def unpack(packed: PackedSequence) -> tuple[Tensor, Tensor]:
    """Return (batch, time, features) and lengths, in the order of a packed sequence."""
    return pad_packed_sequence(PackedSequence(packed.data, packed.batch_sizes), batch_first=True)


def pack(y: Tensor, lengths: Tensor, like: PackedSequence) -> PackedSequence:
    """Return the reverse of `unpack`, with the indices of another packed sequence."""
    data = pack_padded_sequence(y, lengths, batch_first=True).data
    indices = like.sorted_indices, like.unsorted_indices
    return PackedSequence(data, like.batch_sizes, *indices)
