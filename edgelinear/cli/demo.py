"""`edgelinear demo`: a real wiring imported, checked, timed and drawn, and dense twins trained."""

import copy
import importlib.util
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgelinear.comparison import Comparison, compare
from edgelinear.convert import Wiring
from edgelinear.layers import EdgeLinear
from edgelinear.topology import Topology

_BATCH = 64
_SPARSE, _DENSE = "EdgeLinear", "dense, masked"


class Digits(NamedTuple):
    """scikit-learn's 8 x 8 handwritten digits, split for training and testing."""

    x: Tensor  # (1437, 64)
    y: Tensor
    test_x: Tensor  # (360, 64)
    test_y: Tensor


class Curves(NamedTuple):
    """Loss and test accuracy of each epoch, by the name of the model."""

    loss: dict[str, list[float]]
    accuracy: dict[str, list[float]]


def run(out: Path, epochs: int) -> None:
    """Run the demo, and leave `wiring.png` and `comparison.png` in the folder `out`."""
    start = time.perf_counter()
    _check_packages()
    out.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        _demo(out, epochs)
    print(f"Done in {time.perf_counter() - start:.0f} s.")


def _check_packages() -> None:
    packages = {"pandas": "pandas", "matplotlib": "matplotlib", "sklearn": "scikit-learn"}
    for module, name in {**packages, "rich": "rich"}.items():
        if importlib.util.find_spec(module) is None:
            raise ImportError(f"the demo needs {name}: pip install 'edgelinear[demo]'.")


def _demo(out: Path, epochs: int) -> None:
    from edgelinear import plot
    from edgelinear.data import reactome

    print("1. A real wiring: which human proteins take part in which Reactome pathways")
    wiring = reactome()
    _describe(wiring)

    print(
        f"\n2. The same layer on every backend and dense, batch {_BATCH} (takes a while)",
        flush=True,
    )
    layer = EdgeLinear.from_topology(wiring.topology)
    comparison = compare(layer, _BATCH)
    comparison.show()
    _conclude(comparison)

    print("\n3. Training handwritten digits, sparse and dense from equal starts, on equal batches")
    curves = _train_twins(epochs)

    pictures = {
        "wiring.png": plot.matrix(wiring.topology),
        "comparison.png": plot.comparison(comparison, curves.loss),
    }
    print("\n4. Pictures")
    for name, figure in pictures.items():
        figure.savefig(out / name, dpi=150)
        print(f"   {out / name}")


def _describe(wiring: Wiring) -> None:
    topology, names = wiring.topology, wiring.out_names
    assert names is not None
    fan_in = topology.fan_in
    print(
        f"   {topology.in_features:,} proteins -> {topology.out_features:,} pathways, "
        f"{topology.num_edges:,} edges: {topology.density:.2%} of a dense layer\n"
        f"   proteins in a pathway: least {int(fan_in.min())}, median {int(fan_in.median())}, "
        f"most {int(fan_in.max())} ({names[int(fan_in.argmax())]})"
    )


def _conclude(comparison: Comparison) -> None:
    rows = comparison.rows
    errors = [max(r.output_error, r.input_grad_error, r.weight_grad_error) for r in rows]
    if all(row.agrees for row in rows):
        print(f"Outputs and gradients of all {len(rows)} equal float64's to {max(errors):.0e}.")


def _train_twins(epochs: int) -> Curves:
    digits, topology = _digits(), skewed_topology(64, 128)
    layer, head = EdgeLinear.from_topology(topology), nn.Linear(128, 10)
    sparse = nn.Sequential(layer, nn.ReLU(), head)
    masked = layer.to_masked_linear()
    twin = nn.Sequential(masked, nn.ReLU(), copy.deepcopy(head))
    fan_in = topology.fan_in
    print(
        f"   pixels -> hidden: {topology.num_edges} edges, {topology.density:.0%} of dense, with "
        f"{int(fan_in.min())} to {int(fan_in.max())} pixels to a unit"
    )
    with _one_thread():
        curves = train({_SPARSE: sparse, _DENSE: twin}, digits, epochs)
    _print_curves(curves)
    weights = float((layer.to_dense() - masked.weight).detach().abs().max())
    losses, accuracies = map(_largest_difference, (curves.loss, curves.accuracy))
    print(
        f"   largest difference between the two: {losses:.1g} in the losses, "
        f"{accuracies:.1g} in the accuracies, {weights:.1g} in the weights"
    )
    return curves


def skewed_topology(in_features: int, out_features: int, seed: int = 0) -> Topology:
    """Return an irregular wiring: a few targets see most of the sources, most see a few.

    Example:
        >>> skewed_topology(64, 128).fan_in.unique().numel() > 10
        True
    """
    random = np.random.default_rng(seed)
    fan_in = np.clip(2 + 6 * random.pareto(1.5, out_features), 1, in_features).astype(int)
    likely = random.dirichlet(np.full(in_features, 2.0))  # some sources feed more targets
    src = [random.choice(in_features, size, replace=False, p=likely) for size in fan_in]
    edges = np.stack([np.concatenate(src), np.repeat(np.arange(out_features), fan_in)])
    return Topology(in_features, out_features, edges).sorted()[0]


def _digits() -> Digits:
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    x = torch.tensor(images[order] / 16, dtype=torch.float32)
    y = torch.tensor(labels[order])
    return Digits(x[:1437], y[:1437], x[1437:], y[1437:])


def train(models: Mapping[str, nn.Module], digits: Digits, epochs: int) -> Curves:
    """Train each model on the same batches, with momentum, and return their curves."""
    optimizers = {
        name: torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        for name, model in models.items()
    }
    curves = Curves({name: [] for name in models}, {name: [] for name in models})
    generator = torch.Generator().manual_seed(0)
    with _progress(epochs) as advance:
        for _ in range(epochs):
            batches = torch.randperm(len(digits.x), generator=generator).split(_BATCH)
            for name, model in models.items():
                losses = [_step(model, optimizers[name], digits, batch) for batch in batches]
                curves.loss[name].append(sum(losses) / len(losses))
                curves.accuracy[name].append(_accuracy(model, digits))
            advance()
    return curves


def _step(
    model: nn.Module, optimizer: torch.optim.Optimizer, digits: Digits, batch: Tensor
) -> float:
    loss = F.cross_entropy(model(digits.x[batch]), digits.y[batch])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


@torch.no_grad()
def _accuracy(model: nn.Module, digits: Digits) -> float:
    return float((model(digits.test_x).argmax(1) == digits.test_y).double().mean())


@contextmanager
def _one_thread() -> Iterator[None]:
    """Layers this small gain nothing from threads, which on a busy machine wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _progress(epochs: int) -> Iterator[Any]:
    """Show a bar in a terminal, and nothing elsewhere."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("   training", total=epochs)
        yield lambda: progress.advance(task)


def _largest_difference(curves: dict[str, list[float]]) -> float:
    return float(np.abs(np.subtract(curves[_SPARSE], curves[_DENSE])).max())


def _print_curves(curves: Curves) -> None:
    epochs = len(curves.loss[_SPARSE])
    print(f"   {'':>5}  {'loss':^27}  {'test accuracy':^27}")
    print(f"   {'epoch':>5}  " + "  ".join(f"{name:>13}" for name in (_SPARSE, _DENSE) * 2))
    for epoch in sorted({*np.linspace(1, epochs, min(6, epochs)).round().astype(int).tolist()}):
        losses = [curves.loss[name][epoch - 1] for name in (_SPARSE, _DENSE)]
        accuracies = [curves.accuracy[name][epoch - 1] for name in (_SPARSE, _DENSE)]
        cells = [f"{loss:13.6f}" for loss in losses] + [f"{value:13.2%}" for value in accuracies]
        print(f"   {epoch:>5}  " + "  ".join(cells))
