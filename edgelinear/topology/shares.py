"""`Share`: the part of a wiring that one of many processes holds."""

import os
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from edgelinear.topology import digests, storage
from edgelinear.topology.checks import as_size, check_range, check_weight
from edgelinear.topology.edits import EdgeMap

BY = ("edges", "blocks")
_BLOCK = 2**20  # edges that are looked at together


@dataclass(frozen=True, eq=False, repr=False)
class Share:
    """The edges of a wiring that one of many processes holds, by their numbers in the whole.

    The edges in (target, source) order are cut as `torch.chunk` cuts, and as DTensor shards a
    weight by `Shard(0)`. In a grid of several columns, each row of it has such a cut; the edges of
    a row are cut in (source, target) order over its columns, as by `[Shard(0), Shard(0)]`, and
    those of a part are in (target, source) order again.

    Example:
        >>> shares = Topology(3, 2, [(2, 1), (0, 0), (1, 1)]).split(2)
        >>> shares[1]
        Share(part=1 of 2, edges=2..3 of 3, in_features=3, out_features=2)
        >>> shares[1].edge_index.tolist(), shares[1].follow(torch.tensor([10.0, 20.0, 30.0]))
        ([[2], [1]], tensor([10.]))
    """

    in_features: int  #: of the whole wiring
    out_features: int
    num_edges: int  #: of the whole wiring
    part: int  #: row by row of the grid
    parts: int
    edge_index: Tensor  #: (2, number) int64: row 0 the source, row 1 the target
    columns: int = 1  #: of the grid
    weight: Tensor | None = None  #: (number,), where the edges came with values
    positions: Tensor | None = None  #: (number,): where they stood in the topology that was split
    fingerprint: int | None = None  #: of the whole wiring: see `fingerprint_of`

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the parts."""
        return self.parts // self.columns, self.columns

    @property
    def start(self) -> int:
        """The position of the first edge among those of all parts, one after the other."""
        return part_bounds(self.num_edges, self.grid, self.part)[0]

    def follow(self, values: Any) -> Any:
        """Return the values of these edges, of those of the topology that was split.

        Args:
            values: a tensor, an array or a table with an entry for each edge of it.

        Raises:
            ValueError: if the share was not split from a topology, or there are too few values.
        """
        if self.positions is None:
            raise ValueError(
                "these edges were not split from a topology whose values they could follow: values "
                "that came with them are `share.weight`."
            )
        if len(values) != self.num_edges:
            raise ValueError(
                f"`values` must hold an entry for each of the {self.num_edges} edges of the "
                f"topology that was split, got {len(values)}."
            )
        return EdgeMap(self.positions).follow(values)

    def digest(self, group: Any = None) -> str:
        """Return the SHA-256 of the whole wiring, `topology.sorted()[0].digest`, on all processes.

        All processes of the group call it together, each with its share. Blocks of edges go to the
        first one.

        Raises:
            ValueError: if the shares are not the parts of one wiring, in the order of the ranks.
        """
        return digests.digest(self, dist.group.WORLD if group is None else group)

    def save(self, path: str | os.PathLike[str], weight: Any = None) -> None:
        """Write the share to a file: .npz, or .arrow or .feather by pyarrow.

        Args:
            weight: (number,) numbers to keep with the edges, a DTensor of them for what is here of
                it; without any, `share.weight`.

        Raises:
            ValueError: if the path has another ending, or there is another number of weights.
        """
        if weight is not None:
            here = weight.to_local() if hasattr(weight, "to_local") else weight
            weight = check_weight(here, self.edge_index.shape[1]).cpu()
        storage.save(path, replace(self, weight=weight) if weight is not None else self)

    @staticmethod
    def load(path: str | os.PathLike[str]) -> "Share":
        """Read a share, and check all of it.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if the file holds no share, or one that cannot be right.
        """
        fields = storage.load(path)
        try:
            share = Share(**fields)
            _check(share)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{path} holds no share as `share.save` writes it: {error} Save it again."
            ) from error
        return share

    def __repr__(self) -> str:
        start, stop = part_bounds(self.num_edges, self.grid, self.part)
        grid = "" if self.columns == 1 else f", grid={self.grid}"
        return (
            f"Share(part={self.part} of {self.parts}, edges={start}..{stop} of {self.num_edges}, "
            f"in_features={self.in_features}, out_features={self.out_features}{grid})"
        )


def bounds(size: int, parts: int, part: int) -> tuple[int, int]:
    """Return where a part begins and ends, as `torch.chunk` cuts and DTensor shards."""
    each = -(-size // parts)
    return min(part * each, size), min((part + 1) * each, size)


def part_bounds(num_edges: int, grid: tuple[int, int], part: int) -> tuple[int, int]:
    """Return where a part of a grid begins and ends among the edges of all, part after part."""
    row, column = divmod(part, grid[1])
    first, last = bounds(num_edges, grid[0], row)
    start, stop = bounds(last - first, grid[1], column)
    return first + start, first + stop


def split(topology: Any, parts: Any, by: str) -> list[Share]:
    """Return the shares of a topology: see `Topology.split`."""
    grid = as_grid(parts, by)
    src, dst = (end.cpu().numpy() for end in (topology.src, topology.dst))
    order = topology.by_dst.edge_ids
    order = np.arange(src.size) if order is None else order.cpu().numpy()
    whole = fingerprint_of(src, dst)
    shares = []
    for row in range(grid[0]):
        places = order[slice(*bounds(src.size, grid[0], row))]
        by_source = np.argsort(src[places], kind="stable")  # of those of a source, by target
        for column in range(grid[1]):
            chosen = np.sort(by_source[slice(*bounds(places.size, grid[1], column))])
            old = places[chosen].astype(np.int64)
            ends = np.stack([src[old], dst[old]]).astype(np.int64)
            share = Share(
                topology.in_features,
                topology.out_features,
                src.size,
                row * grid[1] + column,
                grid[0] * grid[1],
                torch.from_numpy(ends),
                grid[1],
                positions=torch.from_numpy(old),
                fingerprint=whole,
            )
            shares.append(share)
    return shares


def as_grid(parts: Any, by: str) -> tuple[int, int]:
    """Return the rows and columns of parts.

    Raises:
        TypeError, ValueError: if they are no positive numbers, or not what `by` asks for.
    """
    if by not in BY:
        raise ValueError(f"`by` must be one of {BY}, got {by!r}.")
    pair = isinstance(parts, (tuple, list)) and len(parts) == 2
    if by == "blocks" and not pair:
        raise TypeError(
            f'`parts` must be a pair for by="blocks", as (targets, sources), got {parts!r}.'
        )
    if by == "edges" and isinstance(parts, (tuple, list)):
        raise TypeError(f'`parts` must be an integer, got {parts!r}: pairs are for by="blocks".')
    rows, columns = (as_size("parts", one) for one in (parts if pair else (parts, 1)))
    if rows < 1 or columns < 1:
        raise ValueError(f"`parts` must be at least 1, got {parts!r}.")
    return rows, columns


def fingerprint_of(src: np.ndarray, dst: np.ndarray) -> int:
    """Return a sum over edges modulo 2**64: that of a wiring is the sum of those of its shares.

    Each edge is mixed as by splitmix64 (Steele, Lea and Flood, OOPSLA 2014), so that wirings that
    differ have the same one by chance alone. It tells mistakes, not forgeries.
    """
    total = 0
    with np.errstate(over="ignore"):
        for at in range(0, src.size, _BLOCK):
            ends = (end[at : at + _BLOCK].astype(np.uint64) for end in (src, dst))
            total += int(_mixed(_mixed(next(ends)) + next(ends)).sum(dtype=np.uint64))
    return total % 2**64


def _mixed(x: np.ndarray) -> np.ndarray:
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _check(share: Share) -> None:
    """Refuse a share from a file that cannot be what it says."""
    for name in ("in_features", "out_features", "num_edges", "part", "parts", "columns"):
        as_size(name, getattr(share, name))
    if not (1 <= share.columns <= share.parts and share.parts % share.columns == 0):
        raise ValueError(f"its grid has {share.parts} parts and {share.columns} columns.")
    if share.part >= share.parts:
        raise ValueError(f"it says that it is part {share.part} of {share.parts}, from 0 on.")
    print_ = share.fingerprint
    if print_ is not None and not (isinstance(print_, int) and 0 <= print_ < 2**64):
        raise ValueError(f"its fingerprint is {print_!r}.")
    start, stop = part_bounds(share.num_edges, share.grid, share.part)
    edges = share.edge_index
    if edges.shape != (2, stop - start):
        raise ValueError(
            f"part {share.part} of {share.parts} has {stop - start} of {share.num_edges} edges, "
            f"and here is `edge_index` of shape {tuple(edges.shape)}."
        )
    check_range(edges, share.in_features, share.out_features)
    src, dst = edges.numpy()
    ascends = (dst[1:] > dst[:-1]) | ((dst[1:] == dst[:-1]) & (src[1:] >= src[:-1]))
    if not ascends.all():
        edge = int(ascends.argmin()) + 1
        raise ValueError(f"edge {edge} comes before the one that stands before it, by its target.")
    if share.weight is not None:
        check_weight(share.weight, stop - start)
    if share.positions is not None:
        _check_positions(share.positions.numpy(), stop - start, share.num_edges)


def _check_positions(positions: np.ndarray, number: int, num_edges: int) -> None:
    if positions.shape != (number,):
        raise ValueError(f"it has {number} edges, and positions of shape {positions.shape}.")
    if number and (positions.min() < 0 or positions.max() >= num_edges):
        raise ValueError(f"its positions are not all within [0, {num_edges}).")
    if np.unique(positions).size != number:
        raise ValueError("two of its edges have one position.")
