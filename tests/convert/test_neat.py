"""Genomes of NEAT against neat-python's own networks, and what is written back into them."""

import copy
import json
import pickle

import neat
import pytest
import torch
from genomes import (
    CLOSE,
    SMOOTH,
    assert_gradients_are_differences,
    configuration,
    evolved,
    feed_forward,
    hand_made,
    of_neat,
    samples,
)
from neat.export import export_network_json
from torch.testing import assert_close

import edgelinear as el
from edgelinear.networks.activations import ACTIVATIONS
from edgelinear.networks.formula import AGGREGATIONS
from edgelinear.networks.neat import NEAT_ACTIVATIONS


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize(
    "options",
    [{}, {"aggregations": ("sum", "mean")}, {"activations": SMOOTH}],
    ids=["all", "sums", "smooth"],
)
def test_outputs_are_those_of_neat(options, seed):
    config = configuration(**options)
    genome = evolved(config, seed)
    x = samples()
    net = el.EdgeNetwork.from_neat(genome, config)
    assert_close(net(x), of_neat(feed_forward(genome, config), x), **CLOSE)


@pytest.mark.parametrize("name", NEAT_ACTIVATIONS)
def test_activation_is_that_of_neat(name):
    z = torch.cat([torch.linspace(-4, 4, 161), torch.tensor([-1e3, -13.0, 13.0, 1e3])]).double()
    ours = NEAT_ACTIVATIONS[name]
    ours = ACTIVATIONS[ours].function if isinstance(ours, str) else ours
    theirs = configuration().genome_config.activation_defs.get(name)
    expected = [theirs(value) for value in z.tolist()]
    assert_close(ours(z), torch.tensor(expected, dtype=torch.float64), **CLOSE)


def test_every_function_of_neat_is_known():
    config = configuration().genome_config
    assert {*config.activation_defs.functions} == {*NEAT_ACTIVATIONS}
    assert {*config.aggregation_defs.functions} == {*AGGREGATIONS}


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("fan_in", [0, 1, 2, 3, 4, 7])
def test_aggregation_is_that_of_neat(aggregation, fan_in):
    nodes = [(0, 0.3, -1.7, "identity", aggregation), (1, 0.0, 1.0, "tanh", "sum")]
    connections = [(-1 - i, 0, 1.5 - i) for i in range(fan_in)] + [(-1, 1, 1.0)]
    genome, config = hand_made(nodes, connections, inputs=7)
    x = samples(features=7)
    net = el.EdgeNetwork.from_neat(genome, config)
    assert_close(net(x), of_neat(feed_forward(genome, config), x), **CLOSE)


def test_of_equal_magnitudes_the_first_connection_counts():
    nodes = [(0, 0.0, 1.0, "identity", "maxabs"), (1, 0.0, 1.0, "identity", "maxabs")]
    connections = [(-2, 0, 1.0), (-1, 0, 1.0), (-1, 1, 1.0), (-2, 1, 1.0)]
    genome, config = hand_made(nodes, connections, inputs=2)
    net = el.EdgeNetwork.from_neat(genome, config)
    assert net(torch.tensor([[1.0, -1.0]], dtype=torch.float64)).tolist() == [[-1.0, 1.0]]
    assert feed_forward(genome, config).activate([1.0, -1.0]) == [-1.0, 1.0]


def test_genome_without_a_connection_gives_constants():
    nodes = [(0, 0.3, 1.0, "sigmoid", "product"), (1, -0.5, 2.0, "tanh", "sum")]
    genome, config = hand_made(nodes, [])
    x = samples()
    net = el.EdgeNetwork.from_neat(genome, config)
    assert_close(net(x), of_neat(feed_forward(genome, config), x), **CLOSE)


def test_nodes_that_no_output_needs_and_disabled_connections_are_left_out():
    nodes = [(key, 0.1 * key, 1.0, "tanh", "sum") for key in range(6)]
    connections = [(-1, 0, 1.0), (-1, 2, 1.0), (2, 1, 0.5), (3, 1, 2.0), (-2, 4, 1.0), (4, 5, 1.0)]
    genome, config = hand_made(nodes, connections)
    genome.connections[2, 1].enabled = False
    net = el.EdgeNetwork.from_neat(genome, config)
    assert net.node_names == [-1, -2, -3, 0, 1, 3]
    assert net.num_edges == 2
    assert_close(net(samples()), of_neat(feed_forward(genome, config), samples()), **CLOSE)


def forms(genome, config, folder):
    network = feed_forward(genome, config)
    text = export_network_json(network, str(folder / "network.json"), {"fitness": 1.0})
    return [network, text, json.loads(text), folder / "network.json"]


@pytest.mark.filterwarnings("ignore:datetime:DeprecationWarning")  # of neat-python
@pytest.mark.parametrize("seed", range(5))
def test_genes_networks_and_json_say_the_same(seed, tmp_path):
    config = configuration()
    genome = evolved(config, seed)
    expected = el.EdgeNetwork.from_neat(genome, config)(samples())
    for form in forms(genome, config, tmp_path):
        assert_close(el.EdgeNetwork.from_neat(form)(samples()), expected, **CLOSE)


def trained(net):
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in net.parameters():
            change = torch.randn(parameter.shape, dtype=torch.float64, generator=generator)
            parameter += 0.3 * change
    return net


@pytest.mark.parametrize("seed", range(10))
def test_neat_runs_what_is_written_back(seed):
    config = configuration()
    genome = evolved(config, seed)
    net = trained(el.EdgeNetwork.from_neat(genome, config))
    assert net.to_neat(genome) is genome
    assert_close(of_neat(feed_forward(genome, config), samples()), net(samples()), **CLOSE)
    genome.mutate(config.genome_config)  # evolution goes on


@pytest.mark.filterwarnings("ignore:datetime:DeprecationWarning")
@pytest.mark.parametrize("form", range(4), ids=["network", "string", "dict", "path"])
def test_every_form_takes_numbers_back(form, tmp_path):
    config = configuration()
    original = forms(evolved(config, 3), config, tmp_path)[form]
    net = trained(el.EdgeNetwork.from_neat(original))
    before = copy.deepcopy(original)
    back = net.to_neat(original)
    assert type(back) is (type(original) if form in (0, 1, 2) else str)
    if form:
        assert original == before
    assert_close(el.EdgeNetwork.from_neat(back)(samples()), net(samples()), **CLOSE)
    if form == 0:
        assert_close(of_neat(back, samples()), net(samples()), **CLOSE)


def test_genes_that_were_left_out_stay_as_they_are():
    nodes = [(key, 0.5, 1.0, "tanh", "sum") for key in range(4)]
    genome, config = hand_made(nodes, [(-1, 0, 1.0), (-1, 1, 2.0), (-1, 3, 4.0)])
    genome.connections[-1, 1].enabled = False
    trained(el.EdgeNetwork.from_neat(genome, config)).to_neat(genome)
    assert genome.connections[-1, 0].weight != 1.0
    assert genome.connections[-1, 1].weight == 2.0
    assert genome.connections[-1, 3].weight == 4.0
    assert genome.nodes[3].bias == 0.5


def test_gradients_are_the_differences_that_neat_computes():
    config = configuration(activations=SMOOTH)
    genome = evolved(config, 4, mutations=60)
    x = samples(5)
    net = el.EdgeNetwork.from_neat(genome, config)
    net(x).sum().backward()
    assert_gradients_are_differences(
        net, genome, lambda: of_neat(feed_forward(genome, config), x).sum()
    )


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_gradcheck_of_aggregations(aggregation):
    config = configuration(activations=("tanh", "sin"), aggregations=(aggregation,))
    net = el.EdgeNetwork.from_neat(evolved(config, 2), config)
    x = samples(3)

    def outputs(*parameters):
        names = [name for name, _ in net.named_parameters()]
        return torch.func.functional_call(net, dict(zip(names, parameters, strict=True)), (x,))

    assert torch.autograd.gradcheck(outputs, tuple(net.parameters()))


@pytest.mark.parametrize("name", [*NEAT_ACTIVATIONS])
def test_activations_give_finite_gradients_everywhere(name):
    function = NEAT_ACTIVATIONS[name]
    function = ACTIVATIONS[function].function if isinstance(function, str) else function
    z = torch.tensor([-100.0, -1.0, 0.0, 1.0, 100.0], requires_grad=True)
    function(z).sum().backward()
    assert z.grad.isfinite().all()


def test_network_of_a_genome_is_pickled():
    config = configuration()
    net = el.EdgeNetwork.from_neat(evolved(config, 5), config)
    assert torch.equal(pickle.loads(pickle.dumps(net))(samples()), net(samples()))


def test_network_of_a_genome_can_be_float32():
    config = configuration(activations=SMOOTH)
    genome = evolved(config, 6)
    net = el.EdgeNetwork.from_neat(genome, config, dtype=torch.float32)
    expected = of_neat(feed_forward(genome, config), samples()).float()
    assert_close(net(samples().float()), expected, rtol=1e-4, atol=1e-4)


def steps(genome, x):
    """Return the outputs of each step, from a loop over what the importer found."""
    names = genome.node_names
    values = torch.zeros(len(names), dtype=torch.float64)
    src, dst = genome.edge_index
    found = []
    for row in x:
        values[: len(row)] = row
        new = values.clone()
        for node in range(len(row), len(names)):
            parts = genome.weight[dst == node] * values[src[dst == node]]
            assert genome.aggregations[node] == "sum"
            z = genome.bias[node] + genome.response[node] * parts.sum()
            f = genome.activations[node]
            new[node] = (ACTIVATIONS[f].function if isinstance(f, str) else f)(z)
        values = new
        found.append(values[[names.index(key) for key in genome.outputs]])
    return torch.stack(found)


@pytest.mark.filterwarnings("ignore:datetime:DeprecationWarning")
@pytest.mark.parametrize("seed", range(10))
def test_recurrent_genome_says_what_neat_computes_step_by_step(seed):
    config = configuration(feed_forward=False, activations=SMOOTH, aggregations=("sum",))
    genome = evolved(config, seed, mutations=60)
    network = neat.nn.RecurrentNetwork.create(genome, config)
    x = samples(8)
    expected = of_neat(network, x)
    for found in (
        el.convert.from_neat(genome, config),
        el.convert.from_neat(network),
        el.convert.from_neat(export_network_json(network)),
    ):
        assert found.is_recurrent
        assert_close(steps(found, x), expected, **CLOSE)
        back = el.convert.to_neat(found._replace(weight=found.weight * 1.1), network)
        again = el.convert.from_neat(back)
        assert_close(sorted(again.weight.tolist()), sorted((found.weight * 1.1).tolist()))
        el.convert.to_neat(found, network)


def loop():
    nodes = [(key, 0.0, 1.0, "tanh", "sum") for key in range(4)]
    return hand_made(nodes, [(-1, 2, 1.0), (2, 3, 1.0), (3, 2, 1.0), (3, 0, 1.0)])


def test_cycles_are_refused_by_a_network_without_steps():
    with pytest.raises(ValueError, match=r"got 2 -> 3 -> 2: for a .* use `EdgeRNN.from_neat`"):
        el.EdgeNetwork.from_neat(*loop())
    genome, config = loop()
    network = neat.nn.RecurrentNetwork.create(genome, config)
    with pytest.raises(ValueError, match="use `EdgeRNN.from_neat`"):
        el.EdgeNetwork.from_neat(network)
    with pytest.raises(ValueError, match="is a feed-forward network"):
        el.convert.from_neat(feed_forward(genome, config), recurrent=True)


def test_cycle_that_no_output_needs_is_left_out():
    genome, config = loop()
    del genome.connections[3, 0]
    net = el.EdgeNetwork.from_neat(genome, config)
    assert_close(net(samples()), of_neat(feed_forward(genome, config), samples()))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, "1"])
def test_numbers_that_are_none_are_refused_with_their_gene(value):
    genome, config = hand_made([(0, 0.0, 1.0, "tanh", "sum")], [(-1, 0, 1.0)], outputs=1)
    genome.connections[-1, 0].weight = value
    with pytest.raises(ValueError, match="as the weight of connection -1 -> 0"):
        el.EdgeNetwork.from_neat(genome, config)
    genome.connections[-1, 0].weight = 1.0
    genome.nodes[0].response = value
    with pytest.raises(ValueError, match="as the response of node 0"):
        el.EdgeNetwork.from_neat(genome, config)


def tripled(z):
    return 3.0 * z


def test_functions_of_ones_own_are_passed_by_name():
    genome, config = hand_made([(0, 0.5, 1.0, "tanh", "sum")], [(-1, 0, 1.0)], outputs=1)
    genome.nodes[0].activation = "tripled"
    config.genome_config.add_activation("tripled", tripled)
    with pytest.raises(ValueError, match=r"node 0 has the activation 'tripled'.*activations="):
        el.EdgeNetwork.from_neat(genome, config)
    net = el.EdgeNetwork.from_neat(genome, config, activations={"tripled": tripled})
    assert_close(net(samples()), of_neat(feed_forward(genome, config), samples()), **CLOSE)
    network = feed_forward(genome, config)
    assert_close(
        el.EdgeNetwork.from_neat(network, activations={"tripled": tripled})(samples()),
        net(samples()),
    )
    config.genome_config.add_activation("tanh", tripled)  # in the place of neat-python's
    genome.nodes[0].activation = "tanh"
    with pytest.raises(ValueError, match="node 0 has the activation 'tanh'"):
        el.EdgeNetwork.from_neat(genome, config)


def test_aggregations_of_ones_own_are_refused():
    genome, config = hand_made([(0, 0.5, 1.0, "tanh", "sum")], [(-1, 0, 1.0)], outputs=1)
    config.genome_config.add_aggregation("last", lambda values: values[-1])
    genome.nodes[0].aggregation = "last"
    with pytest.raises(ValueError, match="node 0 has the aggregation 'last', and only those"):
        el.EdgeNetwork.from_neat(genome, config)


@pytest.mark.parametrize(
    ("genome", "error", "message"),
    [
        (3, TypeError, "a path, a string or a dict"),
        ("{", ValueError, "cannot be read as JSON"),
        ({}, ValueError, "the field 'network_type' in the network"),
        ({"network_type": "ctrnn"}, ValueError, "got 'ctrnn'"),
        ({"network_type": "feedforward", "topology": {}}, ValueError, "'input_keys'"),
    ],
)
def test_what_is_no_genome_is_refused(genome, error, message):
    with pytest.raises(error, match=message):
        el.EdgeNetwork.from_neat(genome)


def test_genes_need_their_configuration():
    with pytest.raises(TypeError, match="`config` must be the configuration of the genome"):
        el.EdgeNetwork.from_neat(evolved(configuration(), 0))


def test_other_neurons_are_refused():
    network = neat.ctrnn.CTRNN([-1], [0], {})
    with pytest.raises(TypeError, match="got CTRNN"):
        el.EdgeNetwork.from_neat(network)


def test_numbers_go_into_no_other_genome():
    genome, config = hand_made([(0, 0.0, 1.0, "tanh", "sum")], [(-1, 0, 1.0)], outputs=1)
    net = el.EdgeNetwork.from_neat(genome, config)
    genome.connections[-1, 0].enabled = False
    with pytest.raises(ValueError, match="-1 -> 0 is no enabled one of it"):
        net.to_neat(genome)
    genome.connections[-1, 0].enabled = True
    with torch.no_grad():
        net.bias[:] = torch.nan
    with pytest.raises(ValueError, match="must have finite biases"):
        net.to_neat(genome)
    with pytest.raises(ValueError, match="`node_names` must be the keys"):
        el.EdgeNetwork(2, [(0, 1)], [0], [1]).to_neat(genome)
