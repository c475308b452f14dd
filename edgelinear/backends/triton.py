"""Triton kernels for CUDA, on any pattern: no blocks, no atomics, memory that follows the edges.

A row of many edges is cut into pieces, so that other rows need not wait for a hub; their sums are
then added in order. Each target sums its edges in an order that the wiring alone decides: bits are
the same from run to run, and for a sample alone or in any batch.
"""

import contextlib
import os
from typing import Any

import torch
from torch import Tensor

from edgelinear.topology import Topology
from edgelinear.topology.schedules import PIECE_EDGES

_DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)

LANES = 16  # of the edges of a row that are summed side by side: sums take their order from it

# These do not change the bits of `spmm`. A tile is what one warp holds in registers.
_TILE = 1024  # products of a tile: rows x lanes x samples, or edges x samples
_SMALL_TILE = 256  # the same for few samples, so that fewer rows wait for the longest among them
_SAMPLES = 64  # samples of a tile, at most: two lines of the cache in float32
_SIDE = 32  # rows and columns of the squares that are transposed


def why_not(x: Tensor, weight: Tensor, topology: Topology) -> str | None:
    """Return None, or why the Triton kernels cannot run this call."""
    on_cuda = x.is_cuda and weight.is_cuda
    if not on_cuda and not (_interpreted() and x.is_cpu and weight.is_cpu):
        return f"its kernels run on CUDA: the input is on {x.device}, the weight on {weight.device}"
    for dtype in (x.dtype, weight.dtype):
        if dtype not in _DTYPES:
            return f"it has no kernels for {dtype}"
    try:
        import triton  # noqa: F401
    except ImportError as error:
        return f"triton, which torch's CUDA builds bring on Linux, cannot be imported: {error}"
    return None


def _interpreted() -> bool:
    """Whether Triton runs kernels in Python, on the CPU: for tests."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def spmm(weight: Tensor, x: Tensor, topology: Topology, bias: Tensor | None = None) -> Tensor:
    """Return y with `y[b, t]` the sum of `weight[e] * x[b, s]` over the edges e: s -> t, + bias.

    y is laid out as x is.
    """
    from edgelinear.backends import triton_kernels as kernels

    batch, rows = x.shape[0], topology.out_features
    xt = _by_feature(x)
    yt = x.new_empty(rows, batch)
    if yt.numel() == 0:
        return yt.t()
    indptr, indices, edge_ids = topology.by_dst
    weight = weight.contiguous()
    bias = None if bias is None else bias.contiguous()
    samples, products = _tile(batch)
    tile_rows = max(1, products // LANES // samples)
    tiles = -(-batch // samples)
    sums = torch.promote_types(x.dtype, torch.float32)
    tile = dict(SAMPLES=samples, SUMS=_triton_type(sums), PIECE=PIECE_EDGES, num_warps=1)

    def sum_rows(pieces: Tensor | None, bias: Tensor | None, out: Tensor) -> None:
        grid = (-(-out.shape[0] // tile_rows) * tiles,)
        edges = (weight, indptr, indices, edge_ids, pieces)
        lanes = dict(ROWS=tile_rows, LANES=LANES, LOG_LANES=LANES.bit_length() - 1)
        stride = xt.stride(0)
        kernels.spmm[grid](*edges, xt, stride, bias, out, batch, out.shape[0], **lanes, **tile)

    with _device_of(x):
        sum_rows(None, bias, yt)
        pieces = topology._target_view.pieces
        if pieces is not None:
            parts = x.new_empty(pieces.shape[0], batch, dtype=sums)
            sum_rows(pieces, None, parts)
            grid = (pieces.shape[0] * tiles,)
            kernels.join[grid](indptr, pieces, parts, bias, yt, batch, pieces.shape[0], **tile)
    return yt.t() if _side_by_side(x) else _transposed(yt)


def sddmm(a: Tensor, b: Tensor, topology: Topology, dtype: torch.dtype) -> Tensor:
    """Return w with `w[e]` the sum of `a[n, t] * b[n, s]` over the batch n, for edge e: s -> t."""
    from edgelinear.backends import triton_kernels as kernels

    batch, num_edges = a.shape[0], topology.num_edges
    w = a.new_empty(num_edges, dtype=dtype)
    if num_edges == 0 or batch == 0:
        return w.zero_()
    at, bt = _by_feature(a), _by_feature(b)
    sums = torch.promote_types(torch.promote_types(a.dtype, b.dtype), dtype)
    sums = torch.promote_types(sums, torch.float32)
    samples, products = _tile(batch)
    edges = products // samples
    with _device_of(a):
        kernels.sddmm[(-(-num_edges // edges),)](
            topology.src,
            topology.dst,
            at,
            at.stride(0),
            bt,
            bt.stride(0),
            w,
            batch,
            num_edges,
            EDGES=edges,
            SAMPLES=samples,
            SUMS=_triton_type(sums),
            num_warps=1,
        )
    return w


def gradients(
    grad: Tensor, weight: Tensor, x: Tensor, topology: Topology, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Return the gradients of the weight, in `dtype`, and of x: both read one copy of `grad`."""
    turned = _by_feature(grad).t()
    grad_weight = sddmm(turned, x, topology, dtype)
    grad_x = spmm(weight, turned, topology.T)
    return grad_weight, grad_x if _side_by_side(grad) else _transposed(grad_x.t())


def _by_feature(x: Tensor) -> Tensor:
    """Return `x`, (batch, features), as (features, batch) with samples side by side in memory."""
    return x.t() if _side_by_side(x) else _transposed(x)


def _side_by_side(x: Tensor) -> bool:
    return x.stride(0) == 1 or x.shape[0] == 1


def _transposed(x: Tensor) -> Tensor:
    """Return the transpose of a matrix of any strides as a new, contiguous one."""
    from edgelinear.backends import triton_kernels as kernels

    y = x.new_empty(x.shape[1], x.shape[0])
    if y.numel():
        squares = -(-x.shape[0] // _SIDE) * -(-x.shape[1] // _SIDE)
        with _device_of(x):
            kernels.transpose[(squares,)](x, *x.stride(), y, *x.shape, SIDE=_SIDE, num_warps=4)
    return y


def _tile(batch: int) -> tuple[int, int]:
    """Return how many samples and how many products a tile has."""
    samples = min(_SAMPLES, 1 << (batch - 1).bit_length())  # a power of two
    return samples, _SMALL_TILE if samples <= 16 else _TILE


def _device_of(x: Tensor) -> contextlib.AbstractContextManager:
    """Make the device of `x` current: Triton launches there."""
    return torch.cuda.device(x.device) if x.is_cuda else contextlib.nullcontext()


def _triton_type(dtype: torch.dtype) -> Any:
    import triton.language as tl

    return {torch.float32: tl.float32, torch.float64: tl.float64}[dtype]
