"""The shared library of the compiled kernels: how it is found, tested and called.

It knows neither torch nor Python, so that one build serves every version of both, and its threads
are torch's own.
"""

import ctypes
import os
import struct
from concurrent.futures import ThreadPoolExecutor
from ctypes import c_char_p, c_int32, c_int64, c_void_p
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edgelinear import _torch
from edgelinear.topology import Topology
from edgelinear.topology.schedules import GROUP_ROWS

INSTRUCTION_SETS = ("portable", "avx2", "avx512")
DTYPES = {torch.float32: 0, torch.float64: 1, torch.bfloat16: 2, torch.float16: 3}
SUMS, DOTS, BOTH = 0, 1, 2
_HUGE = 1 << 22  # bytes from which on huge pages pay
# Below this address no memory is mapped as a rule. A tensor whose storage was freed begins there,
# at its offset: only then is the storage looked at, which would cost each call half a microsecond.
_LOW = 1 << 40

# `Call` of kernels.h: the codes of `struct` for its fields, and their names.
_INTERFACE = 1
_FIELDS = (
    ("4P", "view.indptr", "view.indices", "view.edge_ids", "view.runs"),
    ("4q", "view.rows", "view.columns", "view.edges", "view.num_runs"),
    ("i4x", "view.index_bytes"),
    ("q", "batch"),
    ("4i", "product", "dtype", "edge_dtype", "width"),
    ("q", "threads"),
    ("P2q", "gathered.data", "gathered.feature_stride", "gathered.sample_stride"),
    ("P2q", "rowwise.data", "rowwise.feature_stride", "rowwise.sample_stride"),
    ("P2q", "sums.data", "sums.feature_stride", "sums.sample_stride"),
    ("5P", "weight", "dots", "bias", "scratch", "parallel_for"),
)
_CALL = struct.Struct("".join(codes for codes, *_ in _FIELDS))


class Kernels:
    """The loaded library, and the instruction set that it is to use."""

    def __init__(self, path: Path, instruction_set: str | None = None) -> None:
        library = ctypes.CDLL(str(path))
        for name, expected in (
            ("edgelinear_interface", _INTERFACE),
            ("edgelinear_call_bytes", _CALL.size),
            ("edgelinear_group_rows", GROUP_ROWS),
        ):
            constant = getattr(library, name, int)  # int() is 0, which none of them is
            if constant() != expected:
                raise RuntimeError("they are of another version: install edgelinear again")
        sets = library.edgelinear_instruction_sets()
        self.supported = [name for i, name in enumerate(INSTRUCTION_SETS) if sets >> i & 1]
        self.instruction_set = instruction_set or self.supported[-1]
        if self.instruction_set not in self.supported:
            raise RuntimeError(
                f"EDGELINEAR_INSTRUCTION_SET must be one of {self.supported} on this processor, "
                f"got {instruction_set!r}"
            )
        self._set = INSTRUCTION_SETS.index(self.instruction_set)
        self._run = library.edgelinear_run
        self._run.argtypes = [c_int32, c_char_p]
        self._run.restype = c_int64
        self._use_huge_pages = library.edgelinear_use_huge_pages
        self._use_huge_pages.argtypes = [c_void_p, c_int64]
        self._use_huge_pages.restype = None
        self.width = 0  # samples in a tile, or 0 for what measured fastest
        self.parallel_for = _torch.thread_pool()
        if self.parallel_for is None:
            raise RuntimeError(
                "they need the parallel loop that torch exports since 2.10, "
                f"and this is torch {torch.__version__}"
            )

    def run(
        self,
        product: int,
        topology: Topology,
        gathered: Tensor,  # (batch, in_features)
        rowwise: Tensor | None = None,  # (batch, out_features)
        sums: Tensor | None = None,  # (batch, out_features)
        weight: Tensor | None = None,  # (num_edges,)
        dots: Tensor | None = None,  # (num_edges,)
        bias: Tensor | None = None,  # (out_features,)
    ) -> None:
        """Compute the `product` of kernels.h: `sums`, `dots` or both, from the others."""
        _, indptr, indices, edge_ids, runs, _ = topology._target_view
        edgewise: Any = dots if weight is None else weight
        columns, edges = topology.in_features, indices.shape[0]
        if gathered.shape[1] != columns or edgewise.shape[0] != edges:
            raise ValueError(  # or memory beyond them would be read
                f"a matrix of {columns} features and {edges} edges are needed, got shapes "
                f"{tuple(gathered.shape)} and {tuple(edgewise.shape)}."
            )
        edges_at = edgewise.data_ptr()
        bias_at = 0 if bias is None else bias.data_ptr()
        if edges_at < _LOW or (bias_at < _LOW and bias is not None):
            _refuse_freed(edgewise, bias)
        call = (  # _FIELDS but for the last two. Addresses: they are good for this call alone.
            indptr.data_ptr(),
            indices.data_ptr(),
            0 if edge_ids is None else edge_ids.data_ptr(),
            0 if runs is None else runs.data_ptr(),
            topology.out_features,
            columns,
            edges,
            0 if runs is None else runs.shape[0],
            indices.element_size(),
            gathered.shape[0],
            product,
            DTYPES[gathered.dtype],
            DTYPES[edgewise.dtype],
            self.width,
            torch.get_num_threads(),
            *_address_and_strides(gathered),
            *_address_and_strides(rowwise),
            *_address_and_strides(sums),
            0 if weight is None else edges_at,
            0 if dots is None else dots.data_ptr(),
            bias_at,
        )
        lacks = self._run(self._set, _CALL.pack(*call, 0, self.parallel_for))
        if lacks > 0:  # bytes of scratch: a tensor, so that torch counts it
            scratch = self.empty(gathered, lacks, dtype=torch.uint8)
            lacks = self._run(self._set, _CALL.pack(*call, scratch.data_ptr(), self.parallel_for))
        if lacks:
            raise RuntimeError("torch's threads failed inside a kernel: its result is lost.")

    def empty(self, like: Tensor, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        """Return an empty tensor, in huge pages if it is large: its first touch costs much less."""
        tensor = like.new_empty(shape, dtype=dtype)
        if tensor.nbytes >= _HUGE:
            self._use_huge_pages(tensor.data_ptr(), tensor.nbytes)
        return tensor

    def empty_like(self, matrix: Tensor, features: int) -> Tensor:
        """Return an empty (batch, features), laid out as `matrix` is."""
        batch = matrix.shape[0]
        if matrix.stride(1) == 1:
            return self.empty(matrix, batch, features)
        return self.empty(matrix, features, batch).t()


def load() -> Kernels | str:
    try:
        with resources.as_file(resources.files("edgelinear") / "libedgelinear.so") as path:
            path = Path(os.environ.get("EDGELINEAR_LIBRARY", path))
            if not path.exists():
                return (
                    "the compiled kernels were not built with this install: with gcc 12 or clang "
                    "14 on the path, install edgelinear again (`pip install -v .` shows the build)"
                )
            kernels = Kernels(path, os.environ.get("EDGELINEAR_INSTRUCTION_SET"))
        # In a thread of its own, which is in no mode: the caller may be in one of autocast, of fake
        # tensors, of another default device, or inside a transform, where no kernel could run.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(_self_test, kernels).result() or kernels
    except (OSError, AttributeError, RuntimeError) as error:
        return f"the compiled kernels cannot be loaded: {error}"


def _self_test(kernels: Kernels) -> str | None:
    """Return None, or what the kernels got wrong on a small layer."""
    edges = [(2, 1), (0, 0), (2, 0), (1, 1)]
    topology = Topology(3, 2, edges)
    weight = torch.tensor([2, 3, 5, 7], dtype=torch.float32)
    x = torch.arange(51, dtype=torch.float32).view(17, 3)
    y = torch.stack([3 * x[:, 0] + 5 * x[:, 2], 2 * x[:, 2] + 7 * x[:, 1]], 1)
    w = torch.stack([(y[:, t] * x[:, s]).sum() for s, t in edges])
    sums, dots = torch.zeros_like(y), torch.zeros_like(w)
    kernels.run(SUMS, topology, x, sums=sums, weight=weight)
    kernels.run(DOTS, topology, x, rowwise=y, dots=dots)
    if torch.equal(sums, y) and torch.equal(dots, w):
        return None
    return "the compiled kernels fail their self-test on this processor"


def _address_and_strides(matrix: Tensor | None) -> tuple[int, int, int]:
    """Return the `Matrix` of kernels.h: the address, and the strides of features and of samples."""
    if matrix is None:
        return 0, 0, 0
    sample, feature = matrix.stride()
    address = matrix.data_ptr()
    if address < _LOW:
        _refuse_freed(matrix)
    return address, feature, sample


def _refuse_freed(*tensors: Tensor | None) -> None:
    """Refuse tensors whose numbers are gone: memory that is not theirs would be read."""
    for tensor in tensors:
        if tensor is not None and tensor.numel() and not tensor.untyped_storage().nbytes():
            raise RuntimeError(
                f"the memory of a tensor of shape {tuple(tensor.shape)} was freed, as by "
                "`untyped_storage().resize_(0)`: it must stay until forward and backward are done."
            )
