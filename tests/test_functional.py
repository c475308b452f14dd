"""`edge_linear`: any axis of features, autocast, and what does not fit together."""

import pytest
import torch
from problems import PROBLEMS, by_dense, random
from torch.testing import assert_close

import edgelinear as el

PROBLEM = PROBLEMS["unsorted"]
make_layer = PROBLEM.layer


@pytest.mark.parametrize(
    ("dim", "shape"),
    [(-1, (2, 13)), (-2, (13, 3)), (-2, (4, 13, 3)), (0, (13,)), (0, (13, 5)), (0, (13, 2, 3))]
    + [(1, (2, 13, 3)), (-3, (13, 2, 3)), (0, (13, 0))],
)
def test_dim_is_the_feature_axis(dim, shape):
    layer, x = make_layer(), random(*shape).requires_grad_()
    y = el.edge_linear(x, layer.weight, layer.topology, layer.bias, dim=dim)
    expected = by_dense(layer, x.movedim(dim, -1)).movedim(-1, dim)
    assert_close(y, expected)
    assert y.is_contiguous()
    grad = random(*y.shape, seed=3)
    ours = torch.autograd.grad(y, [x, layer.weight], grad)
    theirs = torch.autograd.grad(expected, [x, layer.weight], grad)
    for our, their in zip(ours, theirs, strict=True):
        assert_close(our, their)


def test_channels_equal_a_loop_over_channels():
    layer, x = make_layer(), random(4, 13, 3)
    y = el.edge_linear(x, layer.weight, layer.topology, dim=-2)
    for channel in range(3):
        expected = el.edge_linear(x[..., channel], layer.weight, layer.topology)
        assert_close(y[..., channel], expected)


def test_autocast_reads_the_float32_weight_unrounded():
    weight = torch.tensor([1.0 + 2**-10])  # bfloat16 would round it to 1
    x = torch.tensor([256.0])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        # 256.25 rounds to 256 in bfloat16, so cancel it before the result is rounded.
        both = el.Topology(2, 1, [(0, 0), (1, 0)])
        pair = torch.cat([weight, torch.tensor([-1.0])])
        y = el.edge_linear(torch.cat([x, x]), pair, both)
    assert y.item() == 0.25


@pytest.mark.parametrize("weight", [torch.zeros(39), torch.zeros(41), torch.zeros(40, 1)])
def test_weight_of_the_wrong_length_is_refused(weight):
    message = r"`weight` must hold one number for each of the 40 edges, got shape"
    with pytest.raises(ValueError, match=message):
        make_layer(weight=weight)
    with pytest.raises(ValueError, match=message):
        el.edge_linear(torch.zeros(2, 13), weight, PROBLEM.topology())


def test_bias_of_the_wrong_length_is_refused():
    layer = make_layer()
    with pytest.raises(ValueError, match=r"`bias` must hold one number for each of the 7 outputs"):
        el.edge_linear(random(2, 13), layer.weight, layer.topology, random(8))


def test_topology_on_another_device_is_refused():
    topology = PROBLEM.topology().to("meta")
    with pytest.raises(ValueError, match=r"the topology is on meta and the weight on cpu"):
        el.edge_linear(random(2, 13), random(40), topology)


def test_dim_outside_the_input_is_refused():
    layer = make_layer()
    with pytest.raises(ValueError, match=r"`dim` -3 is not a dimension of the input, of shape"):
        el.edge_linear(random(2, 13), layer.weight, layer.topology, dim=-3)
    with pytest.raises(ValueError, match=r"must have 13 features in dimension 0 .*\(2, 13\)"):
        el.edge_linear(random(2, 13), layer.weight, layer.topology, dim=0)
