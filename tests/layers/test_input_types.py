"""What is said of inputs that are no floating point leads to inputs that work."""

import pytest
import torch

import edgelinear as el

TOPOLOGY = el.Topology(3, 2, [(0, 0), (2, 1)])


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_quantised_input_is_told_of_dequantize():
    layer = el.EdgeLinear.from_topology(TOPOLOGY)
    x = torch.quantize_per_tensor(torch.ones(1, 3), 0.1, 0, torch.qint8)
    with pytest.raises(TypeError, match=r"got torch.qint8: use `input.dequantize\(\)`"):
        layer(x)
    assert layer(x.dequantize()).shape == (1, 2)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.uint8])
def test_whole_input_is_told_of_float(dtype):
    layer = el.EdgeLinear.from_topology(TOPOLOGY)
    x = torch.ones(1, 3, dtype=dtype)
    with pytest.raises(TypeError, match=r"use `input.float\(\)`"):
        layer(x)
    assert layer(x.float()).shape == (1, 2)
