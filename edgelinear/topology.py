"""The wiring of a layer: an immutable, validated edge list with both of its sorted views."""

import hashlib
from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple, NoReturn

import numpy as np
import torch
from torch import Tensor

from edgelinear.edges import as_edge_index, as_size, check_range, check_weight
from edgelinear.sorting import (
    both_views,
    edge_ids_of,
    pieces_of,
    refuse_duplicate,
    repeats,
    runs_of,
)

DUPLICATES = ("error", "keep", "merge")
_INT32_MAX = np.iinfo(np.int32).max


class CSR(NamedTuple):
    """Edges grouped by one of their ends: row `r` owns positions `indptr[r]` to `indptr[r + 1]`.

    `edge_ids` maps a position to its edge, and is None where positions are edges already.
    """

    indptr: Tensor  # (rows + 1,)
    indices: Tensor  # (num_edges,): the other end of the edge at each position
    edge_ids: Tensor | None  # (num_edges,)


class Topology:
    """Edges from inputs to outputs: row 0 of `edge_index` is the source, row 1 the target.

    As in PyG. The edges keep the order in which they are given: `weight[e]` of a layer belongs to
    `edge_index[:, e]`. Everything is checked and sorted once, here, on the CPU, and never changes.
    Indices are int32 wherever sizes and edge count allow, and then take at most 24 bytes an edge.

    Args:
        in_features: number of sources.
        out_features: number of targets.
        edge_index: (2, num_edges) integers as a tensor, an array, a PyG `EdgeIndex`, or a list of
            (source, target) tuples.
        duplicates: what to do with an edge given twice: "error" refuses it, "keep" makes parallel
            edges with a weight each, "merge" keeps the first.

    Raises:
        TypeError: if the sizes or the indices are not integers.
        ValueError: if the shape is not (2, num_edges), an index is outside its range, or an edge is
            given twice under "error".

    Example:
        >>> topology = Topology(3, 2, [(0, 0), (2, 0), (1, 1)])
        >>> topology
        Topology(in_features=3, out_features=2, edges=3, density=50.000%, sorted=True)
        >>> topology.by_dst.indptr.tolist()
        [0, 2, 3]
    """

    in_features: int
    out_features: int
    src: Tensor  # (num_edges,), in the order given
    dst: Tensor  # (num_edges,), in the order given
    by_dst: CSR
    by_src: CSR
    dst_runs: Tensor | None  # (num_runs, 3): see `sorting.runs_of`
    src_runs: Tensor | None
    dst_pieces: Tensor | None  # (num_pieces, 2): see `sorting.pieces_of`
    src_pieces: Tensor | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        edge_index: Any,  # (2, num_edges)
        *,
        duplicates: str = "error",
    ) -> None:
        if duplicates not in DUPLICATES:
            raise ValueError(f"`duplicates` must be one of {DUPLICATES}, got {duplicates!r}.")
        in_features = as_size("in_features", in_features)
        out_features = as_size("out_features", out_features)
        edges = as_edge_index(edge_index)
        check_range(edges, in_features, out_features)

        largest = max(in_features, out_features, edges.shape[1])
        dtype = np.int32 if largest <= _INT32_MAX else np.int64
        src, dst = (np.array(row, dtype=dtype, order="C") for row in edges.numpy())
        by_dst, by_src = both_views(in_features, out_features, src, dst)
        repeated = repeats(by_dst)
        if repeated.any() and duplicates == "error":
            refuse_duplicate(by_dst, repeated)
        if repeated.any() and duplicates == "merge":
            kept = np.sort(edge_ids_of(by_dst)[~repeated])
            src, dst = src[kept], dst[kept]
            by_dst, by_src = both_views(in_features, out_features, src, dst)

        if by_dst[2] is None:  # the sorted views can then share storage with the edges
            src = by_dst[1]
        elif by_src[2] is None:
            dst = by_src[1]
        shared: dict[int, Tensor] = {}

        def tensor(array: np.ndarray | None) -> Tensor | None:
            if array is None:
                return None
            return shared.setdefault(id(array), torch.from_numpy(array))

        with torch.inference_mode(False):  # or autograd could not save these tensors
            views = (tensor(src), tensor(dst), *map(tensor, by_dst), *map(tensor, by_src))
            if by_dst[2] is None or by_src[2] is None:  # or indices would take too much memory
                views += (
                    tensor(runs_of(by_dst, in_features)),
                    tensor(runs_of(by_src, out_features)),
                )
            else:
                views += (None, None)
            views += (tensor(pieces_of(by_dst)), tensor(pieces_of(by_src)))
        self._set(in_features, out_features, views)

    def _set(self, in_features: int, out_features: int, views: tuple) -> None:
        set_once = super().__setattr__
        set_once("in_features", in_features)
        set_once("out_features", out_features)
        set_once("views", views)
        set_once("src", views[0])
        set_once("dst", views[1])
        set_once("by_dst", CSR(*views[2:5]))
        set_once("by_src", CSR(*views[5:8]))
        set_once("dst_runs", views[8])
        set_once("src_runs", views[9])
        set_once("dst_pieces", views[10])
        set_once("src_pieces", views[11])
        set_once("prepared", {})

    # What operators take: src, dst, the views by target and by source, runs and pieces of each.
    views: tuple[
        Tensor,
        Tensor,
        *tuple[Tensor, Tensor, Tensor | None],
        *tuple[Tensor, Tensor, Tensor | None],
        *tuple[Tensor | None, Tensor | None],
        *tuple[Tensor | None, Tensor | None],
    ]

    # What a backend makes of this wiring once, by the name of the backend.
    prepared: dict[str, Any]

    @classmethod
    def from_views(cls, views: tuple) -> "Topology":
        """Return the topology of these `views`, unchecked: they must come from another one."""
        topology = cls.__new__(cls)
        topology._set(views[5].shape[0] - 1, views[2].shape[0] - 1, views)
        return topology

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(
            f"a Topology never changes: build a new one instead of setting `{name}`."
        )

    @property
    def edge_index(self) -> Tensor:
        """The edges as given, (2, num_edges) int64: row 0 the source, row 1 the target. A copy."""
        return torch.stack([self.src, self.dst]).long()

    @property
    def num_edges(self) -> int:
        return self.src.shape[0]

    @property
    def density(self) -> float:
        """Edges over possible edges, and 0 where there are no inputs or no outputs."""
        return self.num_edges / max(1, self.in_features * self.out_features)

    @property
    def is_sorted(self) -> bool:
        """Whether edges stand in (target, source) order, which spares each step a permutation."""
        return self.by_dst.edge_ids is None

    @property
    def fan_in(self) -> Tensor:
        """Number of edges into each target, (out_features,)."""
        return torch.diff(self.by_dst.indptr)

    @property
    def fan_out(self) -> Tensor:
        """Number of edges out of each source, (in_features,)."""
        return torch.diff(self.by_src.indptr)

    @property
    def device(self) -> torch.device:
        return self.src.device

    @cached_property
    def T(self) -> "Topology":
        """The edges reversed: row 0 of its `edge_index` is this one's row 1. Shares memory."""
        dst_runs, src_runs, dst_pieces, src_pieces = self.views[8:]
        views = (self.dst, self.src, *self.by_src, *self.by_dst)
        return Topology.from_views((*views, src_runs, dst_runs, src_pieces, dst_pieces))

    def sorted(self) -> tuple["Topology", Tensor]:
        """Return the same wiring in (target, source) order, and the permutation that leads there.

        `new.edge_index == old.edge_index[:, permutation]`: weights follow by `weight[permutation]`.

        Example:
            >>> topology = Topology(2, 2, [(1, 1), (0, 0)])
            >>> ordered, permutation = topology.sorted()
            >>> ordered.is_sorted, permutation.tolist()
            (True, [1, 0])
        """
        permutation = self.by_dst.edge_ids
        if permutation is None:
            return self, torch.arange(self.num_edges, device=self.device)
        permutation = permutation.long()
        edges = self.edge_index[:, permutation]
        ordered = Topology(self.in_features, self.out_features, edges, duplicates="keep")
        return ordered.to(self.device), permutation

    def to(self, device: torch.device | str) -> "Topology":
        """Return this topology with its indices on `device`."""
        if torch.device(device) == self.device:
            return self
        moved: dict[int, Tensor] = {}

        def move(tensor: Tensor | None) -> Tensor | None:
            if tensor is None:
                return None
            return moved.setdefault(id(tensor), tensor.to(device))

        with torch.inference_mode(False):
            return Topology.from_views(tuple(move(view) for view in self.views))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the sizes and the edges in their order: the same on every machine."""
        state = hashlib.sha256(f"edgelinear {self.in_features} {self.out_features}".encode())
        for end in (self.src, self.dst):
            state.update(end.cpu().numpy().astype("<i8").tobytes())
        return state.hexdigest()

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Topology):
            return NotImplemented
        sizes = (self.in_features, self.out_features, self.num_edges)
        return (
            sizes == (other.in_features, other.out_features, other.num_edges)
            and torch.equal(self.src, other.src.to(self.device))
            and torch.equal(self.dst, other.dst.to(self.device))
        )

    def __hash__(self) -> int:
        return hash(self.digest)

    def __deepcopy__(self, memo: dict) -> "Topology":
        return self

    def __reduce__(self) -> tuple[Callable, tuple]:
        return _load, (self.in_features, self.out_features, self.edge_index)

    def __repr__(self) -> str:
        return (
            f"Topology(in_features={self.in_features}, out_features={self.out_features}, "
            f"edges={self.num_edges}, density={self.density:.3%}, sorted={self.is_sorted})"
        )


def topology_with_weight(
    in_features: int,
    out_features: int,
    edge_index: Any,  # (2, num_edges)
    weight: Any = None,  # (num_edges,)
    *,
    duplicates: str = "error",
) -> tuple[Topology, Tensor | None]:
    """Return the topology, and the weight of each of its edges: merged edges add theirs.

    Row 0 of `edge_index` is the source (an input), row 1 the target (an output). A topology of
    these sizes is taken as it is.
    """
    if isinstance(edge_index, Topology):
        sizes = (edge_index.in_features, edge_index.out_features)
        if sizes != (in_features, out_features):
            raise ValueError(
                f"the topology must have {in_features} -> {out_features} features, "
                f"got {sizes[0]} -> {sizes[1]}."
            )
        if duplicates != "error":
            raise ValueError(
                f"`duplicates` is settled when a Topology is built, got {duplicates!r} with one."
            )
        return edge_index, None if weight is None else check_weight(weight, edge_index.num_edges)
    edges = as_edge_index(edge_index)
    weight = None if weight is None else check_weight(weight, edges.shape[1])
    topology = Topology(in_features, out_features, edges, duplicates=duplicates)
    if weight is None or topology.num_edges == edges.shape[1]:
        return topology, weight
    by_dst = topology.by_dst
    rows = torch.repeat_interleave(topology.fan_in)
    present = rows * topology.in_features + by_dst.indices
    position = torch.searchsorted(present, edges[1] * topology.in_features + edges[0])
    edge = position if by_dst.edge_ids is None else by_dst.edge_ids[position]
    merged = weight.new_zeros(topology.num_edges)
    return topology, merged.index_add_(0, edge.to(weight.device), weight)


def _load(in_features: int, out_features: int, edge_index: Tensor) -> Topology:
    """Rebuild a pickled topology: indices from a file are checked like any others."""
    topology = Topology(in_features, out_features, edge_index, duplicates="keep")
    return topology.to(edge_index.device)
