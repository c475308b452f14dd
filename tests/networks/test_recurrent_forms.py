"""EdgeRNN as torch handles modules: copies, state dicts, compilers, transforms; and bad input."""

import copy
import pickle

import numpy as np
import pandas
import pytest
import torch
from graphs import random_graph, step_by_step
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

import edgelinear as el
from edgelinear.networks import steps
from edgelinear.networks.activations import Scaled

NODES, INPUTS, OUTPUTS = 12, [3, 7, 1], [1, 5, 9, 2]


def recurrent(activation="tanh", **options):
    options = {"leak": 0.4, "learn_leak": True, "dtype": torch.float64} | options
    return el.EdgeRNN(NODES, random_graph(NODES, 40), INPUTS, OUTPUTS, activation=activation,
                      input_weight="learn", **options)  # fmt: skip


equations = pytest.mark.parametrize("equation", ["rate", "potential"])


def with_gradients(net, results):
    return *results, *torch.autograd.grad(sum(r.square().sum() for r in results), net.parameters())


@pytest.fixture
def x():
    return torch.randn(5, 6, 3, dtype=torch.float64)


def test_copies_and_pickles_compute_the_same(x):
    net = recurrent(["relu", "tanh"] * 6, steps_per_input=2)
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert all(map(torch.equal, other(x), net(x)))
        assert other.weight is not net.weight and other.leak is not net.leak


def test_state_dict_holds_the_wiring_and_every_parameter(x):
    net = recurrent(leak=np.linspace(0.1, 1, NODES), learn_leak=False)
    state = net.state_dict()
    assert {"weight", "bias", "leak", "input_weight", "inputs", "outputs"} <= {*state}
    same = recurrent(leak=np.full(NODES, 0.5), learn_leak=False)
    same.load_state_dict(state)
    assert all(map(torch.equal, same(x), net(x)))
    other = el.EdgeRNN(NODES, random_graph(NODES, 40), INPUTS, OUTPUTS[::-1])
    with pytest.raises(RuntimeError, match="not the list of outputs here"):
        other.load_state_dict(state)


def test_reset_parameters_restores_what_meta_has_lost():
    net = recurrent(device="meta").to_empty(device="cpu")
    net.reset_parameters()
    assert net.leak.item() == 0.4
    assert net.input_weight.tolist() == [1, 1, 1]
    assert not net.bias.any()
    assert net.spectral_radius() < 2


@pytest.mark.parametrize("activation", ["tanh", torch.sin, torch.special.erf])
def test_compiled_network_takes_any_batch(x, activation):
    net = recurrent(activation)
    torch._dynamo.reset()
    compiled = torch.compile(net, fullgraph=True, backend="aot_eager", dynamic=True)
    for batch in (5, 3, 8):
        x = torch.randn(batch, 6, 3, dtype=torch.float64)
        assert_close(with_gradients(net, compiled(x)), with_gradients(net, net(x)))


@pytest.mark.parametrize(("equation", "every"), [("rate", None), ("potential", 2)])
def test_compiled_sequences_of_unequal_length_are_those_of_eager_mode(equation, every):
    net = recurrent(equation=equation, steps_per_input=2)
    torch._dynamo.reset()
    compiled = torch.compile(net, fullgraph=True, backend="aot_eager", dynamic=True)
    for lengths in ([3, 1, 3, 2], [1, 2, 3, 2]):
        lengths = torch.tensor(lengths)
        x = torch.randn(4, 3, 3, dtype=torch.float64)
        x[lengths[:, None] <= torch.arange(3)] = torch.nan  # which does not count
        options = {"lengths": lengths, "checkpoint_every": every}
        found = with_gradients(net, compiled(x, **options))
        assert_close(found, with_gradients(net, net(x, **options)))


@equations
def test_exported_network_takes_any_batch(x, equation):
    net = recurrent(equation=equation)
    batch = torch.export.Dim("batch", min=2)
    program = torch.export.export(net, (x,), dynamic_shapes={"input": {0: batch}})
    assert_close(program.module()(x[:3]), net(x[:3]))


def test_traced_network_computes_the_same(x):
    net = recurrent()
    assert_close(torch.jit.trace(net, (x,), check_trace=False)(2 * x), net(2 * x))


@pytest.mark.slow
def test_onnx_computes_the_same(x):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    net, x = recurrent(dtype=torch.float32).eval(), x.float()
    program = torch.onnx.export(net, (x,), dynamo=True, verbose=False)
    session = runtime.InferenceSession(program.model_proto.SerializeToString())
    found = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    assert_close([torch.from_numpy(f) for f in found], [*net(x)])


@equations
def test_per_sample_gradients_are_those_of_samples_alone(x, equation):
    net = recurrent(equation=equation)
    parameters = dict(net.named_parameters())

    def loss(parameters, x):
        return torch.func.functional_call(net, parameters, (x,))[0].square().sum()

    found = torch.func.vmap(torch.func.grad(loss), (None, 0))(parameters, x)
    for i, sample in enumerate(x):
        alone = torch.autograd.grad(loss(parameters, sample), [*parameters.values()])
        assert_close([g[i] for g in found.values()], [*alone])


@pytest.mark.slow
@equations
def test_compiled_transforms_are_those_of_eager_mode(equation):
    net, x = recurrent(equation=equation), torch.randn(2, 2, 3, dtype=torch.float64)
    parameters = dict(net.named_parameters())

    def loss(parameters, x):
        return torch.func.functional_call(net, parameters, (x,))[0].square().sum()

    def tangent(parameters, x):
        return torch.func.jvp(lambda x: loss(parameters, x), (x,), (x,))[1]

    each = torch.func.vmap(torch.func.grad(loss), (None, 0))
    for transform in (torch.func.grad(loss), each, tangent):
        torch._dynamo.reset()
        compiled = torch.compile(transform, fullgraph=True, backend="aot_eager")
        assert_close(compiled(parameters, x), transform(parameters, x))


@equations
def test_tangents_and_jacobians_agree(x, equation):
    net = recurrent(equation=equation)

    def outputs(x):
        return net(x)[0]

    jacobian = torch.autograd.functional.jacobian(outputs, x)
    assert_close(torch.autograd.functional.jacobian(outputs, x, vectorize=True), jacobian)
    direction = torch.randn_like(x)
    tangent = torch.func.jvp(outputs, (x,), (direction,))[1]
    assert_close(tangent, torch.tensordot(jacobian, direction, 3))
    assert_close(torch.func.vmap(outputs)(x), outputs(x))


def test_steps_are_one_by_one_where_a_mode_watches(x):
    net = recurrent()
    with FlopCounterMode(display=False) as counter:
        y, _ = net(x)
    assert counter.get_total_flops() == 6 * 2 * net.num_edges * 5
    assert_close(y, net(x)[0])


def test_nothing_is_kept_but_one_history_and_parameters(x):
    net, kept = recurrent(), {}

    def count(tensor):
        kept[tensor.data_ptr()] = tensor.nbytes
        return tensor

    state = torch.randn(5, NODES, dtype=torch.float64)
    with torch.autograd.graph.saved_tensors_hooks(count, lambda t: t):
        net(x, state)
    parameters = sum(p.nbytes for p in net.parameters())
    # Beside those: x times its factors, the bias and the leak by place.
    assert sum(kept.values()) <= 6 * state.nbytes + state.nbytes + 2 * parameters + 2 * x.nbytes


def test_profiler_sees_what_runs_without_it(x):
    net = recurrent()
    with torch.profiler.profile() as profile:
        net(x)
    assert "_Steps" in {event.name for event in profile.events()}


def test_parallel_edges_and_names():
    table = pandas.DataFrame({"source": ["x", "h", "h"], "target": ["h", "h", "y"]})
    net = el.EdgeRNN.from_wiring(el.convert.from_table(table), ["x"], ["y"], leak=0.5)
    assert net.node_names == ["x", "h", "y"] and net.in_names == ["x"] and net.out_names == ["y"]
    doubled = el.EdgeRNN(2, [(0, 1), (0, 1)], [0], [1], duplicates="keep", dtype=torch.float64)
    x = torch.randn(2, 3, 1, dtype=torch.float64)
    assert_close(doubled(x)[0], step_by_step(doubled, x)[:, :, [1]])


RULES = {
    "none": lambda net: net,
    "signed": lambda net: el.rules.fix_signs(net, np.where(np.arange(NODES) % 3, 1, -1)),
    "tied": lambda net: el.rules.tie(net, torch.arange(net.num_edges) % 7),
    "nonnegative": el.rules.fix_nonnegative,
}


@pytest.mark.parametrize("rule", RULES)
def test_spectral_radius_is_that_of_the_dense_matrix(rule):
    net = RULES[rule](recurrent())

    def expected():
        matrix = np.zeros((NODES, NODES))
        matrix[net.edge_index[1], net.edge_index[0]] = net.weight.detach()
        return np.abs(np.linalg.eigvals(matrix)).max()

    assert net.spectral_radius() == pytest.approx(expected(), rel=1e-9)
    assert net.scale_spectral_radius_(0.9) is net
    assert expected() == pytest.approx(0.9, rel=1e-9)
    el.rules.scale_spectral_radius(net, 0.5)
    assert net.spectral_radius() == pytest.approx(0.5, rel=1e-9)


def test_frozen_weights_have_a_radius_and_are_not_scaled():
    net = el.rules.freeze(recurrent(), [True] + [False] * 34)
    assert net.spectral_radius() > 0
    with pytest.raises(ValueError, match="1 weight is frozen"):
        net.scale_spectral_radius_(0.9)
    with pytest.raises(ValueError, match="`radius` must be a positive number"):
        recurrent().scale_spectral_radius_(0.0)


def test_edge_weights_decay_and_other_parameters_do_not():
    decays, rest = el.param_groups(recurrent(), weight_decay=0.1)
    assert len(decays["params"]) == 1 and len(rest["params"]) == 3


def test_gradient_of_frozen_weights_is_not_computed(x, monkeypatch):
    net = recurrent()
    net.weight.requires_grad_(False)
    monkeypatch.setattr(steps.pull.Pull, "_products", None)
    net(x)[0].sum().backward()
    assert net.bias.grad is not None and net.weight.grad is None


BAD_OPTIONS = [
    ({"leak": 1.5}, ValueError, "`leak` must be from 0 to 1, got 1.5"),
    ({"leak": [0.5, -1.0]}, ValueError, "got -1 for node 1"),
    ({"leak": [0.5] * 3}, ValueError, "one for each of the 2 nodes"),
    ({"leak": "slow"}, TypeError, "`leak`"),
    ({"input_weight": [1.0, 2.0]}, ValueError, "one number for each of the 1 inputs"),
    ({"input_weight": "fixed"}, ValueError, 'numbers or "learn"'),
    ({"steps_per_input": 0}, ValueError, "at least 1, got 0"),
    ({"steps_per_input": 1.5}, TypeError, "whole number, got 1.5"),
    ({"noise": -1.0}, ValueError, "`noise` must be"),
    ({"noise": "some"}, TypeError, "`noise` must be a number"),
    ({"equation": "voltage"}, ValueError, "`equation` must be one of rate, potential, got 'vol"),
    ({"activation": "tan"}, ValueError, "`activation` must be one of"),
    ({"activation": torch.nn.PReLU()}, TypeError, "no parameters of its own"),
]


@pytest.mark.parametrize(("options", "error", "message"), BAD_OPTIONS)
def test_bad_options_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        el.EdgeRNN(2, [(0, 1), (1, 1)], [0], [1], **options)


BAD_INPUT = [
    ((torch.randn(3),), {}, ValueError, r"must be \(\*, time, 3\), got shape \(3,\): .* `step`"),
    ((torch.randn(2, 5, 4),), {}, ValueError, "must have 3 features in its last dimension"),
    ((torch.randn(2, 0, 3),), {}, ValueError, "at least one step"),
    ((torch.randn(2, 5, 3).double(),), {}, TypeError, "is torch.float64 and the weight"),
    (([[0.0] * 3],), {}, TypeError, "`input` must be a tensor, got list"),
    ((torch.randn(2, 5, 3), torch.zeros(3, NODES)), {}, ValueError, r"must have shape \(2, 12\)"),
    ((torch.randn(2, 5, 3), torch.zeros(NODES)), {}, ValueError, r"must have shape \(2, 12\)"),
    ((torch.randn(5, 3), torch.zeros(1, NODES)), {}, ValueError, r"must have shape \(12,\)"),
    ((torch.randn(2, 5, 3), torch.zeros(2, NODES).long()), {}, TypeError, "`state` must be real"),
    ((torch.randn(2, 5, 3), (1, 2)), {}, TypeError, "`state` must be a tensor, got tuple"),
    ((torch.randn(2, 5, 3),), {"lengths": [5]}, ValueError, r"must have shape \(2,\)"),
    (
        (torch.randn(2, 5, 3),),
        {"lengths": [5, 6]},
        ValueError,
        "from 1 to 5, .* got 6 for sequence",
    ),
    ((torch.randn(2, 5, 3),), {"lengths": [5, 0]}, ValueError, "from 1 to 5"),
    ((torch.randn(2, 5, 3),), {"lengths": [5, 2.5]}, TypeError, "whole numbers"),
    ((torch.randn(2, 5, 3),), {"checkpoint_every": 0}, ValueError, "at least 1, got 0"),
    ((torch.randn(2, 5, 3),), {"checkpoint_every": 2.0}, TypeError, "must be a whole number"),
]


@pytest.mark.parametrize(("arguments", "options", "error", "message"), BAD_INPUT)
def test_bad_input_is_refused(arguments, options, error, message):
    net = recurrent(dtype=torch.float32)
    with pytest.raises(error, match=message):
        net(*arguments, **options)


def test_packed_sequences_have_lengths_of_their_own():
    net = recurrent(dtype=torch.float32)
    packed = torch.nn.utils.rnn.pack_sequence([torch.randn(2, 3)])
    with pytest.raises(ValueError, match="has its own"):
        net(packed, lengths=[2])
    with pytest.raises(ValueError, match=r"must have shape \(1, 12\)"):
        net(packed, torch.zeros(2, NODES))


@pytest.mark.parametrize("equation", ["rate", "potential"])
def test_steps_of_clamped_inputs_are_those_of_a_sequence(equation):
    options = {"equation": equation, "leak": 0.3, "clamp_inputs": True, "dtype": torch.float64}
    net = el.EdgeRNN(4, [(0, 1), (1, 2), (2, 1), (1, 3)], [0], [3], **options)
    x = torch.randn(2, 6, 1, dtype=torch.float64)
    matrix = torch.zeros(4, 4, dtype=torch.float64)
    matrix[net.topology.dst.long(), net.topology.src.long()] = net.weight.detach()
    h = torch.zeros(2, 4, dtype=torch.float64)
    with torch.no_grad():
        state, expected = None, []
        for step in x.unbind(1):
            h[:, :1] = step
            if equation == "rate":
                new = torch.tanh(h @ matrix.T)
            else:
                new = torch.cat([step, torch.tanh(h[:, 1:])], 1) @ matrix.T
            h = torch.cat([step, (h + 0.3 * (new - h))[:, 1:]], 1)
            expected.append(h[:, 3:])
            state = net.step(step, state)
            assert_close(state[:, 1:], h[:, 1:])
        assert_close(net(x)[0], torch.stack(expected, 1))


def test_sequences_of_unequal_length_may_be_padded_with_anything_where_inputs_are_clamped():
    net = el.EdgeRNN(3, [(0, 1), (1, 1), (1, 2)], [0], [2], clamp_inputs=True)
    x = torch.randn(2, 5, 1)
    x[0, 3:] = torch.nan
    y, state = net(x, lengths=[3, 5])
    compiled = torch.compile(net, backend="eager", fullgraph=True)
    found, last = compiled(x, lengths=torch.tensor([3, 5]))
    assert_close(found, y)
    assert_close(last, state)
    assert state.isfinite().all()


def test_potentials_refuse_activations_that_scale_their_sums():
    scaled = Scaled("sigmoid", 5.0)
    with pytest.raises(ValueError, match="must not scale its sums"):
        el.EdgeRNN(2, [(0, 1)], [0], [1], activation=scaled, equation="potential")
