"""What generators share: their randomness, and drawing without repeats in about O(count)."""

import math

import numpy as np
import torch

from edgelinear.topology import Topology
from edgelinear.topology.checks import as_size


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
    if not isinstance(generator, torch.Generator | None):
        raise TypeError(
            f"`generator` must be a torch.Generator or None, got {generator!r}: pass "
            "torch.Generator().manual_seed(0), of any seed."
        )
    device = "cpu" if generator is None else generator.device
    seed = torch.randint(2**63 - 1, (), generator=generator, device=device)
    return np.random.default_rng(int(seed))


# Below, numbers are drawn with replacement until enough of them are distinct. What is drawn next
# depends on how many are distinct so far, never on which: no number is treated unlike another, so
# that all sets of the final size are equally likely.


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


def attachments(
    pool: np.ndarray,  # the node of each end of an edge that is there at first
    newcomers: int,
    count: int,
    random: np.random.Generator,
    *,
    joined: bool,  # whether newcomers are nodes themselves, whom later ones may choose
) -> np.ndarray:  # (newcomers, count)
    """Return the `count` distinct nodes that each newcomer chooses, one newcomer after the other.

    It draws ends of edges uniformly, again and again, until they are of `count` distinct nodes.
    Then its own ends are there as well: those at the nodes that it chose and, if `joined`, as many
    at itself, numbered after all nodes before. What is drawn is looked up in the list of all ends:
    Batagelj and Brandes, "Efficient generation of large random networks" (2005).
    """
    nodes, width = int(pool.max(initial=-1)) + 1, count * (1 + joined)
    ends = np.full(pool.size + newcomers * width, -1)  # -1 where not chosen yet
    ends[: pool.size] = pool
    own = ends[pool.size :].reshape(newcomers, width)
    own[:, count:] = np.arange(nodes, nodes + newcomers)[:, None]
    at = _choose_alone(own, pool, count, random, joined=joined)
    while at < newcomers:
        size = pool.size + width * at
        until = min(newcomers, at + _at_once(size, count))
        sizes = size + width * np.arange(until - at)
        _choose_in_waves(ends, own[at:until, :count], sizes, random)
        at = until
    return own[:, :count]


def _at_once(size: int, count: int) -> int:
    """Return of how many newcomers each draws, on average, at most one end of another of them."""
    return max(1, size // count**2)


def _is_faster_alone(known: int, count: int, at_once: int) -> bool:
    """Tell whether newcomers should choose alone, where `at_once` of them could in waves."""
    waves = known / (known - count + 1)  # until the last node comes up, about
    # The time of one alone is that of 1/50 of a wave of few, or of 250 ends in waves of many.
    return known <= 4 * count and waves * max(50 / at_once, count / 250) > 1


def _choose_alone(
    ends: np.ndarray,  # (newcomers, count or 2 * count): their own, filled here
    pool: np.ndarray,
    count: int,
    random: np.random.Generator,
    *,
    joined: bool,
) -> int:
    """Let the first newcomers choose, who want most of the nodes; return how many have chosen.

    The order in which nodes come up is that of their first arrivals, if every end arrives at an
    exponential time: however rare the last ones are, nothing is drawn again.
    """
    nodes = int(pool.max(initial=-1)) + 1
    weight = np.bincount(pool, minlength=nodes + joined * len(ends))
    for newcomer, own in enumerate(ends):
        known = nodes + joined * newcomer
        if not _is_faster_alone(known, count, _at_once(pool.size + newcomer * own.size, count)):
            return newcomer
        arrival = random.standard_exponential(known) / weight[:known]
        own[:count] = np.argpartition(arrival, count - 1)[:count]
        weight[own[:count]] += 1
        weight[own[count:]] = count
    return len(ends)


def _choose_in_waves(
    ends: np.ndarray,
    chosen: np.ndarray,  # (newcomers, count): a view of `ends`, filled here
    size: np.ndarray,  # (newcomers,): how many of `ends` each draws from
    random: np.random.Generator,
) -> None:
    """Let newcomers choose: in each wave those who drew only ends of which the node is known.

    Second ends of a node are drawn again. Whoever drew an end that is not known waits, as a choice
    must not depend on what earlier newcomers have still to draw.
    """
    drawn = random.integers(size[:, None], size=chosen.shape)
    waiting = np.arange(len(chosen))
    while waiting.size:
        nodes = ends[drawn[waiting]]
        order = np.argsort(nodes, axis=1)
        nodes = np.take_along_axis(nodes, order, axis=1)
        known = nodes[:, 0] >= 0
        repeats = (nodes[:, 1:] == nodes[:, :-1]) & known[:, None]
        done = known & ~repeats.any(axis=1)
        chosen[waiting[done]] = nodes[done]
        row, rank = np.nonzero(repeats)
        again = waiting[row]
        drawn[again, order[row, rank + 1]] = random.integers(size[again])
        waiting = waiting[~done]
