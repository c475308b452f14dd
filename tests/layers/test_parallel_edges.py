"""Parallel edges add up alike, whoever adds them: in float32 for half types, rounded once."""

import pytest
import torch
from torch.testing import assert_close

import edgelinear as el

HALVES = [torch.float16, torch.bfloat16]


def parallel(dtype, number=3000):
    """Return a layer of three inputs, whose many parallel edges stop short if added one by one."""
    generator = torch.Generator().manual_seed(0)
    edges = torch.randint(3, (2, number), generator=generator)
    edges[1] %= 2
    weight = (torch.rand(number, generator=generator) + 0.5).to(dtype)
    return el.EdgeLinear(3, 2, edges, weight=weight, bias=False, duplicates="keep", dtype=dtype)


def written_out(layer):
    """Return the matrix in double precision, an edge after the other."""
    matrix = torch.zeros(2, 3, dtype=torch.float64)
    for (s, t), value in zip(layer.edge_index.T.tolist(), layer.weight.tolist(), strict=True):
        matrix[t, s] += value
    return matrix


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize(
    "dense",
    [
        lambda layer: layer.to_dense(),
        lambda layer: layer.to_linear().weight,
        lambda layer: layer.to_masked_linear().weight,
    ],
    ids=["to_dense", "to_linear", "to_masked_linear"],
)
def test_dense_weight_is_rounded_once(dense, dtype):
    layer = parallel(dtype)
    assert dense(layer).dtype == dtype
    assert torch.equal(dense(layer), written_out(layer).to(dtype))


@pytest.mark.parametrize("dtype", HALVES)
def test_merged_weight_is_rounded_once(dtype):
    layer = parallel(dtype)
    wiring = el.convert.from_edges(
        3, 2, layer.edge_index, weight=layer.weight.detach(), duplicates="merge"
    )
    src, dst = wiring.topology.edge_index
    assert torch.equal(wiring.weight, written_out(layer).to(dtype)[dst, src])


@pytest.mark.parametrize("backend", ["auto", "reference", "torch_csr"])
@pytest.mark.parametrize("dtype", HALVES)
def test_layer_and_its_dense_twins_agree(dtype, backend):
    layer = parallel(dtype)
    layer.backend = backend
    if el.backends.why_not(backend, torch.eye(3, dtype=dtype), layer.weight, layer.topology):
        pytest.skip("this backend cannot run half types here")
    x = torch.eye(3, dtype=dtype)
    for twin in (layer.to_linear(), layer.to_masked_linear()):
        assert torch.equal(layer(x), twin(x))


@pytest.mark.parametrize("dtype", HALVES)
def test_gradient_of_a_dense_weight_reaches_every_parallel_edge(dtype):
    layer = parallel(dtype, number=40)
    layer.to_dense().sum().backward()
    assert layer.weight.grad.dtype == dtype
    assert_close(layer.weight.grad, torch.ones_like(layer.weight))


def test_double_precision_stays_double():
    layer = parallel(torch.float64)
    assert_close(layer.to_dense().detach(), written_out(layer))
    assert layer.to_dense().dtype == torch.float64
