"""The command line: `edgelinear demo`, `compare` and `info`."""

from edgelinear.cli.commands import run

__all__ = ["run"]
