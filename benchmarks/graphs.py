"""The graphs of whole networks that are measured. Random ones have a fixed seed."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import wirings

from edgelinear import data


class Graph(NamedTuple):
    num_nodes: int
    edge_index: np.ndarray  # (2, num_edges)
    inputs: np.ndarray
    outputs: np.ndarray
    activation: str


class Case(NamedTuple):
    name: str
    graph: Callable[[], Graph]
    batch: int
    bar: float | None  # of a step, as a multiple of the yard
    steps: int = 0  # of a recurrent network
    leak: float = 1.0


def hierarchy() -> Graph:
    """Return genes and five levels of groups, each with members of any level below."""
    sizes = [9229, 2000, 2000, 1500, 600, 251]
    level = np.repeat(np.arange(len(sizes)), sizes)
    first = np.cumsum([0, *sizes])
    random = np.random.default_rng(1)
    targets = random.integers(first[1], first[-1], 60_000)
    sources = random.integers(0, first[level[targets]])
    edges = _some(random, np.stack([sources, targets]), 59_716)
    return Graph(first[-1], edges, np.arange(first[1]), np.arange(first[5], first[6]), "relu")


def reactome() -> Graph:
    """Return human proteins, the pathways that they take part in, and those these are part of."""
    members, parts = data.reactome(), data.reactome_hierarchy()
    edges = [
        (wiring.in_names[source], wiring.out_names[target])
        for wiring in (members, parts)
        for source, target in wiring.topology.edge_index.t().tolist()
    ]
    number: dict = {name: at for at, name in enumerate(members.in_names)}
    for edge in edges:
        for name in edge:
            number.setdefault(name, len(number))
    top = [number[name] for name in parts.out_names if name not in set(parts.in_names)]
    ends = np.array([[number[source], number[target]] for source, target in edges]).T
    inputs = np.arange(len(members.in_names))
    return Graph(len(number), ends[:, np.argsort(ends[1], kind="stable")], inputs, top, "relu")


def random_dag() -> Graph:
    """Return 100,000 nodes in 50 levels, and two million edges from any level to a later one."""
    random = np.random.default_rng(0)
    level = np.sort(random.integers(0, 50, 100_000))
    ends = random.integers(0, level.size, (2, 4_400_000))
    ends = _some(random, ends[:, level[ends[0]] < level[ends[1]]], 2_060_000)
    inputs = np.flatnonzero(level == 0)
    return Graph(level.size, ends, inputs, np.arange(99_000, 100_000), "relu")


def genome(num_nodes: int, num_edges: int) -> Graph:
    """Return a small graph as evolution makes them: 10 inputs, 5 outputs, edges anywhere."""
    random = np.random.default_rng(0)
    ends = np.sort(random.integers(0, num_nodes, (2, 3 * num_edges)), axis=0)
    ends = _some(random, ends[:, (ends[0] < ends[1]) & (ends[1] >= 10)], num_edges)
    ends = ends[:, random.permutation(num_edges)]  # a genome has them in the order of their birth
    return Graph(num_nodes, ends, np.arange(10), np.arange(num_nodes - 5, num_nodes), "tanh")


def chain() -> Graph:
    """Return 1000 levels of 100 nodes, each with 9.6 edges on average from the level before."""
    random = np.random.default_rng(0)
    pairs = np.sort(np.stack([random.permutation(10_000)[:956] for _ in range(999)]), axis=1)
    level = np.arange(999)[:, None] * 100
    ends = np.stack([pairs % 100 + level, pairs // 100 + level + 100]).reshape(2, -1)
    return Graph(100_000, ends, np.arange(100), np.arange(99_900, 100_000), "relu")


def eye() -> Graph:
    """Return the motion pathways of a fly's eye: photoreceptors in, T4 and T5 out."""
    fly = data.fly_visual_system()
    kinds = np.array(fly.cell_types)[fly.cell_type.numpy()]
    inputs = np.flatnonzero(np.char.startswith(kinds, "R"))
    outputs = np.flatnonzero(np.char.startswith(kinds, "T4") | np.char.startswith(kinds, "T5"))
    return Graph(len(kinds), fly.topology.edge_index.numpy(), inputs, outputs, "relu")


def worm() -> Graph:
    """Return the connectome of C. elegans, with every twentieth cell as in- or output."""
    edges = wirings.celegans().edge_index.numpy()
    return Graph(448, edges, np.arange(0, 448, 20), np.arange(10, 448, 20), "tanh")


def _some(random: np.random.Generator, ends: np.ndarray, number: int) -> np.ndarray:
    """Return some different edges, in (target, source) order."""
    different = np.unique(ends[::-1], axis=1)[::-1]
    return different[:, np.sort(random.permutation(different.shape[1])[:number])]


CASES = [
    Case("hierarchy", hierarchy, 64, 1.2),
    Case("Reactome", reactome, 64, 1.0),
    Case("random DAG", random_dag, 32, 0.9),
    Case("genome", lambda: genome(100, 400), 1, 2.0),
    Case("genome", lambda: genome(100, 400), 32, 2.0),
    Case("genome", lambda: genome(100, 400), 1000, 1.4),
    Case("genome of 200", lambda: genome(200, 800), 64, None),
    Case("chain", chain, 32, 0.9),
    Case("eye", eye, 4, 0.6, steps=20),
    Case("eye, leak", eye, 4, None, steps=20, leak=0.2),
    Case("worm", worm, 16, 0.35, steps=100),
    Case("worm, leak", worm, 16, None, steps=100, leak=0.2),
]
