"""The contenders: each a function from a problem to a step, which returns y, dx and dw.

`forward` of the step alone returns y. A peer that cannot hold a problem returns None.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor


class Step(NamedTuple):
    forward: Callable[[], Tensor]  # () -> (batch, out_features)
    step: Callable[[], tuple[Tensor, Tensor, Tensor]]  # () -> y, dx, dw (in edge order)
