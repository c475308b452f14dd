"""The kernels of the `triton` backend. Imported when it first runs: only then is Triton needed.

A matrix of the batch is read in one of two ways. By feature, it is (features, batch), `stride`
numbers from feature to feature, and every tile of SAMPLES samples is there whole: loads are then of
up to 16 bytes. By sample it is (batch, features), `stride` from sample to sample, as a small one is
that does not pay for a transposed copy.

Sums take one order, from the wiring and the numbers of the batch alone. Edge k of a row goes to
lane k % LANES and sample n of a product to n % SAMPLES; lanes are added by halves and samples by
pairs, two at a time. A sum of two is the same whatever threads hold them, where `tl.sum` of more
takes its order from the layout. Samples beyond the batch are zeros, which change no sum.

Every load is converted to the type of sums at once: the interpreter adds bfloat16 as if it were
integers.
"""

import triton
import triton.language as tl


@triton.jit
def _start(x, stride, sample, BY_FEATURE: tl.constexpr):
    """Return where samples have their feature 0."""
    return x + sample if BY_FEATURE else x + sample * stride


@triton.jit
def _width(batch, SAMPLES: tl.constexpr):
    """Return how many samples a matrix by feature has, with the zeros after them."""
    return tl.cdiv(batch, 16) * 16 if SAMPLES > 16 else SAMPLES


@triton.jit
def _samples(tile, batch, SAMPLES: tl.constexpr, BY_FEATURE: tl.constexpr):
    """Return the samples of a tile, and where it goes beyond their last one, some of them again.

    So loads need no mask, and read nothing twice from memory.
    """
    lane = tl.arange(0, SAMPLES)
    first = tile * SAMPLES
    if BY_FEATURE:
        if SAMPLES > 16:  # by groups of 16, which are loaded as vectors
            last = (_width(batch, SAMPLES) - first) // 16 - 1
            return first + tl.minimum(lane // 16, last) * 16 + lane % 16
        else:
            return first + lane
    else:
        return tl.minimum(first + lane, batch - 1)


@triton.jit
def _aligned(stride, SAMPLES: tl.constexpr):
    """Return the stride from feature to feature so that the compiler knows what divides it."""
    divisor: tl.constexpr = 16 if SAMPLES > 16 else SAMPLES
    return stride // divisor * divisor


@triton.jit
def _offset(
    feature,
    stride,
    SAMPLES: tl.constexpr,
    BY_FEATURE: tl.constexpr,
    NARROW: tl.constexpr,  # whether offsets fit into 31 bits
):
    """Return how far features are from feature 0."""
    if not NARROW:
        feature = feature.to(tl.int64)
    return feature * _aligned(stride, SAMPLES) if BY_FEATURE else feature


@triton.jit
def _sum_samples(products, COUNT: tl.constexpr, LOG_SAMPLES: tl.constexpr):
    """Add up samples, the last axis of (COUNT, SAMPLES), by pairs."""
    for i in tl.static_range(LOG_SAMPLES):
        pairs = tl.reshape(products, (COUNT, 1 << (LOG_SAMPLES - 1 - i), 2))
        products = tl.sum(pairs, 2)
    return tl.reshape(products, (COUNT,))


@triton.jit
def _add_edges(
    sums,
    k,
    left,
    position,
    indices,
    weight,
    edge_ids,
    x,
    x_stride,
    inside,
    own,
    dots,
    WHOLE: tl.constexpr,  # whether no row ends before these edges do
    BY_FEATURE: tl.constexpr,
    NARROW: tl.constexpr,
    ROWS: tl.constexpr,
    LANES: tl.constexpr,
    SAMPLES: tl.constexpr,
    LOG_SAMPLES: tl.constexpr,
    SUMS: tl.constexpr,
):
    """Add the edges from k on, LANES of each row; and write their dots, if these are asked for."""
    shape: tl.constexpr = (ROWS, LANES, SAMPLES)
    at = position + k
    if WHOLE:
        column = tl.load(indices + at)
        edge = at if edge_ids is None else tl.load(edge_ids + at).to(tl.int64)
        factor = tl.load(weight + edge)
    else:
        there = (k + tl.arange(0, LANES))[None, :] < left[:, None]
        column = tl.load(indices + at, mask=there, other=0)
        edge = at
        if edge_ids is not None:
            edge = tl.load(edge_ids + at, mask=there, other=0).to(tl.int64)
        factor = tl.load(weight + edge, mask=there, other=0)
    at = x[None, None, :] + _offset(column, x_stride, SAMPLES, BY_FEATURE, NARROW)[:, :, None]
    if WHOLE:
        value = tl.load(at).to(SUMS)
    else:
        value = tl.load(at, mask=tl.broadcast_to(there[:, :, None], shape), other=0).to(SUMS)
    if dots is not None:
        # Beyond the batch some are read twice, and infinities times the zeros of `own` are NaN.
        factors = tl.where(inside[None, None, :], value, 0)
        products = tl.fma(tl.broadcast_to(own[:, None, :], shape), factors, tl.zeros(shape, SUMS))
        products = tl.reshape(products, (ROWS * LANES, SAMPLES))
        dot = tl.reshape(_sum_samples(products, ROWS * LANES, LOG_SAMPLES), (ROWS, LANES))
        dot = dot.to(dots.dtype.element_ty)
        if WHOLE:
            tl.store(dots + edge, dot)
        else:
            tl.store(dots + edge, dot, mask=there)
    return tl.fma(tl.broadcast_to(factor.to(SUMS)[:, :, None], shape), value, sums)


@triton.jit(
    do_not_specialize=["rows", "num_pieces", "batch", "x_stride", "own_stride", "y_stride"],
    do_not_specialize_on_alignment=[
        *("weight", "indptr", "indices", "edge_ids", "order", "pieces", "bias", "y", "own", "dots"),
    ],
)
def walk(
    weight,  # (num_edges,)
    indptr,  # (rows + 1,)
    indices,  # (num_edges,)
    edge_ids,  # (num_edges,), or None where positions are edges
    order,  # (rows,): rows, those side by side as long as each other; or None
    pieces,  # (num_pieces, 2): of long rows; or None
    x,  # (columns, batch)
    x_stride,
    bias,  # (rows,), or None
    y,  # (rows, batch)
    y_stride,
    parts,  # (num_pieces, batch): sums of pieces; or None
    own,  # (rows, batch), or None
    own_stride,
    dots,  # (num_edges,), or None
    batch,
    rows,
    num_pieces,
    ROWS: tl.constexpr,
    LANES: tl.constexpr,
    LOG_LANES: tl.constexpr,
    SAMPLES: tl.constexpr,
    LOG_SAMPLES: tl.constexpr,
    SUMS: tl.constexpr,
    PIECE: tl.constexpr,
    X_BY_FEATURE: tl.constexpr,
    OWN_BY_FEATURE: tl.constexpr,
    Y_BY_FEATURE: tl.constexpr,
    NARROW: tl.constexpr,
):
    """Sum ROWS parts, which are the pieces of long rows and then the other rows, for SAMPLES.

    y[row] = sum of weight[edge] * x[column] over the edges of the row, + bias
    dots[edge] = sum of own[row] * x[column] over the batch, which must be one tile
    """
    blocks = tl.cdiv(num_pieces + rows, ROWS)
    # Programs in a row take the same samples, whose slice of `x` the cache then holds.
    place = tl.program_id(0) % blocks * ROWS + tl.arange(0, ROWS)
    live = place < num_pieces + rows
    row = place - num_pieces
    is_row = live & (row >= 0)
    if order is not None:
        row = tl.load(order + row, mask=is_row, other=0)
    if pieces is not None:
        is_piece = place < num_pieces
        piece = pieces + place.to(tl.int64) * 2
        row = tl.where(is_piece, tl.load(piece, mask=is_piece, other=0), row)
    row = row.to(tl.int64)
    begin = tl.load(indptr + row, mask=live, other=0)
    end = tl.load(indptr + row + 1, mask=live, other=0)
    if pieces is not None:
        begin = tl.where(is_piece, tl.load(piece + 1, mask=is_piece, other=0), begin)
        end = tl.where(is_piece, tl.minimum(begin + PIECE, end), end)
        is_row = is_row & (end - begin <= PIECE)
        live = is_row | is_piece
    left = (end - begin).to(tl.int32) * live.to(tl.int32)

    tile = (tl.program_id(0) // blocks).to(tl.int64)
    sample = tile * SAMPLES + tl.arange(0, SAMPLES)
    inside = sample < batch
    x = _start(x, x_stride, _samples(tile, batch, SAMPLES, X_BY_FEATURE), X_BY_FEATURE)
    held = None
    if dots is not None:
        at = _start(own, own_stride, sample, OWN_BY_FEATURE)[None, :]
        at += _offset(row, own_stride, SAMPLES, OWN_BY_FEATURE, False)[:, None]
        held = tl.load(at, mask=live[:, None] & inside[None, :], other=0).to(SUMS)
    position = begin.to(tl.int64)[:, None] + tl.arange(0, LANES)[None, :]
    sums = tl.zeros((ROWS, LANES, SAMPLES), SUMS)
    whole = tl.min(left, 0) // LANES * LANES
    for k in range(0, whole, LANES):
        sums = _add_edges(
            sums, k, left, position, indices, weight, edge_ids, x, x_stride, inside, held, dots,
            True, X_BY_FEATURE, NARROW, ROWS, LANES, SAMPLES, LOG_SAMPLES, SUMS,
        )  # fmt: skip
    for k in range(whole, tl.max(left, 0), LANES):
        sums = _add_edges(
            sums, k, left, position, indices, weight, edge_ids, x, x_stride, inside, held, dots,
            False, X_BY_FEATURE, NARROW, ROWS, LANES, SAMPLES, LOG_SAMPLES, SUMS,
        )  # fmt: skip
    for i in tl.static_range(LOG_LANES):
        sums = tl.sum(tl.reshape(sums, (ROWS, 2, LANES >> (i + 1), SAMPLES)), 1)
    total = tl.reshape(sums, (ROWS, SAMPLES))

    if pieces is not None:
        at = parts + place.to(tl.int64)[:, None] * batch + sample[None, :]
        tl.store(at, total, mask=is_piece[:, None] & inside[None, :])
    if bias is not None:
        total += tl.load(bias + row, mask=is_row, other=0).to(SUMS)[:, None]
    at = _start(y, y_stride, sample, Y_BY_FEATURE)[None, :]
    at += (row * y_stride if Y_BY_FEATURE else row)[:, None]
    tl.store(at, total.to(y.dtype.element_ty), mask=is_row[:, None] & inside[None, :])


@triton.jit(
    do_not_specialize=["num_pieces", "batch", "y_stride"],
    do_not_specialize_on_alignment=["indptr", "pieces", "bias", "y"],
)
def join(
    indptr,  # (rows + 1,)
    pieces,  # (num_pieces, 2)
    parts,  # (num_pieces, batch): their sums
    bias,  # (rows,), or None
    y,  # (rows, batch)
    y_stride,
    batch,
    num_pieces,
    SAMPLES: tl.constexpr,
    SUMS: tl.constexpr,
    PIECE: tl.constexpr,
    Y_BY_FEATURE: tl.constexpr,
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
        at = _start(y, y_stride, sample, Y_BY_FEATURE)
        at += row * y_stride if Y_BY_FEATURE else row
        tl.store(at, total.to(y.dtype.element_ty), mask=sample < batch)


@triton.jit
def _dots(
    row,  # (EDGES,), or (1,) for one row
    column,  # (EDGES,)
    a,
    a_stride,
    b,
    b_stride,
    batch,
    EDGES: tl.constexpr,
    SAMPLES: tl.constexpr,
    LOG_SAMPLES: tl.constexpr,
    SUMS: tl.constexpr,
    A_BY_FEATURE: tl.constexpr,
    B_BY_FEATURE: tl.constexpr,
    NARROW: tl.constexpr,
):
    """Return the products of rows and columns, summed over the batch."""
    sample = tl.arange(0, SAMPLES).to(tl.int64)
    a_at = _start(a, a_stride, sample, A_BY_FEATURE)[None, :]
    a_at += _offset(row, a_stride, SAMPLES, A_BY_FEATURE, NARROW)[:, None]
    b_at = _start(b, b_stride, sample, B_BY_FEATURE)[None, :]
    b_at += _offset(column, b_stride, SAMPLES, B_BY_FEATURE, NARROW)[:, None]
    a_step = SAMPLES if A_BY_FEATURE else a_stride.to(tl.int64) * SAMPLES
    b_step = SAMPLES if B_BY_FEATURE else b_stride.to(tl.int64) * SAMPLES
    sums = tl.zeros((EDGES, SAMPLES), SUMS)
    whole = batch // SAMPLES
    for _ in range(0, whole):
        left = tl.load(tl.broadcast_to(a_at, (EDGES, SAMPLES))).to(SUMS)
        sums = tl.fma(left, tl.load(b_at).to(SUMS), sums)
        a_at += a_step
        b_at += b_step
    if whole * SAMPLES < batch:
        number = (whole * SAMPLES + tl.arange(0, SAMPLES))[None, :]
        a_end = _width(batch, SAMPLES) if A_BY_FEATURE else batch
        b_end = _width(batch, SAMPLES) if B_BY_FEATURE else batch
        left = tl.load(a_at, mask=tl.broadcast_to(number < a_end, a_at.shape), other=0).to(SUMS)
        right = tl.load(b_at, mask=tl.broadcast_to(number < b_end, b_at.shape), other=0).to(SUMS)
        sums = tl.fma(tl.broadcast_to(left, (EDGES, SAMPLES)), right, sums)
    return _sum_samples(sums, EDGES, LOG_SAMPLES)


@triton.jit(
    do_not_specialize=["a_stride", "b_stride", "batch", "num_edges"],
    do_not_specialize_on_alignment=["src", "dst", "w"],
)
def edge_dots(
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
    LOG_SAMPLES: tl.constexpr,
    SUMS: tl.constexpr,
    A_BY_FEATURE: tl.constexpr,
    B_BY_FEATURE: tl.constexpr,
    NARROW: tl.constexpr,
):
    """Multiply both ends of EDGES edges in a row, each of which no other program writes."""
    edge = tl.program_id(0).to(tl.int64) * EDGES + tl.arange(0, EDGES)
    there = edge < num_edges
    edge = tl.minimum(edge, num_edges - 1)
    total = _dots(
        tl.load(dst + edge), tl.load(src + edge), a, a_stride, b, b_stride, batch, EDGES, SAMPLES,
        LOG_SAMPLES, SUMS, A_BY_FEATURE, B_BY_FEATURE, NARROW,
    )  # fmt: skip
    tl.store(w + edge, total.to(w.dtype.element_ty), mask=there)


@triton.jit(
    do_not_specialize=["a_stride", "b_stride", "batch", "num_pieces", "shares"],
    do_not_specialize_on_alignment=["indptr", "indices", "edge_ids", "pieces", "w"],
)
def row_dots(
    indptr,  # (rows + 1,)
    indices,  # (num_edges,)
    edge_ids,  # (num_edges,), or None where positions are edges
    pieces,  # (num_pieces, 2): of long rows; or None
    a,  # (rows, batch)
    a_stride,
    b,  # (columns, batch)
    b_stride,
    w,  # (num_edges,)
    batch,
    num_pieces,
    shares,  # of a part: how many programs it takes
    EDGES: tl.constexpr,
    SAMPLES: tl.constexpr,
    LOG_SAMPLES: tl.constexpr,
    SUMS: tl.constexpr,
    PIECE: tl.constexpr,
    A_BY_FEATURE: tl.constexpr,
    B_BY_FEATURE: tl.constexpr,
    NARROW: tl.constexpr,
):
    """Multiply a row with the other ends of its edges, EDGES at a time: it is read once for all."""
    part = tl.program_id(0) // shares
    row = part - num_pieces
    if pieces is None:
        begin = tl.load(indptr + row)
        left = tl.load(indptr + row + 1) - begin
    else:
        is_piece = part < num_pieces
        piece = pieces + part.to(tl.int64) * 2
        row = tl.where(is_piece, tl.load(piece, mask=is_piece, other=0), row)
        begin, end = tl.load(indptr + row), tl.load(indptr + row + 1)
        left = tl.where(end - begin <= PIECE, end - begin, 0)
        at = tl.load(piece + 1, mask=is_piece, other=0)
        begin = tl.where(is_piece, at, begin)
        left = tl.where(is_piece, tl.minimum(end - begin, PIECE), left)
    for k in range(tl.program_id(0) % shares * EDGES, left.to(tl.int32), EDGES * shares):
        number = k + tl.arange(0, EDGES)
        position = begin.to(tl.int64) + tl.minimum(number, left - 1)
        total = _dots(
            tl.full((1,), row, row.dtype), tl.load(indices + position), a, a_stride, b, b_stride,
            batch, EDGES, SAMPLES, LOG_SAMPLES, SUMS, A_BY_FEATURE, B_BY_FEATURE, NARROW,
        )  # fmt: skip
        edge = position if edge_ids is None else tl.load(edge_ids + position).to(tl.int64)
        tl.store(w + edge, total.to(w.dtype.element_ty), mask=number < left)


@triton.jit(
    do_not_specialize=["row_stride", "column_stride", "y_stride", "rows", "columns"],
    do_not_specialize_on_alignment=["x"],
)
def transpose(
    x,  # (rows, columns), of any strides
    row_stride,
    column_stride,
    y,  # (columns, rows), and zeros up to its stride
    y_stride,
    rows,
    columns,
    SIDE: tl.constexpr,
    UNIT: tl.constexpr,  # which of the strides of x is 1, if one is
):
    """Copy a matrix into its transpose, a square at a time."""
    across = tl.cdiv(columns, SIDE)
    row = (tl.program_id(0) // across).to(tl.int64) * SIDE + tl.arange(0, SIDE)
    column = (tl.program_id(0) % across).to(tl.int64) * SIDE + tl.arange(0, SIDE)
    row_at = row if UNIT == 0 else row * row_stride
    column_at = column if UNIT == 1 else column * column_stride
    there = (column < columns)[None, :]
    at = x + row_at[:, None] + column_at[None, :]
    square = tl.load(at, mask=(row < rows)[:, None] & there, other=0)
    at = y + column[:, None] * y_stride + row[None, :]
    tl.store(at, tl.trans(square), mask=tl.trans(there) & (row < y_stride)[None, :])
