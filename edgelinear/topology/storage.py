"""Files of shares: .npz, or Arrow's by pyarrow."""

import json
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgelinear._optional import import_optional

_HEADER = ("in_features", "out_features", "num_edges", "part", "parts", "columns", "fingerprint")
_KEY = "edgelinear share"
_TYPES = {str(t): t for t in (torch.float16, torch.bfloat16, torch.float32, torch.float64)}
_ROWS = 2**20  # a batch of Arrow, as it is read again


def save(path: Any, share: Any) -> None:
    path = Path(path).expanduser()
    write = _of(path)[0]
    header = {name: getattr(share, name) for name in _HEADER} | {"version": 1}
    edges = share.edge_index.cpu().numpy()
    columns = {"source": edges[0], "target": edges[1]}
    if share.weight is not None:
        header["weight"] = str(share.weight.dtype)
        wide = share.weight.float() if share.weight.dtype == torch.bfloat16 else share.weight
        columns["weight"] = wide.numpy()
    if share.positions is not None:
        columns["position"] = share.positions.cpu().numpy()
    partial = path.with_name(f"{path.name}.partial")  # what is cut short has another name
    write(partial, json.dumps(header), columns)
    os.replace(partial, path)


def load(path: Any) -> dict[str, Any]:
    """Return what a file says of the fields of a share, as yet unchecked."""
    path = Path(path).expanduser()
    header, columns = _read(path)
    for name in ("source", "target", "weight", "position"):
        _check_column(path, name, columns.get(name), needed=name in ("source", "target"))
    if columns["source"].shape != columns["target"].shape:
        raise _foreign(path, "it has other numbers of sources and of targets")
    fields: dict[str, Any] = {name: header[name] for name in _HEADER}
    fields["edge_index"] = _tensor(np.stack([columns["source"], columns["target"]]))
    if "weight" in columns:
        dtype = _TYPES.get(header.get("weight", ""))
        if dtype is None:
            raise _foreign(path, f"its weights are of {header.get('weight')!r}")
        fields["weight"] = _tensor(columns["weight"]).to(dtype)
    if "position" in columns:
        fields["positions"] = _tensor(columns["position"])
    return fields


def header_of(path: Any) -> dict[str, Any]:
    """Return what a file says of the share in it: sizes, part, grid and fingerprint."""
    return _read(Path(path).expanduser(), whole=False)[0]


def _read(path: Path, whole: bool = True) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    read = _of(path)[1]
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is not there: each process needs the file of its part, from `share.save`."
        )
    try:
        text, columns = read(path, whole)
        header = json.loads(text)
    except (KeyError, ValueError, EOFError, OSError, zipfile.BadZipFile, zlib.error) as error:
        raise _foreign(path, f"{error}") from error
    if not isinstance(header, dict) or header.get("version") != 1 or not {*_HEADER} <= {*header}:
        raise _foreign(path, "it does not say of which part of which wiring")
    return header, columns


def _of(path: Path) -> tuple[Any, Any]:
    if path.suffix == ".npz":
        return _write_npz, _read_npz
    if path.suffix in (".arrow", ".feather"):
        return _write_arrow, _read_arrow
    raise ValueError(
        f"a share is kept in a file that ends in .npz, .arrow or .feather, got {str(path)!r}."
    )


def _foreign(path: Path, what: str) -> ValueError:
    return ValueError(
        f"{path} holds no share as `share.save` writes it ({what}). For a file of edges, use "
        "`el.parallel.load_shares` with in_features and out_features."
    )


def _check_column(path: Path, name: str, values: Any, needed: bool) -> None:
    if values is None and not needed:
        return
    kind = "f" if name == "weight" else "i"
    if values is None or values.ndim != 1 or values.dtype.kind != kind:
        found = "none" if values is None else f"{values.ndim}-D {values.dtype}"
        raise _foreign(path, f"of {name}s it has {found}")


def _tensor(array: np.ndarray) -> Tensor:
    array = array.astype(np.int64, copy=False) if array.dtype.kind == "i" else array
    return torch.from_numpy(np.require(array, requirements=["C", "W"]))


def _write_npz(path: Path, header: str, columns: dict[str, np.ndarray]) -> None:
    edges = np.stack([columns.pop("source"), columns.pop("target")])
    with path.open("wb") as file:
        np.savez(file, share=np.array(header), edge_index=edges, **columns)  # type: ignore[arg-type]


def _read_npz(path: Path, whole: bool) -> tuple[str, dict[str, np.ndarray]]:
    with np.load(path, allow_pickle=False) as file:
        if not hasattr(file, "files"):
            raise ValueError("it is one array")
        header = str(file["share"])
        if not whole:
            return header, {}
        columns = {name: file[name] for name in ("weight", "position") if name in file.files}
        edges = file["edge_index"]
    if edges.ndim != 2 or len(edges) != 2:
        raise ValueError(f"its `edge_index` has shape {edges.shape}")
    return header, {"source": edges[0], "target": edges[1], **columns}


def _write_arrow(path: Path, header: str, columns: dict[str, np.ndarray]) -> None:
    arrow = import_optional("pyarrow", "arrow")
    table = arrow.table(columns).replace_schema_metadata({_KEY: header})
    with arrow.OSFile(str(path), "wb") as sink, arrow.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=_ROWS)


def _read_arrow(path: Path, whole: bool) -> tuple[str, dict[str, np.ndarray]]:
    arrow = import_optional("pyarrow", "arrow")
    with arrow.memory_map(str(path)) as source, arrow.ipc.open_file(source) as file:
        header = (file.schema.metadata or {})[_KEY.encode()].decode()
        if not whole:
            return header, {}
        table = file.read_all()
        if any(column.null_count for column in table.columns):
            raise ValueError("values are missing")
        return header, {name: np.array(table[name]) for name in table.column_names}
