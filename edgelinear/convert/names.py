"""Names of nodes in the columns of a table: which there are, and which node each cell is."""

import numbers
import re
import unicodedata
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from edgelinear._optional import import_optional
from edgelinear.convert.columns import is_whole, misfit, refuse_missing, whole_numbers
from edgelinear.topology.wiring import is_hashable, positions

_WHOLE = re.compile(r"(-?(?:0|[1-9][0-9]*))(?:\.0+)?")  # "7", or "7.0", as a column of floats has
# A number that a spreadsheet has shortened: "7.20576E+17", and not "2310009E13", which is a gene.
_SHORTENED = re.compile(r"(?m)^-?[0-9](?:[.,][0-9]+[eE]\+?|[eE]\+)[0-9]+$")
_SHOWN = 5  # names in a message


class Nodes(NamedTuple):
    """The node of each cell of a column, and the name of each node."""

    cells: np.ndarray  # (rows,) int64, or -1 where the name is not listed
    names: list
    ascending: bool = False  # whether the names are whole numbers in ascending order


def find_nodes(column: Any, from_file: bool, strip: bool, as_text: bool = False) -> Nodes:
    """Return the nodes that cells name: whole numbers in ascending order, others as they appear.

    In a file, names that are written plainly are whole numbers, unless they are wanted `as_text`.
    """
    if column.dtype.kind in "iu":
        refuse_missing(column, column.isna().to_numpy())
        nodes = _numbered(column)
        return nodes._replace(names=[*map(str, nodes.names)]) if from_file and as_text else nodes
    pandas = import_optional("pandas")
    cells, names = _factorized(column)
    refuse_missing(column, cells < 0)
    if strip:
        together, names = pandas.factorize(names.map(_stripped_if_text))
        cells, names = together[cells], pandas.Series(names, dtype=names.dtype)
    if from_file:
        _refuse_shortened(column, cells, names)
    whole = whole_numbers(names) if not from_file else None if as_text else _parse_whole(names)
    if whole is not None:
        ascending, order = np.unique(whole, return_inverse=True)
        return Nodes(order[cells], ascending.tolist(), True)
    if names.dtype.kind == "f":
        raise ValueError(misfit(column, "names or whole numbers", is_whole))
    nodes = Nodes(cells, names.tolist())
    _check_kinds(column, nodes)
    return nodes


def _refuse_shortened(column: Any, cells: np.ndarray, names: Any) -> None:
    """Refuse ids of which a spreadsheet has kept the first digits alone."""
    names = names.tolist()
    if _SHORTENED.search("\n".join(names)) is None:
        return
    at = next(i for i, name in enumerate(names) if _SHORTENED.fullmatch(name))
    row = int((cells == at).argmax())
    raise ValueError(
        f"column {column.name!r} has {names[at]!r} in row {row}, an id of which a spreadsheet has "
        "kept the first digits alone: export it as text, from where it is whole. If it is a name, "
        "pass `pandas.read_csv(path, dtype=str)`."
    )


def _placed(column: Any, nodes: Nodes, argument: str, listed: list, unknown: str) -> Nodes:
    """Return the nodes as they are numbered in a list, where the unknown ones are -1 or refused."""
    index = positions(argument, listed)
    places = np.array([index.get(name, -1) for name in nodes.names], dtype=np.int64)
    absent = [name for name, place in zip(nodes.names, places, strict=True) if place < 0]
    if absent and unknown == "error":
        texts = {str(name) for name in listed}
        # Of names that are not listed, first those whose text is not listed either.
        name = min(absent, key=lambda name: str(name) in texts)
        hint = f", where names are {type(listed[0]).__name__}" if str(name) in texts else ""
        cure = 'add it, drop such rows, or pass unknown="drop"'
        if not hint and stripped(str(name)) in {stripped(text) for text in texts}:
            hint, cure = " but for blanks", "pass strip=True, or mend the list"
        row = int((nodes.cells == nodes.names.index(name)).argmax())
        raise ValueError(
            f"column {column.name!r} has {name!r} in row {row}, which is not among "
            f"`{argument}`{hint}: {cure}."
        )
    return Nodes(places[nodes.cells], listed)


def place_ends(
    found: Sequence[Nodes], columns: Sequence[Any], lists: dict[str, list | None], unknown: str
) -> tuple[tuple[np.ndarray, list], tuple[np.ndarray, list], np.ndarray | None]:
    """Return the cells and names of both columns, numbered as in the lists where there are any.

    And, if rows were dropped, the position of those that stay.
    """
    placed = [
        nodes if names is None else _placed(column, nodes, argument, names, unknown)
        for nodes, column, (argument, names) in zip(found, columns, lists.items(), strict=True)
    ]
    known = (placed[0].cells >= 0) & (placed[1].cells >= 0)
    if known.all():
        return (*((nodes.cells, nodes.names) for nodes in placed), None)  # type: ignore[return-value]
    absent = [
        f"{several([nodes.names[i] for i in np.unique(nodes.cells[place.cells < 0])], 'name')} "
        f"not in `{argument}`"
        for nodes, place, argument in zip(found, placed, lists, strict=True)
        if (place.cells < 0).any()
    ]
    said = " and ".join(absent)
    if not known.any():
        raise ValueError(f"no row has both its ends among the names listed: {said}.")
    warnings.warn(
        f"{len(known) - int(known.sum())} of {len(known)} rows were dropped: {said}.", stacklevel=3
    )
    first, second = (
        (nodes.cells[known], nodes.names) if names is not None else _used(nodes, known)
        for nodes, names in zip(placed, lists.values(), strict=True)
    )
    return first, second, known.nonzero()[0]


def refuse_alike(columns: Sequence[tuple[Any, Nodes]]) -> None:
    """Refuse names that differ by surrounding or invisible blanks alone, and blank ones."""
    odd = {
        stripped(name): (column, name)
        for column, nodes in columns
        if not nodes.ascending and not _are_bare(nodes.names)
        for name in nodes.names
        if _is_odd(name)
    }
    if not odd:
        return
    for column, nodes in columns:
        for name in nodes.names:
            twin = odd.get(stripped(name) if _is_odd(name) else str(name))
            if twin is not None and twin[1] != name:
                raise ValueError(
                    f"{name!r} in column {column!r} and {twin[1]!r} in column {twin[0]!r} differ "
                    "by blanks alone: pass strip=True to take them for one node."
                )
    if "" in odd:
        column, name = odd[""]
        raise ValueError(f"column {column!r} has {name!r} for a name: fill or drop such rows.")


def stripped(name: str) -> str:
    """Return a name without blanks around it and without characters that have no width."""
    if name.isprintable():
        return name.strip()
    return "".join(
        " " if c.isspace() else c
        for c in name
        if c.isspace() or unicodedata.category(c) not in ("Cc", "Cf")
    ).strip()


def several(names: Sequence[Any], unit: str) -> str:
    shown = ", ".join(map(repr, names[:_SHOWN]))
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{len(names)} {unit}{'s' * (len(names) > 1)} ({shown}{more})"


def _used(nodes: Nodes, kept: np.ndarray) -> tuple[np.ndarray, list]:
    """Return the nodes that the rows kept name."""
    pandas = import_optional("pandas")
    cells, used = pandas.factorize(nodes.cells[kept], sort=nodes.ascending)
    return cells, [nodes.names[i] for i in used]


def _are_bare(names: list) -> bool:
    """Whether all names are strings and none is odd, seen at once as most are so."""
    try:
        text = "|".join(["", *names, ""])
    except TypeError:
        return False
    return text.isprintable() and not any(side in text for side in ("| ", " |", "||"))


def _is_odd(name: Any) -> bool:
    """Whether a name has something that `stripped` takes away: most have not."""
    return isinstance(name, str) and not (name and name.isprintable() and name == name.strip())


def _stripped_if_text(name: Any) -> Any:
    return stripped(name) if isinstance(name, str) else name


def _numbered(column: Any) -> Nodes:
    """Return the nodes of a column of whole numbers, in ascending order."""
    array = whole_numbers(column)
    assert array is not None
    low, high = int(array.min()), int(array.max())
    if high - low > 4 * len(array):
        pandas = import_optional("pandas")
        cells, names = pandas.factorize(array)
        order = np.argsort(names)
        return Nodes(np.argsort(order)[cells], names[order].tolist(), True)
    # A table of where each number is takes a quarter of the time of a hash.
    offsets = (array - array.dtype.type(low)).view(np.int64)
    there = np.zeros(high - low + 1, dtype=bool)
    there[offsets] = True
    names = there.nonzero()[0]
    place = np.empty(len(there), dtype=np.int64)
    place[names] = np.arange(len(names))
    return Nodes(place[offsets], (names.astype(array.dtype) + array.dtype.type(low)).tolist(), True)


def _factorized(column: Any) -> tuple[np.ndarray, Any]:
    """Return the number of each cell's value, by order of appearance, and a Series of values."""
    pandas = import_optional("pandas")
    if hasattr(column, "cat"):
        codes = column.cat.codes.to_numpy()
        refuse_missing(column, codes < 0)
        cells, used = pandas.factorize(codes)
        names = column.cat.categories[used]
    else:
        try:
            cells, names = pandas.factorize(column)
        except TypeError:
            row = next(i for i, cell in enumerate(column) if not is_hashable(cell))
            raise TypeError(
                f"column {column.name!r} must hold one name a cell, got {column.iloc[row]!r} in "
                f"row {row}: `table.explode({column.name!r})` makes a row of each."
            ) from None
    return cells, pandas.Series(names, dtype=names.dtype).infer_objects()


def _parse_whole(names: Any) -> np.ndarray | None:
    """Return strings as whole numbers if all are written plainly: "7" or "7.0", not "007"."""
    found = []
    for name in names:
        match = _WHOLE.fullmatch(name)
        if match is None or match[1] == "-0":
            return None
        found.append(int(match[1]))
    array = np.array(found)
    return array if array.dtype.kind in "iu" else None


def _check_kinds(column: Any, nodes: Nodes) -> None:
    if len({*map(type, nodes.names)}) == 1:
        return
    strings = np.array([isinstance(name, str) for name in nodes.names])
    numeric = np.array([isinstance(name, numbers.Number) for name in nodes.names])
    if strings.any() and numeric.any():
        rows = sorted(int((nodes.cells == kind.argmax()).argmax()) for kind in (strings, numeric))
        raise TypeError(
            f"column {column.name!r} mixes strings and numbers (rows {rows[0]} and {rows[1]}), "
            f"so that 7 and '7' are two nodes: use `table[{column.name!r}].astype(str)`."
        )
