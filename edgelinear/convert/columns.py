"""Columns of a table: the nodes that their cells name, and numbers."""

import numbers
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from edgelinear.convert.shared import as_values, import_optional
from edgelinear.topology.wiring import as_list, is_hashable, positions


def column_of(table: Any, name: str) -> Any:
    """Return the column of that name, after checks that it is there and holds no missing value."""
    found = int((table.columns == name).sum())
    if found != 1:
        raise ValueError(
            f"the table has {found or 'no'} column{'s' * (found > 1)} {name!r}, it must have one: "
            f"its columns are {', '.join(map(repr, table.columns))}."
        )
    if len(table) == 0:
        raise ValueError("the table has a header but no rows.")
    column = table[name]
    missing = column.isna().to_numpy()
    if missing.any():
        raise ValueError(
            f"column {name!r} has no value in row {int(missing.argmax())} "
            f"({int(missing.sum())} missing in all): fill or drop these rows."
        )
    return column


def _plain(column: Any) -> Any:
    """Return a column in the type of its values, where it is categorical or of objects."""
    categories = getattr(column, "cat", None)
    if categories is not None:
        column = column.astype(categories.categories.dtype)
    return column.infer_objects()


def column_values(column: Any) -> Tensor | None:
    column = _plain(column)
    kind = column.dtype.kind
    if kind not in "biufc":  # `as_values` refuses complex ones
        raise ValueError(_misfit(column, "numbers", lambda array: ~np.isnan(array)))
    dtype = np.int64 if kind == "b" else f"{kind}{column.dtype.itemsize}"
    return as_values(column.to_numpy(dtype=dtype))


def _whole(column: Any) -> np.ndarray | None:
    """Return a column of whole numbers, which may be floats, as int64 or uint64; else None."""
    kind = column.dtype.kind
    if kind in "iu":
        return column.to_numpy(dtype=f"{kind}8")
    if kind != "f":
        return None
    array = column.to_numpy(dtype=np.float64)
    return array.astype(np.int64) if _is_whole(array).all() else None


def _is_whole(array: np.ndarray) -> np.ndarray:
    return (np.abs(array) <= 2**53) & (array == np.round(array))  # exact, and neither inf nor NaN


def _misfit(column: Any, kind: str, fits: Callable[[np.ndarray], np.ndarray]) -> str:
    """Return a message that names the first cell whose number does not fit."""
    pandas = import_optional("pandas")
    column = _plain(column)
    found = pandas.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    row = int((~fits(found)).argmax())
    return f"column {column.name!r} must hold {kind}, got {column.iloc[row]!r} in row {row}."


def node_indices(column: Any) -> np.ndarray:
    whole = _whole(_plain(column))
    if whole is None:
        raise ValueError(_misfit(column, "indices where sizes are given", _is_whole))
    # A uint64 beyond int64 must not come back as a negative index.
    return whole.clip(max=np.iinfo(np.int64).max).astype(np.int64)


def node_names(
    column: Any, argument: str, given: Sequence[Hashable] | None, from_file: bool
) -> tuple[np.ndarray, list]:
    """Return the index of each cell's node, and the name of each node: those given, if any."""
    if given is None:
        return _found_names(column, from_file)
    given = as_list(argument, given)
    index = positions(argument, given)
    cells, found = _found_names(column, from_file and not any(isinstance(n, str) for n in given))
    alike = {str(n) for n in given}
    # Of names that are not listed, first those whose text is not listed either.
    unknown = min(
        (i for i, name in enumerate(found) if name not in index),
        key=lambda i: str(found[i]) in alike,
        default=None,
    )
    if unknown is not None:
        name = found[unknown]
        kind = f", where names are {type(given[0]).__name__}" if str(name) in alike else ""
        raise ValueError(
            f"column {column.name!r} has {name!r} in row {int((cells == unknown).argmax())}, "
            f"which is not among `{argument}`{kind}: add it, or drop such rows."
        )
    return np.array([index[name] for name in found], dtype=np.int64)[cells], given


def _found_names(column: Any, from_file: bool) -> tuple[np.ndarray, list]:
    """Return the index of each cell's node, and the name of each node that has an edge."""
    pandas = import_optional("pandas")
    if hasattr(column, "cat"):
        cells, used = pandas.factorize(column.cat.codes)
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
    names = pandas.Series(names, dtype=names.dtype).infer_objects()
    whole = _parse_whole(names) if from_file else _whole(names)
    if whole is not None:
        order = np.argsort(whole)
        return np.argsort(order)[cells], whole[order].tolist()
    if names.dtype.kind == "f":
        raise ValueError(_misfit(column, "names or whole numbers", _is_whole))
    names = names.tolist()
    strings = np.array([isinstance(name, str) for name in names])
    numeric = np.array([isinstance(name, numbers.Number) for name in names])
    if strings.any() and numeric.any():
        rows = sorted(int((cells == kind.argmax()).argmax()) for kind in (strings, numeric))
        raise TypeError(
            f"column {column.name!r} mixes strings and numbers (rows {rows[0]} and {rows[1]}), "
            f"so that 7 and '7' are two nodes: use `table[{column.name!r}].astype(str)`."
        )
    return cells, names


def _parse_whole(names: Any) -> np.ndarray | None:
    """Return strings as whole numbers if all are written plainly: "7", not "007"."""
    try:
        whole = [int(name) for name in names]
    except ValueError:
        return None
    if any(str(number) != name for number, name in zip(whole, names, strict=True)):
        return None
    array = np.array(whole)
    return array if array.dtype.kind in "iu" else None
