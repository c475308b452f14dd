"""Names of the nodes of one side: shown, found and sorted."""

import heapq
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np


class Names:
    """The names of `size` nodes as texts, or their numbers where they have no names.

    Nothing is made of names before somebody asks: there may be millions.
    """

    def __init__(self, names: Sequence[Any] | None, size: int) -> None:
        self.names = names
        self.size = size

    def __getitem__(self, node: int) -> str:
        return str(node) if self.names is None else str(self.names[node])

    @cached_property
    def lower(self) -> list[str]:
        """The names as they are compared: in lower case."""
        return [self[node].lower() for node in range(self.size)]

    @cached_property
    def rank(self) -> np.ndarray:  # (size,)
        """The place of each node among all of them by name, and by number where these are alike."""
        if self.names is None:
            return np.arange(self.size)
        rank = np.empty(self.size, np.int64)
        rank[sorted(range(self.size), key=self.lower.__getitem__)] = np.arange(self.size)
        return rank

    @property
    def repeated(self) -> int:
        """How many nodes have a name that an earlier one has."""
        return 0 if self.names is None else self.size - len(set(map(str, self.names)))

    def containing(self, text: str, nodes: np.ndarray) -> np.ndarray:  # bool, one for each node
        """Return which of some nodes have a text in their names."""
        text = text.lower()
        names = self.lower
        return np.fromiter((text in names[node] for node in nodes.tolist()), bool, nodes.size)

    def find(self, text: str, limit: int) -> tuple[list[tuple[int, str, int]], int]:
        """Return the nodes that a text fits best, as (how badly, name, node), and how many it fits.

        The name itself is 0, one that begins with the text 1, any other that has it 2.
        """
        text = text.lower()
        if not text:
            return [], 0
        if self.names is None:  # numbers: there is one of each
            is_one = text.isascii() and text.isdigit() and int(text) < self.size
            return ([(0, str(int(text)), int(text))], 1) if is_one else ([], 0)
        found = [
            (0 if name == text else 1 if name.startswith(text) else 2, name, node)
            for node, name in enumerate(self.lower)
            if text in name
        ]
        return heapq.nsmallest(limit, found), len(found)

    @cached_property
    def numbers(self) -> dict[str, list[int]]:
        """The nodes of each name."""
        found: dict[str, list[int]] = {}
        for node, name in enumerate(self.names or ()):
            found.setdefault(str(name), []).append(node)
        return found
