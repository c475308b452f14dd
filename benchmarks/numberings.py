"""Time a training step with other numbers for the nodes: what an order of them is worth.

    python benchmarks/numberings.py

Nodes are numbered at random, and from there by `parallel.partition`, which needs pymetis. Edges are
sorted by target and source each time. Times are the least of all, taken in turn.
"""

import time
from collections.abc import Callable
from itertools import count

import torch
from torch import Tensor
from wirings import fly, flyvis

import edgelinear as el
from edgelinear import data
from edgelinear.parallel import partition

WIRINGS: dict[str, tuple[Callable[[], el.Topology], int]] = {
    "reactome": (lambda: data.reactome().topology, 64),
    "flyvis": (flyvis, 32),
    "fly": (fly, 32),
}
PARTS = 64
SECONDS = 20


def main() -> None:
    print(
        "| wiring | numbers | found in, s | step, ms | random / these |\n|---|---|---:|---:|---:|"
    )
    for name, (wiring, batch) in WIRINGS.items():
        own = wiring()
        drawn = at_random(own)
        topologies, seconds = {"random": drawn, "its own": own}, {"random": 0.0, "its own": 0.0}
        for method in ("cuthill_mckee", "metis"):
            start = time.perf_counter()
            topologies[method] = partition(drawn, PARTS, method=method).apply().topology
            seconds[method] = time.perf_counter() - start
        steps = least(topologies, batch)
        for numbers, step in steps.items():
            cells = name, numbers, f"{seconds[numbers]:.2f}", f"{1e3 * step:.3f}"
            print("|", " | ".join([*cells, f"{steps['random'] / step:.2f}"]), "|", flush=True)


def at_random(topology: el.Topology) -> el.Topology:
    """Return the topology with random numbers: one for each node, where both sides are the same."""
    draws = torch.Generator().manual_seed(0)
    inputs = torch.randperm(topology.in_features, generator=draws)
    outputs = inputs
    if topology.in_features != topology.out_features:
        outputs = torch.randperm(topology.out_features, generator=draws)
    edges = torch.stack([inputs[topology.src.long()], outputs[topology.dst.long()]])
    return el.Topology(topology.in_features, topology.out_features, edges).sorted()[0]


def least(topologies: dict[str, el.Topology], batch: int) -> dict[str, float]:
    """Return the seconds of the fastest step of each."""
    layers = {name: el.EdgeLinear.from_topology(each) for name, each in topologies.items()}
    some = next(iter(layers.values()))
    x = torch.randn(batch, some.in_features, requires_grad=True)
    grad = torch.randn(batch, some.out_features)
    found = dict.fromkeys(layers, float("inf"))
    end = time.perf_counter() + SECONDS
    for turn in count():
        if turn > 2 and time.perf_counter() > end:
            return found
        for name, layer in layers.items():
            found[name] = min(found[name], seconds_of(layer, x, grad))


def seconds_of(layer: el.EdgeLinear, x: Tensor, grad: Tensor) -> float:
    start = time.perf_counter()
    layer(x).backward(grad)
    taken = time.perf_counter() - start
    x.grad = None
    layer.zero_grad()
    return taken


if __name__ == "__main__":
    main()
