"""`Share`: the part of a wiring that one of many processes holds."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Share:
    """Some successive edges of a wiring in (target, source) order.

    They are those that `torch.chunk` gives to this part, as DTensor shards a weight.
    """

    in_features: int
    out_features: int
    num_edges: int  # of the whole wiring
    part: int
    parts: int
    edge_index: Tensor  # (2, number) int64: row 0 the source, row 1 the target

    @property
    def start(self) -> int:
        """The position of the first edge among all."""
        return bounds(self.num_edges, self.parts, self.part)[0]

    def __repr__(self) -> str:
        start, stop = bounds(self.num_edges, self.parts, self.part)
        return (
            f"Share(part={self.part} of {self.parts}, edges={start}..{stop} of {self.num_edges}, "
            f"in_features={self.in_features}, out_features={self.out_features})"
        )


def bounds(size: int, parts: int, part: int) -> tuple[int, int]:
    """Return where a part begins and ends, as `torch.chunk` cuts and DTensor shards."""
    each = -(-size // parts)
    return min(part * each, size), min((part + 1) * each, size)
