"""A checkpoint's matrices: how many of their entries are zero, and what edges would be worth."""

import textwrap
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from edgelinear.comparison import tables
from edgelinear.comparison.machine import machine_of, place
from edgelinear.conversion import timing, twins
from edgelinear.conversion.found import Found
from edgelinear.conversion.rows import HEADERS, LEFT, LayerReport, bytes_of, cells_of
from edgelinear.conversion.running import Call

if TYPE_CHECKING:
    import rich.table

_TYPES = {"F64", "F32", "F16", "BF16"}  # others are quantized: a zero there may stand for a number
_SPARSE = 0.8
_HEADERS = (*HEADERS[:-1], ("", "advice"))


@dataclass(frozen=True)
class CheckpointReport:
    """The matrices of a file, with the times of a training step as `nn.Linear` and on edges."""

    file: str
    batch_size: int
    layers: list[LayerReport]
    machine: dict[str, Any]  # torch, threads, device

    @property
    def title(self) -> str:
        """What was measured in one line."""
        number = len(self.layers)
        matrices = "1 matrix" if number == 1 else f"{number} matrices"
        return f"{matrices}, a training step of batch {self.batch_size}, {place(self.machine)}"

    @property
    def sentence(self) -> str:
        """What to do with the model."""
        better = sum(layer.action == "el.sparsify" for layer in self.layers)
        if not better:
            return "No matrix is faster on edges: keep the model dense."
        return (
            f"{better} of {len(self.layers)} would be faster on edges, if they are weights of "
            "nn.Linear: load the model, and `el.sparsify(model, example)` measures all of it."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, as `json.dumps` takes them."""
        return {**asdict(self), "sentence": self.sentence}

    def __str__(self) -> str:
        cells = [*map(cells_of, self.layers)]
        lines = tables.aligned([*zip(*_HEADERS, strict=True), *cells], LEFT)
        return "\n".join([self.title, "", *lines, "", *textwrap.wrap(self.sentence, 88)])

    def __rich__(self) -> "rich.table.Table":
        styles = ["bold green" if x.action == "el.sparsify" else None for x in self.layers]
        cells = [*map(cells_of, self.layers)]
        return tables.drawn(_HEADERS, cells, styles, self.title, self.sentence, LEFT)

    def show(self) -> None:
        """Print the table, coloured where the output is a terminal and rich is installed."""
        tables.show(self)


def look_at(path: Path, batch_size: int, seconds: float) -> CheckpointReport:
    """Return what is known of each matrix in a file of safetensors.

    Those with 80 % of zeros, or masked to as many by `torch.nn.utils.prune`, are timed as an
    `nn.Linear` and as an `EdgeLinear`, those of equal shape, density and type once.

    Raises:
        ImportError: if safetensors is not installed.
        ValueError: if there is no matrix.
    """
    try:
        from safetensors import safe_open
    except ImportError as error:
        raise ImportError("reading it needs safetensors: pip install 'edgelinear[cli]'.") from error
    deadline = time.perf_counter() + seconds
    with safe_open(path, framework="pt") as file:
        keys = set(file.keys())
        found = [*_on_edges(file, keys), *_matrices(file, keys)]
        if not found:
            raise ValueError("it must hold a matrix, of two dimensions, and holds none.")
        problems = {_problem(file, key, row): key for key, row in found if row.action == "sparse"}
        times = {}
        for number, (problem, key) in enumerate(problems.items()):
            now = time.perf_counter()
            until = now + max(0.0, deadline - now) / (len(problems) - number)
            times[problem] = _timed(file, key, batch_size, until)
        rows = [
            _advised(row, times[_problem(file, key, row)]) if row.action == "sparse" else row
            for key, row in found
        ]
    rows.sort(key=lambda row: row.name)
    return CheckpointReport(str(path), batch_size, rows, machine_of(torch.device("cpu")))


def _on_edges(file: Any, keys: set[str]) -> Iterator[tuple[str, LayerReport]]:
    """Yield the layers that are wired already."""
    for key in keys:
        prefix = key.removesuffix("edge_index")
        if prefix != key and {prefix + "weight", prefix + "shape"} <= keys:
            in_features, out_features = file.get_tensor(prefix + "shape").tolist()
            weight = file.get_tensor(prefix + "weight")
            size = weight.nbytes + file.get_tensor(key).nbytes
            yield (
                key,
                _row(
                    *(prefix + "weight", in_features, out_features),
                    weight.numel() / max(1, in_features * out_features),
                    *(size, "on edges", "an EdgeLinear already"),
                ),
            )


def _matrices(file: Any, keys: set[str]) -> Iterator[tuple[str, LayerReport]]:
    for key in keys:
        entry = file.get_slice(key)
        shape = entry.get_shape()
        if len(shape) != 2 or key.endswith(("edge_index", "weight_mask")):
            continue
        matrix = file.get_tensor(key)
        if entry.get_dtype() not in _TYPES:
            density, action, why = None, "dense", f"its type is {entry.get_dtype()}"
        else:
            mask = _mask(file, key)
            wired = int((matrix if mask is None else mask).count_nonzero())
            density = wired / max(1, shape[0] * shape[1])
            action, why = "sparse", ""
            if 1 - density < _SPARSE:
                action, why = "dense", f"less than {_SPARSE:.0%} zeros"
            elif density == 0 and mask is None:
                action, why = "dense", "all its weights are 0"
        yield key, _row(key, shape[1], shape[0], density, matrix.nbytes, action, why)


def _row(
    name: str, inputs: int, outputs: int, density: float | None, size: int, action: str, why: str
) -> LayerReport:
    return LayerReport(name, inputs, outputs, density, 0, None, None, size, size, action, why)


def _mask_key(file: Any, key: str) -> str | None:
    name = key.removesuffix("orig") + "mask"
    return name if key.endswith("_orig") and name in file.keys() else None


def _mask(file: Any, key: str) -> torch.Tensor | None:
    name = _mask_key(file, key)
    return None if name is None else file.get_tensor(name)


def _problem(file: Any, key: str, row: LayerReport) -> tuple:
    """Return what decides how long a step takes."""
    kind = file.get_slice(key).get_dtype(), _mask_key(file, key) is not None
    return row.in_features, row.out_features, f"{row.density:.1e}", *kind


def _timed(file: Any, key: str, batch_size: int, deadline: float) -> tuple[float, float, int]:
    """Return the milliseconds of a step as a matrix and on edges, and the bytes of the edges."""
    weight = nn.Parameter(file.get_tensor(key))
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    linear.weight = weight
    entry = Found(linear, [key], [], weight=weight, mask=_mask(file, key))
    entry.calls = Counter([Call(batch_size, weight.dtype, True)])
    twins.make_twins([entry])
    timing.time_layers([entry], True, deadline, list)
    assert entry.ms is not None and entry.twin is not None
    return *entry.ms, bytes_of(entry.twin)


def _advised(row: LayerReport, times: tuple[float, float, int]) -> LayerReport:
    before, after, size = times
    action, why = "el.sparsify", f"{before / after:.1f} times faster"
    if after >= before:
        action, why = "dense", "faster as it is"
    return replace(
        row, ms_before=before, ms_after=after, bytes_after=size, action=action, reason=why
    )
