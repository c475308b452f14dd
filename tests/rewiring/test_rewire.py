"""`rewire` against dictionaries from edges to their values, kept by hand."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

import edgelinear as el

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9),
    "adam": lambda p: torch.optim.Adam(p, 0.1, amsgrad=True, foreach=False),
    "adam foreach": lambda p: torch.optim.Adam(p, 0.1, foreach=True),
    "adamw fused": lambda p: torch.optim.AdamW(p, 0.1, fused=True),
    "adamax": lambda p: torch.optim.Adamax(p, 0.1),
    "nadam": lambda p: torch.optim.NAdam(p, 0.1),
    "radam": lambda p: torch.optim.RAdam(p, 0.1),
    "adagrad": lambda p: torch.optim.Adagrad(p, 0.1, initial_accumulator_value=0.5),
    "adadelta": lambda p: torch.optim.Adadelta(p, 0.1),
    "rmsprop": lambda p: torch.optim.RMSprop(p, 0.1, momentum=0.9, centered=True),
    "rprop": lambda p: torch.optim.Rprop(p, 0.1),
    "asgd": lambda p: torch.optim.ASGD(p, 0.1),
    "adafactor": lambda p: torch.optim.Adafactor(p, 0.1),
}


def pairs(layer):
    return [tuple(edge) for edge in layer.edge_index.t().tolist()]


def layer_of(edges, sizes=(6, 5), **options):
    return el.EdgeLinear(*sizes, edges, dtype=torch.float64, **options)


def train(layer, optimizer, steps=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        x = torch.randn(7, layer.in_features, dtype=torch.float64, generator=generator)
        optimizer.zero_grad()
        layer(x).square().sum().backward()
        optimizer.step()


def by_edge(layer, values):
    return dict(zip(pairs(layer), values.tolist(), strict=True))


CELLS = [(source, target) for source in range(6) for target in range(5)]


@settings(max_examples=60)
@given(data=st.data(), is_sorted=st.booleans())
def test_values_and_state_follow_edges_through_any_changes(data, is_sorted):
    edges = data.draw(st.lists(st.sampled_from(CELLS), min_size=1, unique=True))
    edges = sorted(edges, key=lambda edge: edge[::-1]) if is_sorted else edges
    layer = layer_of(edges)
    optimizer = torch.optim.Adam(layer.parameters(), 0.1)
    parameter = layer.weight
    for _ in range(3):
        train(layer, optimizer, 1)
        state = optimizer.state[parameter]
        before = {
            name: by_edge(layer, values)
            for name, values in {"weight": layer.weight, **state}.items()
            if values.dim()
        }
        here = pairs(layer)
        keep = data.draw(st.lists(st.booleans(), min_size=len(here), max_size=len(here)))
        kept = [edge for edge, stays in zip(here, keep, strict=True) if stays]
        absent = [cell for cell in CELLS if cell not in kept]
        add = data.draw(st.lists(st.sampled_from(absent), unique=True)) if absent else []
        mapped = el.rewire(layer, keep=keep, add=add, weight=7.0, optimizer=optimizer)
        assert layer.weight is parameter
        assert (parameter.grad is None) == (kept != here or len(add) > 0)
        assert sorted(pairs(layer)) == sorted(kept + add)
        for name, values in before.items():
            found = layer.weight if name == "weight" else state[name]
            start = 7.0 if name == "weight" else 0.0
            assert by_edge(layer, found) == {
                edge: values[edge] if edge in kept else start for edge in kept + add
            }
        olds = [here[old] if old >= 0 else None for old in mapped.old.tolist()]
        assert olds == [edge if edge in kept else None for edge in pairs(layer)]
        order = [edge for edge in pairs(layer) if edge in kept]
        assert order == kept  # which keep their order


# Adafactor scales its steps by the norm of all weights.
@pytest.mark.parametrize("name", sorted(OPTIMIZERS.keys() - {"adafactor"}))
def test_edges_without_gradient_may_go_and_the_others_train_as_before(name):
    edges = [(0, 0), (1, 0), (2, 1), (5, 1), (3, 2), (5, 3)]
    idle = [edge for edge in edges if edge[0] == 5]
    layer = layer_of(edges)
    whole = copy.deepcopy(layer)
    optimizers = OPTIMIZERS[name](layer.parameters()), OPTIMIZERS[name](whole.parameters())
    still = torch.tensor([1.0, 1, 1, 1, 1, 0], dtype=torch.float64)  # input 5 is always 0

    def step(model, optimizer, seed):
        x = torch.randn(7, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        optimizer.zero_grad()
        model(x * still).square().sum().backward()
        optimizer.step()

    for seed in range(3):
        step(layer, optimizers[0], seed)
        step(whole, optimizers[1], seed)
    keep = [edge not in idle for edge in edges]
    el.rewire(layer, keep=keep, optimizer=optimizers[0])
    for seed in range(3, 6):
        step(layer, optimizers[0], seed)
        step(whole, optimizers[1], seed)
    assert torch.equal(layer.weight, whole.weight[torch.tensor(keep)])
    assert torch.equal(layer.bias, whole.bias)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_state_of_new_edges_is_that_of_a_new_optimizer(name):
    layer = layer_of([(0, 0), (1, 0), (2, 1)])
    optimizer = OPTIMIZERS[name](layer.parameters())
    train(layer, optimizer)
    el.rewire(layer, keep=[], add=[(3, 0), (4, 2)], optimizer=optimizer)
    fresh = layer_of([(3, 0), (4, 2)])
    fresh.weight.grad = torch.zeros_like(fresh.weight)
    new = OPTIMIZERS[name]([fresh.weight])
    options = {"lr": 0.0} if name != "rprop" else {}
    new.param_groups[0].update(options)
    new.step()  # of a gradient of 0, which makes the state
    for key, value in optimizer.state[layer.weight].items():
        expected = new.state[fresh.weight][key]
        if isinstance(value, torch.Tensor) and value.dim() and key not in ("ax", "prev"):
            scale = {"sum": 1.0}.get(key, 1.0)
            assert_close(value, expected * scale)


def test_same_edges_change_nothing():
    layer = layer_of([(0, 0), (1, 0)])
    topology, grad = layer.topology, torch.ones(2, dtype=torch.float64)
    layer.weight.grad = grad
    assert el.rewire(layer, keep=[0, 1], add=[]).old.tolist() == [0, 1]
    assert layer.topology is topology and layer.weight.grad is grad


def test_sorted_wirings_stay_sorted_and_others_take_new_edges_at_the_end():
    layer = layer_of([(0, 0), (2, 0), (1, 1)])
    assert el.rewire(layer, add=[(5, 4), (1, 0)]).old.tolist() == [0, -1, 1, 2, -1]
    assert layer.topology.is_sorted
    layer = layer_of([(1, 1), (0, 0)])
    el.rewire(layer, add=[(5, 4), (1, 0)])
    assert pairs(layer) == [(1, 1), (0, 0), (5, 4), (1, 0)]


def test_values_go_to_new_edges_in_the_order_given():
    layer = layer_of([(0, 0), (2, 0), (1, 1)], weight=[1.0, 2.0, 3.0])
    el.rewire(layer, add=[(5, 4), (1, 0)], weight=[8.0, 9.0])
    assert by_edge(layer, layer.weight) == {
        (0, 0): 1.0, (1, 0): 9.0, (2, 0): 2.0, (1, 1): 3.0, (5, 4): 8.0,
    }  # fmt: skip


def test_init_draws_by_the_new_fan_in():
    torch.manual_seed(0)
    layer = el.EdgeLinear(400, 2, [(0, 0), (0, 1)])
    el.rewire(layer, add=[(source, 0) for source in range(1, 400)], weight="init")
    el.rewire(layer, add=[(source, 1) for source in range(1, 4)], weight="init")
    into_first = layer.weight[layer.topology.dst == 0][1:]
    assert into_first.abs().max() <= 1 / 20 and into_first.std() > 0.8 / 20 / 3**0.5
    assert layer.weight[layer.topology.dst == 1][1:].abs().max() <= 1 / 2


def test_init_draws_from_the_generator():
    drawn = []
    for _ in range(2):
        layer = layer_of([(0, 0)], weight=[1.0])
        generator = torch.Generator().manual_seed(3)
        el.rewire(layer, add=[(1, 0), (2, 0)], weight="init", generator=generator)
        drawn.append(layer.weight.tolist())
    assert drawn[0] == drawn[1]


def test_names_are_understood():
    options = {"in_names": list("abcdef"), "out_names": list("uvwxy")}
    layer = layer_of([(0, 0), (1, 1)], **options)
    el.rewire(layer, add=[("c", "u"), ("a", "y")])
    assert sorted(pairs(layer)) == [(0, 0), (0, 4), (1, 1), (2, 0)]
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"source": ["f"], "target": ["v"]})
    el.rewire(layer, add=el.convert.from_table(table))
    assert (5, 1) in pairs(layer)


def test_forward_and_checkpoints_go_on():
    layer = layer_of([(0, 0), (2, 0), (1, 1)])
    el.rewire(layer, keep=[0, 2], add=[(3, 4)], weight=2.0)
    x = torch.randn(3, 6, dtype=torch.float64)
    dense = torch.zeros(5, 6, dtype=torch.float64)
    for (source, target), weight in zip(pairs(layer), layer.weight, strict=True):
        dense[target, source] = weight
    assert_close(layer(x), x @ dense.T + layer.bias)
    twin = el.EdgeLinear.from_state_dict(layer.state_dict())
    assert_close(twin(x), layer(x))
    assert_close(copy.deepcopy(layer)(x), layer(x))


@pytest.mark.parametrize("add", [[], [(4, 4), (5, 4)]], ids=["fewer", "as many"])
def test_a_graph_of_before_is_refused_and_new_gradients_fit(add):
    layer = layer_of([(0, 0), (2, 0), (1, 1)])
    x = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
    before = layer(x).sum()
    el.rewire(layer, keep=[0], add=add)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        before.backward()
    layer(x).sum().backward()
    assert layer.weight.grad.shape == layer.weight.shape


@pytest.mark.parametrize("kind", [el.EdgeNetwork, el.EdgeRNN])
def test_networks_keep_their_function_on_the_new_edges(kind):
    edges = [(0, 1), (1, 2), (0, 3), (3, 4)]
    net = kind(5, edges, [0], [2, 4], activation="tanh", dtype=torch.float64)
    weights = dict(zip(edges, net.weight.tolist(), strict=True)) | {(1, 4): 0.25}
    el.rewire(net, keep=[0, 1, 2], add=[(1, 4)], weight=0.25)
    twin = kind(5, net.edge_index, [0], [2, 4], activation="tanh", dtype=torch.float64)
    twin.set_weight([weights[edge] for edge in pairs(net)])
    x = torch.randn(3, 6, 1, dtype=torch.float64)
    found, expected = net(x), twin(x)
    assert_close(found, expected)
    if kind is el.EdgeNetwork:
        assert net.level.tolist() == twin.level.tolist()


def test_a_cycle_is_refused_and_the_network_stays():
    net = el.EdgeNetwork(4, [(0, 1), (1, 2), (2, 3)], [0], [3])
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
    x = torch.randn(2, 1)
    before, weight = net(x), net.weight.clone()
    with pytest.raises(ValueError, match="1 -> 2 -> 1|2 -> 1 -> 2"):
        el.rewire(net, add=[(2, 1)], optimizer=optimizer)
    with pytest.raises(ValueError, match="`inputs` must have no edges into them"):
        el.rewire(net, add=[(2, 0)])
    assert torch.equal(net(x), before) and torch.equal(net.weight, weight)
    assert net.num_edges == 3


# Rules.


def test_signs_follow_and_new_edges_take_that_of_their_source():
    layer = el.rules.fix_signs(layer_of([(0, 0), (1, 0), (2, 1)]), [1, -1, -1, 1, 1, 1])
    optimizer = torch.optim.Adam(layer.parameters(), 0.1)
    train(layer, optimizer)
    before = by_edge(layer, layer.weight)
    el.rewire(layer, keep=[0, 2], add=[(2, 4), (0, 3)], weight="init", optimizer=optimizer)
    after = by_edge(layer, layer.weight)
    assert after[0, 0] == before[0, 0] and after[2, 1] == before[2, 1]
    assert after[2, 4] < 0 < after[0, 3]
    train(layer, optimizer)
    assert [w > 0 for w in by_edge(layer, layer.weight).values()] == [
        source == 0 for source, _ in pairs(layer)
    ]


def test_new_edges_whose_sign_is_not_known_take_that_of_their_weight():
    layer = el.rules.fix_signs(layer_of([(0, 0)]), [1, 1, 1, 1, 1, 1])
    with pytest.raises(ValueError, match="out of 3 need a sign, and it has no edges so far"):
        el.rewire(layer, add=[(3, 1)], weight="init")
    el.rewire(layer, add=[(3, 1)], weight=-2.0)
    assert by_edge(layer, layer.weight)[3, 1] == -2.0


@pytest.mark.parametrize("weight", [0.0, -1.0])
def test_weights_without_the_sign_of_their_source_are_refused(weight):
    layer = el.rules.fix_signs(layer_of([(0, 0)]), [1] * 6)
    with pytest.raises(ValueError, match="out of 0 must have the sign \\+1, got the weight"):
        el.rewire(layer, add=[(0, 1)], weight=weight)
    assert layer.num_edges == 1


def test_tied_edges_share_their_parameter_after_a_change():
    layer = el.rules.tie(layer_of([(0, 0), (1, 0), (2, 1)]), [0, 0, 1], scale=[1.0, 2.0, 1.0])
    optimizer = torch.optim.Adam(layer.parameters(), 0.1)
    train(layer, optimizer)
    (parameter,) = layer.edge_parameters()
    state = {k: v.clone() for k, v in optimizer.state[parameter].items()}
    with pytest.raises(ValueError, match="pass `index`"):
        el.rewire(layer, add=[(3, 0)], optimizer=optimizer)
    el.rewire(layer, keep=[1, 2], add=[(3, 0)], index=[1], scale=[-3.0], optimizer=optimizer)
    after = by_edge(layer, layer.weight)
    first, second = parameter.tolist()
    assert after == {(1, 0): 2 * first, (3, 0): -3 * second, (2, 1): second}
    assert all(torch.equal(optimizer.state[parameter][k], v) for k, v in state.items())


def test_weights_of_tied_edges_are_refused():
    layer = el.rules.tie(layer_of([(0, 0), (1, 0)]), [0, 0])
    with pytest.raises(ValueError, match="`weight` must be left out"):
        el.rewire(layer, add=[(3, 0)], index=[0], weight=3.0)
    assert layer.num_edges == 2


def test_frozen_edges_stay_frozen_and_new_ones_move():
    layer = el.rules.freeze(layer_of([(0, 0), (1, 0), (2, 1), (3, 1)]), [True, False, True, False])
    optimizer = torch.optim.Adam(layer.parameters(), 0.1)
    train(layer, optimizer)
    before = by_edge(layer, layer.weight)
    (parameter,) = layer.edge_parameters()
    first, second = optimizer.state[parameter]["exp_avg"].tolist()
    el.rewire(layer, keep=[1, 2, 3], add=[(0, 1)], weight=0.5, optimizer=optimizer)
    after = by_edge(layer, layer.weight)
    assert after == {**{edge: before[edge] for edge in [(1, 0), (2, 1), (3, 1)]}, (0, 1): 0.5}
    moving = [edge for edge in pairs(layer) if edge != (2, 1)]
    found = dict(zip(moving, optimizer.state[parameter]["exp_avg"].tolist(), strict=True))
    assert found == {(1, 0): first, (3, 1): second, (0, 1): 0.0}
    train(layer, optimizer)
    trained = by_edge(layer, layer.weight)
    assert trained[2, 1] == before[2, 1]
    assert all(trained[edge] != after[edge] for edge in moving)


def test_rules_of_a_rewired_layer_are_saved_and_compared():
    def rewired():
        layer = el.rules.fix_signs(layer_of([(0, 0), (1, 0), (2, 1)]), [1, -1, -1, 1, 1, 1])
        el.rules.freeze(layer, [True, False, False])
        el.rewire(layer, keep=[0, 2], add=[(2, 4)], weight=-1.0)
        return layer

    first, second = rewired(), rewired()
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.weight, second.weight)


# What is refused, with nothing changed.


REFUSED = {
    "present": (dict(add=[(0, 0)]), "edge 0 -> 0, which is there already \\(edge 0\\)"),
    "twice": (dict(add=[(4, 4), (4, 4)]), "edge 4 -> 4 twice \\(its edges 0 and 1\\)"),
    "range": (dict(add=[(6, 0)]), "source 6 at edge 0 is outside \\[0, 6\\)"),
    "names": (dict(add=[("a", "b")]), "the layer has no names"),
    "mask": (dict(keep=[True]), "truth value for each of the 3 edges"),
    "ids": (dict(keep=[3]), "edges from 0 to 2, got 3"),
    "ids twice": (dict(keep=[1, 1]), "lists edge 1 twice"),
    "floats": (dict(keep=[0.5]), "truth values or the numbers of edges"),
    "weights": (dict(add=[(4, 4)], weight=[1.0, 2.0]), "each of the 1 new edges"),
    "word": (dict(add=[(4, 4)], weight="zeros"), "numbers or \"init\", got 'zeros'"),
    "index": (dict(add=[(4, 4)], index=[0]), "`index` is for edges that share"),
    "scale": (dict(add=[(4, 4)], scale=5.0), "`scale` is for edges that share"),
    "one edge": (dict(add=(4, 4)), "list of edges, got \\(4, 4\\): write `\\[\\(4, 4\\)\\]`"),
    "one name": (dict(add=("ab", "cd")), "list of edges, got \\('ab', 'cd'\\)"),
    "topology": (dict(add=el.Topology(9, 5, [(8, 0)])), "source 8 at edge 0 is outside"),
    "bytes": (dict(keep=torch.ones(3, dtype=torch.uint8)), "got uint8: `.bool\\(\\)`"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_changes_leave_layer_and_optimizer_as_they_were(name):
    options, message = REFUSED[name]
    layer = layer_of([(0, 0), (2, 0), (1, 1)])
    optimizer = torch.optim.Adam(layer.parameters(), 0.1)
    train(layer, optimizer)
    before, edges = copy.deepcopy(optimizer.state_dict()), pairs(layer)
    weight = layer.weight.clone()
    with pytest.raises((TypeError, ValueError), match=message):
        el.rewire(layer, optimizer=optimizer, **options)
    assert pairs(layer) == edges and torch.equal(layer.weight, weight)
    assert_close(optimizer.state_dict()["state"], before["state"])


def test_optimizers_that_cannot_follow_are_refused():
    layer = layer_of([(0, 0), (2, 0), (1, 1)])
    other = torch.optim.Adam([torch.zeros(3, requires_grad=True)])
    with pytest.raises(ValueError, match="does not hold the weight"):
        el.rewire(layer, keep=[0], optimizer=other)
    with pytest.raises(TypeError, match="must be an optimizer of torch, got str"):
        el.rewire(layer, keep=[0], optimizer="adam")
    lbfgs = torch.optim.LBFGS([layer.weight])

    def closure():
        lbfgs.zero_grad()
        loss = layer(torch.ones(1, 6, dtype=torch.float64)).square().sum()
        loss.backward()
        return loss

    lbfgs.step(closure)
    with pytest.raises(ValueError, match="of LBFGS is no number for each edge"):
        el.rewire(layer, keep=[0], optimizer=lbfgs)
    assert layer.num_edges == 3


def test_weights_that_something_else_computes_are_refused():
    layer = torch.nn.utils.prune.random_unstructured(layer_of([(0, 0), (2, 0)]), "weight", 1)
    with pytest.raises(ValueError, match="computed from `weight_orig`"):
        el.rewire(layer, keep=[0])
    normed = torch.nn.utils.parametrizations.weight_norm(layer_of([(0, 0), (2, 0)]))
    with pytest.raises(ValueError, match="cannot take _WeightNorm along"):
        el.rewire(normed, keep=[0])
    with pytest.raises(TypeError, match="got Linear"):
        el.rewire(torch.nn.Linear(2, 2), keep=[0])
    with pytest.raises(ValueError, match="on the meta device"):
        el.rewire(layer_of([(0, 0)], device="meta"), keep=[])


def test_edges_into_clamped_inputs_are_refused():
    net = el.EdgeRNN(3, [(0, 1), (1, 1), (1, 2)], [0], [2], clamp_inputs=True)
    with pytest.raises(ValueError, match="no edges into them"):
        el.rewire(net, add=[(1, 0)])
    assert net.num_edges == 3
