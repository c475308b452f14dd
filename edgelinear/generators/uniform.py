"""Uniformly random patterns."""

import numbers

import numpy as np
import torch

from edgelinear.generators._draw import (
    distinct,
    distinct_rows,
    from_cells,
    from_ends,
    numpy_generator,
)
from edgelinear.topology import Topology
from edgelinear.topology.checks import as_size


def erdos_renyi(
    in_features: int,
    out_features: int,
    *,
    density: float | None = None,
    num_edges: int | None = None,
    generator: torch.Generator | None = None,
) -> Topology:
    """Return edges from sources to targets drawn uniformly at random, none twice.

    Args:
        density: each possible edge is there with this probability, independently: G(n, p) of
            Gilbert (1959).
        num_edges: exactly this many, every set of them alike: G(n, m) of Erdos and Renyi (1959).
        generator: source of randomness; torch's default one, which `torch.manual_seed` sets.

    Raises:
        TypeError: if a size or `num_edges` is no integer, or `density` no number.
        ValueError: unless one of `density` and `num_edges` is given, and possible.

    Example:
        >>> erdos_renyi(100, 50, num_edges=200)
        Topology(in_features=100, out_features=50, edges=200, density=4.000%, sorted=True)
    """
    in_features = as_size("in_features", in_features)
    out_features = as_size("out_features", out_features)
    possible = in_features * out_features
    if (density is None) == (num_edges is None):
        raise ValueError(
            f"give either `density` or `num_edges`, got density={density}, num_edges={num_edges}."
        )
    random = numpy_generator(generator)
    if density is not None:
        if not isinstance(density, numbers.Real) or isinstance(density, bool):
            raise TypeError(f"`density` must be a number, got {density!r}.")
        if not 0 <= density <= 1:
            raise ValueError(f"`density` must be between 0 and 1, got {density}.")
        num_edges = int(random.binomial(possible, float(density)))
    num_edges = as_size("num_edges", num_edges)
    if num_edges > possible:
        raise ValueError(
            f"`num_edges` must be at most in_features * out_features = {possible}, got {num_edges}."
        )
    return from_cells(in_features, out_features, distinct(random, possible, num_edges))


def fixed_fan_in(
    in_features: int,
    out_features: int,
    *,
    fan_in: int,
    generator: torch.Generator | None = None,
) -> Topology:
    """Return `fan_in` distinct random sources for each target, every set of them alike.

    Args:
        generator: source of randomness; torch's default one, which `torch.manual_seed` sets.

    Raises:
        TypeError: if a size or `fan_in` is no integer.
        ValueError: if `fan_in` is not between 0 and in_features.

    Example:
        >>> fixed_fan_in(100, 50, fan_in=3).fan_in.unique()
        tensor([3], dtype=torch.int32)
    """
    in_features = as_size("in_features", in_features)
    out_features = as_size("out_features", out_features)
    fan_in = as_size("fan_in", fan_in)
    if fan_in > in_features:
        raise ValueError(f"`fan_in` must be at most in_features={in_features}, got {fan_in}.")
    src = distinct_rows(numpy_generator(generator), in_features, out_features, fan_in)
    dst = np.repeat(np.arange(out_features), fan_in)
    return from_ends(in_features, out_features, src.ravel(), dst)


def fixed_fan_out(
    in_features: int,
    out_features: int,
    *,
    fan_out: int,
    generator: torch.Generator | None = None,
) -> Topology:
    """Return `fan_out` distinct random targets for each source, every set of them alike.

    Args:
        generator: source of randomness; torch's default one, which `torch.manual_seed` sets.

    Raises:
        TypeError: if a size or `fan_out` is no integer.
        ValueError: if `fan_out` is not between 0 and out_features.

    Example:
        >>> fixed_fan_out(100, 50, fan_out=3).fan_out.unique()
        tensor([3], dtype=torch.int32)
    """
    in_features = as_size("in_features", in_features)
    out_features = as_size("out_features", out_features)
    fan_out = as_size("fan_out", fan_out)
    if fan_out > out_features:
        raise ValueError(f"`fan_out` must be at most out_features={out_features}, got {fan_out}.")
    dst = distinct_rows(numpy_generator(generator), out_features, in_features, fan_out)
    src = np.repeat(np.arange(in_features), fan_out)
    return from_ends(in_features, out_features, src, dst.ravel())
