"""Patterns to start from: `name(in_features, out_features, *, ..., generator=None) -> Topology`.

Each takes O(edges) time and memory, and gives its edges in (target, source) order.
"""

import math
import numbers

import numpy as np
import torch

from edgelinear.edges import as_size
from edgelinear.topology import Topology


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
    random = _numpy(generator)
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
    cells = _distinct(random, possible, num_edges)
    dst, src = np.divmod(cells, max(1, in_features))
    return _from_ends(in_features, out_features, src, dst)


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
    src = _distinct_rows(_numpy(generator), in_features, out_features, fan_in)
    dst = np.repeat(np.arange(out_features), fan_in)
    return _from_ends(in_features, out_features, src.ravel(), dst)


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
    kernel_size, stride = _positive("kernel_size", kernel_size), _positive("stride", stride)
    padding, dilation = as_size("padding", padding), _positive("dilation", dilation)
    span = in_features + 2 * padding - dilation * (kernel_size - 1) - 1
    outputs = max(0, span // stride + 1)
    if out_features != outputs:
        raise ValueError(
            f"`out_features` must be {outputs} for in_features={in_features}, kernel_size="
            f"{kernel_size}, stride={stride}, padding={padding}, dilation={dilation}, "
            f"got {out_features}."
        )
    start = np.arange(out_features) * stride - padding
    # The first k that reaches a source, and the first that is past the last: padding has no edges.
    first = np.maximum(0, -(start // dilation))
    end = np.minimum(kernel_size, -((start - in_features) // dilation))
    count = np.maximum(0, end - first)
    dst = np.repeat(np.arange(out_features), count)
    k = np.arange(dst.size) - np.repeat(np.cumsum(count) - count - first, count)
    return _from_ends(in_features, out_features, start[dst] + k * dilation, dst)


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
    blocks = _positive("blocks", blocks)
    if in_features % blocks or out_features % blocks:
        raise ValueError(
            f"`blocks` must divide in_features={in_features} and out_features={out_features}, "
            f"got {blocks}."
        )
    width = in_features // blocks
    height = out_features // blocks
    dst = np.repeat(np.arange(out_features), width)
    src = dst // max(1, height) * width + np.tile(np.arange(width), out_features)
    return _from_ends(in_features, out_features, src, dst)


def _from_ends(in_features: int, out_features: int, src: np.ndarray, dst: np.ndarray) -> Topology:
    return Topology(in_features, out_features, np.stack([src, dst]))


def _positive(name: str, size: int) -> int:
    if as_size(name, size) == 0:
        raise ValueError(f"`{name}` must be at least 1, got 0.")
    return int(size)


def _numpy(generator: torch.Generator | None) -> np.random.Generator:
    """Return a NumPy generator seeded from torch's, which draws no 64-bit binomials."""
    device = "cpu" if generator is None else generator.device
    seed = torch.randint(2**63 - 1, (), generator=generator, device=device)
    return np.random.default_rng(int(seed))


# Below, numbers drawn with replacement are thrown together until enough are distinct. Every step
# looks only at how many are, never at which: a renaming of the population would commute with it,
# so that all sets of the final size are equally likely.


def _distinct(random: np.random.Generator, population: int, count: int) -> np.ndarray:
    """Return `count` distinct sorted integers below `population`, in O(count), all sets alike."""
    if count > population // 2:  # draw what to leave out: the mask is at most twice what is kept
        return _without(np.arange(population), _distinct(random, population, population - count))
    found = np.empty(0, dtype=np.int64)
    while found.size < count:
        # The expected number of draws, and a little more, until `count` are distinct.
        missing = math.log1p(-found.size / population) - math.log1p(-count / population)
        draws = int(population * missing + 3 * math.sqrt(count)) + 1
        found = np.sort(np.concatenate([found, random.integers(population, size=draws)]))
        found = found[np.diff(found, prepend=-1) > 0]
    surplus = random.choice(found.size, found.size - count, replace=False, shuffle=False)
    return _without(found, surplus)


def _without(values: np.ndarray, left_out: np.ndarray) -> np.ndarray:
    kept = np.ones(values.size, dtype=bool)
    kept[left_out] = False
    return values[kept]


def _distinct_rows(
    random: np.random.Generator, population: int, rows: int, count: int
) -> np.ndarray:
    """Return for each row `count` distinct sorted integers below `population`, all sets alike."""
    if count > population // 2:
        left_out = _distinct_rows(random, population, rows, population - count)
        kept = np.ones((rows, population), dtype=bool)
        kept[np.arange(rows)[:, None], left_out] = False
        return np.nonzero(kept)[1].reshape(rows, count)
    drawn = np.sort(random.integers(max(1, population), size=(rows, count)), axis=1)
    repeats = drawn[:, 1:] == drawn[:, :-1]
    unfinished = np.flatnonzero(repeats.any(axis=1))
    while unfinished.size:
        some = drawn[unfinished]
        repeats = some[:, 1:] == some[:, :-1]
        some[:, 1:][repeats] = random.integers(population, size=int(repeats.sum()))
        some.sort(axis=1)
        drawn[unfinished] = some
        unfinished = unfinished[(some[:, 1:] == some[:, :-1]).any(axis=1)]
    return drawn
