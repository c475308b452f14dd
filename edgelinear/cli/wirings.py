"""Wirings in files, as a command takes them."""

import io
import re
import warnings
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from edgelinear import convert
from edgelinear.convert import Wiring
from edgelinear.convert.files import endings, read_bytes

_TABLES = (
    *(".csv", ".tsv", ".tab", ".txt", ".sif", ".dat", ".edges", ".edgelist"),
    *(".parquet", ".pq", ".feather", ".arrow", ".ipc"),
)
_MATRICES, _PACKED_MATRICES = (".npz", ".mtx"), (".gz", ".bz2")


def read(path: Path, table: dict[str, Any], layout: str | None, duplicates: str) -> Wiring:
    """Return what a table or matrix holds."""
    kind, packed = endings(path)
    if kind not in (*_TABLES, *_MATRICES) or (
        kind in _MATRICES
        and packed
        and (kind, packed) not in {(".mtx", p) for p in _PACKED_MATRICES}
    ):
        raise click.UsageError(
            f"{path} must end in .csv, .tsv, .txt or another ending of tables (with .gz or "
            "without), .parquet, .feather, .arrow, .npz, .mtx or .safetensors to be understood."
        )
    if kind in _TABLES and layout is not None:
        raise click.UsageError("--layout is for a matrix; the columns of a table have names.")
    if kind in _MATRICES and table:
        option = option_of(next(iter(table)))
        raise click.UsageError(f"{option} is for a table, and {path} is a matrix.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # readers warn of what the checks behind them refuse
        if kind in _TABLES:
            options = table | {"duplicates": duplicates, "sort": True}
            return attempt(path, convert.from_table, path, **options)
        matrix = attempt(path, _load_matrix, path)
        reader = convert.from_torch if isinstance(matrix, torch.Tensor) else convert.from_scipy
        return attempt(path, reader, matrix, layout=layout or "adjacency", duplicates=duplicates)


def option_of(name: str) -> str:
    """Return the option of the command that gives an argument of this name."""
    return "--no-weight" if name == "weight" else f"--{name.replace('_', '-')}"


def _load_matrix(path: Path) -> Any:
    import scipy.io
    import scipy.sparse

    if endings(path)[0] == ".npz":
        _check_indices(path)
        matrix = scipy.sparse.load_npz(path)
    else:
        matrix = scipy.io.mmread(io.BytesIO(read_bytes(path)))
    if not scipy.sparse.issparse(matrix):
        return torch.as_tensor(matrix)
    if matrix.ndim != 2:
        raise ValueError(f"the matrix must have 2 dimensions, got shape {matrix.shape}")
    return matrix


def _check_indices(path: Path) -> None:
    """Refuse indices that are no integers: scipy cuts them without a word."""
    with np.load(path) as archive:
        for name in {"row", "col", "coords", "indices", "indptr"} & {*archive.files}:
            if archive[name].dtype.kind not in "iu":
                raise ValueError(f"`{name}` must hold integers, got {archive[name].dtype}.")


def attempt(path: Path, read: Any, *args: Any, **options: Any) -> Any:
    """Return what `read` does, with the file's name in front of whatever a broken file raises."""
    try:
        return read(*args, **options)
    except (ImportError, OSError, MemoryError):
        raise
    except Exception as error:  # zipfile, zlib, struct and pickle all have errors of their own
        said = str(error) or type(error).__name__
        said = re.sub(r'duplicates="(\w+)"', r"--duplicates \1", said)
        raise ValueError(said if str(path) in said else f"{path}: {said}") from error
