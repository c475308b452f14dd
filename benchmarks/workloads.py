"""The table of workloads: name, sizes, wiring, batches. Random wirings have a fixed seed."""

from collections.abc import Callable
from typing import NamedTuple

import torch

import edgelinear as el
from edgelinear import data


class Workload(NamedTuple):
    name: str
    wiring: Callable[[], el.Topology]
    batches: tuple[int, ...]


def random(in_features: int, out_features: int, **options) -> Callable[[], el.Topology]:
    def wiring() -> el.Topology:
        generator = torch.Generator().manual_seed(0)
        return el.generators.erdos_renyi(in_features, out_features, generator=generator, **options)

    return wiring


def fan_in(in_features: int, out_features: int, number: int) -> Callable[[], el.Topology]:
    def wiring() -> el.Topology:
        generator = torch.Generator().manual_seed(0)
        return el.generators.fixed_fan_in(
            in_features, out_features, fan_in=number, generator=generator
        )

    return wiring


def shuffled(wiring: Callable[[], el.Topology]) -> Callable[[], el.Topology]:
    def shuffle() -> el.Topology:
        topology = wiring()
        order = torch.randperm(topology.num_edges, generator=torch.Generator().manual_seed(1))
        return el.Topology(
            topology.in_features, topology.out_features, topology.edge_index[:, order]
        )

    return shuffle


def reactome() -> el.Topology:
    return data.reactome().topology


FLY = random(45_669, 45_669, num_edges=1_484_282)

SHORT = [
    Workload("tiny", random(64, 64, num_edges=476), (1, 32)),
    Workload("pnet", random(9229, 1387, num_edges=15_651), (50,)),
    Workload("reactome", reactome, (64,)),
    Workload("ref32", fan_in(1024, 1024, 32), (1, 64)),
    Workload("square 1 %", fan_in(4096, 4096, 41), (64, 512)),
]
FULL = [
    *SHORT,
    Workload("square 10 %", fan_in(4096, 4096, 410), (64,)),
    Workload("fly", FLY, (4, 32)),
    Workload("fly shuffled", shuffled(FLY), (32,)),
]
