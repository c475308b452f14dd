"""Tables: pandas data frames, and CSV or TSV files."""

import os
import warnings
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgelinear.convert.columns import column_of, column_values, node_indices, node_names
from edgelinear.convert.shared import (
    checked_wiring,
    import_optional,
    named_nodes,
    weight_array,
)
from edgelinear.topology import Wiring
from edgelinear.topology.wiring import HasWiring, wiring_of

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
    sized = (in_features, out_features)
    if sized.count(None) == 1:
        raise ValueError("give both `in_features` and `out_features`, or neither.")
    if None not in sized and not (in_names is None and out_names is None):
        raise ValueError("give names or sizes: with sizes, columns hold indices.")
    frame: Any = table
    if not isinstance(table, pandas.DataFrame):
        if not isinstance(table, (str, os.PathLike)):
            raise TypeError(f"`table` must be a DataFrame or a path, got {type(table).__name__}.")
        frame = _read_file(table, (source, target) if in_features is None else ())
    if weight is None and "weight" in frame.columns:
        weight = "weight"
    src, dst = column_of(frame, source), column_of(frame, target)
    values = None if weight is None else column_values(column_of(frame, weight))
    inputs: list | None = None
    outputs: list | None = None
    if in_features is None or out_features is None:
        from_file = frame is not table
        src, inputs = node_names(src, "in_names", in_names, from_file)
        dst, outputs = node_names(dst, "out_names", out_names, from_file)
        in_features, out_features = len(inputs), len(outputs)
    else:
        src, dst = node_indices(src), node_indices(dst)
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
