"""The entry of `edgelinear` and `python -m edgelinear`."""

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line, and return its exit code: 0, 2 for anything wrong, 130 after Ctrl-C."""
    try:
        try:
            import click  # noqa: F401
        except ImportError:
            needed = "the command line needs click: pip install 'edgelinear[cli]'"
            print(f"edgelinear: error: {needed}", file=sys.stderr)
            return 2
        from edgelinear import cli

        return cli.run(argv)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
