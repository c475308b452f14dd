"""Aggregations other than sums by the compiled kernels: values, gradients, ties, bits, memory."""

import functools
import itertools

import pytest
import torch
from graphs import FUNCTIONS, random_dag
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck, gradgradcheck
from torch.func import functional_call
from torch.testing import assert_close

import edgelinear as el
from edgelinear.backends import cpp
from edgelinear.networks import aggregated
from edgelinear.networks.formula import AGGREGATIONS

cpp._first_use()
pytestmark = pytest.mark.skipif(type(cpp._kernels) is str, reason=str(cpp._kernels))

COMPILED, TORCH = ["tanh", "identity", "relu", "sigmoid"], ["sin", "tanh", "gelu", "softplus"]
OTHERS = AGGREGATIONS[2:]


def first_of(better):
    """Return a choice between messages: the first of those that no other is better than."""
    return lambda messages: functools.reduce(
        lambda chosen, m: torch.where(better(m, chosen), m, chosen), messages
    )


def median(messages):
    messages = torch.stack(messages)
    order = messages.argsort(dim=0, stable=True)
    middle = order[[(len(order) - 1) // 2, len(order) // 2]]
    return messages.gather(0, middle).mean(0)


AGGREGATE = {
    "sum": lambda messages: functools.reduce(torch.add, messages),
    "mean": lambda messages: functools.reduce(torch.add, messages) / len(messages),
    "product": lambda messages: functools.reduce(torch.mul, messages),
    "max": first_of(torch.gt),
    "min": first_of(torch.lt),
    "median": median,
    "maxabs": first_of(lambda a, b: a.abs() > b.abs()),
}


def node_by_node(net, x):
    """Return the values of all nodes, (batch, nodes), each from the edges into it."""
    values = dict(zip(net.inputs.tolist(), x.T, strict=True))
    edges = net.edge_index.T.tolist()
    for node in sorted(
        set(range(net.num_nodes)) - values.keys(), key=net.level.tolist().__getitem__
    ):
        kind = net._aggregations[node]
        messages = [
            net.weight[edge] * values[source]
            for edge, (source, target) in enumerate(edges)
            if target == node
        ]
        z = AGGREGATE[kind](messages) if messages else torch.full_like(x[:, 0], kind == "product")
        z = z if net.response is None else net.response[node] * z
        z = z if net.bias is None else z + net.bias[node]
        values[node] = FUNCTIONS[net.activations[node]](z)
    return torch.stack([values[node] for node in range(net.num_nodes)], 1)


def network(
    aggregations=AGGREGATIONS, activations=COMPILED, nodes=30, edges=100, seed=0, **options
):
    """Return a network whose nodes aggregate in turn in all of these ways."""
    torch.manual_seed(seed)
    ends = options.pop("ends", None)
    ends = random_dag(nodes, edges, 4, seed) if ends is None else ends
    turns = [itertools.cycle(words) for words in (aggregations, activations)]
    aggregation, activation = ([next(turn) for _ in range(nodes)] for turn in turns)
    options = {"dtype": torch.float64, "response": torch.randn(nodes)} | options
    net = el.EdgeNetwork(
        nodes, ends, range(4), [nodes - 1, nodes - 2, 2],
        activation=activation, aggregation=aggregation, duplicates="keep", **options,
    )  # fmt: skip
    if net.bias is not None:
        torch.nn.init.normal_(net.bias)
    return net


def outcome(net, function, x):
    """Return values, and the gradients of parameters and input."""
    x = x.clone().requires_grad_()
    y = function(x)
    grad = torch.linspace(-1, 2, y.numel(), dtype=y.dtype).view(y.shape)
    return y, torch.autograd.grad(y, [*net.parameters(), x], grad, allow_unused=True)


def by_formula(function):
    """Call a function where the kernels are not used."""

    def call(*arguments):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(aggregated, "is_fast", lambda *_: False)
            return function(*arguments)

    return call


@settings(max_examples=60)
@given(st.data())
def test_equals_a_loop_over_nodes(data):
    nodes = data.draw(st.integers(5, 25))
    ends = random_dag(nodes, data.draw(st.integers(0, 4 * nodes)), 4, data.draw(st.integers(0, 99)))
    ends = ends[:, data.draw(st.lists(st.integers(0, max(0, ends.shape[1] - 1)), max_size=9))
                or slice(None)] if ends.shape[1] and data.draw(st.booleans()) else ends  # fmt: skip
    net = network(
        data.draw(st.lists(st.sampled_from(AGGREGATIONS), min_size=1, max_size=7)),
        data.draw(st.sampled_from([COMPILED, TORCH])),
        nodes, seed=data.draw(st.integers(0, 99)), ends=ends,
        bias=data.draw(st.booleans()),
        **({"response": None} if data.draw(st.booleans()) else {}),
    )  # fmt: skip
    x = torch.randn(data.draw(st.sampled_from([0, 1, 3, 7, 64])), 4, dtype=torch.float64)
    truth = outcome(net, lambda x: node_by_node(net, x), x)
    assert_close(outcome(net, net.nodes, x), zeros_for_none(truth, net, x))


def zeros_for_none(found, net, x):
    """Return gradients with zeros for what the loop never met."""
    y, gradients = found
    tensors = [*net.parameters(), x]
    pairs = zip(gradients, tensors, strict=True)
    return y, tuple(torch.zeros_like(t) if g is None else g for g, t in pairs)


@pytest.mark.parametrize("activations", [COMPILED, TORCH], ids=["compiled", "torch"])
@pytest.mark.parametrize("batch", [1, 7, 64, 1000])
def test_equals_the_formula_for_any_batch(batch, activations):
    net = network(activations=activations, nodes=60, edges=400)
    x = torch.randn(batch, 4, dtype=torch.float64)
    for function in (net, net.nodes):
        assert_close(outcome(net, function, x), outcome(net, by_formula(function), x))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_other_types_are_as_close_as_the_formula(dtype):
    net = network(nodes=60, edges=400)
    x = torch.randn(40, 4, dtype=dtype)
    truth = outcome(net.to(dtype).double(), net.nodes, x.double())
    net.to(dtype)
    ours, formula = outcome(net, net.nodes, x), outcome(net, by_formula(net.nodes), x)
    for found, other, exact in zip((ours[0], *ours[1]), (formula[0], *formula[1]),
                                   (truth[0], *truth[1]), strict=True):  # fmt: skip
        assert found.dtype == dtype
        exact = exact.detach()
        error, allowed = ((t.detach().double() - exact).abs().max() for t in (found, other))
        assert error <= 2 * allowed + torch.finfo(dtype).eps * exact.abs().max()


@settings(max_examples=60)
@given(
    st.sampled_from(AGGREGATIONS),
    st.lists(st.integers(-2, 2), min_size=1, max_size=12),
    st.lists(st.lists(st.integers(-2, 2), min_size=4, max_size=4), min_size=1, max_size=9),
    st.integers(0, 99),
)
def test_first_of_equal_messages_takes_the_gradient(aggregation, weights, x, seed):
    generator = torch.Generator().manual_seed(seed)
    source = torch.randint(4, (len(weights),), generator=generator)
    ends = torch.stack([source, torch.full_like(source, 6)])
    net = network([aggregation], ["identity"], 7, ends=ends, weight=weights)
    x = torch.tensor(x, dtype=torch.float64)
    truth = outcome(net, lambda x: node_by_node(net, x), x)
    found = outcome(net, net.nodes, x)
    assert_close(found, zeros_for_none(truth, net, x))
    assert_close(found[1][0], truth[1][0], rtol=0, atol=1e-12)


SPECIAL = st.sampled_from([0.0, 1.0, -2.0, float("inf"), -float("inf"), float("nan")])


@pytest.mark.parametrize("aggregation", OTHERS)
@settings(max_examples=40)
@given(st.integers(1, 9), st.data())
def test_nan_and_inf_go_where_the_formula_lets_them(aggregation, fan_in, data):
    ends = [(0, 4 + i) for i in range(fan_in)]  # of sources that pass on what they get
    x = data.draw(st.lists(SPECIAL, min_size=fan_in, max_size=fan_in))
    target = fan_in
    ends = [(source, target) for source in range(fan_in)]
    net = el.EdgeNetwork(
        fan_in + 2, [*ends, (0, fan_in + 1)], range(fan_in), [target, fan_in + 1],
        aggregation=aggregation, activation="identity", weight=torch.ones(fan_in + 1),
    )  # fmt: skip
    x = torch.tensor([x, [1.0] * fan_in])
    with torch.no_grad():
        assert_close(net(x), by_formula(net)(x), equal_nan=True)
    found = outcome(net, net, x)[1]
    assert found[2][1].isfinite().all()  # NaN stays in its sample


def test_median_of_nan_is_nan():
    for number, place in itertools.product(range(1, 8), range(7)):
        ends = [(source, number) for source in range(number)]
        net = el.EdgeNetwork(number + 1, ends, range(number), [number], aggregation="median")
        x = torch.randn(3, number)
        x[1, place % number] = torch.nan
        for function in (net, by_formula(net)):
            assert function(x).isnan().tolist() == [[False], [True], [False]]


@pytest.mark.parametrize("aggregation", ["max", "min", "median"])
@pytest.mark.parametrize("is_weight", [True, False], ids=["weight", "source"])
def test_no_inf_comes_back_from_a_message_that_is_not_chosen(is_weight, aggregation):
    large = -torch.inf if aggregation == "max" else torch.inf
    weight, x = torch.ones(3), torch.tensor([[1.0, 3.0, 2.0]])
    (weight if is_weight else x[0])[0] = large
    net = el.EdgeNetwork(
        4, [(0, 3), (1, 3), (2, 3)], range(3), [3], aggregation=aggregation, weight=weight
    )
    gradients = torch.autograd.grad(net(x.requires_grad_()).sum(), [net.weight, net.bias, x])
    assert all(g.isfinite().all() for g in gradients)


def test_inf_in_a_weight_leaves_the_other_gradients_finite():
    net = network(["product"], ["identity"], 7, ends=[(0, 6), (1, 6), (2, 6)])
    with torch.no_grad():
        net.weight[0] = torch.inf
    x = torch.randn(3, 4, dtype=torch.float64)
    truth = outcome(net, lambda x: node_by_node(net, x), x)
    assert_close(outcome(net, net.nodes, x), zeros_for_none(truth, net, x))


@pytest.mark.parametrize("batch", [1, 5, 16, 40, 200])
def test_bits_depend_neither_on_threads_nor_on_the_batch(batch):
    net = network(nodes=400, edges=9000, dtype=torch.float32)
    x = torch.randn(batch, 4)
    threads, found = torch.get_num_threads(), []
    try:
        for number in (1, 2, 4):
            torch.set_num_threads(number)
            y, gradients = outcome(net, net.nodes, x)
            found.append([y, *gradients])
        alone = torch.cat([net.nodes(sample[None]) for sample in x])
    finally:
        torch.set_num_threads(threads)
    for one, two, four in zip(*found, strict=True):
        assert torch.equal(one, two)
        assert torch.equal(one, four)
    assert torch.equal(found[0][0], alone)


@pytest.mark.parametrize("aggregation", OTHERS)
def test_hub_of_many_edges(aggregation):
    number = 3001
    net = network(
        [aggregation], ["identity"], number, weight=1 + torch.rand(number - 4) / 100,
        ends=[(i % 4, number - 1) for i in range(number - 4)], response=None,
    )  # fmt: skip
    x = torch.rand(70, 4, dtype=torch.float64) / 50 + 0.99
    assert_close(outcome(net, net, x), outcome(net, by_formula(net), x))


@pytest.mark.parametrize("aggregation", OTHERS)
def test_derivatives_of_every_order(aggregation):
    net = network([aggregation, "sum"], ["tanh", "sin"], 12, edges=25)
    names = [name for name, _ in net.named_parameters()]
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)

    def outputs(x, *parameters):
        return functional_call(net, dict(zip(names, parameters, strict=True)), (x,))

    arguments = (x, *net.parameters())
    assert gradcheck(outputs, arguments, check_batched_grad=True)
    assert gradgradcheck(outputs, arguments)


def test_gradient_of_a_gradient_where_the_input_depends_on_the_weight():
    net = network(nodes=12, edges=25)

    def penalty(function):
        x = net.weight[:4].expand(3, 4) * torch.arange(1.0, 4.0, dtype=torch.float64)[:, None]
        (grad,) = torch.autograd.grad(function(x).sum(), net.weight, create_graph=True)
        return torch.autograd.grad(grad.square().sum(), [*net.parameters()])

    assert_close(penalty(net), penalty(by_formula(net)))


def test_only_what_is_asked_for_has_a_gradient():
    net = network()
    x = torch.randn(5, 4, dtype=torch.float64)
    whole = outcome(net, net, x)[1]
    for number, parameter in enumerate(net.parameters()):
        (alone,) = torch.autograd.grad(net(x).mul(grad_like(net(x))).sum(), [parameter])
        assert_close(alone, whole[number])
        for other in net.parameters():
            other.requires_grad_(other is parameter)
        net(x).mul(grad_like(net(x))).sum().backward()
        assert_close(parameter.grad, whole[number])
        assert all(other.grad is None for other in net.parameters() if other is not parameter)
        net.zero_grad()
        net.requires_grad_(True)


def grad_like(y):
    return torch.linspace(-1, 2, y.numel(), dtype=y.dtype).view(y.shape)


def test_memory_is_that_of_nodes():
    number, batch = 20_004, 64
    net = network(OTHERS, nodes=24, ends=[(i % 4, 4 + i % 20) for i in range(number)])
    kept = []

    def keep(tensor):
        kept.append(tensor.nbytes)
        return tensor

    x = torch.randn(batch, 4, dtype=torch.float64)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        y = net(x)
    assert sum(kept) < 4 * net.weight.nbytes + 10 * net.num_nodes * batch * 8
    sizes, empty = [], cpp._kernels.empty

    def counted(like, *shape, dtype=None):
        sizes.append(shape)
        return empty(like, *shape, dtype=dtype)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cpp._kernels, "empty", counted)
        y.sum().backward()
    assert max(shape[0] for shape in sizes) < batch * number


def test_formula_is_made_when_it_is_needed():
    net = network()
    x = torch.randn(5, 4, dtype=torch.float64)
    net(x).sum().backward()
    assert net._formula.parts is None
    (grad,) = torch.autograd.grad(net(x).sum(), net.weight, create_graph=True)
    grad.sum().backward()
    assert net._formula.parts is not None


def test_aggregations_follow_a_change_of_the_graph():
    net = network(ends=[(0, 5), (1, 5), (1, 6), (5, 7), (6, 7), (3, 7)], nodes=8)
    x = torch.randn(5, 4, dtype=torch.float64)
    before = net(x)
    net.prune_dead()
    assert_close(net(x), before)
    assert_close(net.nodes(x), node_by_node(net, x))


@pytest.mark.parametrize("aggregation", ["product", "max", "min", "median", "maxabs"])
@pytest.mark.parametrize("edges", [[], [(0, 2)]], ids=["no edges", "edges elsewhere"])
def test_nodes_that_nothing_feeds_have_gradients(aggregation, edges):
    def gradients(backend, **options):
        net = el.EdgeNetwork(
            3,
            torch.tensor(edges, dtype=torch.long).reshape(-1, 2).T,
            [0],
            [1, 2],
            activation="identity",
            aggregation={1: aggregation},
            response=[2.0, 3.0, 4.0],
            weight=[0.5] * len(edges),
            backend=backend,
            dtype=torch.float64,
        )
        x = torch.ones(5, 1, dtype=torch.float64, requires_grad=True)
        wanted = x, net.weight, net.bias, net.response
        return torch.autograd.grad(net(x).sum(), wanted, allow_unused=True, **options)

    x, weight, bias, response = gradients("auto")
    linear = 0.5 * 4 * len(edges)
    assert_close(x, torch.full_like(x, linear))
    assert weight.tolist() == [20.0] * len(edges)
    assert bias.tolist() == [0.0, 5.0, 5.0]
    assert response.tolist() == [0.0, 5.0 * (aggregation == "product"), 2.5 * len(edges)]
    for found, expected in zip(
        gradients("auto", create_graph=True), (x, weight, bias, response), strict=True
    ):
        assert_close(torch.zeros_like(expected) if found is None else found, expected)
