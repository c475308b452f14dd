"""Scores of controls as paired points."""

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from edgelinear.plot._figure import BLUE, GREY, ORANGE, make_figure
from edgelinear.trials.report import REAL, percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from edgelinear.trials.report import Contrast, ControlsReport

_CHARACTERS = 13  # an inch, at 10 points
_NOTE = (
    "A line joins the scores of one seed. Thick bars are means; in brackets is the {} interval "
    "of the difference."
)


def controls(report: "ControlsReport | Mapping[str, ControlsReport]") -> "Figure":
    """Return a panel for each null model: for each seed, its score beside the real wiring's.

    Thick bars are means. Above each panel stands by how much the real wiring is better in the mean,
    with its interval, corrected for the number of null models, and p.

    Args:
        report: or several by their titles, one below the other, each with a scale of its own.

    Raises:
        ImportError: without matplotlib: `pip install 'edgelinear[plot]'`.

    Example:
        >>> from edgelinear import plot
        >>> scores = {"real wiring": [0.9, 0.8, 0.9], "permute_targets": [0.5, 0.6, 0.5]}
        >>> figure = plot.controls(el.ControlsReport((0, 1, 2), scores, True))
        >>> figure.axes[0].get_ylabel()
        'score (higher is better)'
    """
    reports = report if isinstance(report, Mapping) else {"": report}
    most = max((len(report.comparisons) for report in reports.values()), default=0)
    figure = make_figure(1.2 + 2.5 * most, 4.6 * len(reports))
    _draw(figure, reports)
    return figure


def _draw(figure: "Figure", reports: Mapping[str, "ControlsReport"]) -> None:
    """Draw a row of panels for each report, below its title and its sentence."""
    rows = figure.subfigures(len(reports), 1, squeeze=False)[:, 0]
    width = int(_CHARACTERS * figure.get_figwidth())
    for row, (title, report) in zip(rows, reports.items(), strict=True):
        if title:
            row.suptitle(_wrapped(title, width), weight="bold")
            row = row.subfigures(1, 1)
        row.suptitle(_wrapped(report.sentence, width), fontsize=10)
        _draw_panels(row, report)
    levels = dict.fromkeys(percent(report.confidence) for report in reports.values())
    figure.supxlabel(
        _wrapped(_NOTE.format(" or ".join(levels)), width), fontsize=9, color="#555555"
    )


def _wrapped(text: str, width: int) -> str:
    """Return text in lines, broken neither in a quotient nor before a percent sign."""
    text = text.replace(" / ", "\u00a0/\u00a0").replace(" %", "\u00a0%")
    return textwrap.fill(text, width)


def _draw_panels(figure: Any, report: "ControlsReport") -> None:
    panels = figure.subplots(1, len(report.comparisons), sharey=True, squeeze=False)[0]
    real = np.array(report.scores[REAL])
    for axes, contrast in zip(panels, report.comparisons, strict=True):
        null = np.array(report.scores[contrast.null_model])
        axes.plot([0, 1], [null, real], color=GREY, lw=1, zorder=1)
        for at, scores, colour in ((0, null, ORANGE), (1, real, BLUE)):
            axes.scatter(np.full(len(scores), at), scores, color=colour, s=24, zorder=2)
            width = 0.18
            axes.hlines(scores.mean(), at - width, at + width, color=colour, lw=2.5, zorder=3)
        axes.set_xlim(-0.5, 1.5)
        null_model = _wrapped(contrast.null_model.replace("_", " "), 13)
        axes.set_xticks([0, 1], [null_model, "real wiring"])
        axes.set_title(_difference(contrast), fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
    better = "higher" if report.higher_is_better else "lower"
    panels[0].set_ylabel(f"score ({better} is better)")


def _difference(contrast: "Contrast") -> str:
    """Return by how much the real wiring is better, or worse, with the interval of that."""
    mean, low, high = contrast.mean_difference, contrast.low, contrast.high
    word = "better"
    if mean < 0:
        word, mean, low, high = "worse", -mean, -high, -low
    return (
        f"real wiring {word} by {mean:.3g}\n({low:.3g} to {high:.3g}), p = {contrast.p_value:.2g}"
    )
