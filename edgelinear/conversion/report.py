"""`SparsifyReport`: what `sparsify` measured and did, as tables, as values and in a sentence."""

import math
import textwrap
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from torch import nn

from edgelinear.comparison import tables
from edgelinear.comparison.machine import place
from edgelinear.comparison.units import ms, size
from edgelinear.conversion.found import listed
from edgelinear.conversion.rows import HEADERS, LEFT, LayerReport, cells_of, ms_or_dash

if TYPE_CHECKING:
    import rich.table


@dataclass(frozen=True)
class SparsifyReport:
    """What `sparsify` did: `print` gives a plain table, `show` a coloured one in a terminal.

    Example:
        >>> model = nn.Sequential(nn.Linear(8, 8))
        >>> report = el.sparsify(model, torch.randn(4, 8), mode="inference", progress=False)
        >>> report.sentence
        'No layer was converted. Left as they are: 1 (less than 80% zeros).'
    """

    layers: list[LayerReport]
    mode: str
    bytes_before: int  #: of the whole model: parameters and buffers
    bytes_after: int  #: and wirings
    machine: dict[str, Any]  #: torch, threads, device
    others: dict[str, int]  #: modules with matrices that are no layers: how many of each kind
    ms_before: float = math.nan  #: of the whole model on the example, the least of all rounds
    ms_after: float = math.nan
    difference: float = math.nan  #: the largest of its outputs, before and after
    steady: bool = True  #: whether times held still, of layers and of the model
    model: nn.Module | None = field(default=None, repr=False, compare=False)

    @property
    def converted(self) -> list[LayerReport]:
        """The layers that became an `EdgeLinear`."""
        return [layer for layer in self.layers if layer.action == "converted"]

    @property
    def sentence(self) -> str:
        """What became of the model."""
        done, number = self.converted, len(self.layers)
        if not done and not math.isnan(self.ms_after):
            return (
                f"No layer was converted: with those that are faster alone, {self._times}. It is "
                "as it was."
            )
        if not done:
            return f"No layer was converted. Left as they are: {_reasons(self.layers)}."
        rest = [layer for layer in self.layers if layer.action == "left"]
        left = f" Left as they are: {_reasons(rest)}." if rest else ""
        return (
            f"{len(done)} of {number} layers {'was' if len(done) == 1 else 'were'} converted: "
            f"{self._times}, and its parameters, buffers and wirings {size(self.bytes_after)} "
            f"instead of {size(self.bytes_before)}.{left}"
        )

    @property
    def _times(self) -> str:
        what = "forward and gradients" if self.mode == "training" else "a forward"
        take = "take" if self.mode == "training" else "takes"
        factor = self.ms_before / self.ms_after
        how = f"{factor:.2f} times faster" if factor >= 1 else f"{1 / factor:.2f} times slower"
        return (
            f"{what} of the whole model {take} {ms(self.ms_after)} ms instead of "
            f"{ms(self.ms_before)}, {how}"
        )

    @property
    def title(self) -> str:
        """What was measured in one line."""
        what = "forward and gradients" if self.mode == "training" else "forward"
        number = len(self.layers)
        layers = "1 layer" if number == 1 else f"{number} layers"
        return f"{layers}, {what}, {place(self.machine)}"

    @property
    def _notes(self) -> list[str]:
        doubt = (
            "The machine was busy, and times did not hold still: measure again when it is idle, or "
            "with more `seconds`."
        )
        rest = f"Not looked at, as they are no nn.Linear: {listed(self.others)}."
        return [self.sentence, *([rest] if self.others else []), *([] if self.steady else [doubt])]

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the model as plain values, as `json.dumps` takes them.

        A NaN becomes None.
        """
        names = [name for name in self.__dataclass_fields__ if name not in ("layers", "model")]
        record = {name: getattr(self, name) for name in names}
        record = {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in record.items()
        }
        layers = [asdict(layer) for layer in self.layers]
        return {**record, "layers": layers, "sentence": self.sentence}

    def __str__(self) -> str:
        lines = tables.aligned([*zip(*HEADERS, strict=True), *self._cells], LEFT)
        notes = [line for note in self._notes for line in textwrap.wrap(note, 88)]
        return "\n".join([self.title, "", *lines, "", *notes])

    def __rich__(self) -> "rich.table.Table":
        styles = ["bold green" if x.action == "converted" else None for x in self.layers]
        notes = "\n".join(self._notes)
        return tables.drawn(HEADERS, self._cells, [*styles, "bold"], self.title, notes, LEFT)

    @property
    def _cells(self) -> list[tuple[str, ...]]:
        total = (
            "whole model",
            *("", ""),
            ms_or_dash(self.ms_before),
            ms_or_dash(self.ms_after),
            size(self.bytes_before),
            size(self.bytes_after),
            "" if math.isnan(self.difference) else f"outputs differ by {self.difference:.0e}",
        )
        return [*map(cells_of, self.layers), total]

    def show(self) -> None:
        """Print the table, coloured where the output is a terminal and rich is installed."""
        tables.show(self)


def _reasons(layers: Iterable[LayerReport]) -> str:
    """Return how many layers were left for each reason."""
    layers = [*layers]
    reasons: dict[str, int] = {}
    for layer in layers:
        reasons[layer.reason] = reasons.get(layer.reason, 0) + 1
    return ", ".join(f"{number} ({reason})" for reason, number in reasons.items())
