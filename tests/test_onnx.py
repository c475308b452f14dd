"""ONNX export: plain operators alone, and the same values in onnxruntime."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from problems import SMALL, random
from torch import nn
from torch.testing import assert_close

import edgelinear as el

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
onnxruntime = pytest.importorskip("onnxruntime")

pytestmark = pytest.mark.slow


def make_layer(bias=True):
    return SMALL.layer(torch.float32, bias=bias)


def export(model, path, x):
    batch = torch.export.Dim("batch")
    torch.onnx.export(
        model.eval(), (x,), path, dynamo=True, dynamic_shapes=({0: batch},), verbose=False
    )
    return path


def run(path, x):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    return torch.from_numpy(np.asarray(y))


def assert_as_good_as_dense(y, layer, x):
    """Hold `y` to twice the error of a dense float32 layer, both against float64."""
    bias = None if layer.bias is None else layer.bias.double()
    exact = F.linear(x.double(), layer.to_dense().double(), bias)
    plain = F.linear(x, layer.to_dense(), layer.bias)
    rounding = torch.finfo(torch.float32).eps * exact.abs().max()
    error = (plain.double() - exact).abs().max()
    assert (y.double() - exact).abs().max() <= 2 * torch.maximum(error, rounding)


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
def test_onnx_file_gives_the_values_of_the_layer(bias, tmp_path):
    layer, x = make_layer(bias), random(6, 5, dtype=torch.float32)
    path = export(layer, tmp_path / "layer.onnx", x)
    assert_as_good_as_dense(run(path, x), layer, x)


def test_onnx_file_takes_any_batch_size(tmp_path):
    layer = make_layer()
    path = export(layer, tmp_path / "layer.onnx", random(6, 5, dtype=torch.float32))
    for batch in (1, 2, 17):
        x = random(batch, 5, dtype=torch.float32, seed=batch)
        assert_as_good_as_dense(run(path, x), layer, x)


def test_onnx_file_of_a_layer_without_edges_gives_its_bias(tmp_path):
    layer = el.EdgeLinear(5, 4, torch.empty(2, 0, dtype=torch.long))
    with torch.no_grad():
        layer.bias.copy_(random(4, dtype=torch.float32))
    x = random(6, 5, dtype=torch.float32)
    y = run(export(layer, tmp_path / "layer.onnx", x), x)
    assert_close(y, layer.bias.detach().expand(6, 4))


def test_onnx_file_of_a_model_gives_its_values(tmp_path):
    model = nn.Sequential(make_layer(), nn.ReLU(), el.EdgeLinear(4, 3, [(3, 0), (0, 2), (1, 2)]))
    x = random(6, 5, dtype=torch.float32)
    y = run(export(model, tmp_path / "model.onnx", x), x)
    assert_close(y, model(x).detach())


def test_onnx_file_holds_standard_operators_alone(tmp_path):
    path = export(make_layer(), tmp_path / "layer.onnx", random(6, 5, dtype=torch.float32))
    model = onnx.load(path)
    assert not model.functions
    assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}


def test_export_leaves_the_layer_on_its_operator(tmp_path):
    layer, x = make_layer(), random(6, 5, dtype=torch.float32)
    export(layer, tmp_path / "layer.onnx", x)
    program = torch.export.export(layer, (x,))
    assert any("edgelinear.spmm" in str(node.target) for node in program.graph.nodes)
