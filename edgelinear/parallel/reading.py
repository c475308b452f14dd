"""Edges of files and arrays, in blocks that processes read in turn."""

import io
import os
import re
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from edgelinear._optional import import_optional
from edgelinear.topology.checks import check_weight
from edgelinear.topology.shares import fingerprint_of

ENDINGS = (".npy", ".npz", ".parquet", ".arrow", ".feather", ".csv", ".tsv")
_SAMPLED = 4096  # edges of an array in memory, by which processes compare it


class Block(NamedTuple):
    """Some edges of a source, and where they are in it."""

    src: np.ndarray  # (number,) int64
    dst: np.ndarray
    weight: np.ndarray | None
    place: Callable[[int], str]  # where one of them is in its source, by its number here


class Source:
    """What holds edges: units of it are read each by one process."""

    name: str
    units: int
    dtype: torch.dtype | None  # of its weights
    sampled: int = 0  # a fingerprint of some edges, of what has no path to be known by

    def read(self, unit: int, size: int) -> Iterator[Block]:
        """Return the edges of a unit, at most `size` at once."""
        raise NotImplementedError


def open_source(given: Any, number: int, edge_axis: int, size: int) -> Source:
    """Return what reads a path, an array, or a pair of edges and weights of either.

    Raises:
        TypeError, ValueError, FileNotFoundError: if it holds no edges; the message says why.
    """
    edges, weight = given if isinstance(given, tuple) and len(given) == 2 else (given, None)
    if not isinstance(edges, (str, os.PathLike)):
        return _InMemory(f"array {number}", edges, weight, edge_axis, size)
    path = Path(edges).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: every process must find the same files.")
    if path.suffix not in ENDINGS:
        raise ValueError(f"files of edges end in one of {ENDINGS}, got {str(path)!r}.")
    try:
        if path.suffix in (".npy", ".npz"):
            return _array_of(path, weight, edge_axis, size)
        if weight is not None:
            raise ValueError("weights of a table are its column `weight`, and no second file")
        if path.suffix == ".parquet":
            return _Parquet(path)
        if path.suffix in (".arrow", ".feather"):
            return _Arrow(path)
        return _Text(path, size)
    except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} cannot be read as edges: {error}") from error


class _Array(Source):
    def __init__(self, name: str, edges: Any, weight: Any, edge_axis: int, size: int) -> None:
        self.name = name
        edges = edges.detach().cpu().numpy() if isinstance(edges, Tensor) else edges
        if not isinstance(edges, np.ndarray):
            raise TypeError(
                f"edges must be a path or an array, got {type(edges).__name__}: list paths and "
                "arrays, or pairs (edges, weight) of them."
            )
        if edges.ndim != 2 or edges.shape[1 - edge_axis] != 2:
            wanted = "(2, k)" if edge_axis == 1 else "(k, 2)"
            cure = f": pass edge_axis={1 - edge_axis}" if 2 in edges.shape[:2] else ""
            raise ValueError(f"{name} must have shape {wanted}, got {edges.shape}{cure}.")
        if edges.dtype.kind not in "iu":
            raise TypeError(f"{name} must hold integers, got {edges.dtype}.")
        self._edges = edges if edge_axis == 1 else edges.T
        self._weight = None
        self.dtype = None
        number = self._edges.shape[1]
        if weight is not None:
            self.dtype = check_weight(weight[:0], 0).dtype
            if len(weight) != number:
                raise ValueError(f"{name} has {number} edges and {len(weight)} weights.")
            self._weight = weight
        self.units, self._size = -(-number // size), size

    def read(self, unit: int, size: int) -> Iterator[Block]:
        start = unit * self._size
        here = slice(start, start + self._size)
        src, dst = (_ids(row[here]) for row in self._edges)
        weight = None
        if self._weight is not None:
            weight = _values(self._weight[here])
        yield Block(src, dst, weight, lambda at: f"edge {start + at}")


class _InMemory(_Array):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        step = max(1, self._edges.shape[1] // _SAMPLED)
        self.sampled = fingerprint_of(*self._edges[:, ::step])


def _array_of(path: Path, weight: Any, edge_axis: int, size: int) -> Source:
    if path.suffix == ".npy":
        if isinstance(weight, (str, os.PathLike)):
            weight = np.load(weight, mmap_mode="r", allow_pickle=False)
        edges = np.load(path, mmap_mode="r", allow_pickle=False)
    else:
        members = _members(path)
        edges = members["edge_index"]
        weight = members.get("weight") if weight is None else weight
    return _Array(str(path), edges, weight, edge_axis, size)


def _members(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays `edge_index` and `weight` of an archive, mapped where they lie in it."""
    found = {}
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if name not in ("edge_index", "weight"):
                continue
            if info.compress_type != zipfile.ZIP_STORED:
                raise ValueError("its arrays are compressed, which cannot be mapped: use np.savez")
            # A local header has 30 bytes, a name and an extra field, whose lengths are in it.
            file.seek(info.header_offset + 26)
            lengths = np.frombuffer(file.read(4), dtype="<u2")
            file.seek(info.header_offset + 30 + int(lengths.sum()))
            version = np.lib.format.read_magic(file)
            read = {(1, 0): "read_array_header_1_0", (2, 0): "read_array_header_2_0"}[version]
            shape, fortran, dtype = getattr(np.lib.format, read)(file)
            if np.prod(shape) == 0:
                found[name] = np.empty(shape, dtype)
                continue
            found[name] = _mapped(path, dtype, file.tell(), shape, fortran)
    if "edge_index" not in found:
        raise ValueError("it has no array `edge_index`")
    return found


def _mapped(path: Path, dtype: Any, at: int, shape: tuple[int, ...], fortran: bool) -> np.ndarray:
    return np.memmap(path, dtype, "r", at, shape, "F" if fortran else "C")


class _Table(Source):
    """A file of Arrow or Parquet: its batches or row groups are the units."""

    def _open(self, names: list[str], types: dict[str, Any]) -> None:
        arrow = import_optional("pyarrow", "arrow")
        self._columns = columns_of(names)
        for name in self._columns[:2]:
            if not arrow.types.is_integer(types[name]):
                raise ValueError(f"column {name!r} must hold integers, got {types[name]}")
        self.dtype = None
        if len(self._columns) == 3:
            array = arrow.array([], types["weight"]).to_numpy(zero_copy_only=False)
            self.dtype = check_weight(array, 0).dtype

    def _blocks(self, batch: Any, first: int, size: int, of: str = "") -> Iterator[Block]:
        for at in range(0, batch.num_rows, size):
            piece = batch.slice(at, size)
            columns = [piece.column(name) for name in self._columns]
            for name, column in zip(self._columns, columns, strict=True):
                if column.null_count:
                    raise ValueError(f"column {name!r} of {self.name} has rows without a value.")
            src, dst, *weight = (column.to_numpy(zero_copy_only=False) for column in columns)
            values = _values(weight[0]) if weight else None
            where = partial(_row, first + at, of)
            yield Block(_ids(src), _ids(dst), values, where)


class _Parquet(_Table):
    def __init__(self, path: Path) -> None:
        import_optional("pyarrow", "arrow")
        from pyarrow import parquet

        self.name, self._path = str(path), path
        self._parquet = parquet
        with parquet.ParquetFile(path) as file:
            schema = file.schema_arrow
            self._open(schema.names, dict(zip(schema.names, schema.types, strict=True)))
            groups = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
        self.units = len(groups)
        self._firsts = np.cumsum([0, *groups])

    def read(self, unit: int, size: int) -> Iterator[Block]:
        first = int(self._firsts[unit])
        with self._parquet.ParquetFile(self._path) as file:
            batches = file.iter_batches(size, row_groups=[unit], columns=self._columns)
            for batch in batches:
                yield from self._blocks(batch, first, size)
                first += batch.num_rows


class _Arrow(_Table):
    def __init__(self, path: Path) -> None:
        self.name = str(path)
        arrow = import_optional("pyarrow", "arrow")
        self._file = arrow.ipc.open_file(arrow.memory_map(str(path)))
        schema = self._file.schema
        self._open(schema.names, dict(zip(schema.names, schema.types, strict=True)))
        self.units = self._file.num_record_batches

    def read(self, unit: int, size: int) -> Iterator[Block]:
        yield from self._blocks(self._file.get_batch(unit), 0, size, f" of batch {unit}")


class _Text(Source):
    """Lines of numbers: the unit is a range of bytes, whose lines are those that begin in it."""

    def __init__(self, path: Path, size: int) -> None:
        self.name, self._path = str(path), path
        self._sep = "\t" if path.suffix == ".tsv" else ","
        with path.open("rb") as file:
            header = file.readline().removeprefix(b"\xef\xbb\xbf").decode()
            self._start = file.tell()
        names = [name.strip().strip('"') for name in header.split(self._sep)]
        columns = columns_of(names)
        self._at = [names.index(name) for name in columns]
        self.dtype = torch.float64 if len(columns) == 3 else None
        self._bytes = 4 * size  # a line has four at least, as "0,1" and its end
        self.units = -(-(path.stat().st_size - self._start) // self._bytes)

    def read(self, unit: int, size: int) -> Iterator[Block]:
        first = self._start + unit * self._bytes
        with self._path.open("rb") as file:
            file.seek(first - 1)
            file.readline()  # the line that began before
            begins, stop = file.tell(), first + self._bytes
            text = file.read(stop - begins) if begins < stop else b""
            if text and not text.endswith(b"\n"):
                text += file.readline()
        if not text.strip():
            return
        kinds = [("source", np.int64), ("target", np.int64), ("weight", np.float64)]
        try:
            rows = np.loadtxt(
                io.StringIO(text.decode()),
                dtype=kinds[: len(self._at)],
                delimiter=self._sep,
                usecols=self._at,
                comments=None,
                quotechar='"',
                ndmin=1,
            )
        except (ValueError, UnicodeDecodeError) as error:
            raise ValueError(self._said(error, begins)) from error
        weight = np.ascontiguousarray(rows["weight"]) if len(self._at) == 3 else None
        src, dst = (np.ascontiguousarray(rows[name]) for name in ("source", "target"))
        yield Block(src, dst, weight, lambda at: f"line {self._line(begins, at)}")

    def _said(self, error: Exception, begins: int) -> str:
        said = str(error).rstrip(".")
        found = re.search(r" at row (\d+), column \d+$", said)  # as NumPy counts
        line = f"line {self._line(begins, int(found[1]) if found else 0)}"
        where = f"in {line}" if found else f"from {line} on"
        cure = ""
        if " to int64" in said:
            cure = ". Nodes must be numbers from 0 on: `el.convert.from_table` numbers names"
        said = said[: found.start()] if found else said
        return f"{self.name} cannot be read as edges, {where}: {said}{cure}."

    def _line(self, begins: int, row: int) -> int:
        """Return the number of the line of a row, from 1 on; empty lines are no rows."""
        number, rows = 0, -1
        with self._path.open("rb") as file:
            while begins:
                before = file.read(min(begins, 2**20))
                number += before.count(b"\n")
                begins -= len(before)
            for line in file:
                number += 1
                rows += bool(line.strip())
                if rows == row:
                    break
        return number


def _row(first: int, of: str, at: int) -> str:
    return f"row {first + at}{of}"


def columns_of(names: list[str]) -> list[str]:
    """Return the columns of a table that are read: `weight` only where there is one."""
    for name in ("source", "target"):
        if names.count(name) != 1:
            shown = ", ".join(map(repr, names[:20]))
            raise ValueError(
                f"it must have one column {name!r}; its columns are {shown}. Call them `source`, "
                "`target` and maybe `weight`; a file of text does so in its first line"
            )
    if "weight" in names:
        return ["source", "target", "weight"]
    near = [name for name in names if name.strip().lower() in ("weight", "weights")]
    if near:
        raise ValueError(
            f"it has a column {near[0]!r}, and weights are read of `weight` alone: rename it, or "
            "leave it out"
        )
    return ["source", "target"]


def _ids(row: np.ndarray) -> np.ndarray:
    if row.dtype.kind == "u":  # beyond int64, it must not come back as a negative index
        row = np.minimum(row, np.array(2**63 - 1, dtype=np.uint64))
    return np.ascontiguousarray(row, dtype=np.int64)


def _values(weight: Any) -> np.ndarray:
    """Return weights as NumPy has them: those of bfloat16 in float32."""
    values = check_weight(weight, len(weight)).cpu()
    return (values.float() if values.dtype == torch.bfloat16 else values).numpy()
