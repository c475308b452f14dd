"""What a view shows: its subject and numbers, and what was made of them once."""

from importlib import import_module
from typing import Any

import numpy as np

from edgelinear.orders import CLUSTERED, ORDERS, order_of
from edgelinear.viewer.columns import Columns
from edgelinear.viewer.drawn import STEPS
from edgelinear.viewer.partners import plain
from edgelinear.viewer.pyramid import TILE, Pyramid, Shade, grids_of
from edgelinear.viewer.subject import Subject

_HELD = 2  # orders whose cells are kept: of a large wiring these take some 100 MB each


class Scene:
    """The edges of a subject with their numbers, in every order that somebody asks for."""

    def __init__(self, subject: Subject, columns: Columns) -> None:
        self.subject, self.columns = subject, columns
        self.shades = _shades(columns)
        self._pyramids: dict[str, Pyramid] = {}

    @property
    def orders(self) -> list[str]:
        """The orders that this wiring can be shown in."""
        topology = self.subject.topology
        large = max(topology.in_features, topology.out_features) > CLUSTERED
        left_out = {"cluster"} if large else set()
        if self.subject.level is None:
            left_out.add("level")
        return [order for order in ORDERS if order not in left_out]

    def pyramid(self, order: str) -> Pyramid:
        """Return the cells in an order of rows and columns.

        Raises:
            ValueError: if the wiring cannot be shown in it.
        """
        if order not in self._pyramids:
            places = order_of(self.subject.topology, order, self.subject.level)
            self._pyramids[order] = Pyramid(self.columns.topology, *places, self.shades)
        self._pyramids[order] = self._pyramids.pop(order)  # the one used last stands last
        for old in list(self._pyramids.values())[:-_HELD]:
            old.forget()
        return self._pyramids[order]

    def side(self, given: Any) -> str:
        """Return a side that a page names.

        Raises:
            ValueError: if there is none.
        """
        if given not in self.subject.sides:
            raise ValueError(f"`side` must be one of {self.subject.sides}, got {given!r}.")
        return given

    def node(self, given: Any) -> tuple[str, int]:
        """Return a node that a page names by its side and number.

        Raises:
            ValueError: if there is none.
        """
        side, number = self.side(given[0]), int(given[1])
        size = self.subject.names[side].size
        if not 0 <= number < size:
            raise ValueError(f"there is no node {number} on the side {side!r}, which has {size}.")
        return side, number

    def number(self, column: str, edge: int) -> float | str | None:
        """Return a number of an edge as the page has it, or None where it has none."""
        value = self.columns.value(column, edge)
        return None if value is None else plain(value)

    def meta(self) -> dict[str, Any]:
        """Return what the page knows from the start."""
        subject, topology = self.subject, self.subject.topology
        grids = grids_of(topology.out_features, topology.in_features)
        return {
            "title": subject.title,
            "kind": subject.kind,
            "version": _version(),
            "digest": topology.digest,
            "rows": topology.out_features,
            "columns": topology.in_features,
            "edges": subject.num_edges,
            "sides": list(subject.sides),
            "node_sides": {"rows": subject.rows, "columns": subject.columns},
            "orders": self.orders,
            "values": [{"key": key, "label": shade.label} for key, shade in self.shades.items()],
            "signed": [key for key, shade in self.shades.items() if shade.is_signed],
            "depth": len(grids),
            "spans": [[grid.row_size, grid.column_size] for grid in grids],
            "tile": TILE,
            "named": any(names.names is not None for names in subject.names.values()),
            "compare": self.columns.there is not None,
            "steps": STEPS if subject.has_cycles else None,
            "notes": self.notes(),
        }

    def notes(self) -> list[str]:
        """Return what is to be said of the numbers and the names."""
        notes = list(self.subject.notes)
        if self.columns.there is not None:
            notes.append(_compared(self.columns.there, self.columns.number))
        for name, column in (self.columns.here | self.columns.all).items():
            odd = ~np.isfinite(column)
            if name == "other":
                odd &= self.columns.there
            number = int(odd.sum())
            if number:
                edges = "1 edge has" if number == 1 else f"{number:,} edges have"
                notes.append(f"{edges} no finite number as {name!r}: cells with one are marked.")
        if self.columns.there is not None and not {"weight", "other"} <= self._known():
            notes.append("Not both wirings have weights: each edge counts as 1 in differences.")
        return notes

    def _known(self) -> set[str]:
        return {*self.columns.here, *self.columns.all}


def _compared(there: np.ndarray, number: int) -> str:
    both, alone = int(there[:number].sum()), there.size - number
    edges = "1 edge is" if both == 1 else f"{both:,} edges are"
    return (
        f"Compared with another wiring: {edges} in both, {number - both:,} here alone, "
        f"{alone:,} in the other alone."
    )


def _version() -> str:
    # No import that a reader of imports would see: the package brings in what stands above this.
    return import_module("edgelinear").__version__


def _shades(columns: Columns) -> dict[str, Shade]:
    """Return what cells can be coloured by."""
    is_here = None
    if columns.topology.num_edges > columns.number:
        is_here = np.arange(columns.topology.num_edges) < columns.number
    shades = {"count": Shade("edges in a cell", None, is_here)}
    for key, label in (("weight", "mean |weight|"), ("values", "mean |values|")):
        if key in columns.here:
            shades[key] = Shade(label, _filled(columns.here[key], columns), is_here)
    if columns.there is None:
        return shades
    other = columns.all.get("other")
    label = "edges of the other in a cell" if other is None else "mean |weight| of the other"
    return shades | {
        "other": Shade(label, other, columns.there),
        "difference": Shade("mean difference", columns.all["difference"], None, is_signed=True),
    }


def _filled(column: np.ndarray, columns: Columns) -> np.ndarray:
    """Return a column with a number, which nothing reads, for edges of the other wiring alone."""
    missing = columns.topology.num_edges - columns.number
    return column if not missing else np.concatenate([column, np.zeros(missing)])
