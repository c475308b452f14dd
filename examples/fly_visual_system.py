"""A fly's eye that learns to see motion: 604 parameters on 1.5 million connections, as an EdgeRNN.

The published network of the fly's motion pathways, unrolled to 45,669 neurons. All edges between
two cell types share one strength; signs and numbers of synapses are fixed. The network is compared
with its published formula, written with gather and scatter. Then a smaller eye, of 127 columns,
learns which of two bars moves to the right: by cells that are known to prefer opposite directions,
T4a and T5a against T4b and T5b. `edgelinear.data` says where the network is from.

    python examples/fly_visual_system.py [--extent 15] [--steps 200] [--updates 100]
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from matplotlib.figure import Figure
from rich.progress import track
from torch import Tensor, nn

import edgelinear as el
from edgelinear.data import FlyVisualSystem, fly_visual_system

STEP, TIME_CONSTANT, RESTING = 0.005, 0.05, 0.5  # seconds, seconds, and the potential at rest
GREY, BRIGHT, WIDTH = 0.5, 1.0, 3.0  # of the stimulus; the width of the bar in columns
RECEPTORS = [f"R{i}" for i in range(1, 9)]
ONE_WAY, OTHER_WAY = ["T4a", "T5a"], ["T4b", "T5b"]
SHOWN = ["R1", "L1", "Mi1", "Tm3", "T4a", "T4b"]
LEARNING = 6  # the extent of the eye that learns
FRAMES, CHUNK = 40, 20  # steps of a film, and of a chunk of it


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--extent", type=int, default=15, help="columns from the centre to the rim")
    parser.add_argument("--steps", type=int, default=200, help="compared with the formula")
    parser.add_argument("--updates", type=int, default=100)
    parser.add_argument("--plot", type=Path, default=Path("fly_visual_system.png"))
    arguments = parser.parse_args()

    torch.manual_seed(0)
    fly = fly_visual_system(arguments.extent)
    net = make_eye(fly)
    print(net)
    print(f"{len(fly.cell_types)} cell types, {len(fly.pairs)} strengths on {len(fly.pair)} edges")
    compare_with_formula(fly, arguments.steps)
    compare_times(fly, net)

    fly = fly_visual_system(min(LEARNING, arguments.extent))
    net = make_eye(fly)
    before = see(fly, net)
    train(fly, net, arguments.updates)
    after = see(fly, net)
    for name, (margins, _) in (("before", before), ("after", after)):
        print(f"{name:<6} training, it tells {share(margins):.0%} of bars from their mirror images")
    draw(fly, before, after, film(fly, net)).savefig(arguments.plot, dpi=110)
    print(f"the picture is in {arguments.plot}")


def cells(fly: FlyVisualSystem, names: Sequence[str]) -> Tensor:
    """Return the neurons of some types, one type after the other."""
    types = [fly.cell_types.index(name) for name in names if name in fly.cell_types]
    return torch.cat([(fly.cell_type == kind).nonzero()[:, 0] for kind in types])


def make_eye(fly: FlyVisualSystem, **options: object) -> el.EdgeRNN:
    """Return the network: light falls on receptors, and potentials of T4 and T5 come out.

    Strengths are factors of flyvis' initial ones, by which they start at 1.5.
    """
    net = el.EdgeRNN(
        fly.topology.in_features,
        fly.topology,
        inputs=cells(fly, RECEPTORS),
        outputs=cells(fly, ONE_WAY + OTHER_WAY),
        activation="relu",
        equation="potential",
        leak=STEP / TIME_CONSTANT,
        **options,
    )
    nn.init.constant_(net.bias, RESTING).requires_grad_(False)
    mean = torch.zeros(len(fly.pairs)).index_add(0, fly.pair, fly.synapses) / fly.pair.bincount()
    scale = 0.01 * fly.sign * fly.synapses / mean[fly.pair]
    el.rules.tie(net, fly.pair, scale=scale, nonnegative=True)
    nn.init.constant_(strengths(net), 1.5)
    return net


def strengths(net: el.EdgeRNN) -> nn.Parameter:
    return net.parametrizations.weight.original


def formula(net: el.EdgeRNN, light: Tensor, potential: Tensor) -> Tensor:
    """Return the potentials of T4 and T5 at each step, as published: by gather and scatter."""
    src, dst = net.edge_index
    weight, seen = net.weight, []
    for frame in light.unbind(1):
        currents = weight * torch.relu(potential)[:, src]
        currents = torch.zeros_like(potential).index_add(1, dst, currents)
        currents = currents.index_add(1, net.inputs, frame)
        potential = potential + STEP / TIME_CONSTANT * (RESTING - potential + currents)
        seen.append(potential[:, net.outputs])
    return torch.stack(seen, 1)


@torch.no_grad()
def compare_with_formula(fly: FlyVisualSystem, steps: int) -> None:
    net = make_eye(fly, dtype=torch.float64)
    light = torch.rand(1, steps, net.in_features, dtype=torch.float64)
    start = torch.rand(1, net.num_nodes, dtype=torch.float64)
    error = float((net(light, start)[0] - formula(net, light, start)).abs().max())
    print(f"over {steps} steps, potentials and those of the formula differ by {error:.1e}")
    assert error < 1e-6


def compare_times(fly: FlyVisualSystem, net: el.EdgeRNN) -> None:
    """Print what a training step of five steps in time takes, and what is kept for it."""
    light = torch.rand(4, 5, net.in_features)
    start = torch.full((4, net.num_nodes), RESTING)
    for name, forward in (
        ("EdgeRNN", lambda: net(light, start)[0]),
        ("gather and scatter", lambda: formula(net, light, start)),
    ):
        kept: dict[int, int] = {}

        def keep(tensor: Tensor, kept: dict[int, int] = kept) -> Tensor:
            kept[tensor.data_ptr()] = tensor.nbytes
            return tensor

        def step(forward: Callable[[], Tensor] = forward) -> None:
            torch.autograd.grad(forward().square().sum(), strengths(net))

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            forward()
        milliseconds = 1e3 * min(timed(step) for _ in range(3))
        mebibytes = sum(kept.values()) / 2**20
        print(f"{name:<19} {milliseconds:7.1f} ms a step, {mebibytes:7.1f} MiB kept for backward")


def timed(call: Callable) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def bars(fly: FlyVisualSystem, speed: Tensor, start: Tensor) -> Tensor:
    """Return films of bright bars that move to the right, and of the same that move to the left."""
    u, v = fly.column[cells(fly, RECEPTORS)].T
    frames = torch.arange(FRAMES)[:, None] - FRAMES / 2
    bar = start[:, None, None] + speed[:, None, None] * frames
    bar = torch.cat([bar, bar.flip(1)])
    return torch.where((u + v / 2 - bar).abs() < WIDTH / 2, BRIGHT, GREY)


def drawn_bars(fly: FlyVisualSystem, number: int) -> Tensor:
    return bars(fly, 0.15 + 0.15 * torch.rand(number), 4 * torch.rand(number) - 2)


@torch.no_grad()
def settled(net: el.EdgeRNN, steps: int = 100) -> tuple[Tensor, Tensor]:
    """Return the outputs that grey leaves, and the state."""
    y, state = net(torch.full((1, steps, net.in_features), GREY))
    return y[:, -1:], state


def preference(y: Tensor, rest: Tensor) -> Tensor:
    """Return by how much more the one half of the cells responds than the other, as a logarithm."""
    responses = torch.relu(y - rest)
    one, other = (half.sum(2).mean(1) + 1e-3 for half in responses.chunk(2, 2))
    return torch.log(one / other)


def train(fly: FlyVisualSystem, net: el.EdgeRNN, updates: int) -> None:
    """Let bars to the right excite T4a and T5a more than their mirror images do, against others.

    Backpropagation is truncated: each chunk of a film goes on from a state without its past.
    """
    optimizer = torch.optim.Adam([strengths(net)], lr=0.02)
    for _ in track(range(updates), description="the eye learns"):
        rest, state = settled(net)
        films = drawn_bars(fly, 8)
        state = state.expand(len(films), -1)
        for chunk in films.split(CHUNK, 1):
            y, state = net(chunk, state.detach())
            right, left = preference(y, rest).chunk(2)
            loss = nn.functional.softplus(5 * (left - right)).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


@torch.no_grad()
def see(fly: FlyVisualSystem, net: el.EdgeRNN) -> tuple[Tensor, Tensor]:
    """Return how much more bars to the right are preferred than to the left, and by which types.

    The first is above 0 where a bar is seen right. The second is the difference of responses to
    both over their sum, for each cell type.
    """
    with torch.random.fork_rng():
        torch.manual_seed(1)
        films = drawn_bars(fly, 16)
    rest, state = settled(net)
    y, _ = net(films, state.expand(len(films), -1))
    right, left = preference(y, rest).chunk(2)
    responses = torch.relu(y - rest).unflatten(2, (len(ONE_WAY + OTHER_WAY), -1))
    to_right, to_left = responses.unflatten(0, (2, -1)).mean((1, 2, 4))
    return right - left, (to_right - to_left) / (to_right + to_left).clamp(min=1e-12)


def share(margins: Tensor) -> float:
    return float((margins > 0).float().mean())


@torch.no_grad()
def film(fly: FlyVisualSystem, net: el.EdgeRNN) -> Tensor:
    """Return how far potentials are from rest at three times of a bar, (times, neurons)."""
    light = bars(fly, torch.tensor([0.3]), torch.tensor([0.0]))[:1]
    _, rest = settled(net)
    state, states = rest, []
    for chunk in light.split(FRAMES // 4, 1)[1:]:
        _, state = net(chunk, state)
        states.append(state[0] - rest[0])
    return torch.stack(states)


def draw(fly: FlyVisualSystem, before: tuple, after: tuple, states: Tensor) -> Figure:
    """Return a picture: the eye while a bar moves, and what its cells prefer."""
    figure = Figure(figsize=(13, 9.5), layout="constrained")
    maps, learned = figure.subfigures(1, 2, width_ratios=(1.2, 1), wspace=0.05)
    draw_maps(maps, fly, states)
    draw_learned(learned, before, after)
    return figure


def draw_maps(figure: Figure, fly: FlyVisualSystem, states: Tensor) -> None:
    types = [name for name in SHOWN if name in fly.cell_types]
    grid = figure.subplots(len(types), len(states), squeeze=False)
    for row, name in zip(grid, types, strict=True):
        here = cells(fly, [name])
        u, v = fly.column[here].T
        largest = float(states[:, here].abs().max()) or 1.0
        for i, (axes, state) in enumerate(zip(row, states[:, here], strict=True)):
            dots = axes.scatter(
                u + v / 2, v * 3**0.5 / 2, c=state, s=min(3500 / len(here), 40), marker="h",
                cmap="RdBu_r", vmin=-largest, vmax=largest,
            )  # fmt: skip
            axes.set_aspect("equal")
            axes.axis("off")
            if name == types[0]:
                seconds = STEP * FRAMES * (i + 1) / 4
                axes.set_title(f"after {1000 * seconds:.0f} ms", fontsize=10)
        row[0].text(-0.05, 0.5, name, transform=row[0].transAxes, ha="right", va="center")
        figure.colorbar(dots, ax=list(row), shrink=0.8).ax.tick_params(labelsize=8)
    figure.suptitle(
        "A bright bar moves to the right over the trained eye:\n"
        "change of potential from grey, a dot for each neuron",
        fontsize=11,
    )


def draw_learned(figure: Figure, before: tuple, after: tuple) -> None:
    top, bottom = figure.subplots(2, 1)
    names = ONE_WAY + OTHER_WAY
    for i, (when, (margins, types)) in enumerate((("before", before), ("after", after))):
        place = torch.arange(len(names)) + 0.4 * i - 0.2
        top.bar(place, 100 * types, 0.36, color=f"C{i}", label=f"{when} training")
        label = f"{when} training: {share(margins):.0%} right"
        bottom.plot(margins.sort().values, f"C{i}o", label=label)
    for axes in (top, bottom):
        axes.axhline(0, color="0.3", linewidth=0.8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    top.set_xticks(range(len(names)), names)
    top.set_ylabel("response to the right rather than left (%)")
    top.set_title("What cells prefer: T4a and T5a are to learn the right,\nT4b and T5b the left")
    bottom.set_ylabel("preference, as a logarithm")
    bottom.set_xlabel("bars that it has not learned from, in order")
    bottom.set_title(
        "What the eye tells: above 0, that a bar\nmoves right and its mirror image left"
    )


if __name__ == "__main__":
    main()
