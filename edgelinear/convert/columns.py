"""Columns of a table: that they are there and whole, and their numbers."""

import re
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from edgelinear._optional import import_optional
from edgelinear.convert.shared import as_values

_SHOWN = 40  # columns in a message
_MINUS = re.compile("[\u2010-\u2015\u2212\ufe63\uff0d](?=[0-9.,])")  # hyphens, dashes, minus signs


def check_columns(columns: Sequence[Hashable], wanted: Iterable[Hashable]) -> None:
    """Check that a table has each column wanted, once."""
    for name in wanted:
        found = sum(column == name for column in columns)
        if found != 1:
            shown = ", ".join(map(repr, columns[:_SHOWN])) + ", ..." * (len(columns) > _SHOWN)
            alike = [column for column in columns if str(column).strip() == name != column]
            cure = f"; {alike[0]!r} differs by blanks: rename it" if alike and not found else ""
            raise ValueError(
                f"the table has {found or 'no'} column{'s' * (found > 1)} {name!r}, it must have "
                f"one: its columns are {shown}{cure}."
            )


def has_weight(columns: Iterable[Hashable]) -> bool:
    """Whether a table has a column of weights, be it padded by blanks, which is refused then."""
    return any(isinstance(name, str) and name.strip() == "weight" for name in columns)


def column_of(table: Any, name: Hashable) -> Any:
    """Return the column of that name, of a table that has rows."""
    if len(table) == 0:
        raise ValueError("the table has a header but no rows.")
    return dense(table[name])


def dense(column: Any) -> Any:
    """Return a column, and a sparse one of pandas with all its values."""
    if isinstance(column.dtype, import_optional("pandas").SparseDtype):
        return column.sparse.to_dense()
    return column


def refuse_missing(column: Any, missing: np.ndarray, how: str = "") -> None:
    if missing.any():
        raise ValueError(
            f"column {column.name!r} has no value in row {int(missing.argmax())} "
            f"({int(missing.sum())} missing in all): fill or drop these rows{how}."
        )


def plain(column: Any) -> Any:
    """Return a column in the type of its values, where it is categorical or of objects."""
    categories = getattr(column, "cat", None)
    if categories is not None:
        column = column.astype(categories.categories.dtype)
    return column.infer_objects()


def column_values(column: Any) -> Tensor | None:
    """Return the weights in a column; truth values weigh 1 and 0, as each row is an edge."""
    refuse_missing(column, column.isna().to_numpy())
    column = plain(column)
    kind = column.dtype.kind
    if kind not in "biufc":  # `as_values` refuses complex ones
        raise ValueError(misfit(column, "numbers", lambda array: ~np.isnan(array)))
    dtype = np.int64 if kind == "b" else f"{kind}{column.dtype.itemsize}"
    return as_values(column.to_numpy(dtype=dtype))


def whole_numbers(column: Any) -> np.ndarray | None:
    """Return a column of whole numbers, which may be floats, as int64 or uint64; else None."""
    kind = column.dtype.kind
    if kind in "iu":
        return column.to_numpy(dtype=f"{kind}8")
    if kind != "f":
        return None
    array = column.to_numpy(dtype=np.float64)
    return array.astype(np.int64) if is_whole(array).all() else None


def is_whole(array: np.ndarray) -> np.ndarray:
    return (np.abs(array) <= 2**53) & (array == np.round(array))  # exact, and neither inf nor NaN


def misfit(column: Any, kind: str, fits: Callable[[np.ndarray], np.ndarray]) -> str:
    """Return a message that names the first cell whose number does not fit.

    Of numbers with decimal commas and points, that is the first with a comma; but one that is no
    number either way comes before these.
    """
    column = plain(column)
    wrong = ~fits(_numbers(column))
    if column.dtype.kind not in "biufc":
        texts = column.map(lambda cell: cell.replace(",", ".") if isinstance(cell, str) else cell)
        neither = wrong & ~fits(_numbers(texts))
        wrong = neither if neither.any() else wrong
    row = int(wrong.argmax())
    cell = column.iloc[row]
    cure = ""
    if isinstance(cell, str) and _MINUS.search(cell):
        cure = f": it has {_MINUS.search(cell)[0]!r} for a minus, which must be '-'"  # type: ignore
    return f"column {column.name!r} must hold {kind}, got {cell!r} in row {row}{cure}."


def _numbers(column: Any) -> np.ndarray:
    pandas = import_optional("pandas")
    return pandas.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)


def node_indices(column: Any) -> np.ndarray:
    """Return the indices of nodes in a column."""
    refuse_missing(column, column.isna().to_numpy())
    whole = whole_numbers(plain(column))
    if whole is None:
        raise ValueError(misfit(column, "indices where sizes are given", is_whole))
    # A uint64 beyond int64 must not come back as a negative index.
    return whole.clip(max=np.iinfo(np.int64).max).astype(np.int64)
