"""The order of rows for a GPU: neighbours as long as each other, and no order where they are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgelinear.topology import schedules


def indptr_of(counts):
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)


def waits(counts):
    """Return the rounds of 16 edges that rows side by side take, over those that they need."""
    rounds = -(-np.asarray(counts) // 16)
    taken = sum(4 * rounds[i : i + 4].max() for i in range(0, len(rounds) // 4 * 4, 4))
    return taken / max(1, rounds[: len(rounds) // 4 * 4].sum())


@given(st.lists(st.integers(0, 90), max_size=80))
def test_order_is_a_permutation_by_length_within_windows(counts):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schedules, "WINDOW_ROWS", 16)
        patch.setattr(schedules, "FEW_ROWS", 0)
        order = schedules.order_of(indptr_of(counts))
    if order is None:
        assert waits(counts) <= 1.1 + 1e-9 or sum(counts) < len(counts)
        return
    assert order.dtype == np.int32 and sorted(order) == list(range(len(counts)))
    assert np.array_equal(order // 16, np.arange(len(counts)) // 16)
    for first in range(0, len(counts), 16):
        window = order[first : first + 16]
        expected = sorted(window, key=lambda row: (-counts[row], row))
        assert window.tolist() == expected


@pytest.mark.parametrize("counts", [[], [7], [0] * 9, [33] * 100, [33, 40, 47, 48] * 5])
def test_rows_alike_need_no_order(counts):
    assert schedules.order_of(indptr_of(counts)) is None


def test_ordered_rows_wait_less():
    counts = np.random.default_rng(0).zipf(1.7, 3000).clip(max=900)
    order = schedules.order_of(indptr_of(counts))
    assert waits(counts) > 1.5 and waits(counts[order]) < 1.1
