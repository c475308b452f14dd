"""Which edges mattered? Integrated gradients of the weights, as a table and as a picture.

A network of proteins and three levels of Reactome's pathways, in the manner of P-NET (Elmarakeby et
al. 2021), learns labels that six pathways decide. What it says for true labels, less what it says
for false ones, is then shared out among its edges, by captum: are those of the six worth most? The
extra `demo`, and captum, are needed.

    python examples/important_edges.py [--epochs 20] [--plot important_edges.png]
"""

import argparse
from collections import Counter
from pathlib import Path

import pandas as pd
import torch
import torch.nn.functional as F
from captum.attr import IntegratedGradients
from reactome_network import members
from reactome_pathways import pathway_layers
from torch import Tensor, nn
from torch.func import functional_call

import edgelinear as el
from edgelinear.data import reactome_titles

SAMPLES, TESTED = 2000, 500
SETS = 6  # pathways that decide
SHOWN = 48  # edges in the picture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--plot", type=Path, default=Path("important_edges.png"))
    arguments = parser.parse_args()

    torch.manual_seed(0)
    layers = pathway_layers()
    x, label, decide = draw_samples(layers[0])
    model = make_model(layers, decide)
    print(f"accuracy on new samples: {fit(model, x, label, arguments.epochs):.3f}")

    side = (2 * label[SAMPLES:, None] - 1) / TESTED
    worth = important_edges(model, x[SAMPLES:], side)
    edges = {at: layer for at, layer in enumerate(model) if isinstance(layer, el.EdgeLinear)}
    tables = [
        el.convert.to_table(layer).assign(worth=given.numpy())
        for layer, given in zip(edges.values(), worth, strict=True)
    ]
    for at, table in zip(edges, tables, strict=True):
        print(f"\nthe edges of layer {at} that are worth most:")
        print(table.nlargest(4, "worth").to_string(index=False))
    told = tables[1].groupby("source").worth.sum().sort_values(ascending=False)
    rank = pd.Series(range(1, len(told) + 1), told.index)
    print(f"\nof {len(told)} pathways, by what they tell, those that decide the label (*) are:")
    print(rank[rank.index.str.startswith("*")].to_string(header=False))
    figure = el.plot.network(model, scores=worth, top=SHOWN)
    figure.savefig(arguments.plot, dpi=120)
    print(f"the picture is in {arguments.plot}")


def draw_samples(layer: el.EdgeLinear) -> tuple[Tensor, Tensor, list[str]]:
    """Return levels of proteins, labels, and the pathways that decide these.

    The activity of a pathway is the sum of the levels of its proteins over the root of their
    number. The label is true where the activities of some, the last half of them less, add up to
    more than zero.
    """
    sets = members(layer)
    names = [[*sets][i] for i in torch.randperm(len(sets))[:SETS]]
    x = torch.randn(SAMPLES + TESTED, layer.in_features)
    active = torch.stack([x[:, sets[name]].sum(1) / len(sets[name]) ** 0.5 for name in names])
    return x, (active[: SETS // 2].sum(0) > active[SETS // 2 :].sum(0)).float(), names


def make_model(layers: list[el.EdgeLinear], decide: list[str]) -> nn.Sequential:
    """Return pathways that start as sums over the root of their terms, and a label above them.

    All proteins of a pathway count alike, and stay so: 33,002 weights would learn 2,000 samples by
    heart.
    """
    modules: list[nn.Module] = []
    for layer in layers:
        topology = layer.topology
        layer.set_weight(topology.fan_in[topology.dst].rsqrt())
        layer.in_names = named(layer.in_names, decide)
        layer.out_names = named(layer.out_names, decide)
        modules += [layer, nn.Tanh()]
    layers[0].requires_grad_(False)
    top = layers[-1].out_names
    pairs = [(i, 0) for i in range(len(top))]
    return nn.Sequential(
        *modules, el.EdgeLinear(len(top), 1, pairs, in_names=top, out_names=["label"])
    )


def named(nodes: list[str], decide: list[str]) -> list[str]:
    """Return the titles of pathways, with a star if they decide, and other nodes as they are.

    Where two have one title, their identifiers come with it.
    """
    titles = reactome_titles()
    number = Counter(titles.values())
    found = []
    for node in nodes:
        title = titles.get(node, node)
        title = f"{title} ({node})" if number[title] > 1 else title
        found.append(f"* {title}" if node in decide else title)
    return found


def fit(model: nn.Module, x: Tensor, label: Tensor, epochs: int) -> float:
    """Train a model, and return the part of new samples that it labels rightly."""
    optimizer = torch.optim.AdamW(el.param_groups(model, weight_decay=1e-2), lr=1e-2)
    for _ in range(epochs):
        for part in torch.randperm(SAMPLES).split(100):
            optimizer.zero_grad()
            F.binary_cross_entropy_with_logits(model(x[part])[:, 0], label[part]).backward()
            optimizer.step()
    with torch.no_grad():
        right = (model(x[SAMPLES:])[:, 0] > 0) == label[SAMPLES:].bool()
    return float(right.float().mean())


def important_edges(model: nn.Module, x: Tensor, side: Tensor) -> list[Tensor]:
    """Return what each edge of each EdgeLinear is worth: a list of (num_edges,), a layer once.

    Integrated gradients, from no weights at all to the weights, of what the model says times
    `side`, summed over samples and outputs. They add up to what the weights change of that.
    """
    modules = model.named_modules()
    found = [f"{name}.weight" for name, one in modules if isinstance(one, el.EdgeLinear)]
    weights = tuple(model.get_parameter(name).detach()[None] for name in found)

    def said(*sets: Tensor) -> Tensor:  # (steps, num_edges) of each layer -> (steps,)
        rows = (dict(zip(found, row, strict=True)) for row in zip(*sets, strict=True))
        return torch.stack([(side * functional_call(model, row, (x,))).sum() for row in rows])

    worth = IntegratedGradients(said).attribute(weights, n_steps=64)
    return [given[0].detach() for given in worth]


if __name__ == "__main__":
    main()
