"""Learn the wiring: SET and RigL, against wirings that stay and RigL on masked dense layers.

On handwritten digits all start from random wirings of 4 % of the connections. On Reactome labels
are drawn from a model in which pathways decide, so that there is a real wiring to start from: that
of proteins and pathways, with 0.2 % of the connections, beside random ones of as many.

    python examples/learned_wiring.py [--seeds 5] [--epochs 40] [--plot learned_wiring.png]

Data: the digits that scikit-learn ships (UCI), and Reactome, which ships with edgelinear.
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from pruned_digits import digits
from reactome_pathways import draw_samples, pathway_sets
from torch import Tensor, nn

import edgelinear as el
from edgelinear.data import reactome

EVERY, FRACTION = 10, 0.3  # steps from one update to the next, and what it drops at first


class Run(NamedTuple):
    accuracy: float
    step: float  # seconds of one, updates included
    memory: int  # bytes of parameters, masks, gradients and the state of the optimizer
    schedule: el.dynamic.Schedule | None = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--plot", type=Path, default=Path("learned_wiring.png"))
    arguments = parser.parse_args()

    print("digits, 64 -> 256 -> 10:")
    runs: dict[str, list[Run]] = {}
    for seed in range(arguments.seeds):
        torch.manual_seed(seed)
        sizes = {(64, 256): 655, (256, 10): 102}
        wirings = [el.generators.erdos_renyi(*ends, num_edges=n) for ends, n in sizes.items()]
        models = {
            "static random": (wirings, None),
            "SET": (wirings, el.dynamic.SET),
            "RigL": (wirings, el.dynamic.RigL),
        }
        compare(runs, models, digits(), arguments.epochs, seed, masked=True)
    print_table(runs)
    schedule = runs["RigL"][-1].schedule
    print(schedule)
    el.plot.rewiring(schedule).savefig(arguments.plot, dpi=120)
    print(f"the picture is in {arguments.plot}\n")

    real = reactome().topology
    print(f"Reactome, {real.in_features:,} proteins -> {real.out_features:,} pathways -> 1:")
    groups = pathway_sets(el.EdgeLinear.from_topology(real))
    runs = {}
    for seed in range(arguments.seeds):
        torch.manual_seed(seed)
        random = el.null_models.erdos_renyi_like(real)
        last = el.generators.fixed_fan_in(real.out_features, 2, fan_in=real.out_features // 2)
        models = {
            "static real": ([real, last], None),
            "static random": ([random, last], None),
            "SET from random": ([random, last], el.dynamic.SET),
            "RigL from random": ([random, last], el.dynamic.RigL),
            "RigL from real": ([real, last], el.dynamic.RigL),
        }
        x, label = draw_samples(seed, groups, real.in_features)
        half = len(x) // 2
        data = (x[:half], label[:half].long()), (x[half:], label[half:].long())
        compare(runs, models, data, arguments.epochs, seed, masked=False)
    few = tuple((x[:300], y[:300]) for x, y in data)  # three steps, which say what one takes
    runs["masked dense"] = [train_masked([random, last], few, 1)._replace(accuracy=math.nan)]
    print_table(runs)


def compare(
    runs: dict[str, list[Run]], models: dict, data: tuple, epochs: int, seed: int, *, masked: bool
) -> None:
    """Train every model on the same batches, and add what came out to `runs`."""
    for name, (wirings, kind) in models.items():
        torch.manual_seed(seed)
        runs.setdefault(name, []).append(train_edges(wirings, kind, data, epochs))
    if masked:
        torch.manual_seed(seed)
        runs.setdefault("RigL, masked dense", []).append(train_masked(wirings, data, epochs))


def network(wirings: list[el.Topology]) -> nn.Sequential:
    first, second = map(el.EdgeLinear.from_topology, wirings)
    return nn.Sequential(first, nn.ReLU(), second)


def train_edges(wirings: list, kind: Callable | None, data: tuple, epochs: int) -> Run:
    model = network(wirings)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    schedule = None
    if kind is not None:
        options = {"fraction": FRACTION, "every": EVERY, "until": last_update(data, epochs)}
        schedule = kind(model, optimizer, **options)
    accuracy, step = fit(model, optimizer, schedule.step if schedule else None, data, epochs)
    return Run(accuracy, step, bytes_held(model, optimizer), schedule)


def train_masked(wirings: list, data: tuple, epochs: int) -> Run:
    """Train by RigL on dense weights, with gradients and masks as large as these."""
    layers = network(wirings)
    model = nn.Sequential(layers[0].to_linear(), layers[1], layers[2].to_linear())
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    weights = [model[0].weight, model[2].weight]
    for topology, weight in zip(wirings, weights, strict=True):
        mask = torch.zeros_like(weight, dtype=torch.bool)
        mask[topology.dst.long(), topology.src.long()] = True
        weight.mask, weight.dense = mask, torch.zeros_like(weight)
    until, steps = last_update(data, epochs), 0

    def keep_gradients(*_: object) -> None:
        for weight in weights:
            weight.dense = weight.grad.clone()
            weight.grad *= weight.mask

    def update() -> None:
        nonlocal steps
        steps += 1
        if steps % EVERY == 0 and steps < until:
            fraction = FRACTION / 2 * (1 + math.cos(math.pi * steps / until))
            for weight in weights:
                exchange(weight, fraction)

    optimizer.register_step_pre_hook(keep_gradients)
    accuracy, step = fit(model, optimizer, update, data, epochs)
    masks = sum(weight.numel() * (1 + 4) for weight in weights)  # and dense gradients
    return Run(accuracy, step, bytes_held(model, optimizer) + masks)


@torch.no_grad()
def exchange(weight: Tensor, fraction: float) -> None:
    """Drop the smallest weights of a mask, and grow those with the largest gradients."""
    number = int(fraction * int(weight.mask.sum()))
    sizes = torch.where(weight.mask, weight.abs(), torch.inf).view(-1)
    kept = weight.mask.view(-1).clone()
    kept[sizes.argsort(stable=True)[:number]] = False
    gradients = torch.where(kept, -1.0, weight.dense.abs().view(-1))
    kept[gradients.argsort(stable=True, descending=True)[:number]] = True
    weight.mask = kept.view_as(weight)
    weight *= weight.mask


def fit(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    update: Callable | None,
    data: tuple,
    epochs: int,
) -> tuple[float, float]:
    """Train, and return the accuracy on the other half of the data and the seconds of a step."""
    (x, y), (others, right) = data
    steps, begin = 0, time.perf_counter()
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(100):
            optimizer.zero_grad()
            F.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
            if update is not None:
                update()
            steps += 1
    seconds = (time.perf_counter() - begin) / steps
    with torch.no_grad():
        return float((model(others).argmax(1) == right).float().mean()), seconds


def last_update(data: tuple, epochs: int) -> int:
    """Return three quarters of the steps, as in the paper of RigL."""
    return max(1, 3 * epochs * math.ceil(len(data[0][0]) / 100) // 4)


def bytes_held(model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Return what parameters, their gradients, the optimizer's state and wirings take."""
    states = (t for state in optimizer.state.values() for t in state.values())
    tensors = [*model.parameters(), *(p.grad for p in model.parameters()), *states]
    for layer in model:
        if isinstance(layer, el.EdgeLinear):
            views = (*layer.topology.by_dst, *layer.topology.by_src)
            tensors += [layer.topology.src, layer.topology.dst, *views]
    return sum(t.nbytes for t in tensors if t is not None)


def print_table(runs: dict[str, list[Run]]) -> None:
    print(f"{'':20} {'accuracy':>16} {'ms a step':>10} {'MiB held':>9}")
    for name, found in runs.items():
        scores = [100 * run.accuracy for run in found]
        spread = f"{statistics.stdev(scores):.1f}" if len(scores) > 1 else "-"
        milliseconds = 1e3 * statistics.median(run.step for run in found)
        accuracy = "-" if math.isnan(scores[0]) else f"{statistics.mean(scores):.1f} % +- {spread}"
        print(f"{name:20} {accuracy:>16} {milliseconds:10.2f} {found[0].memory / 2**20:9.2f}")


if __name__ == "__main__":
    main()
