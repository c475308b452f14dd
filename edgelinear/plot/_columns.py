"""Columns of boxes with names and bars, joined by lines: where all of it stands, in inches."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from edgelinear.plot._figure import (
    ink,
    make_figure,
    require_matplotlib,
    shortened,
    signed,
    width_of,
    wrapped,
)
from edgelinear.plot._folding import Folded
from edgelinear.plot._stack import HIDDEN, INPUT, OUTPUT, Stack

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure

_FILLS = {INPUT: "#a9c4de", HIDDEN: "#d6d6d6", OUTPUT: "#ecc5a2"}
_EDGE, _BAND, _QUIET = "#8c8c8c", "#cccccc", "#606060"
_ROW, _BOX, _PASS = 0.25, 0.19, 0.08  # inches of a row, its box, and a line that passes a column
_MARGIN, _PAD, _BARE = 0.25, 0.06, 0.6  # of the page, of a name in its box; a box without a name
_FEW = 6  # columns that have room between them
_TOP, _SCALE = 0.8, 1.35  # of title and headings; of the bar of colours
_ADDED = "added up between the same ends and up to twice as wide as the strongest"
_NAME, _HEADING, _TITLE, _NOTE = 8, 8, 11, 8  # points
_THIN, _WIDE, _WIDEST = 0.7, 3.3, 8.0  # points of lines: least, more of the strongest, of a band


class Page(NamedTuple):
    """Where columns and rows stand, from the upper left corner."""

    left: np.ndarray  # (columns,)
    right: np.ndarray  # (columns,)
    height: np.ndarray  # (rows,)
    passes: list[list[float]]  # of each strong edge: heights in the columns that it passes
    size: tuple[float, float]
    note: str


class Scale(NamedTuple):
    """What lines and bands are drawn over: the largest |value| into their column, or of all."""

    of_columns: bool  # where layers have weights of other sizes
    largest: np.ndarray  # (columns,)

    def parts(self, size: np.ndarray, column: np.ndarray) -> np.ndarray:
        return size / np.where(self.largest > 0, self.largest, 1.0)[column]


def draw(stack: Stack, folded: Folded, named: bool, what: str) -> "Figure":
    """Return the picture; `what` is what values are: "weight" or "score"."""
    require_matplotlib()
    scale = _scale(stack, folded)
    headings = _headings(stack, scale)
    labels = _labels(stack, folded, named)
    page = _page(stack, folded, headings, labels, _note(stack, folded, what))
    figure = make_figure(*page.size)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, page.size[0]), ylim=(page.size[1], 0))
    axes.axis("off")
    _write(figure, axes, page, stack.title, headings)
    _draw_bands(axes, page, folded, scale)
    lines = _draw_edges(axes, page, stack, folded, scale)
    if folded.edges.size:
        label = f"{what}, over the largest in the column" if scale.of_columns else what
        _draw_scale(figure, page, lines, label)
    _draw_boxes(axes, page, stack, folded, labels)
    return figure


def _scale(stack: Stack, folded: Folded) -> Scale:
    of_columns = not (folded.whole or stack.is_one)
    largest = _largest(np.abs(stack.value), stack.column[stack.dst], len(stack.headings))
    if not of_columns:
        largest[:] = largest.max(initial=0)
    return Scale(of_columns, largest)


def _largest(size: np.ndarray, column: np.ndarray, columns: int) -> np.ndarray:  # (columns,)
    largest = np.zeros(columns)
    np.maximum.at(largest, column, size)
    return largest


def _headings(stack: Stack, scale: Scale) -> list[str]:
    """Return what stands above the columns: with the largest value, where it is a scale."""
    if not scale.of_columns:
        return stack.headings
    said = [f"\nlargest {largest:.2g}" for largest in scale.largest[1:]]
    return [f"{heading}{more}" for heading, more in zip(stack.headings, ["", *said], strict=True)]


def _write(figure: "Figure", axes: "Axes", page: Page, title: str, headings: list[str]) -> None:
    """Write the headings of columns, the note and the title."""
    quiet: dict[str, Any] = {"color": ink(), "alpha": 0.7, "parse_math": False}
    middle = (page.left + page.right) / 2
    for x, heading in zip(middle, headings, strict=True):
        axes.text(x, _TOP - 0.08, heading, fontsize=_HEADING, ha="center", va="bottom", **quiet)
    axes.text(_MARGIN, page.size[1] - 0.12, page.note, fontsize=_NOTE, va="bottom", **quiet)
    figure.suptitle(title, fontsize=_TITLE, y=1 - 0.15 / page.size[1], va="top")


def _labels(stack: Stack, folded: Folded, named: bool) -> list[str]:
    labels = [shortened(stack.names[node]) if named and node >= 0 else "" for node in folded.node]
    for row in np.flatnonzero(folded.node < 0):
        labels[row] = f"{folded.number[row]:,} others"
    return labels


def _note(stack: Stack, folded: Folded, what: str) -> str:
    said = f"Bars: sum of |{what}| of the edges into a node; out of it, in the first column."
    if folded.whole:
        return said
    drawn = folded.edges.size
    rest = stack.src.size - drawn - folded.skipping
    grey = f"; in grey the other {rest:,}, {_ADDED}" if rest else ""
    if folded.skipping:
        grey += f"; left out: {folded.skipping:,} that skip columns"
    if len(stack.headings) > 2:
        return f"In colour the strongest edges into each column, {drawn} in all{grey}. {said}"
    return f"In colour the {drawn} strongest edges{grey}. {said}"


def _page(stack: Stack, folded: Folded, headings: list[str], labels: list[str], note: str) -> Page:
    columns = len(headings)
    width = np.array(
        [max(width_of(line, _HEADING) for line in heading.split("\n")) for heading in headings]
    )
    box = np.array([width_of(label, _NAME) + 2 * _PAD if label else _BARE for label in labels])
    np.maximum.at(width, folded.column, box)
    height, passes, tall = _heights(folded)
    gap = float(np.clip(0.2 * tall, 1.0 if columns <= _FEW else 0.7, 2.2))
    least = max(6.4, width_of(stack.title, _TITLE) + 2 * _MARGIN)
    bare = width.sum() + 2 * _MARGIN + _SCALE
    if columns > 1:
        gap = max(gap, (least - bare) / (columns - 1))
    wide = max(least, bare + gap * (columns - 1))
    left = _MARGIN + np.cumsum(width + gap) - width - gap
    note = wrapped(note, wide - 2 * _MARGIN, _NOTE)
    middle = _TOP + tall / 2
    return Page(
        left, left + width, height + middle, [[y + middle for y in some] for some in passes],
        (wide, _TOP + tall + 0.4 + 0.15 * note.count("\n")), note,
    )  # fmt: skip


def _heights(folded: Folded) -> tuple[np.ndarray, list[list[float]], float]:
    """Return the heights of rows, of strong edges where they pass a column, and of all.

    Columns are centred at 0. An edge passes in a gap of its own, near to where a straight line
    would.
    """
    column, place = folded.column, folded.place
    size = np.bincount(column, minlength=1)
    wanted = (place - (size[column] - 1) / 2) * _ROW
    height = np.empty(column.size)
    items: list[list[tuple[float, int, float, int, int]]] = [[] for _ in size]
    for row, (at, y) in enumerate(zip(column, wanted, strict=True)):
        items[at].append((y, 0, _ROW, row, 0))
    passes: list[list[float]] = []
    for edge, (a, b) in enumerate(folded.ends.T):
        first, last = column[a], column[b]
        passes.append([0.0] * max(0, last - first - 1))
        for i, at in enumerate(range(first + 1, last)):
            part = (i + 1) / (last - first)
            items[at].append(((1 - part) * wanted[a] + part * wanted[b], 1, _PASS, edge, i))
    tall = [sum(item[2] for item in some) for some in items]
    for some, size_of_all in zip(items, tall, strict=True):
        some.sort()
        y = -size_of_all / 2
        for _, passing, room, which, i in some:
            if passing:
                passes[which][i] = y + room / 2
            else:
                height[which] = y + room / 2
            y += room
    return height, passes, max(1.6, *tall)


def _draw_bands(axes: "Axes", page: Page, folded: Folded, scale: Scale) -> None:
    from matplotlib.collections import LineCollection

    curves = [_curve(page, folded, a, b) for a, b in folded.bands.T]
    wide = _THIN + _WIDE * scale.parts(folded.total, folded.column[folded.bands[1]])
    axes.add_collection(
        LineCollection(
            curves, label="others", colors=_BAND, alpha=0.5, capstyle="butt", zorder=1,
            linewidths=np.minimum(_WIDEST, wide),
        ),
        autolim=False,
    )  # fmt: skip


def _draw_edges(
    axes: "Axes", page: Page, stack: Stack, folded: Folded, scale: Scale
) -> "LineCollection":
    from matplotlib.collections import LineCollection
    from matplotlib.colors import Normalize

    value = stack.value[folded.edges]
    part = scale.parts(value, folded.column[folded.ends[1]])
    bound = 1.0 if scale.of_columns else scale.largest.max(initial=0) or 1.0
    order = np.argsort(np.abs(part), kind="stable")  # strong lines above weak ones
    curves = [_curve(page, folded, *folded.ends.T[i], passes=page.passes[i]) for i in order]
    lines = LineCollection(
        curves, label="strongest", array=(part if scale.of_columns else value)[order],
        cmap=signed(), norm=Normalize(-bound, bound), capstyle="butt", zorder=2,
        linewidths=_THIN + _WIDE * np.abs(part[order]),
    )  # fmt: skip
    axes.add_collection(lines, autolim=False)
    return lines


def _draw_scale(figure: "Figure", page: Page, lines: "LineCollection", label: str) -> None:
    wide, high = page.size
    tall = min(2.2, 0.8 * (high - _TOP - 0.4))
    middle = (page.height.min() + page.height.max()) / 2
    box = (wide - _SCALE + 0.2, high - middle - tall / 2, 0.12, tall)
    axes = figure.add_axes((box[0] / wide, box[1] / high, box[2] / wide, box[3] / high))
    figure.colorbar(lines, cax=axes).set_label(wrapped(label, tall, _NOTE), fontsize=_NOTE)
    axes.tick_params(labelsize=_NOTE)


def _curve(
    page: Page, folded: Folded, a: int, b: int, *, passes: Sequence[float] = ()
) -> np.ndarray:  # (points, 2)
    """Return a line from the box of one row to that of another, level where it meets a column."""
    first, last = folded.column[a], folded.column[b]
    heights = [page.height[a], *passes, page.height[b]]
    columns = [first, *range(first + 1, last), last] if passes else [first, last]
    part = np.linspace(0, 1, 25)
    smooth = part * part * (3 - 2 * part)
    pieces = []
    for i, (y0, y1) in enumerate(zip(heights, heights[1:], strict=False)):
        x0, x1 = page.right[columns[i]], page.left[columns[i + 1]]
        pieces.append(np.stack([x0 + (x1 - x0) * part, y0 + (y1 - y0) * smooth], axis=1))
    return np.concatenate(pieces)


def _draw_boxes(axes: "Axes", page: Page, stack: Stack, folded: Folded, labels: list[str]) -> None:
    left = page.left[folded.column]
    width = page.right[folded.column] - left
    others = folded.node < 0
    score = np.where(others, 0.0, folded.score)
    scale = Scale(True, _largest(score, folded.column, len(stack.headings)))
    part = scale.parts(score, folded.column)
    fills = [_FILLS[int(stack.kind[node])] for node in folded.node]  # others have no bar
    box = {"left": left, "height": _BOX}
    axes.barh(page.height, width, color="white", edgecolor=_EDGE, lw=0.5, zorder=3, **box)
    axes.barh(page.height, width * part, color=fills, zorder=4, label="scores", **box)
    for x, y, label, quiet in zip(left, page.height, labels, others, strict=True):
        style: dict[str, Any] = {"color": "black"}
        if quiet:
            style = {"color": _QUIET, "style": "italic"}
        axes.text(
            x + _PAD, y, label, fontsize=_NAME, va="center_baseline", parse_math=False, zorder=5,
            **style,
        )  # fmt: skip
