"""Data frames of any library: what their columns are called, and some of them as one of pandas."""

from collections.abc import Sequence
from typing import Any

from edgelinear._optional import import_optional

KINDS = ("pandas", "polars", "pyarrow", "dask", "modin", "cudf")


class Frame:
    """A data frame of pandas, polars, pyarrow, dask or whatever else narwhals reads.

    Nothing is read of it but the columns that are asked for.
    """

    def __init__(self, argument: str, table: Any, also: str = "") -> None:
        self.table, self.kind = table, "pandas"
        pandas = import_optional("pandas")
        if isinstance(table, pandas.DataFrame):
            return
        if isinstance(table, pandas.Series):
            raise TypeError(
                f"`{argument}` must be a DataFrame{also}, got a Series: for a table of one row, "
                "use `.to_frame().T`, for one of one column `.to_frame()`."
            )
        if _is_of("dask", table) and hasattr(table, "columns"):
            self.kind = "dask"
            return
        import narwhals

        try:
            self.table = narwhals.from_native(_as_arrow(table))
        except TypeError:
            raise TypeError(
                f"`{argument}` must be a DataFrame{also}, got {type(table).__name__}: a frame of "
                "pandas, polars, pyarrow or dask will do."
            ) from None
        except narwhals.exceptions.DuplicateError as error:
            raise ValueError(f"`{argument}` has a column twice: {error}") from None
        self.kind = self.table.implementation.value

    @property
    def names(self) -> list:
        """The names of the columns, which only pandas may give twice or as numbers."""
        if self.kind in ("pandas", "dask"):
            return list(self.table.columns)
        return self.table.collect_schema().names()

    def take(self, names: Sequence[Any]) -> Any:
        """Return the columns of these names, as a DataFrame of pandas.

        One of pandas has all that it had, in its own order.
        """
        if self.kind == "pandas":
            return self.table
        names = [name for name in self.names if name in names]
        if self.kind == "dask":
            return self.table[names].compute().reset_index(drop=True)
        pandas, narwhals = import_optional("pandas"), import_optional("narwhals")
        chosen = self.table.select(names)
        if isinstance(chosen, narwhals.LazyFrame):
            chosen = chosen.collect()
        return pandas.DataFrame({name: _as_array(chosen[name]) for name in names})


def make_frame(kind: str, columns: dict[str, Any]) -> Any:
    """Return arrays and lists as a frame of a library.

    Raises:
        TypeError: if its columns cannot hold names of several kinds.
        ValueError: if the library is not known.
    """
    if kind not in KINDS:
        raise ValueError(f"`kind` must be one of {KINDS}, got {kind!r}.")
    pandas = import_optional("pandas")
    if kind in ("pandas", "dask"):
        frame = pandas.DataFrame(
            {
                name: pandas.Index(values, tupleize_cols=False) if type(values) is list else values
                for name, values in columns.items()
            }
        )
        if kind == "pandas":
            return frame
        return import_optional("dask.dataframe", "dask").from_pandas(frame, npartitions=1)
    for name, values in columns.items():
        kinds = {type(value).__name__ for value in values} if type(values) is list else {"int"}
        if len(kinds) > 1 or not kinds <= {"int", "str"}:
            raise TypeError(
                f"a column of {kind} must hold names of one kind, strings or whole numbers, and "
                f'{name!r} has {", ".join(sorted(kinds))}: pass kind="pandas".'
            )
    import_optional(kind, kind)
    return import_optional("narwhals").from_dict(columns, backend=kind).to_native()


def _as_array(column: Any) -> Any:
    """Return a column of narwhals as an array, where None or NaN is a missing value."""
    narwhals = import_optional("narwhals")
    kind = column.dtype
    if kind in (narwhals.Categorical, narwhals.Enum):
        column = column.cast(narwhals.String)
    elif kind == narwhals.Decimal or (kind == narwhals.Boolean and column.null_count()):
        column = column.cast(narwhals.Float64)
    return column.to_numpy()


def _as_arrow(table: Any) -> Any:
    """Return what hands over its columns by Arrow's protocol, and is no frame, as a table."""
    if _is_of("pyarrow", table) and not hasattr(table, "schema"):
        return table
    streams = hasattr(table, "__arrow_c_stream__") or hasattr(table, "__arrow_c_array__")
    known = any(_is_of(library, table) for library in ("polars", "modin", "cudf", "duckdb"))
    if not streams or known:
        return table
    return import_optional("pyarrow", "arrow").table(table)


def _is_of(library: str, table: Any) -> bool:
    return type(table).__module__.split(".")[0] == library
