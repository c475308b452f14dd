"""Networks under compilers: the values and the gradients are those of eager mode."""

import io

import pytest
import torch
from nets import COMPILED, MIXED, drawn
from torch.func import functional_call, grad, jvp
from torch.testing import assert_close

import edgelinear as el
from edgelinear.networks.formula import AGGREGATIONS


def own(z):
    return torch.sin(2 * z)


OTHERS = {20: "maxabs", 25: "max", 26: "median", 27: "product", 28: "mean"}
NETWORKS = {
    "compiled": dict(activations=COMPILED),
    "mixed": dict(activations=MIXED),
    "own": dict(activations=["tanh", own]),
    "aggregations": dict(activations=["tanh"], aggregation=OTHERS),
    "response": dict(activations=["relu"], response=torch.linspace(0.5, 1.5, 30)),
}
networks = pytest.mark.parametrize("options", NETWORKS.values(), ids=NETWORKS)


def outcome(function, net, x):
    x = x.clone().requires_grad_()
    y = function(x)
    return y, torch.autograd.grad(y.square().sum(), [*net.parameters(), x])


@networks
def test_compiled_network_equals_eager(options):
    net, _ = drawn(**options)
    torch.compiler.reset()
    function = torch.compile(net, fullgraph=True, dynamic=True, backend="aot_eager")
    for batch in (5, 1, 7):
        x = torch.randn(batch, 4, dtype=torch.float64)
        assert_close(outcome(function, net, x), outcome(net, net, x))


def test_compiled_network_follows_its_rules():
    net, _ = drawn(COMPILED)
    el.rules.fix_signs(net, [1, -1] * 15)
    torch.compiler.reset()
    function = torch.compile(net, fullgraph=True, backend="aot_eager")
    x = torch.randn(5, 4, dtype=torch.float64)
    assert_close(outcome(function, net, x), outcome(net, net, x))


@networks
def test_compiled_transforms_equal_eager(options):
    net, _ = drawn(**options)
    x, w = torch.randn(5, 4, dtype=torch.float64), net.weight.detach()

    def loss(w, x):
        return functional_call(net, {"weight": w}, (x,)).square().sum()

    def tangent(w, x):
        return jvp(loss, (w, x), (w.cos(), x.sin()))

    for function in (grad(loss, argnums=(0, 1)), tangent):
        torch.compiler.reset()
        compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
        assert_close(compiled(w, x), function(w, x))


@pytest.fixture
def two_threads():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


@pytest.mark.slow
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_inductor_equals_eager(aggregation, two_threads):
    edges = [(source, 4) for source in range(4)]
    net = el.EdgeNetwork(5, edges, range(4), [4], aggregation=aggregation, dtype=torch.float64)
    x = torch.randn(5, 4, dtype=torch.float64)
    torch.compiler.reset()
    function = torch.compile(net, fullgraph=True)
    assert_close(outcome(function, net, x), outcome(net, net, x))


@networks
def test_exported_network_is_saved_loaded_and_trained(options):
    net, _ = drawn(**options)
    x = torch.randn(5, 4, dtype=torch.float64)
    program = torch.export.export(net, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    loaded = torch.export.load(file).module()
    other = torch.randn(9, 4, dtype=torch.float64)
    loaded(other).square().sum().backward()
    net(other).square().sum().backward()
    assert_close(loaded(other), net(other))
    expected = dict(net.named_parameters())
    for name, parameter in loaded.named_parameters():
        assert_close(parameter.grad, expected[name].grad)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("dynamo", [True, False], ids=["dynamo", "traced"])
@networks
def test_onnx_file_gives_the_values_for_any_batch(options, dynamo, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    net, _ = drawn(**options, dtype=torch.float32)
    x, path = torch.randn(5, 4), str(tmp_path / "net.onnx")
    any_batch = {"dynamic_axes": {"x": {0: "batch"}}}
    if dynamo:
        any_batch = {"dynamic_shapes": ({0: torch.export.Dim("batch")},)}
    torch.onnx.export(net, (x,), path, dynamo=dynamo, input_names=["x"], **any_batch)
    session = runtime.InferenceSession(path)
    for batch in (5, 1, 8):
        x = torch.randn(batch, 4)
        (y,) = session.run(None, {"x": x.numpy()})
        assert_close(torch.from_numpy(y), net(x).detach(), rtol=1e-5, atol=1e-5)
