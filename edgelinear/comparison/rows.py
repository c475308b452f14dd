"""What is measured of one contender."""

import math
from dataclasses import dataclass

from edgelinear.comparison.contenders import COMPOSED, DENSE
from edgelinear.comparison.measure import hold_still


@dataclass(frozen=True)
class Row:
    """What `compare` measured of one contender: a backend, or what it is instead of.

    Times are medians in milliseconds with their lower and upper quartiles, and the least of all
    rounds; memory is in bytes, and errors are the largest absolute differences from float64.

    Example:
        >>> comparison = el.compare(el.EdgeLinear(3, 2, [(0, 0), (2, 1)]), backends="reference")
        >>> row = comparison.rows[0]
        >>> row.name, row.parameters, row.agrees, row.step_ms_low <= row.step_ms
        ('reference', 4, True, True)
    """

    name: str
    parameters: int
    output_error: float
    input_grad_error: float
    weight_grad_error: float
    agrees: bool  #: whether rounding explains the errors
    forward_ms: float  #: without gradients
    forward_ms_low: float
    forward_ms_high: float
    step_ms: float  #: forward, and the gradients of input, weight and bias
    step_ms_low: float
    step_ms_high: float
    saved_bytes: int  #: kept for backward beside parameters and indices
    peak_bytes: int | None  #: of one step, above what was there before it
    forward_ms_min: float = math.nan
    step_ms_min: float = math.nan
    rounds: int | None = None  #: that the times of steps are from
    disturbed: float = 0.0  #: the share of them in which threads waited for a processor

    @property
    def is_dense(self) -> bool:
        """Whether it is a dense layer, or made of such."""
        return self.name in DENSE

    @property
    def is_composed(self) -> bool:
        """Whether it is a network made of an EdgeLinear for each level, or a loop over one."""
        return self.name == COMPOSED

    @property
    def is_steady(self) -> bool:
        """Whether the times of steps held still, so that a verdict can be founded on them."""
        least = self.step_ms_low if math.isnan(self.step_ms_min) else self.step_ms_min
        return self.rounds != 1 and hold_still(least, self.step_ms_high, self.disturbed)

    def is_level_with(self, other: "Row") -> bool:
        """Whether two steps are too close to tell apart: quartiles overlap, medians are near."""
        overlap = self.step_ms_low <= other.step_ms_high and other.step_ms_low <= self.step_ms_high
        return overlap and 0.8 < self.step_ms / other.step_ms < 1.25
