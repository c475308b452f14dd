"""Which numbers are the smallest. Of equal ones the first are taken, whatever the machine."""

import numpy as np


def smallest(values: np.ndarray, count: int) -> np.ndarray:  # (number,) bool
    """Return which of some numbers are the `count` smallest, in O(number).

    Example:
        >>> smallest(np.array([3.0, 1.0, 2.0, 2.0]), 2)
        array([False,  True,  True, False])
    """
    if count == 0:
        return np.zeros(values.size, dtype=bool)
    bound = np.partition(values, count - 1)[count - 1]
    chosen = values < bound
    chosen[np.flatnonzero(values == bound)[: count - np.count_nonzero(chosen)]] = True
    return chosen


def smallest_of_each(
    values: np.ndarray,  # (number,)
    row: np.ndarray,  # (number,): the row of each
    count: np.ndarray,  # (rows,)
) -> np.ndarray:  # (number,) bool
    """Return which are the `count[r]` smallest of each row r.

    Example:
        >>> smallest_of_each(np.array([3.0, 1.0, 2.0]), np.array([0, 0, 1]), np.array([1, 0]))
        array([False,  True, False])
    """
    order = np.lexsort((values, row))
    begin = np.searchsorted(row[order], np.arange(count.size))
    chosen = np.empty(values.size, dtype=bool)
    chosen[order] = np.arange(values.size) - begin[row[order]] < count[row[order]]
    return chosen
