"""EdgeRNN with clamped inputs against a dense loop in float64."""

import copy
import pickle

import numpy as np
import pytest
import torch
from graphs import random_graph
from torch.testing import assert_close

import edgelinear as el

NODES, INPUTS, OUTPUTS = 12, [3, 7, 1], [5, 1, 9, 2]  # 1 is both
COMPILED, MIXED = ["tanh", "relu", "identity", "sigmoid"], ["tanh", "sin", "gelu", "relu"]
FUNCTIONS = {
    "identity": lambda z: z,
    "gelu": torch.nn.functional.gelu,
    **{name: getattr(torch, name) for name in ("tanh", "relu", "sigmoid", "sin")},
}


def edges():
    ends = random_graph(NODES, 60)
    return ends[:, ~np.isin(ends[1], INPUTS)]


def clamped(activations=COMPILED, **options):
    each = [activations[node % len(activations)] for node in range(NODES)]
    options = {
        "response": torch.linspace(0.5, 1.5, NODES),
        "leak": np.linspace(0.2, 0.9, NODES),
        "learn_leak": True,
        "input_weight": "learn",
        "aggregation": {2: "mean", 5: "mean"},
        "dtype": torch.float64,
    } | options
    net = el.EdgeRNN(NODES, edges(), INPUTS, OUTPUTS, activation=each, clamp_inputs=True, **options)
    with torch.no_grad():
        net.bias.normal_()
        if net.input_weight is not None:
            net.input_weight.normal_()
    return net


def drawn(batch=4, time=6):
    x = torch.randn(batch, time, 3, dtype=torch.float64, requires_grad=True)
    return x, torch.randn(batch, NODES, dtype=torch.float64, requires_grad=True)


def truth(net, x, state, noise=None):
    """Return outputs and the last state, with all but the inputs computed by a dense matrix."""
    src, dst = net.edge_index
    matrix = torch.zeros(NODES, NODES, dtype=x.dtype).index_put((dst, src), net.weight)
    fan_in = torch.bincount(dst, minlength=NODES)
    mean = torch.tensor([1 / fan_in[node] if node in (2, 5) else 1.0 for node in range(NODES)])
    matrix = matrix * (mean.to(x.dtype) * net.response)[:, None]
    is_input = torch.tensor([node in INPUTS for node in range(NODES)])
    h, y = state, []
    for t in range(x.shape[1]):
        fed = torch.zeros_like(h).index_copy(1, net.inputs, x[:, t] * net.input_weight)
        for inner in range(net.steps_per_input):
            h = torch.where(is_input, fed, h)
            z = h @ matrix.T + net.bias
            if noise is not None:
                z = z + noise[t * net.steps_per_input + inner].T
            f = torch.stack([FUNCTIONS[a](c) for a, c in zip(net.activations, z.T, strict=True)], 1)
            h = torch.where(is_input, fed, (1 - net.leak) * h + net.leak * f)
        y.append(h[:, net.outputs])
    return torch.stack(y, 1), h


def gradients(net, results, x, state, **options):
    torch.manual_seed(1)
    tensors, by = [*net.parameters(), x, state], [torch.randn_like(r) for r in results]
    return torch.autograd.grad(results, tensors, by, **options)


@pytest.mark.parametrize("backend", ["cpp", "torch_csr", "reference"])
@pytest.mark.parametrize("inner", [1, 3])
@pytest.mark.parametrize("activations", [COMPILED, MIXED], ids=["compiled", "mixed"])
def test_values_and_gradients_are_those_of_a_dense_loop(activations, inner, backend):
    net = clamped(activations, backend=backend, steps_per_input=inner)
    x, state = drawn()
    found, expected = net(x, state), truth(net, x, state)
    assert_close(found, expected)
    assert_close(gradients(net, found, x, state), gradients(net, expected, x, state))


def test_gradcheck_of_first_and_second_order_and_in_forward_mode():
    net = clamped(["tanh", "sigmoid"])
    x, state = drawn(2, 3)
    names = [name for name, _ in net.named_parameters()]

    def call(x, state, *parameters):
        named = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(net, named, (x, state))

    arguments = (x, state, *net.parameters())
    assert torch.autograd.gradcheck(call, arguments, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(call, arguments)


def test_streams_chunks_checkpoints_and_lengths_are_the_sequence():
    net = clamped(steps_per_input=2)
    x, state = drawn(4, 7)
    y, last = truth(net, x, state)
    h, by_step = state, []
    for t in range(7):
        h = net.step(x[:, t], h)
        by_step.append(h[:, net.outputs])
    assert_close((torch.stack(by_step, 1), h), (y, last))
    first, h = net(x[:, :3], state)
    second, h = net(x[:, 3:], h)
    assert_close((torch.cat([first, second], 1), h), (y, last))
    assert_close(net(x, state, checkpoint_every=3), (y, last))
    lengths = [3, 7, 1, 5]
    found, h = net(x, state, lengths=lengths)
    for i, length in enumerate(lengths):
        one = truth(net, x[i : i + 1, :length], state[i : i + 1])
        assert_close((found[i : i + 1, :length], h[i : i + 1]), one)


def test_noise_is_added_to_sums_and_not_to_inputs():
    net = clamped(noise=0.5)
    x, state = drawn()
    torch.manual_seed(1)
    noise = 0.5 * torch.randn(6, NODES, 4, dtype=torch.float64)[:, net._plan.place]
    expected = truth(net, x, state, noise)
    torch.manual_seed(1)
    assert_close(net(x, state), expected)


def test_copies_and_compiled_and_exported_ones_compute_the_same():
    net = clamped()
    x, state = drawn()
    expected = net(x, state)
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert all(map(torch.equal, other(x, state), expected))
    torch._dynamo.reset()
    compiled = torch.compile(net, fullgraph=True, backend="aot_eager")
    found = compiled(x, state)
    assert_close(found, expected)
    assert_close(gradients(net, found, x, state), gradients(net, expected, x, state))
    program = torch.export.export(net, (x, state))
    assert_close(program.module()(2 * x, state), net(2 * x, state))


def test_per_sample_gradients_are_those_of_samples_alone():
    net = clamped()
    x = drawn()[0].detach()
    parameters = dict(net.named_parameters())

    def loss(parameters, x):
        return torch.func.functional_call(net, parameters, (x,))[0].square().sum()

    found = torch.func.vmap(torch.func.grad(loss), (None, 0))(parameters, x)
    for i, sample in enumerate(x):
        alone = torch.autograd.grad(loss(parameters, sample), [*parameters.values()])
        assert_close([g[i] for g in found.values()], [*alone])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_are_near(dtype):
    net = clamped(dtype=torch.float32)
    x = drawn()[0].detach().float()
    exact = net(x)[0]
    half = net.to(dtype)(x.to(dtype))[0]
    assert half.dtype == dtype
    assert_close(half.float(), exact, atol=16 * torch.finfo(dtype).eps, rtol=0.01)


def test_radius_is_that_of_the_matrix_of_sums():
    net = clamped()
    src, dst = net.edge_index
    matrix = torch.zeros(NODES, NODES, dtype=torch.float64)
    matrix[dst, src] = net.weight.detach()
    mean = torch.tensor([int((dst == n).sum()) if n in (2, 5) else 1.0 for n in range(NODES)])
    matrix = matrix * (net.response.detach() / mean)[:, None]
    expected = np.abs(np.linalg.eigvals(matrix.numpy())).max()
    assert net.spectral_radius() == pytest.approx(expected, rel=1e-6)
    assert net.scale_spectral_radius_(0.7).spectral_radius() == pytest.approx(0.7, rel=1e-6)


def test_edges_into_clamped_inputs_are_refused():
    with pytest.raises(ValueError, match="edge 1, 1 -> 0: take it out, or leave out `clamp_"):
        el.EdgeRNN(2, [(0, 1), (1, 0)], [0], [1], clamp_inputs=True)
    with pytest.raises(ValueError, match="one of sum, mean, got 'max': a step"):
        el.EdgeRNN(2, [(0, 1)], [0], [1], aggregation="max")
    with pytest.raises(TypeError, match="`clamp_inputs` must be True or False, got 1"):
        el.EdgeRNN(2, [(0, 1)], [0], [1], clamp_inputs=1)
