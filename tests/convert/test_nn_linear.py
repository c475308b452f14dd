"""`from_linear` of layers whose weight is a sparse tensor."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import edgelinear as el

pytestmark = pytest.mark.filterwarnings("ignore:Sparse")


def linear_of(make):
    linear = nn.Linear(4, 6)
    with torch.no_grad():
        linear.weight *= torch.rand(6, 4) < 0.5
    dense = linear.weight.detach().clone()
    linear.weight = nn.Parameter(make(linear.weight.detach()))
    return linear, dense


FORMATS = {
    "csr": lambda w: w.to_sparse_csr(),
    "csc": lambda w: w.to_sparse_csc(),
    "coo": lambda w: w.to_sparse_coo(),
    "bsr": lambda w: w.to_sparse_bsr((2, 2)),
    "entries twice": lambda w: torch.sparse_coo_tensor(
        w.nonzero().T.repeat(1, 2), w[w != 0].repeat(2) / 2, w.shape
    ),
    "strided": lambda w: w,
}


@pytest.mark.parametrize("make", FORMATS.values(), ids=FORMATS)
def test_sparse_weight_gives_a_layer_of_the_same_function(make):
    linear, dense = linear_of(make)
    layer = el.EdgeLinear.from_linear(linear)
    assert_close(layer.to_dense(), dense)
    x = torch.randn(5, 4)
    assert_close(layer(x), x @ dense.T + linear.bias)
    assert layer.topology.is_sorted and layer.weight.requires_grad


def test_stored_zeros_of_a_sparse_weight_stay_edges():
    linear = nn.Linear(3, 2)
    index = torch.tensor([[0, 1, 1], [2, 0, 1]])
    linear.weight = nn.Parameter(torch.sparse_coo_tensor(index, torch.tensor([1.0, 0, 2]), (2, 3)))
    wiring = el.convert.from_linear(linear)
    assert wiring.topology.edge_index.tolist() == [[2, 0, 1], [0, 1, 1]]
    assert wiring.weight.tolist() == [1.0, 0.0, 2.0]


def test_bias_of_a_sparse_layer_is_kept():
    linear, _ = linear_of(FORMATS["csr"])
    assert torch.equal(el.EdgeLinear.from_linear(linear).bias, linear.bias)
