"""Controls of one wiring, and scores that tell it from others or do not."""

import torch

import edgelinear as el

TOPOLOGY = el.generators.erdos_renyi(
    30, 20, num_edges=100, generator=torch.Generator().manual_seed(99)
)


def run(train, **options):
    options = {"seeds": range(6), "progress": False} | options
    return el.controls(el.EdgeLinear.from_topology, TOPOLOGY, train, **options)


def overlap(model, seed):
    """Return how many edges of the true wiring a model has: a score that wiring alone decides."""
    edges = set(map(tuple, model.edge_index.T.tolist()))
    return len(edges & set(map(tuple, TOPOLOGY.edge_index.T.tolist())))


def constant(model, seed, score=0.5):
    return score


def null_model(topology, *, generator):
    return topology
