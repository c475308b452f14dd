"""A worm that remembers: the connectome of C. elegans learns a delayed response, and is lesioned.

All synapses among the neurons of C. elegans are one `el.EdgeRNN` of leaky neurons that obey Dale's
law: chemical synapses of neurons that release GABA inhibit, and all others excite. A touch at the
head or at the tail is felt for some steps; after a delay a repellent says "go". Until then the worm
must stay; after it, motor neurons of the A class, which drive it backward, must outdo those of the
B class where the head was touched, and the other way round where it was the tail. Then the synapses
of one class of neurons at a time are frozen at zero: what is lost, and how much of it comes back by
training the rest? The extra `demo` is needed.

    python examples/worm.py [--seeds 3] [--steps 400] [--plot worm.png]
"""

import argparse
import copy
import re
from pathlib import Path

import pandas as pd
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from rich.progress import track
from torch import Tensor

import edgelinear as el
from edgelinear.data import worm

KINDS = ("chemical", "electrical")
HEAD, TAIL, REPELLENT = ["ALML", "ALMR", "AVM"], ["PLML", "PLMR"], ["ASHL", "ASHR"]
# Classes of the 26 neurons that release GABA (McIntire et al. 1993).
GABA = {"DD", "VD", "RMED", "RMEL", "RMER", "RMEV", "RME", "AVL", "DVB", "RIS"}
FELT = {"ALM", "AVM", "PLM", "ASH"}
CUE, GO = 4, 8  # steps
SHORTEST, LONGEST = 8, 20  # of the delay
NOISE, MOVES = 0.2, 1.5  # noise of all neurons, in tests too; the drive that makes a worm move
BATCH, TESTED = 64, 256
SHOWN, RETRAINED = 20, 5  # lesions in the picture, and those that are trained again
BLUE, ORANGE, GREY = "#2f5d8c", "#c8722c", "#b0b0b0"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=400, help="of Adam")
    parser.add_argument("--plot", type=Path, default=Path("worm.png"))
    arguments = parser.parse_args()

    torch.set_num_threads(1)  # the network is small: threads would wait for each other
    nets, whole = [], []
    lost: dict[str, list[float]] = {}
    for seed in range(arguments.seeds):
        torch.manual_seed(seed)
        net = make_worm()
        if seed == 0:
            print(net)
        train(net, arguments.steps)
        nets.append(net)
        whole.append(accuracy(net))
        print(f"seed {seed}: accuracy {whole[-1]:.3f}")
        for name, mask in track(classes(net).items(), description="lesions"):
            lost.setdefault(name, []).append(whole[-1] - accuracy(lesioned(net, mask)))
    order = sorted(lost, key=lambda name: -sum(lost[name]))
    still: dict[str, list[float]] = {}
    for name in order[:RETRAINED]:
        for net, before in zip(nets, whole, strict=True):
            healed = lesioned(net, classes(net)[name])
            train(healed, arguments.steps // 4)
            still.setdefault(name, []).append(before - accuracy(healed))
        first, then = (sum(found[name]) / len(nets) for found in (lost, still))
        print(f"without {name:4} accuracy falls by {first:.3f}, and by {then:.3f} after training")
    draw(nets[0], whole, {name: lost[name] for name in order[:SHOWN]}, still).savefig(
        arguments.plot, dpi=120
    )
    print(f"the picture is in {arguments.plot}")


def make_worm() -> el.EdgeRNN:
    """Return the neurons of the worm, whose weights start by its numbers of synapses."""
    tables = [el.convert.to_table(worm(kind)).assign(kind=kind) for kind in KINDS]
    table = pd.concat(tables)
    table = table[table.source.str.isupper() & table.target.str.isupper()]  # neurons
    names = {*table.source, *table.target}
    motor = [name for kind in "AB" for name in sorted(names) if re.match(rf"[DV]{kind}\d", name)]
    net = el.EdgeRNN.from_wiring(
        el.convert.from_table(table, duplicates="keep"),
        HEAD + TAIL + REPELLENT,
        motor,
        input_weight=torch.nn.Parameter(torch.full((len(HEAD + TAIL + REPELLENT),), 3.0)),
        activation="tanh",  # graded potentials, above and below rest
        leak=0.4,
        noise=NOISE,
    )
    size = torch.tensor(table.weight.to_numpy(), dtype=torch.float32).sqrt()
    net.set_weight(size * torch.empty(net.num_edges).uniform_(0.5, 1.5))
    inhibits = [class_of(name, names) in GABA for name in table.source]
    # Dale's law is of chemical synapses; electrical ones pass on what there is.
    signs = torch.where(
        torch.tensor(inhibits) & torch.tensor((table.kind == "chemical").to_numpy()), -1, 1
    )
    el.rules.fix_signs(net, signs, of="edges", on_conflict="project")
    return net.scale_spectral_radius_(1.0)


def class_of(name: str, names: set[str]) -> str:
    """Return the class of a neuron: AVA of AVAL and AVAR, DD of DD01, and AVL of AVL."""
    mirror = name[:-1] + {"L": "R", "R": "L"}.get(name[-1], "")
    return re.sub(r"(?<=[A-Z])\d+$", "", name[:-1] if mirror in names and mirror != name else name)


def classes(net: el.EdgeRNN) -> dict[str, Tensor]:
    """Return which edges, (num_edges,), lead from or to each class of neurons."""
    names = net.node_names
    of_node = [class_of(name, {*names}) for name in names]
    src, dst = net.edge_index
    found = {}
    for one in dict.fromkeys(of_node):
        members = torch.tensor([other == one for other in of_node])
        found[one] = members[src] | members[dst]
    return found


def draw_trials(number: int, generator: torch.Generator | None = None) -> tuple[Tensor, ...]:
    """Return what is felt, whether the head was touched, and when to go, of some trials."""
    head = torch.rand(number, generator=generator) < 0.5
    delay = torch.randint(SHORTEST, LONGEST + 1, (number,), generator=generator)
    time = torch.arange(CUE + LONGEST + GO)
    touched = (time < CUE).float().expand(number, -1)
    go = time >= CUE + delay[:, None]
    felt = torch.stack([touched * head[:, None], touched * ~head[:, None], go.float()], -1)
    number_of = torch.tensor([len(HEAD), len(TAIL), len(REPELLENT)])
    return felt.repeat_interleave(number_of, -1), head, go


def drive(net: el.EdgeRNN, x: Tensor) -> Tensor:  # (batch, time)
    """Return by how much the motor neurons of the A class outdo those of the B class."""
    y = net(x)[0]
    backward = [name[1] == "A" for name in net.out_names]
    mask = torch.tensor(backward)
    return 10 * (y[..., mask].mean(-1) - y[..., ~mask].mean(-1))


def train(net: el.EdgeRNN, steps: int) -> None:
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(steps):
        x, head, go = draw_trials(BATCH)
        said = drive(net, x)
        wanted = head[:, None].expand_as(said).float()
        late = go & go.roll(2, 1)  # two steps to react in
        response = F.binary_cross_entropy_with_logits(said[late], wanted[late])
        loss = response + said[~go].square().mean()  # and before, neither
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()


@torch.no_grad()
def accuracy(net: el.EdgeRNN) -> float:
    """Return the part of new trials in which the worm stays until it must go, and goes rightly."""
    x, head, go = draw_trials(TESTED, torch.Generator().manual_seed(99))
    torch.manual_seed(99)  # the same noise for all
    said = drive(net, x)
    soon = go & ~go.roll(GO, 1)  # the first steps after the repellent
    soon &= soon.roll(GO // 2, 1)
    went = (said * soon).sum(1) / soon.sum(1) * (2.0 * head - 1) > MOVES
    stayed = (said * ~go).abs().amax(1) < MOVES
    return float((went & stayed).float().mean())


def lesioned(net: el.EdgeRNN, mask: Tensor) -> el.EdgeRNN:
    """Return a copy whose synapses in `mask` are zero, and stay so."""
    twin = copy.deepcopy(net)
    twin.set_weight(torch.where(mask, 0.0, net.weight.detach()))
    return el.rules.freeze(twin, mask)


def draw(
    net: el.EdgeRNN, whole: list[float], lost: dict[str, list[float]], still: dict[str, list[float]]
) -> Figure:
    """Return a picture of trials of one worm, and of what lesions cost all of them."""
    figure = Figure(figsize=(13, 5.5), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.5])
    x, head, go = draw_trials(BATCH, torch.Generator().manual_seed(1))
    with torch.no_grad():
        said = drive(net, x)
    since = torch.arange(go.shape[1]) - go.int().argmax(1)[:, None]
    for trial in range(BATCH):
        shown = since[trial] < GO
        colour = ORANGE if head[trial] else BLUE
        left.plot(since[trial][shown], said[trial][shown], color=colour, lw=0.8, alpha=0.5)
    left.axvspan(0, GO - 1, color=GREY, alpha=0.25, lw=0)
    left.axhspan(-MOVES, MOVES, color=GREY, alpha=0.15, lw=0)
    for name, colour in (("head touched: backward", ORANGE), ("tail touched: forward", BLUE)):
        left.plot([], [], color=colour, label=name)
    left.legend(frameon=False, loc="upper left")
    left.set(xlabel="steps since the repellent", ylabel="A class less B class of motor neurons")
    left.set_title(
        f"{BATCH} trials of one worm; of all worms, {sum(whole) / len(whole):.0%} are right"
    )

    for at, (name, losses) in enumerate(lost.items()):
        colour = ORANGE if name in GABA else BLUE if name in FELT else GREY
        right.bar(at, sum(losses) / len(losses), color=colour, width=0.7)
        right.plot([at] * len(losses), losses, "o", color="black", markersize=3)
        if name in still:
            mean = sum(still[name]) / len(still[name])
            right.plot(at, mean, "_", color="#2a8a4a", markersize=16, markeredgewidth=2.5)
    for name, colour in (
        ("neurons that feel", BLUE),
        ("neurons that release GABA", ORANGE),
        ("other neurons", GREY),
    ):
        right.bar(0, 0, color=colour, label=name)
    right.plot(
        [],
        [],
        "_",
        color="#2a8a4a",
        markersize=12,
        markeredgewidth=2.5,
        label="with the rest trained again",
    )
    right.legend(frameon=False)
    right.set_xticks(range(len(lost)), list(lost), rotation=90)
    right.axhline(0, color="black", lw=0.8)
    right.set_ylabel("accuracy lost without the class")
    right.set_title("lesions of one class of neurons: means, and a dot for each worm")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle("The connectome of C. elegans learns a delayed response, and is lesioned")
    return figure


if __name__ == "__main__":
    main()
