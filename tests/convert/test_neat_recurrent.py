"""Recurrent genomes against neat-python's own networks, and what is written back into them."""

import copy
import json

import neat
import pytest
import torch
from genomes import (
    CLOSE,
    SMOOTH,
    assert_gradients_are_differences,
    configuration,
    evolved,
    hand_made,
)
from neat.export import export_network_json
from torch.testing import assert_close

import edgelinear as el

pytestmark = pytest.mark.filterwarnings("ignore:datetime:DeprecationWarning")  # of neat-python


def recurrent(aggregations=("sum", "mean"), **options):
    return configuration(feed_forward=False, aggregations=aggregations, **options)


def of_neat(network, x):
    """Return what neat-python computes of sequences, (batch, time, outputs)."""
    found = []
    for sequence in x.tolist():
        network.reset()
        found.append([[*network.activate(row)] for row in sequence])
    return torch.tensor(found, dtype=torch.float64)


def created(genome, config):
    return neat.nn.RecurrentNetwork.create(genome, config)


# Some genomes are chaotic: a rounding grows tenfold with each step.
def sequences(batch=4, time=6, features=3):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, time, features, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("activations", [SMOOTH, ("tanh", "sigmoid", "relu", "hat", "inv", "abs")])
def test_steps_are_those_of_neat(activations, seed):
    config = recurrent(activations=activations)
    genome, x = evolved(config, seed, mutations=60), sequences()
    net = el.EdgeRNN.from_neat(genome, config)
    assert_close(net(x)[0], of_neat(created(genome, config), x), **CLOSE)


@pytest.mark.parametrize("seed", range(10))
def test_kernels_compute_what_they_know(seed):
    config = recurrent(activations=("tanh", "sigmoid", "relu", "identity"))
    genome, x = evolved(config, seed, mutations=60), sequences()
    net = el.EdgeRNN.from_neat(genome, config)
    assert net._plan.is_compiled
    assert_close(net(x)[0], of_neat(created(genome, config), x), **CLOSE)


def test_streams_go_on_as_those_of_neat():
    config = recurrent(activations=SMOOTH)
    genome, x = evolved(config, 3, mutations=60), sequences(2)
    net, expected = el.EdgeRNN.from_neat(genome, config), None
    expected = of_neat(created(genome, config), x)
    state = None
    for t in range(x.shape[1]):
        state = net.step(x[:, t], state)
        assert_close(state[:, net.outputs], expected[:, t], **CLOSE)
    first, state = net(x[:, :4])
    assert_close(torch.cat([first, net(x[:, 4:], state)[0]], 1), expected, **CLOSE)


def test_an_input_is_seen_in_its_own_step():
    nodes = [(0, 0.0, 1.0, "identity", "sum"), (1, 0.0, 1.0, "identity", "sum")]
    genome, config = hand_made(nodes, [(-1, 0, 2.0), (0, 1, 3.0)], inputs=1)
    x = torch.tensor([[[1.0], [10.0], [100.0]]], dtype=torch.float64)
    y = el.EdgeRNN.from_neat(genome, config)(x)[0]
    assert y.tolist() == [[[2.0, 0.0], [20.0, 6.0], [200.0, 60.0]]]
    assert_close(of_neat(created(genome, config), x), y)


def test_nodes_that_nothing_feeds_stay_at_0():
    nodes = [(key, 0.7, 1.0, "sigmoid", "sum") for key in range(3)]
    genome, config = hand_made(nodes, [(2, 0, 1.0), (0, 0, 0.5)], inputs=1)
    net, x = el.EdgeRNN.from_neat(genome, config), sequences(features=1)
    assert_close(net(x)[0], of_neat(created(genome, config), x), **CLOSE)
    net(x)[0].sum().backward()
    assert net.bias.grad[net.node_names.index(2)] == 0 != net.bias.grad[net.node_names.index(0)]


def forms(genome, config):
    network = created(genome, config)
    text = export_network_json(network)
    return [genome, network, text, json.loads(text)]


@pytest.mark.parametrize("form", range(4), ids=["genome", "network", "string", "dict"])
@pytest.mark.parametrize("seed", range(4))
def test_neat_runs_what_is_written_back(form, seed):
    config, x = recurrent(activations=SMOOTH), sequences()
    genome = evolved(config, seed, mutations=60)
    original = forms(genome, config)[form]
    net = el.EdgeRNN.from_neat(original, config if form == 0 else None)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    back = net.to_neat(copy.deepcopy(original))
    again = el.EdgeRNN.from_neat(back, config if form == 0 else None)
    assert_close(again(x)[0], net(x)[0], **CLOSE)
    if form < 2:
        network = created(back, config) if form == 0 else back
        assert_close(of_neat(network, x), net(x)[0], **CLOSE)


def test_gradients_are_the_differences_that_neat_computes():
    config, x = recurrent(activations=SMOOTH), sequences(2, 6)
    genome = evolved(config, 4, mutations=60)
    net = el.EdgeRNN.from_neat(genome, config)
    net(x)[0].sum().backward()
    assert_gradients_are_differences(net, genome, lambda: of_neat(created(genome, config), x).sum())


def test_other_aggregations_are_refused_with_their_node():
    nodes = [(0, 0.0, 1.0, "tanh", "sum"), (7, 0.0, 1.0, "tanh", "max")]
    genome, config = hand_made(nodes, [(-1, 7, 1.0), (7, 0, 1.0)], outputs=1)
    with pytest.raises(ValueError, match="one of sum, mean, got 'max' for node 7: a step"):
        el.EdgeRNN.from_neat(genome, config)


def test_feed_forward_networks_are_refused():
    genome, config = hand_made([(0, 0.0, 1.0, "tanh", "sum")], [(-1, 0, 1.0)], outputs=1)
    network = neat.nn.FeedForwardNetwork.create(genome, config)
    with pytest.raises(ValueError, match="use `EdgeNetwork.from_neat`"):
        el.EdgeRNN.from_neat(network)
