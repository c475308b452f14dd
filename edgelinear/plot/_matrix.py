"""The connectivity matrix, with degrees along its margins."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edgelinear.layers import EdgeRNN
from edgelinear.layers.module import EdgeModule
from edgelinear.orders import level_of, order_of
from edgelinear.plot._figure import (
    BLUE,
    LINE,
    make_figure,
    names_of,
    powers,
    room_for,
    title_of,
    topology_of,
    weight_of,
)
from edgelinear.topology import Topology

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CELLS = 256  # a side at most
NAMES = 40  # ticks with names a side at most
_SHADES = ["#8fbfe0", "#2f6fae", "#5b2a86", "#240833"]  # one edge stands out from white already


def matrix(
    wiring: Topology | EdgeModule,
    *,
    in_names: Sequence[Any] | None = None,  # (in_features,)
    out_names: Sequence[Any] | None = None,  # (out_features,)
    order: str = "given",
) -> "Figure":
    """Return the connectivity matrix, targets down and sources across, degrees along the margins.

    The layout of `nn.Linear.weight`. Above 256 nodes a side, each cell counts the edges of a block,
    and the margins show the mean degree in it. Names, those given or else the layer's, are written
    up to 40 a side, and 32 characters of each; above, ticks are the numbers of nodes, where these
    are in the order given. Of a network, sources and targets are its nodes.

    Args:
        order: that of rows and columns. "given": as nodes are numbered; "level": of a network, by
            level, or, with cycles, by the steps that an input takes to reach a node; "degree":
            largest first; "cluster": nodes with similar edges, by their weights if there are some,
            near to each other, up to 2,000 a side.

    Raises:
        ValueError: if `order` is something else, or cannot be had: "level" of a layer, or "cluster"
            of more nodes or of weights that are not finite.
        ImportError: without matplotlib: `pip install 'edgelinear[plot]'`.

    Example:
        >>> from edgelinear import plot
        >>> topology = Topology(4, 2, [(0, 0), (1, 0), (2, 1), (3, 1)])
        >>> plot.matrix(topology).axes[0].get_xlabel()
        'source (input)'
        >>> plot.matrix(topology, order="degree").axes[0].get_xlabel()
        'source (input), by fan-out'
    """
    topology = topology_of(wiring)
    weight = None
    if order == "cluster" and isinstance(wiring, EdgeModule):
        weight = weight_of(wiring)
    rows, columns = order_of(topology, order, level_of(wiring), weight=weight)
    sources = names_of(wiring, "in_names", in_names, topology.in_features, NAMES, columns)
    targets = names_of(wiring, "out_names", out_names, topology.out_features, NAMES, rows)
    if order != "given":
        sources, targets = sources or numbers(columns), targets or numbers(rows)
        topology = _in_order(topology, rows, columns)
    counts = block_counts(topology)
    figure = make_figure(
        max(7.5, 3 + LINE * len(sources or [])) + room_for(targets),
        max(6.5, 2 + LINE * len(targets or [])) + room_for(sources),
    )
    grid = figure.add_gridspec(2, 2, width_ratios=[5, 1], height_ratios=[1, 5])
    axes = figure.add_subplot(grid[1, 0])
    top = figure.add_subplot(grid[0, 0], sharex=axes)
    right = figure.add_subplot(grid[1, 1], sharey=axes)

    _draw_counts(figure, axes, right, counts, topology)
    across, down = _said(order, isinstance(wiring, EdgeRNN))
    axes.set(xlabel=f"source (input){across}", ylabel=f"target (output){down}")
    numbered = order == "given"
    node_ticks(axes.xaxis, topology.in_features, sources, numbered=numbered)
    node_ticks(axes.yaxis, topology.out_features, targets, numbered=numbered)
    _draw_margin(top, topology.fan_out.cpu().numpy(), counts.shape[1], "fan-out", "vertical")
    _draw_margin(right, topology.fan_in.cpu().numpy(), counts.shape[0], "fan-in", "horizontal")
    figure.suptitle(title_of(topology))
    return figure


def _in_order(topology: Topology, rows: np.ndarray, columns: np.ndarray) -> Topology:
    """Return the wiring with its nodes numbered by where they stand."""
    src, dst = topology.edge_index.cpu().numpy()
    ends = np.stack([np.argsort(columns)[src], np.argsort(rows)[dst]])
    return Topology(topology.in_features, topology.out_features, ends, duplicates="keep")


def numbers(nodes: np.ndarray) -> list[str] | None:
    """Return nodes that have no names as they are numbered; None where they are too many."""
    return [str(node) for node in nodes] if 0 < len(nodes) <= NAMES else None


def _said(order: str, has_cycles: bool) -> tuple[str, str]:
    """Return what the axes say of an order: that of sources, and that of targets."""
    level = ", by steps from an input" if has_cycles else ", by level"
    said = {
        "level": (level, level),
        "degree": (", by fan-out", ", by fan-in"),
        "cluster": (", clustered", ", clustered"),
    }
    return said.get(order, ("", ""))


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
    most = int(counts.max(initial=0))
    colours, norm = shades(most)
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
        bar.set_label(_what_is_counted(topology, counts))
        mark_counts(bar, most)
    if max(rows, columns) <= NAMES:  # tell neighbouring edges apart
        axes.hlines(np.arange(1, rows) - 0.5, -0.5, columns - 0.5, color="white", lw=0.8)
        axes.vlines(np.arange(1, columns) - 0.5, -0.5, rows - 0.5, color="white", lw=0.8)


def shades(most: int) -> tuple[Any, Any]:
    """Return the colours of numbers of edges, and their norm, where 0 is masked."""
    from matplotlib.colors import LinearSegmentedColormap, ListedColormap, LogNorm, Normalize

    if most <= 1:
        return ListedColormap(["white", BLUE]), Normalize(0, 1)
    return LinearSegmentedColormap.from_list("edges", _SHADES), LogNorm(1, most)


def mark_counts(bar: Any, most: int) -> None:
    """Write whole numbers beside a bar of colours, and few of them."""
    from matplotlib.ticker import NullLocator

    bar.set_ticks(powers(most) if most >= 10 else list(range(1, most + 1)))
    bar.ax.yaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
    bar.ax.yaxis.set_minor_locator(NullLocator())


def _what_is_counted(topology: Topology, counts: np.ndarray) -> str:
    rows, columns = counts.shape
    if (rows, columns) == (topology.out_features, topology.in_features):
        return "edges from a source to a target"
    across, down = about(topology.in_features / columns), about(topology.out_features / rows)
    return f"edges in a cell, of about {across} sources x {down} targets"


def about(nodes: float) -> str:
    """Return the nodes of a cell, which are more than one where it is said."""
    return f"{nodes:.0f}" if nodes >= 2 else f"{nodes:.1f}".removesuffix(".0")


def _draw_margin(
    axes: "Axes", degrees: np.ndarray, blocks: int, label: str, orientation: Any
) -> None:
    from matplotlib.ticker import MaxNLocator

    size = len(degrees)
    block = _block(np.arange(size), size, blocks)
    means = np.bincount(block, degrees, blocks) / np.maximum(1, np.bincount(block, None, blocks))
    edges = np.linspace(0, size, blocks + 1) - 0.5
    axes.stairs(means, edges, orientation=orientation, fill=True, color=BLUE)
    # With most nodes that have edges far below the largest, a linear axis would show it alone.
    skewed = means.any() and means.max() > 20 * max(1, np.median(means[means > 0]))
    values, nodes = ("y", "x") if orientation == "vertical" else ("x", "y")
    axis = getattr(axes, f"{values}axis")
    if skewed:
        getattr(axes, f"set_{values}scale")("symlog", linthresh=1)
        axis.set_ticks([0, *powers(int(means.max()))[1:][::-2]])
        axis.set_major_formatter(lambda x, _: f"{x:,.0f}")
    else:
        axis.set_major_locator(MaxNLocator(3, integer=True))
    getattr(axes, f"set_{values}lim")(0, None)
    if not means.any():
        getattr(axes, f"set_{values}lim")(0, 1)
    said = label if size <= blocks else f"mean {label}"
    axis.set_label_text(f"{said} (log)" if skewed else said)
    getattr(axes, f"{nodes}axis").set_tick_params(labelbottom=False, labelleft=False)
    axes.spines[["top", "right"]].set_visible(False)


def node_ticks(axis: Any, size: int, names: list[str] | None, *, numbered: bool) -> None:
    """Mark nodes by their names, or by where they stand if that is how they are numbered."""
    from matplotlib.ticker import MaxNLocator

    if size == 0 or (names is None and not numbered):
        axis.set_ticks([])
    elif names is not None:
        rotation = 90 if axis.axis_name == "x" and max(map(len, names)) > 2 else 0
        axis.set_ticks(range(size), names, fontsize=8, rotation=rotation, parse_math=False)
    else:
        axis.set_major_locator(MaxNLocator(6, integer=True))
        axis.set_major_formatter(lambda x, _: f"{x:,.0f}")
