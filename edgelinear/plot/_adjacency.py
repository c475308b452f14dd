"""A recurrent network as a matrix, nodes in the order in which inputs reach them."""

from typing import TYPE_CHECKING

import numpy as np

from edgelinear.layers import EdgeRNN
from edgelinear.orders import level_of, unreached_last
from edgelinear.plot._figure import (
    LINE,
    make_figure,
    node_names_of,
    room_for,
    signed,
    title_of_network,
    weight_of,
)
from edgelinear.plot._matrix import (
    NAMES,
    about,
    block_counts,
    mark_counts,
    node_ticks,
    numbers,
    shades,
)
from edgelinear.topology import Topology

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CELLS = 400  # nodes a side that each have a cell
_MOST = 98  # percent of the weights, whose largest has the last colour if others are far larger


def adjacency(net: EdgeRNN, named: bool) -> "Figure":
    """Return the matrix of weights, or of the numbers of edges in blocks, in the order of reach."""
    group = level_of(net)
    assert group is not None  # of a network
    is_output = np.isin(np.arange(net.num_nodes), net.outputs.numpy())
    order = np.lexsort((is_output, unreached_last(group)))
    place = np.argsort(order)
    names = node_names_of(net, NAMES, order) or numbers(order) if named else None
    extra = room_for(names) + LINE * len(names or [])
    figure = make_figure(7.5 + extra, 6.5 + extra)
    axes = figure.add_subplot()
    ends = place[net.edge_index.cpu().numpy()]
    nodes = net.num_nodes
    if nodes <= _CELLS:
        _draw_weights(figure, axes, ends, weight_of(net), nodes)
    else:
        counts = block_counts(Topology(nodes, nodes, ends, duplicates="keep"))
        cmap, norm = shades(int(counts.max(initial=0)))
        image = axes.imshow(
            np.ma.masked_equal(counts, 0), cmap=cmap, norm=norm,
            extent=(-0.5, nodes - 0.5, nodes - 0.5, -0.5), interpolation="nearest",
        )  # fmt: skip
        side = about(nodes / len(counts))
        label = f"edges in a cell, of about {side} x {side} nodes"
        bar = figure.colorbar(image, ax=axes, label=label, shrink=0.8)
        mark_counts(bar, int(counts.max(initial=0)))
    _mark_groups(axes, group[order])
    for axis in (axes.xaxis, axes.yaxis):
        node_ticks(axis, nodes, names, numbered=False)
    axes.set(xlabel="source", ylabel="target")
    axes.set_title(title_of_network(net), pad=24)
    return figure


def _draw_weights(
    figure: "Figure", axes: "Axes", ends: np.ndarray, weight: np.ndarray, nodes: int
) -> None:
    from matplotlib.colors import Normalize

    matrix = np.zeros((nodes, nodes))
    np.add.at(matrix, (ends[1], ends[0]), weight)
    there = np.zeros((nodes, nodes), dtype=bool)
    there[ends[1], ends[0]] = True
    size = np.abs(matrix[there])
    largest = bound = float(size.max(initial=0)) or 1.0
    label, extend = "weight", "neither"
    most = float(np.percentile(size, _MOST)) if size.size else 0.0
    if 0 < 2 * most < largest:  # a few would leave all others nearly without a colour
        bound, extend = most, "both"
        label = f"weight; beyond {most:.2g}, up to {largest:.2g}, in the last colour"
    image = axes.imshow(
        np.ma.masked_array(matrix, ~there), cmap=signed(), norm=Normalize(-bound, bound),
        interpolation="nearest",
    )  # fmt: skip
    axes.set_facecolor("white")
    figure.colorbar(image, ax=axes, label=label, shrink=0.8, extend=extend)


def _mark_groups(axes: "Axes", group: np.ndarray) -> None:
    """Draw a line between groups, and say above the matrix what they are."""
    found, start = np.unique(group, return_index=True)
    order = np.argsort(start)
    stops = [*start[order][1:], group.size]
    for which, first, stop in zip(found[order], start[order], stops, strict=True):
        if first:
            axes.axhline(first - 0.5, color="black", lw=0.6)
            axes.axvline(first - 0.5, color="black", lw=0.6)
        words = {-1: "unreached", 0: "inputs", 1: "after 1 step"}.get(which, f"{which} steps")
        if stop - first >= 0.09 * group.size:
            middle = ((first + stop - 1) / 2, 1.01)
            axes.text(*middle, words, transform=axes.get_xaxis_transform(), ha="center", fontsize=8)
