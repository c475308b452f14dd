"""What becomes of edges when a wiring changes, so that values can follow them."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from edgelinear.topology.numbers import as_numbers, cast

COMBINED = ("sum", "mean", "max", "min")


class HasEdges(Protocol):
    """A topology, or whatever else has edges between numbered nodes."""

    @property
    def in_features(self) -> int: ...
    @property
    def edge_index(self) -> Tensor: ...


@dataclass(frozen=True, eq=False, repr=False)
class EdgeMap:
    """Which old edge each new edge is, after edges were sorted, merged, added or taken away.

    Whatever has an entry an edge follows: weights, the state of an optimizer, columns of a table.

    Args:
        old: (num_edges,) integers: the position of each new edge among the old ones, or -1 where it
            is none of them.
        new: (num_old_edges,) integers, where several old edges were merged into one: the new edge
            that each old one is part of, or -1 where it was taken away, as are old edges beyond
            these. `old` is then the first of them.

    Raises:
        TypeError: if they are no integers.
        ValueError: if they have another shape, a number below -1, or contradict each other.

    Example:
        >>> edges = EdgeMap([2, 0, -1])
        >>> edges
        EdgeMap(num_edges=3, of which new: 1)
        >>> edges.follow(torch.tensor([10.0, 20.0, 30.0]), fill=1.0)
        tensor([30., 10.,  1.])
    """

    old: Tensor
    new: Tensor | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "old", _checked("old", self.old))
        if self.new is not None:
            object.__setattr__(self, "new", _checked("new", self.new))
            _check_agreement(self.old, self.new)

    @classmethod
    def identity(cls, num_edges: int) -> "EdgeMap":
        """Return the map of a change that leaves every edge where it is."""
        return cls(torch.arange(num_edges, device="cpu"))

    @classmethod
    def between(cls, before: HasEdges, after: HasEdges) -> "EdgeMap":
        """Return the map from one topology to another: edges are the same if both ends are.

        Parallel edges are matched in their order.

        Example:
            >>> before, after = Topology(2, 2, [(0, 0), (1, 1)]), Topology(2, 2, [(1, 1), (0, 1)])
            >>> EdgeMap.between(before, after).old
            tensor([ 1, -1])
        """
        columns = max(before.in_features, after.in_features)
        old_cells, old_ids = _in_order(before, columns)
        cells, ids = _in_order(after, columns)
        rank = np.arange(cells.size) - np.searchsorted(cells, cells)  # among parallel edges
        match = np.searchsorted(old_cells, cells) + rank
        found = match < np.searchsorted(old_cells, cells, side="right")
        old = np.full(cells.size, -1)
        old[ids[found]] = old_ids[match[found]]
        return cls(torch.from_numpy(old))

    @property
    def num_edges(self) -> int:
        """Number of new edges."""
        return self.old.shape[0]

    def follow(self, values: Any, fill: Any = 0.0) -> Any:
        """Return `values`, an entry for each old edge, as an entry for each new one.

        Args:
            values: a tensor, an array, or a Series or DataFrame of pandas; (num_old_edges, ...).
            fill: what edges that are none of the old ones get: a number, or a tensor of
                (num_edges, ...). The type of the result holds both, as 0.5 among integers.

        Differentiable. Of merged edges, the first one's entry counts: `sum` adds them up.

        Raises:
            TypeError: if texts or times would need a `fill` of their kind.
            ValueError: if there are too few values, or data of pandas would need a `fill`.

        Example:
            >>> EdgeMap([1, 0]).follow(np.array(["a", "b"]))
            array(['b', 'a'], dtype='<U1')
        """
        self._check_length(len(values))
        if isinstance(values, Tensor):
            return self._follow_tensor(values, fill)
        if hasattr(values, "iloc"):
            if self._has_new:
                raise ValueError(
                    "some edges are none of the old ones, for which the data has no row: pass a "
                    "column as an array, and `fill`."
                )
            return values.iloc[self.old.cpu().numpy()]
        # A masked array goes on hiding what it hides.
        masked = isinstance(values, np.ma.MaskedArray)
        return self._follow_array(values if masked else np.asarray(values), fill)

    def _follow_tensor(self, values: Tensor, fill: Any) -> Tensor:
        old = self.old.to(values.device)
        if not self._has_new:
            return values.index_select(0, old)
        if not isinstance(fill, (bool, int, float, complex)):
            fill = torch.as_tensor(fill, device=values.device)
        dtype = values.dtype if _is_zero(fill) else torch.result_type(values, fill)
        filled = torch.as_tensor(fill, dtype=dtype, device=values.device)
        if len(values) == 0:
            return filled.expand(self.num_edges, *values.shape[1:]).clone()
        there = (old >= 0).view(-1, *[1] * (values.dim() - 1))
        return torch.where(there, values.index_select(0, old.clamp(min=0)).to(dtype), filled)

    def _follow_array(self, values: np.ndarray, fill: Any) -> np.ndarray:
        old = self.old.cpu().numpy()
        if not self._has_new:
            return values[old]
        shape = (self.num_edges, *values.shape[1:])
        kind = values.dtype.kind
        if kind in "USMm":
            fill = np.asarray(fill)  # or NumPy would take a text for the name of a type
            if fill.dtype.kind != kind:
                raise TypeError(
                    f"some edges are none of the old ones: pass a `fill` that values of "
                    f"{values.dtype} may have, got {fill.tolist()!r}."
                )
        fits = kind in "biufc" and _is_zero(fill)
        dtype = values.dtype if fits else np.result_type(values, fill)
        followed = np.empty_like(values, dtype=dtype, shape=shape)
        followed[...] = fill
        followed[old >= 0] = values[old[old >= 0]]
        return followed

    def sum(self, values: Any) -> Tensor:
        """Return for each new edge the sum of the values of the old edges that it was merged from.

        As `combine(values, "sum")`.

        Example:
            >>> EdgeMap([0, 2], new=[0, 0, 1]).sum(torch.tensor([1.0, 2.0, 3.0]))
            tensor([3., 3.])
        """
        return self.combine(values, "sum")

    def combine(self, values: Any, how: str) -> Tensor:
        """Return for each new edge one value for the old edges that it was merged from.

        Numbers are added up in float64 or int64, and rounded once. Edges that are none of the old
        ones get 0. Sums of whole numbers are of int64, as those of truth values, which count what
        is true; means are of torch's default type. All else keeps its type. Differentiable.

        Args:
            values: numbers, an entry for each old edge; (num_old_edges, ...).
            how: "sum", "mean", "max" or "min".

        Raises:
            ValueError: if there are too few values, what comes out is too large for its type, or
                `how` is something else.

        Example:
            >>> edges, values = EdgeMap([0, 2], new=[0, 0, 1]), torch.tensor([1.0, 2.0, 5.0])
            >>> edges.combine(values, "mean"), edges.combine(values, "max")
            (tensor([1.5000, 5.0000]), tensor([2., 5.]))
        """
        if how not in COMBINED:
            raise ValueError(f"`how` must be one of {COMBINED}, got {how!r}.")
        values = as_numbers("`values`", values)
        dtype = _type_of(values, how)
        if self.new is None:
            return self.follow(values.to(dtype))
        self._check_length(len(values))
        # Row by row: to a new edge each, and those taken away (-1) to a row at the end.
        new = self._new_of(len(values)).to(values.device) % (self.num_edges + 1)
        values = wide(values)
        found = values.new_zeros(self.num_edges + 1, *values.shape[1:])
        if how in ("max", "min"):
            rows = new.view(-1, *[1] * (values.dim() - 1)).expand_as(values)
            found = found.scatter_reduce(0, rows, values, f"a{how}", include_self=False)
        else:
            found = found.index_add(0, new, values)
        if how == "mean":
            count = torch.bincount(new, minlength=self.num_edges + 1).clamp(min=1)
            found = found / wide(count.view(-1, *[1] * (values.dim() - 1)).to(dtype))
        if dtype.is_floating_point:
            return cast(f"the {how} of `values`", found[:-1], dtype)
        return found[:-1].to(dtype)

    def then(self, later: "EdgeMap") -> "EdgeMap":
        """Return the map of this change followed by a later one.

        Raises:
            ValueError: if the later one has other edges, or edges are merged by one of the changes
                and repeated by the other, which no map can say.

        Example:
            >>> EdgeMap([2, 1]).then(EdgeMap([1, 0])).old
            tensor([1, 2])
        """
        old = later.follow(self.old, fill=-1)
        if self.new is None and later.new is None:
            return EdgeMap(old)
        new = self._new_of(int(self.old.max()) + 1 if self.num_edges else 0)
        step = later._new_of(self.num_edges)
        new = torch.where(new >= 0, step[new.clamp(min=0)], -1)
        # An edge that was new at first may be merged with old ones: the first of these is then it.
        kept = (new >= 0).nonzero()[:, 0]
        first = old.scatter_reduce(0, new[kept], kept, "amin", include_self=False)
        return EdgeMap(torch.where(old < 0, first, old), new)

    def _new_of(self, num_old: int) -> Tensor:  # (num_old,)
        """Return the new edge that each old one is or is part of, or -1 where it was taken away."""
        if self.new is not None:
            return nn.functional.pad(self.new, (0, max(0, num_old - len(self.new))), value=-1)
        kept = self.old >= 0
        counts = torch.bincount(self.old[kept], minlength=num_old)
        if (counts > 1).any():
            edge = int((counts > 1).nonzero()[0])
            raise ValueError(
                f"`old` must hold each edge once to go together with merged edges, got edge {edge} "
                f"{int(counts[edge])} times: use `combine` of one map on what the other one gives."
            )
        new = torch.full((num_old,), -1, device=self.old.device)
        new[self.old[kept]] = kept.nonzero()[:, 0]
        return new

    @property
    def _has_new(self) -> bool:
        return bool((self.old < 0).any())

    def _check_length(self, number: int) -> None:
        needed = int(self.old.max()) + 1 if self.num_edges else 0
        if self.new is not None:
            needed = max(needed, len(self.new))
        if number < needed:
            raise ValueError(
                f"`values` must hold an entry for each old edge, of which there are {needed} at "
                f"least, got {number}."
            )

    def __repr__(self) -> str:
        return f"EdgeMap(num_edges={self.num_edges}, of which new: {int((self.old < 0).sum())})"


def _checked(name: str, positions: Any) -> Tensor:
    if not isinstance(positions, Tensor):
        positions = as_numbers(f"`{name}`", positions)
    if positions.dim() != 1:
        raise ValueError(f"`{name}` must have one dimension, got shape {tuple(positions.shape)}.")
    if positions.numel() == 0:
        return positions.long()
    if positions.dtype == torch.bool or positions.is_floating_point() or positions.is_complex():
        raise TypeError(
            f"`{name}` must hold integers, got {positions.dtype}: of a mask of edges that stay, "
            "pass `mask.nonzero()[:, 0]`."
        )
    if int(positions.min()) < -1:
        raise ValueError(f"`{name}` must hold positions or -1, got {int(positions.min())}.")
    return positions.long()


def _check_agreement(old: Tensor, new: Tensor) -> None:
    """Refuse a map whose two sides do not say the same."""
    if (new >= len(old)).any():
        at = int((new >= len(old)).nonzero()[0])
        raise ValueError(
            f"`new` must hold positions among the {len(old)} edges of `old`, or -1, got "
            f"{int(new[at])} at position {at}."
        )
    if len(old) == 0:
        return
    known = nn.functional.pad(new, (0, max(1, int(old.max()) + 1 - len(new))), value=-1)
    edges = torch.arange(len(old), device=old.device)
    wrong = (old >= 0) & (known[old] != edges)
    merged = (new >= 0) & (old[new] < 0)
    if wrong.any():
        edge = int(wrong.nonzero()[0])
        first = int(old[edge])
        part = int(known[first])
        said = f"is part of new edge {part}" if part >= 0 else "was taken away"
        raise ValueError(
            f"`old` says that new edge {edge} is old edge {first}, and `new` that old edge {first} "
            f"{said}: they must agree."
        )
    if merged.any():
        at = int(merged.nonzero()[0])
        raise ValueError(
            f"`old` says that new edge {int(new[at])} is none of the old ones, and `new` that old "
            f"edge {at} is part of it: they must agree."
        )


def _is_zero(fill: Any) -> bool:
    """Whether it is 0, which every type has: integers and truth values stay what they are."""
    return isinstance(fill, (bool, int, float)) and fill == 0


def wide(values: Tensor) -> Tensor:
    """Return values in the type in which they are added up."""
    if values.is_complex():
        return values.to(torch.complex128)
    if not values.is_floating_point():
        return values.long()
    return values.to(torch.float32 if values.device.type == "mps" else torch.float64)


def _type_of(values: Tensor, how: str) -> torch.dtype:
    """Return the type of what values are combined to."""
    if values.is_floating_point() or values.is_complex() or how in ("max", "min"):
        return values.dtype
    return torch.get_default_dtype() if how == "mean" else torch.int64


def _in_order(wiring: HasEdges, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the cells of the edges in (target, source) order, and which edge each is."""
    src, dst = wiring.edge_index.cpu().numpy()
    cells = dst * columns + src
    order = np.argsort(cells, kind="stable")
    return cells[order], order
