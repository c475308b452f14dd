"""A wiring to look at: its matrix, partners of nodes, paths, and what differs from another one."""

from typing import TYPE_CHECKING, Any

from edgelinear._optional import import_optional
from edgelinear.viewer.opening import view

if TYPE_CHECKING:
    from edgelinear.viewer.widget import View

__all__ = ["View", "view"]


def __getattr__(name: str) -> Any:
    if name != "View":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import_optional("anywidget", "view")
    from edgelinear.viewer.widget import View

    return View
