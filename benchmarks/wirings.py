"""Wirings of real nervous systems, and random ones with degrees as skewed as theirs.

That of C. elegans is read out of a wheel on the package index, which pip downloads once into
`benchmarks/.cache` and nothing installs; the fly's eye comes with the library.
"""

import csv
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np

import edgelinear as el
from edgelinear import data

CACHE = Path(__file__).parent / ".cache"


def celegans() -> el.Topology:
    """Return the connectome of the C. elegans hermaphrodite: 448 cells to 448, 6,625 edges.

    Cells are neurons and what they act upon, in order of name. Chemical and electrical synapses
    from one cell to another are one edge. The list is that of OpenWorm's package c302.

    Raises:
        RuntimeError: if the wheel is neither in the cache nor in pip's reach.
        ValueError: if there are other numbers of nodes or edges than these.
    """
    text = _from_wheel("c302", "0.12.1", "c302/data/herm_full_edgelist.csv").decode()
    rows = csv.DictReader(text.splitlines())
    pairs = {(row["Target"].strip(), row["Source"].strip()) for row in rows}
    names = sorted({name for pair in pairs for name in pair})
    number = {name: index for index, name in enumerate(names)}
    edges = sorted((number[target], number[source]) for target, source in pairs)
    dst, src = np.array(edges).T
    if (len(names), len(edges)) != (448, 6_625):
        raise ValueError(
            f"the wiring of c302 must have 448 nodes and 6625 edges, got {len(names)} and "
            f"{len(edges)}. Delete its wheel from {CACHE} to download it again."
        )
    return el.Topology(len(names), len(names), np.stack([src, dst]))


def flyvis() -> el.Topology:
    """Return the motion pathways of a fly's eye: 45,669 neurons to 45,669, 1,513,231 edges."""
    return data.fly_visual_system().topology


def fly() -> el.Topology:
    """Return random connections as many as in a whole fly brain: 139,255 to 139,255, 15 million.

    The number of neurons is that of Dorkenwald et al., "Neuronal wiring diagram of an adult brain"
    (2024). The degrees are a power law's: 108 on average, about 9,000 for the largest hubs.
    """
    return power_law(139_255, 15_000_000, exponent=2.5, max_degree=10_000, seed=0)


def pnet() -> el.Topology:
    """Return random genes for each pathway: 9,229 to 1,387, 15,651 edges, as many as in P-NET.

    Pathways have log-normal sizes: 11 genes on average, 540 in the largest, none in 126 of them.
    Elmarakeby et al., "Biologically informed deep neural network for prostate cancer discovery"
    (2021).
    """
    random = np.random.default_rng(0)
    genes = random.lognormal(sigma=1.0, size=9_229)
    pathways = random.lognormal(sigma=1.2, size=1_387)
    return _degree_matched(genes, pathways, 15_651, random)


def power_law(
    nodes: int, num_edges: int, *, exponent: float, seed: int, max_degree: int = 10_000
) -> el.Topology:
    """Return `num_edges` distinct edges with a power law of fan-in, and of fan-out independently.

    The weight of rank i is (i + first) ** (-1 / (exponent - 1)), and an edge joins two nodes in
    proportion to the product of their weights: Chung and Lu, "Connected components in random graphs
    with given expected degree sequences" (2002). Edges drawn twice are replaced by others, so that
    hubs end below their expected degree.

    Args:
        exponent: nodes of degree k are as frequent as k ** -exponent; above 2.
        max_degree: expected degree of the largest hub, by which `first` is chosen.

    Raises:
        ValueError: if the exponent is not above 2, or more than half of all edges are wanted.
    """
    if exponent <= 2:
        raise ValueError(f"`exponent` must be above 2, got {exponent}.")
    if num_edges > nodes**2 // 2:
        raise ValueError(
            f"`num_edges` must be at most half of nodes ** 2, which is {nodes**2 // 2}, "
            f"got {num_edges}."
        )
    mean_degree = num_edges / nodes
    first = nodes * (mean_degree * (exponent - 2) / (max_degree * (exponent - 1))) ** (exponent - 1)
    weight = (np.arange(nodes) + max(first, 1.0)) ** (-1 / (exponent - 1))
    random = np.random.default_rng(seed)
    sources, targets = random.permutation(weight), random.permutation(weight)
    return _degree_matched(sources, targets, num_edges, random)


def _degree_matched(
    source_weight: np.ndarray,  # (in_features,)
    target_weight: np.ndarray,  # (out_features,)
    num_edges: int,
    random: np.random.Generator,
) -> el.Topology:
    """Return distinct edges whose ends are drawn in proportion to the weights, in O(num_edges)."""
    in_features, out_features = len(source_weight), len(target_weight)
    cells = np.empty(0, dtype=np.int64)
    while cells.size < num_edges:
        # A tenth more, as some are repeats, and a hundred, so that the last few take one round.
        draws = (num_edges - cells.size) * 11 // 10 + 100
        dst = random.choice(out_features, draws, p=target_weight / target_weight.sum())
        src = random.choice(in_features, draws, p=source_weight / source_weight.sum())
        cells = np.concatenate([cells, dst * in_features + src])
        cells.sort()  # np.unique takes ten times as long
        cells = cells[np.diff(cells, prepend=-1) > 0]
    kept = np.ones(cells.size, dtype=bool)
    kept[random.choice(cells.size, cells.size - num_edges, replace=False)] = False
    dst, src = np.divmod(cells[kept], in_features)
    return el.Topology(in_features, out_features, np.stack([src, dst]))


def _from_wheel(package: str, version: str, member: str) -> bytes:
    """Return the file `member` of a package's wheel, which is downloaded at the first call."""
    requirement = f"{package}=={version}"
    if not any(CACHE.glob(f"{package}-{version}-*.whl")):
        # Nothing of the wheel runs, so that it need not support this Python.
        options = ["--quiet", "--no-deps", "--only-binary=:all:", "--ignore-requires-python"]
        command = [sys.executable, "-m", "pip", "download", *options, "--dest", CACHE, requirement]
        pip = subprocess.run(command, capture_output=True, text=True)
        if pip.returncode:
            reason = pip.stderr.strip().rpartition("\n")[2]
            raise RuntimeError(
                f"pip could not download {requirement}. Run this once with a package index in "
                f"reach, or put the wheel into {CACHE}. pip said: {reason}"
            )
    (wheel,) = CACHE.glob(f"{package}-{version}-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(member)
