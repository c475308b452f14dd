"""`prune_dead`: fewer nodes, the same outputs."""

import pytest
import torch
from torch.testing import assert_close

import edgelinear as el

# 2 and 3 are fed by no input, 6 reaches no output, 7 is an output that no input reaches.
EDGES = [(0, 4), (2, 4), (2, 3), (3, 5), (4, 5), (1, 6), (3, 7), (4, 6), (7, 5)]


def made(**options):
    options = {"dtype": torch.float64, "activation": "tanh"} | options
    net = el.EdgeNetwork(8, EDGES, ["a", "b"], ["f", "h"], node_names=list("abcdefgh"), **options)
    if net.bias is not None:
        torch.nn.init.normal_(net.bias)
    return net


@pytest.mark.parametrize("response", [None, torch.linspace(0.5, 2.0, 8)], ids=["plain", "response"])
def test_outputs_stay_and_dead_nodes_go(response):
    net, x = made(response=response), torch.randn(4, 2, dtype=torch.float64)
    before, y, parameters = net.weight.detach().clone(), net(x).detach(), [*net.parameters()]
    net(x).sum().backward()
    edges = net.prune_dead()
    assert_close(net(x), y)
    assert net.node_names == ["a", "b", "e", "f", "h"]
    assert (net.in_names, net.out_names) == (["a", "b"], ["f", "h"])
    assert edges.old.tolist() == [0, 4, 8]
    assert torch.equal(net.weight, before[edges.old])
    assert all(a is b and a.grad is None for a, b in zip(net.parameters(), parameters, strict=True))
    net(x).sum().backward()
    assert net.weight.grad.shape == (3,)
    twin = made(response=response)
    el.adopt_wiring(twin, net.state_dict())


def test_pruning_again_changes_nothing():
    net = made()
    net.prune_dead()
    assert net.prune_dead().old.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        (dict(bias=False), "abcdefh"),
        (dict(aggregation={"e": "max"}), "abcefh"),
        (dict(aggregation={"e": "mean"}), "abcefh"),
        (dict(aggregation={"f": "min"}), "abdefh"),
    ],
    ids=["no bias", "max", "mean", "min"],
)
def test_constants_that_no_bias_can_hold_stay(options, kept):
    net, x = made(**options), torch.randn(4, 2, dtype=torch.float64)
    y, every, names = net(x), net.nodes(x), net.node_names
    net.prune_dead()
    assert net.node_names == [*kept]
    assert_close(net(x), y)
    assert_close(net.nodes(x), every[:, [names.index(name) for name in kept]])


def test_gradients_fit_while_an_older_graph_is_alive():
    net, x = made(), torch.randn(4, 2, dtype=torch.float64)
    older = net(x)
    net.prune_dead()
    net(x).sum().backward()
    assert net.weight.grad.shape == (3,)
    assert older.requires_grad


def test_pruning_under_rules_is_refused():
    with pytest.raises(ValueError, match="use it first, and apply rules then"):
        el.rules.fix_nonnegative(made()).prune_dead()
