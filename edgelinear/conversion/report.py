"""`SparsifyReport`: what `sparsify` measured and did, as tables, as values and in a sentence."""

import math
import textwrap
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from edgelinear.comparison import tables
from edgelinear.comparison.machine import place
from edgelinear.comparison.units import ms, size
from edgelinear.conversion.found import Found
from edgelinear.layers.module import EdgeModule

if TYPE_CHECKING:
    import rich.table

HEADERS = (
    ("", "module"),
    ("", "in -> out"),
    ("", "density"),
    ("ms", "before"),
    ("", "after"),
    ("memory", "before"),
    ("", "after"),
    ("", "what was done"),
)
LEFT = (0, len(HEADERS) - 1)  # columns of words


@dataclass(frozen=True)
class LayerReport:
    """What was measured of one layer, and done with it.

    Example:
        >>> model = nn.Sequential(nn.Linear(8, 8))
        >>> report = el.sparsify(model, torch.randn(4, 8), mode="inference", progress=False)
        >>> report.layers[0].name, report.layers[0].action, report.layers[0].reason
        ('0', 'left', 'less than 80% zeros')
    """

    name: str  # all of them, where it is used by several
    in_features: int
    out_features: int
    density: float | None  # None where the weight was not looked at
    calls: int  # in one forward of the model
    ms_before: float | None  # of all of these, the least of all rounds; None: not measured
    ms_after: float | None
    bytes_before: int  # parameters and masks
    bytes_after: int  # parameters and wiring
    action: str  # "converted" or "left"
    reason: str


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
    bytes_before: int  # of the whole model: parameters and buffers
    bytes_after: int  # and wirings
    machine: dict[str, Any]  # torch, threads, device
    ms_before: float = math.nan  # of the whole model on the example, the least of all rounds
    ms_after: float = math.nan
    difference: float = math.nan  # the largest of its outputs, before and after
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
            return f"No layer was converted. Left as they are: {_listed(self.layers)}."
        rest = [layer for layer in self.layers if layer.action == "left"]
        left = f" Left as they are: {_listed(rest)}." if rest else ""
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
        return f"{len(self.layers)} layers, {what}, {place(self.machine)}"

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
        return "\n".join([self.title, "", *lines, "", *textwrap.wrap(self.sentence, 88)])

    def __rich__(self) -> "rich.table.Table":
        styles = ["bold green" if x.action == "converted" else None for x in self.layers]
        return tables.drawn(
            HEADERS, self._cells, [*styles, "bold"], self.title, self.sentence, LEFT
        )

    @property
    def _cells(self) -> list[tuple[str, ...]]:
        total = (
            "whole model",
            *("", ""),
            _ms(self.ms_before),
            _ms(self.ms_after),
            size(self.bytes_before),
            size(self.bytes_after),
            "" if math.isnan(self.difference) else f"outputs differ by {self.difference:.0e}",
        )
        return [*map(cells_of, self.layers), total]

    def show(self) -> None:
        """Print the table, coloured where the output is a terminal and rich is installed."""
        tables.show(self)


def layer_report(entry: Found, bytes_before: int) -> LayerReport:
    """Return what is known of a layer, after everything was done."""
    linear, twin, times = entry.linear, entry.twin, entry.ms or (None, None)
    reason = entry.reason
    if twin is not None:
        reason = "as asked" if entry.ms is None else _factor(*entry.ms)
    elif entry.is_masked:
        reason += ", with a mask of torch's `prune`"
    return LayerReport(
        name=entry.name,
        in_features=linear.in_features,
        out_features=linear.out_features,
        density=entry.density,
        calls=sum(entry.calls.values()),
        ms_before=times[0],
        ms_after=times[1],
        bytes_before=bytes_before,
        bytes_after=bytes_of(linear if twin is None else twin),
        action="left" if twin is None else "converted",
        reason=reason,
    )


def bytes_of(module: nn.Module) -> int:
    """Return the memory of parameters, buffers and wirings, each once."""
    held: list[Tensor] = [*module.parameters(), *module.buffers()]
    for layer in module.modules():
        if isinstance(layer, EdgeModule):
            held += [tensor for tensor in layer.topology._tensors if tensor is not None]
    each = {(t.untyped_storage().data_ptr(), t.numel()): t.nbytes for t in held if not t.is_meta}
    return sum(each.values())


def _factor(before: float, after: float) -> str:
    if after <= before:
        return f"{before / after:.1f} times faster"
    return f"{after / before:.1f} times slower, as asked"


def _listed(layers: Iterable[LayerReport]) -> str:
    """Return how many layers were left for each reason."""
    layers = [*layers]
    reasons: dict[str, int] = {}
    for layer in layers:
        reasons[layer.reason] = reasons.get(layer.reason, 0) + 1
    return ", ".join(f"{number} ({reason})" for reason, number in reasons.items())


def _ms(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else ms(value)


def cells_of(layer: LayerReport) -> tuple[str, ...]:
    """Return a layer as a row of a table."""
    return (
        layer.name,
        f"{layer.in_features} -> {layer.out_features}",
        "-" if layer.density is None else f"{layer.density:.2%}",
        _ms(layer.ms_before),
        _ms(layer.ms_after),
        size(layer.bytes_before),
        size(layer.bytes_after),
        f"{layer.action}: {layer.reason}",
    )
