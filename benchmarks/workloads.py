"""The table of workloads: name, wiring, batches. Random wirings have a fixed seed."""

from collections.abc import Callable
from typing import NamedTuple

import torch
import wirings

import edgelinear as el
from edgelinear import data


class Workload(NamedTuple):
    name: str
    wiring: Callable[[], el.Topology]
    batches: tuple[int, ...]
    short: tuple[int, ...] = ()  # the batches of a run of a few minutes
    phases: tuple[str, ...] = ("forward", "step")


def uniform(in_features: int, out_features: int, num_edges: int) -> Callable[[], el.Topology]:
    def wiring() -> el.Topology:
        generator = torch.Generator().manual_seed(0)
        return el.generators.erdos_renyi(
            in_features, out_features, num_edges=num_edges, generator=generator
        )

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


WORKLOADS = [
    Workload("tiny", uniform(64, 64, 476), (1, 32), (1, 32), ("inference", "forward", "step")),
    Workload("celegans", wirings.celegans, (1, 64)),
    Workload("pnet", wirings.pnet, (50,), (50,)),
    Workload("reactome", reactome, (64,), (64,)),
    Workload("ref32", fan_in(1024, 1024, 32), (1, 64, 1024), (64,)),
    Workload("ref128", fan_in(1024, 1024, 128), (1, 64, 1024)),
    Workload("flyvis", wirings.flyvis, (4, 32, 64), (32,)),
    Workload("flyvis shuffled", shuffled(wirings.flyvis), (32,)),
    Workload("square 1 %", fan_in(4096, 4096, 41), (64, 512), (64,)),
    Workload("square 10 %", fan_in(4096, 4096, 410), (64, 512)),
    Workload("square 30 %", fan_in(4096, 4096, 1229), (64, 512)),
    Workload("square 50 %", fan_in(4096, 4096, 2048), (64, 512)),
    Workload("radix", fan_in(65_536, 65_536, 32), (256,)),
    Workload("fly", wirings.fly, (32,)),
    Workload("set", uniform(300_000, 300_000, 12_000_000), (32,)),
]
