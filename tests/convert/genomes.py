"""Genomes of neat-python, evolved at random."""

import random
import tempfile
from pathlib import Path

import neat
import torch
from neat.innovation import InnovationTracker
from torch.testing import assert_close

from edgelinear.networks.formula import AGGREGATIONS
from edgelinear.networks.neat import NEAT_ACTIVATIONS

SMOOTH = ("sigmoid", "tanh", "sin", "gauss", "softplus")
CLOSE = {"rtol": 1e-9, "atol": 1e-9}

CONFIG = """
[NEAT]
pop_size = 20
fitness_criterion = max
fitness_threshold = 100
reset_on_extinction = False
no_fitness_termination = False

[DefaultGenome]
num_inputs = {inputs}
num_outputs = {outputs}
num_hidden = 0
feed_forward = {feed_forward}
initial_connection = partial_direct 0.7
single_structural_mutation = False
structural_mutation_surer = default
compatibility_disjoint_coefficient = 1.0
compatibility_weight_coefficient = 0.5
conn_add_prob = 0.7
conn_delete_prob = 0.15
node_add_prob = 0.5
node_delete_prob = 0.05
activation_default = random
activation_mutate_rate = 0.1
activation_options = {activations}
aggregation_default = random
aggregation_mutate_rate = 0.1
aggregation_options = {aggregations}
enabled_default = True
enabled_mutate_rate = 0.05
enabled_rate_to_true_add = 0.0
enabled_rate_to_false_add = 0.0
{numbers}

[DefaultSpeciesSet]
compatibility_threshold = 3.0

[DefaultStagnation]
species_fitness_func = max
max_stagnation = 20
species_elitism = 2

[DefaultReproduction]
elitism = 2
survival_threshold = 0.2
min_species_size = 2
"""

NUMBER = """{name}_init_mean = {mean}
{name}_init_stdev = {scale}
{name}_init_type = gaussian
{name}_max_value = 30.0
{name}_min_value = -30.0
{name}_mutate_power = 0.5
{name}_mutate_rate = 0.7
{name}_replace_rate = 0.1
"""


def written(
    *,
    inputs=3,
    outputs=2,
    feed_forward=True,
    activations=tuple(NEAT_ACTIVATIONS),
    aggregations=AGGREGATIONS,
):
    """Return the text of a configuration."""
    scales = {"weight": (0.0, 1.0), "bias": (0.0, 0.5), "response": (1.0, 0.3)}
    return CONFIG.format(
        inputs=inputs,
        outputs=outputs,
        feed_forward=feed_forward,
        activations=" ".join(activations),
        aggregations=" ".join(aggregations),
        numbers="\n".join(
            NUMBER.format(name=name, mean=mean, scale=scale)
            for name, (mean, scale) in scales.items()
        ),
    )


def configuration(inputs=3, outputs=2, **options):
    text = written(inputs=inputs, outputs=outputs, **options)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "neat.ini")
        path.write_text(text)
        config = neat.Config(
            neat.DefaultGenome,
            neat.DefaultReproduction,
            neat.DefaultSpeciesSet,
            neat.DefaultStagnation,
            str(path),
        )
    config.genome_config.innovation_tracker = InnovationTracker()
    return config


def evolved(config, seed, mutations=40):
    """Return a genome after many mutations; every draw of neat-python is of Python's `random`."""
    random.seed(seed)
    genome = neat.DefaultGenome(0)
    genome.configure_new(config.genome_config)
    for _ in range(mutations):
        genome.mutate(config.genome_config)
    return genome


def of_neat(network, x):
    """Return what neat-python computes, sample by sample."""
    return torch.tensor([network.activate(row) for row in x.tolist()], dtype=torch.float64)


def feed_forward(genome, config):
    return neat.nn.FeedForwardNetwork.create(genome, config)


def samples(number=8, features=3):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(number, features, dtype=torch.float64, generator=generator)


def hand_made(nodes, connections, **options):
    """Return a genome of (key, bias, response, activation, aggregation) and (from, to, weight)."""
    config = configuration(**options)
    genome = neat.DefaultGenome(0)
    for key, *attributes in nodes:
        gene = genome.create_node(config.genome_config, key)
        gene.bias, gene.response, gene.activation, gene.aggregation = attributes
        genome.nodes[key] = gene
    for number, (source, target, weight) in enumerate(connections):
        genome.add_connection(config.genome_config, source, target, weight, True, number)
    return genome, config


def assert_gradients_are_differences(net, genome, total):
    """Compare gradients with central differences of what neat-python computes of a genome."""
    names, step = net.node_names, 1e-6

    def difference(gene, attribute):
        value, found = getattr(gene, attribute), []
        for moved in (value + step, value - step):
            setattr(gene, attribute, moved)
            found.append(total())
        setattr(gene, attribute, value)
        return (found[0] - found[1]) / (2 * step)

    close = {"rtol": 1e-5, "atol": 1e-7}  # of central differences
    for edge, (source, target) in enumerate(net.edge_index.T.tolist()):
        gene = genome.connections[names[source], names[target]]
        assert_close(net.weight.grad[edge], difference(gene, "weight"), **close)
    for node in range(net.in_features, net.num_nodes):
        gene = genome.nodes[names[node]]
        assert_close(net.bias.grad[node], difference(gene, "bias"), **close)
        assert_close(net.response.grad[node], difference(gene, "response"), **close)
