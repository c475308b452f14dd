"""A graph network on `edge_linear`: who left Zachary's karate club with whom?

Each layer mixes channels densely and neighbours along edges, with nodes on axis -2. The edges start
as the mean over the neighbours; trained or frozen makes a difference worth seeing: 17 known members
are too few to learn 380 edge weights from. At first a layer is a graph convolution of PyG, with
which it is compared where PyG is installed.

    python examples/karate_club.py [--steps 100]

Data: the karate club graph that networkx ships (Zachary 1977, 34 members, 78 friendships).
"""

import argparse

import networkx as nx
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import edgelinear as el


class GraphLayer(nn.Module):
    """Mix channels, then neighbours: (*, nodes, in_channels) -> (*, nodes, out_channels)."""

    def __init__(self, topology: el.Topology, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.channels = nn.Linear(in_channels, out_channels)
        mean = 1 / topology.fan_in[topology.dst]
        self.edges = el.EdgeLinear.from_topology(topology, weight=mean, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        edges = self.edges
        return el.edge_linear(self.channels(x), edges.weight, edges.topology, dim=-2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=100)
    arguments = parser.parse_args()

    graph = nx.karate_club_graph().to_directed()
    graph.add_edges_from((node, node) for node in list(graph))  # each member hears itself too
    for _, _, attributes in graph.edges(data=True):
        attributes.clear()  # the published weights count meetings, and loops have none
    topology = el.convert.from_networkx(graph).topology
    clubs = torch.tensor([graph.nodes[n]["club"] == "Officer" for n in graph]).long()
    print(topology)
    compare_with_pyg(topology)

    for edges in ("frozen", "trained"):
        torch.manual_seed(0)
        model = nn.Sequential(GraphLayer(topology, 34, 16), nn.Tanh(), GraphLayer(topology, 16, 2))
        for layer in (model[0], model[2]):
            layer.edges.requires_grad_(edges == "trained")
        order = torch.randperm(34)
        loss, right = train(model, clubs, order[:17], order[17:], arguments.steps)
        print(f"edges {edges:8} loss {loss:.3f}, {right} of the 17 other members right")


def compare_with_pyg(topology: el.Topology) -> None:
    """Print how far a layer is from PyG's convolution by the mean, with the same channels."""
    try:
        from torch_geometric.nn import SimpleConv
    except ImportError:
        print("PyG is not installed: nothing to compare with")
        return
    layer = GraphLayer(topology, 34, 16)
    x = torch.randn(34, 34)
    theirs = SimpleConv(aggr="mean")(layer.channels(x), topology.edge_index)
    difference = float((layer(x) - theirs).abs().max().detach())
    print(f"a layer and PyG's mean convolution differ by {difference:.1e} at most")
    assert difference < 1e-5


def train(model: nn.Module, clubs: Tensor, known: Tensor, others: Tensor, steps: int) -> tuple:
    """Return the last loss on the known members, and how many others are placed rightly."""
    optimizer = torch.optim.Adam(el.param_groups(model, weight_decay=5e-4), lr=1e-2)
    x = torch.eye(34)
    loss = torch.tensor(0.0)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x)[known], clubs[known])
        loss.backward()
        optimizer.step()
    return loss.item(), (model(x).argmax(1) == clubs)[others].sum().item()


if __name__ == "__main__":
    main()
