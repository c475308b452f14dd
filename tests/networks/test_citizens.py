"""Rules, other wirings and exporters on an EdgeNetwork, as on an EdgeLinear."""

import copy
import pickle

import pytest
import torch
from graphs import node_by_node
from nets import EDGES, NAMES, small
from torch import nn
from torch.testing import assert_close

import edgelinear as el

SIGNS = [1, -1, 1, -1, 1, 1]
RULES = {
    "tied": lambda net: el.rules.tie(net, [0, 0, 1, 1, 2, 2], scale=[1, -2, 1, 1, 1, 3]),
    "signed": lambda net: el.rules.fix_signs(net, SIGNS),
    "nonnegative": lambda net: el.rules.fix_nonnegative(net),
    "frozen": lambda net: el.rules.freeze(net, [True, False, False, True, False, False]),
    "signed and frozen": lambda net: el.rules.freeze(
        el.rules.fix_signs(net, SIGNS), [False, True, False, False, False, True]
    ),
}
each_rule = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)


def x_of(batch=5):
    return torch.randn(batch, 2, dtype=torch.float64)


def truth(net, x):
    edges = net.edge_index.numpy()
    inputs = net.inputs.tolist()
    return node_by_node(edges, inputs, net.weight, net.bias, net.activations, x)[:, net.outputs]


@each_rule
def test_values_and_gradients_under_rules_are_those_of_a_loop(rule):
    net, x = rule(small()), x_of().requires_grad_()
    wanted = [*net.parameters(), x]
    grad = torch.randn(5, 2, dtype=torch.float64)
    expected = torch.autograd.grad(truth(net, x), wanted, grad)
    assert_close(torch.autograd.grad(net(x), wanted, grad), expected)
    assert_close(net(x), truth(net, x))


@each_rule
def test_rules_hold_while_training(rule):
    net, x = rule(small()), x_of()
    before = net.weight.detach().clone()
    optimizer = torch.optim.AdamW(el.param_groups(net, weight_decay=0.1), lr=0.1)
    for _ in range(20):
        optimizer.zero_grad()
        (net(x) - 3).square().sum().backward()
        optimizer.step()
    after = net.weight.detach()
    assert not torch.equal(before, after)
    weight = after
    for each in reversed(net.rules):
        weight = each.project(weight)
    assert_close(weight, after)


@each_rule
def test_checkpoints_and_copies_keep_rules(rule, tmp_path):
    net, x = rule(small()), x_of()
    twin = copy.deepcopy(net)
    assert torch.equal(twin(x), net(x))
    assert [type(r) for r in twin.rules] == [type(r) for r in net.rules]
    with pytest.raises(RuntimeError, match="only supported through state_dict"):  # torch says so
        pickle.dumps(net)
    torch.save(net.state_dict(), tmp_path / "net.pt")
    other = rule(small())
    # What is frozen is a buffer, and is loaded as well.
    other.load_state_dict(torch.load(tmp_path / "net.pt"))
    assert torch.equal(other(x), net(x))
    with pytest.raises(RuntimeError, match="rules"):
        small().load_state_dict(net.state_dict())


def test_signs_of_sources_are_those_of_nodes():
    net = el.rules.fix_signs(small(), SIGNS)
    signs = torch.tensor(SIGNS, dtype=torch.float64)[net.edge_index[0]]
    assert torch.equal(net.weight.sign(), signs)
    with pytest.raises(ValueError, match="each of the 6 nodes, got shape"):
        el.rules.fix_signs(small(), [1, -1])


def test_a_conflict_names_the_nodes():
    net = small(weight=[1.0, 2.0, 3.0, 4.0, -5.0, 6.0])
    with pytest.raises(ValueError, match=r"edge 4 \('d' -> 'e'\) from -5 to 5"):
        el.rules.fix_nonnegative(net, on_conflict="error")


def test_balance_makes_the_sums_of_each_node_cancel():
    net = small(weight=[1.0, -2.0, 3.0, -1.0, 1.0, 1.0])
    el.rules.balance(net)
    sums = torch.zeros(6, dtype=torch.float64).index_add(0, net.edge_index[1], net.weight.detach())
    assert_close(sums, torch.tensor([0, 0, 0, 0, 1.0, 1.0], dtype=torch.float64))
    squares = net.weight.detach().square()
    assert_close(squares[:2].sum(), torch.tensor(5.0, dtype=torch.float64))


def test_a_network_has_no_spectral_radius():
    with pytest.raises(ValueError, match="no cycle"):
        el.rules.scale_spectral_radius(small(), 0.9)


@each_rule
def test_drawing_anew_follows_the_rules(rule):
    net = rule(small())
    net.reset_parameters()
    assert_close(net(x_of(3)).shape, torch.Size([3, 2]))


def test_edge_weights_decay_and_offsets_do_not():
    net = small(response=torch.ones(6))
    groups = el.param_groups(nn.Sequential(net, nn.Linear(2, 1)), weight_decay=0.1)
    assert any(p is net.weight for p in groups[0]["params"])
    assert {id(net.bias), id(net.response)} <= {id(p) for p in groups[1]["params"]}


# Another wiring.


OTHERS = {
    "another edge": dict(edges=[*EDGES[:-1], (3, 5)]),
    "other inputs": dict(edges=EDGES[1:], inputs=("b", "a")),
    "other outputs": dict(outputs=("f", "d")),
    "an edge less": dict(edges=EDGES[:-1]),
}


@pytest.mark.parametrize("options", OTHERS.values(), ids=OTHERS)
def test_adopted_network_computes_what_was_saved(options):
    saved, net = small(**options), small()
    with pytest.raises(RuntimeError, match="el.adopt_wiring"):
        net.load_state_dict(saved.state_dict())
    el.adopt_wiring(net, saved.state_dict())
    net.load_state_dict(saved.state_dict())
    x = x_of()
    assert_close(net(x), saved(x))
    assert_close(net(x), truth(net, x))
    assert net.level.tolist() == saved.level.tolist()


def test_adopted_network_keeps_the_weights_of_edges_that_stay():
    net, saved = small(), small(edges=[(3, 5), *EDGES[::-1]])
    weight, bias = net.weight.detach().clone(), net.bias
    el.adopt_wiring(net, saved.state_dict())
    assert_close(net.weight[1:], weight.flip(0))
    assert net.bias is bias


def test_adopted_network_may_have_other_nodes():
    options = dict(activation="tanh", dtype=torch.float64, response=torch.ones(8))
    saved = el.EdgeNetwork(8, [(0, 6), (6, 7), (0, 7), (1, 7)], [0, 1], [7], **options)
    net = el.EdgeNetwork(3, [(0, 1), (1, 2)], [0], [2], **options | {"response": torch.ones(3)})
    nn.init.normal_(saved.bias)
    model = nn.Sequential(nn.Identity(), net)
    el.adopt_wiring(model, nn.Sequential(nn.Identity(), saved).state_dict())
    net.load_state_dict(saved.state_dict())
    x = x_of()
    assert_close(net(x), saved(x))
    assert net.activations == saved.activations


def test_adopting_a_cycle_changes_nothing():
    first, net = small(), small()
    state = nn.Sequential(first, small()).state_dict()
    state["0.edge_index"][:, -1] = torch.tensor([2, 4])  # a wiring that could be taken
    state["1.edge_index"][:, 0] = torch.tensor([3, 2])
    model = nn.Sequential(net, small())
    before, x = copy.deepcopy(model.state_dict()), x_of()
    y = net(x)
    with pytest.raises(ValueError, match="c -> d -> c"):
        el.adopt_wiring(model, state)
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])
    assert torch.equal(net(x), y)


def test_adopting_under_rules_is_refused():
    net = el.rules.fix_nonnegative(small())
    with pytest.raises(ValueError, match="have rules made for its edges"):
        el.adopt_wiring(net, small(edges=EDGES[:-1]).state_dict())


@pytest.mark.parametrize("key", ["inputs", "outputs"])
def test_a_state_without_ends_is_refused(key):
    state = small().state_dict()
    del state[key]
    with pytest.raises(ValueError, match=f"holds no `{key}`"):
        el.adopt_wiring(small(), state)
    state[key] = torch.tensor([0, 17])
    with pytest.raises(ValueError, match="17"):
        el.adopt_wiring(small(), state)


# Exporters.


def test_explain_says_node():
    net = small(weight=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    assert el.convert.explain(net, ("c", "d")) == "edge 2: node 'c' (2) -> node 'd' (3), weight 3"
    bare = el.EdgeNetwork(3, [(0, 1), (1, 2)], [0], [2], weight=[1.0, 2.0])
    assert el.convert.explain(bare, 1) == "edge 1: node 1 -> node 2, weight 2"


def test_table_and_graph_come_back_as_the_same_network():
    net, x = small(), x_of()
    options = dict(activation="tanh", dtype=torch.float64, values="weight")
    for wiring in (
        el.convert.from_table(el.convert.to_table(net)),
        el.convert.from_networkx(el.convert.to_networkx(net)),
    ):
        twin = el.EdgeNetwork.from_wiring(wiring, ["a", "b"], ["e", "f"], **options)
        with torch.no_grad():
            order = [net.node_names.index(name) for name in twin.node_names]
            twin.bias.copy_(net.bias[order])
        assert_close(twin(x), net(x))


def test_graph_has_one_node_for_each():
    assert list(el.convert.to_networkx(small()).nodes) == NAMES
    bare = el.EdgeNetwork(3, [(0, 1), (1, 2)], [0], [2])
    graph = el.convert.to_networkx(bare)
    assert sorted(graph.nodes) == [0, 1, 2]
    assert sorted(graph.edges) == [(0, 1), (1, 2)]


def test_tables_of_samples_have_a_column_for_each_input():
    pandas = pytest.importorskip("pandas")
    net = small()
    x = el.convert.to_inputs(net, pandas.DataFrame({"b": [1.0, 2.0], "a": [3.0, 4.0]}))
    assert x.tolist() == [[3.0, 1.0], [4.0, 2.0]]
    assert net(x).shape == (2, 2)


def test_densify_refuses_a_network():
    with pytest.raises(TypeError, match="`1` is an EdgeNetwork"):
        el.densify(nn.Sequential(nn.Identity(), small()))


# Tracers.


def test_fx_enters_a_network_whole():
    model = nn.Sequential(nn.Linear(2, 2).double(), small(), nn.Tanh())
    graph, x = torch.fx.symbolic_trace(model), x_of()
    assert_close(graph(x), model(x))
    assert [n.target for n in graph.graph.nodes if n.op == "call_module"] == ["0", "1", "2"]
    with pytest.raises(TypeError, match="takes EdgeNetwork inside of a model"):
        torch.fx.symbolic_trace(small())


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_jit_trace_takes_any_batch():
    model, x = nn.Sequential(small(), nn.Tanh()), x_of()
    traced = torch.jit.trace(model, x)
    assert_close(traced(x[:2]), model(x[:2]))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_jit_script_is_refused():
    with pytest.raises(TypeError, match="use `torch.jit.trace` or `torch.export`"):
        torch.jit.script(nn.Sequential(small()))


def test_names_may_be_set():
    net = small()
    net.node_names = [f"n{i}" for i in range(6)]
    assert net.in_names == ["n0", "n1"]
    assert net.out_names == ["n4", "n5"]
    with pytest.raises(ValueError, match="node_names"):
        net.node_names = ["a"]
