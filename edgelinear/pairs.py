"""The paired points that `plot.controls` draws."""

from typing import TYPE_CHECKING

import numpy as np

from edgelinear.controls import REAL

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from edgelinear.controls import ControlsReport

_BLUE, _ORANGE, _GREY = "#2f5d8c", "#c8722c", "#b0b0b0"


def draw(figure: "Figure", report: "ControlsReport") -> None:
    """Draw a panel for each null model: a line a seed, from its score to the real wiring's."""
    panels = figure.subplots(1, len(report.comparisons), sharey=True, squeeze=False)[0]
    real = np.array(report.scores[REAL])
    for axes, contrast in zip(panels, report.comparisons, strict=True):
        null = np.array(report.scores[contrast.null_model])
        axes.plot([0, 1], [null, real], color=_GREY, lw=1, zorder=1)
        for at, scores, colour in ((0, null, _ORANGE), (1, real, _BLUE)):
            axes.scatter(np.full(len(scores), at), scores, color=colour, s=24, zorder=2)
            width = 0.18
            axes.hlines(scores.mean(), at - width, at + width, color=colour, lw=2.5, zorder=3)
        axes.set_xlim(-0.5, 1.5)
        axes.set_xticks([0, 1], [contrast.null_model.replace("_", "\n"), "real\nwiring"])
        axes.set_title(
            f"difference {contrast.mean_difference:+.3g}\n"
            f"[{contrast.low:+.3g}, {contrast.high:+.3g}], p = {contrast.p_value:.2g}",
            fontsize=9,
        )
        axes.spines[["top", "right"]].set_visible(False)
    better = "higher" if report.higher_is_better else "lower"
    panels[0].set_ylabel(f"score ({better} is better)")
    figure.suptitle(report.sentence, fontsize=10, wrap=True)
