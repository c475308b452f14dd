"""From data with named columns to the inputs of a layer, and from edges to sentences."""

import operator
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgelinear._optional import import_optional
from edgelinear.convert.columns import dense, misfit, plain
from edgelinear.convert.frames import Frame
from edgelinear.convert.names import several, stripped
from edgelinear.topology import Wiring
from edgelinear.topology.wiring import HasWiring, wiring_of

_LOOKED_AT = 5  # columns in which names are looked for


def to_inputs(
    layer: HasWiring | Wiring, table: Any, *, unknown: str = "error", fill: float | None = None
) -> Tensor:  # (rows, in_features)
    """Return the columns of a table in the order of the layer's inputs, by their names.

    Args:
        table: a DataFrame of pandas, polars, pyarrow or dask, with a column for each input, of
            numbers, in any order, and a row for each sample.
        unknown: "error" refuses a column that is no input, "ignore" leaves it out, and "drop" does
            so with a warning that tells the number.
        fill: the value of inputs that have no column, of which a warning tells the number; by
            default they are refused.

    Raises:
        TypeError: if `table` is no DataFrame, or a column does not hold real numbers.
        ValueError: if the layer has no `in_names`, an input has no column or two, a column is no
            input, a cell is missing or too large for the type of the layer, or the inputs are the
            rows of the table.

    Example:
        >>> import pandas
        >>> layer = el.EdgeLinear(2, 1, [(0, 0), (1, 0)], in_names=["TP53", "MYC"])
        >>> to_inputs(layer, pandas.DataFrame({"MYC": [1.0, 2.0], "TP53": [3.0, 4.0]}))
        tensor([[3., 1.],
                [4., 2.]])
    """
    wiring = wiring_of(layer)
    if unknown not in ("error", "ignore", "drop"):
        raise ValueError(f'`unknown` must be "error", "ignore" or "drop", got {unknown!r}.')
    frame = Frame("table", table)
    in_names = wiring.in_names
    if wiring.inputs is not None and in_names is not None:
        in_names = [in_names[node] for node in wiring.inputs]
    if in_names is None:
        kind = "in_names" if wiring.inputs is None else "node_names"
        raise ValueError(f"this layer has no `{kind}`: set them, or pass a tensor to the layer.")
    # Only pandas has columns that are called by numbers.
    has_numbers = frame.kind in ("pandas", "dask")
    names = in_names if has_numbers else [str(name) for name in in_names]
    missing = _missing_columns(names, frame, unknown, fill)
    present = [name for name in names if name not in missing]
    chosen = frame.take(present)[present]
    empty = chosen.isna().to_numpy()
    if empty.any():
        row, column = map(int, np.argwhere(empty)[0])
        raise ValueError(
            f"column {present[column]!r} has no value in row {row} "
            f"({int(empty.sum())} missing in all): fill or drop them."
        )
    chosen = _in_numbers(chosen)
    values = torch.from_numpy(np.array(chosen, dtype=np.float64, order="C"))  # a copy
    if missing and fill is not None:
        warnings.warn(
            f"{several([*missing], 'input')} of {len(names)} had no column, and got {fill}.",
            stacklevel=2,
        )
        filled = values.new_full((len(values), len(names)), fill)
        filled[:, [at for at, name in enumerate(names) if name not in missing]] = values
        values = filled
    if wiring.weight is None:
        return _cast(values, torch.get_default_dtype(), names)
    return _cast(values, wiring.weight.dtype, names).to(wiring.weight.device)


def _in_numbers(table: Any) -> Any:
    """Return a table whose columns hold real numbers, those of objects in a type for all."""
    odd = [
        name
        for name, dtype in table.dtypes.items()
        if not isinstance(dtype, np.dtype) or dtype.kind not in "biuf"
    ]
    table = table.copy(deep=False) if odd else table
    for name in odd:
        table[name] = column = plain(dense(table[name]))
        if column.dtype.kind == "O":
            raise TypeError(misfit(column, "real numbers", lambda array: ~np.isnan(array)))
        if column.dtype.kind not in "biuf":
            raise TypeError(f"column {name!r} must hold real numbers, got {column.dtype}.")
    return table


def _cast(values: Tensor, dtype: torch.dtype, names: list[Any]) -> Tensor:
    """Return inputs in the type of the layer, which they must fit into."""
    narrow = values.to(dtype)
    lost = narrow.isinf() & ~values.isinf()
    if lost.any():
        row, at = lost.nonzero()[0].tolist()
        raise ValueError(
            f"input {names[at]!r} gets {values[row, at].item()} in row {row}, which is too large "
            f"for {dtype}: scale the values, or use `layer.double()`."
        )
    return narrow


def _missing_columns(
    names: list[Any], frame: Frame, unknown: str, fill: float | None
) -> dict[Any, None]:
    """Return the inputs that have no column, in order, if these are to be filled."""
    columns = frame.names
    present = set(columns)
    if len(present) < len(columns):
        repeated = [name for at, name in enumerate(columns) if name in columns[:at]]
        raise ValueError(f"the table has {several(repeated, 'column')} twice.")
    known = set(names)
    missing = [name for name in names if name not in present]
    extra = [name for name in columns if name not in known]
    turned = _where_names_are(frame, known, extra) if missing else None
    if missing and (fill is None or turned or len(missing) == len(names)):
        hint = f" The table has {several(extra, 'column')} that the layer has not." if extra else ""
        cure = turned or _cure(missing, extra, len(missing) == len(names))
        raise ValueError(
            f"the table has no column for {several(missing, 'input')}.{hint} {cure}".rstrip()
        )
    if extra and unknown == "error":
        raise ValueError(
            f"the layer has no input for {several(extra, 'column')}: drop them, or pass "
            'unknown="ignore".'
        )
    if extra and unknown == "drop":
        warnings.warn(f"left out {several(extra, 'column')}, which is no input.", stacklevel=3)
    return dict.fromkeys(missing)


def _where_names_are(frame: Frame, known: set, extra: list) -> str | None:
    """Return how to turn a table whose rows are the inputs, or None."""
    if len(extra) < len(frame.names) / 2:  # its columns are the inputs, or some of them
        return None
    texts = {str(name) for name in known}
    if frame.kind == "pandas":
        found = sum(str(name) in texts for name in frame.table.index)
        if not isinstance(frame.table.index, _range_index()) and found > len(known) / 2:
            return f"Its rows are inputs, {found} of {len(known)}: use `table.T`."
    for name in extra[:_LOOKED_AT]:
        column = frame.take([name])[name]
        if column.dtype.kind in "iu" or not (column.dtype.kind == "O" or _is_text(column)):
            continue
        found = len({str(cell) for cell in column} & texts)
        if found > len(known) / 2:
            turn = f"`table.set_index({name!r}).T`"
            if frame.kind == "polars":
                turn = f"`table.drop({name!r}).transpose(column_names=table[{name!r}])`"
            return (
                f"Column {name!r} names inputs, {found} of {len(known)}, so that its rows are the "
                f"inputs: use {turn}."
            )
    return None


def _is_text(column: Any) -> bool:
    return hasattr(column, "cat") or hasattr(column.dtype, "storage")


def _range_index() -> Any:
    return import_optional("pandas").RangeIndex


def explain(layer: HasWiring | Wiring, edge: Any) -> str:
    """Return what an edge is, in words: its source (an input), its target (an output), its weight.

    Args:
        edge: its position in `edge_index`, or the names of its source and target as a tuple.

    Raises:
        TypeError: if `edge` is neither.
        ValueError: if a name is unknown, no edge joins the two, or several do.
        IndexError: if there is no such edge.

    Example:
        >>> layer = el.EdgeLinear(2, 1, [(0, 0), (1, 0)], weight=[0.5, -0.31], in_names=["A", "B"])
        >>> explain(layer, 1)
        "edge 1: input 'B' (1) -> output 0, weight -0.31"
    """
    wiring = wiring_of(layer)
    topology, weight, in_names, out_names, *_ = wiring
    if isinstance(edge, tuple) and len(edge) == 2:
        edge = _edge_between(wiring, *edge)
    elif isinstance(edge, bool) or not hasattr(edge, "__index__"):
        raise TypeError(
            f"`edge` must be an integer, or a tuple of two names, got {type(edge).__name__}."
        )
    edge = operator.index(edge)
    if not -topology.num_edges <= edge < topology.num_edges:
        raise IndexError(f"there is no edge {edge}: the layer has {topology.num_edges}.")
    edge %= topology.num_edges
    source = _node(int(topology.src[edge]), in_names)
    target = _node(int(topology.dst[edge]), out_names)
    said = [f"input {source} -> output {target}"]
    if wiring.inputs is not None:
        said = [f"node {source} -> node {target}"]
    if weight is not None:
        said.append(f"weight {float(weight[edge]):.6g}")
    said += filter(None, (rule.note(edge) for rule in wiring.rules))
    return f"edge {edge}: {', '.join(said)}"


def _edge_between(wiring: Wiring, source: Any, target: Any) -> int:
    """Return the edge between two nodes, given by name, or by index where they have no names."""
    ends, topology = [], wiring.topology
    sides: tuple[tuple[Any, Any, int, str], ...] = (
        (source, wiring.in_names, topology.in_features, "input"),
        (target, wiring.out_names, topology.out_features, "output"),
    )
    for name, names, size, side in sides:
        names = range(size) if names is None else names
        if name not in names:
            raise ValueError(f"the layer has no {side} {name!r}.")
        ends.append(names.index(name))
    found = ((topology.src == ends[0]) & (topology.dst == ends[1])).nonzero()[:, 0].tolist()
    if len(found) != 1:
        number = f"{len(found)} edges lead" if found else "no edge leads"
        raise ValueError(f"{number} from {source!r} to {target!r}{f': {found}' if found else ''}.")
    return found[0]


def _cure(missing: list[Any], extra: list[Any], all_missing: bool) -> str:
    if set(map(str, missing)) & set(map(str, extra)):
        kind = type(missing[0]).__name__
        return f"Names are {kind} and columns are not: use `table.rename(columns={kind})`."
    bare = {stripped(str(name)) for name in extra}
    if any(stripped(str(name)) in bare for name in missing):
        return "They differ by blanks alone: use `table.rename(columns=str.strip)`."
    if all_missing:
        return "None of its columns is an input."
    return (
        "To fill such columns, use `table.reindex(columns=layer.in_names, fill_value=0.0)` or pass "
        "fill=0.0."
        if not extra
        else "To fill such inputs, pass fill=0.0."
    )


def _node(index: int, names: list[Any] | None) -> str:
    return str(index) if names is None else f"{names[index]!r} ({index})"
