"""What generators share: their randomness, and drawing without repeats in O(count)."""

import math

import numpy as np
import torch

from edgelinear.edges import as_size
from edgelinear.topology import Topology


def from_ends(
    in_features: int,
    out_features: int,
    src: np.ndarray,  # (num_edges,)
    dst: np.ndarray,  # (num_edges,)
    duplicates: str = "error",
) -> Topology:
    """Return the topology of these edges, in (target, source) order."""
    cells = np.sort(dst * np.int64(max(1, in_features)) + src)
    return from_cells(in_features, out_features, cells, duplicates)


def from_cells(
    in_features: int,
    out_features: int,
    cells: np.ndarray,  # (num_edges,), ascending: target * in_features + source of each edge
    duplicates: str = "error",
) -> Topology:
    dst, src = np.divmod(cells, max(1, in_features))
    return Topology(in_features, out_features, np.stack([src, dst]), duplicates=duplicates)


def positive(name: str, size: int) -> int:
    if as_size(name, size) == 0:
        raise ValueError(f"`{name}` must be at least 1, got 0.")
    return int(size)


def numpy_generator(generator: torch.Generator | None) -> np.random.Generator:
    """Return a NumPy generator seeded from torch's, which draws no 64-bit binomials."""
    device = "cpu" if generator is None else generator.device
    seed = torch.randint(2**63 - 1, (), generator=generator, device=device)
    return np.random.default_rng(int(seed))


# Below, numbers drawn with replacement are thrown together until enough are distinct. Every step
# looks only at how many are, never at which: a renaming of the population would commute with it,
# so that all sets of the final size are equally likely.


def distinct(random: np.random.Generator, population: int, count: int) -> np.ndarray:
    """Return `count` distinct sorted integers below `population`, in O(count), all sets alike."""
    if count > population // 2:  # draw what to leave out: the mask is at most twice what is kept
        return _without(np.arange(population), distinct(random, population, population - count))
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


def distinct_rows(
    random: np.random.Generator, population: int, rows: int, count: int
) -> np.ndarray:
    """Return for each row `count` distinct sorted integers below `population`, all sets alike."""
    if count > population // 2:
        left_out = distinct_rows(random, population, rows, population - count)
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
