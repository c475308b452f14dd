"""The table of a comparison, plain and coloured."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgelinear.comparison.rows import Row
from edgelinear.comparison.units import ms, short, size

if TYPE_CHECKING:
    import rich.table

Headers = Sequence[tuple[str, str]]  # two lines of each

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
    return aligned(HEADERS, list(map(_cells, rows)))


def coloured(rows: Sequence[Row], title: str, caption: str) -> "rich.table.Table":
    """Return the same as a rich table, the fastest step in bold."""
    fastest = min(rows, key=lambda row: row.step_ms, default=None)
    styled = [
        (_cells(row), "red" if not row.agrees else "bold green" if row is fastest else None)
        for row in rows
    ]
    return coloured_table(HEADERS, styled, title, caption)


def aligned(headers: Headers, rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table, its first column on the left and the others on the right."""
    upper, lower = zip(*headers, strict=True)
    table = [upper, lower, *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = []
    for line in table:
        first, *rest = (
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        lines.append("  ".join([first, *rest]).rstrip())
    return lines


def coloured_table(
    headers: Headers,
    rows: Sequence[tuple[Sequence[str], str | None]],  # cells and the style of each row
    title: str,
    caption: str,
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
        table.add_column(header, justify="right" if i else "left", no_wrap=i == 0)
    for cells, style in rows:
        table.add_row(*map(Text, cells), style=style)
    return table


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
