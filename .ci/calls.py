"""Random calls of the compiled kernels, written down, and what they must give."""

import ctypes
import re
import struct
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

import edgelinear as el
from edgelinear.backends import library
from edgelinear.backends.library import BOTH, DOTS, DTYPES, SUMS

BATCHES = [1, 2, 7, 16, 33, 64, 70]

# What a call of each function of the library packs into its struct: codes and names of fields.
FIELDS = {
    "run": library._CALL_FIELDS,
    "pass": library._PASS_FIELDS,
    "copy": library._COPY_FIELDS,
}


class Result(NamedTuple):
    """What a call writes, in memory of its own."""

    tensor: Tensor
    samples: int | None  # their dimension, if a sample's bits are the same in any batch and set


class Call(NamedTuple):
    """A call as `elsewhere.cpp` reads it; `check` returns how many numbers it gave, all right."""

    function: str
    written: bytes
    results: list[Result]
    check: Callable[..., int]


class Recorder(library.Kernels):
    """Kernels whose calls are written down instead of made."""

    def __init__(self) -> None:
        self._set = self.width = self.parallel_for = 0
        self._run, self._pass, self._copy = (partial(self._take, name) for name in FIELDS)

    def _take(self, function: str, _: int, packed: bytes) -> int:
        self.function, self.packed = function, packed
        return 0

    def call(
        self,
        method: Callable[..., None],  # of this recorder
        *arguments: Any,
        results: list[Result],
        check: Callable[..., int],
        threads: int = 1,
        **named: Any,
    ) -> Call:
        """Return the call that the method makes of these arguments."""
        method(*arguments, **named)
        memory = {}
        for tensor in tensors([[result.tensor for result in results], arguments, named]):
            memory[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        starts, pointers = list(memory), []
        for field, to in addresses(self.function, self.packed):
            (start,) = (at for at in starts if at <= to < at + memory[at])
            pointers.append((field, starts.index(start), to - start))
        header = (list(FIELDS).index(self.function), threads, len(self.packed))
        kinds = [(size, i < len(results)) for i, size in enumerate(memory.values())]
        numbers = (*header, len(kinds), len(pointers), *sum(pointers, ()), *sum(kinds, ()))
        arrays = (ctypes.string_at(at, size) for at, size in memory.items())
        written = b"".join([np.array(numbers, "<i8").tobytes(), self.packed, *arrays])
        return Call(self.function, written, results, check)


def tensors(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in arguments of the kernels."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, el.Topology):
        yield from tensors(value._target_view)
    elif isinstance(value, dict):
        yield from tensors(list(value.values()))
    elif isinstance(value, tuple | list):
        for part in value:
            yield from tensors(part)


def addresses(function: str, packed: bytes) -> Iterator[tuple[int, int]]:
    """Yield the pointers in a struct, but for null: where they are, and where they lead."""
    done = ""
    for number, code in re.findall(r"(\d*)(\w)", " ".join(codes for codes, *_ in FIELDS[function])):
        for _ in range(int(number or 1)):
            done += code
            field = struct.calcsize(done) - struct.calcsize(code)
            if code == "P" and (to := struct.unpack_from("P", packed, field)[0]):
                yield field, to


def walk(recorder: Recorder, seed: int, alone: bool) -> Call:
    """Return a random walk: sizes, degrees, types and layouts of all kinds.

    If `alone`, it is that of the first sample.
    """
    random, draws = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    sources, targets = (int(2 ** random.uniform(0, 9)) for _ in range(2))
    if seed % 4 == 0:  # large and dense enough for runs
        sources, targets = (int(random.integers(1024, 2048)) for _ in range(2))
    edges = int(random.uniform(0, 0.15) * sources * targets) + 1
    topology = el.generators.erdos_renyi(sources, targets, num_edges=edges, generator=draws)
    if seed % 3 == 0:
        shuffled = topology.edge_index[:, torch.from_numpy(random.permutation(topology.num_edges))]
        topology = el.Topology(sources, targets, shuffled)
    dtype = list(DTYPES)[seed % 4] if seed % 5 else torch.float32
    edge_dtype = torch.promote_types(dtype, torch.float32) if random.random() < 0.5 else dtype
    batch = int(random.choice(BATCHES))
    product = int(random.integers(3))
    if product == BOTH and dtype != edge_dtype:
        product = SUMS

    def values(*shape: int, dtype: torch.dtype = dtype) -> Tensor:
        return torch.from_numpy(random.standard_normal(shape)).to(dtype)

    def matrix(features: int) -> Tensor:
        return laid_out(values(batch, features), bool(seed & 1))[: 1 if alone else batch]

    threads = int(random.integers(1, 4))
    x, rowwise = matrix(sources), matrix(targets) if product != SUMS else None
    weight = values(edges, dtype=edge_dtype) if product != DOTS else None
    bias = values(targets) if product == SUMS and seed & 2 else None
    sums = torch.full_like(matrix(targets), torch.nan) if product != DOTS else None
    dots = torch.full((edges,), torch.nan, dtype=edge_dtype) if product != SUMS else None

    def check(*found: Tensor) -> int:
        results, number = list(found), 0
        ends = topology.dst, topology.src
        if weight is not None:
            dense = torch.zeros(targets, sources, dtype=torch.float64)
            dense[ends] = weight.double()
            added = torch.zeros(targets) if bias is None else bias
            size = x.double().abs() @ dense.abs().t() + added.double().abs()
            number += right(results.pop(0), x.double() @ dense.t() + added.double(), size)
        if rowwise is not None:
            a, b = rowwise.double().t(), x.double()
            number += right(results.pop(0), (a @ b)[ends], (a.abs() @ b.abs())[ends])
        return number

    return recorder.call(
        recorder.run,
        product,
        topology,
        x,
        rowwise,
        sums,
        weight,
        dots,
        bias,
        results=[Result(t, by) for t, by in ((sums, 0), (dots, None)) if t is not None],
        check=check,
        threads=threads,
    )


def copied(recorder: Recorder, seed: int, alone: bool) -> Call:
    """Return a random copy of some features or of all, which converts and transposes.

    If `alone`, it is that of the first sample.
    """
    random = np.random.default_rng(seed)
    types = [torch.float64] if seed % 4 == 0 else [t for t in DTYPES if t != torch.float64]
    source_type, to_type = (types[i] for i in random.integers(len(types), size=2))
    batch, features = int(random.choice(BATCHES)), int(2 ** random.uniform(0, 10))
    values = torch.from_numpy(random.standard_normal((batch, features))).to(source_type)
    source = laid_out(values, bool(seed & 1))[: 1 if alone else batch]
    rows = None
    if seed % 3:
        count = int(random.integers(1, 2 * features + 1))
        rows = torch.from_numpy(random.integers(features, size=count))
        rows = rows.int() if seed % 3 == 1 else rows
    truth = (source if rows is None else source[:, rows]).to(to_type)
    beyond = torch.full((len(truth), 3), torch.nan, dtype=to_type)  # which stay as they are
    to = laid_out(torch.cat([truth * torch.nan, beyond], 1), bool(seed & 2))

    def check(found: Tensor) -> int:
        number = truth.shape[1]
        if not torch.equal(found[:, :number], truth) or not found[:, number:].isnan().all():
            raise ValueError(f"a copy from {source_type} to {to_type} is wrong")
        return truth.numel()

    return recorder.call(recorder.copy, source, to, rows, results=[Result(to, 0)], check=check)


def laid_out(matrix: Tensor, feature_major: bool) -> Tensor:
    """Return a (batch, features) in memory of its own, in which features or samples come first."""
    return matrix.t().contiguous().t() if feature_major else matrix.contiguous()


def right(found: Tensor, truth: Tensor, size: Tensor) -> int:
    """Return how many numbers there are; `size` is the sum of the absolute values of the terms."""
    wide = torch.promote_types(found.dtype, torch.float32)
    rounding = torch.finfo(found.dtype).eps * truth.abs() + 20 * torch.finfo(wide).eps * size
    near = (found.double() - truth).abs() <= rounding + torch.finfo(found.dtype).tiny
    off = ~near  # as NaN is
    if off.any():
        raise ValueError(f"{int(off.sum())} of {off.numel()} numbers are wrong")
    return off.numel()
