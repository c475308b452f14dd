"""Tables: data frames of any library, and files of text or of Arrow."""

import os
from collections.abc import Hashable, Sequence
from typing import Any, Literal

import numpy as np

from edgelinear._optional import import_optional
from edgelinear.convert.columns import (
    check_columns,
    column_of,
    column_values,
    has_weight,
    node_indices,
)
from edgelinear.convert.files import is_arrow, read_arrow
from edgelinear.convert.frames import Frame, make_frame
from edgelinear.convert.layouts import Text
from edgelinear.convert.names import find_nodes, place_ends, refuse_alike
from edgelinear.convert.reading import read_table
from edgelinear.convert.shared import checked_wiring, named_nodes, weight_array
from edgelinear.topology import Wiring
from edgelinear.topology.wiring import HasWiring, as_list, wiring_of


def from_table(
    table: Any,
    *,
    source: Any = "source",
    target: Any = "target",
    weight: Any = None,
    in_names: Sequence[Hashable] | None = None,  # (in_features,)
    out_names: Sequence[Hashable] | None = None,  # (out_features,)
    in_features: int | None = None,
    out_features: int | None = None,
    duplicates: str = "error",
    sort: bool = False,
    unknown: str = "error",
    strip: bool = False,
    sep: str | None = None,
    header: bool | None = None,
    comment: str | Literal[False] | None = None,
    columns: Sequence[Hashable] | None = None,
    decimal: str | None = None,
) -> Wiring:
    """Read an edge table, one row per edge from `source` (an input) to `target` (an output).

    Edges keep the order of the rows, so that other columns hold good for them. Nodes are named:
    strings are numbered in order of appearance, whole numbers in ascending order, so that ids 0 to
    n - 1 stay what they are. With `in_features` and `out_features` the columns hold indices
    instead, and nodes without an edge are kept. In a file, names are whole numbers if all are
    written plainly ("7" or "7.0", not "007"), and a cell is missing if it is empty or NaN: "NA" is
    a name. Names that differ by blanks around them, or by characters without width, are refused.

    Args:
        table: a DataFrame of pandas, polars, pyarrow or dask, or the path of a file of text (CSV,
            TSV and the like), Parquet, Feather or Arrow, packed (.gz, .bz2, .xz, .zip) or not.
        weight: the column of values; by default "weight", if there is one; False reads none.
        in_names: the inputs in the order wanted, as the `out_names` of the layer before; those
            without an edge are kept.
        out_names: the outputs, likewise.
        sort: whether to put edges in (target, source) order instead, which is faster.
        unknown: "error" refuses a name that is not among those given, "drop" leaves its rows out
            and warns of how many they are.
        strip: whether to take blanks around names, and characters without width, away.
        sep: what parts the cells of a file of text, as `","`, or `r"\\s+"` for runs of blanks. By
            default what the ending says, or else what parts the header into the columns wanted.
        header: whether the first line names the columns; by default it does unless `columns` are
            given. Without names, columns are numbered from 0.
        comment: what lines that are no rows begin with; False if there are none. By default they
            may only stand above the header.
        columns: the names of the columns, for a file without a header.
        decimal: "." or ","; by default whichever the values allow.

    Raises:
        TypeError: if `table` is neither, or a column mixes strings and numbers.
        ValueError: if the table is empty, a column is missing, a cell is missing, not of its
            column's kind or not among the names given, or an edge is given twice under
            `duplicates="error"`; rows are counted from 0, below the header. If a file can be read
            in several ways.

    Example:
        >>> import pandas
        >>> table = pandas.DataFrame({"source": ["TP53", "MYC"], "target": ["apoptosis", "growth"]})
        >>> from_table(table).out_names
        ['apoptosis', 'growth']
    """
    import_optional("pandas")
    sized, is_named = (in_features, out_features), not (in_names is None and out_names is None)
    if sized.count(None) == 1:
        raise ValueError("give both `in_features` and `out_features`, or neither.")
    if None not in sized and is_named:
        raise ValueError("give names or sizes: with sizes, columns hold indices.")
    if unknown not in ("error", "drop"):
        raise ValueError(f'`unknown` must be "error" or "drop", got {unknown!r}.')
    if unknown == "drop" and not is_named:
        raise ValueError(
            'unknown="drop" needs `in_names` or `out_names`: the names that are known.'
        )
    weight = "weight" if weight is True else weight
    wanted = [source, target] + ([] if weight in (None, False) else [weight])
    text = Text(table, wanted, sep, header, comment, columns, decimal, strip)
    frame, weight, kind = _open(text, weight, in_features is None)
    src, dst = column_of(frame, source), column_of(frame, target)
    values = None if weight is None else column_values(column_of(frame, weight))
    if in_features is not None and out_features is not None:
        src, dst = node_indices(src), node_indices(dst)
        wiring = checked_wiring(
            in_features, out_features, src, dst, values, duplicates, unit="rows", sort=sort
        )
        return wiring._replace(frame=kind or "pandas")
    lists = {
        argument: None if names is None else as_list(argument, names)
        for argument, names in (("in_names", in_names), ("out_names", out_names))
    }
    found = [
        find_nodes(column, kind is None, strip, any(isinstance(name, str) for name in names or ()))
        for column, names in zip((src, dst), lists.values(), strict=True)
    ]
    refuse_alike([(source, found[0]), (target, found[1])])
    (src, inputs), (dst, outputs), kept = place_ends(found, (src, dst), lists, unknown)
    if values is not None and kept is not None:
        values = values[kept]
    wiring = checked_wiring(
        len(inputs),
        len(outputs),
        src,
        dst,
        values,
        duplicates,
        in_names=inputs,
        out_names=outputs,
        unit="rows",
        sort=sort,
        kept=kept,
        number=len(frame),
    )
    return wiring._replace(frame=kind or "pandas")


def _open(text: Text, weight: Any, named: bool) -> tuple[Any, Any, str | None]:
    """Return the columns wanted as a frame of pandas, that of weights, and the kind of the table.

    The kind of a file of text is None, as its cells have no types.
    """
    table, wanted = text.path, [*text.wanted]
    is_path = isinstance(table, (str, os.PathLike))
    if is_path and not is_arrow(table):
        frame, names, kind = *read_table(text, named, weight), None
    else:
        text.check_unused()
        opened = Frame("table", read_arrow(table) if is_path else table, " or a path")
        names, kind = opened.names, "pandas" if is_path else opened.kind
        wanted += ["weight"] if weight is None and has_weight(names) else []
        check_columns(names, wanted)
        frame = opened.take(wanted)
    if weight is None and "weight" in names:
        weight = "weight"
    return frame, None if weight is False else weight, kind


def to_table(
    layer: HasWiring | Wiring,
    *,
    in_names: Sequence[Hashable] | None = None,
    out_names: Sequence[Hashable] | None = None,
    kind: str | None = None,
) -> Any:
    """Return a table of source (an input), target (an output) and weight, one row per edge.

    Nodes have the names given here, or else those of the layer, or else indices. The table of a
    Wiring without values has no weights.

    Args:
        kind: the library of the DataFrame: "pandas", "polars", "pyarrow", "dask", "modin" or
            "cudf"; by default that of the table that a Wiring was read from, and else pandas.

    Raises:
        TypeError: if the library cannot hold names of several kinds in a column.
        ValueError: if there are not as many names as nodes, or one is listed twice.

    Example:
        >>> to_table(el.EdgeLinear(3, 2, [(0, 0), (2, 1)]), out_names=["y", "z"])["target"].tolist()
        ['y', 'z']
    """
    wiring = wiring_of(layer)
    inputs, outputs = named_nodes(wiring, in_names, out_names)
    src, dst = wiring.topology.edge_index.cpu().numpy()

    def named(ends: np.ndarray, names: list | None) -> Any:
        return ends if names is None else [names[end] for end in ends.tolist()]

    columns = {"source": named(src, inputs), "target": named(dst, outputs)}
    weight = weight_array(wiring)
    columns |= {} if weight is None else {"weight": weight}
    return make_frame(wiring.frame if kind is None else kind, columns)
