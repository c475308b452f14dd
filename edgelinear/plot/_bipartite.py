"""A small layer as lines between its sources and its targets."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edgelinear.layers import EdgeLinear, EdgeNetwork, EdgeRNN
from edgelinear.plot._figure import LINE, make_figure, names_of, room_for, title_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NODES, _EDGES = 60, 600  # more nodes a side, or edges, cannot be told apart


def bipartite(
    layer: EdgeLinear,
    *,
    in_names: Sequence[Any] | None = None,  # (in_features,)
    out_names: Sequence[Any] | None = None,  # (out_features,)
) -> "Figure":
    """Return a drawing of a small layer: sources left, targets right, edges coloured by weight.

    Nodes have the names given, or else the layer's, or else their numbers.

    Raises:
        ValueError: above 60 nodes a side or 600 edges: use `matrix`.
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
    largest = max(layer.in_features, layer.out_features)
    if largest > _NODES or layer.num_edges > _EDGES:
        raise ValueError(
            f"a bipartite drawing must have at most {_NODES} nodes a side and {_EDGES} edges to be "
            f"read, got {largest} and {layer.num_edges}: use `edgelinear.plot.matrix`."
        )
    sources = names_of(layer, "in_names", in_names, layer.in_features, _NODES)
    targets = names_of(layer, "out_names", out_names, layer.out_features, _NODES)
    figure = make_figure(
        6.5 + room_for(sources) + room_for(targets), max(2.5, 0.8 + LINE * largest)
    )
    from matplotlib.collections import LineCollection
    from matplotlib.colors import Normalize

    axes = figure.add_subplot()
    left, right = _heights(layer.in_features), _heights(layer.out_features)
    src, dst = layer.edge_index.cpu().numpy()
    weight = layer.weight.detach().double().cpu().numpy()
    order = np.argsort(np.abs(weight), kind="stable")  # strong lines above weak ones
    bound = float(np.abs(weight).max(initial=0)) or 1.0
    ends = np.stack([left[src[order]], right[dst[order]]], axis=1)
    lines = LineCollection(
        [*np.stack([np.broadcast_to([0.0, 1.0], ends.shape), ends], axis=2)],
        array=weight[order],
        cmap="coolwarm",
        norm=Normalize(-bound, bound),
        linewidths=1.5 if layer.num_edges <= 100 else 0.9,
    )
    axes.add_collection(lines)
    axes.set(xlim=(-0.02, 1.02), ylim=(1.04, -0.04), title=title_of(layer.topology), xticks=[])
    axes.spines[:].set_visible(False)
    # Names are labels of ticks, as the layout makes room for these.
    for x, heights, names, side in (
        (0.0, left, sources, axes),
        (1.0, right, targets, axes.secondary_yaxis("right")),
    ):
        axes.plot(np.full(len(heights), x), heights, "o", color="black", markersize=4, zorder=3)
        numbers = [str(i) for i in range(len(heights))]
        side.set_yticks(heights, names or numbers, fontsize=8, parse_math=False)
        side.tick_params(axis="y", length=0)
        side.spines[:].set_visible(False)
    figure.colorbar(lines, ax=axes, label="weight", shrink=min(0.8, 3 / figure.get_figheight()))
    return figure


def _heights(count: int) -> np.ndarray:
    return (np.arange(count) + 0.5) / max(1, count)
