"""Compiled kernels for the CPU, called through ctypes: see `edgelinear/kernels`.

The shared library knows neither torch nor Python, so that one build serves every version of both.
Its threads are torch's own, lent through `torch_parallel_for`.
"""

import ctypes
import os
import struct
from ctypes import c_char_p, c_int32, c_int64, c_void_p
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edgelinear.topology import Topology
from edgelinear.topology.schedules import GROUP_ROWS

INSTRUCTION_SETS = ("portable", "avx2", "avx512")
_DTYPES = {torch.float32: 0, torch.float64: 1, torch.bfloat16: 2, torch.float16: 3}
_HALF = (torch.bfloat16, torch.float16)
_SUMS, _DOTS, _BOTH = 0, 1, 2
_HUGE = 1 << 22  # bytes from which on huge pages pay


# `View` of kernels.h, and the rest of its `Call`, field by field.
_VIEW = struct.Struct("4P4qi4x")
_CALL = struct.Struct("q4iqP2qP2qP2q5P")


class _Kernels:
    """The loaded library, and the instruction set that it is to use."""

    def __init__(self, path: Path, instruction_set: str | None = None) -> None:
        library = ctypes.CDLL(str(path))
        library.edgelinear_run.argtypes = [c_int32, c_char_p]
        library.edgelinear_run.restype = c_int64
        for name, expected in (
            ("edgelinear_call_bytes", _VIEW.size + _CALL.size),
            ("edgelinear_group_rows", GROUP_ROWS),
        ):
            constant = getattr(library, name)
            constant.restype = c_int64
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
        self._run = library.edgelinear_run
        self._use_huge_pages = library.edgelinear_use_huge_pages
        self._use_huge_pages.argtypes = [c_void_p, c_int64]
        self._use_huge_pages.restype = None
        self._set = INSTRUCTION_SETS.index(self.instruction_set)
        self.width = 0  # samples in a tile, or 0 for what measured fastest
        libtorch = ctypes.CDLL(torch._C.__file__)  # which finds what it depends on too
        self.parallel_for = ctypes.cast(libtorch.torch_parallel_for, c_void_p).value

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
        view = _view(topology)
        edgewise: Any = dots if weight is None else weight
        call = (
            gathered.shape[0],
            product,
            _DTYPES[gathered.dtype],
            _DTYPES[edgewise.dtype],
            self.width,
            torch.get_num_threads(),
            *_matrix(gathered),
            *_matrix(rowwise),
            *_matrix(sums),
            0 if weight is None else weight.data_ptr(),
            0 if dots is None else dots.data_ptr(),
            0 if bias is None else bias.data_ptr(),
        )
        lacks = self._run(self._set, view + _CALL.pack(*call, 0, self.parallel_for))
        if lacks > 0:  # bytes of scratch: a tensor, so that torch counts it
            scratch = self.empty(gathered, lacks, dtype=torch.uint8)
            address = scratch.data_ptr()
            lacks = self._run(self._set, view + _CALL.pack(*call, address, self.parallel_for))
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


def _load() -> _Kernels | str:
    """Return the kernels, or why they cannot be used."""
    try:
        with resources.as_file(resources.files("edgelinear") / "libedgelinear.so") as path:
            path = Path(os.environ.get("EDGELINEAR_LIBRARY", path))
            if not path.exists():
                return (
                    "the compiled kernels were not built with this install: with gcc 12 or clang "
                    "14 on the path, install edgelinear again (`pip install -v .` shows the build)"
                )
            kernels = _Kernels(path, os.environ.get("EDGELINEAR_INSTRUCTION_SET"))
    except (OSError, AttributeError, RuntimeError) as error:
        return f"the compiled kernels cannot be loaded: {error}"
    return kernels


def _self_test() -> str | None:
    """Return None, or what the kernels got wrong on a small layer."""
    topology = Topology(3, 2, [(2, 1), (0, 0), (2, 0), (1, 1)])
    weight = torch.tensor([2, 3, 5, 7], dtype=torch.float32, device="cpu")
    x = torch.arange(51, dtype=torch.float32, device="cpu").view(17, 3)
    y = torch.stack([3 * x[:, 0] + 5 * x[:, 2], 2 * x[:, 2] + 7 * x[:, 1]], 1)
    w = torch.stack([(y[:, t] * x[:, s]).sum() for s, t in ((2, 1), (0, 0), (2, 0), (1, 1))])
    right = torch.equal(spmm(weight, x, topology), y)
    right &= torch.equal(sddmm(y, x, topology, y.dtype), w)
    return None if right else "the compiled kernels fail their self-test on this processor"


def instruction_set() -> str:
    """Return the instruction set in use: one of INSTRUCTION_SETS."""
    return _kernels.instruction_set


def why_not(x: Tensor, weight: Tensor, topology: Topology) -> str | None:
    """Return None, or why the compiled kernels cannot run this call."""
    if not (x.is_cpu and weight.is_cpu):
        return (
            f"its kernels run on a CPU: the input is on {x.device}, the weight on {weight.device}"
        )
    if type(_kernels) is str:
        return _kernels
    if x.dtype not in _DTYPES:
        return f"it has no kernels for {x.dtype}"
    return None


def spmm(weight: Tensor, x: Tensor, topology: Topology, bias: Tensor | None = None) -> Tensor:
    """Return y with `y[b, t]` the sum of `weight[e] * x[b, s]` over the edges e: s -> t, + bias.

    y is laid out as x is.
    """
    if not _takes(x.dtype, weight.dtype):
        weight = weight.to(torch.promote_types(x.dtype, torch.float32))
    x, weight = _unit_stride(x), weight.contiguous()
    y = _kernels.empty_like(x, topology.out_features)
    if bias is not None:
        bias = bias.to(x.dtype).contiguous()
    _kernels.run(_SUMS, topology, x, sums=y, weight=weight, bias=bias)
    return y


def sddmm(a: Tensor, b: Tensor, topology: Topology, dtype: torch.dtype) -> Tensor:
    """Return w with `w[e]` the sum of `a[n, t] * b[n, s]` over the batch n, for edge e: s -> t."""
    if a.shape[0] == 0:
        return a.new_zeros(topology.num_edges, dtype=dtype)
    if a.dtype != b.dtype or dtype == torch.float64 != a.dtype:
        common = torch.promote_types(torch.promote_types(a.dtype, b.dtype), dtype)
        a, b = a.to(common), b.to(common)
    a, b = _unit_stride(a), _unit_stride(b)
    w_dtype = dtype if _takes(a.dtype, dtype) else torch.promote_types(a.dtype, torch.float32)
    w = _kernels.empty(a, topology.num_edges, dtype=w_dtype)
    if _by_source(topology):
        _kernels.run(_DOTS, topology.T, a, rowwise=b, dots=w)
    else:
        _kernels.run(_DOTS, topology, b, rowwise=a, dots=w)
    return w.to(dtype)


def gradients(
    grad: Tensor, weight: Tensor, x: Tensor, topology: Topology, dtype: torch.dtype
) -> tuple[Tensor, Tensor] | None:
    """Return those by the weight, of this dtype, and by x; or None where two walks are better."""
    if not _takes(x.dtype, dtype) or weight.dtype != dtype or grad.dtype != x.dtype:
        return None
    if not _one_walk(topology, grad.shape[0], dtype):
        return None
    grad, x = _unit_stride(grad), _unit_stride(x)
    grad_x = _kernels.empty_like(grad, topology.in_features)
    grad_weight = _kernels.empty(grad, topology.num_edges, dtype=dtype)
    weight = weight.contiguous()
    _kernels.run(_BOTH, topology.T, grad, x, grad_x, weight, grad_weight)
    return grad_weight, grad_x


def _by_source(topology: Topology) -> bool:
    """Return whether the gradient of the weight takes a walk by source, not one by target.

    It does if it then writes in the order of edges. And if edges are few for the inputs: a walk by
    source packs outputs, so that it spares a packed copy of the inputs, which costs the most there.
    """
    wide = topology.in_features > max(2 * topology.out_features, topology.num_edges // 8)
    return topology.by_src.edge_ids is None or wide


def _one_walk(topology: Topology, batch: int, dtype: torch.dtype) -> bool:
    """Return whether one walk by source for both gradients takes less time than one for each.

    It reads the edges once, and what it gathers. But where a walk by target would write the
    gradient of the weight in the order of edges, this one does not: that pays for few edges alone,
    whose cost is that of the calls. A large batch, or a half weight, would take more scratch.
    """
    sample_bytes = batch * dtype.itemsize
    if not 0 < sample_bytes <= 256 or dtype in _HALF:
        return False
    unordered = topology.by_dst.edge_ids is not None and sample_bytes <= 128
    return _by_source(topology) or unordered or topology.num_edges < 10_000


def _takes(dtype: torch.dtype, edge_dtype: torch.dtype) -> bool:
    """Return whether kernels for matrices of `dtype` take edges of the other type as they are."""
    return edge_dtype == dtype or (dtype in _HALF and edge_dtype == torch.float32)


def _unit_stride(matrix: Tensor) -> Tensor:
    """Return a matrix of which a row or a column is one run of memory."""
    return matrix if 1 in matrix.stride() else matrix.contiguous()


def _matrix(matrix: Tensor | None) -> tuple[int, int, int]:
    """Return the `Matrix` of kernels.h."""
    if matrix is None:
        return 0, 0, 0
    sample, feature = matrix.stride()
    return matrix.data_ptr(), feature, sample


def _view(topology: Topology) -> bytes:
    """Return the `View` by target. It holds addresses, which are good for this call alone."""
    _, indptr, indices, edge_ids, runs, _ = topology._target_view
    return _VIEW.pack(
        indptr.data_ptr(),
        indices.data_ptr(),
        0 if edge_ids is None else edge_ids.data_ptr(),
        0 if runs is None else runs.data_ptr(),
        topology.out_features,
        topology.in_features,
        indices.shape[0],
        0 if runs is None else runs.shape[0],
        indices.element_size(),
    )


_kernels: Any = _load()
if type(_kernels) is _Kernels:
    try:
        with torch.inference_mode(False), torch.autocast("cpu", enabled=False):
            _kernels = _self_test() or _kernels
    except RuntimeError as error:  # imported inside a mode that runs nothing
        _kernels = f"the compiled kernels could not be tested: {error}"
