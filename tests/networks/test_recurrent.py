"""EdgeRNN against a loop over nodes in float64: values, gradients, bits, and sequences."""

import numpy as np
import pytest
import torch
from graphs import random_graph, step_by_step
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.testing import assert_close

import edgelinear as el
from edgelinear.networks import history, steps

BACKENDS = ("cpp", "torch_csr", "reference")
COMPILED = ["tanh", "relu", "identity", "sigmoid"]
MIXED = ["tanh", "sin", "gelu", "relu"]
NODES, INPUTS, OUTPUTS = 20, [3, 7, 1], [1, 12, 9, 2]
LEAKS = {
    "none": {},
    "fixed": {"leak": 0.3},
    "one a node": {"leak": np.linspace(0.1, 1.0, NODES)},
    "learned": {"leak": 0.6, "learn_leak": True},
    "learned, one a node": {"leak": np.linspace(0.1, 1.0, NODES), "learn_leak": True},
}
EQUATIONS = ("rate", "potential")
FORMS = {
    f"{equation}, {leak}": {"equation": equation, **options}
    for equation in EQUATIONS
    for leak, options in LEAKS.items()
}
equations = pytest.mark.parametrize("equation", EQUATIONS)


def recurrent(activations=COMPILED, **options):
    """Return a network, of which outputs 1 and 9 feed others, and 1 is an input too."""
    each = [activations[node % len(activations)] for node in range(NODES)]
    options = {"dtype": torch.float64, "input_weight": "learn"} | options
    net = el.EdgeRNN(
        NODES, random_graph(NODES, 70), INPUTS, OUTPUTS, activation=each, **options
    ).scale_spectral_radius_(0.9)
    with torch.no_grad():
        if net.bias is not None:
            net.bias.normal_()
        if net.input_weight is not None:
            net.input_weight.normal_()
    return net


def drawn(net, batch, time):
    x = torch.randn(batch, time, 3, dtype=torch.float64, requires_grad=True)
    state = torch.randn(batch, net.num_nodes, dtype=torch.float64, requires_grad=True)
    return x, state


def of_nodes(net, x, state=None, **options):
    every = step_by_step(net, x, state, **options)
    return every[:, :, net.outputs], every[:, -1]


def gradients(results, tensors, by, **options):
    return torch.autograd.grad(results, tensors, by, **options)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("activations", [COMPILED, MIXED], ids=["compiled", "mixed"])
def test_values_and_gradients_are_those_of_a_loop_over_nodes(activations, form, backend):
    net = recurrent(activations, backend=backend, **FORMS[form])
    x, state = drawn(net, 5, 6)
    expected, found = of_nodes(net, x, state), net(x, state)
    assert_close(found, expected)
    tensors, by = [*net.parameters(), x, state], [torch.randn_like(t) for t in expected]
    for which in ([0, 1], [0], [1]):  # outputs and state, or one of them

        def some(of, which=which):
            return [of[i] for i in which]

        wanted = gradients(some(expected), tensors, some(by), retain_graph=True)
        assert_close(gradients(some(found), tensors, some(by), retain_graph=True), wanted)


@pytest.mark.parametrize(
    "form", ["rate, none", "rate, learned, one a node", "potential, fixed", "potential, learned"]
)
@pytest.mark.parametrize(("batch", "time"), [(1, 1), (1, 40), (3, 1), (17, 30), (70, 11)])
def test_parts_of_steps_add_up(batch, time, form, monkeypatch):
    monkeypatch.setattr(history, "_SAMPLES", 60)
    net = recurrent(bias=False, **FORMS[form])
    x, state = drawn(net, batch, time)
    expected, found = of_nodes(net, x, state), net(x, state)
    assert_close(found, expected)
    tensors, by = [*net.parameters(), x, state], [torch.randn_like(t) for t in expected]
    assert_close(gradients(found, tensors, by), gradients(expected, tensors, by))
    with torch.no_grad():
        assert_close(net(x, state), expected)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("activations", [COMPILED, MIXED], ids=["compiled", "mixed"])
def test_second_derivatives_are_those_of_a_loop_over_nodes(activations, form):
    net = recurrent(activations, **FORMS[form])
    x, state = drawn(net, 3, 4)
    tensors = [*net.parameters(), x, state]

    def second(results):
        loss = sum(r.square().sum() for r in results)
        first = torch.autograd.grad(loss, tensors, create_graph=True)
        return torch.autograd.grad(sum(g.square().sum() for g in first), tensors)

    assert_close(second(net(x, state)), second(of_nodes(net, x, state)))


@equations
def test_gradcheck_of_first_and_second_order_and_in_forward_mode(equation):
    net = recurrent(["tanh", "sigmoid"], equation=equation, **LEAKS["learned, one a node"])
    x, state = drawn(net, 2, 3)
    names = [name for name, _ in net.named_parameters()]

    def call(x, state, *parameters):
        return torch.func.functional_call(
            net, dict(zip(names, parameters, strict=True)), (x, state)
        )

    arguments = (x, state, *net.parameters())
    assert torch.autograd.gradcheck(call, arguments, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(call, arguments)


@pytest.mark.parametrize("form", FORMS)
def test_gradient_twice_over_reuses_what_was_kept_right(form):
    net = recurrent(**FORMS[form])
    x, state = drawn(net, 4, 5)
    y, _ = net(x, state)
    first = torch.autograd.grad(y.sum(), net.weight, retain_graph=True)
    assert_close(torch.autograd.grad(y.sum(), net.weight, create_graph=True), first)


@settings(max_examples=40)
@given(data=st.data())
def test_any_small_graph(data):
    nodes = data.draw(st.integers(1, 6))
    ends = st.tuples(st.integers(0, nodes - 1), st.integers(0, nodes - 1))
    edges = data.draw(st.lists(ends, max_size=12))
    some = st.lists(st.integers(0, nodes - 1), min_size=1, unique=True)
    leak = data.draw(st.one_of(st.just(1.0), st.lists(st.floats(0, 1), min_size=nodes)))
    net = el.EdgeRNN(
        nodes, np.array(edges, np.int64).reshape(-1, 2).T, data.draw(some), data.draw(some),
        activation=data.draw(st.lists(st.sampled_from(COMPILED), min_size=nodes, max_size=nodes)),
        equation=data.draw(st.sampled_from(EQUATIONS)),
        leak=leak if isinstance(leak, float) else leak[:nodes], duplicates="keep",
        steps_per_input=data.draw(st.integers(1, 3)), dtype=torch.float64,
    )  # fmt: skip
    x = torch.randn(
        data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4)), net.in_features,
        dtype=torch.float64, requires_grad=True,
    )  # fmt: skip
    expected, found = of_nodes(net, x), net(x)
    assert_close(found, expected)
    tensors, by = [*net.parameters(), x], [torch.randn_like(t) for t in expected]
    wanted = gradients(expected, tensors, by, allow_unused=True, materialize_grads=True)
    assert_close(gradients(found, tensors, by), wanted)


def test_dense_masked_rnn_of_torch_computes_the_same():
    net = el.EdgeRNN(9, random_graph(9, 30), range(9), range(9), dtype=torch.float64)
    dense = torch.nn.RNN(9, 9, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        dense.weight_hh_l0.zero_()
        dense.weight_hh_l0[net.edge_index[1], net.edge_index[0]] = net.weight
        dense.weight_ih_l0.copy_(torch.eye(9))
        dense.bias_ih_l0.copy_(net.bias.normal_())
        dense.bias_hh_l0.zero_()
    x, h = torch.randn(4, 12, 9, dtype=torch.float64), torch.randn(4, 9, dtype=torch.float64)
    y, last = dense(x, h[None])
    assert_close(net(x, h), (y, last[0]))


def test_potentials_by_their_formula():
    """dv/dt = (rest - v + W relu(v) + input) / time_constant, by steps of Euler."""
    step, rest = 0.02, 0.5
    time_constants = np.linspace(0.05, 0.5, 50)
    net = el.EdgeRNN(
        50, random_graph(50, 300), [4, 7], range(50), activation="relu", equation="potential",
        leak=step / time_constants, dtype=torch.float64,
    ).scale_spectral_radius_(0.9)  # fmt: skip
    torch.nn.init.constant_(net.bias, rest)
    matrix, into = np.zeros((50, 50)), np.zeros((50, 2))
    matrix[net.edge_index[1], net.edge_index[0]] = net.weight.detach()
    into[4, 0] = into[7, 1] = 1
    u, expected = np.random.default_rng(0).normal(size=(200, 2)), []
    v = start = np.random.default_rng(1).normal(size=50)
    for t in range(200):
        v = v + step / time_constants * (rest - v + matrix @ np.maximum(v, 0) + into @ u[t])
        expected.append(v)
    found = net(torch.from_numpy(u), torch.from_numpy(start))[0]
    assert_close(found, torch.from_numpy(np.stack(expected)))


def test_echo_state_network_by_its_formula():
    leak, steps_of_time = 0.3, 50
    net = el.EdgeRNN(
        100, random_graph(100, 900), [0, 1], range(100), leak=leak, bias=False,
        input_weight=[0.5, -2.0], dtype=torch.float64,
    ).scale_spectral_radius_(0.8)  # fmt: skip
    matrix, into = np.zeros((100, 100)), np.zeros((100, 2))
    matrix[net.edge_index[1], net.edge_index[0]] = net.weight.detach()
    into[0, 0], into[1, 1] = 0.5, -2.0
    u, h, expected = np.random.default_rng(0).normal(size=(steps_of_time, 2)), np.zeros(100), []
    for t in range(steps_of_time):
        h = (1 - leak) * h + leak * np.tanh(matrix @ h + into @ u[t])
        expected.append(h)
    assert_close(net(torch.from_numpy(u))[0], torch.from_numpy(np.stack(expected)))


@equations
@pytest.mark.parametrize("activations", [COMPILED, MIXED], ids=["compiled", "mixed"])
def test_several_steps_for_one_input(activations, equation):
    net = recurrent(activations, steps_per_input=3, leak=0.5, equation=equation)
    x, state = drawn(net, 4, 3)
    assert_close(net(x, state), of_nodes(net, x, state))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("batch", [1, 5, 16, 70])
def test_bits_depend_neither_on_threads_nor_on_the_batch(batch, form):
    options = {key: v[0] if isinstance(v, np.ndarray) else v for key, v in FORMS[form].items()}
    edges = random_graph(300, 9000)
    each = [COMPILED[node % 4] for node in range(300)]
    net = el.EdgeRNN(300, edges, range(5), range(200, 300), activation=each, **options)
    x = torch.randn(batch, 9, 5)

    def run():
        y, state = net(x)
        found = torch.autograd.grad(y.square().sum(), [*net.parameters()])
        with torch.no_grad():
            return y.detach(), state.detach(), *net(x), *found

    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = run()
        alone = torch.cat([net(sample[None])[0] for sample in x])
        torch.set_num_threads(4)
        four = run()
    finally:
        torch.set_num_threads(threads)
    assert all(map(torch.equal, one, four))
    assert torch.equal(one[0], alone)
    assert torch.equal(one[0], one[2]) and torch.equal(one[1], one[3])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("every", [1, 2, 5, 100])
def test_checkpoints_change_no_bits_of_outputs(every, form):
    net = recurrent(**FORMS[form])
    x, state = drawn(net, 3, 7)
    kept, again = net(x, state), net(x, state, checkpoint_every=every)
    assert all(map(torch.equal, kept, again))
    tensors = [*net.parameters(), x, state]
    by = [torch.randn_like(t) for t in kept]
    assert_close(gradients(again, tensors, by), gradients(kept, tensors, by))


def test_checkpoints_draw_the_same_noise_again():
    net = recurrent(noise=0.5)
    x, state = drawn(net, 3, 6)
    torch.manual_seed(1)
    y = net(x, state, checkpoint_every=2)[0]
    found = torch.autograd.grad(y.sum(), net.weight)
    torch.manual_seed(1)
    whole = []
    for chunk in x.split(2, 1):
        chunk, state = net(chunk, state)
        whole.append(chunk)
    assert torch.equal(torch.cat(whole, 1), y)
    assert_close(torch.autograd.grad(torch.cat(whole, 1).sum(), net.weight), found)


@equations
def test_noise_is_added_to_the_sums_in_training_alone(equation):
    net = recurrent(noise=0.5, equation=equation)
    x, state = drawn(net, 3, 6)
    torch.manual_seed(1)
    noise = 0.5 * torch.randn(6, NODES, 3, dtype=torch.float64)[:, net._plan.place]
    expected = of_nodes(net, x, state, noise=noise)
    tensors, by = [*net.parameters(), x, state], [torch.randn_like(t) for t in expected]
    wanted = gradients(expected, tensors, by)
    torch.manual_seed(1)
    found = net(x, state)
    assert_close(found, expected)
    assert_close(gradients(found, tensors, by), wanted)
    net.eval()
    assert_close(net(x, state), of_nodes(net, x, state))


@equations
@pytest.mark.parametrize("activations", [COMPILED, MIXED], ids=["compiled", "mixed"])
def test_step_by_step_is_the_sequence(activations, equation):
    net = recurrent(activations, leak=0.4, steps_per_input=2, equation=equation)
    x, state = drawn(net, 3, 5)
    y, last = net(x, state)
    h = state
    for t in range(5):
        h = net.step(x[:, t], h)
        assert_close(h[:, net.outputs], y[:, t])
    assert_close(h, last)
    assert net.step(x[0, 0], state[0]).shape == (NODES,)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("batch", [1, 5, 70])
def test_streaming_without_gradients_has_the_bits_of_the_sequence(batch, form):
    net = recurrent(**FORMS[form])
    x, state = drawn(net, batch, 4)
    with torch.inference_mode():
        y, last = net(x, state)
        h = state
        for t in range(4):
            h = net.step(x[:, t], h)
            assert torch.equal(h[:, net.outputs], y[:, t])
        assert torch.equal(h, last)
        assert torch.equal(net.step(x[:, 0]), net(x[:, :1])[1])
        assert torch.equal(net.step(x[0, 0], state[0]), net.step(x[:1, 0], state[:1])[0])


def test_leading_dimensions_are_those_of_the_input():
    net = recurrent()
    x = torch.randn(2, 3, 6, 3, dtype=torch.float64)
    y, state = net(x)
    assert y.shape == (2, 3, 6, 4) and state.shape == (2, 3, NODES)
    alone = net(x[1, 2])
    assert_close(alone, (y[1, 2], state[1, 2]))
    assert alone[0].shape == (6, 4) and alone[1].shape == (NODES,)
    assert [tuple(t.shape) for t in net(x[:, :0])] == [(2, 0, 6, 4), (2, 0, NODES)]


LENGTHS = [3, 6, 1, 6, 2]


@equations
@pytest.mark.parametrize("every", [None, 2])
@pytest.mark.parametrize("activations", [COMPILED, MIXED], ids=["compiled", "mixed"])
def test_sequences_of_unequal_length_are_those_alone(activations, every, equation):
    net = recurrent(activations, leak=0.4, equation=equation)
    x, state = drawn(net, 5, 8)
    with torch.no_grad():
        for i, length in enumerate(LENGTHS):
            x[i, length:] = torch.nan  # which is not read
    y, last = net(x, state, lengths=torch.tensor(LENGTHS), checkpoint_every=every)
    expected = [net(x[i : i + 1, :length], state[i : i + 1]) for i, length in enumerate(LENGTHS)]
    for i, length in enumerate(LENGTHS):
        assert_close(y[i, :length], expected[i][0][0])
        assert not y[i, length:].any()
        assert_close(last[i], expected[i][1][0])
    loss = sum(y.square().sum() + h.sum() for y, h in expected)
    tensors = [*net.parameters(), x, state]
    found = torch.autograd.grad(y.square().sum() + last.sum(), tensors)
    assert_close(found, torch.autograd.grad(loss, tensors))


@pytest.mark.parametrize("enforce_sorted", [False, True])
def test_packed_sequences_are_padded_ones(enforce_sorted):
    net = recurrent()
    x, state = drawn(net, 5, 6)
    lengths = sorted(LENGTHS, reverse=True) if enforce_sorted else LENGTHS
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=enforce_sorted)
    y, last = net(packed, state)
    assert torch.equal(y.batch_sizes, packed.batch_sizes)
    padded, of = pad_packed_sequence(y, batch_first=True)
    assert of.tolist() == lengths
    expected = net(x, state, lengths=lengths)
    assert torch.equal(padded, expected[0]) and torch.equal(last, expected[1])


def test_truncated_backpropagation_sees_one_chunk():
    net = recurrent()
    x, state = drawn(net, 3, 6)
    _, state = net(x[:, :3], state)
    net(x[:, 3:], state.detach())[0].sum().backward()
    assert not x.grad[:, :3].any() and x.grad[:, 3:].any()


def test_rules_are_computed_once_a_sequence():
    net = recurrent()
    el.rules.fix_signs(net, np.where(np.arange(NODES) % 3, 1, -1))
    computed = []
    net.parametrizations["weight"][0].register_forward_hook(lambda *_: computed.append(1))
    x, state = drawn(net, 3, 6)
    y, _ = net(x, state)
    assert len(computed) == 1
    assert_close(y, of_nodes(net, x, state)[0])


def test_inference_keeps_no_history(monkeypatch):
    net = recurrent()
    kept = []
    monkeypatch.setattr(
        steps.history, "forward", lambda *a, f=history.forward: kept.append(a[8]) or f(*a)
    )
    x, state = drawn(net, 3, 6)
    net(x, state)
    with torch.no_grad():
        net(x, state)
    assert kept == [True, False]


@equations
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_keep_their_states_in_float32(dtype, equation):
    net = recurrent(dtype=torch.float32, equation=equation)
    x, state = (t.detach().float() for t in drawn(net, 4, 9))
    exact = net(x, state)[0]
    with torch.autocast("cpu", dtype):
        y, last = net(x, state)
    assert y.dtype == dtype and last.dtype == torch.float32
    assert_close(y.float(), exact, atol=8 * torch.finfo(dtype).eps, rtol=0)  # inputs were rounded
    half, state = net.to(dtype)(x.to(dtype), state)
    assert half.dtype == dtype and state.dtype == torch.float32
    assert_close(half.float(), exact, atol=16 * torch.finfo(dtype).eps, rtol=0)  # weights too


def test_no_sequences_have_lengths_and_a_state():
    net = el.EdgeRNN(3, [(0, 1), (1, 2)], [0], [2])
    y, state = net(torch.randn(0, 4, 1), torch.zeros(0, 3), lengths=[])
    assert y.shape == (0, 4, 1) and state.shape == (0, 3)
