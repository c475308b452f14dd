"""Edge tables in files of text."""

import io
import re
import warnings
from typing import Any

import numpy as np

from edgelinear._optional import import_optional
from edgelinear.convert.columns import check_columns, has_weight, refuse_missing
from edgelinear.convert.files import line_of, read_text
from edgelinear.convert.layouts import BLANKS, Layout, Text, find_layout, sample
from edgelinear.convert.rows import check_rows

_PLAIN = re.compile(r"-?(?:0|[1-9][0-9]*)")
_COMMA = r"[+-]?[0-9]*(?:,[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_THOUSANDS = r"[+-]?[1-9][0-9]{0,2}(?:[.,][0-9]{3})+"
_BLOCK = 2**19  # bytes that are looked at together: the second-level cache holds them


def read_table(text: Text, named: bool, weight: Any) -> tuple[Any, list]:
    """Return the columns wanted of a file as a DataFrame of pandas, and the names of all.

    Args:
        named: whether the first two hold names, which are read as they are written.
        weight: the column of values; for None "weight", if there is one; for False none.
    """
    text.check()
    layout = find_layout(read_text(text.path), text)
    check_rows(layout, text)
    columns = layout.columns
    wanted = list(dict.fromkeys(text.wanted))
    if weight is None and has_weight(columns):
        wanted.append("weight")
    check_columns(columns, wanted)
    names = {columns.index(name) for name in text.wanted[:2]} if named else set()
    guessed = names if _holds_strings_in_arrow() else {n for n in names if _seems_whole(layout, n)}
    frame = _parse(layout, text, dict.fromkeys(names - guessed, object))
    # A column is read again as it is written where pandas made of it what may be written otherwise.
    plain = not any(frame[name].dtype.kind in "iu" for name in guessed) or _is_plain(layout)
    doubtful = sorted(n for n in guessed if not _is_as_written(frame[n].dtype, plain))
    if doubtful:
        again = _parse(layout, text, dict.fromkeys(doubtful, object), doubtful)
        for name in doubtful:
            frame[name] = again[name]
    # Rows without any cell at the end are what a spreadsheet leaves below its data.
    if len(frame) and frame.iloc[-1].isna().all():
        last = frame.notna().any(axis=1).to_numpy().nonzero()[0]
        frame = frame.iloc[: last[-1] + 1 if len(last) else 0]
    frame = frame[[columns.index(name) for name in wanted]].set_axis(wanted, axis=1)
    values = "weight" if weight is None else weight
    if weight is not False and values in wanted:
        missing = frame[values].isna().to_numpy()
        read = f"pandas.read_csv(path, sep={layout.sep!r})"
        how = f", as by `{read}.dropna(subset=[{values!r}])`, or pass weight=False"
        refuse_missing(frame[values], missing, how)
        if text.decimal is None:
            frame[values] = _with_points(frame[values], text.path)
            if layout.sep == ";" and frame[values].dtype.kind == "f":  # where commas are decimal
                at = columns.index(values)
                cells = _parse(layout, text, {at: object}, [at])[at].iloc[: len(frame)]
                _refuse_thousands(cells.str.strip(), ".", values, text.path)
    return frame, columns


def _holds_strings_in_arrow() -> bool:
    """Whether pandas finds strings faster than it makes objects of them."""
    pandas = import_optional("pandas")
    return getattr(pandas.Series(["a"]).dtype, "storage", "python") == "pyarrow"


def _is_as_written(dtype: Any, plain: bool) -> bool:
    return plain if dtype.kind in "iu" else hasattr(dtype, "storage")


def _seems_whole(layout: Layout, at: int) -> bool:
    cells = [row[at] for row in sample(layout) if at < len(row)]
    return all(map(_PLAIN.fullmatch, cells))


def _parse(layout: Layout, text: Text, dtype: dict[int, Any], only: list[int] | None = None) -> Any:
    """Return the rows of a file, whose columns are numbered."""
    pandas = import_optional("pandas")
    file = io.BytesIO(layout.data)
    # From the end of the line before: what looks like a byte-order mark would go from a first cell.
    file.seek(max(layout.start - 1, 0))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pandas.errors.ParserWarning)
            # Whatever is of several types is read again as text, or is no number.
            warnings.simplefilter("ignore", pandas.errors.DtypeWarning)
            return pandas.read_csv(
                file,
                sep=layout.sep,
                header=None,
                names=range(len(layout.columns)),
                usecols=only,
                dtype=dtype,
                decimal=text.decimal or ".",
                index_col=False,  # or a first column without a header would shift the others
                keep_default_na=False,  # "NA", "None" and "null" are names that nodes have
                na_values=["", "nan", "NaN"],
            )
    except pandas.errors.EmptyDataError:
        raise ValueError("the table has a header but no rows.") from None
    except pandas.errors.ParserWarning:
        raise ValueError(
            f"{text.path} has rows with more cells than its header: name every column."
        ) from None
    except pandas.errors.ParserError as error:
        raise ValueError(
            f"{text.path} cannot be read as a table: {_explained(str(error), layout)}"
        ) from error


def _explained(error: str, layout: Layout) -> str:
    match = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", error)
    if match is None:
        return error
    line = line_of(layout.data, max(layout.start - 1, 0)) + int(match[2]) - 1
    return (
        f"line {line} has {match[3]} cells, where the header has {len(layout.columns)} by "
        f"{layout.sep!r}. Put cells that hold {layout.sep!r} into quotes, or pass `sep`."
    )


def _is_plain(layout: Layout) -> bool:
    """Whether no whole number in the file has a sign, a zero or a blank that it can do without."""
    data, start = layout.data, layout.start
    parts = b'\n"' + (b" \t" if layout.sep == BLANKS else layout.sep.encode())
    sides = [parts[i : i + 1] for i in range(len(parts))]
    # What follows or goes before a cell is looked for only where it is there at all: two bytes take
    # ten times as long to find as one.
    blanks = [bytes([c]) for c in b" \t\v\f" if c not in parts and data.find(c, start) >= 0]
    first = max(start - 1, 0)  # with the end of the line before
    edges = [side + c for side in sides for c in blanks + [b"+"] * (data.find(b"+", start) >= 0)]
    edges += [c + side for side in sides for c in blanks]
    if re.match(rb"[+\s]|-0|0[0-9]", data[start : start + 3]) or data[-1:] in blanks:
        return False
    if any(data.find(edge, first) >= 0 for edge in edges):
        return False
    return not _has_idle_zero(np.frombuffer(data, dtype=np.uint8)[first:], parts)


def _has_idle_zero(text: np.ndarray, parts: bytes) -> bool:
    """Whether a cell begins with a zero and another digit, or is -0."""
    for at in range(0, len(text), _BLOCK):
        # The last three bytes of a block come again as the first of the next.
        block = text[at : at + _BLOCK + 3]
        if len(block) < _BLOCK + 3:
            block = np.append(block, np.full(3, ord("\n"), dtype=np.uint8))
        begins = block[:-3] == parts[0]
        for part in parts[1:]:
            begins |= block[:-3] == part
        zeros = (begins & (block[1:-2] == ord("0"))).nonzero()[0]
        minus = (begins & (block[1:-2] == ord("-"))).nonzero()[0]
        digits = block[zeros + 2]
        if ((digits >= ord("0")) & (digits <= ord("9"))).any():
            return True
        if ((block[minus + 2] == ord("0")) & (block[minus + 3] != ord("."))).any():
            return True
    return False


def _with_points(column: Any, path: Any) -> Any:
    """Return a column of numbers with decimal commas as numbers, and another one as it is."""
    pandas = import_optional("pandas")
    if pandas.api.types.is_numeric_dtype(column) or pandas.api.types.is_bool_dtype(column):
        return column
    cells = column.dropna().astype(str).str.strip()  # as pandas reads " 0.5"
    commas = cells.str.contains(",", regex=False)
    if not commas.any() or not cells.str.fullmatch(_COMMA).all():
        return column
    _refuse_thousands(cells, ",", column.name, path)
    return pandas.to_numeric(cells.str.replace(",", ".", regex=False)).reindex(column.index)


def _refuse_thousands(cells: Any, mark: str, name: Any, path: Any) -> None:
    """Refuse numbers in which all marks may part thousands as well as decimals."""
    marked = cells[cells.str.contains(mark, regex=False)]
    if len(marked) == 0 or not marked.str.fullmatch(_THOUSANDS).all():
        return
    cell = marked.iloc[0]
    what = {",": "commas", ".": "points"}[mark]
    raise ValueError(
        f"{path}: column {name!r} has {cell!r}, which may be {cell.replace(',', '.')} or "
        f'{cell.replace(mark, "")}: pass decimal="{mark}" for the first, or take the {what} out '
        "for the second."
    )
