"""From data with named columns to the inputs of a layer, and from edges to sentences."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from edgelinear.convert.wiring import import_optional

if TYPE_CHECKING:
    import pandas

    from edgelinear.layers import EdgeLinear

_SHOWN = 5  # names in a message


def to_inputs(
    layer: "EdgeLinear", table: "pandas.DataFrame", *, unknown: str = "error"
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
    pandas = import_optional("pandas")
    if unknown not in ("error", "ignore"):
        raise ValueError(f'`unknown` must be "error" or "ignore", got {unknown!r}.')
    if not isinstance(table, pandas.DataFrame):
        raise TypeError(f"`table` must be a DataFrame, got {type(table).__name__}.")
    if layer.in_names is None:
        raise ValueError("this layer has no `in_names`: set them, or pass a tensor to the layer.")
    columns = table.columns.tolist()
    if table.columns.has_duplicates:
        repeated = table.columns[table.columns.duplicated()].tolist()
        raise ValueError(f"the table has {_several(repeated, 'column')} twice.")
    names = set(layer.in_names)
    present = set(columns)
    missing = [name for name in layer.in_names if name not in present]
    extra = [name for name in columns if name not in names]
    if missing:
        hint = (
            f" The table has {_several(extra, 'column')} that the layer has not." if extra else ""
        )
        raise ValueError(f"the table has no column for {_several(missing, 'input')}.{hint}")
    if extra and unknown == "error":
        raise ValueError(
            f"the layer has no input for {_several(extra, 'column')}: drop them, or pass "
            'unknown="ignore".'
        )
    chosen = table[layer.in_names]
    for name, dtype in chosen.dtypes.items():
        if dtype.kind not in "biuf":
            raise TypeError(f"column {name!r} must hold real numbers, got {dtype}.")
    empty = chosen.isna().to_numpy()
    if empty.any():
        row, column = map(int, np.argwhere(empty)[0])
        raise ValueError(
            f"column {layer.in_names[column]!r} has no value in row {row} "
            f"({int(empty.sum())} missing in all): fill or drop them."
        )
    values = torch.from_numpy(np.array(chosen, dtype=np.float64, order="C"))  # a copy
    return values.to(layer.weight.device, layer.weight.dtype)


def explain(layer: "EdgeLinear", edge: int) -> str:
    """Return what an edge is, in words: its source (an input), its target (an output), its weight.

    Raises:
        TypeError: if `edge` is no integer.
        IndexError: if there is no such edge.

    Example:
        >>> layer = el.EdgeLinear(2, 1, [(0, 0), (1, 0)], weight=[0.5, -0.31], in_names=["A", "B"])
        >>> explain(layer, 1)
        "edge 1: input 'B' (1) -> output 0, weight -0.31"
    """
    if isinstance(edge, bool) or not isinstance(edge, (int, np.integer)):
        raise TypeError(f"`edge` must be an integer, got {edge!r}.")
    if not -layer.num_edges <= edge < layer.num_edges:
        raise IndexError(f"there is no edge {edge}: the layer has {layer.num_edges}.")
    edge = int(edge) % layer.num_edges
    src, dst = int(layer.topology.src[edge]), int(layer.topology.dst[edge])
    source = _node(src, layer.in_names)
    target = _node(dst, layer.out_names)
    weight = float(layer.weight[edge].detach())
    return f"edge {edge}: input {source} -> output {target}, weight {weight:.6g}"


def _node(index: int, names: list[Any] | None) -> str:
    return str(index) if names is None else f"{names[index]!r} ({index})"


def _several(names: list[Any], unit: str) -> str:
    shown = ", ".join(map(repr, names[:_SHOWN]))
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{len(names)} {unit}{'s' * (len(names) > 1)} ({shown}{more})"
