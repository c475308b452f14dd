"""Networks made of a state dict alone, and recurrent ones that take the wiring of another."""

import numpy as np
import pytest
import torch
from graphs import random_graph
from nets import NAMES, drawn, small
from test_clamped import clamped
from torch import nn
from torch.testing import assert_close

import edgelinear as el

NODES, INPUTS, OUTPUTS = 12, [3, 7, 1], [1, 5, 9, 2]
OTHERS = {5: "max", 20: "mean"}
ACYCLIC = {
    "named": lambda: (small(), {"activation": "tanh"}),
    "no bias": lambda: (small(bias=False, activation="relu"), {}),
    "float32": lambda: (small(activation="relu", dtype=torch.float32), {}),
    "response": lambda: (
        drawn(["relu"], response=torch.linspace(0.5, 1.5, 30), aggregation=OTHERS)[0],
        {"activation": ["relu"] * 30, "aggregation": OTHERS},
    ),
}


def recurrent(nodes=NODES, inputs=INPUTS, outputs=OUTPUTS, seed=0, **options):
    options = {"dtype": torch.float64} | options
    net = el.EdgeRNN(nodes, random_graph(nodes, 40, seed), inputs, outputs, **options)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.uniform_(0.1, 0.9)
    return net


RECURRENT = {
    "plain": lambda: (recurrent(), {}),
    "learned leak": lambda: (recurrent(leak=0.4, learn_leak=True), {}),
    "fixed leak": lambda: (recurrent(leak=0.4), {"leak": 0.4}),
    "leaks": lambda: (recurrent(leak=np.linspace(0.1, 0.9, NODES)), {}),
    "learned leaks": lambda: (
        recurrent(leak=np.linspace(0.1, 0.9, NODES), learn_leak=True),
        {"learn_leak": True},
    ),
    "inputs": lambda: (recurrent(input_weight=[0.5, 2.0, -1.0]), {}),
    "learned inputs": lambda: (recurrent(input_weight="learn"), {"input_weight": "learn"}),
    "names": lambda: (
        recurrent(node_names=[f"n{i}" for i in range(NODES)], inputs=["n3"], outputs=["n1", "n2"]),
        {},
    ),
    "clamped": lambda: (
        clamped(),
        {
            "activation": ["tanh", "relu", "identity", "sigmoid"] * 3,
            "aggregation": {2: "mean", 5: "mean"},
            "clamp_inputs": True,
            "learn_leak": True,
            "input_weight": "learn",
        },
    ),
}


def output(net, x):
    y = net(x)
    return y[0] if isinstance(y, tuple) else y


@pytest.mark.parametrize("made", [*ACYCLIC.values(), *RECURRENT.values()],
                         ids=[*ACYCLIC, *RECURRENT])  # fmt: skip
@pytest.mark.parametrize("prefix", ["", "brain."])
def test_network_of_a_state_dict_computes_the_same(made, prefix):
    net, options = made()
    state = (nn.ModuleDict({"brain": net}) if prefix else net).state_dict()
    twin = type(net).from_state_dict(state, prefix, **options)
    x = torch.randn(4, 5, net.in_features, dtype=net.weight.dtype)
    assert torch.equal(output(twin, x), output(net, x))
    assert {n for n, _ in twin.named_parameters()} == {n for n, _ in net.named_parameters()}
    assert twin.node_names == net.node_names and twin.topology == net.topology
    state[prefix + "weight"].fill_(0)
    assert twin.weight.abs().max() > 0


def test_drawing_anew_returns_to_what_was_saved():
    net = recurrent(leak=np.linspace(0.1, 0.9, NODES))
    twin = el.EdgeRNN.from_state_dict(net.state_dict())
    twin.reset_parameters()
    assert torch.equal(twin.leak, net.leak)


@pytest.mark.parametrize("key", ["weight", "edge_index", "shape", "inputs", "outputs"])
def test_what_is_missing_is_named(key):
    state = small().state_dict()
    del state[key]
    with pytest.raises(ValueError, match=f"holds no `{key}`"):
        el.EdgeNetwork.from_state_dict(state)


def test_rules_and_foreign_ends_are_refused():
    net = el.rules.fix_nonnegative(small())
    with pytest.raises(ValueError, match="has rules: build the module of its edges"):
        el.EdgeNetwork.from_state_dict(net.state_dict())
    state = small().state_dict() | {"inputs": torch.tensor([0, 17])}
    with pytest.raises(ValueError, match="has node 17 of 6"):
        el.EdgeNetwork.from_state_dict(state)
    with pytest.raises(ValueError, match="into them, got edge .* use an `EdgeRNN`"):
        el.EdgeNetwork.from_state_dict(recurrent().state_dict())


ADOPTED = {
    "other edges": dict(seed=1),
    "other inputs": dict(inputs=[2, 7, 1]),
    "fewer inputs": dict(inputs=[7]),
    "more nodes": dict(nodes=20, seed=2),
    "fewer nodes": dict(nodes=10, seed=3),
}
LEAKS = {
    "none": {},
    "one": dict(leak=0.3),
    "learned": dict(leak=0.3, learn_leak=True),
    "one a node": dict(leak="each"),
    "learned, one a node": dict(leak="each", learn_leak=True),
}


@pytest.mark.parametrize("factors", [None, "fixed", "learn"])
@pytest.mark.parametrize("leak", LEAKS)
@pytest.mark.parametrize("options", ADOPTED.values(), ids=ADOPTED)
def test_adopted_recurrent_network_computes_what_was_saved(options, leak, factors):
    def made(nodes=NODES, inputs=INPUTS, seed=0):
        given = dict(LEAKS[leak])
        if given.get("leak") == "each":
            given["leak"] = np.linspace(0.1, 0.9, nodes)
        given["input_weight"] = [0.5] * len(inputs) if factors == "fixed" else factors
        return recurrent(nodes, inputs, seed=seed, **given)

    saved, net = made(**options), made()
    with pytest.raises(RuntimeError, match="el.adopt_wiring"):
        net.load_state_dict(saved.state_dict())
    el.adopt_wiring(net, saved.state_dict())
    assert net(torch.randn(2, 3, net.in_features, dtype=torch.float64))[0].isfinite().all()
    net.load_state_dict(saved.state_dict())
    x = torch.randn(4, 5, saved.in_features, dtype=torch.float64)
    assert torch.equal(net(x)[0], saved(x)[0])
    net(x)[0].sum().backward()
    assert all(p.grad.shape == p.shape for p in net.parameters())
    assert {n: p.requires_grad for n, p in net.named_parameters()} == {
        n: p.requires_grad for n, p in saved.named_parameters()
    }


def test_leaks_and_factors_stay_with_nodes_by_name():
    names = ["a", "b", "c"]
    net = el.EdgeRNN(3, [(0, 1), (1, 2)], ["a", "b"], ["c"], node_names=names,
                     leak=[0.1, 0.2, 0.3], input_weight=[5.0, 6.0])  # fmt: skip
    saved = el.EdgeRNN(4, [(0, 1), (3, 2)], ["b", "d"], ["c"], node_names=["b", "c", "d", "a"])
    el.adopt_wiring(net, saved.state_dict())
    assert_close(net.leak, torch.tensor([0.2, 0.3, 1.0, 0.1]))
    assert net.input_weight.tolist() == [6.0, 1.0]
    assert net.node_names == ["b", "c", "d", "a"] and net.in_names == ["b", "d"]


def test_responses_stay_with_nodes_and_biases_start_anew():
    edges = [(0, 2), (1, 2)]
    net = el.EdgeNetwork(3, edges, ["a", "b"], ["c"], response=[1.0, 2.0, 3.0], node_names=[*"abc"])
    nn.init.ones_(net.bias)
    saved = el.EdgeNetwork(4, [(3, 0), (1, 0)], ["a", "x"], ["c"], node_names=["c", "x", "b", "a"])
    el.adopt_wiring(net, saved.state_dict())
    assert net.response.tolist() == [3.0, 1.0, 2.0, 1.0]
    assert net.bias.tolist() == [0.0] * 4


def test_what_cannot_be_adopted_changes_nothing():
    net, saved = recurrent(activation=["tanh"] * NODES), recurrent(nodes=20)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    with pytest.raises(ValueError, match="one for each of the 20 nodes, got 12"):
        el.adopt_wiring(net, saved.state_dict())
    with pytest.raises(ValueError, match="have rules"):
        el.adopt_wiring(el.rules.fix_nonnegative(recurrent()), saved.state_dict())
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    net = el.EdgeRNN(2, [(0, 1)], [0], [1], clamp_inputs=True)
    with pytest.raises(ValueError, match="cannot be taken: `inputs` must have no edges into"):
        el.adopt_wiring(net, el.EdgeRNN(2, [(1, 0)], [0], [1]).state_dict())


def test_a_network_says_its_ends_in_its_wiring():
    net = small()
    wiring = net.wiring
    assert (wiring.inputs, wiring.outputs) == ([0, 1], [4, 5])
    twin = el.EdgeNetwork.from_wiring(wiring, values="weight", activation="tanh",
                                      dtype=torch.float64)  # fmt: skip
    assert twin.in_names == net.in_names and twin.out_names == net.out_names
    assert el.convert.explain(wiring, 0).startswith("edge 0: node 'a' (0) -> node 'c' (2)")
    graph = el.convert.to_networkx(wiring._replace(in_names=None, out_names=None))
    assert sorted(graph.nodes) == [*range(6)]
    assert NAMES == wiring.in_names
    assert el.EdgeLinear(2, 1, [(0, 0)]).wiring.inputs is None


def test_weights_and_values_are_not_both_taken():
    wiring = small().wiring
    for made in (el.EdgeNetwork, el.EdgeLinear):
        with pytest.raises(ValueError, match='either `weight` or values="weight", got both'):
            made.from_wiring(wiring, values="weight", weight=torch.ones(6))
