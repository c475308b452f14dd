"""The bars and curves that `plot.comparison` draws."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edgelinear import report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from edgelinear.comparison import Comparison

_BLUE, _ORANGE, _PALE_BLUE, _PALE_ORANGE = "#2f5d8c", "#c8722c", "#a9c4de", "#ecc5a2"


def draw(
    figure: "Figure", comparison: "Comparison", curves: Mapping[str, Sequence[float]] | None
) -> None:
    """Draw time, memory and, where there are any, curves side by side; dense layers in orange."""
    panels = 2 + bool(curves)
    time, memory, *rest = figure.subplots(1, panels, squeeze=False)[0]
    rows = comparison.rows[::-1]  # the first stands at the top
    names = [row.name for row in rows]
    _bars(
        time,
        names,
        {
            "forward": [(r.forward_ms, r.forward_ms_low, r.forward_ms_high) for r in rows],
            "training step": [(r.step_ms, r.step_ms_low, r.step_ms_high) for r in rows],
        },
        report.ms,
    )
    time.set_title("time in ms, quartiles")
    _bars(
        memory,
        names,
        {
            "kept for backward": [(r.saved_bytes,) * 3 for r in rows],
            "peak": [(math.nan if r.peak_bytes is None else r.peak_bytes,) * 3 for r in rows],
        },
        lambda count: "-" if math.isnan(count) else report.size(int(count)),
    )
    memory.set_title("memory of a step")
    memory.set_yticklabels([])
    if curves:
        _curves(rest[0], curves)
    figure.suptitle(f"{report.title(comparison)}\n{report.machine(comparison)}", fontsize=10)


def _bars(axes: "Axes", names: list[str], groups: dict[str, list], text: Any) -> None:
    from matplotlib.patches import Patch
    from matplotlib.ticker import FuncFormatter

    found = [median for values in groups.values() for median, *_ in values if median > 0]
    start, end = (min(found) / 3, max(found) * 6) if found else (0.1, 1)
    dense = [name in (report.MASKED, report.LINEAR) for name in names]
    for pale, (label, values) in zip((True, False), groups.items(), strict=True):
        at = np.arange(len(names)) + (0.2 if pale else -0.2)
        median, low, high = np.array(values, dtype=float).reshape(-1, 3).T
        colours = (_PALE_BLUE, _PALE_ORANGE) if pale else (_BLUE, _ORANGE)
        axes.barh(at, median, 0.38, color=[colours[d] for d in dense], label=label)
        spread = np.stack([median - low, high - median]).clip(0)
        if np.nansum(spread):
            axes.errorbar(median, at, xerr=spread, fmt="none", ecolor="black", elinewidth=1)
        for y, value, furthest in zip(at, median, high, strict=True):
            x = max(start, furthest) * 1.15  # start where there is no bar
            axes.text(x, y, text(value), va="center", fontsize=7)
    axes.set_xscale("log")
    axes.set_xlim(start, end)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: text(x)))
    axes.xaxis.set_minor_formatter("")
    axes.tick_params(axis="x", labelsize=8)
    axes.set_yticks(range(len(names)), names)
    axes.spines[["top", "right"]].set_visible(False)
    handles = [
        Patch(color=c, label=label) for c, label in zip((_PALE_BLUE, _BLUE), groups, strict=True)
    ]
    if any(dense):
        handles.append(Patch(color=_ORANGE, label="dense"))
    axes.legend(
        handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=3, frameon=False
    )


def _curves(axes: "Axes", curves: Mapping[str, Sequence[float]]) -> None:
    from matplotlib.ticker import MaxNLocator

    styles = [("-", 4.0), ("--", 1.5), (":", 1.5), ("-.", 1.5)]  # the second shows on the first
    colours = (_PALE_BLUE, _ORANGE, "black", _BLUE)
    for i, (name, losses) in enumerate(curves.items()):
        line, width = styles[i % 4]
        epochs = range(1, len(losses) + 1)
        axes.plot(epochs, losses, line, lw=width, color=colours[i % 4], label=name)
    axes.set(title="training", xlabel="epoch", ylabel="loss", yscale="log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
