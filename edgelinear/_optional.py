"""Packages of extras, which are imported where they are used."""

import importlib
from collections.abc import Iterable
from typing import Any


def import_optional(package: str, extra: str = "graph") -> Any:
    """Return a package of an extra."""
    try:
        return importlib.import_module(package)
    except ImportError:
        name = package.split(".")[0]
        raise ImportError(f"this needs {name}: pip install 'edgelinear[{extra}]'.") from None


def with_bar(
    items: list, description: str, *, shown: bool, done: int = 0, transient: bool = False
) -> Iterable:
    """Return items, with a bar that goes on with them where it is to be shown and rich is there.

    `done` are items that are behind it already.
    """
    if not shown or not items:
        return items
    try:
        from rich.progress import track
    except ImportError:
        return items
    total = done + len(items)
    return track(items, description=description, total=total, completed=done, transient=transient)
