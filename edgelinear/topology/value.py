"""The wiring of a layer: an immutable, validated edge list with both of its sorted views."""

import hashlib
import weakref
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor

from edgelinear.topology import shares
from edgelinear.topology.edits import EdgeMap
from edgelinear.topology.views import CSR, View, checked_views


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
            edges with a weight each, "merge" keeps the first ("mean", "max" and "min" likewise,
            which differ in what becomes of weights).

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
    _target_view: View
    _source_view: View
    _reverse: Any
    _copies: dict[tuple[torch.device, bool], weakref.ref]
    _is_reversed: bool
    _digest: Any

    def __init__(
        self,
        in_features: int,
        out_features: int,
        edge_index: Any,  # (2, num_edges)
        *,
        duplicates: str = "error",
    ) -> None:
        by_dst, by_src, _ = checked_views(in_features, out_features, edge_index, duplicates)
        self._set(by_dst, by_src)

    def _set(self, by_dst: View, by_src: View) -> None:
        set_once = super().__setattr__
        set_once("in_features", by_src.indptr.shape[0] - 1)
        set_once("out_features", by_dst.indptr.shape[0] - 1)
        set_once("src", by_src.end)
        set_once("dst", by_dst.end)
        set_once("by_dst", CSR(*by_dst[1:4]))
        set_once("by_src", CSR(*by_src[1:4]))
        set_once("_target_view", by_dst)
        set_once("_source_view", by_src)
        set_once("_reverse", None)
        set_once("_copies", {})
        set_once("_is_reversed", False)
        set_once("_digest", None)

    @classmethod
    def _from_views(cls, by_dst: View, by_src: View) -> "Topology":
        """Return the topology of these views, unchecked: they must come from another one."""
        topology = cls.__new__(cls)
        topology._set(by_dst, by_src)
        return topology

    @property
    def _tensors(self) -> tuple[Tensor | None, ...]:
        """What operators take: the views by target and by source, field by field."""
        return (*self._target_view, *self._source_view)

    @classmethod
    def _from_tensors(cls, tensors: Sequence[Tensor | None]) -> "Topology":
        fields = len(View._fields)
        return cls._from_views(View(*tensors[:fields]), View(*tensors[fields:]))  # type: ignore

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
        """Number of edges, parallel ones apart."""
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
        """Where the indices are."""
        return self.src.device

    @property
    def T(self) -> "Topology":
        """The edges reversed: row 0 of its `edge_index` is this one's row 1. Shares memory."""
        # Not `cached_property`, whose lock torch.compile cannot trace on Python 3.11.
        if self._reverse is None:
            reverse = Topology._from_views(self._source_view, self._target_view)
            object.__setattr__(reverse, "_copies", self._copies)
            object.__setattr__(reverse, "_is_reversed", not self._is_reversed)
            object.__setattr__(self, "_reverse", reverse)
        return self._reverse

    def sorted(self) -> tuple["Topology", Tensor]:
        """Return the same wiring in (target, source) order, and the permutation that leads there.

        `new.edge_index == old.edge_index[:, permutation]`: weights follow by `weight[permutation]`.

        Example:
            >>> topology = Topology(2, 2, [(1, 1), (0, 0)])
            >>> ordered, permutation = topology.sorted()
            >>> ordered.is_sorted, permutation.tolist()
            (True, [1, 0])
        """
        ordered, edges = self._sorted()
        return ordered, edges.old.to(self.device)

    def _sorted(self) -> tuple["Topology", EdgeMap]:
        permutation = self.by_dst.edge_ids
        if permutation is None:
            return self, EdgeMap.identity(self.num_edges)
        permutation = permutation.long()
        edges = self.edge_index[:, permutation]
        ordered = Topology(self.in_features, self.out_features, edges, duplicates="keep")
        return ordered.to(self.device), EdgeMap(permutation)

    def split(self, parts: Any, by: str = "edges") -> list[shares.Share]:
        """Return the shares of the edges that each of `parts` processes holds: see `Share`.

        Args:
            parts: how many shares there are; for `by="blocks"` a pair, (targets, sources).
            by: "edges" for successive edges in (target, source) order; "blocks" for a grid of
                shares, each of which has some of the targets and some of the sources.

        Raises:
            TypeError, ValueError: if `parts` is no positive number, or not what `by` asks for.

        Example:
            >>> topology = Topology(4, 2, [(0, 0), (3, 0), (1, 1), (2, 1)])
            >>> [share.edge_index.tolist() for share in topology.split(2)]
            [[[0, 3], [0, 0]], [[1, 2], [1, 1]]]
            >>> len(topology.split((2, 2), by="blocks"))
            4
        """
        return shares.split(self, parts, by)

    def to(self, device: torch.device | str | int) -> "Topology":
        """Return this topology with its indices on `device`: one copy, as long as it is in use."""
        device = _resolved(device)
        if device == self.device:
            return self
        self._copies[self.device, self._is_reversed] = weakref.ref(self)
        copy = self._copy_on(device, self._is_reversed)
        if copy is None:
            reverse = self._copy_on(device, not self._is_reversed)
            copy = self._moved(device) if reverse is None else reverse.T
            self._copies[device, self._is_reversed] = weakref.ref(copy)
        return copy

    def _copy_on(self, device: torch.device, is_reversed: bool) -> "Topology | None":
        """Return the copy that somebody else still uses, if there is one."""
        known = self._copies.get((device, is_reversed))
        return None if known is None else known()

    def _moved(self, device: torch.device) -> "Topology":
        moved: dict[int, Tensor] = {}

        def move(tensor: Any) -> Any:  # a tensor or None
            if tensor is None:
                return None
            return moved.setdefault(id(tensor), tensor.to(device))

        with torch.inference_mode(False):
            views = (View(*map(move, view)) for view in (self._target_view, self._source_view))
            copy = Topology._from_views(*views)
        # Copies know of each other, weakly: whoever asks next, from anywhere, gets the same one.
        object.__setattr__(copy, "_copies", self._copies)
        object.__setattr__(copy, "_is_reversed", self._is_reversed)
        return copy

    @property
    def digest(self) -> str:
        """SHA-256 of the sizes and the edges in their order: the same on every machine."""
        if self._digest is None:  # no `cached_property`, as above
            object.__setattr__(self, "_digest", self._hash())
        return self._digest

    def _hash(self) -> str:
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
        # By value: a tensor would go to a spawned process as a file descriptor, which is closed
        # with this temporary one. What is empty says where the indices are, and torch reads it as
        # it does any tensor: by `map_location`, or not at all where there is no such device.
        edges = torch.stack([self.src, self.dst]).cpu().numpy()
        place = None if self.device.type == "cpu" else self.src.new_empty(0)
        return _load, (self.in_features, self.out_features, edges, place)

    def __repr__(self) -> str:
        return (
            f"Topology(in_features={self.in_features}, out_features={self.out_features}, "
            f"edges={self.num_edges}, density={self.density:.3%}, sorted={self.is_sorted})"
        )


def _resolved(device: torch.device | str | int) -> torch.device:
    """Return the device as tensors have it: "cuda" is the current one, as "cuda:0"."""
    device = torch.empty(0, device=device).device
    return torch.device("cpu") if device.type == "cpu" else device


def _load(
    in_features: int, out_features: int, edge_index: Any, place: Tensor | None = None
) -> Topology:
    """Rebuild a pickled topology: indices from a file are checked like any others."""
    topology = Topology(in_features, out_features, edge_index, duplicates="keep")
    if place is None and isinstance(edge_index, Tensor):  # as it was pickled before
        place = edge_index
    return topology if place is None else topology.to(place.device)
