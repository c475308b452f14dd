"""Contenders of a comparison as dots of time and memory, and curves of training."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edgelinear.comparison import units
from edgelinear.comparison.contenders import DENSE
from edgelinear.plot._figure import BLUE, GREY, ORANGE, ink, make_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from edgelinear.comparison import Comparison

_PALE_BLUE, _PALE_ORANGE = "#a9c4de", "#ecc5a2"
_WHISKER = "#404040"


def comparison(
    comparison: "Comparison", curves: Mapping[str, Sequence[float]] | None = None
) -> "Figure":
    """Return dots of time and memory on logarithmic axes, medians with quartiles, and curves.

    Args:
        curves: the loss of each epoch, by the name of what was trained.

    Raises:
        ImportError: without matplotlib: `pip install 'edgelinear[plot]'`.

    Example:
        >>> from edgelinear import plot
        >>> comparison = el.compare(EdgeLinear(3, 2, [(0, 0), (2, 1)]), backends="reference")
        >>> [axes.get_title() for axes in plot.comparison(comparison).axes]
        ['time in ms: medians, quartiles', 'memory of a step']
    """
    figure = make_figure(4.6 * (2 + bool(curves)), 1.9 + 0.45 * len(comparison.rows))
    _draw(figure, comparison, curves)
    return figure


def _draw(
    figure: "Figure", comparison: "Comparison", curves: Mapping[str, Sequence[float]] | None
) -> None:
    """Draw time, memory and, where there are any, curves side by side; dense layers in orange."""
    panels = 2 + bool(curves)
    time, memory, *rest = figure.subplots(1, panels, squeeze=False)[0]
    rows = comparison.rows[::-1]  # the first stands at the top
    names = [row.name for row in rows]
    _dots(
        time,
        names,
        {
            "forward": [(r.forward_ms, r.forward_ms_low, r.forward_ms_high) for r in rows],
            "training step": [(r.step_ms, r.step_ms_low, r.step_ms_high) for r in rows],
        },
        units.ms,
    )
    time.set_title("time in ms: medians, quartiles")
    _dots(
        memory,
        names,
        {
            "kept for backward": [(r.saved_bytes,) * 3 for r in rows],
            "peak": [(math.nan if r.peak_bytes is None else r.peak_bytes,) * 3 for r in rows],
        },
        lambda count: "-" if math.isnan(count) else units.size(int(count)),
    )
    memory.set_title("memory of a step")
    memory.set_yticklabels([])
    if curves:
        _curves(rest[0], curves)
    heading = [comparison.title, comparison.place]
    if comparison.left_out:
        heading.append(f"not measured: {', '.join(comparison.left_out)}")
    figure.suptitle("\n".join(heading), fontsize=10)


def _dots(axes: "Axes", names: list[str], groups: dict[str, list], text: Any) -> None:
    """Draw two dots for each name, with whiskers from quartile to quartile and their values."""
    from matplotlib.ticker import FuncFormatter

    found = [median for values in groups.values() for median, *_ in values if median > 0]
    start, end = (min(found) / 2, max(found) * 4) if found else (0.1, 1)
    dense = np.array([name in DENSE for name in names])
    for pale, (label, values) in zip((True, False), groups.items(), strict=True):
        at = np.arange(len(names)) + (0.17 if pale else -0.17)
        median, low, high = np.array(values, dtype=float).reshape(-1, 3).T
        axes.hlines(at, low, high, color=_WHISKER, lw=1, zorder=2)
        colours = (_PALE_BLUE, _PALE_ORANGE) if pale else (BLUE, ORANGE)
        for kind, colour, of in zip((~dense, dense), colours, ("", "dense, "), strict=True):
            if kind.any():
                axes.scatter(median[kind], at[kind], s=42, color=colour, label=of + label, zorder=3)
        for y, value, furthest in zip(at, median, high, strict=True):
            x = furthest if furthest > 0 else start  # the value alone where there is no dot
            axes.annotate(
                text(value), (x, y), (7, 0), textcoords="offset points", va="center", fontsize=7
            )
    axes.set_xscale("log")
    axes.set_xlim(start, end)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: text(x)))
    axes.xaxis.set_minor_formatter("")
    axes.tick_params(axis="x", labelsize=8)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(-0.5, len(names) - 0.5)
    for between in range(1, len(names)):
        axes.axhline(between - 0.5, color=GREY, lw=0.8, alpha=0.3)
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    # The pad, in letters, stays clear of the tick labels at any height of the axes.
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, 0), borderaxespad=2.2, ncols=2, frameon=False
    )


def _curves(axes: "Axes", curves: Mapping[str, Sequence[float]]) -> None:
    from matplotlib.ticker import LogLocator, MaxNLocator

    styles = [("-", 4.0), ("--", 1.5), (":", 1.5), ("-.", 1.5)]  # the second shows on the first
    colours = (_PALE_BLUE, ORANGE, ink(), BLUE)
    for i, (name, losses) in enumerate(curves.items()):
        line, width = styles[i % 4]
        epochs = range(1, len(losses) + 1)
        axes.plot(epochs, losses, line, lw=width, color=colours[i % 4], label=name)
    axes.set(title="training", xlabel="epoch", ylabel="loss", yscale="log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
