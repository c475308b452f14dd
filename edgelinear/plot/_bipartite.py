"""A small layer as lines between its sources and its targets."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edgelinear.layers import EdgeLinear, EdgeNetwork, EdgeRNN
from edgelinear.plot._figure import (
    EDGES,
    LINE,
    check_top,
    ink,
    make_figure,
    names_of,
    room_for,
    signed,
    strongest,
    title_of,
    values_of,
    weight_of,
)
from edgelinear.topology import Topology

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure

_NODES = 60  # more nodes a side cannot be told apart


def bipartite(
    layer: EdgeLinear,
    *,
    values: Any = None,  # (num_edges,)
    top: int | None = None,
    in_names: Sequence[Any] | None = None,  # (in_features,)
    out_names: Sequence[Any] | None = None,  # (out_features,)
) -> "Figure":
    """Return a drawing of a small layer: sources left, targets right, edges coloured by weight.

    Nodes have the names given, or else the layer's, or else their numbers. Of parallel edges, which
    lie on each other, the strongest is seen.

    Args:
        values: a number for each edge, which colours it instead of its weight.
        top: how many edges are drawn, those of the largest `|weight|` or `|value|`; of a layer of
            any size. Nodes that none of them touches are left out, and a note counts them.

    Raises:
        TypeError, ValueError: if there is not one finite number for each edge; above 60 nodes a
            side or 600 edges: pass `top`, or use `matrix`.
        ImportError: without matplotlib: `pip install 'edgelinear[plot]'`.

    Example:
        >>> from edgelinear import plot
        >>> figure = plot.bipartite(EdgeLinear(4, 2, [(0, 0), (1, 0), (2, 1), (3, 1)]))
        >>> len(figure.axes[0].collections[0].get_segments())
        4
    """
    if not isinstance(layer, EdgeLinear):
        hint = ": use `plot.network`" if isinstance(layer, EdgeNetwork | EdgeRNN) else ""
        raise TypeError(f"`layer` must be an EdgeLinear, got {type(layer).__name__}{hint}.")
    topology = layer.topology
    if top is None:
        sides = [np.arange(topology.in_features), np.arange(topology.out_features)]
        _check_sizes(sides, topology.num_edges, "use `edgelinear.plot.matrix`, or pass `top`")
    if values is None:
        value = weight_of(layer)
    else:
        value = values_of("`values`", values, topology.num_edges)
    ends = topology.edge_index.cpu().numpy()
    if top is not None:
        edges = np.sort(strongest(value, check_top(top)))
        ends, value = ends[:, edges], value[edges]
        sides = [np.unique(nodes) for nodes in ends]
        _check_sizes(sides, edges.size, "pass a smaller `top`")
    names = [
        names_of(layer, "in_names", in_names, topology.in_features, _NODES, sides[0]),
        names_of(layer, "out_names", out_names, topology.out_features, _NODES, sides[1]),
    ]
    largest = max(nodes.size for nodes in sides)
    figure = make_figure(6.5 + sum(map(room_for, names)), max(2.5, 0.8 + LINE * largest))
    axes = figure.add_subplot()
    lines = _draw_edges(axes, ends, sides, value)
    _draw_nodes(axes, sides, names)
    axes.set(xlim=(-0.02, 1.02), ylim=(1.04, -0.04), title=title_of(topology), xticks=[])
    if top is not None:
        axes.set_xlabel(_note(topology, sides, value.size), fontsize=8)
    label = "weight" if values is None else "value"
    figure.colorbar(lines, ax=axes, label=label, shrink=min(0.8, 3 / figure.get_figheight()))
    return figure


def _check_sizes(sides: list[np.ndarray], num_edges: int, cure: str) -> None:
    largest = max(nodes.size for nodes in sides)
    if largest > _NODES or num_edges > EDGES:
        raise ValueError(
            f"a bipartite drawing must have at most {_NODES} nodes a side and {EDGES} edges to be "
            f"read, got {largest} and {num_edges}: {cure}."
        )


def _draw_edges(
    axes: "Axes", ends: np.ndarray, sides: list[np.ndarray], value: np.ndarray
) -> "LineCollection":
    from matplotlib.collections import LineCollection
    from matplotlib.colors import Normalize

    pairs = zip(sides, ends, strict=True)
    height = np.stack([_heights(nodes.size)[np.searchsorted(nodes, end)] for nodes, end in pairs])
    order = np.argsort(np.abs(value), kind="stable")  # strong lines above weak ones
    bound = float(np.abs(value).max(initial=0)) or 1.0
    points = height.T[order]
    lines = LineCollection(
        [*np.stack([np.broadcast_to([0.0, 1.0], points.shape), points], axis=2)],
        array=value[order],
        cmap=signed(),
        norm=Normalize(-bound, bound),
        linewidths=1.5 if value.size <= 100 else 0.9,
    )
    axes.add_collection(lines)
    return lines


def _draw_nodes(axes: "Axes", sides: list[np.ndarray], names: list[list[str] | None]) -> None:
    axes.spines[:].set_visible(False)
    # Names are labels of ticks, as the layout makes room for these.
    both = (axes, axes.secondary_yaxis("right"))
    for x, nodes, known, side in zip((0.0, 1.0), sides, names, both, strict=True):
        heights = _heights(nodes.size)
        axes.plot(np.full(nodes.size, x), heights, "o", color=ink(), markersize=4, zorder=3)
        side.set_yticks(heights, known or [*map(str, nodes)], fontsize=8, parse_math=False)
        side.tick_params(axis="y", length=0)
        side.spines[:].set_visible(False)


def _note(topology: Topology, sides: list[np.ndarray], drawn: int) -> str:
    """Return what is drawn, and what is left out."""
    left = topology.in_features - sides[0].size, topology.out_features - sides[1].size
    said = f"the {drawn} strongest edges" if drawn < topology.num_edges else "all edges"
    if any(left):
        said += f"; left out: {left[0]:,} sources and {left[1]:,} targets"
    return said


def _heights(count: int) -> np.ndarray:
    return (np.arange(count) + 0.5) / max(1, count)
