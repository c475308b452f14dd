"""EdgeNetwork against a loop over nodes in float64: values, gradients, and what it refuses."""

import copy
import pickle

import numpy as np
import pytest
import torch
from graphs import node_by_node, random_dag
from torch.testing import assert_close

import edgelinear as el
from edgelinear.networks import passes

BACKENDS = ("cpp", "torch_csr", "reference")
COMPILED = ["tanh", "relu", "identity", "sigmoid"]
MIXED = ["tanh", "sin", "gelu", "relu"]


def network(
    activations=COMPILED, nodes=40, edges=150, inputs=5, outputs=(39, 38, 37, 20), **options
):
    ends = random_dag(nodes, edges, inputs)
    each = [activations[node % len(activations)] for node in range(nodes)]
    options = {"dtype": torch.float64} | options
    net = el.EdgeNetwork(nodes, ends, range(inputs), outputs, activation=each, **options)
    if net.bias is not None:
        torch.nn.init.normal_(net.bias)
    return net, ends


def truth(net, ends, x):
    every = node_by_node(ends, net.inputs.tolist(), net.weight, net.bias, net.activations, x)
    return every, every[:, net.outputs]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("batch", [1, 3, 8, 16, 33, 130])
@pytest.mark.parametrize("activations", [COMPILED, MIXED], ids=["compiled", "mixed"])
def test_values_and_gradients_are_those_of_a_loop_over_nodes(activations, batch, backend):
    net, ends = network(activations, backend=backend)
    x = torch.randn(batch, 5, dtype=torch.float64, requires_grad=True)
    every, expected = truth(net, ends, x)
    assert_close(net.nodes(x), every)
    y = net(x)
    assert_close(y, expected)
    grad = torch.randn_like(y)
    wanted = torch.autograd.grad(expected, (net.weight, net.bias, x), grad)
    assert_close(torch.autograd.grad(y, (net.weight, net.bias, x), grad), wanted)


def test_weights_that_all_threads_put_into_order_are_those_given():
    net, _ = network(["tanh"], nodes=2_000, edges=70_000, inputs=100, outputs=range(1900, 2000))
    assert net.num_edges >= passes._MANY_EDGES
    x = torch.randn(2, 100, dtype=torch.float64)
    expected, *wanted = value_and_gradients(net, x, "reference")
    found, *gradients = value_and_gradients(net, x, "cpp")
    assert_close(found, expected)
    assert_close(gradients, wanted)


def value_and_gradients(net, x, backend):
    net.backend = backend
    y = net(x)
    return y, *torch.autograd.grad(y.square().sum(), net.parameters())


@pytest.mark.parametrize("activations", [COMPILED, MIXED], ids=["compiled", "mixed"])
def test_second_derivatives_are_those_of_a_loop_over_nodes(activations):
    net, ends = network(activations)
    x = torch.randn(6, 5, dtype=torch.float64, requires_grad=True)
    wanted, found = (
        torch.autograd.grad(
            sum(
                g.square().sum()
                for g in torch.autograd.grad(
                    y.square().sum(), (net.weight, net.bias, x), create_graph=True
                )
            ),
            (net.weight, net.bias, x),
        )
        for y in (truth(net, ends, x)[1], net(x))
    )
    assert_close(found, wanted)


@pytest.mark.parametrize("batch", [1, 5, 16, 40, 200])
def test_bits_depend_neither_on_threads_nor_on_the_batch(batch):
    net, _ = network(nodes=400, edges=9000, outputs=range(380, 400), dtype=torch.float32)
    x = torch.randn(batch, 5)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = net.nodes(x)
        alone = torch.cat([net.nodes(sample[None]) for sample in x])
        torch.set_num_threads(4)
        four = net.nodes(x)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(one, four)
    assert torch.equal(one, alone)


def test_chain_of_many_levels():
    number = 1000
    edges = np.stack([np.arange(number - 1), np.arange(1, number)])
    net = el.EdgeNetwork(
        number, edges, [0], [number - 1], activation="identity", weight=np.full(number - 1, 1.001),
        dtype=torch.float64,
    )  # fmt: skip
    x = torch.ones(3, 1, dtype=torch.float64)
    assert_close(net(x), torch.full_like(x, 1.001 ** (number - 1)))
    assert net.num_levels == number
    assert net.level.tolist() == list(range(number))


def test_copies_and_pickles_compute_the_same():
    net, _ = network(["relu", "tanh"])
    x = torch.randn(4, 5, dtype=torch.float64)
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert torch.equal(other(x), net(x))
        assert other.weight is not net.weight


def test_state_dict_of_another_network_is_refused():
    net = el.EdgeNetwork(4, [(0, 2), (1, 2), (2, 3)], [0, 1], [3])
    same = el.EdgeNetwork(4, [(0, 2), (1, 2), (2, 3)], [0, 1], [3])
    same.load_state_dict(net.state_dict())
    assert torch.equal(same.weight, net.weight)
    swapped = el.EdgeNetwork(4, [(0, 2), (1, 2), (2, 3)], [1, 0], [3])
    with pytest.raises(RuntimeError, match="not the list of inputs here"):
        swapped.load_state_dict(net.state_dict())
    rewired = el.EdgeNetwork(4, [(0, 2), (1, 3), (2, 3)], [0, 1], [3])
    with pytest.raises(RuntimeError, match="another wiring"):
        rewired.load_state_dict(net.state_dict())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((8, [(0, 2), (2, 7), (7, 4), (4, 2)], [0], [4]), r"got 2 -> 7 -> 4 -> 2: .* `EdgeRNN`"),
        ((3, [(1, 1)], [0], [2]), "got 1 -> 1:"),
        ((3, [(0, 1), (1, 0)], [0], [2]), "edge 1, 1 -> 0"),
        ((3, [(0, 1)], [], [2]), "`inputs` must have at least one node"),
        ((3, [(0, 1)], [0], [2, 2]), "`outputs` lists 2 twice"),
        ((3, [(0, 1)], [3], [2]), "`inputs` must hold nodes from 0 to 2"),
    ],
)
def test_bad_graphs_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        el.EdgeNetwork(*arguments)


def layers(widths, fan_in):
    """Return edges from each layer to the next, `fan_in` into every node."""
    generator, first = np.random.default_rng(0), np.cumsum([0, *widths])
    edges = []
    for i in range(len(widths) - 1):
        sources = [generator.permutation(widths[i])[:fan_in] for _ in range(widths[i + 1])]
        targets = np.repeat(np.arange(first[i + 1], first[i + 2]), len(sources[0]))
        edges.append(np.stack([np.concatenate(sources) + first[i], targets]))
    return np.concatenate(edges, 1)


@pytest.mark.parametrize("activation", ["tanh", "relu", "sin", "sigmoid"])
@pytest.mark.parametrize(
    ("widths", "fan_in"), [([10_000, 50], 10_000), ([400] * 51, 30)], ids=["wide", "deep"]
)
def test_values_start_at_the_scale_of_the_inputs(widths, fan_in, activation):
    torch.manual_seed(0)
    number = sum(widths)
    outputs = range(number - widths[-1], number)
    net = el.EdgeNetwork(
        number, layers(widths, fan_in), range(widths[0]), outputs, activation=activation,
        output_activation=activation,
    )  # fmt: skip
    rms = net(torch.randn(64, widths[0])).square().mean().sqrt()
    assert 0.4 < rms < 2.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(num_nodes=2.0), "`num_nodes` must be an integer, got 2.0"),
        (dict(edge_index=[(0, 9)]), "target 9 at edge 0 is outside \\[0, 2\\), as num_nodes=2"),
        (dict(node_names=["a", "a"]), "`node_names` lists 'a' twice"),
        (dict(inputs=[True, False]), "got truth values: use `mask.nonzero"),
        (dict(outputs=1), "must be a list of nodes, got 1: pass `\\[1\\]`"),
        (dict(activation=torch.nn.ReLU), "got the class ReLU: pass an instance, `ReLU\\(\\)`"),
    ],
)
def test_messages_name_what_was_given(options, message):
    right = dict(num_nodes=2, edge_index=[(0, 1)], inputs=[0], outputs=[1])
    with pytest.raises((TypeError, ValueError), match=message):
        el.EdgeNetwork(**right | options)
