"""One update as the papers say it, on a dense matrix, edge by edge."""

import torch

import edgelinear as el


def pairs(layer):
    return [tuple(edge) for edge in layer.edge_index.t().tolist()]


def by_edge(layer, values):
    return dict(zip(pairs(layer), values.tolist(), strict=True))


def layer_of(sizes, number, seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    topology = el.generators.erdos_renyi(*sizes, num_edges=number, generator=generator)
    layer = el.EdgeLinear.from_topology(topology, dtype=torch.float64, **options)
    with torch.no_grad():
        for parameter in layer.parameters():
            values = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(values)
    return layer


def dropped_by_hand(layer, number):
    """Return the `number` edges with the smallest weights."""
    weights = by_edge(layer, layer.weight.detach().abs())
    return sorted(weights, key=weights.get)[:number]


def grown_by_hand(gradient, layer, dropped, per):
    """Return the missing edges with the largest gradients, of a dense (out, in) gradient."""
    there = set(pairs(layer)) - set(dropped)
    targets, sources = gradient.shape
    missing = [(s, t) for t in range(targets) for s in range(sources) if (s, t) not in there]
    missing.sort(key=lambda edge: -abs(float(gradient[edge[1], edge[0]])))
    if per == "layer":
        return missing[: len(dropped)]
    grown = []
    for target in range(targets):
        lost = sum(1 for edge in dropped if edge[1] == target)
        grown += [edge for edge in missing if edge[1] == target][:lost]
    return grown
