"""The functional form of the layer."""

from edgelinear.functional.linear import edge_linear

__all__ = ["edge_linear"]
