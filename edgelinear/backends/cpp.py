"""Compiled kernels for the CPU, called through ctypes: see `edgelinear/kernels`.

The shared library knows neither torch nor Python, so that one build serves every version of both.
Its threads are torch's own. It is loaded and tested when it is first used.
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
_DTYPES = {torch.float32: 0, torch.float64: 1, torch.bfloat16: 2, torch.float16: 3}
_HALF = (torch.bfloat16, torch.float16)
_SUMS, _DOTS, _BOTH = 0, 1, 2
_HUGE = 1 << 22  # bytes from which on huge pages pay

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


class _Kernels:
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
            _DTYPES[gathered.dtype],
            _DTYPES[edgewise.dtype],
            self.width,
            torch.get_num_threads(),
            *_address_and_strides(gathered),
            *_address_and_strides(rowwise),
            *_address_and_strides(sums),
            0 if weight is None else weight.data_ptr(),
            0 if dots is None else dots.data_ptr(),
            0 if bias is None else bias.data_ptr(),
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


_kernels: Any = None  # once they were used: _Kernels, or why they cannot be used


def _first_use() -> Any:
    """Return the kernels, or why they cannot be used, and set `_kernels` to it.

    Without a lock: threads that come here at once each find the same.
    """
    global _kernels
    _kernels = _load()
    return _kernels


def _load() -> _Kernels | str:
    try:
        with resources.as_file(resources.files("edgelinear") / "libedgelinear.so") as path:
            path = Path(os.environ.get("EDGELINEAR_LIBRARY", path))
            if not path.exists():
                return (
                    "the compiled kernels were not built with this install: with gcc 12 or clang "
                    "14 on the path, install edgelinear again (`pip install -v .` shows the build)"
                )
            kernels = _Kernels(path, os.environ.get("EDGELINEAR_INSTRUCTION_SET"))
        # In a thread of its own, which is in no mode: the caller may be in one of autocast, of fake
        # tensors, of another default device, or inside a transform, where no kernel could run.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(_self_test, kernels).result() or kernels
    except (OSError, AttributeError, RuntimeError) as error:
        return f"the compiled kernels cannot be loaded: {error}"


def _self_test(kernels: _Kernels) -> str | None:
    """Return None, or what the kernels got wrong on a small layer."""
    edges = [(2, 1), (0, 0), (2, 0), (1, 1)]
    topology = Topology(3, 2, edges)
    weight = torch.tensor([2, 3, 5, 7], dtype=torch.float32)
    x = torch.arange(51, dtype=torch.float32).view(17, 3)
    y = torch.stack([3 * x[:, 0] + 5 * x[:, 2], 2 * x[:, 2] + 7 * x[:, 1]], 1)
    w = torch.stack([(y[:, t] * x[:, s]).sum() for s, t in edges])
    sums, dots = torch.zeros_like(y), torch.zeros_like(w)
    kernels.run(_SUMS, topology, x, sums=sums, weight=weight)
    kernels.run(_DOTS, topology, x, rowwise=y, dots=dots)
    if torch.equal(sums, y) and torch.equal(dots, w):
        return None
    return "the compiled kernels fail their self-test on this processor"


def instruction_set() -> str:
    """Return the instruction set in use: one of INSTRUCTION_SETS."""
    return (_kernels or _first_use()).instruction_set


def why_not(x: Tensor, weight: Tensor, topology: Topology) -> str | None:
    """Return None, or why the compiled kernels cannot run this call."""
    if not (x.is_cpu and weight.is_cpu):
        return (
            f"its kernels run on a CPU: the input is on {x.device}, the weight on {weight.device}"
        )
    kernels = _kernels or _first_use()
    if type(kernels) is str:
        return kernels
    if x.dtype not in _DTYPES:
        return f"it has no kernels for {x.dtype}"
    return None


def spmm(weight: Tensor, x: Tensor, topology: Topology, bias: Tensor | None = None) -> Tensor:
    """Return y with `y[b, t]` the sum of `weight[e] * x[b, s]` over the edges e: s -> t, + bias.

    y is laid out as x is.
    """
    kernels = _kernels or _first_use()
    if not _takes(x.dtype, weight.dtype):
        weight = weight.to(torch.promote_types(x.dtype, torch.float32))
    x, weight = _unit_stride(x), weight.contiguous()
    y = kernels.empty_like(x, topology.out_features)
    if bias is not None:
        bias = bias.to(x.dtype).contiguous()
    kernels.run(_SUMS, topology, x, sums=y, weight=weight, bias=bias)
    return y


def sddmm(a: Tensor, b: Tensor, topology: Topology, dtype: torch.dtype) -> Tensor:
    """Return w with `w[e]` the sum of `a[n, t] * b[n, s]` over the batch n, for edge e: s -> t."""
    if a.shape[0] == 0:
        return a.new_zeros(topology.num_edges, dtype=dtype)
    if a.dtype != b.dtype or dtype == torch.float64 != a.dtype:
        common = torch.promote_types(torch.promote_types(a.dtype, b.dtype), dtype)
        a, b = a.to(common), b.to(common)
    kernels = _kernels or _first_use()
    a, b = _unit_stride(a), _unit_stride(b)
    w_dtype = dtype if _takes(a.dtype, dtype) else torch.promote_types(a.dtype, torch.float32)
    w = kernels.empty(a, topology.num_edges, dtype=w_dtype)
    if _by_source(topology):
        kernels.run(_DOTS, topology.T, a, rowwise=b, dots=w)
    else:
        kernels.run(_DOTS, topology, b, rowwise=a, dots=w)
    return w.to(dtype)


def gradients(
    grad: Tensor, weight: Tensor, x: Tensor, topology: Topology, dtype: torch.dtype
) -> tuple[Tensor, Tensor] | None:
    """Return the gradients of the weight, in `dtype`, and of x; or None if two walks are faster."""
    if not _takes(x.dtype, dtype) or weight.dtype != dtype or grad.dtype != x.dtype:
        return None
    if not _one_walk(topology, grad.shape[0], dtype):
        return None
    kernels = _kernels or _first_use()
    grad, x = _unit_stride(grad), _unit_stride(x)
    grad_x = kernels.empty_like(grad, topology.in_features)
    grad_weight = kernels.empty(grad, topology.num_edges, dtype=dtype)
    weight = weight.contiguous()
    kernels.run(_BOTH, topology.T, grad, x, grad_x, weight, grad_weight)
    return grad_weight, grad_x


def _by_source(topology: Topology) -> bool:
    """Return whether the gradient of the weight takes a walk by source instead of one by target.

    It does where that walk meets the edges in their order, and so writes side by side. And where
    inputs are many and edges few: a walk by target would pack the inputs, which then costs more
    than all else, and a walk by source packs the outputs.
    """
    wide = topology.in_features > max(2 * topology.out_features, topology.num_edges // 8)
    return topology.by_src.edge_ids is None or wide


def _one_walk(topology: Topology, batch: int, dtype: torch.dtype) -> bool:
    """Return whether one walk by source for both gradients takes less time than two.

    It reads the edges, and what it gathers, once. But where a walk by target meets the edges in
    their order, the one walk does not, and writes the gradient of the weight all over memory: then
    it pays only for so few edges that most of the time goes to the calls themselves. A large batch
    or a half weight would take too much scratch.
    """
    sample_bytes = batch * dtype.itemsize
    if not 0 < sample_bytes <= 256 or dtype in _HALF:
        return False
    unordered = topology.by_dst.edge_ids is not None and sample_bytes <= 128
    return _by_source(topology) or unordered or topology.num_edges < 10_000


def _takes(dtype: torch.dtype, edge_dtype: torch.dtype) -> bool:
    """Return whether the kernels take matrices of `dtype` beside a weight of `edge_dtype`."""
    return edge_dtype == dtype or (dtype in _HALF and edge_dtype == torch.float32)


def _unit_stride(matrix: Tensor) -> Tensor:
    """Return the matrix with one of its strides 1, copied if neither is."""
    return matrix if 1 in matrix.stride() else matrix.contiguous()


def _address_and_strides(matrix: Tensor | None) -> tuple[int, int, int]:
    """Return the `Matrix` of kernels.h: the address, and the strides of features and of samples."""
    if matrix is None:
        return 0, 0, 0
    sample, feature = matrix.stride()
    return matrix.data_ptr(), feature, sample
