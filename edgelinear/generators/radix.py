"""Layers of a stack that has as many paths between any two ends: mixed radices."""

import math
from collections.abc import Sequence

import numpy as np

from edgelinear.generators._draw import from_ends, positive
from edgelinear.topology import Topology
from edgelinear.topology.checks import as_size


def radix_net(
    in_features: int, out_features: int, *, radices: Sequence[int], layer: int
) -> Topology:
    """Return one layer of a RadiX-Net: few edges, and as many paths between any two ends.

    Number nodes by digits in mixed radices. A layer joins nodes that differ in one digit at most:
    target t to sources `(t - n * stride) % size` for n in [0, radices[layer]), where `size` is the
    product of all radices and `stride` of those before. Between a source and a target of all layers
    in a row there is exactly one path. Layers of a multiple of `size` repeat the pattern in every
    block: Kepner and Robinett, "RadiX-Net: structured sparse matrices for deep neural networks"
    (2019).

    Raises:
        TypeError: if an argument is no integer.
        ValueError: if a size is no multiple of the product of the radices, or there is no such
            layer.

    Example:
        >>> radix_net(4, 4, radices=(2, 2), layer=1).edge_index  # differ by two
        tensor([[0, 2, 1, 3, 0, 2, 1, 3],
                [0, 0, 1, 1, 2, 2, 3, 3]])
    """
    in_features = as_size("in_features", in_features)
    out_features = as_size("out_features", out_features)
    layer = as_size("layer", layer)
    radices = [positive("radices", radix) for radix in radices]
    if layer >= len(radices):
        raise ValueError(
            f"`layer` must be below the number of radices, {len(radices)}, got {layer}."
        )
    size, stride = math.prod(radices), math.prod(radices[:layer])
    if in_features % size or out_features % size:
        raise ValueError(
            f"in_features and out_features must be multiples of {size}, the product of `radices`, "
            f"got {in_features} and {out_features}."
        )
    target = np.arange(out_features)[:, None, None]
    step = np.arange(radices[layer])[:, None] * stride
    block = np.arange(in_features // size) * size
    src = (target - step) % size + block  # (out_features, radix, blocks)
    dst = np.broadcast_to(target, src.shape)
    return from_ends(in_features, out_features, src.ravel(), dst.ravel())
