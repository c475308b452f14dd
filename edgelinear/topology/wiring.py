"""A topology with what the data says of it: values of edges, and names of nodes."""

from collections.abc import Hashable, Sequence, Set
from typing import Any, NamedTuple, Protocol

import numpy as np
from torch import Tensor

from edgelinear.topology.edits import EdgeMap
from edgelinear.topology.value import Topology


class Note(Protocol):
    """What a rule of weights has to say of an edge, in a word or two."""

    def note(self, edge: int) -> str: ...


class HasWiring(Protocol):
    """A layer, or whatever else has edges with weights."""

    @property
    def wiring(self) -> "Wiring": ...


class Wiring(NamedTuple):
    """Edges from sources (inputs) to targets (outputs), with values and names.

    What importers return, what exporters take, and what a layer has as `layer.wiring`. With
    `inputs` and `outputs`, sources and targets are the nodes of one graph, of which these take
    values and give them.

    Example:
        >>> wiring = el.convert.from_edges(3, 2, [(0, 0), (2, 1)], weight=[0.5, -1.0])
        >>> el.EdgeLinear.from_topology(wiring.topology, weight=wiring.weight).weight.tolist()
        [0.5, -1.0]
    """

    topology: Topology
    weight: Tensor | None = None  #: (num_edges,), or None where the data has no values
    in_names: list | None = None  #: (in_features,), or None where the data has no names
    out_names: list | None = None  #: (out_features,)
    rows: EdgeMap | None = None  #: which row, entry or edge of the data each edge is
    rules: Sequence[Note] = ()  #: those that the weights of a layer follow
    frame: str = "pandas"  #: the library of the table that it was read from, which gets it back
    inputs: list[int] | None = None  #: nodes, or None where sources and targets are two sides
    outputs: list[int] | None = None  #: likewise


def wiring_of(layer: HasWiring | Wiring) -> Wiring:
    """Return a wiring as it is, or that of anything which has one, as a layer.

    Raises:
        TypeError: if it is neither.
    """
    if isinstance(layer, Wiring):
        return layer
    wiring = getattr(layer, "wiring", None)
    if not isinstance(wiring, Wiring):
        raise TypeError(
            f"`layer` must be an EdgeLinear, got {type(layer).__name__}: a Wiring will do as well."
        )
    return wiring


def as_names(argument: str, names: Sequence[Any] | None, size: int) -> list[str | int] | None:
    """Return `names` as a list of `size` different strings or whole numbers.

    Raises:
        TypeError: if a name is something else.
        ValueError: if there is another number of names, or one is listed twice.
    """
    if names is None:
        return None
    names = as_list(argument, names)
    for name in names:
        if not isinstance(name, (str, int)) or isinstance(name, bool):
            raise TypeError(
                f"`{argument}` must hold strings or whole numbers, which a checkpoint can keep, "
                f"got {name!r}."
            )
    return check_names(argument, names, size)


def check_names(argument: str, names: Sequence[Hashable] | None, size: int) -> list | None:
    """Return `names` as a list of `size` different names, of any kind."""
    if names is None:
        return None
    names = as_list(argument, names)
    if len(names) != size:
        raise ValueError(f"`{argument}` must hold {size} names, got {len(names)}.")
    positions(argument, names)
    return names


def as_list(argument: str, names: Any) -> list:
    """Return names of any kind of sequence as a list, in Python's own types.

    The order is that of the features: a set has none.
    """
    if isinstance(names, (Set, str)):
        raise TypeError(
            f"`{argument}` must be a list, whose order is that of the features, "
            f"got a {type(names).__name__}."
        )
    names = list(names)
    return names if _are_plain(names) else [_plain(name) for name in names]


def _are_plain(names: list) -> bool:
    return {*map(type, names)} <= {str, int}


def _plain(name: Any) -> Any:
    """Return a name that an array of NumPy, torch or pyarrow holds as Python has it."""
    if isinstance(name, (str, int)):  # those of NumPy that are strings too
        return str(name) if type(name) is np.str_ else name
    if isinstance(name, (np.number, np.bool_)) or (isinstance(name, Tensor) and name.dim() == 0):
        return name.item()
    return name.as_py() if hasattr(name, "as_py") else name  # a scalar of pyarrow


def positions(argument: str, names: list) -> dict[Hashable, int]:
    """Return the position of each name."""
    if not _are_plain(names):
        _check_hashable(argument, names)
    found = {name: i for i, name in enumerate(names)}
    if len(found) < len(names):
        repeated = next(name for i, name in enumerate(names) if found[name] != i)
        raise ValueError(f"`{argument}` lists {repeated!r} twice.")
    return found


def _check_hashable(argument: str, names: list) -> None:
    for i, name in enumerate(names):
        if isinstance(name, Tensor) or not is_hashable(name):
            raise TypeError(
                f"`{argument}` must hold one name a node, as a string or a whole number, got "
                f"{name!r} at position {i}."
            )


def is_hashable(name: Any) -> bool:
    """Whether a node may have this name: its type does not tell, as a tuple may hold a list."""
    try:
        hash(name)
    except TypeError:
        return False
    return True
