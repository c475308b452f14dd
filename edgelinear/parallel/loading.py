"""`load_shares`: this process's share of a wiring that no process could hold."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh

from edgelinear.parallel.agreement import (
    check_ascends,
    check_group,
    check_same,
    group_of,
    together,
)
from edgelinear.parallel.reading import Block, Source, open_source
from edgelinear.parallel.sorting import Columns, balanced, gathered, placed, sorted_over
from edgelinear.topology import Share
from edgelinear.topology.checks import as_size
from edgelinear.topology.shares import BY, bounds, fingerprint_of, part_bounds
from edgelinear.topology.storage import header_of


def load_shares(
    edges: Any,
    mesh: DeviceMesh | Any,
    *,
    in_features: int | None = None,
    out_features: int | None = None,
    duplicates: str = "error",
    by: str = "edges",
    edge_axis: int = 1,
    own: bool = False,
    block: int = 2**20,
) -> Share:
    """Return the share of this process: of files that `share.save` wrote, or of any edges.

    All processes call it together. Without sizes, `edges` lists a file of `share.save` for each
    process, in any order, and each reads its own. With `in_features` and `out_features` it lists
    edges in any order: files are read twice, in blocks that the processes take in turn, and a
    sample sort brings each edge to its process, so that none holds much more than its share and a
    block.
    Files of `share.save` are edges as well, which are shared anew.

    Args:
        edges: paths, arrays, or pairs (edges, weight) of them: .npy and arrays of (2, k) integers,
            row 0 the source and row 1 the target; .npz with `edge_index` and maybe `weight`;
            .parquet, .arrow, .feather, .csv and .tsv with columns source, target and maybe weight.
        mesh: the processes that share the edges: a group, or a mesh of one axis, and of two,
            (targets, sources), for `by="blocks"`.
        duplicates: "error" refuses an edge given twice, "keep" makes parallel edges.
        by: as in `Topology.split`.
        edge_axis: the axis of arrays along which the edges lie: 0 for (k, 2).
        own: whether each process lists its own edges, or file, and not all the same.
        block: edges that are read at once.

    Raises:
        RuntimeError: on every process, if one of them refused or the shares are of two wirings.
        TypeError, ValueError, FileNotFoundError: on the process that found what is wrong.

    Example:
        >>> share = el.parallel.load_shares(paths, mesh)  # doctest: +SKIP
        >>> share = el.parallel.load_shares(  # doctest: +SKIP
        ...     ["edges.parquet"], mesh, in_features=10**8, out_features=10**8
        ... )
    """
    group, grid = processes_of(mesh, by)
    given = together([group], lambda: _as_list(edges, own))
    check_same(
        [group],
        {"in_features": in_features, "out_features": out_features, "duplicates": duplicates}
        | {"by": by, "grid": grid, "edge_axis": edge_axis, "own": own, "block": block},
    )
    if in_features is None and out_features is None:
        return _saved(given, group, grid, own)
    sizes = _sizes(in_features, out_features, duplicates, edge_axis, block)
    sources = together(
        [group], lambda: [open_source(one, i, edge_axis, block) for i, one in enumerate(given)]
    )
    if not own:
        check_same([group], {"list of edges": f"{len(given)} files or arrays, {_names(sources)}"})
    dtype = _agreed_dtype(sources, group)
    reader = _Reader(sources, sizes, dtype, duplicates == "keep", own, block, group)
    return _sorted_share(reader, grid, group)


def processes_of(mesh: Any, by: str) -> tuple[Any, tuple[int, int]]:
    """Return the group of a mesh or a group, and the grid of its parts.

    Raises:
        RuntimeError: if there is no process group.
        TypeError, ValueError: if it is none, or does not fit `by`.
    """
    if by not in BY:
        raise ValueError(f"`by` must be one of {BY}, got {by!r}.")
    check_group()
    if not isinstance(mesh, DeviceMesh):
        if not isinstance(mesh, dist.ProcessGroup):
            raise TypeError(
                f"`mesh` must be a DeviceMesh or a process group, got {type(mesh).__name__}."
            )
        if by == "blocks":
            raise ValueError('by="blocks" needs a mesh of two axes, (targets, sources).')
        return mesh, (dist.get_world_size(mesh), 1)
    axes = 2 if by == "blocks" else 1
    if mesh.ndim != axes:
        raise ValueError(
            f"by={by!r} needs a mesh of {axes} ax{'i' if axes == 1 else 'e'}s, got {mesh.ndim}: "
            'take those that share the edges, as mesh["edges"].'
        )
    check_ascends(mesh)
    grid = (mesh.size(0), mesh.size(1) if axes == 2 else 1)
    return group_of(mesh), grid


def _as_list(edges: Any, own: bool) -> list:
    if isinstance(edges, list):
        if not edges and not own:
            raise ValueError("there are no files or arrays of edges: got an empty list.")
        return edges
    if isinstance(edges, tuple):
        raise TypeError(
            "a tuple is a pair (edges, weight): list the files and arrays, as [(edges, weight)]."
        )
    return [edges]


def _saved(given: list, group: Any, grid: tuple[int, int], own: bool) -> Share:
    """Return the share of this process from the file that holds it."""
    rank, parts = dist.get_rank(group), dist.get_world_size(group)
    listed = given if own else given[rank::parts]
    headers = together([group], lambda: [_header(path) for path in listed])
    found: list = [None] * parts
    dist.all_gather_object(found, headers, group)
    known = [header for headers in found for header in headers]
    for header in known:
        _check_headers(header, known[0], grid)
    paths: dict[int, Any] = {}
    for header in known:
        if header["part"] in paths:
            raise ValueError(
                f"{paths[header['part']]} and {header['path']} both hold part {header['part']}: "
                "list a file for each part once."
            )
        paths[header["part"]] = header["path"]
    missing = [part for part in range(parts) if part not in paths]
    if missing:
        raise ValueError(
            f"no file holds part {missing[0]} of {parts}, among {len(known)} that are listed: list "
            "all files that `share.save` wrote."
        )
    share = together([group], lambda: Share.load(_mine(paths[rank], listed, own)))
    _check_fingerprint(share, group)
    return share


def _mine(path: str, listed: list, own: bool) -> str:
    if own and path not in map(str, listed):
        raise ValueError(f"the part of this process is {path}, which another one lists as its own.")
    return path


def _header(path: Any) -> dict[str, Any]:
    named = isinstance(path, (str, os.PathLike))
    if not named or Path(path).suffix in (".npy", ".parquet", ".csv", ".tsv"):
        raise ValueError(
            "edges need sizes: pass in_features and out_features, or list paths of files that "
            f"`share.save` wrote, got {path if named else type(path).__name__}."
        )
    header = header_of(path)
    if not all(isinstance(header[name], int) for name in ("part", "parts", "columns")):
        raise ValueError(f"{path} does not say of which part it is: save it again.")
    return header | {"path": str(path)}


def _check_headers(header: dict[str, Any], first: dict[str, Any], grid: tuple[int, int]) -> None:
    """Refuse shares of another grid or of two wirings; all processes see the same headers."""
    path, parts = header["path"], grid[0] * grid[1]
    if (header["parts"], header["columns"]) != (parts, grid[1]):
        columns = max(1, header["columns"])
        raise ValueError(
            f"{path} was saved for {header['parts']} processes in a grid of "
            f"({header['parts'] // columns}, {columns}), and here are {parts} in {grid}: start as "
            "many, or pass in_features and out_features, by which edges are shared anew."
        )
    for name in ("in_features", "out_features", "num_edges", "fingerprint"):
        if header[name] != first[name]:
            raise ValueError(
                f"{path} and {first['path']} are shares of two wirings, as {name} is "
                f"{header[name]} and {first[name]}: list the files of one `split`."
            )


def _check_fingerprint(share: Share, group: Any) -> None:
    if share.fingerprint is None:
        return
    found = gathered_fingerprint(share.edge_index.numpy(), group)
    if found != share.fingerprint:
        raise ValueError(
            "the edges of these shares together are not those that were split, as their "
            f"fingerprint is {found} and was {share.fingerprint}: a file was changed. Split again."
        )


def gathered_fingerprint(edges: np.ndarray, group: Any) -> int:
    """Return the fingerprint of the edges of all processes."""
    mine = np.array([fingerprint_of(*edges)], dtype=np.uint64).view(np.int64)
    return int(gathered(mine, group).view(np.uint64).sum(dtype=np.uint64))


def _sizes(
    in_features: Any, out_features: Any, duplicates: str, edge_axis: int, block: int
) -> tuple[int, int]:
    if in_features is None or out_features is None:
        raise ValueError(
            f"edges need both sizes, got in_features={in_features} and out_features={out_features}."
        )
    if duplicates not in ("error", "keep"):
        raise ValueError(f'`duplicates` must be "error" or "keep", got {duplicates!r}.')
    if edge_axis not in (0, 1):
        raise ValueError(f"`edge_axis` must be 1 for (2, k) or 0 for (k, 2), got {edge_axis!r}.")
    if as_size("block", block) < 1:
        raise ValueError(f"`block` must be at least 1, got {block}.")
    return as_size("in_features", in_features), as_size("out_features", out_features)


def _names(sources: list[Source]) -> str:
    said = repr([(source.name, source.units, source.dtype, source.sampled) for source in sources])
    return f"digest {hashlib.sha256(said.encode()).hexdigest()[:12]}"


def _agreed_dtype(sources: list[Source], group: Any) -> torch.dtype | None:
    """Return the type that holds all weights, or None where no edges have any."""
    found: list = [None] * dist.get_world_size(group)
    dist.all_gather_object(found, [(source.name, source.dtype) for source in sources], group)
    dtypes = [one for listed in found for one in listed]
    with_weights = [name for name, dtype in dtypes if dtype is not None]
    without = [name for name, dtype in dtypes if dtype is None]
    if with_weights and without:
        raise ValueError(
            f"all edges must have weights, or none: {with_weights[0]} has some, {without[0]} none."
        )
    if not with_weights:
        return None
    wide = dtypes[0][1]
    for _, dtype in dtypes:
        wide = torch.promote_types(wide, dtype)
    return wide


class _Reader:
    """The blocks that this process reads, as columns: targets, sources, places, weights."""

    def __init__(
        self,
        sources: list[Source],
        sizes: tuple[int, int],
        dtype: torch.dtype | None,
        keep: bool,
        own: bool,
        size: int,
        group: Any,
    ) -> None:
        self.sizes, self.dtype, self.keep, self._size = sizes, dtype, keep, size
        self._group = group
        rank, parts = dist.get_rank(group), dist.get_world_size(group)
        units = [(source, unit) for source in sources for unit in range(source.units)]
        firsts = 0
        if own:
            firsts, _ = placed(len(units), group)
            rank, parts = 0, 1
        self._units = [(firsts + i, *unit) for i, unit in enumerate(units) if i % parts == rank]
        kinds: list = [np.int64] * (3 if keep else 2)
        if dtype is not None:
            wide = torch.float32 if dtype == torch.bfloat16 else dtype
            kinds.append(torch.empty(0, dtype=wide).numpy().dtype)
        self.dtypes = [np.dtype(kind) for kind in kinds]

    def __call__(self) -> Iterator[Columns]:
        for number, source, unit in self._units:
            row = 0
            for block in source.read(unit, self._size):
                _check_block(block, source.name, self.sizes)
                columns = [block.dst, block.src]
                if self.keep:  # parallel edges are in the order in which they are listed
                    columns.append((number << 40) + row + np.arange(block.src.size))
                if block.weight is not None:
                    columns.append(block.weight.astype(self.dtypes[-1], copy=False))
                row += block.src.size
                yield columns


def _check_block(block: Block, name: str, sizes: tuple[int, int]) -> None:
    ends = (("source", "in_features", block.src), ("target", "out_features", block.dst))
    for (end, feature, ids), size in zip(ends, sizes, strict=True):
        wrong = (ids < 0) | (ids >= size)
        if wrong.any():
            at = int(wrong.argmax())
            raise ValueError(
                f"{end} {int(ids[at])} at {block.place(at)} of {name} is outside "
                f"[0, {size}), as {feature}={size}."
            )
    if block.weight is not None and not np.isfinite(block.weight).all():
        at = int((~np.isfinite(block.weight)).argmax())
        raise ValueError(f"the weight at {block.place(at)} of {name} is {block.weight[at]}.")


def _sorted_share(reader: _Reader, grid: tuple[int, int], group: Any) -> Share:
    height = 3 if reader.keep else 2
    columns = sorted_over(reader, height, reader.dtypes, group)
    if not reader.keep:
        together([group], lambda: _refuse_repeated(*columns[:2]))
    if grid[1] > 1:
        columns = _in_blocks(columns, height, reader.dtypes, grid, group)
        order = np.lexsort(columns[:height][::-1])
        columns = [column[order] for column in columns]
    else:
        columns = balanced(columns, lambda total: _ends(total, grid), group)
    dst, src = columns[:2]
    _, total = placed(dst.size, group)
    edges = np.stack([src, dst])
    weight = None
    if reader.dtype is not None:
        weight = torch.from_numpy(columns[-1]).to(reader.dtype)
    return Share(
        *reader.sizes,
        total,
        dist.get_rank(group),
        grid[0] * grid[1],
        torch.from_numpy(edges),
        grid[1],
        weight=weight,
        fingerprint=gathered_fingerprint(edges, group),
    )


def _ends(total: int, grid: tuple[int, int]) -> list[tuple[int, int]]:
    return [part_bounds(total, grid, part) for part in range(grid[0] * grid[1])]


def _in_blocks(
    columns: Columns,
    height: int,
    dtypes: list[np.dtype],
    grid: tuple[int, int],
    group: Any,
) -> Columns:
    """Return the edges of the part of this process, of edges in order over the processes."""
    first, total = placed(columns[0].size, group)
    ends = np.array([bounds(total, grid[0], row)[1] for row in range(grid[0])])
    row = np.searchsorted(ends, first + np.arange(columns[0].size), side="right")
    keys = [row, columns[1], columns[0], *columns[2:]]
    kinds = [np.dtype(np.int64), *dtypes]
    found = sorted_over(lambda: [keys], height + 1, kinds, group)
    _, src, dst, *rest = balanced(found, lambda total: _ends(total, grid), group)
    return [dst, src, *rest]


def _refuse_repeated(dst: np.ndarray, src: np.ndarray) -> None:
    repeated = (dst[1:] == dst[:-1]) & (src[1:] == src[:-1])
    if repeated.any():
        at = int(repeated.argmax())
        raise ValueError(
            f'edge {src[at]} -> {dst[at]} is given twice. Pass duplicates="keep" for two, with a '
            "weight each."
        )
