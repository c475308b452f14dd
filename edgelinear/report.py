"""How a `Comparison` reads: one sentence, a plain table, a coloured table."""

import textwrap
from typing import TYPE_CHECKING

from edgelinear.contenders import LINEAR, MASKED

if TYPE_CHECKING:
    import rich.table

    from edgelinear.comparison import Comparison, Row

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


def verdict(comparison: "Comparison") -> str:
    """Return one sentence: what is fastest here, and whether dense would be the better choice."""
    rows = {row.name: row for row in comparison.rows}
    wrong = [name for name, row in rows.items() if not row.agrees]
    note = ""
    if wrong:
        note = f" NOT EQUAL to the float64 reference beyond rounding: {', '.join(wrong)}."
    right = [row for row in rows.values() if row.agrees]
    sparse = [row for row in right if not row.is_dense]
    if not sparse:
        return f"No backend was measured whose results agree.{note}"
    best = min(sparse, key=lambda row: row.step_ms)
    start = f"{best.name} is the fastest backend here, at {ms(best.step_ms)} ms a training step"
    dense = {row.name: row for row in right if row.is_dense}
    if MASKED not in dense or LINEAR not in dense:
        reason = comparison.left_out.get(MASKED)
        return f"{start}{f'; {reason}' if reason else ''}.{note}"
    masked, linear = dense[MASKED], dense[LINEAR]
    if masked.step_ms < best.step_ms and not _level(masked, best):
        return (
            f"Dense is the faster choice here: a training step takes {ms(masked.step_ms)} ms as "
            f"{MASKED}, the same function to train, and {ms(linear.step_ms)} ms as {LINEAR}, "
            f"which would train the zeros too, where the fastest backend, {best.name}, takes "
            f"{ms(best.step_ms)} ms: {_compared(best, masked)} {MASKED}.{note}"
        )
    if linear.step_ms < best.step_ms and not _level(linear, best):
        return (
            f"{start}, {_compared(best, masked)} {MASKED}, the same function to train; "
            f"{LINEAR} takes {ms(linear.step_ms)} ms ({best.step_ms / linear.step_ms:.1f} times "
            f"faster), but would train the zeros too.{note}"
        )
    return (
        f"{start}: {_compared(best, masked)} {MASKED}, the same function to train, and "
        f"{_compared(best, linear)} {LINEAR}, which would train the zeros too.{note}"
    )


def _level(a: "Row", b: "Row") -> bool:
    """Return whether two times are too close to tell apart: quartiles overlap, medians are near."""
    overlap = a.step_ms_low <= b.step_ms_high and b.step_ms_low <= a.step_ms_high
    return overlap and 0.8 < a.step_ms / b.step_ms < 1.25


def _compared(ours: "Row", other: "Row") -> str:
    """Return how the first stands to the second, as "3.1 times faster than"."""
    if _level(ours, other):
        return "about as fast as"
    ratio = other.step_ms / ours.step_ms
    return f"{ratio:.1f} times faster than" if ratio > 1 else f"{1 / ratio:.1f} times slower than"


def cells(row: "Row") -> tuple[str, ...]:
    """Return the cells of a contender's line, as `HEADERS` names them."""
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


def title(comparison: "Comparison") -> str:
    """Return the problem in one line."""
    c = comparison
    density = c.num_edges / max(1, c.in_features * c.out_features)
    return (
        f"{c.in_features:,} -> {c.out_features:,}, {c.num_edges:,} edges ({density:.3%}), "
        f"batch {c.batch_size}, {c.dtype}"
    )


def machine(comparison: "Comparison") -> str:
    """Return where it was measured, in one line."""
    m = comparison.machine
    threads = "1 thread" if m["threads"] == 1 else f"{m['threads']} threads"
    return f"torch {m['torch']}, {threads}, {m['device']}"


def plain(comparison: "Comparison") -> str:
    """Return title, aligned table, what was left out, and the verdict."""
    upper, lower = zip(*HEADERS, strict=True)
    table = [upper, lower, *(cells(row) for row in comparison.rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [title(comparison), machine(comparison), ""]
    for line in table:
        first, *rest = (
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        lines.append("  ".join([first, *rest]).rstrip())
    notes = [part for note in _notes(comparison) for part in textwrap.wrap(note, 88)]
    return "\n".join([*lines, "", *notes])


def coloured(comparison: "Comparison") -> "rich.table.Table":
    """Return the same as a rich table, the fastest step in bold."""
    from rich.table import Table
    from rich.text import Text

    caption = "\n".join([machine(comparison), *_notes(comparison)])
    table = Table(
        title=Text(title(comparison)),
        caption=Text(caption),
        caption_justify="left",
        title_justify="left",
        box=None,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for i, (upper, lower) in enumerate(HEADERS):
        header = Text(f"{upper}\n{lower}", style="bold")
        table.add_column(header, justify="right" if i else "left", no_wrap=i == 0)
    fastest = min(comparison.rows, key=lambda row: row.step_ms, default=None)
    for row in comparison.rows:
        style = "red" if not row.agrees else "bold green" if row is fastest else None
        table.add_row(*map(Text, cells(row)), style=style)
    return table


def _notes(comparison: "Comparison") -> list[str]:
    reasons: dict[str, list[str]] = {}
    for name, reason in comparison.left_out.items():
        reasons.setdefault(reason, []).append(name)
    missing = [f"not measured: {', '.join(names)}: {why}" for why, names in reasons.items()]
    disturbed = [row.name for row in comparison.rows if row.forward_ms > row.step_ms]
    doubt = (
        f"the machine was busy: for {', '.join(disturbed)} the forward alone took longer than the "
        "step that holds it. Measure again."
    )
    return [LEGEND, *missing, comparison.sentence, *([doubt] if disturbed else [])]


def ms(value: float) -> str:
    """Return a time in three digits."""
    for digits, limit in ((3, 1), (2, 10), (1, 100)):
        if value < limit:
            return f"{value:.{digits}f}"
    return f"{value:.0f}"


def short(count: int) -> str:
    """Return a count in three digits and a letter: 46.9k."""
    value, unit = float(count), ""
    for larger in ("k", "M", "G", "T"):
        if value < 999.5:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f}{unit}" if not unit or value >= 99.5 else f"{value:.1f}{unit}"


def size(count: int) -> str:
    """Return a number of bytes as people read it: 1.5 MB is 1,500,000 bytes."""
    text = short(count)
    return f"{text} B" if text[-1].isdigit() else f"{text[:-1]} {text[-1]}B"
