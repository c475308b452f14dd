"""Triton kernels for CUDA, on any pattern: no blocks, no atomics, memory that follows the edges.

A row of many edges is cut into pieces, so that other rows need not wait for a hub; their sums are
then added in order. Each target sums its edges in an order that the wiring alone decides: bits are
the same from run to run, and for a sample alone or in any batch.
"""

import functools
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from edgelinear.topology import Topology
from edgelinear.topology.schedules import PIECE_EDGES

_DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)

LANES = 16  # of the edges of a row that are summed side by side: sums take their order from it
TILE_SAMPLES = 64  # of a product that are summed side by side, at most: likewise

# These do not change bits: they are what measured fastest on an H200, in benchmarks/results.
_SIDE = 32  # rows and columns of the squares that are transposed
_SMALL = 1 << 20  # products up to which launches take longer than what they save
_ROW_EDGES = 8  # of a row on average, from which on it is multiplied with its edges at once


def why_not(x: Tensor, weight: Tensor, topology: Topology) -> str | None:
    """Return None, or why the Triton kernels cannot run this call."""
    on_cuda = x.is_cuda and weight.is_cuda
    if not on_cuda and not (_interpreted() and x.is_cpu and weight.is_cpu):
        return f"its kernels run on CUDA: the input is on {x.device}, the weight on {weight.device}"
    for dtype in (x.dtype, weight.dtype):
        if dtype not in _DTYPES:
            return f"it has no kernels for {dtype}"
    if torch.version.hip is not None:  # Triton would tell apart there what `_launch` does not
        return "its kernels are for CUDA, and this build of torch is for ROCm"
    try:
        import triton  # noqa: F401
    except ImportError as error:
        return f"triton, which torch's CUDA builds bring on Linux, cannot be imported: {error}"
    if on_cuda and (capability := _capability(x.device)) < (7, 0):
        number = ".".join(map(str, capability))
        return f"Triton takes devices of compute capability 7.0 or more, and this one has {number}"
    return None


@functools.cache
def _capability(device: torch.device) -> tuple[int, int]:
    return torch.cuda.get_device_capability(device)


def _interpreted() -> bool:
    """Whether Triton runs kernels in Python, on the CPU: for tests."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def spmm(weight: Tensor, x: Tensor, topology: Topology, bias: Tensor | None = None) -> Tensor:
    """Return y with `y[b, t]` the sum of `weight[e] * x[b, s]` over the edges e: s -> t, + bias.

    y is laid out as x is.
    """
    if x.shape[0] == 0 or topology.out_features == 0:
        return _empty(x, topology.out_features)
    return _walk(weight, _readable(x, topology.num_edges), _side_by_side(x), topology, bias=bias)


def sddmm(a: Tensor, b: Tensor, topology: Topology, dtype: torch.dtype) -> Tensor:
    """Return w with `w[e]` the sum of `a[n, t] * b[n, s]` over the batch n, for edge e: s -> t."""
    w = a.new_empty(topology.num_edges, dtype=dtype)
    if topology.num_edges == 0 or a.shape[0] == 0:
        return w.zero_()
    edges = topology.num_edges
    return _multiply(_readable(a, edges), _readable(b, edges), w, topology)


def gradients(
    grad: Tensor, weight: Tensor, x: Tensor, topology: Topology, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Return the gradients of the weight, in `dtype`, and of x: both read one copy of `grad`."""
    grad_weight = grad.new_empty(topology.num_edges, dtype=dtype)
    edges, batch = topology.num_edges, grad.shape[0]
    if edges == 0 or batch == 0:
        return grad_weight.zero_(), _empty(grad, topology.in_features).zero_()
    g, own, by_feature = _readable(grad, edges), _readable(x, edges), _side_by_side(grad)
    # A walk sums in the type of `grad`, a product in that of the weight too.
    alike = _sums(torch.promote_types(grad.dtype, dtype)) == _sums(grad.dtype)
    if alike and batch <= TILE_SAMPLES and edges * batch <= _SMALL:
        # One walk gathers `grad` once. But it writes the gradient of the weight all over memory,
        # which takes longer than a second walk once the cache no longer holds it.
        return grad_weight, _walk(weight, g, by_feature, topology.T, own=own, dots=grad_weight)
    _multiply(g, own, grad_weight, topology)
    return grad_weight, _walk(weight, g, by_feature, topology.T)


class _Matrix(NamedTuple):
    """A (batch, features) as kernels read it: see `triton_kernels`."""

    data: Tensor
    stride: int  # of features, or else of samples
    by_feature: bool
    batch: int
    features: int
    aligned: bool = True  # to the 16 bytes that a vector loads

    @property
    def is_narrow(self) -> bool:
        """Whether offsets of features fit into 31 bits."""
        return self.features * (self.stride if self.by_feature else 1) < 2**31


def _readable(x: Tensor, edges: int) -> _Matrix:
    """Return `x`, (batch, features), as it lies, or a copy by feature."""
    batch, features = x.shape
    unit = min(16, _samples(batch))  # of samples that are loaded at once
    aligned = x.data_ptr() % 16 == 0
    if max(x.stride()) < 2**31:
        if _side_by_side(x) and batch % unit == 0:
            stride = x.stride(1)
            if (aligned and stride % unit == 0) or batch == 1:
                return _Matrix(x, stride, True, batch, features, aligned)
        if x.stride(1) == 1 and edges * batch <= _SMALL:
            return _Matrix(x, x.stride(0), False, batch, features, aligned)
    return _transposed(x, -(-batch // unit) * unit)


def _transposed(x: Tensor, width: int) -> _Matrix:
    """Return a copy by feature, and zeros after its samples up to `width` of them."""
    batch, features = x.shape
    copy = x.new_empty(features, width)
    unit = x.stride().index(1) if 1 in x.stride() else None
    _launch(
        ("transpose", x.dtype, unit),
        -(-width // _SIDE) * -(-features // _SIDE),
        (x, *x.stride(), copy, width, batch, features),
        lambda: dict(SIDE=_SIDE, UNIT=unit, num_warps=4),
    )
    return _Matrix(copy, width, True, batch, features)


def _walk(
    weight: Tensor,
    x: _Matrix,
    by_feature: bool,
    topology: Topology,
    bias: Tensor | None = None,
    own: _Matrix | None = None,
    dots: Tensor | None = None,
) -> Tensor:
    """Return y, laid out by feature or by sample, and compute the `dots` of `x` and `own`."""
    _, indptr, indices, edge_ids, _, pieces, order, _ = topology._target_view
    rows, batch = topology.out_features, x.batch
    dtype = x.data.dtype
    tile_rows, samples, num_warps = _tile(batch, dtype.itemsize, order is None, dots is not None)
    # Rows one by one would write a number at a time: it is faster to turn them all afterwards.
    turns = not by_feature and tile_rows == 1 and samples == TILE_SAMPLES and dots is None
    y_by_feature = by_feature or (turns and topology.num_edges * batch > _SMALL)
    y = x.data.new_empty((rows, batch) if y_by_feature else (batch, rows))
    y_stride = y.shape[1]
    tiles = -(-batch // samples)
    sums = _sums(dtype)
    num_pieces, parts = 0, None
    if pieces is not None:
        num_pieces = pieces.shape[0]
        parts = y.new_empty(num_pieces, batch, dtype=sums)
    if tile_rows == 1:
        order = None  # no row waits for another, and neighbours may read the same columns
    weight = weight.contiguous()
    bias = None if bias is None else bias.contiguous()
    own_by_feature = own is not None and own.by_feature
    kinds = (
        "walk",
        indices.dtype,
        weight.dtype,
        y.dtype,
        None if bias is None else bias.dtype,
        None if dots is None else dots.dtype,
        None if own is None else own.data.dtype,
        edge_ids is None,
        order is None,
        pieces is None,
        x.aligned,
        x.by_feature,
        own_by_feature,
        y_by_feature,
        x.is_narrow,
        tile_rows,
        samples,
    )

    def constants() -> dict[str, Any]:
        return dict(
            ROWS=tile_rows,
            LANES=LANES,
            LOG_LANES=LANES.bit_length() - 1,
            SAMPLES=samples,
            LOG_SAMPLES=samples.bit_length() - 1,
            SUMS=_triton_type(sums),
            PIECE=PIECE_EDGES,
            X_BY_FEATURE=x.by_feature,
            OWN_BY_FEATURE=own_by_feature,
            Y_BY_FEATURE=y_by_feature,
            NARROW=x.is_narrow,
            num_warps=num_warps,
        )

    arguments = (
        *(weight, indptr, indices, edge_ids, order, pieces, x.data, x.stride, bias, y, y_stride),
        *(parts, None if own is None else own.data, 0 if own is None else own.stride, dots),
        *(batch, rows, num_pieces),
    )
    _launch(kinds, -(-(num_pieces + rows) // tile_rows) * tiles, arguments, constants)
    if parts is not None:
        names = ("SAMPLES", "SUMS", "PIECE", "Y_BY_FEATURE")
        _launch(
            ("join", *kinds[1:]),
            num_pieces * tiles,
            (indptr, pieces, parts, bias, y, y_stride, batch, num_pieces),
            lambda: {name: constants()[name] for name in names} | {"num_warps": 1},
        )
    if not y_by_feature:
        return y
    return y.t() if by_feature else _transposed(y, rows).data


def _tile(batch: int, element_size: int, alike: bool, dots: bool) -> tuple[int, int, int]:
    """Return the rows, samples and warps of a program; `alike` is whether rows are as long."""
    samples = _samples(batch)
    if samples <= 16:
        return 4, samples, 1
    if dots or not alike:
        return 1, samples, 1
    rows, samples = (4, samples) if element_size == 4 else (2, min(samples, 128 // element_size))
    return rows, samples, max(1, rows * samples // 128)


def _multiply(a: _Matrix, b: _Matrix, w: Tensor, topology: Topology) -> Tensor:
    """Compute `w`, and return it."""
    samples = _samples(a.batch)
    num_edges, rows = topology.num_edges, topology.out_features
    by_row = samples == TILE_SAMPLES and num_edges >= _ROW_EDGES * rows
    edges = 16 if by_row else min(256, 1024 // samples)
    sums = _sums(torch.promote_types(torch.promote_types(a.data.dtype, b.data.dtype), w.dtype))
    is_narrow = a.is_narrow and b.is_narrow
    ends: tuple
    sizes: tuple
    if by_row:
        _, indptr, indices, edge_ids, _, pieces, *_ = topology._target_view
        num_pieces = 0 if pieces is None else pieces.shape[0]
        shares = -(-num_edges // (64 * rows))
        ends, sizes = (indptr, indices, edge_ids, pieces), (num_pieces, shares)
        programs = (rows + num_pieces) * shares
    else:
        ends, sizes = (topology.src, topology.dst), (num_edges,)
        programs = -(-num_edges // edges)
    kinds = (
        "row_dots" if by_row else "edge_dots",
        ends[0].dtype,
        ends[-2] is None,
        ends[-1] is None,
        a.data.dtype,
        b.data.dtype,
        w.dtype,
        a.aligned,
        b.aligned,
        a.by_feature,
        b.by_feature,
        is_narrow,
        samples,
    )

    def constants() -> dict[str, Any]:
        return dict(
            EDGES=edges,
            SAMPLES=samples,
            LOG_SAMPLES=samples.bit_length() - 1,
            SUMS=_triton_type(sums),
            A_BY_FEATURE=a.by_feature,
            B_BY_FEATURE=b.by_feature,
            NARROW=is_narrow,
            num_warps=1,
            **({"PIECE": PIECE_EDGES} if by_row else {}),
        )

    arguments = (*ends, a.data, a.stride, b.data, b.stride, w, a.batch, *sizes)
    _launch(kinds, programs, arguments, constants)
    return w


def _samples(batch: int) -> int:
    """Return how many samples a tile has: a power of two."""
    return min(TILE_SAMPLES, 1 << (batch - 1).bit_length())


def _empty(like: Tensor, features: int) -> Tensor:
    """Return an empty (batch, features), laid out as the matrix `like` is."""
    if _side_by_side(like):
        return like.new_empty(features, like.shape[0]).t()
    return like.new_empty(like.shape[0], features)


def _side_by_side(x: Tensor) -> bool:
    return x.stride(0) == 1 or x.shape[0] == 1


def _sums(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32


def _triton_type(dtype: torch.dtype) -> Any:
    import triton.language as tl

    return {torch.float32: tl.float32, torch.float64: tl.float64}[dtype]


_compiled: dict[tuple, tuple[Any, list]] = {}  # what Triton made, and the constants it wants


def _launch(
    kinds: tuple,
    programs: int,
    arguments: tuple,
    constants: Callable[[], dict[str, Any]],
) -> None:
    """Launch a kernel on the device of its first argument.

    `kinds`, its name first, are what Triton compiles anew for: types, what is None, what 16 bytes
    divide, and constants; and so are numbers beyond 31 bits. It would ask each argument at each
    launch, which takes longer than all else that the host does.
    """
    device = arguments[0].device
    if device.type == "cuda" and device.index != torch.cuda.current_device():
        with torch.cuda.device(device):
            return _launch(kinds, programs, arguments, constants)
    wide = [i for i, a in enumerate(arguments) if type(a) is int and a >= 2**31]
    key = (device.index, *kinds, *wide)
    known = _compiled.get(key)
    if known is not None:
        kernel, rest = known
        kernel[programs, 1, 1](*arguments, *rest)
        return
    from edgelinear.backends import triton_kernels

    kernel = getattr(triton_kernels, kinds[0])
    named = constants() | {"enable_fp_fusion": False}  # sums round as they are written
    made = kernel[programs,](*arguments, **named)
    if made is not None:  # as where Triton interprets
        _compiled[key] = made, [named[name] for name in kernel.arg_names[len(arguments) :]]
