"""Packages of extras, which are imported where they are used."""

import importlib
from typing import Any


def import_optional(package: str, extra: str = "graph") -> Any:
    """Return a package of an extra."""
    try:
        return importlib.import_module(package)
    except ImportError:
        name = package.split(".")[0]
        raise ImportError(f"this needs {name}: pip install 'edgelinear[{extra}]'.") from None
