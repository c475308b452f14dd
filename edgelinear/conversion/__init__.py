"""Whole models from dense layers to sparse ones, and back."""

from edgelinear.conversion.densify import densify
from edgelinear.conversion.report import SparsifyReport
from edgelinear.conversion.rows import LayerReport
from edgelinear.conversion.sparsify import sparsify

__all__ = ["LayerReport", "SparsifyReport", "densify", "sparsify"]
