"""Windows, bands and blocks, against convolutions and NumPy."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sampled import pairs, pattern

import edgelinear as el
from edgelinear.generators import banded, block_diagonal, local1d, local2d


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("padding", [0, 1, 4])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("kernel_size", [1, 2, 5])
@pytest.mark.parametrize("in_features", [9, 11])
def test_local1d_equals_conv1d(in_features, kernel_size, dilation, padding, stride):
    """A convolution with a kernel of ones sends the unit vectors to the columns of the pattern."""
    truth = F.conv1d(
        torch.eye(in_features)[:, None],
        torch.ones(1, 1, kernel_size),
        stride=stride,
        padding=padding,
        dilation=dilation,
    )[:, 0].T
    options = dict(kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation)
    topology = local1d(in_features, len(truth), **options)
    assert torch.equal(pattern(topology, truth.dtype), truth)


def test_local1d_is_in_target_order():
    assert local1d(10, 10, kernel_size=3, padding=1).is_sorted


def test_local1d_all_in_the_padding_has_no_edges_there():
    assert pattern(local1d(2, 7, kernel_size=2, padding=3)).sum(1).tolist() == [0, 0, 1, 2, 1, 0, 0]


def test_local1d_of_a_kernel_larger_than_the_input_has_no_outputs():
    assert local1d(3, 0, kernel_size=5).num_edges == 0


def test_local1d_says_how_many_outputs_there_are():
    with pytest.raises(ValueError, match="`out_features` must be 3 for in_features=5"):
        local1d(5, 4, kernel_size=3)


def test_block_diagonal_equals_kron():
    truth = torch.kron(torch.eye(3), torch.ones(2, 4))
    assert torch.equal(pattern(block_diagonal(12, 6, blocks=3), truth.dtype), truth)


def test_block_diagonal_is_in_target_order():
    assert block_diagonal(12, 6, blocks=3).is_sorted


@pytest.mark.parametrize(("in_features", "out_features"), [(12, 5), (5, 12)])
def test_blocks_must_divide_both_sizes(in_features, out_features):
    with pytest.raises(ValueError, match="`blocks` must divide in_features="):
        block_diagonal(in_features, out_features, blocks=3)


@pytest.mark.parametrize(
    "height, width, kernel, stride, padding, channels",
    [
        (5, 4, 2, 1, 0, (1, 1)),
        (6, 7, (3, 2), (2, 3), (1, 0), (2, 3)),
        (4, 4, 3, 1, 1, (3, 2)),
        (3, 3, 3, 2, 2, (1, 1)),
    ],
)
def test_local2d_sees_what_unfold_does(height, width, kernel, stride, padding, channels):
    inputs, outputs = channels
    image = torch.arange(1.0, inputs * height * width + 1).view(1, inputs, height, width)
    windows = F.unfold(image, kernel, padding=padding, stride=stride)[0].T  # a row an output place
    topology = local2d(
        image.numel(),
        outputs * len(windows),
        height=height,
        width=width,
        kernel_size=kernel,
        stride=stride,
        padding=padding,
        in_channels=inputs,
        out_channels=outputs,
    )
    seen = [set() for _ in range(topology.out_features)]
    for s, t in pairs(topology):
        seen[t].add(s + 1.0)
    expected = [set(row.tolist()) - {0.0} for row in windows]  # zeros are padding
    assert seen == expected * outputs


def test_local2d_layer_equals_an_unshared_convolution():
    topology = local2d(2 * 5 * 4, 3 * 4 * 3, height=5, width=4, kernel_size=2, in_channels=2,
                       out_channels=3)  # fmt: skip
    layer = el.EdgeLinear.from_topology(topology, bias=False, dtype=torch.float64)
    x = torch.randn(6, 2, 5, 4, dtype=torch.float64)
    windows = F.unfold(x, 2)  # (6, 8, 12)
    weight = layer.weight.view(3, 12, 8)  # a target's sources are in the order of unfold
    y = torch.einsum("opk,bkp->bop", weight, windows)
    torch.testing.assert_close(layer(x.flatten(1)), y.flatten(1))


@pytest.mark.parametrize("shape", [(5, 5), (8, 3), (3, 8), (0, 2), (2, 0)])
@pytest.mark.parametrize("lower, upper", [(0, 0), (1, 0), (2, 1), (9, 9)])
def test_band_is_that_of_numpy(shape, lower, upper):
    inputs, outputs = shape
    ones = np.ones((outputs, inputs))
    expected = np.tril(np.triu(ones, -lower), upper)
    topology = banded(inputs, outputs, lower=lower, upper=upper)
    assert np.array_equal(pattern(topology).numpy(), expected)
