"""The kernels of the `triton` backend. Imported when it first runs: only then is Triton needed.

Matrices are (features, batch), samples side by side. Offsets are int64. `batch` is specialised, as
loads of 16 bytes need to know that it is a multiple of 16. Every load is converted to the type of
sums at once: the interpreter adds bfloat16 as if it were integers.
"""

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["num_parts"])
def spmm(
    weight,  # (num_edges,)
    indptr,  # (rows + 1,)
    indices,  # (num_edges,)
    edge_ids,  # (num_edges,), or None where positions are edges
    pieces,  # (num_parts, 2): of long rows; or None, where parts are rows
    x,  # (columns, batch)
    x_stride,
    bias,  # (rows,), or None
    out,  # (num_parts, batch)
    batch,
    num_parts,
    ROWS: tl.constexpr,
    LANES: tl.constexpr,
    LOG_LANES: tl.constexpr,
    SAMPLES: tl.constexpr,
    SUMS: tl.constexpr,
    PIECE: tl.constexpr,
):
    """Sum ROWS parts, which are rows but for long ones, or pieces of these, for SAMPLES samples.

    Edge k of a part goes to lane k % LANES, and lanes are added by halves, whatever the tile.
    """
    blocks = tl.cdiv(num_parts, ROWS)
    # Programs in a row take the same samples, whose slice of `x` the cache then holds.
    program = tl.program_id(0)
    part = (program % blocks).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    sample = (program // blocks).to(tl.int64) * SAMPLES + tl.arange(0, SAMPLES)
    live = part < num_parts
    inside = sample < batch
    if pieces is None:
        row = part
        begin = tl.load(indptr + row, mask=live, other=0).to(tl.int64)
        end = tl.load(indptr + row + 1, mask=live, other=0).to(tl.int64)
        live = live & (end - begin <= PIECE)
        end = tl.where(live, end, begin)
    else:
        row = tl.load(pieces + 2 * part, mask=live, other=0).to(tl.int64)
        begin = tl.load(pieces + 2 * part + 1, mask=live, other=0).to(tl.int64)
        end = tl.load(indptr + row + 1, mask=live, other=0).to(tl.int64)
        end = tl.where(live, tl.minimum(begin + PIECE, end), begin)

    lane = tl.arange(0, LANES)
    sums = tl.zeros((ROWS, LANES, SAMPLES), SUMS)
    for k in range(0, tl.max(end - begin, 0), LANES):
        position = begin[:, None] + k + lane[None, :]
        there = position < end[:, None]
        column = tl.load(indices + position, mask=there, other=0).to(tl.int64)
        if edge_ids is None:
            edge = position
        else:
            edge = tl.load(edge_ids + position, mask=there, other=0).to(tl.int64)
        factor = tl.load(weight + edge, mask=there, other=0).to(SUMS)
        at = x + column[:, :, None] * x_stride + sample[None, None, :]
        value = tl.load(at, mask=there[:, :, None] & inside[None, None, :], other=0).to(SUMS)
        sums = tl.fma(tl.broadcast_to(factor[:, :, None], (ROWS, LANES, SAMPLES)), value, sums)
    # By halves, as `tl.sum` would take an order from the layout.
    for i in tl.static_range(LOG_LANES):
        halves = tl.reshape(sums, (ROWS, 2, LANES >> (i + 1), SAMPLES))
        low, high = tl.split(tl.permute(halves, (0, 2, 3, 1)))
        sums = low + high
    total = tl.reshape(sums, (ROWS, SAMPLES))
    if bias is not None:
        total += tl.load(bias + row, mask=live, other=0).to(SUMS)[:, None]
    at = out + part[:, None] * batch + sample[None, :]
    tl.store(at, total.to(out.dtype.element_ty), mask=live[:, None] & inside[None, :])


@triton.jit(do_not_specialize=["num_pieces"])
def join(
    indptr,  # (rows + 1,)
    pieces,  # (num_pieces, 2)
    parts,  # (num_pieces, batch): their sums
    bias,  # (rows,), or None
    y,  # (rows, batch)
    batch,
    num_pieces,
    SAMPLES: tl.constexpr,
    SUMS: tl.constexpr,
    PIECE: tl.constexpr,
):
    """Add up the pieces of each long row in their order: the program of its first one does."""
    piece = (tl.program_id(0) % num_pieces).to(tl.int64)
    sample = (tl.program_id(0) // num_pieces).to(tl.int64) * SAMPLES + tl.arange(0, SAMPLES)
    row = tl.load(pieces + 2 * piece).to(tl.int64)
    begin, end = tl.load(indptr + row), tl.load(indptr + row + 1)
    if tl.load(pieces + 2 * piece + 1) == begin:
        total = tl.zeros((SAMPLES,), SUMS)
        for i in range(0, tl.cdiv(end - begin, PIECE)):
            at = parts + (piece + i) * batch + sample
            total += tl.load(at, mask=sample < batch, other=0)
        if bias is not None:
            total += tl.load(bias + row).to(SUMS)
        tl.store(y + row * batch + sample, total.to(y.dtype.element_ty), mask=sample < batch)


@triton.jit(do_not_specialize=["num_edges"])
def sddmm(
    src,  # (num_edges,)
    dst,  # (num_edges,)
    a,  # (out_features, batch)
    a_stride,
    b,  # (in_features, batch)
    b_stride,
    w,  # (num_edges,)
    batch,
    num_edges,
    EDGES: tl.constexpr,
    SAMPLES: tl.constexpr,
    SUMS: tl.constexpr,
):
    """Multiply the rows of both ends of EDGES edges, each of which no other program writes."""
    edge = tl.program_id(0).to(tl.int64) * EDGES + tl.arange(0, EDGES)
    there = edge < num_edges
    target = tl.load(dst + edge, mask=there, other=0).to(tl.int64)[:, None] * a_stride
    source = tl.load(src + edge, mask=there, other=0).to(tl.int64)[:, None] * b_stride
    sums = tl.zeros((EDGES, SAMPLES), SUMS)
    for first in range(0, batch, SAMPLES):
        sample = (first + tl.arange(0, SAMPLES)).to(tl.int64)[None, :]
        mask = there[:, None] & (sample < batch)
        left = tl.load(a + target + sample, mask=mask, other=0).to(SUMS)
        right = tl.load(b + source + sample, mask=mask, other=0).to(SUMS)
        sums = tl.fma(left, right, sums)
    tl.store(w + edge, tl.sum(sums, 1).to(w.dtype.element_ty), mask=there)


@triton.jit
def transpose(
    x,  # (rows, columns), of any strides
    row_stride,
    column_stride,
    y,  # (columns, rows), contiguous
    rows,
    columns,
    SIDE: tl.constexpr,
):
    """Copy a matrix into its transpose, a square at a time."""
    across = tl.cdiv(columns, SIDE)
    row = (tl.program_id(0) // across).to(tl.int64) * SIDE + tl.arange(0, SIDE)
    column = (tl.program_id(0) % across).to(tl.int64) * SIDE + tl.arange(0, SIDE)
    mask = (row < rows)[:, None] & (column < columns)[None, :]
    square = tl.load(x + row[:, None] * row_stride + column[None, :] * column_stride, mask=mask)
    at = y + column[:, None] * rows + row[None, :]
    tl.store(at, tl.trans(square), mask=tl.trans(mask))
