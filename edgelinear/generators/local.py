"""Patterns by place: local windows, bands, blocks. None of them is random."""

import numpy as np

from edgelinear.generators._draw import from_ends, positive
from edgelinear.topology import Topology
from edgelinear.topology.checks import as_size


def local1d(
    in_features: int,
    out_features: int,
    *,
    kernel_size: int,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
) -> Topology:
    """Return the connections of a 1-D convolution, whose weights are then not shared.

    Target t sees sources `t * stride - padding + k * dilation` for k in [0, kernel_size), where
    they exist: the arithmetic of `nn.Conv1d`.

    Raises:
        TypeError: if an argument is no integer.
        ValueError: if `nn.Conv1d` would not have out_features outputs.

    Example:
        >>> local1d(5, 3, kernel_size=3).edge_index
        tensor([[0, 1, 2, 1, 2, 3, 2, 3, 4],
                [0, 0, 0, 1, 1, 1, 2, 2, 2]])
    """
    in_features = as_size("in_features", in_features)
    out_features = as_size("out_features", out_features)
    kernel_size, stride = positive("kernel_size", kernel_size), positive("stride", stride)
    padding, dilation = as_size("padding", padding), positive("dilation", dilation)
    outputs = _outputs(in_features, kernel_size, stride, padding, dilation)
    if out_features != outputs:
        raise ValueError(
            f"`out_features` must be {outputs} for in_features={in_features}, kernel_size="
            f"{kernel_size}, stride={stride}, padding={padding}, dilation={dilation}, "
            f"got {out_features}."
        )
    dst, src = _windows(in_features, out_features, kernel_size, stride, padding, dilation)
    return from_ends(in_features, out_features, src, dst)


def local2d(
    in_features: int,
    out_features: int,
    *,
    height: int,
    width: int,
    kernel_size: int | tuple[int, int],
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    in_channels: int = 1,
    out_channels: int = 1,
) -> Topology:
    """Return the connections of a 2-D convolution, whose weights are then not shared.

    The locally connected layer. Inputs are flattened images of (in_channels, height, width), and
    outputs of out_channels: the order of `nn.Conv2d`, whose arithmetic this is. An output sees all
    input channels of its window.

    Args:
        kernel_size, stride, padding: one number, or one for the height and one for the width.

    Raises:
        TypeError: if an argument is no integer.
        ValueError: if in_features is not in_channels * height * width, or `nn.Conv2d` would not
            have out_features outputs.

    Example:
        >>> local2d(9, 4, height=3, width=3, kernel_size=2).fan_in
        tensor([4, 4, 4, 4], dtype=torch.int32)
    """
    in_features = as_size("in_features", in_features)
    out_features = as_size("out_features", out_features)
    sides = positive("height", height), positive("width", width)
    channels = positive("in_channels", in_channels), positive("out_channels", out_channels)
    kernels, strides = _pair("kernel_size", kernel_size), _pair("stride", stride)
    paddings = _pair("padding", padding, least=0)
    if in_features != channels[0] * sides[0] * sides[1]:
        raise ValueError(
            f"`in_features` must be in_channels * height * width = "
            f"{channels[0] * sides[0] * sides[1]}, got {in_features}."
        )
    outputs = [
        _outputs(side, kernel, step, pad)
        for side, kernel, step, pad in zip(sides, kernels, strides, paddings, strict=True)
    ]
    if out_features != channels[1] * outputs[0] * outputs[1]:
        raise ValueError(
            f"`out_features` must be {channels[1]} * {outputs[0]} * {outputs[1]} = "
            f"{channels[1] * outputs[0] * outputs[1]} for these sizes, got {out_features}."
        )
    (dst_y, src_y), (dst_x, src_x) = (
        _windows(side, output, kernel, step, pad)
        for side, output, kernel, step, pad in zip(
            sides, outputs, kernels, strides, paddings, strict=True
        )
    )
    # An edge for each pair of a row and of a column, and of an input and of an output channel.
    dst = dst_y[:, None] * outputs[1] + dst_x
    src = src_y[:, None] * sides[1] + src_x
    out_channel = np.arange(channels[1])[:, None, None, None] * outputs[0] * outputs[1]
    in_channel = np.arange(channels[0])[:, None, None] * sides[0] * sides[1]
    dst, src = np.broadcast_arrays(out_channel + dst, in_channel + src)
    return from_ends(in_features, out_features, src.ravel(), dst.ravel())


def _outputs(size: int, kernel_size: int, stride: int, padding: int, dilation: int = 1) -> int:
    """Return how many outputs a convolution has."""
    span = size + 2 * padding - dilation * (kernel_size - 1) - 1
    return max(0, span // stride + 1)


def _windows(
    size: int, outputs: int, kernel_size: int, stride: int, padding: int, dilation: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Return (targets, sources) of every edge of a 1-D convolution: padding has none."""
    start = np.arange(outputs) * stride - padding
    # The first k that reaches a source, and the first that is past the last.
    first = np.maximum(0, -(start // dilation))
    end = np.minimum(kernel_size, -((start - size) // dilation))
    count = np.maximum(0, end - first)
    dst = np.repeat(np.arange(outputs), count)
    k = np.arange(dst.size) - np.repeat(np.cumsum(count) - count - first, count)
    return dst, start[dst] + k * dilation


def _pair(name: str, value: int | tuple[int, int], least: int = 1) -> tuple[int, int]:
    """Return one number for the height and one for the width."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(values) != 2:
        raise ValueError(f"`{name}` must be one number or two, got {value}.")
    first, second = (positive(name, v) if least else as_size(name, v) for v in values)
    return first, second


def banded(in_features: int, out_features: int, *, lower: int, upper: int) -> Topology:
    """Return a band around the diagonal: an edge s -> t where `-lower <= s - t <= upper`.

    W, (out_features, in_features), then has `lower` diagonals below the main one and `upper` above
    it: the numbers kl and ku of LAPACK's band matrices.

    Raises:
        TypeError: if an argument is no integer.
        ValueError: if `lower` or `upper` is negative.

    Example:
        >>> banded(3, 3, lower=1, upper=0).edge_index
        tensor([[0, 0, 1, 1, 2],
                [0, 1, 1, 2, 2]])
    """
    in_features = as_size("in_features", in_features)
    out_features = as_size("out_features", out_features)
    lower, upper = as_size("lower", lower), as_size("upper", upper)
    dst, src = _windows(in_features, out_features, lower + 1 + upper, stride=1, padding=lower)
    return from_ends(in_features, out_features, src, dst)


def block_diagonal(in_features: int, out_features: int, *, blocks: int) -> Topology:
    """Return `blocks` equal groups of targets, each fully connected to its own group of sources.

    The connections of a grouped 1x1 convolution.

    Raises:
        TypeError: if an argument is no integer.
        ValueError: if `blocks` does not divide both sizes.

    Example:
        >>> block_diagonal(4, 2, blocks=2).edge_index
        tensor([[0, 1, 2, 3],
                [0, 0, 1, 1]])
    """
    in_features = as_size("in_features", in_features)
    out_features = as_size("out_features", out_features)
    blocks = positive("blocks", blocks)
    if in_features % blocks or out_features % blocks:
        raise ValueError(
            f"`blocks` must divide in_features={in_features} and out_features={out_features}, "
            f"got {blocks}."
        )
    width = in_features // blocks
    height = out_features // blocks
    dst = np.repeat(np.arange(out_features), width)
    src = dst // max(1, height) * width + np.tile(np.arange(width), out_features)
    return from_ends(in_features, out_features, src, dst)
