"""What pictures share: figures, names, titles, colours."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgelinear.layers import EdgeNetwork, EdgeRNN
from edgelinear.layers.module import EdgeModule
from edgelinear.topology import Topology

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, ORANGE, GREY = "#2f5d8c", "#c8722c", "#b0b0b0"
LINE, CHARACTER = 0.2, 0.07  # inches that a name takes, and a character of it, at 8 points
_LONGEST = 32  # characters of a name


def make_figure(width: float, height: float) -> "Figure":
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("this needs matplotlib: pip install 'edgelinear[plot]'.") from None
    return Figure(figsize=(width, height), layout="constrained")


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


def node_names_of(net: EdgeNetwork | EdgeRNN, most: int) -> list[str] | None:
    """Return the names of all nodes, none too long; None above `most`, or without."""
    return names_of(net, "node_names", None, net.num_nodes, most)


def names_of(
    wiring: Any, argument: str, given: Sequence[Any] | None, size: int, most: int
) -> list[str] | None:
    """Return the names given, or else the layer's, none too long; None above `most`, or without."""
    if isinstance(wiring, EdgeNetwork | EdgeRNN):  # whose sources and targets are all nodes
        names = wiring.node_names if given is None else given
    else:
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


def room_for(names: list[str] | None) -> float:
    """Return the inches that the longest of some names takes."""
    return CHARACTER * max(map(len, names or []), default=0)


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
