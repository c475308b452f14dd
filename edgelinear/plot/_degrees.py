"""Histograms of fan-in and fan-out."""

from typing import TYPE_CHECKING

import numpy as np

from edgelinear.layers.module import EdgeModule
from edgelinear.plot._figure import BLUE, ORANGE, make_figure, powers, title_of, topology_of
from edgelinear.topology import Topology

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def degrees(wiring: Topology | EdgeModule) -> "Figure":
    """Return histograms of fan-in and fan-out; nodes without an edge stand apart, in orange.

    Where degrees reach beyond 60, the bars widen and both axes are logarithmic.

    Raises:
        ImportError: without matplotlib: `pip install 'edgelinear[plot]'`.

    Example:
        >>> from edgelinear import plot
        >>> figure = plot.degrees(Topology(4, 2, [(0, 0), (1, 0), (2, 1)]))
        >>> [axes.get_xlabel() for axes in figure.axes]
        ['fan-in of a target', 'fan-out of a source']
    """
    topology = topology_of(wiring)
    figure = make_figure(10, 3.6)
    left, right = figure.subplots(1, 2)
    _histogram(left, topology.fan_in.cpu().numpy(), "targets", "fan-in of a target")
    _histogram(right, topology.fan_out.cpu().numpy(), "sources", "fan-out of a source")
    figure.suptitle(title_of(topology))
    return figure


def _histogram(axes: "Axes", values: np.ndarray, nodes: str, label: str) -> None:
    from matplotlib.ticker import FixedLocator, MaxNLocator

    most = int(values.max(initial=0))
    whole = np.arange(most + 2) - 0.5
    skewed = most > 60
    if skewed:
        whole = np.concatenate([[-0.5], np.unique(np.geomspace(1, most + 1, 25).round()) - 0.5])
    counts, edges = np.histogram(values, whole)
    colours = [ORANGE, *[BLUE] * (len(counts) - 1)]
    axes.bar(
        edges[:-1], counts, np.diff(edges), align="edge", color=colours, edgecolor="white", lw=0.4
    )
    if skewed:
        axes.set_xscale("symlog", linthresh=1, linscale=0.5)
        axes.xaxis.set_major_locator(FixedLocator([0, *powers(most)]))
        axes.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
        axes.set_yscale("log")
        axes.set_ylim(0.5, None)
        axes.yaxis.set_major_formatter(lambda x, _: f"{x:,.0f}" if x >= 1 else "")
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlim(-0.7, None)
    spread = "none" if not len(values) else f"{values.min()} / {np.median(values):g} / {most:,}"
    apart = f"; {int((values == 0).sum()):,} without an edge" if (values == 0).any() else ""
    axes.set_title(f"min / median / max: {spread}{apart}", fontsize=8)
    axes.set(xlabel=label, ylabel=nodes)
    axes.spines[["top", "right"]].set_visible(False)
