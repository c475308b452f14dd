"""Draws among missing edges: that they are what they claim, and uniform."""

from collections import Counter
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sampled import fit

from edgelinear.dynamic.room import Room
from edgelinear.dynamic.smallest import smallest, smallest_of_each


@st.composite
def rooms(draw):
    number, targets = draw(st.integers(1, 6)), draw(st.integers(1, 5))
    sources = draw(st.permutations(range(number)))[: draw(st.integers(0, number))]
    widths = draw(st.lists(st.integers(0, len(sources)), min_size=targets, max_size=targets))
    return Room(np.array(sources, np.int64), np.array(widths), number)


def allowed(room):
    return [
        (int(room.sources[place]), target)
        for target, width in enumerate(room.width)
        for place in range(width)
    ]


@given(rooms())
def test_cells_number_the_edges_that_may_be(room):
    edges = allowed(room)
    ends = np.array(edges, np.int64).reshape(-1, 2).T
    assert room.cells(*ends).tolist() == list(range(len(edges)))
    assert list(map(tuple, room.edges(np.arange(len(edges))).T.tolist())) == edges
    every = set(product(range(room.place.size), range(room.width.size)))
    others = np.array(sorted(every - set(edges)), np.int64).reshape(-1, 2).T
    assert (room.cells(*others) == -1).all()


@given(room=rooms(), data=st.data(), per_target=st.booleans())
def test_draws_are_free_distinct_and_as_many_as_asked_for(room, data, per_target):
    total = int(room.first[-1])
    taken = data.draw(st.lists(st.booleans(), min_size=total, max_size=total))
    taken = np.flatnonzero(np.array(taken, bool))
    free = room.free(taken)
    most = free if per_target else free.sum(keepdims=True)
    count = np.array([data.draw(st.integers(0, n)) for n in most.tolist()])
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    cells = room.draw(random, taken, count, per_target=per_target)
    assert (np.diff(cells) > 0).all() and not set(cells) & set(taken)
    assert cells.size == count.sum()
    if per_target and cells.size:
        assert np.bincount(room.edges(cells)[1], minlength=count.size).tolist() == count.tolist()


@pytest.mark.parametrize("number", [1, 2, 4])
def test_sets_of_missing_edges_are_equally_likely(number):
    room = Room(np.arange(4), np.full(2, 4), 4)
    taken = np.array([1, 4, 5])
    random = np.random.default_rng(3)
    found = Counter(
        tuple(room.draw(random, taken, np.array([number]), per_target=False)) for _ in range(4000)
    )
    sets = list(combinations([0, 2, 3, 6, 7], number))
    assert fit(found, {each: 1 / len(sets) for each in sets}) > 1e-3


def test_sets_of_missing_edges_of_each_target_are_equally_likely():
    room = Room(np.arange(4), np.full(2, 4), 4)
    taken = np.array([1, 6, 7])
    random = np.random.default_rng(3)
    found = Counter(
        tuple(room.draw(random, taken, np.array([2, 1]), per_target=True)) for _ in range(4000)
    )
    sets = [(*a, b) for a in combinations([0, 2, 3], 2) for b in (4, 5)]
    assert fit(found, {each: 1 / len(sets) for each in sets}) > 1e-3


@given(st.lists(st.integers(0, 3), max_size=12), st.data())
def test_the_smallest_are_the_first_of_a_stable_sort(values, data):
    count = data.draw(st.integers(0, len(values)))
    values = np.array(values, float)
    chosen = smallest(values, count)
    expected = np.argsort(values, kind="stable")[:count]
    assert np.flatnonzero(chosen).tolist() == sorted(expected.tolist())


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=12), st.data())
def test_the_smallest_of_each_row_are_those_of_the_row_alone(entries, data):
    values = np.array([value for value, _ in entries], float)
    rows = np.array([row for _, row in entries], np.int64)
    sizes = np.bincount(rows, minlength=3)
    count = np.array([data.draw(st.integers(0, int(size))) for size in sizes])
    chosen = smallest_of_each(values, rows, count)
    for row in range(3):
        assert chosen[rows == row].tolist() == smallest(values[rows == row], count[row]).tolist()
