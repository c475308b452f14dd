"""Layers and networks whose edges change while they are trained."""

from edgelinear.rewiring.rewire import rewire

__all__ = ["rewire"]
