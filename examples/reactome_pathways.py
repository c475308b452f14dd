"""A network of proteins and pathways, and whether its wiring mattered.

Proteins feed pathways, and pathways the larger ones that they are part of, in the manner of P-NET
(Elmarakeby et al. 2021): three layers whose edges are those of Reactome. The network is compared
with dense masked layers; then it is trained on labels of two kinds, drawn from models that are
stated below. In one, pathways decide; in the other, random sets of proteins do. `el.controls` must
tell the two apart.

    python examples/reactome_pathways.py [--seeds 8] [--epochs 10] [--plot reactome_pathways.png]
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Hashable
from pathlib import Path

import networkx as nx
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import edgelinear as el
from edgelinear.data import reactome, reactome_hierarchy, reactome_titles

LEVELS = 3  # of pathways: top-level ones, their parts, and the parts of these
SAMPLES = 500  # to train on, and as many to test
SETS, SMALLEST, LARGEST = 6, 30, 200  # sets of proteins that decide, and their sizes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--plot", type=Path, default=Path("reactome_pathways.png"))
    arguments = parser.parse_args()

    layers = pathway_layers()
    model = PathwayNet([layer.topology for layer in layers])
    for layer in layers:
        print(layer.topology)
    titles = reactome_titles()
    part, whole = layers[-1].edge_index[:, 0].tolist()
    print(el.convert.explain(layers[-1], 0))
    print(f"  {titles[layers[-1].in_names[part]]}, part of {titles[layers[-1].out_names[whole]]}")
    compare_with_masked(model)

    reports = {}
    for pathways_decide in (True, False):
        groups = pathway_sets(layers[0]) if pathways_decide else None

        def train(model: nn.Module, seed: int, groups: list[Tensor] | None = groups) -> float:
            return accuracy_after_training(model, seed, groups, arguments.epochs)

        report = el.controls(
            PathwayNet,
            [layer.topology for layer in layers],
            train,
            seeds=range(arguments.seeds),
        )
        kind = f"labels by {'pathways' if pathways_decide else 'random sets'}"
        print(f"\n{kind}:\n{report}")
        reports[kind] = report
    el.plot.controls(reports).savefig(arguments.plot, dpi=120)
    print(f"the picture is in {arguments.plot}")


def pathway_layers() -> list[el.EdgeLinear]:
    """Return layers from proteins to parts of parts, to parts, to top-level pathways.

    The depth of a pathway is its distance from the top. Proteins join the deepest of the levels, by
    way of the pathways below it. A pathway that ends above it, or has proteins of its own there, is
    copied down to it, so that no connection skips a layer.
    """
    proteins, hierarchy = reactome(), reactome_hierarchy()
    graph = nx.DiGraph()  # from the whole to its parts
    src, dst = hierarchy.topology.edge_index.tolist()
    graph.add_edges_from(
        (hierarchy.out_names[t], hierarchy.in_names[s]) for s, t in zip(src, dst, strict=True)
    )
    roots = [pathway for pathway, degree in graph.in_degree if degree == 0]
    depth = {p: d for d, layer in enumerate(nx.bfs_layers(graph, roots)) for p in layer}

    edges: list[set[tuple[Hashable, str]]] = [set() for _ in range(LEVELS)]
    alone, deepest = set(), LEVELS - 1
    above = {p: {a for a in nx.ancestors(graph, p) | {p} if depth[a] == deepest} for p in depth}
    src, dst = proteins.topology.edge_index.tolist()
    for s, t in zip(src, dst, strict=True):
        protein, pathway = proteins.in_names[s], proteins.out_names[t]
        if pathway not in depth:
            alone.add(pathway)
        elif depth[pathway] < deepest:
            edges[0].add((protein, pathway))  # to its copy
        else:
            edges[0].update((protein, a) for a in above[pathway])
    reached = {pathway for _, pathway in edges[0]}
    for level in range(1, LEVELS):
        here = deepest - level  # the depth of the targets
        for pathway in reached:
            if depth[pathway] <= here:
                edges[level].add((pathway, pathway))
            else:
                parents = (p for p in graph.predecessors(pathway) if depth[p] == here)
                edges[level].update((pathway, parent) for parent in parents)
        reached = {pathway for _, pathway in edges[level]}
    print(f"left out: {len(alone)} pathways that are part of none and have no parts")

    names = [sorted({source for source, _ in pairs}) for pairs in edges]
    names.append(sorted({target for _, target in edges[-1]}))
    layers = []
    for pairs, sources, targets in zip(edges, names[:-1], names[1:], strict=True):
        table = pd.DataFrame(pairs, columns=["source", "target"])
        wiring = el.convert.from_table(table, in_names=sources, out_names=targets, sort=True)
        layers.append(el.EdgeLinear.from_wiring(wiring))
    return layers


class PathwayNet(nn.Module):
    """Layers of pathways, each of which says something of the label: (*, proteins) -> (*,)."""

    def __init__(self, topologies: list[el.Topology]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(map(start_as_sums, topologies))
        self.heads = nn.ModuleList(nn.Linear(t.out_features, 1) for t in topologies)

    def forward(self, x: Tensor) -> Tensor:
        said = 0.0
        for layer, head in zip(self.layers, self.heads, strict=True):
            x = torch.tanh(layer(x))
            said = said + head(x)[..., 0]
        return said


def start_as_sums(topology: el.Topology) -> el.EdgeLinear:
    """Return a layer whose outputs start as the sum of their inputs over the root of its terms."""
    weight = topology.fan_in[topology.dst].rsqrt()
    return el.EdgeLinear.from_topology(topology, weight=weight)


def compare_with_masked(model: PathwayNet) -> None:
    """Print that a twin of masked dense layers computes the same, and what both take."""
    topologies = [layer.topology for layer in model.layers]
    twin = PathwayNet(topologies)
    twin.heads = model.heads
    twin.layers = nn.ModuleList(layer.to_masked_linear() for layer in model.layers)
    x = torch.randn(64, topologies[0].in_features)
    with torch.no_grad():
        print(f"outputs differ by {float((model(x) - twin(x)).abs().max()):.1e} at most")
    for name, net in (("edges", model), ("masked", twin)):
        numbers = sum(p.numel() for p in net.layers.parameters())
        seconds = min(timed(lambda net=net: net(x).sum().backward()) for _ in range(5))
        mebibytes = 3 * 4 * numbers / 2**20  # with the two moments of Adam
        print(
            f"{name:>8}: {numbers:>12,} parameters, {mebibytes:7.1f} MiB with Adam's moments, "
            f"{1e3 * seconds:6.1f} ms a step"
        )


def timed(call: Callable) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def pathway_sets(layer: el.EdgeLinear) -> list[Tensor]:
    """Return the proteins of each pathway that is neither too small nor too large."""
    members = defaultdict(list)
    for source, target in layer.edge_index.T.tolist():
        members[target].append(source)
    sets = (torch.tensor(found) for found in members.values())
    return [found for found in sets if SMALLEST <= len(found) <= LARGEST]


def draw_samples(seed: int, groups: list[Tensor] | None, proteins: int) -> tuple[Tensor, Tensor]:
    """Return levels of proteins, standard normal, and the label that some sets of them decide.

    The activity of a set is the sum of its levels over the root of its size. The label is true
    where the activities of SETS sets add up to more than zero, each with a random sign. Sets are
    drawn from `groups`, or else are random ones of sizes in the same range.
    """
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2 * SAMPLES, proteins, generator=generator)
    total = torch.zeros(2 * SAMPLES)
    for _ in range(SETS):
        if groups is None:
            size = int(torch.randint(SMALLEST, LARGEST, (), generator=generator))
            chosen = torch.randperm(proteins, generator=generator)[:size]
        else:
            chosen = groups[int(torch.randint(len(groups), (), generator=generator))]
        sign = 1.0 if torch.rand((), generator=generator) < 0.5 else -1.0
        total += sign * x[:, chosen].sum(1) / len(chosen) ** 0.5
    return x, (total > 0).float()


def accuracy_after_training(
    model: nn.Module, seed: int, groups: list[Tensor] | None, epochs: int
) -> float:
    """Return the part of new samples that a model labels rightly."""
    x, label = draw_samples(seed, groups, model.layers[0].in_features)
    optimizer = torch.optim.AdamW(el.param_groups(model, weight_decay=1e-2), lr=3e-3)
    for _ in range(epochs):
        for part in torch.randperm(SAMPLES).split(100):
            optimizer.zero_grad()
            F.binary_cross_entropy_with_logits(model(x[part]), label[part]).backward()
            optimizer.step()
    with torch.no_grad():
        right = (model(x[SAMPLES:]) > 0) == label[SAMPLES:].bool()
    return float(right.float().mean())


if __name__ == "__main__":
    main()
