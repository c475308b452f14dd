"""`Comparison`: what `compare` found, as a table, as values and in a sentence."""

import csv
import io
import math
import os
import textwrap
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgelinear.comparison import tables, verdict
from edgelinear.comparison.contenders import COMPOSED_MASKED, MASKED
from edgelinear.comparison.machine import place
from edgelinear.comparison.rows import Row

if TYPE_CHECKING:
    import rich.table


@dataclass(frozen=True)
class Comparison:
    """What `compare` found: `print` gives a plain table, `show` a coloured one in a terminal.

    Example:
        >>> comparison = el.compare(el.EdgeLinear(3, 2, [(0, 0), (2, 1)]), backends="reference")
        >>> comparison.fastest.name
        'reference'
        >>> comparison.title
        '3 -> 2, 2 edges (33.333%), batch 64, float32'
    """

    in_features: int
    out_features: int
    num_edges: int
    batch_size: int
    dtype: str
    machine: dict[str, Any]  #: torch, threads, device
    rows: list[Row]
    left_out: dict[str, str] = field(default_factory=dict)  #: contender: why it was not measured
    graph: str = ""  #: a network in words

    @property
    def fastest(self) -> Row | None:
        """The fastest backend of those whose results agree, by its step; None without any."""
        return verdict.fastest_backend(self.rows)

    @property
    def dense_is_better(self) -> bool:
        """Whether `MaskedLinear`, or a network made of such, is clearly the faster choice here."""
        return any(verdict.is_faster(self.rows, name) for name in (MASKED, COMPOSED_MASKED))

    @property
    def sentence(self) -> str:
        """Which is fastest here, and whether a dense layer would be the better choice."""
        return verdict.sentence(self.rows, self.left_out)

    @property
    def title(self) -> str:
        """The problem in one line."""
        rest = f"batch {self.batch_size}, {self.dtype}"
        if self.graph:
            return f"{self.graph}, {rest}"
        density = self.num_edges / max(1, self.in_features * self.out_features)
        return (
            f"{self.in_features:,} -> {self.out_features:,}, {self.num_edges:,} edges "
            f"({density:.3%}), {rest}"
        )

    @property
    def place(self) -> str:
        """Where it was measured, in one line."""
        return place(self.machine)

    @property
    def _notes(self) -> list[str]:
        reasons: dict[str, list[str]] = {}
        for name, reason in self.left_out.items():
            reasons.setdefault(reason, []).append(name)
        missing = [f"not measured: {', '.join(names)}: {why}" for why, names in reasons.items()]
        disturbed = [row.name for row in self.rows if row.forward_ms > row.step_ms]
        doubt = (
            f"the machine was busy: for {', '.join(disturbed)} the forward alone took longer than "
            "the step that holds it. Measure again."
        )
        return [tables.LEGEND, *missing, self.sentence, *([doubt] if disturbed else [])]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, as `json.dumps` takes them: a NaN becomes None."""
        record = {**asdict(self), "sentence": self.sentence}
        for row in record["rows"]:
            for key, value in row.items():
                if isinstance(value, float) and not math.isfinite(value):
                    row[key] = None
        return record

    def to_csv(self, path: str | os.PathLike[str] | None = None) -> str:
        """Return a line a contender, with the problem and the machine; write it to `path` too."""
        problem = {
            name: getattr(self, name)
            for name in ("in_features", "out_features", "num_edges", "batch_size", "dtype")
        }
        text = io.StringIO()
        columns = [f.name for f in fields(Row)] + [*problem, *self.machine]
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({**asdict(row), **problem, **self.machine} for row in self.rows)
        if path is not None:
            Path(path).write_text(text.getvalue(), encoding="utf-8", newline="\n")
        return text.getvalue()

    def __str__(self) -> str:
        notes = [line for note in self._notes for line in textwrap.wrap(note, 88)]
        return "\n".join([self.title, self.place, "", *tables.plain(self.rows), "", *notes])

    def __rich__(self) -> "rich.table.Table":
        return tables.coloured(self.rows, self.title, "\n".join([self.place, *self._notes]))

    def show(self) -> None:
        """Print the table, coloured where the output is a terminal and rich is installed."""
        tables.show(self)
