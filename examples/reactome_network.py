"""Reactome as one network, from proteins to a label, with every edge of the hierarchy in place.

In `reactome_pathways.py` the pathways are three layers, and what would skip one is copied. Here
each protein and each pathway is one node, at up to twelve levels, and all edges are one `weight`.
Both learn labels that six pathways decide; null models that keep the level of every node say
whether the wiring mattered; and integrated gradients say which pathways did: are they the six? The
extra `demo`, and captum, are needed.

    python examples/reactome_network.py [--seeds 8] [--epochs 10] [--plot reactome_network.png]
"""

import argparse
import textwrap
from collections import defaultdict
from functools import partial
from pathlib import Path

import pandas as pd
import torch
import torch.nn.functional as F
from captum.attr import IntegratedGradients
from matplotlib.figure import Figure
from reactome_pathways import LARGEST, SETS, SMALLEST, PathwayNet, pathway_layers, timed
from torch import Tensor, nn
from torch.func import functional_call

import edgelinear as el
from edgelinear.convert import Wiring
from edgelinear.data import reactome, reactome_hierarchy, reactome_titles

SAMPLES = 500  # to train on, and as many to test
SHOWN = 16  # pathways in the picture
BLUE, ORANGE, GREY = "#2f5d8c", "#c8722c", "#b0b0b0"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--plot", type=Path, default=Path("reactome_network.png"))
    arguments = parser.parse_args()

    torch.set_num_threads(1)  # levels are small: threads would wait for each other
    torch.manual_seed(0)
    layers = pathway_layers()
    proteins = layers[0].in_names
    net = network(whole_wiring(proteins), proteins)
    constant = len(net.unreached)
    net.prune_dead()
    print(f"taken out: {constant} pathways without proteins\n{net}")
    stack = PathwayNet([layer.topology for layer in layers])
    for name, model in (("one network", net), ("three layers", stack)):
        print_costs(name, model, len(proteins))

    sets = members(layers[0])

    def train(model: nn.Module, seed: int) -> float:
        x, label, _ = draw_samples(seed, sets, len(proteins))
        return fit(model, x, label, arguments.epochs)

    report = el.controls(
        partial(network, proteins=proteins),
        net.wiring,
        train,
        seeds=range(arguments.seeds),
        null_models=["level_preserving", "permute_levels"],
    )
    print(f"\naccuracy where pathways decide:\n{report}")
    scores = []
    for seed in range(arguments.seeds):
        torch.manual_seed(seed)
        scores.append(train(PathwayNet([layer.topology for layer in layers]), seed))
    for name, found in (("one network", report.scores["real wiring"]), ("three layers", scores)):
        print(f"{name:>13}: accuracy {sum(found) / len(found):.3f} in the mean of the seeds")

    x, label, decided = draw_samples(0, sets, len(proteins))
    print(f"\nseed 0: accuracy {fit(net, x, label, arguments.epochs):.3f}")
    given = attribute(net, x[SAMPLES:], label[SAMPLES:])
    told = worth_to(net, given, "label")
    print_found(told, decided)
    draw(net, given, told, decided).savefig(arguments.plot, dpi=120)
    print(f"the picture is in {arguments.plot}")


def whole_wiring(proteins: list[str]) -> Wiring:
    """Return all edges: of proteins, of the hierarchy, and of each pathway to the label."""
    hierarchy = el.convert.to_table(reactome_hierarchy())
    pathways = pd.unique(hierarchy[["source", "target"]].to_numpy().ravel())
    direct = el.convert.to_table(reactome())
    direct = direct[direct.target.isin(pathways) & direct.source.isin(proteins)]
    said = pd.DataFrame({"source": pathways, "target": "label"})
    table = pd.concat([direct, hierarchy, said])[["source", "target"]]
    return el.convert.from_table(table, sort=True)


def network(wiring: Wiring, proteins: list[str]) -> el.EdgeNetwork:
    """Return a network whose pathways start as sums over the root of the number of terms."""
    net = el.EdgeNetwork.from_wiring(wiring, proteins, ["label"], activation="tanh")
    dst = net.topology.dst
    weight = net.topology.fan_in[dst].rsqrt()
    to_label = dst == net.outputs[0]
    weight[to_label] *= 2 * torch.rand(int(to_label.sum())) - 1
    net.set_weight(weight)
    return net


def print_costs(name: str, model: nn.Module, proteins: int) -> None:
    """Print the parameters, the time of a step, and the memory it keeps, for 64 samples."""
    x, kept = torch.randn(64, proteins), {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        y = model(x).sum()
    for parameter in model.parameters():
        kept.pop(parameter.untyped_storage().data_ptr(), None)
    y.backward()
    seconds = min(timed(lambda: model(x).sum().backward()) for _ in range(20))
    numbers = sum(p.numel() for p in model.parameters())
    print(
        f"{name:>13}: {numbers:7,} parameters, {1e3 * seconds:6.1f} ms a step, "
        f"{sum(kept.values()) / 2**20:5.1f} MiB kept for backward"
    )


def members(layer: el.EdgeLinear) -> dict[str, Tensor]:
    """Return the proteins of each pathway that is neither too small nor too large."""
    found = defaultdict(list)
    for source, target in layer.edge_index.T.tolist():
        found[layer.out_names[target]].append(source)
    return {
        name: torch.tensor(some) for name, some in found.items() if SMALLEST <= len(some) <= LARGEST
    }


def draw_samples(
    seed: int, sets: dict[str, Tensor], proteins: int
) -> tuple[Tensor, Tensor, dict[str, float]]:
    """Return levels of proteins, labels, and the signs of the pathways that decide them.

    The activity of a pathway is the sum of the levels of its proteins over the root of their
    number. The label is true where the activities of SETS pathways, with their signs, add up to
    more than zero.
    """
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2 * SAMPLES, proteins, generator=generator)
    names = [*sets]
    chosen = torch.randperm(len(names), generator=generator)[:SETS].tolist()
    signs = (2.0 * torch.randint(2, (SETS,), generator=generator) - 1).tolist()
    decided = {names[i]: sign for i, sign in zip(chosen, signs, strict=True)}
    total = sum(s * x[:, sets[name]].sum(1) / len(sets[name]) ** 0.5 for name, s in decided.items())
    return x, (total > 0).float(), decided


def fit(model: nn.Module, x: Tensor, label: Tensor, epochs: int) -> float:
    """Train a model, and return the part of new samples that it labels rightly."""
    optimizer = torch.optim.AdamW(el.param_groups(model, weight_decay=1e-2), lr=3e-3)
    for _ in range(epochs):
        for part in torch.randperm(SAMPLES).split(100):
            optimizer.zero_grad()
            said = model(x[part]).reshape(-1)
            F.binary_cross_entropy_with_logits(said, label[part]).backward()
            optimizer.step()
    with torch.no_grad():
        right = (model(x[SAMPLES:]).reshape(-1) > 0) == label[SAMPLES:].bool()
    return float(right.float().mean())


def attribute(net: el.EdgeNetwork, x: Tensor, label: Tensor) -> Tensor:  # (num_edges,)
    """Return how much of the margin between both labels each edge is worth.

    Integrated gradients from no weights at all to the weights, of what the network says for true
    labels less what it says for false ones, in the mean of samples. They add up to that.
    """
    side = (2 * label - 1)[:, None] / len(label)

    def margin(weights: Tensor) -> Tensor:  # (steps, num_edges) -> (steps,)
        said = [functional_call(net, {"weight": weight}, (x,)) for weight in weights]
        return torch.stack([(side * y).sum() for y in said])

    weight = net.weight.detach()[None]
    given = IntegratedGradients(margin).attribute(weight, n_steps=32, internal_batch_size=1)[0]
    with torch.no_grad():
        worth = float(margin(weight) - margin(torch.zeros_like(weight)))
    print(f"a margin of {worth:.3f}, of which the edges have {float(given.sum()):.3f}")
    return given


def worth_to(net: el.EdgeNetwork, given: Tensor, target: str) -> dict[str, float]:
    """Return what each edge into a node is worth, by its source."""
    names, node = net.node_names, net.node_names.index(target)
    ends = zip(*net.edge_index.tolist(), given.tolist(), strict=True)
    return {names[s]: worth for s, t, worth in ends if t == node}


def print_found(told: dict[str, float], decided: dict[str, float]) -> None:
    """Print where the pathways that decide the label stand among all."""
    titles, order = reactome_titles(), ranking(told)
    print(f"of {len(order)} pathways, by what they tell the label, those that decide it are:")
    for name in decided:
        print(f"  number {order.index(name) + 1:4}: {titles[name]}")


def ranking(told: dict[str, float]) -> list[str]:
    return sorted(told, key=told.__getitem__, reverse=True)


def draw(
    net: el.EdgeNetwork, given: Tensor, told: dict[str, float], decided: dict[str, float]
) -> Figure:
    """Return a picture of the pathways that are worth most, and of those that decide the label."""
    ranked, titles, names = ranking(told), reactome_titles(), net.node_names
    shown = list(dict.fromkeys([*ranked[:SHOWN], *decided]))
    level = dict(zip(names, net.level.tolist(), strict=True))
    shown.sort(key=lambda name: (level[name], -told[name]))
    row = {name: i for i, name in enumerate(shown)}
    figure = Figure(figsize=(13, 1.5 + 0.3 * len(shown)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[1, 1.3])
    for s, t, worth in zip(*net.edge_index.tolist(), given.tolist(), strict=True):
        part, whole = names[s], names[t]
        if part in row and whole in row:
            left.annotate(
                "",
                (level[whole], row[whole]),
                (level[part], row[part]),
                arrowprops={
                    "arrowstyle": "->",
                    "color": BLUE if worth > 0 else GREY,
                    "connectionstyle": "arc3,rad=-0.2",
                    "shrinkB": 5,
                },
            )
    colours = [ORANGE if name in decided else BLUE for name in shown]
    left.scatter([level[name] for name in shown], range(len(shown)), c=colours, s=45, zorder=3)
    left.set_xlabel("level in the network (arrows: part of)")
    left.xaxis.get_major_locator().set_params(integer=True)
    label = {
        name: f"{textwrap.shorten(titles[name], 58, placeholder='…')}  ({ranked.index(name) + 1})"
        for name in shown
    }
    left.set_yticks(range(len(shown)), [label[name] for name in shown], parse_math=False)
    for tick, colour in zip(left.get_yticklabels(), colours, strict=True):
        tick.set_color("black" if colour == BLUE else ORANGE)
    heard = [sum(worth_to(net, given, name).values()) for name in shown]
    right.barh(range(len(shown)), [told[name] for name in shown], color=colours, height=0.7)
    right.plot(heard, range(len(shown)), "|", color="black", markersize=11, markeredgewidth=1.6)
    right.set_xlabel(
        "worth of the edge to the label (bars)\nand of the edges into the pathway (ticks)"
    )
    right.invert_yaxis()
    for axes in (left, right):
        axes.grid(axis="x", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(
        "Which edges mattered: integrated gradients of the weights, by pathway, and its rank of "
        f"{len(ranked):,}.\nIn orange, the {len(decided)} pathways whose proteins decide the label"
    )
    return figure


if __name__ == "__main__":
    main()
