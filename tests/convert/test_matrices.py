"""Matrices of scipy and torch, adjacencies, masks, and `nn.Linear`."""

import numpy as np
import pandas
import pytest
import scipy.sparse
import torch
from importers import ADJACENCY, EDGES, IN, OUT, WEIGHT, dense, layer_of
from torch import nn
from torch.nn.utils import prune
from torch.testing import assert_close

from edgelinear import convert

# scipy


@pytest.mark.parametrize("kind", ["array", "matrix"])
@pytest.mark.parametrize("name", ["bsr", "coo", "csc", "csr", "dia", "dok", "lil"])
def test_scipy_format_is_read(name, kind):
    matrix = getattr(scipy.sparse, f"{name}_{kind}")(ADJACENCY)
    np.testing.assert_array_equal(dense(convert.from_scipy(matrix)), ADJACENCY.T)


def test_scipy_weight_layout_is_out_in():
    matrix = scipy.sparse.csr_array(ADJACENCY.T)
    np.testing.assert_array_equal(dense(convert.from_scipy(matrix, layout="weight")), ADJACENCY.T)


@pytest.mark.parametrize("name", ["coo", "csr", "csc", "lil", "dok"])
def test_stored_zero_of_scipy_is_an_edge(name):
    stored = scipy.sparse.coo_array(([0.0, 2.0], ([0, 2], [1, 0])), shape=(3, 2))
    wiring = convert.from_scipy(getattr(stored, f"to{name}")())
    assert wiring.topology.edge_index.tolist() == [[2, 0], [0, 1]]


def test_zero_of_a_dia_matrix_is_no_edge():
    matrix = scipy.sparse.dia_array((np.array([[1.0, 0.0, 3.0]]), [0]), shape=(3, 3))
    assert convert.from_scipy(matrix).topology.num_edges == 2


def test_whole_block_of_a_bsr_matrix_is_edges():
    matrix = scipy.sparse.bsr_array(np.eye(4), blocksize=(2, 2))
    assert convert.from_scipy(matrix).topology.num_edges == 8


def test_duplicate_in_a_csr_matrix_is_seen():
    matrix = scipy.sparse.csr_array(([1.0, 2.0], [1, 1], [0, 2, 2]), shape=(2, 3))
    with pytest.raises(ValueError, match=r"edge 0 -> 1 is given twice \(entries 0 and 1\)"):
        convert.from_scipy(matrix)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_floating_scipy_values_keep_their_width(dtype):
    weight = convert.from_scipy(scipy.sparse.csr_array(ADJACENCY.astype(dtype))).weight
    assert weight.element_size() == np.dtype(dtype).itemsize
    assert weight.tolist() == [3, -1, 0.5, 2, 0.25]


@pytest.mark.parametrize("dtype", ["int8", "int64", "uint16", "uint64"])
def test_whole_scipy_values_become_the_default_type(dtype):
    matrix = scipy.sparse.csr_array(np.array([[0, 7], [0, 0], [9, 0]], dtype=dtype))
    assert_close(convert.from_scipy(matrix).weight, torch.tensor([9.0, 7.0]))


def test_long_double_scipy_values_become_double():
    matrix = scipy.sparse.csr_array(ADJACENCY.astype(np.longdouble))
    assert convert.from_scipy(matrix).weight.dtype == torch.float64


def test_boolean_scipy_matrix_has_no_weights():
    assert convert.from_scipy(scipy.sparse.csr_array(ADJACENCY != 0)).weight is None


def test_complex_scipy_matrix_is_refused():
    with pytest.raises(TypeError, match="real numbers, got complex128"):
        convert.from_scipy(scipy.sparse.csr_array(ADJACENCY * 1j))


def test_scipy_weight_is_a_copy():
    matrix = scipy.sparse.csr_array(ADJACENCY)
    weight = convert.from_scipy(matrix).weight
    matrix.data[:] = 0
    assert weight.tolist() == [3, -1, 0.5, 2, 0.25]


def test_scipy_vector_is_refused():
    with pytest.raises(ValueError, match=r"2 dimensions, got shape \(3,\)"):
        convert.from_scipy(scipy.sparse.coo_array([1.0, 0.0, 2.0]))


def test_dense_array_is_no_scipy_matrix():
    with pytest.raises(TypeError, match="scipy sparse matrix, got ndarray"):
        convert.from_scipy(ADJACENCY)


def test_unknown_layout_is_refused():
    with pytest.raises(ValueError, match="`layout` must be .* got 'in_out'"):
        convert.from_scipy(scipy.sparse.csr_array(ADJACENCY), layout="in_out")


def test_scipy_matrix_without_rows_has_no_edges():
    topology = convert.from_scipy(scipy.sparse.csr_array((0, 3))).topology
    assert (topology.in_features, topology.out_features, topology.num_edges) == (0, 3, 0)


def test_to_scipy_has_the_layout_of_a_linear_weight():
    np.testing.assert_array_equal(convert.to_scipy(layer_of()).toarray(), ADJACENCY.T)


def test_to_scipy_keeps_the_order_of_the_edges():
    assert convert.to_scipy(layer_of()).data.tolist() == WEIGHT


def test_to_scipy_keeps_parallel_edges_apart():
    layer = layer_of(edges=EDGES[:4] + EDGES[:1], duplicates="keep")
    assert convert.to_scipy(layer).nnz == 5


def test_to_scipy_does_not_share_memory_with_the_layer():
    layer = layer_of()
    convert.to_scipy(layer).data[:] = 0
    assert layer.weight.tolist() == WEIGHT


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_to_scipy_keeps_the_type(dtype):
    assert convert.to_scipy(layer_of(dtype=dtype)).dtype == str(dtype).removeprefix("torch.")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_to_scipy_widens_half_types(dtype):
    assert convert.to_scipy(layer_of(dtype=dtype)).dtype == np.float32


# torch


@pytest.mark.filterwarnings("ignore:Sparse")
@pytest.mark.parametrize(
    "as_layout",
    [
        lambda a: a,
        lambda a: a.to_sparse(),
        lambda a: a.to_sparse_csr(),
        lambda a: a.to_sparse_csc(),
        lambda a: a.to_sparse_bsr((2, 1)),
        lambda a: a.to_sparse_bsc((2, 1)),
        lambda a: a.T.contiguous().T,
    ],
    ids=["strided", "coo", "csr", "csc", "bsr", "bsc", "transposed"],
)
def test_torch_layout_is_read(as_layout):
    matrix = as_layout(torch.from_numpy(ADJACENCY))
    np.testing.assert_array_equal(dense(convert.from_torch(matrix)), ADJACENCY.T)


def test_torch_weight_layout_is_out_in():
    wiring = convert.from_torch(torch.from_numpy(ADJACENCY.T.copy()), layout="weight")
    np.testing.assert_array_equal(dense(wiring), ADJACENCY.T)


def test_stored_zero_of_a_sparse_tensor_is_an_edge():
    matrix = torch.sparse_coo_tensor([[0, 2], [1, 0]], [0.0, 2.0], (3, 2))
    assert convert.from_torch(matrix).topology.num_edges == 2


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_floating_tensor_keeps_its_type(dtype):
    assert convert.from_torch(torch.eye(2, 3, dtype=dtype)).weight.dtype == dtype


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_whole_tensor_becomes_the_default_type(dtype):
    weight = convert.from_torch(torch.tensor([[0, 7], [0, 0], [9, 0]], dtype=dtype)).weight
    assert_close(weight, torch.tensor([9.0, 7.0]))


@pytest.mark.parametrize("sparse", [False, True])
def test_boolean_tensor_has_no_weights(sparse):
    matrix = torch.eye(2, 3, dtype=torch.bool)
    assert convert.from_torch(matrix.to_sparse() if sparse else matrix).weight is None


def test_weight_from_a_tensor_has_no_graph():
    assert not convert.from_torch(torch.eye(2, 3, requires_grad=True)).weight.requires_grad


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_dense_entry_that_is_not_finite_is_refused(value):
    matrix = torch.eye(3, 4)
    matrix[1, 2] = value
    with pytest.raises(ValueError, match=rf"entry \[1, 2\] is {value}.*use 0 for no edge"):
        convert.from_torch(matrix)


def test_tensor_of_another_dimension_is_refused():
    with pytest.raises(ValueError, match=r"2 dimensions, got shape \(2, 3, 4\)"):
        convert.from_torch(torch.ones(2, 3, 4))


def test_tensor_with_a_dense_dimension_is_refused():
    with pytest.raises(ValueError, match="sparse in both dimensions"):
        convert.from_torch(torch.eye(3).to_sparse(1))


def test_meta_tensor_is_refused():
    with pytest.raises(ValueError, match="meta device"):
        convert.from_torch(torch.ones(2, 3, device="meta"))


def test_complex_tensor_is_refused():
    with pytest.raises(TypeError, match="real"):
        convert.from_torch(torch.ones(2, 3, dtype=torch.complex64))


def test_array_is_no_tensor():
    with pytest.raises(TypeError, match="must be a tensor, got ndarray"):
        convert.from_torch(ADJACENCY)


@pytest.mark.cuda
def test_weight_stays_on_the_device_of_the_matrix():
    wiring = convert.from_torch(torch.from_numpy(ADJACENCY).cuda())
    assert wiring.weight.is_cuda
    np.testing.assert_array_equal(dense(wiring), ADJACENCY.T)


@pytest.mark.cuda
def test_layer_on_a_device_is_exported():
    np.testing.assert_array_equal(convert.to_scipy(layer_of().cuda()).toarray(), ADJACENCY.T)


def _read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "adjacency",
    [
        ADJACENCY.tolist(),
        ADJACENCY,
        ADJACENCY.astype(">f4"),
        ADJACENCY[::-1, ::-1].copy()[::-1, ::-1],
        np.asfortranarray(ADJACENCY),
        _read_only(ADJACENCY),
        pandas.DataFrame(ADJACENCY),
        torch.from_numpy(ADJACENCY),
        scipy.sparse.csr_array(ADJACENCY),
    ],
    ids=["list", "array", "swapped", "reversed", "fortran", "read_only", "frame", "torch", "scipy"],
)
def test_adjacency_is_in_out(adjacency):
    np.testing.assert_array_equal(dense(convert.from_adjacency(adjacency)), ADJACENCY.T)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint64", "int32", "float16"])
def test_adjacency_array_of_any_real_type_is_read(dtype):
    topology = convert.from_adjacency((ADJACENCY != 0).astype(dtype)).topology
    assert topology == convert.from_adjacency(ADJACENCY).topology


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_adjacency_array_keeps_its_type(dtype):
    weight = convert.from_adjacency(ADJACENCY.astype(dtype)).weight
    assert weight.dtype == getattr(torch, dtype)


def test_adjacency_of_strings_is_refused():
    with pytest.raises(TypeError, match="real numbers"):
        convert.from_adjacency(np.array([["a", "b"]]))


@pytest.mark.parametrize("kind", [np.array, torch.tensor, scipy.sparse.csr_array, list])
def test_weight_mask_is_out_in(kind):
    wiring = convert.from_weight_mask(kind((ADJACENCY.T != 0).tolist()))
    np.testing.assert_array_equal(dense(wiring), ADJACENCY.T != 0)


def test_weight_mask_has_no_weights():
    assert convert.from_weight_mask(torch.from_numpy(ADJACENCY.T)).weight is None


def test_additive_attention_mask_is_refused():
    with pytest.raises(ValueError, match="is -inf"):
        convert.from_weight_mask(torch.tensor([[0.0, -torch.inf]]))


# nn.Linear


def linear_of(dtype=torch.float32):
    linear = nn.Linear(IN, OUT, dtype=dtype)
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(ADJACENCY.T))
    return linear


def pruned():
    linear = nn.Linear(IN, OUT)
    return prune.custom_from_mask(linear, "weight", torch.from_numpy(ADJACENCY.T != 0))


def test_linear_weight_is_out_in():
    np.testing.assert_array_equal(dense(convert.from_linear(linear_of())), ADJACENCY.T)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_linear_weight_keeps_its_type(dtype):
    assert convert.from_linear(linear_of(dtype)).weight.dtype == dtype


def test_pruned_linear_keeps_its_mask():
    assert convert.from_linear(pruned()).topology == convert.from_adjacency(ADJACENCY).topology


def test_zero_inside_the_mask_of_a_pruned_linear_is_an_edge():
    linear = pruned()
    with torch.no_grad():
        linear.weight_orig.zero_()
    assert convert.from_linear(linear).topology.num_edges == 5


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_pruned_linear_is_read_as_its_next_forward_will_be(steps):
    linear = pruned()
    optimizer = torch.optim.SGD(linear.parameters(), lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        linear(torch.ones(2, IN)).square().sum().backward()
        optimizer.step()
    found = dense(convert.from_linear(linear))
    linear(torch.ones(2, IN))
    assert_close(torch.from_numpy(found).float(), linear.weight.detach())


def test_linear_pruned_twice_keeps_both_masks():
    linear = pruned()
    prune.l1_unstructured(linear, "weight", amount=2)
    assert convert.from_linear(linear).topology.num_edges == 3


def test_linear_of_removed_pruning_keeps_non_zero_weights():
    linear = prune.remove(pruned(), "weight")
    assert convert.from_linear(linear).topology == convert.from_adjacency(ADJACENCY).topology


def test_mask_of_fractions_scales_the_weights():
    linear = nn.Linear(IN, OUT)
    prune.custom_from_mask(linear, "weight", torch.from_numpy(ADJACENCY.T) / 2)
    found = dense(convert.from_linear(linear))
    np.testing.assert_allclose(found, linear.weight_orig.detach().numpy() * ADJACENCY.T / 2)


def test_linear_weight_has_no_graph():
    assert not convert.from_linear(pruned()).weight.requires_grad


def test_other_module_is_no_linear():
    with pytest.raises(TypeError, match="must be an nn.Linear, got Conv1d"):
        convert.from_linear(nn.Conv1d(1, 1, 1))
