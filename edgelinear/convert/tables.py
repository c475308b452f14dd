"""Tables: pandas data frames, and CSV or TSV files."""

import numbers
import os
import warnings
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from edgelinear.convert.shared import (
    as_values,
    checked_wiring,
    import_optional,
    named_nodes,
    weight_array,
)
from edgelinear.topology import Wiring
from edgelinear.topology.wiring import HasWiring, as_list, positions, wiring_of

if TYPE_CHECKING:
    import pandas


def from_table(
    table: "pandas.DataFrame | str | os.PathLike[str]",
    *,
    source: str = "source",
    target: str = "target",
    weight: str | None = None,
    in_names: Sequence[Hashable] | None = None,  # (in_features,)
    out_names: Sequence[Hashable] | None = None,  # (out_features,)
    in_features: int | None = None,
    out_features: int | None = None,
    duplicates: str = "error",
    sort: bool = False,
) -> Wiring:
    """Read an edge table, a row an edge from `source` (an input) to `target` (an output).

    Edges keep the order of the rows, so that other columns hold good for them. Nodes are named:
    strings are numbered in order of appearance, whole numbers in ascending order, so that ids 0 to
    n - 1 stay what they are. With `in_features` and `out_features` the columns hold indices
    instead, and nodes without an edge are kept. In a file, names are whole numbers if all are
    written plainly ("7", not "007"), and a cell is missing if it is empty or NaN: "NA" is a name.

    Args:
        table: a pandas DataFrame, or the path of a CSV or TSV (`.tsv`) file, compressed or not.
        weight: the column of values; by default "weight", if there is one.
        in_names: the inputs in the order wanted, as the `out_names` of the layer before; those
            without an edge are kept.
        out_names: the outputs, likewise.
        sort: whether to put edges in (target, source) order instead, which is faster.

    Raises:
        TypeError: if `table` is neither, or a column mixes strings and numbers.
        ValueError: if the table is empty, a column is missing, a cell is missing, not of its
            column's kind or not among the names given, or an edge is given twice under
            `duplicates="error"`; rows are counted from 0, below the header.

    Example:
        >>> import pandas
        >>> table = pandas.DataFrame({"source": ["TP53", "MYC"], "target": ["apoptosis", "growth"]})
        >>> from_table(table).out_names
        ['apoptosis', 'growth']
    """
    pandas = import_optional("pandas")
    sized, named = (in_features, out_features), (in_names, out_names)
    if sized.count(None) == 1:
        raise ValueError("give both `in_features` and `out_features`, or neither.")
    if None not in sized and named != (None, None):
        raise ValueError("give names or sizes: with sizes, columns hold indices.")
    frame: Any = table
    if not isinstance(table, pandas.DataFrame):
        if not isinstance(table, (str, os.PathLike)):
            raise TypeError(f"`table` must be a DataFrame or a path, got {type(table).__name__}.")
        frame = _read_file(table, (source, target) if in_features is None else ())
    if weight is None and "weight" in frame.columns:
        weight = "weight"
    src, dst = _column(frame, source), _column(frame, target)
    values = None if weight is None else _values(_column(frame, weight))
    inputs: list | None = None
    outputs: list | None = None
    if in_features is None or out_features is None:
        from_file = frame is not table
        src, inputs = _names(src, "in_names", in_names, from_file)
        dst, outputs = _names(dst, "out_names", out_names, from_file)
        in_features, out_features = len(inputs), len(outputs)
    else:
        src, dst = _indices(src), _indices(dst)
    return checked_wiring(
        in_features,
        out_features,
        src,
        dst,
        values,
        duplicates,
        in_names=inputs,
        out_names=outputs,
        unit="rows",
        sort=sort,
    )


def to_table(
    layer: HasWiring | Wiring,
    *,
    in_names: Sequence[Hashable] | None = None,
    out_names: Sequence[Hashable] | None = None,
) -> "pandas.DataFrame":
    """Return a table of source (an input), target (an output) and weight, a row an edge.

    Nodes have the names given here, or else those of the layer, or else indices. The table of a
    Wiring without values has no weights.

    Raises:
        ValueError: if there are not as many names as nodes, or one is listed twice.

    Example:
        >>> to_table(el.EdgeLinear(3, 2, [(0, 0), (2, 1)]), out_names=["y", "z"])["target"].tolist()
        ['y', 'z']
    """
    wiring = wiring_of(layer)
    pandas = import_optional("pandas")
    inputs, outputs = named_nodes(wiring, in_names, out_names)
    src, dst = wiring.topology.edge_index.cpu().numpy()

    def named(ends: np.ndarray, names: list | None) -> Any:
        return ends if names is None else pandas.Index(names, tupleize_cols=False).take(ends)

    columns = {"source": named(src, inputs), "target": named(dst, outputs)}
    weight = weight_array(wiring)
    return pandas.DataFrame(columns if weight is None else columns | {"weight": weight})


def _read_file(path: Any, named: tuple[str, ...]) -> Any:
    """Return the table in a file, where the columns `named` hold names of nodes, as strings."""
    pandas = import_optional("pandas")
    separator = "\t" if ".tsv" in Path(path).name.lower() else ","
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pandas.errors.ParserWarning)
            return pandas.read_csv(
                path,
                sep=separator,
                dtype=dict.fromkeys(named, str),
                low_memory=False,  # a file read in pieces can give a column of several types
                index_col=False,  # or a first column without a header would shift the others
                keep_default_na=False,  # "NA", "None" and "null" are names that nodes have
                na_values=["", "nan", "NaN"],
            )
    except pandas.errors.EmptyDataError:
        raise ValueError(f"{path} is empty: it must have a header and a row an edge.") from None
    except pandas.errors.ParserWarning:
        raise ValueError(
            f"{path} has rows with more cells than its header: name every column."
        ) from None
    except (pandas.errors.ParserError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read as a table: {error}") from error


def _column(table: Any, name: str) -> Any:
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


def _values(column: Any) -> Tensor | None:
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


def _indices(column: Any) -> np.ndarray:
    whole = _whole(_plain(column))
    if whole is None:
        raise ValueError(_misfit(column, "indices where sizes are given", _is_whole))
    # A uint64 beyond int64 must not come back as a negative index.
    return whole.clip(max=np.iinfo(np.int64).max).astype(np.int64)


def _names(
    column: Any, argument: str, given: Sequence[Hashable] | None, from_file: bool
) -> tuple[np.ndarray, list]:
    """Return the index of each cell's node, and the name of each node: those given, if any."""
    if given is None:
        return _found_names(column, from_file)
    given = as_list(argument, given)
    index = positions(argument, given)
    cells, found = _found_names(column, from_file and not any(isinstance(n, str) for n in given))
    alike = {str(n) for n in given}
    # Of names that are not there, those that differ in more than their type come first.
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
        cells, names = pandas.factorize(column)
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
