"""What pictures share: figures, names, titles, colours."""

import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edgelinear._optional import import_optional
from edgelinear.layers import EdgeNetwork, EdgeRNN
from edgelinear.layers.module import EdgeModule
from edgelinear.topology import Topology
from edgelinear.topology.checks import as_size
from edgelinear.topology.numbers import as_numbers

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, ORANGE, GREY = "#2f5d8c", "#c8722c", "#b0b0b0"
_SIGNED = ["#3b4cc0", "#7f9be8", "#b4b4b4", "#e8957a", "#b40426"]
LINE, CHARACTER = 0.2, 0.07  # inches that a name takes, and a character of it, at 8 points
EDGES = 600  # more lines than these cannot be told apart
_LONGEST = 32  # characters of a name
_HUGE = 1e150  # whose square is finite
_SPARE = 1.12  # as letters are wider where they are fitted to few dots an inch


def make_figure(width: float, height: float) -> "Figure":
    require_matplotlib()
    from edgelinear.plot._shown import ShownFigure

    return ShownFigure(figsize=(width, height), layout="constrained")


def require_matplotlib() -> None:
    import_optional("matplotlib", "plot")


def ink() -> Any:
    """Return the colour of what stands on the ground of a picture, which a style may darken."""
    from matplotlib import rcParams

    return rcParams["text.color"]


def topology_of(wiring: Any) -> Topology:
    if isinstance(wiring, EdgeModule):
        return wiring.topology
    if not isinstance(wiring, Topology):
        raise TypeError(
            f"`wiring` must be a Topology, an EdgeLinear or a network, got {type(wiring).__name__}."
        )
    return wiring


def title_of(topology: Topology) -> str:
    edges = "1 edge" if topology.num_edges == 1 else f"{topology.num_edges:,} edges"
    sizes = f"{topology.in_features:,} -> {topology.out_features:,}"
    return f"{sizes}, {edges} ({100 * topology.density:.3g}% of dense)"


def title_of_network(net: EdgeNetwork | EdgeRNN) -> str:
    edges = "1 edge" if net.num_edges == 1 else f"{net.num_edges:,} edges"
    levels = f", {net.num_levels} levels" if isinstance(net, EdgeNetwork) else ""
    sizes = f"{net.in_features:,} -> {net.out_features:,} of {net.num_nodes:,} nodes"
    return f"{sizes}, {edges}{levels}"


def node_names_of(net: EdgeNetwork | EdgeRNN, most: int, nodes: Iterable[int]) -> list[str] | None:
    """Return the names of some nodes, none too long; None above `most`, or without."""
    return names_of(net, "node_names", None, net.num_nodes, most, nodes)


def names_of(
    wiring: Any,
    argument: str,
    given: Sequence[Any] | None,
    size: int,
    most: int,
    nodes: Iterable[int] | None = None,
) -> list[str] | None:
    """Return the names given, or else the layer's, none too long; None above `most`, or without.

    Those of some `nodes`, in their order, or else of all.
    """
    if isinstance(wiring, EdgeNetwork | EdgeRNN):  # whose sources and targets are all nodes
        names = wiring.node_names if given is None else given
    else:
        names = getattr(wiring, argument, None) if given is None else given
    if names is None:
        return None
    names = list(names)  # a Series would be read by its labels
    if len(names) != size:
        raise ValueError(f"`{argument}` must hold {size} names, got {len(names)}.")
    nodes = range(size) if nodes is None else [*nodes]
    return [shortened(names[node]) for node in nodes] if len(nodes) <= most else None


def shortened(name: Any) -> str:
    """Return at most `_LONGEST` characters, with both ends: names may differ in one alone.

    They are one line, whatever breaks the name has.
    """
    name = " ".join(str(name).split())
    start = 2 * _LONGEST // 3
    return name if len(name) <= _LONGEST else f"{name[:start]}…{name[start + 1 - _LONGEST :]}"


def room_for(names: list[str] | None) -> float:
    """Return the inches that the longest of some names takes."""
    return CHARACTER * max(map(len, names or []), default=0)


def width_of(text: str, size: float) -> float:
    """Return the inches that a line of text takes at some points, at most."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what the font has not: whoever draws it is told
        width, *_ = text_to_path.get_text_width_height_descent(
            text, FontProperties(size=size), False
        )
    return _SPARE * width / 72


def wrapped(text: str, width: float, size: float) -> str:
    """Return text in lines of at most some inches, at some points."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and width_of(longer, size) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)


def check_top(top: Any) -> int:
    """Return the number of edges to draw."""
    top = as_size("top", top)
    if not 1 <= top <= EDGES:
        raise ValueError(
            f"`top` must be the number of edges to draw, from 1 to {EDGES}, which can still be "
            f"told apart, got {top}."
        )
    return top


def weight_of(layer: EdgeModule, what: str = "`weight`") -> np.ndarray:  # (num_edges,)
    return values_of(what, layer.weight, layer.num_edges)


def values_of(what: str, values: Any, num_edges: int) -> np.ndarray:  # (num_edges,)
    """Return one finite number an edge, of float64."""
    found = as_numbers(what, values).detach()
    if found.shape != (num_edges,):
        raise ValueError(
            f"{what} must hold one number for each of the {num_edges} edges, got shape "
            f"{tuple(found.shape)}."
        )
    if found.is_complex():
        raise TypeError(f"{what} must be real to be drawn, got {found.dtype}.")
    if found.is_meta:
        raise ValueError(f"{what} must have values to be drawn, and is on the meta device.")
    array = found.cpu().double().numpy()
    infinite = np.flatnonzero(~np.isfinite(array))
    if infinite.size:
        raise ValueError(
            f"{what} must be finite to be drawn, got {array[infinite[0]]} for edge {infinite[0]}."
        )
    largest = np.abs(array).max(initial=0)
    if largest > _HUGE:
        raise ValueError(f"{what} must be up to {_HUGE:g} to be drawn, got {largest:.3g}.")
    return array


def strongest(
    value: np.ndarray,  # (num_edges,)
    top: int,
    group: np.ndarray | None = None,  # (num_edges,)
) -> np.ndarray:  # (top,) or all
    """Return the edges of the largest |value|, as many of each group as there are, best first.

    Edges of 0 come last, and ties keep their order.
    """
    strength = np.abs(value)
    group = np.zeros(value.size, np.int64) if group is None else group
    order = np.lexsort((-strength, group))
    start = np.searchsorted(group[order], group[order])
    rank = np.empty(value.size, np.int64)
    rank[order] = np.arange(value.size) - start
    return np.lexsort((-strength, rank, strength == 0))[:top]


def signed() -> Any:
    """Return the colours of lines from the lowest value to the highest, grey around 0.

    Those of "coolwarm" are there nearly white, as a thin line must not be.
    """
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("signed", _SIGNED)


def powers(most: int) -> list[int]:
    """Return 1, 10, 100 and so on, up to `most`."""
    return [10**power for power in range(len(str(most)))]


def formats() -> list[str]:
    """Return the endings of pictures that `savefig` can write, as "png" and "svg".

    Example:
        >>> from edgelinear import plot
        >>> "png" in plot.formats()
        True
    """
    return sorted(make_figure(1, 1).canvas.get_supported_filetypes())
