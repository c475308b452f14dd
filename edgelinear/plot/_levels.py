"""The levels of a network: their widths, and the edges between them."""

from typing import TYPE_CHECKING

import numpy as np

from edgelinear.layers import EdgeNetwork
from edgelinear.plot._figure import BLUE, GREY, ORANGE, make_figure, title_of_network
from edgelinear.plot._matrix import mark_counts, shades

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WRITTEN = 16  # levels whose numbers of edges are written


def levels(net: EdgeNetwork) -> "Figure":
    """Return how many nodes each level has, and how many edges lead from which to which.

    Inputs and outputs have bars of their own, before that of all nodes. Of a network of any size;
    `plot.network` shows its strongest edges.

    Raises:
        TypeError: if it is no EdgeNetwork, as what has cycles has no levels.
        ImportError: without matplotlib: `pip install 'edgelinear[plot]'`.

    Example:
        >>> from edgelinear import plot
        >>> net = EdgeNetwork(5, [(0, 2), (1, 2), (2, 3), (0, 3), (3, 4)], [0, 1], [4])
        >>> plot.levels(net).axes[1].get_title()
        'edges between levels: 1 skip some'
    """
    if not isinstance(net, EdgeNetwork):
        raise TypeError(
            f"`net` must be an EdgeNetwork, whose nodes have levels, got {type(net).__name__}."
        )
    level, number = net.level.numpy(), net.num_levels
    src, dst = level[net.edge_index.cpu().numpy()]
    counts = np.bincount(dst * number + src, minlength=number**2).reshape(number, number)
    size = min(11.0, max(6.5, 2.5 + 0.6 * number))
    figure = make_figure(size + 1, size + 1)
    from matplotlib.ticker import MaxNLocator

    top, axes = figure.subplots(2, 1, sharex=True, height_ratios=[1, 3])
    nodes = np.bincount(level, minlength=number)
    top.bar(range(number), nodes, color=GREY, label="all", width=0.8)
    # Before the others, from 0 up: on a logarithmic axis, parts on each other would have no size.
    for label, colour, width, some in (
        ("inputs", BLUE, 0.5, net.inputs),
        ("outputs", ORANGE, 0.25, net.outputs),
    ):
        heights = np.bincount(level[some.numpy()], minlength=number)
        top.bar(range(number), heights, color=colour, label=label, width=width)
    top.set_yscale("symlog", linthresh=1)
    top.set_ylim(0, 20 * nodes.max(initial=1))
    top.yaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
    top.set_ylabel("nodes")
    top.legend(frameon=False, ncols=3, fontsize=8, loc="upper right")
    top.spines[["top", "right"]].set_visible(False)
    cmap, norm = shades(int(counts.max(initial=0)))
    image = axes.imshow(np.ma.masked_equal(counts, 0), cmap=cmap, norm=norm, aspect="auto")
    if number <= _WRITTEN:
        for i, here in enumerate(nodes):
            top.annotate(
                f"{here:,}", (i, here), (0, 2), textcoords="offset points", ha="center",
                fontsize=8,
            )  # fmt: skip
        for target, source in np.argwhere(counts):
            dark = norm(counts[target, source]) > 0.3
            axes.text(
                source, target, f"{counts[target, source]:,}", ha="center", va="center",
                fontsize=8, color="white" if dark else "black",
            )  # fmt: skip
    skips = int((dst - src > 1).sum())
    axes.set(xlabel="level of the source", ylabel="level of the target")
    axes.set_title(f"edges between levels: {skips:,} skip some", fontsize=10)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(min(number, 20), integer=True))
    bar = figure.colorbar(image, ax=axes, label="edges", shrink=0.8)
    mark_counts(bar, int(counts.max(initial=0)))
    figure.suptitle(title_of_network(net))
    return figure
