"""From data with named columns to the inputs of a layer, and from edges to sentences."""

import operator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from edgelinear.convert.shared import import_optional
from edgelinear.topology import Wiring
from edgelinear.topology.wiring import HasWiring, wiring_of

if TYPE_CHECKING:
    import pandas

_SHOWN = 5  # names in a message


def to_inputs(
    layer: HasWiring | Wiring, table: "pandas.DataFrame", *, unknown: str = "error"
) -> Tensor:  # (rows, in_features)
    """Return the columns of a table in the order of the layer's inputs, by their names.

    Args:
        table: a column for each input, of numbers, in any order.
        unknown: "error" refuses a column that is no input, "ignore" leaves it out.

    Raises:
        TypeError: if `table` is no DataFrame, or a column does not hold real numbers.
        ValueError: if the layer has no `in_names`, an input has no column or two, a column is no
            input, or a cell is missing.

    Example:
        >>> import pandas
        >>> layer = el.EdgeLinear(2, 1, [(0, 0), (1, 0)], in_names=["TP53", "MYC"])
        >>> to_inputs(layer, pandas.DataFrame({"MYC": [1.0, 2.0], "TP53": [3.0, 4.0]}))
        tensor([[3., 1.],
                [4., 2.]])
    """
    wiring = wiring_of(layer)
    pandas = import_optional("pandas")
    if unknown not in ("error", "ignore"):
        raise ValueError(f'`unknown` must be "error" or "ignore", got {unknown!r}.')
    if not isinstance(table, pandas.DataFrame):
        raise TypeError(f"`table` must be a DataFrame, got {type(table).__name__}.")
    names = wiring.in_names
    if names is None:
        raise ValueError("this layer has no `in_names`: set them, or pass a tensor to the layer.")
    _check_columns(names, table.columns, unknown)
    chosen = table[names]
    for name, dtype in chosen.dtypes.items():
        if dtype.kind not in "biuf":
            raise TypeError(f"column {name!r} must hold real numbers, got {dtype}.")
    empty = chosen.isna().to_numpy()
    if empty.any():
        row, column = map(int, np.argwhere(empty)[0])
        raise ValueError(
            f"column {names[column]!r} has no value in row {row} "
            f"({int(empty.sum())} missing in all): fill or drop them."
        )
    values = torch.from_numpy(np.array(chosen, dtype=np.float64, order="C"))  # a copy
    return (
        values.to(torch.get_default_dtype()) if wiring.weight is None else values.to(wiring.weight)
    )


def _check_columns(names: list[Any], columns: "pandas.Index", unknown: str) -> None:
    if columns.has_duplicates:
        repeated = columns[columns.duplicated()].tolist()
        raise ValueError(f"the table has {_several(repeated, 'column')} twice.")
    known, present = set(names), set(columns)
    missing = [name for name in names if name not in present]
    extra = [name for name in columns if name not in known]
    if missing:
        hint = (
            f" The table has {_several(extra, 'column')} that the layer has not." if extra else ""
        )
        raise ValueError(
            f"the table has no column for {_several(missing, 'input')}.{hint} "
            f"{_cure(missing, extra)}"
        )
    if extra and unknown == "error":
        raise ValueError(
            f"the layer has no input for {_several(extra, 'column')}: drop them, or pass "
            'unknown="ignore".'
        )


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
    topology, weight, in_names, out_names, _, rules, _ = wiring = wiring_of(layer)
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
    if weight is not None:
        said.append(f"weight {float(weight[edge]):.6g}")
    said += filter(None, (rule.note(edge) for rule in rules))
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


def _cure(missing: list[Any], extra: list[Any]) -> str:
    if set(map(str, missing)) & set(map(str, extra)):
        kind = type(missing[0]).__name__
        return f"Names are {kind} and columns are not: use `table.rename(columns={kind})`."
    return "To fill such columns, use `table.reindex(columns=layer.in_names, fill_value=0.0)`."


def _node(index: int, names: list[Any] | None) -> str:
    return str(index) if names is None else f"{names[index]!r} ({index})"


def _several(names: list[Any], unit: str) -> str:
    shown = ", ".join(map(repr, names[:_SHOWN]))
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{len(names)} {unit}{'s' * (len(names) > 1)} ({shown}{more})"
