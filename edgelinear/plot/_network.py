"""A whole network: level by level, or, with cycles, as a matrix in the order of reach."""

from typing import TYPE_CHECKING, Any

import numpy as np

from edgelinear.layers import EdgeNetwork, EdgeRNN
from edgelinear.plot import _adjacency, _levels
from edgelinear.plot._figure import (
    BLUE,
    GREY,
    LINE,
    ORANGE,
    make_figure,
    node_names_of,
    room_for,
    title_of_network,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NODES, _EDGES, _LEVELS = 40, 600, 16  # nodes a level, edges, and levels that can be told apart
_NAMED = 80  # nodes that have their names written
_BAR = 1.2  # inches that the bar of colours takes
_SWEEPS = 8  # of ordering the nodes of a level by where their neighbours stand


def network(net: EdgeNetwork | EdgeRNN) -> "Figure":
    """Return a picture of a network.

    A small EdgeNetwork is drawn node by node, a column a level, inputs in blue and outputs in
    orange, edges coloured by their weights. Above 40 nodes a level, 600 edges or 16 levels, it is
    shown level by level: how many nodes each has, and how many edges lead from which to which.

    An EdgeRNN is shown as the matrix of its weights, targets down and sources across, ordered by
    the steps that an input takes to reach a node, and outputs last among those; above 256 nodes, a
    cell counts the edges of a block.

    Raises:
        ImportError: without matplotlib: `pip install 'edgelinear[plot]'`.

    Example:
        >>> from edgelinear import plot
        >>> net = EdgeNetwork(5, [(0, 2), (1, 2), (2, 3), (0, 3), (3, 4)], [0, 1], [4])
        >>> figure = plot.network(net)
        >>> len(figure.axes[0].collections[0].get_segments())
        5
    """
    if isinstance(net, EdgeRNN):
        return _adjacency.adjacency(net)
    if not isinstance(net, EdgeNetwork):
        hint = ": use `bipartite` or `matrix`" if hasattr(net, "topology") else ""
        raise TypeError(
            f"`net` must be an EdgeNetwork or an EdgeRNN, got {type(net).__name__}{hint}."
        )
    level = net.level.numpy()
    widths = np.bincount(level, minlength=1)
    if max(widths) > _NODES or net.num_edges > _EDGES or len(widths) > _LEVELS:
        return _levels.levels(net)
    return _drawn(net, level, int(max(widths)))


def _drawn(net: EdgeNetwork, level: np.ndarray, widest: int) -> "Figure":
    from matplotlib.collections import LineCollection
    from matplotlib.colors import Normalize

    names = node_names_of(net, _NAMED)
    src, dst = net.edge_index.cpu().numpy()
    weight = net.weight.detach().double().cpu().numpy()
    height = _heights(level, src, dst)
    room, steps = 0.2 + 1.5 * room_for(names), max(1, net.num_levels - 1)
    size = max(6.5, 1.5 * steps + 2 * room + _BAR), max(3.0, 1.2 + 2 * LINE * widest)
    figure = make_figure(*size)
    axes = figure.add_subplot()
    order = np.argsort(np.abs(weight), kind="stable")  # strong lines above weak ones
    bound = float(np.abs(weight).max(initial=0)) or 1.0
    lines = LineCollection(
        [_curve(level[s], height[s], level[t], height[t]) for s, t in zip(src, dst, strict=True)],
        array=weight,
        cmap="coolwarm",
        norm=Normalize(-bound, bound),
        linewidths=1.5 if net.num_edges <= 100 else 0.9,
    )
    lines.set_segments([lines.get_segments()[i] for i in order])
    lines.set_array(weight[order])
    axes.add_collection(lines)
    _draw_nodes(axes, net, level, height, names)
    axes.set_title(title_of_network(net))
    axes.set_xticks(range(net.num_levels), [f"level {i}" for i in range(net.num_levels)])
    axes.set_yticks([])
    beside = room * steps / (size[0] - 2 * room - _BAR)  # of the names of inputs and of outputs
    axes.set_xlim(-beside, net.num_levels - 1 + beside)
    axes.margins(y=0.08)
    axes.tick_params(axis="x", length=0)
    axes.spines[:].set_visible(False)
    figure.colorbar(lines, ax=axes, label="weight", shrink=min(0.8, 3 / size[1]))
    return figure


def _heights(level: np.ndarray, src: np.ndarray, dst: np.ndarray) -> np.ndarray:
    """Return where each node stands in its column, near to what it is joined to."""
    nodes = level.size
    ends, others = np.concatenate([src, dst]), np.concatenate([dst, src])
    number = np.maximum(1, np.bincount(ends, minlength=nodes))
    height = _spread(level, np.arange(nodes))
    for _ in range(_SWEEPS):
        mean = np.bincount(ends, height[others], nodes) / number
        height = _spread(level, np.where(np.bincount(ends, minlength=nodes) > 0, mean, height))
    return height


def _spread(level: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return heights evenly apart within each level, in the order wanted, centred at 0."""
    found = np.zeros(level.size)
    for one in np.unique(level):
        nodes = np.flatnonzero(level == one)
        order = nodes[np.argsort(wanted[nodes], kind="stable")]
        found[order] = np.arange(nodes.size) - (nodes.size - 1) / 2
    return found


def _curve(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:  # (points, 2)
    """Return a line, bent outwards where it passes levels."""
    if x1 - x0 == 1:
        return np.array([(x0, y0), (x1, y1)], dtype=float)
    part = np.linspace(0, 1, 25)
    outwards = 1.0 if y0 + y1 >= 0 else -1.0
    bend = outwards * 0.35 * (x1 - x0) * 4 * part * (1 - part)
    return np.stack([x0 + (x1 - x0) * part, y0 + (y1 - y0) * part + bend], axis=1)


def _draw_nodes(
    axes: "Axes", net: EdgeNetwork, level: np.ndarray, height: np.ndarray, names: Any
) -> None:
    colours = np.full(net.num_nodes, GREY, dtype=object)
    colours[net.outputs.numpy()] = ORANGE
    colours[net.inputs.numpy()] = BLUE
    axes.scatter(level, height, c=list(colours), s=36, zorder=3, edgecolors="white", linewidths=0.6)
    last = level.max(initial=0)
    for node, name in enumerate(names or []):
        place: dict[str, Any] = {"xytext": (0, 5), "ha": "center", "va": "bottom"}
        if level[node] in (0, last):
            side = -1 if level[node] == 0 else 1
            ha = "right" if side < 0 else "left"
            place = {"xytext": (6 * side, 0), "ha": ha, "va": "center"}
        axes.annotate(
            name,
            (level[node], height[node]),
            textcoords="offset points",
            fontsize=8,
            parse_math=False,
            zorder=4,
            **place,
        )
