"""Fan-in over time, and the edges that came and went."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from edgelinear.dynamic import Schedule, Update
from edgelinear.plot._figure import BLUE, ORANGE, ink, make_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def rewiring(schedule: "Schedule | Iterable[Update]") -> "Figure":
    """Return for each layer the fan-in of its targets over time, above the edges of each update.

    A line is the median, around it lie the quartiles, and the minimum and maximum.

    Args:
        schedule: one of `el.dynamic`, or a `history` of it.

    Raises:
        TypeError, ValueError: if it is something else, or an empty history.
        ImportError: without matplotlib: `pip install 'edgelinear[plot]'`.

    Example:
        >>> from edgelinear import plot
        >>> model = nn.Sequential(EdgeLinear(3, 2, [(0, 0), (1, 0), (2, 1)]))
        >>> optimizer = torch.optim.SGD(model.parameters(), 0.1)
        >>> schedule = el.dynamic.SET(model, optimizer, fraction=0.5, every=1)
        >>> edges = [schedule.step() for _ in range(5)]
        >>> [axes.get_ylabel() for axes in plot.rewiring(schedule).axes]
        ['fan-in of a target', 'edges']
    """
    history = schedule.history if isinstance(schedule, Schedule) else schedule
    history = list(history) if isinstance(history, Iterable) else [history]
    for update in history:
        if not isinstance(update, Update):
            raise TypeError(
                "`schedule` must be one of `el.dynamic`, or its `history`, got "
                f"{type(update).__name__}."
            )
    if not history:
        raise ValueError("`schedule` must have a history of at least one layer, got an empty one.")
    names = list(dict.fromkeys(update.layer for update in history))
    figure = make_figure(1.0 + 3.6 * len(names), 5.0)
    rows = figure.subplots(2, len(names), sharex=True, height_ratios=[2, 1], squeeze=False)
    for top, bottom, name in zip(*rows, names, strict=True):
        updates = [update for update in history if update.layer == name]
        _fan_in(top, updates)
        _changes(bottom, updates)
        first, last = updates[0].num_edges, updates[-1].num_edges
        edges = f"{first:,} edges" if first == last else f"{first:,} to {last:,} edges"
        top.set_title(f"{name}: {edges}" if name else edges, fontsize=9)
    rows[0, 0].set_ylabel("fan-in of a target")
    rows[1, 0].set_ylabel("edges")
    grown, dropped = (sum(getattr(u, key) for u in history) for key in ("grown", "dropped"))
    kind = f"{type(schedule).__name__}: " if isinstance(schedule, Schedule) else ""
    number = len({update.step for update in history} - {0})  # where it began
    times = "1 update" if number == 1 else f"{number} updates"
    figure.suptitle(f"{kind}{times}, {dropped:,} edges dropped and {grown:,} grown")
    return figure


def _fan_in(axes: Any, updates: list[Update]) -> None:
    steps = [update.step for update in updates]
    least, low, median, high, most = np.array([update.fan_in for update in updates]).T
    options: dict[str, Any] = {"step": "post", "color": BLUE, "lw": 0}
    axes.fill_between(steps, least, most, alpha=0.15, label="all targets", **options)
    axes.fill_between(steps, low, high, alpha=0.35, label="half of them", **options)
    axes.step(steps, median, where="post", color=BLUE, label="median")
    axes.set_ylim(0, 1.25 * max(1.0, most.max()))
    axes.legend(frameon=False, fontsize=8, ncols=3, loc="upper left")
    axes.spines[["top", "right"]].set_visible(False)


def _changes(axes: Any, updates: list[Update]) -> None:
    steps = np.array([update.step for update in updates])
    width = 0.8 * np.diff(steps).min(initial=max(1, steps[-1]))
    for colour, label, sign in ((BLUE, "grown", 1), (ORANGE, "dropped", -1)):
        heights = [sign * getattr(update, label) for update in updates]
        axes.bar(steps, heights, width, color=colour, label=label)
    axes.axhline(0.0, color=ink(), lw=0.5)
    axes.yaxis.set_major_formatter(lambda value, _: f"{abs(value):,.0f}")
    axes.legend(frameon=False, fontsize=8, ncols=2, loc="lower right")
    axes.set_xlabel("step")
    axes.spines[["top", "right"]].set_visible(False)
