"""`compare` of networks: its truth against loops, and what it holds them against."""

import pytest
import torch
from graphs import node_by_node, random_graph, step_by_step
from nets import drawn, small

import edgelinear as el
from edgelinear import backends
from edgelinear.comparison import compare, contenders, truths
from edgelinear.comparison.composed import composed
from edgelinear.comparison.contenders import COMPOSED, COMPOSED_MASKED

pytestmark = pytest.mark.usefixtures("few_rounds")
TWO = ["reference", "cpp"]


def recurrent(**options):
    """Return a recurrent network with self-loops, and a leak and an activation for each node."""
    nodes, options = 12, {"dtype": torch.float64} | options
    each = [("tanh", "relu", "softplus")[node % 3] for node in range(nodes)]
    leak = torch.linspace(0.2, 1.0, nodes)
    ends = random_graph(nodes, 60)
    options = {"activation": each, "leak": leak, "input_weight": [0.5, 2.0]} | options
    net = el.EdgeRNN(nodes, ends, [3, 1], [0, 1, 7], **options)
    if net.bias is not None:
        torch.nn.init.normal_(net.bias)
    return net


def gradients(y, x, weight, grad):
    return y.detach(), *torch.autograd.grad(y, (x, weight), grad)


def test_truth_of_a_network_is_that_of_a_loop_over_nodes():
    net, edges = drawn()
    x = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    grad = torch.randn(5, 3, dtype=torch.float64)
    h = node_by_node(edges, range(4), net.weight, net.bias, net.activations, x)
    expected = gradients(h[:, net.outputs], x, net.weight, grad)
    for part, other in zip(truths.network_truth(net, x, grad), expected, strict=True):
        torch.testing.assert_close(part, other)


@pytest.mark.parametrize("equation", ["rate", "potential"])
@pytest.mark.parametrize("inner", [1, 3])
def test_truth_of_a_recurrent_network_is_that_of_a_loop_over_nodes(inner, equation):
    net = recurrent(steps_per_input=inner, equation=equation)
    x = torch.randn(4, 5, 2, dtype=torch.float64, requires_grad=True)
    grad = torch.randn(4, 5, 3, dtype=torch.float64)
    y = step_by_step(net, x)[..., net.outputs]
    expected = gradients(y, x, net.weight, grad)
    for part, other in zip(truths.recurrent_truth(net, x, grad), expected, strict=True):
        torch.testing.assert_close(part, other)


@pytest.mark.parametrize("equation", ["rate", "potential"])
@pytest.mark.parametrize("inner", [1, 2])
def test_truth_of_clamped_inputs_is_that_of_the_network_in_float64(inner, equation):
    net = clamped(torch.float64, steps_per_input=inner, equation=equation)
    x = torch.randn(4, 5, 2, dtype=torch.float64, requires_grad=True)
    grad = torch.randn(4, 5, 3, dtype=torch.float64)
    expected = gradients(net(x)[0], x, net.weight, grad)
    for part, other in zip(truths.recurrent_truth(net, x, grad), expected, strict=True):
        torch.testing.assert_close(part, other)


def clamped(dtype, **options):
    """Return one whose inputs are clamped, with an output among them, means and responses."""
    ends = random_graph(12, 60)
    options = {"aggregation": {5: "mean"}, "response": torch.linspace(0.5, 1.5, 12)} | options
    options = {"clamp_inputs": True, "dtype": dtype, "leak": 0.6} | options
    kept = ends[:, (ends[1] != 3) & (ends[1] != 1)]
    return el.EdgeRNN(12, kept, [3, 1], [0, 1, 7], activation=["tanh", "softplus"] * 6, **options)


NETWORKS = {
    "mixed activations": lambda dtype: drawn(dtype=dtype)[0],
    "no bias": lambda dtype: drawn(dtype=dtype, bias=False)[0],
    "means and responses": lambda dtype: drawn(
        dtype=dtype, aggregation="mean", response=torch.linspace(0.5, 2, 30)
    )[0],
    "a constant": lambda dtype: small([(0, 2), (3, 2), (2, 4), (3, 5)], dtype=dtype),
    "inputs as outputs": lambda dtype: small([], outputs=("b", "a", "f"), dtype=dtype),
    "parallel edges": lambda dtype: small([(0, 2), (0, 2), (2, 4)], duplicates="keep", dtype=dtype),
    "rules": lambda dtype: el.rules.tie(small(dtype=dtype), [0, 0, 1, 1, 2, 2]),
    "recurrent": lambda dtype: recurrent(dtype=dtype),
    "inner steps": lambda dtype: recurrent(dtype=dtype, steps_per_input=2, leak=1.0, bias=False),
    "potentials": lambda dtype: recurrent(dtype=dtype, equation="potential"),
    "clamped": clamped,
    "clamped potentials": lambda dtype: clamped(dtype, equation="potential", steps_per_input=2),
    "noise": lambda dtype: recurrent(dtype=dtype, noise=1.0, leak=0.5, activation="tanh"),
}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("kind", NETWORKS)
def test_all_contenders_compute_the_same(kind, dtype):
    torch.manual_seed(0)
    comparison = compare(NETWORKS[kind](dtype), 8, TWO)
    assert [row.name for row in comparison.rows] == [*TWO, COMPOSED, COMPOSED_MASKED]
    assert all(row.agrees for row in comparison.rows), str(comparison)
    if dtype == torch.float64:
        assert max(row.weight_grad_error for row in comparison.rows) < 1e-11


@pytest.mark.parametrize("make", [lambda: small(dtype=torch.float32), recurrent])
def test_every_backend_that_runs_is_measured(make):
    comparison = compare(make(), 4)
    names = {row.name for row in comparison.rows} - {COMPOSED, COMPOSED_MASKED}
    assert names == set(backends.BACKENDS) - set(comparison.left_out)


def test_planted_error_is_shown(monkeypatch):
    right = backends.reference.spmm
    monkeypatch.setattr(backends.reference, "spmm", lambda *args: right(*args) + 0.25)
    rows = compare(small(dtype=torch.float32), 8, "reference").rows
    assert not rows[0].agrees and rows[0].output_error > 0.01 and rows[1].agrees


def test_parameters_are_those_of_edges_and_of_all_matrices():
    # Levels of a, b | c | d, f | e: matrices of 2 x 1, 3 x 2 and 5 x 1; biases but for inputs.
    rows = compare(small(), 4, "reference").rows
    assert [row.parameters for row in rows] == [6 + 6, 6 + 4, 2 + 6 + 5 + 4]
    rows = compare(recurrent(), 4, "reference").rows
    edges = recurrent().num_edges
    assert [row.parameters for row in rows] == [edges + 12, edges + 12, 144 + 12]


def test_composition_is_made_of_layers_on_all_values_before():
    layers = composed(small(), COMPOSED).forward.layers
    sizes = [(layer.in_features, layer.out_features, layer.num_edges) for layer in layers]
    assert sizes == [(2, 1, 2), (3, 2, 3), (5, 1, 1)]


def test_dense_matrices_that_do_not_fit_are_left_out(monkeypatch):
    net = small(dtype=torch.float32)
    needed = (2 + 6 + 5) * 25
    monkeypatch.setattr(contenders, "_free_bytes", lambda device: 4 * needed - 4)
    comparison = compare(net, 8, "reference")
    assert [row.name for row in comparison.rows] == ["reference", COMPOSED]
    assert "more than a quarter" in comparison.left_out[COMPOSED_MASKED]
    monkeypatch.setattr(contenders, "_free_bytes", lambda device: 4 * needed)
    assert len(compare(net, 8, "reference").rows) == 3


def test_title_says_what_the_network_is():
    assert compare(small(), 4, "reference").title == (
        "2 -> 2 of 6 nodes, 6 edges, 4 levels, batch 4, float64"
    )
    title = compare(recurrent(), 4, "reference", steps=3).title
    assert title.startswith("2 -> 3 of 12 nodes, ") and "3 steps, batch 4" in title


def test_network_and_random_state_stay_as_they_are():
    net = recurrent(noise=0.1)
    before, state = {k: v.clone() for k, v in net.state_dict().items()}, torch.get_rng_state()
    compare(net, 4, "reference")
    assert net.training and net.weight.grad is None
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


@pytest.mark.parametrize(
    ("make", "options", "error", "message"),
    [
        (lambda: small(aggregation="max"), {}, ValueError, "no other aggregation, got 'max'"),
        (small, {"steps": 3}, ValueError, "`steps` is for an EdgeRNN, got EdgeNetwork"),
        (recurrent, {"steps": 0}, ValueError, "`steps` must be at least 1, got 0"),
        (recurrent, {"steps": 2.0}, TypeError, "`steps` must be an integer"),
    ],
)
def test_what_cannot_be_compared_is_refused(make, options, error, message):
    with pytest.raises(error, match=message):
        compare(make(), 4, **options)


@pytest.mark.parametrize(
    ("times", "words"),
    [
        ((1.0, 4.0, 2.0), "4.0 times faster than EdgeLinear composed and 2.0 times faster than"),
        ((4.0, 2.0, 1.0), "2.0 times slower than EdgeLinear composed and 4.0 times slower than"),
    ],
)
def test_sentence_holds_the_network_against_its_compositions(times, words):
    names = ("cpp", COMPOSED, COMPOSED_MASKED)
    rows = [
        el.comparison.Row(name, 1, 0.0, 0.0, 0.0, True, *[ms] * 6, 0, 0)
        for name, ms in zip(names, times, strict=True)
    ]
    found = el.Comparison(2, 2, 2, 2, "float32", {}, rows, graph="a network")
    assert found.sentence.startswith("cpp is the fastest backend here") and words in found.sentence
    assert found.dense_is_better == (times[2] < times[0])
