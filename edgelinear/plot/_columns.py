"""Columns of boxes with names and bars, joined by lines: where all of it stands, in inches."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from edgelinear.plot._figure import make_figure, shortened, signed, width_of
from edgelinear.plot._folding import Folded
from edgelinear.plot._stack import HIDDEN, INPUT, OUTPUT, Stack

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FILLS = {INPUT: "#a9c4de", HIDDEN: "#d6d6d6", OUTPUT: "#ecc5a2"}
_EDGE, _BAND, _QUIET = "#8c8c8c", "#cccccc", "#606060"
_ROW, _BOX, _PASS = 0.25, 0.19, 0.08  # inches of a row, its box, and a line that passes a column
_MARGIN, _PAD, _BARE = 0.25, 0.06, 0.6  # of the page, of a name in its box; a box without a name
_FEW = 6  # columns that have room between them
_TOP, _SCALE = 0.8, 1.15  # of title and headings; of the bar of colours
_LETTER = 0.058  # of the note
_NAME, _HEADING, _TITLE, _NOTE = 8, 8, 11, 8  # points
_THIN, _WIDE, _WIDEST = 0.7, 3.3, 7.0  # points of lines, and what the strongest line and band add


class Page(NamedTuple):
    """Where columns and rows stand, from the upper left corner."""

    left: np.ndarray  # (columns,)
    right: np.ndarray  # (columns,)
    height: np.ndarray  # (rows,)
    passes: list[list[float]]  # of each strong edge: heights in the columns that it passes
    size: tuple[float, float]
    note: str


def draw(stack: Stack, folded: Folded, named: bool, what: str) -> "Figure":
    """Return the picture; `what` is what values are: "weight" or "score"."""
    labels = _labels(stack, folded, named)
    page = _page(stack, folded, labels, _note(stack, folded, what))
    figure = make_figure(*page.size)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, page.size[0]), ylim=(page.size[1], 0))
    axes.axis("off")
    _write(figure, axes, page, stack)
    _draw_bands(axes, page, folded)
    _draw_edges(figure, axes, page, stack, folded, what)
    _draw_boxes(axes, page, stack, folded, labels)
    return figure


def _write(figure: "Figure", axes: "Axes", page: Page, stack: Stack) -> None:
    """Write the headings of columns, the note and the title."""
    quiet: dict[str, Any] = {"color": _QUIET, "parse_math": False}
    middle = (page.left + page.right) / 2
    for x, heading in zip(middle, stack.headings, strict=True):
        axes.text(x, _TOP - 0.12, heading, fontsize=_HEADING, ha="center", **quiet)
    axes.text(_MARGIN, page.size[1] - 0.12, page.note, fontsize=_NOTE, va="bottom", **quiet)
    figure.suptitle(stack.title, fontsize=_TITLE, y=1 - 0.15 / page.size[1], va="top")


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
    rest = stack.src.size - drawn
    grey = f"; in grey the other {rest:,}, added up between the same ends" if rest else ""
    if len(stack.headings) > 2:
        return f"In colour the strongest edges into each column, {drawn} in all{grey}. {said}"
    return f"In colour the {drawn} strongest edges{grey}. {said}"


def _page(stack: Stack, folded: Folded, labels: list[str], note: str) -> Page:
    columns = len(stack.headings)
    width = np.array([width_of(heading, _HEADING) for heading in stack.headings])
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
    lines = textwrap.wrap(note, int((wide - 2 * _MARGIN) / _LETTER))
    middle = _TOP + tall / 2
    return Page(
        left, left + width, height + middle, [[y + middle for y in some] for some in passes],
        (wide, _TOP + tall + 0.25 + 0.15 * len(lines)), "\n".join(lines),
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


def _draw_bands(axes: "Axes", page: Page, folded: Folded) -> None:
    from matplotlib.collections import LineCollection

    into = folded.column[folded.bands[1]]
    part = _parts(folded.total, into)
    curves = [_curve(page, folded, a, b) for a, b in folded.bands.T]
    axes.add_collection(
        LineCollection(
            curves, label="others", colors=_BAND, alpha=0.6, linewidths=0.3 + _WIDEST * part,
            capstyle="butt", zorder=1,
        ),
        autolim=False,
    )  # fmt: skip


def _draw_edges(
    figure: "Figure", axes: "Axes", page: Page, stack: Stack, folded: Folded, what: str
) -> None:
    from matplotlib.collections import LineCollection
    from matplotlib.colors import Normalize

    value, into = stack.value[folded.edges], folded.column[folded.ends[1]]
    # Columns of other sizes have weights of other sizes.
    relative = not folded.whole and len(stack.headings) > 2
    if relative:
        value = np.sign(value) * _parts(np.abs(value), into)
    bound = float(np.abs(value).max(initial=0)) or 1.0
    order = np.argsort(np.abs(value), kind="stable")  # strong lines above weak ones
    curves = [_curve(page, folded, *folded.ends.T[i], passes=page.passes[i]) for i in order]
    lines = LineCollection(
        curves, label="strongest", array=value[order], cmap=signed(),
        norm=Normalize(-bound, bound), capstyle="butt", zorder=2,
        linewidths=_THIN + _WIDE * np.abs(value[order]) / bound,
    )  # fmt: skip
    axes.add_collection(lines, autolim=False)
    if value.size:
        wide, high = page.size
        tall = min(2.2, 0.8 * (high - _TOP - 0.4))
        middle = (page.height.min() + page.height.max()) / 2
        box = (wide - _SCALE + 0.2, high - middle - tall / 2, 0.12, tall)
        scale = figure.add_axes((box[0] / wide, box[1] / high, box[2] / wide, box[3] / high))
        label = f"{what}, over the largest in the column" if relative else what
        figure.colorbar(lines, cax=scale).set_label(label, fontsize=_NOTE)
        scale.tick_params(labelsize=_NOTE)


def _parts(size: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Return sizes over the largest of their group."""
    largest = np.zeros(group.max(initial=0) + 1)
    np.maximum.at(largest, group, size)
    return size / np.where(largest > 0, largest, 1.0)[group]


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
    part = _parts(np.where(others, 0.0, folded.score), folded.column)
    fills = [_FILLS[int(stack.kind[node])] for node in folded.node]  # others have no bar
    box = {"left": left, "height": _BOX}
    axes.barh(page.height, width, color="white", edgecolor=_EDGE, lw=0.5, zorder=3, **box)
    axes.barh(page.height, width * part, color=fills, zorder=4, label="scores", **box)
    for x, y, label, quiet in zip(left, page.height, labels, others, strict=True):
        style: dict[str, Any] = {"color": _QUIET, "style": "italic"} if quiet else {}
        axes.text(
            x + _PAD, y, label, fontsize=_NAME, va="center_baseline", parse_math=False, zorder=5,
            **style,
        )  # fmt: skip
