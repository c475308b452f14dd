"""The table of a comparison, plain and coloured."""

import contextlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgelinear.comparison.rows import Row
from edgelinear.comparison.units import ms, short, size

if TYPE_CHECKING:
    import rich.table

HEADERS = (
    ("", "contender"),
    ("", "params"),
    ("forward", "ms"),
    ("step", "ms"),
    ("step", "quartiles"),
    ("", "saved"),
    ("", "peak"),
    ("error:", "output"),
    ("", "input"),
    ("", "weight"),
)
LEGEND = (
    "step: forward and gradients; saved: bytes kept for backward; peak: memory of one step above "
    "what was there; error: the largest, of output and gradients, against float64"
)


def plain(rows: Sequence[Row]) -> list[str]:
    """Return the lines of an aligned table."""
    return aligned([*zip(*HEADERS, strict=True), *map(_cells, rows)])


def coloured(rows: Sequence[Row], title: str, caption: str) -> "rich.table.Table":
    """Return the same as a rich table, the fastest step in bold."""
    fastest = min(rows, key=lambda row: row.step_ms, default=None)
    styles = ["red" if not row.agrees else "bold green" if row is fastest else None for row in rows]
    return drawn(HEADERS, [*map(_cells, rows)], styles, title, caption)


def aligned(table: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> list[str]:
    """Return lines whose cells stand below each other, to the left in these columns."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = []
    for line in table:
        cells = [
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def drawn(
    headers: Sequence[tuple[str, str]],
    cells: Sequence[Sequence[str]],
    styles: Sequence[str | None],  # of the rows
    title: str,
    caption: str,
    left: Sequence[int] = (0,),
) -> "rich.table.Table":
    """Return the same as a rich table."""
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text(title),
        caption=Text(caption),
        caption_justify="left",
        title_justify="left",
        box=None,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for i, (upper, lower) in enumerate(headers):
        header = Text(f"{upper}\n{lower}", style="bold")
        table.add_column(header, justify="left" if i in left else "right", no_wrap=i == 0)
    for row, style in zip(cells, styles, strict=True):
        table.add_row(*map(Text, row), style=style)
    return table


def show(report: object) -> None:
    """Print a report, coloured where the output is a terminal and rich is installed."""
    if sys.stdout.isatty():
        with contextlib.suppress(ImportError):
            import rich

            return rich.print(report)
    print(report)


def _cells(row: Row) -> tuple[str, ...]:
    errors = (row.output_error, row.input_grad_error, row.weight_grad_error)
    return (
        row.name if row.agrees else f"{row.name} (!)",
        short(row.parameters),
        ms(row.forward_ms),
        ms(row.step_ms),
        f"{ms(row.step_ms_low)}-{ms(row.step_ms_high)}",
        size(row.saved_bytes),
        "-" if row.peak_bytes is None else size(row.peak_bytes),
        *(f"{error:.0e}" for error in errors),
    )
