"""Weights before and after training."""

from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from edgelinear.layers.module import EdgeModule
from edgelinear.plot._figure import BLUE, GREY, ORANGE, ink, make_figure, values_of
from edgelinear.plot._matrix import mark_counts, shades
from edgelinear.topology import Topology, Wiring
from edgelinear.topology.numbers import as_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DOTS = 5000  # edges that are drawn one by one
_BINS = 60  # at most
_NEAR = 0.01  # of the root mean square: below it, a weight is near zero


def weights(before: Any, after: Any) -> "Figure":
    """Return the weights of the same edges before and after, against each other and by size.

    Left, a dot is an edge, in orange where its sign changed; above 5,000 edges, a cell counts them.
    Right are histograms of both. A weight is near zero where it is below a hundredth of the root
    mean square of all.

    Args:
        before: weights, or a layer, a network or a Wiring that has some. A layer that goes on to
            learn changes its own: take `layer.wiring`, a copy.
        after: likewise, of the same edges in the same order.

    Raises:
        TypeError, ValueError: if they are not finite numbers, one an edge; share their memory, as
            those of a layer before and after do without a copy; or belong to other edges: weights
            follow theirs by `EdgeMap.follow`.
        ImportError: without matplotlib: `pip install 'edgelinear[plot]'`.

    Example:
        >>> from edgelinear import plot
        >>> layer = EdgeLinear(3, 2, [(0, 0), (2, 0), (1, 1)], weight=[0.5, -1.0, 2.0])
        >>> before = layer.wiring
        >>> layer.set_weight([0.5, 1.0, 0.0])
        >>> plot.weights(before, layer).get_suptitle()
        '3 edges: 33.3% of signs changed'
    """
    before, wiring = _weights_of("before", before)
    after, other = _weights_of("after", after)
    if before.data_ptr() == after.data_ptr() != 0:
        raise ValueError(
            "`before` and `after` must be two sets of weights, got one in the same memory: pass "
            "weights before as a copy, `layer.wiring` or `layer.weight.detach().clone()`."
        )
    old, new = _numbers("before", before), _numbers("after", after)
    _check_edges(old, new, wiring, other)
    flipped = np.sign(old) * np.sign(new) < 0
    figure = make_figure(10, 4.8)
    left, right = figure.subplots(1, 2)
    bound = 1.05 * max(np.abs(old).max(initial=0), np.abs(new).max(initial=0)) or 1.0
    if old.size <= _DOTS:
        _draw_dots(left, old, new, flipped)
    else:
        _draw_cells(figure, left, old, new, bound)
    left.axline((0, 0), slope=1, color=ink(), lw=0.8, ls="--", zorder=3)
    for line in (left.axhline, left.axvline):
        line(0, color=ink(), lw=0.5, zorder=0.5)
    left.set(
        xlim=(-bound, bound), ylim=(-bound, bound), aspect="equal", xlabel="before", ylabel="after"
    )
    _draw_histograms(right, old, new, bound)
    edges = "1 edge" if old.size == 1 else f"{old.size:,} edges"
    figure.suptitle(f"{edges}: {_share(flipped)} of signs changed")
    return figure


def _weights_of(argument: str, given: Any) -> tuple[Tensor, Topology | None]:
    """Return weights, and whose edges they are where that is known."""
    topology = None
    if isinstance(given, EdgeModule | Wiring):
        topology, given = given.topology, given.weight
        if given is None:
            raise ValueError(
                f"`{argument}` must have weights, got a Wiring without: pass a layer, or "
                "`layer.wiring`."
            )
    return as_numbers(f"`{argument}`", given), topology


def _numbers(argument: str, found: Tensor) -> np.ndarray:
    return values_of(f"`{argument}`", found, len(found) if found.dim() else 1)


def _check_edges(
    old: np.ndarray, new: np.ndarray, wiring: Topology | None, other: Topology | None
) -> None:
    if old.size != new.size:
        raise ValueError(
            f"`before` has {old.size} weights and `after` {new.size}: where edges came or went, "
            "bring those before to the edges after by `EdgeMap.follow`, as of the map that "
            "`el.rewire` returns."
        )
    if wiring is not None and other is not None and wiring != other:
        raise ValueError(
            "`before` and `after` have as many edges, and others: bring the weights before to the "
            "edges after by `EdgeMap.follow`, as of "
            "`EdgeMap.between(before.topology, after.topology)`."
        )


def _draw_dots(axes: "Axes", old: np.ndarray, new: np.ndarray, flipped: np.ndarray) -> None:
    size = float(np.clip(4000 / max(1, old.size), 3, 24))
    for chosen, colour, label in (
        (~flipped, BLUE, "sign stayed"),
        (flipped, ORANGE, "sign changed"),
    ):
        dots = old[chosen], new[chosen]
        axes.scatter(*dots, s=size, color=colour, label=label, alpha=0.6, lw=0, zorder=2)
    _legend_above(axes)


def _draw_cells(
    figure: "Figure", axes: "Axes", old: np.ndarray, new: np.ndarray, bound: float
) -> None:
    extent = (-bound, bound, -bound, bound)
    cells = axes.hexbin(old, new, gridsize=_BINS, extent=extent, mincnt=1, lw=0.1)
    counts = np.asarray(cells.get_array())
    colours, norm = shades(int(counts.max(initial=0)))
    cells.set(cmap=colours, norm=norm)
    bar = figure.colorbar(cells, ax=axes, label="edges in a cell", shrink=0.8)
    mark_counts(bar, int(counts.max(initial=0)))


def _draw_histograms(axes: "Axes", old: np.ndarray, new: np.ndarray, bound: float) -> None:
    from matplotlib.ticker import MaxNLocator

    both = np.concatenate([old, new])
    near = _NEAR * float(np.sqrt(np.square(both).mean())) if both.size else 0.0
    number = int(np.clip(2 * np.cbrt(old.size), 10, _BINS))  # by Rice's rule
    bins = np.linspace(-bound, bound, number + 1)
    for name, values, colour, fill in (("before", old, GREY, True), ("after", new, BLUE, False)):
        label = f"{name}: {_share(np.abs(values) <= near)} near zero"
        counts, _ = np.histogram(values, bins)
        axes.stairs(counts, bins, fill=fill, color=colour, lw=1.4, label=label)
    axes.set(xlim=(-bound, bound), ylim=(0, None), xlabel=f"weight (near zero: up to {near:.2g})")
    if not both.size:
        axes.set_ylim(0, 1)
    axes.set_ylabel("edges")
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_formatter(lambda y, _: f"{y:,.0f}")
    axes.spines[["top", "right"]].set_visible(False)
    _legend_above(axes)


def _legend_above(axes: "Axes") -> None:
    axes.legend(
        loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False, fontsize=8,
        markerscale=1.5,
    )  # fmt: skip


def _share(chosen: np.ndarray) -> str:
    return f"{100 * chosen.mean() if chosen.size else 0:.3g}%"
