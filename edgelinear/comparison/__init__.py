"""What a layer costs on each backend and as a dense layer: measured, and said in a sentence."""

from edgelinear.comparison.result import Comparison
from edgelinear.comparison.rows import Row
from edgelinear.comparison.run import compare

__all__ = ["Comparison", "Row", "compare"]
