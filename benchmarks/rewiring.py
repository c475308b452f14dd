"""Time of `el.rewire` on a large layer that Adam trains, against making layer and optimizer anew.

And that of updates of `SET` and `RigL`, which choose these edges themselves, `RigL` among all that
are missing or in a random sample.

    python benchmarks/rewiring.py [--edges 1_500_000] [--nodes 45_669] [--rounds 10] [--updates 3]

A tenth of the edges goes and as many come. Two threads may take 0.3 s for 1.5 million edges.
"""

import argparse
import statistics
import time

import torch

import edgelinear as el

SCHEDULES = (
    ("SET", el.dynamic.SET, {}),
    ("RigL", el.dynamic.RigL, {}),
    ("RigL of a sample", el.dynamic.RigL, {"candidates": 1_500_000}),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--edges", type=int, default=1_500_000)
    parser.add_argument("--nodes", type=int, default=45_669)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--updates", type=int, default=3)
    arguments = parser.parse_args()
    nodes = arguments.nodes
    torch.manual_seed(0)
    for is_sorted in (True, False):
        topology = el.generators.erdos_renyi(nodes, nodes, num_edges=arguments.edges)
        if not is_sorted:
            order = torch.randperm(arguments.edges)
            topology = el.Topology(nodes, nodes, topology.edge_index[:, order])
        layer = el.EdgeLinear.from_topology(topology)
        optimizer = torch.optim.Adam(layer.parameters())
        times: dict[str, list[float]] = {"rewired": [], "made anew": []}
        for _ in range(arguments.rounds):
            layer(torch.randn(4, nodes)).square().mean().backward()
            optimizer.step()
            keep = torch.rand(layer.num_edges) > 0.1
            add = missing(layer, int((~keep).sum()))
            start = time.perf_counter()
            el.rewire(layer, keep=keep, add=add, weight="init", optimizer=optimizer)
            times["rewired"].append(time.perf_counter() - start)
            start = time.perf_counter()
            fresh = el.EdgeLinear(nodes, nodes, layer.edge_index)
            torch.optim.Adam(fresh.parameters())
            times["made anew"].append(time.perf_counter() - start)
        for name, kind, options in SCHEDULES:
            times[name] = []
            schedule = kind(layer, optimizer, fraction=0.1, every=1, **options)
            for _ in range(arguments.updates):
                layer(torch.randn(32, nodes)).square().mean().backward()
                optimizer.step()
                start = time.perf_counter()
                schedule.step()
                times[name].append(time.perf_counter() - start)
            del schedule  # which would go on to look at gradients
        found = (f"{name} {1e3 * statistics.median(t):.0f} ms" for name, t in times.items())
        kind = "sorted" if is_sorted else "in random order"
        print(f"{arguments.edges:,} edges {kind}, {torch.get_num_threads()} threads:", *found)


def missing(layer: el.EdgeLinear, number: int) -> torch.Tensor:
    """Return some edges, drawn at random, that the layer does not have."""
    nodes, topology = layer.in_features, layer.topology
    there = topology.dst.long() * nodes + topology.src.long()
    cells = torch.randint(nodes * layer.out_features, (number + number // 8 + 100,)).unique()
    cells = cells[~torch.isin(cells, there)]
    cells = cells[torch.randperm(len(cells))[:number]]
    return torch.stack([cells % nodes, cells // nodes])


if __name__ == "__main__":
    main()
