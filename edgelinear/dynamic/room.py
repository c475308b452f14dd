"""Where new edges may go: cells of a matrix that is never made, and draws among those left."""

import numpy as np
import torch

from edgelinear.layers import EdgeRNN
from edgelinear.layers.module import EdgeModule
from edgelinear.layers.parametrizations import Signed


class Room:
    """The pairs of nodes that may have an edge, and a number for each of them, its cell.

    The sources of a target are the first so many of one order of sources. Cells are numbered target
    by target, in that order: where all is free, cell `t * in_features + s` is the edge s -> t.

    Args:
        sources: which may have an edge, in their order.
        width: (targets,) how many of them may feed each target.
        num_sources: how many sources there are.
    """

    def __init__(self, sources: np.ndarray, width: np.ndarray, num_sources: int) -> None:
        self.sources = sources
        self.width = width
        self.first = np.zeros(width.size + 1, np.int64)  # the first cell of each target
        np.cumsum(width, out=self.first[1:])
        self.place = np.full(num_sources, num_sources)  # of each source in the order
        self.place[sources] = np.arange(sources.size)

    def cells(self, src: np.ndarray, dst: np.ndarray) -> np.ndarray:
        """Return the cell of each edge, and -1 where it has none."""
        place = self.place[src]
        return np.where(place < self.width[dst], self.first[dst] + place, -1)

    def edges(self, cells: np.ndarray) -> np.ndarray:  # (2, number)
        dst = np.searchsorted(self.first, cells, side="right") - 1
        return np.stack([self.sources[cells - self.first[dst]], dst])

    def free(self, taken: np.ndarray) -> np.ndarray:  # (targets,)
        """Return how many cells of each target are left. `taken` are cells, ascending."""
        return self.width - np.diff(np.searchsorted(taken, self.first))

    def draw(
        self, random: np.random.Generator, taken: np.ndarray, count: np.ndarray, *, per_target: bool
    ) -> np.ndarray:
        """Return free cells drawn uniformly, ascending, none twice, in memory of those and `taken`.

        `count` is how many each target gets, or of one number all targets together.
        """
        span = self.free(taken)
        span = span if per_target else span.sum(keepdims=True)
        ranks = _distinct(random, span, count)
        # Free cell r has as many taken ones before it as have at most r free ones before them.
        return ranks + np.searchsorted(taken - np.arange(taken.size), ranks, side="right")


def _distinct(
    random: np.random.Generator,
    span: np.ndarray,  # (rows,)
    count: np.ndarray,  # (rows,)
) -> np.ndarray:  # ascending
    """Return for each row `count` distinct numbers of its `span`, all sets alike.

    Rows are numbered on, one after the other. Numbers are drawn until enough of them are distinct:
    how many are drawn next depends on how many there are, never on which.
    """
    first = np.cumsum(span) - span
    leaves_out = count > span // 2  # then what is not in the set is drawn
    wanted = np.where(leaves_out, span - count, count)
    found = np.zeros(0, np.int64)
    lacking = wanted
    while lacking.any():
        row = np.repeat(np.arange(span.size), lacking)
        drawn = first[row] + random.integers(span[row])
        found = np.sort(np.concatenate([found, drawn]))
        found = found[np.diff(found, prepend=-1) > 0]  # `np.unique` is slower
        lacking = wanted - np.diff(np.searchsorted(found, np.append(first, span.sum())))
    if not leaves_out.any():
        return found
    row = np.repeat(np.arange(span.size), np.where(leaves_out, span, 0))
    whole = np.arange(row.size) - np.searchsorted(row, row) + first[row]
    return np.setxor1d(whole, found, assume_unique=True)


def room_of(
    layer: EdgeModule,
    level: np.ndarray | None,  # (num_nodes,), of an EdgeNetwork: edges go to a later one
) -> Room:
    """Return where this layer may have edges."""
    number, targets = layer.topology.in_features, layer.topology.out_features
    sources = np.arange(number)
    width = np.full(targets, number)
    if level is not None:
        sources = np.argsort(level, kind="stable")
        width = np.searchsorted(level[sources], level)
    elif isinstance(layer, EdgeRNN) and layer.clamp_inputs:
        width[layer.inputs.numpy()] = 0
    for rule in layer.rules:
        if isinstance(rule, Signed):
            known = _has_sign(layer, rule.signs)[sources]
            width = np.append(0, np.cumsum(known))[width]
            sources = sources[known]
    return Room(sources, width, number)


def _has_sign(layer: EdgeModule, signs: torch.Tensor) -> np.ndarray:  # (sources,) bool
    """Return which sources have edges of one sign, which a new one can take."""
    src, number = layer.topology.src.cpu().numpy(), layer.topology.in_features
    plus, minus = (
        np.bincount(src[of_sign.cpu().numpy()], minlength=number) > 0
        for of_sign in (signs > 0, signs < 0)
    )
    return plus != minus
