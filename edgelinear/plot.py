"""Pictures of a wiring and of a comparison. Each function returns a matplotlib `Figure`.

The figures belong to no window and to no global state: `figure.savefig("wiring.png")` writes one,
and a notebook shows it.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edgelinear import bars, pairs
from edgelinear.layers import EdgeLinear
from edgelinear.topology import Topology

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from edgelinear.comparison import Comparison
    from edgelinear.contrasts import ControlsReport

_CELLS = 256  # a side of a matrix at most
_NAMES = 40  # ticks with names a side at most
_NODES, _EDGES = 60, 600  # of a bipartite drawing: more nodes a side, or edges, are a blot
_LONGEST = 32  # characters of a name
_LINE, _CHARACTER = 0.2, 0.07  # inches that a name takes, and a character of it, at 8 points
_BLUE, _ORANGE = "#2f5d8c", "#c8722c"
_SHADES = ["#8fbfe0", "#2f6fae", "#5b2a86", "#240833"]  # one edge stands out from white already


def matrix(
    wiring: Topology | EdgeLinear,
    *,
    in_names: Sequence[Any] | None = None,  # (in_features,)
    out_names: Sequence[Any] | None = None,  # (out_features,)
) -> "Figure":
    """Return the connectivity matrix, targets down and sources across, degrees along the margins.

    The layout of `nn.Linear.weight`. Above 256 nodes a side, each cell counts the edges of a block,
    and the margins show the mean degree in it. Names, those given or else the layer's, are written
    up to 40 a side, and 32 characters of each.

    Raises:
        ImportError: without matplotlib: `pip install 'edgelinear[plot]'`.

    Example:
        >>> from edgelinear import plot
        >>> figure = plot.matrix(Topology(4, 2, [(0, 0), (1, 0), (2, 1), (3, 1)]))
        >>> figure.axes[0].get_xlabel()
        'source (input)'
    """
    topology = _topology(wiring)
    counts = block_counts(topology)
    sources = _names(wiring, "in_names", in_names, topology.in_features, _NAMES)
    targets = _names(wiring, "out_names", out_names, topology.out_features, _NAMES)
    figure = _figure(
        max(7.5, 3 + _LINE * len(sources or [])) + _room(targets),
        max(6.5, 2 + _LINE * len(targets or [])) + _room(sources),
    )
    grid = figure.add_gridspec(2, 2, width_ratios=[5, 1], height_ratios=[1, 5])
    axes = figure.add_subplot(grid[1, 0])
    top = figure.add_subplot(grid[0, 0], sharex=axes)
    right = figure.add_subplot(grid[1, 1], sharey=axes)

    _draw_counts(figure, axes, right, counts, topology)
    axes.set(xlabel="source (input)", ylabel="target (output)")
    _node_ticks(axes.xaxis, topology.in_features, sources)
    _node_ticks(axes.yaxis, topology.out_features, targets)
    _draw_margin(top, topology.fan_out.cpu().numpy(), counts.shape[1], "fan-out", "vertical")
    _draw_margin(right, topology.fan_in.cpu().numpy(), counts.shape[0], "fan-in", "horizontal")
    figure.suptitle(_title(topology))
    return figure


def controls(report: "ControlsReport | Mapping[str, ControlsReport]") -> "Figure":
    """Return a panel for each null model: for each seed, its score beside the real wiring's.

    Thick bars are means. Above each panel stands by how much the real wiring is better in the mean,
    with the 95 % interval and p.

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
    figure = _figure(1.2 + 2.5 * most, 4.6 * len(reports))
    pairs.draw(figure, reports)
    return figure


def block_counts(topology: Topology, cells: int = _CELLS) -> np.ndarray:
    """Return the number of edges in each block of the matrix, targets down, at most `cells` a side.

    Example:
        >>> block_counts(Topology(4, 2, [(0, 0), (1, 0), (2, 1), (3, 1)]), cells=2)
        array([[2, 0],
               [0, 2]])
    """
    shape = (min(topology.out_features, cells), min(topology.in_features, cells))
    row = _block(topology.dst.cpu().numpy(), topology.out_features, shape[0])
    column = _block(topology.src.cpu().numpy(), topology.in_features, shape[1])
    return np.bincount(row * shape[1] + column, minlength=shape[0] * shape[1]).reshape(shape)


def _block(nodes: np.ndarray, size: int, blocks: int) -> np.ndarray:
    return nodes.astype(np.int64) * blocks // max(1, size)


def _draw_counts(
    figure: "Figure", axes: "Axes", margin: "Axes", counts: np.ndarray, topology: Topology
) -> None:
    from matplotlib.colors import LinearSegmentedColormap, ListedColormap, LogNorm, Normalize
    from matplotlib.ticker import NullLocator

    most = int(counts.max(initial=0))
    colours: Any
    norm: Any
    if most <= 1:
        colours, norm = ListedColormap(["white", _BLUE]), Normalize(0, 1)
    else:
        colours, norm = LinearSegmentedColormap.from_list("edges", _SHADES), LogNorm(1, most)
    rows, columns = topology.out_features, topology.in_features
    image = axes.imshow(
        np.ma.masked_equal(counts, 0),
        cmap=colours,
        norm=norm,
        aspect="auto",
        interpolation="nearest",
        extent=(-0.5, max(columns, 1) - 0.5, max(rows, 1) - 0.5, -0.5),
    )
    if most > 1:
        bar = figure.colorbar(image, ax=margin, location="right", fraction=0.3, pad=0.1)
        bar.set_label(f"edges in a cell{_nodes_of_a_cell(topology, counts)}")
        bar.set_ticks(_powers(most) if most >= 10 else list(range(1, most + 1)))
        bar.ax.yaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
        bar.ax.yaxis.set_minor_locator(NullLocator())
    if max(rows, columns) <= _NAMES:  # tell neighbouring edges apart
        axes.hlines(np.arange(1, rows) - 0.5, -0.5, columns - 0.5, color="white", lw=0.8)
        axes.vlines(np.arange(1, columns) - 0.5, -0.5, rows - 0.5, color="white", lw=0.8)


def _nodes_of_a_cell(topology: Topology, counts: np.ndarray) -> str:
    rows, columns = counts.shape
    if (rows, columns) == (topology.out_features, topology.in_features):
        return ""
    across, down = topology.in_features / columns, topology.out_features / rows
    return f", of about {across:.0f} sources x {down:.0f} targets"


def _powers(most: int) -> list[int]:
    """Return 1, 10, 100 and so on, up to `most`."""
    return [10**power for power in range(len(str(most)))]


def _draw_margin(
    axes: "Axes", degrees: np.ndarray, blocks: int, label: str, orientation: Any
) -> None:
    from matplotlib.ticker import MaxNLocator

    size = len(degrees)
    block = _block(np.arange(size), size, blocks)
    means = np.bincount(block, degrees, blocks) / np.maximum(1, np.bincount(block, None, blocks))
    edges = np.linspace(0, size, blocks + 1) - 0.5
    axes.stairs(means, edges, orientation=orientation, fill=True, color=_BLUE)
    # With most nodes far below the largest, a linear axis would show the largest alone.
    skewed = means.max(initial=0) > 20 * max(1, np.median(means) if size else 1)
    values, nodes = ("y", "x") if orientation == "vertical" else ("x", "y")
    axis = getattr(axes, f"{values}axis")
    if skewed:
        getattr(axes, f"set_{values}scale")("symlog", linthresh=1)
        axis.set_ticks([0, *_powers(int(means.max()))[1:][::-2]])
        axis.set_major_formatter(lambda x, _: f"{x:,.0f}")
    else:
        axis.set_major_locator(MaxNLocator(3, integer=True))
    getattr(axes, f"set_{values}lim")(0, None)
    if not means.any():
        getattr(axes, f"set_{values}lim")(0, 1)
    axis.set_label_text(label if size <= blocks else f"mean {label}")
    getattr(axes, f"{nodes}axis").set_tick_params(labelbottom=False, labelleft=False)
    axes.spines[["top", "right"]].set_visible(False)


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
        raise TypeError(f"`layer` must be an EdgeLinear, got {type(layer).__name__}.")
    largest = max(layer.in_features, layer.out_features)
    if largest > _NODES or layer.num_edges > _EDGES:
        raise ValueError(
            f"a bipartite drawing must have at most {_NODES} nodes a side and {_EDGES} edges to be "
            f"read, got {largest} and {layer.num_edges}: use `edgelinear.plot.matrix`."
        )
    sources = _names(layer, "in_names", in_names, layer.in_features, _NODES)
    targets = _names(layer, "out_names", out_names, layer.out_features, _NODES)
    figure = _figure(6.5 + _room(sources) + _room(targets), max(2.5, 0.8 + _LINE * largest))
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
    axes.set(xlim=(-0.02, 1.02), ylim=(1.04, -0.04), title=_title(layer.topology), xticks=[])
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


def degrees(wiring: Topology | EdgeLinear) -> "Figure":
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
    topology = _topology(wiring)
    figure = _figure(10, 3.6)
    left, right = figure.subplots(1, 2)
    _histogram(left, topology.fan_in.cpu().numpy(), "targets", "fan-in of a target")
    _histogram(right, topology.fan_out.cpu().numpy(), "sources", "fan-out of a source")
    figure.suptitle(_title(topology))
    return figure


def _histogram(axes: "Axes", values: np.ndarray, nodes: str, label: str) -> None:
    from matplotlib.ticker import FixedLocator, MaxNLocator

    most = int(values.max(initial=0))
    whole = np.arange(most + 2) - 0.5
    skewed = most > 60
    if skewed:
        whole = np.concatenate([[-0.5], np.unique(np.geomspace(1, most + 1, 25).round()) - 0.5])
    counts, edges = np.histogram(values, whole)
    colours = [_ORANGE, *[_BLUE] * (len(counts) - 1)]
    axes.bar(
        edges[:-1], counts, np.diff(edges), align="edge", color=colours, edgecolor="white", lw=0.4
    )
    if skewed:
        axes.set_xscale("symlog", linthresh=1, linscale=0.5)
        axes.xaxis.set_major_locator(FixedLocator([0, *_powers(most)]))
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
    figure = _figure(4.6 * (2 + bool(curves)), 1.9 + 0.45 * len(comparison.rows))
    bars.draw(figure, comparison, curves)
    return figure


def _figure(width: float, height: float) -> "Figure":
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("this needs matplotlib: pip install 'edgelinear[plot]'.") from None
    return Figure(figsize=(width, height), layout="constrained")


def _topology(wiring: Any) -> Topology:
    if isinstance(wiring, EdgeLinear):
        return wiring.topology
    if not isinstance(wiring, Topology):
        raise TypeError(
            f"`wiring` must be a Topology or an EdgeLinear, got {type(wiring).__name__}."
        )
    return wiring


def _title(topology: Topology) -> str:
    edges = "1 edge" if topology.num_edges == 1 else f"{topology.num_edges:,} edges"
    sizes = f"{topology.in_features:,} -> {topology.out_features:,}"
    return f"{sizes}, {edges} ({100 * topology.density:.3g}% of dense)"


def _names(
    wiring: Any, argument: str, given: Sequence[Any] | None, size: int, most: int
) -> list[str] | None:
    """Return the names given, or else the layer's, none too long; None above `most`, or without."""
    names = getattr(wiring, argument, None) if given is None else given
    if names is None:
        return None
    if len(names) != size:
        raise ValueError(f"`{argument}` must hold {size} names, got {len(names)}.")
    return [_shortened(str(name)) for name in names] if size <= most else None


def _shortened(name: str) -> str:
    """Return at most `_LONGEST` characters, with both ends: names may differ in one alone."""
    start = 2 * _LONGEST // 3
    return name if len(name) <= _LONGEST else f"{name[:start]}…{name[start + 1 - _LONGEST :]}"


def _room(names: list[str] | None) -> float:
    """Return the inches that the longest of some names takes."""
    return _CHARACTER * max(map(len, names or []), default=0)


def _node_ticks(axis: Any, size: int, names: list[str] | None) -> None:
    from matplotlib.ticker import MaxNLocator

    if size == 0:
        axis.set_ticks([])
    elif names is not None:
        rotation = 90 if axis.axis_name == "x" and max(map(len, names)) > 2 else 0
        axis.set_ticks(range(size), names, fontsize=8, rotation=rotation, parse_math=False)
    else:
        axis.set_major_locator(MaxNLocator(6, integer=True))
        axis.set_major_formatter(lambda x, _: f"{x:,.0f}")


def formats() -> list[str]:
    """Return the endings of pictures that `savefig` can write, as "png" and "svg".

    Example:
        >>> from edgelinear import plot
        >>> "png" in plot.formats()
        True
    """
    return sorted(_figure(1, 1).canvas.get_supported_filetypes())
