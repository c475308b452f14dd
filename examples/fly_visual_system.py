"""A fly's eye, neuron by neuron: 604 parameters on 1.5 million connections, and a bar that moves.

The published network of the fly's motion pathways, unrolled to 45,669 neurons. All edges between
two cell types share one strength; signs and numbers of synapses are fixed. One synaptic step is
compared with the gather and scatter that such networks are written with; then the recurrence runs
while a bright bar moves over the eye. `edgelinear.data` says where the network is from.

    python examples/fly_visual_system.py [--extent 15] [--steps 200] [--plot fly_visual_system.png]
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import torch
from matplotlib.figure import Figure
from rich.progress import track
from torch import Tensor

import edgelinear as el
from edgelinear.data import FlyVisualSystem, fly_visual_system

STEP, TIME_CONSTANT, RESTING = 0.005, 0.05, 0.5  # seconds, seconds, and the potential at rest
GREY, BRIGHT, WIDTH = 0.5, 1.0, 2.0  # of the stimulus; the width of the bar in columns
SETTLING = 100  # steps of grey before the bar
SHOWN = ["R1", "L1", "Mi1", "Tm3", "T4a", "T4b"]  # cell types


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--extent", type=int, default=15, help="columns from the centre to the rim")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--plot", type=Path, default=Path("fly_visual_system.png"))
    arguments = parser.parse_args()

    fly = fly_visual_system(arguments.extent)
    synapses = make_synapses(fly)
    strengths = synapses.parametrizations.weight.original
    print(fly.topology)
    print(f"{len(fly.cell_types)} cell types, {len(strengths)} strengths on {len(fly.pair)} edges")
    compare_with_gather_and_scatter(fly, synapses)
    with torch.no_grad():
        times, responses = respond_to_bar(fly, synapses, arguments.extent, arguments.steps)
    draw(fly, times, responses).savefig(arguments.plot, dpi=120)
    print(f"the picture is in {arguments.plot}")


def make_synapses(fly: FlyVisualSystem) -> el.EdgeLinear:
    """Return the layer from activities to currents, with flyvis' initial strengths."""
    layer = el.EdgeLinear.from_topology(fly.topology, bias=False)
    el.rules.tie(layer, fly.pair, scale=fly.sign * fly.synapses, nonnegative=True)
    mean = torch.zeros(len(fly.pairs)).index_add(0, fly.pair, fly.synapses) / fly.pair.bincount()
    with torch.no_grad():
        layer.parametrizations.weight.original.copy_(0.01 / mean)
    return layer


def compare_with_gather_and_scatter(fly: FlyVisualSystem, synapses: el.EdgeLinear) -> None:
    """Print how far apart both are, forward and backward, and what each takes."""
    src, dst = fly.topology.edge_index
    strengths = synapses.parametrizations.weight.original
    torch.manual_seed(0)
    activity = torch.rand(4, fly.topology.in_features, requires_grad=True)
    grad = torch.randn(4, fly.topology.out_features)

    def formula() -> Tensor:
        weight = fly.sign * fly.synapses * strengths[fly.pair]
        currents = weight * torch.relu(activity)[:, src]
        return torch.zeros_like(activity).scatter_add(1, dst.expand(len(activity), -1), currents)

    def ours() -> Tensor:
        return synapses(torch.relu(activity))

    def step(forward: Callable[[], Tensor]) -> tuple[Tensor, ...]:
        y = forward()
        return y, *torch.autograd.grad(y, (activity, strengths), grad)

    names = ("currents", "gradient of the activity", "gradient of the strengths")
    for name, our, their in zip(names, step(ours), step(formula), strict=True):
        error = float(((our - their).abs().max() / their.abs().max()).detach())
        print(f"{name:<26} differ by {error:.1e} of the largest")
        assert error < 1e-5
    for name, forward in (("edgelinear", ours), ("gather and scatter", formula)):
        kept: dict[int, int] = {}

        def keep(tensor: Tensor, kept: dict[int, int] = kept) -> Tensor:
            kept[tensor.data_ptr()] = tensor.nbytes
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            forward()
        seconds = min(timed(lambda forward=forward: step(forward)) for _ in range(5))
        mebibytes = sum(kept.values()) / 2**20
        print(f"{name:<26} {1e3 * seconds:7.1f} ms a step, {mebibytes:7.1f} MiB kept for backward")


def timed(call: Callable) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def respond_to_bar(
    fly: FlyVisualSystem, synapses: el.EdgeLinear, extent: int, steps: int
) -> tuple[list[float], Tensor]:
    """Return some times, and how far each neuron's potential then is from where grey left it."""
    receptor = torch.tensor([name in RECEPTORS for name in fly.cell_types])[fly.cell_type]
    u, v = fly.column.T
    place = u + v / 2  # of each neuron, along the way of the bar
    potential = torch.full((1, len(receptor)), RESTING)
    weight = synapses.weight  # once, not for each step
    rest, times, responses = potential, [], []
    shown = {round(steps * part) for part in (0.25, 0.5, 0.75, 1.0)}
    for step in track(range(-SETTLING, steps), description="a bar moves"):
        light = torch.full_like(place, GREY)
        if step >= 0:
            bar = extent * (2.4 * step / steps - 1.2)  # from beyond one rim to beyond the other
            light[(place - bar).abs() < WIDTH / 2] = BRIGHT
        else:
            rest = potential
        currents = el.edge_linear(torch.relu(potential), weight, synapses.topology)
        change = RESTING - potential + currents + light * receptor
        potential = potential + STEP / TIME_CONSTANT * change
        if step + 1 in shown:
            times.append((step + 1) * STEP)
            responses.append(potential[0] - rest[0])
    return times, torch.stack(responses)


RECEPTORS = {f"R{i}" for i in range(1, 9)}


def draw(fly: FlyVisualSystem, times: list[float], responses: Tensor) -> Figure:
    """Return a picture of the eye for some cell types, a row each, and times."""
    types = [name for name in SHOWN if name in fly.cell_types]
    figure = Figure(figsize=(2.3 * len(times) + 1.4, 2.2 * len(types) + 0.5), layout="constrained")
    grid = figure.subplots(len(types), len(times), squeeze=False)
    for row, name in zip(grid, types, strict=True):
        cells = fly.cell_type == fly.cell_types.index(name)
        u, v = fly.column[cells].T
        largest = float(responses[:, cells].abs().max()) or 1.0
        for axes, seconds, response in zip(row, times, responses[:, cells], strict=True):
            dots = axes.scatter(
                u + v / 2, v * 3**0.5 / 2, c=response, s=9, marker="h", cmap="RdBu_r",
                vmin=-largest, vmax=largest,
            )  # fmt: skip
            axes.set_aspect("equal")
            axes.axis("off")
            if name == types[0]:
                axes.set_title(f"after {1000 * seconds:.0f} ms", fontsize=10)
        row[0].text(-0.05, 0.5, name, transform=row[0].transAxes, ha="right", va="center")
        bar = figure.colorbar(dots, ax=list(row), shrink=0.8)
        bar.set_label("change of potential", fontsize=9)
        bar.ax.tick_params(labelsize=8)
    figure.suptitle(
        "A bright bar moves to the right: change of potential from a grey screen,\n"
        "a dot for each neuron, a row and a colour scale for each cell type",
        fontsize=11,
    )
    return figure


if __name__ == "__main__":
    main()
