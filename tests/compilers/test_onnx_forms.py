"""The form that a layer takes in an ONNX file: in torch, and in onnxruntime at any opset."""

import io
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

import edgelinear as el
from edgelinear.functional import export


def wiring(name):
    generator = torch.Generator().manual_seed(0)
    if name == "uniform":
        return el.generators.erdos_renyi(40, 30, density=0.2, generator=generator)
    if name == "hubs":
        src = torch.randint(0, 300, (900,), generator=generator)
        dst = (29 * torch.rand(900, generator=generator) ** 4).long()
        return el.Topology(300, 30, torch.stack([src, dst]), duplicates="keep")
    return el.Topology(*{"no edges": (5, 4), "no inputs": (0, 4), "no outputs": (5, 0)}[name], [])


WIRINGS = ("uniform", "hubs", "no edges", "no inputs", "no outputs")


def exact(layer, x):
    """Return the layer's values by a loop over its edges, in float64."""
    y = torch.zeros(x.shape[0], layer.out_features, dtype=torch.float64)
    for (source, target), weight in zip(layer.edge_index.T.tolist(), layer.weight, strict=True):
        y[:, target] += weight.double() * x[:, source].double()
    return (y if layer.bias is None else y + layer.bias.double()).detach()


@pytest.mark.parametrize("batch", [0, 1, 3, 4, 5, 17])  # few samples take a form of their own
@pytest.mark.parametrize("name", WIRINGS)
def test_form_equals_a_loop_over_the_edges(name, batch):
    layer = el.EdgeLinear.from_topology(wiring(name), bias=False, dtype=torch.float64)
    x = torch.randn(batch, layer.in_features, dtype=torch.float64)
    assert_close(export.onnx(x, layer.weight, layer.topology).detach(), exact(layer, x))


@pytest.mark.parametrize("batch", [(), (1,), (2, 3), (2, 0)])
def test_form_takes_any_leading_shape(batch):
    layer = el.EdgeLinear.from_topology(wiring("hubs"), bias=False, dtype=torch.float64)
    x = torch.randn(*batch, 300, dtype=torch.float64)
    assert_close(export.onnx(x, layer.weight, layer.topology), layer(x))


@pytest.mark.parametrize("slots", [1, 64, 10**9])
def test_form_does_not_depend_on_the_size_of_blocks(slots, monkeypatch):
    monkeypatch.setattr(export, "BLOCK_SLOTS", slots)
    monkeypatch.setattr(export, "MOST_BLOCKS", 10**9)
    layer = el.EdgeLinear.from_topology(wiring("hubs"), bias=False, dtype=torch.float64)
    x = torch.randn(9, 300, dtype=torch.float64)
    assert_close(export.onnx(x, layer.weight, layer.topology), layer(x))


@pytest.mark.parametrize("batch", [2, 9])
@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_padding_carries_no_value(value, batch):
    layer = el.EdgeLinear.from_topology(wiring("hubs"), bias=False)
    x = torch.randn(batch, 300)
    x[:, layer.topology.src[0]] = value
    y = export.onnx(x, layer.weight, layer.topology)
    assert torch.equal(y.isfinite(), layer(x).isfinite())
    with torch.no_grad():
        layer.weight[3] = value
    y = export.onnx(torch.ones(batch, 300), layer.weight, layer.topology)
    assert torch.equal(y.isfinite(), layer(torch.ones(batch, 300)).isfinite())


def test_blocks_of_a_large_wiring_are_few_and_little_padded():
    topology = el.generators.fixed_fan_in(20_000, 20_000, fan_in=50)
    plan = export._plan(topology, torch.empty(64, 20_000))
    assert len(plan.shapes) <= export.MOST_BLOCKS + 1
    assert topology.num_edges <= plan.edges.numel() <= 1.25 * topology.num_edges


# Files, by torch's older exporter, which is quick: every opset, any batch.


def run(file, x):
    onnxruntime = pytest.importorskip("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(file.getvalue(), options)
    (y,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    return torch.from_numpy(np.asarray(y))


def traced(model, x, opset=17, **options):
    pytest.importorskip("onnx")
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tracing, and that this exporter is the older one
        torch.onnx.export(
            model.eval(), (x,), file, dynamo=False, opset_version=opset, input_names=["x"],
            dynamic_axes={"x": {0: "batch"}}, **options,
        )  # fmt: skip
    return file


def parallel_layer():
    """Return a layer with edges that are there twice: what a lost reduction gets wrong."""
    return el.EdgeLinear.from_topology(wiring("hubs"))


@pytest.mark.parametrize("example", [1, 6])
@pytest.mark.parametrize("opset", [9, 11, 13, 15, 16, 18, 20])
def test_traced_file_is_right_at_every_opset_and_batch(opset, example):
    layer = parallel_layer()
    file = traced(layer, torch.randn(example, 300), opset)
    for batch in (0, 1, 2, 9):
        x = torch.randn(batch, 300)
        assert_close(run(file, x).double(), exact(layer, x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", WIRINGS)
def test_traced_file_of_any_wiring_is_right(name):
    layer = el.EdgeLinear.from_topology(wiring(name))
    x = torch.randn(6, layer.in_features)
    assert_close(run(traced(layer, x, 13), x).double(), exact(layer, x), rtol=1e-5, atol=1e-5)


def test_traced_file_scatters_nothing():
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(traced(parallel_layer(), torch.randn(6, 300)).getvalue())
    assert not [node for node in model.graph.node if "Scatter" in node.op_type]
    assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}


@pytest.mark.parametrize("dim", [-1, -2, 0])
def test_traced_file_takes_another_axis(dim):
    class Along(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = el.EdgeLinear(5, 4, [(0, 0), (3, 1), (4, 1)])

        def forward(self, x):
            return el.edge_linear(x, self.layer.weight, self.layer.topology, dim=dim)

    model, x = Along(), torch.randn(5, 5, 5)
    expected = (x.movedim(dim, -1) @ model.layer.to_dense().T).movedim(-1, dim)
    assert_close(run(traced(model, x), x), expected.detach())


def test_traced_file_of_a_layer_in_half_precision_sums_in_float32():
    layer = parallel_layer().half()
    x = torch.randn(6, 300).half()
    file = traced(layer, x)
    assert_close(run(file, x), layer(x).detach(), rtol=2e-3, atol=2e-3)  # one rounding of a half


def test_traced_file_of_a_layer_with_rules_is_right():
    layer = el.rules.tie(el.EdgeLinear(5, 4, [(0, 0), (3, 1), (4, 1)]), [0, 1, 0], scale=[1, 2, -1])
    x = torch.randn(6, 5)
    assert_close(run(traced(layer, x), x).double(), exact(layer, x), rtol=1e-5, atol=1e-5)


# By torch's exporter of today.


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 6])
def test_exported_file_of_one_batch_size_is_right(batch, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    layer, path = parallel_layer().eval(), tmp_path / "layer.onnx"
    x = torch.randn(batch, 300)
    torch.onnx.export(layer, (x,), path, dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(path)
    (y,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    assert_close(torch.from_numpy(y).double(), exact(layer, x), rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("batch", [2, 6])
def test_exported_file_of_many_blocks_is_right(batch, tmp_path, monkeypatch):
    """So many that whatever has a number a block lies in a file beside the graph."""
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    monkeypatch.setattr(export, "BLOCK_SLOTS", 1)
    monkeypatch.setattr(export, "MOST_BLOCKS", 10**9)
    topology = el.generators.fixed_fan_in(50, 200, fan_in=8)
    assert len(export._plan(topology, torch.empty(batch, 50)).shapes) == 200
    layer, path = el.EdgeLinear.from_topology(topology).eval(), tmp_path / "layer.onnx"
    x = torch.randn(batch, 50)
    torch.onnx.export(layer, (x,), path, dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(path)
    (y,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    assert_close(torch.from_numpy(y).double(), exact(layer, x), rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_exported_file_holds_no_dense_matrix(tmp_path):
    pytest.importorskip("onnxscript")
    topology = el.generators.erdos_renyi(1000, 1000, density=0.005)
    path = tmp_path / "layer.onnx"
    torch.onnx.export(
        el.EdgeLinear.from_topology(topology).eval(), (torch.randn(8, 1000),), path, dynamo=True,
        external_data=False, verbose=False,
    )  # fmt: skip
    assert path.stat().st_size < 20 * topology.num_edges + 100_000
