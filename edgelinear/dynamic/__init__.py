"""Schedules that change the wiring of a model while it is trained: drop edges, and grow others.

`SET` grows them at random, `RigL` where the gradient is largest, and `Prune` grows none. All stand
on `rewire`: values, optimizer state, signs and names go with their edges.
"""

from edgelinear.dynamic.prune import Prune
from edgelinear.dynamic.rigl import RigL
from edgelinear.dynamic.schedule import Schedule, Update
from edgelinear.dynamic.set import SET

__all__ = ["SET", "Prune", "RigL", "Schedule", "Update"]
