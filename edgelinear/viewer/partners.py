"""Tables of the edges into and out of a node: sorted, filtered, in pages, and as CSV."""

import csv
import io
import math
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from edgelinear.viewer.columns import Columns
from edgelinear.viewer.pyramid import edges_at
from edgelinear.viewer.subject import Subject

NUMBERS = ("weight", "contribution", "values", "other", "difference")
# What a spreadsheet would compute, as it begins; plain numbers begin so as well.
_FORMULA = re.compile(r"[=@\t\r]|[+-](?!\d+(\.\d+)?(e[+-]?\d+)?\Z)", re.IGNORECASE)


class Partners(NamedTuple):
    """The edges of a node, in an order, and the nodes at their other ends."""

    side: str  # of the other ends
    edges: np.ndarray  # (number,)
    nodes: np.ndarray  # (number,)


def partners_of(
    subject: Subject,
    columns: Columns,
    node: tuple[str, int],
    direction: str,
    *,
    sort: str = "weight",
    descending: bool = True,
    text: str = "",
) -> Partners:
    """Return the edges into a node, or out of it, of both wirings.

    By names or by numbers. Of numbers their size counts, NaN is the largest, and edges that have
    none stand last; what is equal stands in the order of the edges.

    Raises:
        ValueError: if `direction` or `sort` is something else.
    """
    if direction not in ("in", "out"):
        raise ValueError(f'`direction` must be "in" or "out", got {direction!r}.')
    if sort not in (*NUMBERS, "name"):
        raise ValueError(f"`sort` must be one of {(*NUMBERS, 'name')}, got {sort!r}.")
    side, number = node
    topology = columns.topology
    ends, own, other = topology.by_dst, subject.rows, subject.columns
    if direction == "out":
        ends, own, other = topology.by_src, subject.columns, subject.rows
    none = np.zeros(0, np.int64)
    edges, nodes = edges_at(ends, np.array([number])) if side == own else (none, none)
    order = np.argsort(edges)
    edges, nodes = edges[order], nodes[order].astype(np.int64)
    if text:
        fits = subject.names[other].containing(text, nodes)
        edges, nodes = edges[fits], nodes[fits]
    if sort == "name":
        order = _sorted(subject.names[other].rank[nodes], descending)
    else:
        order = _by_size(columns, sort, edges, descending)
    return Partners(other, edges[order], nodes[order])


def _sorted(keys: np.ndarray, descending: bool) -> np.ndarray:
    return np.argsort(-keys if descending else keys, kind="stable")


def _by_size(columns: Columns, column: str, edges: np.ndarray, descending: bool) -> np.ndarray:
    found, there = numbers_of(columns, column, edges)
    sizes = np.abs(found)
    sizes[np.isnan(sizes)] = np.inf
    # Stable, and by sizes first of all those that have one.
    order = _sorted(sizes, descending)
    return order[np.argsort(~there[order], kind="stable")]


def numbers_of(
    columns: Columns, column: str, edges: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:  # (number,), (number,) bool
    """Return a number of some edges, and which of them have it."""
    if column in columns.all:
        there = np.ones(edges.size, dtype=bool)
        if column == "other" and columns.there is not None:
            there = columns.there[edges]
        return columns.all[column][edges], there
    there = edges < columns.number
    found, column_of = np.zeros(edges.size), columns.here.get(column)
    if column_of is None:
        return found, np.zeros(edges.size, dtype=bool)
    found[there] = column_of[edges[there]]
    return found, there


def shown(columns: Columns) -> list[str]:
    """Return the columns of tables that have anything in them."""
    return [name for name in NUMBERS if name in columns.here or name in columns.all]


def rows_of(subject: Subject, columns: Columns, partners: Partners) -> list[dict]:
    """Return a table as the page has it."""
    side, names = partners.side, subject.names[partners.side]
    found = {name: _plain(*numbers_of(columns, name, partners.edges)) for name in NUMBERS}
    return [
        {
            "edge": edge if edge < columns.number else None,
            "side": side,
            "node": node,
            "name": names[node],
            **{name: column[at] for name, column in found.items()},
            "state": columns.state(edge),
        }
        for at, (edge, node) in enumerate(
            zip(partners.edges.tolist(), partners.nodes.tolist(), strict=True)
        )
    ]


def _plain(found: np.ndarray, there: np.ndarray) -> list[float | str | None]:
    return [
        plain(value) if is_there else None
        for value, is_there in zip(found.tolist(), there.tolist(), strict=True)
    ]


def plain(value: float) -> float | str:
    """Return a number as JSON can have it: one that is not finite by the name of JavaScript's."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else f"{'-' * (value < 0)}Infinity"


def csv_of(subject: Subject, columns: Columns, partners: Partners) -> str:
    """Return a table as CSV, of which a spreadsheet computes nothing.

    Names that begin as a formula does get a quote in front of them; numbers stay numbers, in the
    digits of the type that the weights have.
    """
    edges, nodes = partners.edges.tolist(), partners.nodes.tolist()
    names, kept = subject.names[partners.side], shown(columns)
    table: dict[str, Iterable[Any]] = {
        "edge": (edge if edge < columns.number else "" for edge in edges),
        "node": nodes,
        "name": (_inert(names[node]) for node in nodes),
    }
    for name in kept:
        digits = columns.digits.get(name, np.float64)
        table[name] = _texts(*numbers_of(columns, name, partners.edges), digits)
    if columns.there is not None:
        table["state"] = map(columns.state, edges)
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow(table)
    writer.writerows(zip(*table.values(), strict=True))
    return written.getvalue()


def _texts(found: np.ndarray, there: np.ndarray, precision: Any) -> list[str]:
    digits = found.astype(precision).astype(str)  # the fewest that tell numbers of the type apart
    return np.where(there, digits, "").tolist()


def _inert(name: str) -> str:
    return f"'{name}" if _FORMULA.match(name) else name


def file_name(subject: Subject, node: tuple[str, int], direction: str) -> str:
    """Return what the file of a table is called, in letters that every system takes."""
    side, number = node
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", subject.names[side][number])[:60].strip("._")
    return f"{name or number}-{direction}.csv"
