import builtins
import sys
from types import ModuleType

import networkx
import numpy as np
import pandas
import pytest
import scipy.sparse
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils import prune
from torch.testing import assert_close

import edgelinear as el
from edgelinear import convert

# Asymmetric and not square, so that a swap of rows and columns shows.
EDGES = [(0, 1), (3, 0), (1, 1), (3, 2), (2, 0)]
IN, OUT = 4, 3
WEIGHT = [0.5, -1.0, 2.0, 0.25, 3.0]
ADJACENCY = np.array([[0, 0.5, 0], [0, 2, 0], [3, 0, 0], [-1, 0, 0.25]])


def dense(wiring):
    """Return W, (out, in), one edge after the other; an edge without a weight counts 1."""
    topology, weight = wiring.topology, wiring.weight
    matrix = np.zeros((topology.out_features, topology.in_features))
    for e, (s, t) in enumerate(topology.edge_index.T.tolist()):
        matrix[t, s] += 1 if weight is None else float(weight[e])
    return matrix


def layer_of(weight=WEIGHT, dtype=torch.float64, duplicates="error", edges=EDGES):
    return el.EdgeLinear(IN, OUT, edges, weight=weight, dtype=dtype, duplicates=duplicates)


def table_of(edges=EDGES, weight=WEIGHT):
    src, dst = zip(*edges, strict=True)
    columns = {"source": src, "target": dst}
    return pandas.DataFrame(columns if weight is None else {**columns, "weight": weight})


# Every importer agrees


@st.composite
def patterns(draw, unique=False):
    """Return sizes, edges in any order, possibly repeated, and values that add up exactly."""
    sizes = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    edge = st.tuples(st.integers(0, sizes[0] - 1), st.integers(0, sizes[1] - 1))
    edges = draw(st.lists(edge, min_size=1, max_size=20, unique=unique))
    values = draw(st.lists(st.integers(-8, 8), min_size=len(edges), max_size=len(edges)))
    return *sizes, edges, [value / 4 for value in values]


def read_edges(n, m, edges, values, **options):
    weight = torch.tensor(values, dtype=torch.float64)
    return convert.from_edges(n, m, edges, weight=weight, **options)


def read_scipy(n, m, edges, values, **options):
    src, dst = zip(*edges, strict=True)
    matrix = scipy.sparse.coo_array((np.array(values), (src, dst)), shape=(n, m))
    return convert.from_scipy(matrix, **options)


def read_torch(n, m, edges, values, **options):
    matrix = torch.sparse_coo_tensor(
        torch.tensor(edges).T, torch.tensor(values, dtype=torch.float64), (n, m)
    )
    return convert.from_torch(matrix, **options)


def read_table(n, m, edges, values, **options):
    return convert.from_table(table_of(edges, values), in_features=n, out_features=m, **options)


def read_networkx(n, m, edges, values, **options):
    inputs, outputs = [f"x{i}" for i in range(n)], [f"y{j}" for j in range(m)]
    graph = networkx.MultiDiGraph()
    graph.add_nodes_from(outputs + inputs)
    for (s, t), value in zip(edges, values, strict=True):
        graph.add_edge(inputs[s], outputs[t], weight=value)
    return convert.from_networkx(graph, inputs=inputs, outputs=outputs, **options)


READERS = [read_edges, read_scipy, read_torch, read_table, read_networkx]


@pytest.mark.parametrize("duplicates", ["keep", "merge"])
@pytest.mark.parametrize("read", READERS)
@settings(max_examples=12)
@given(pattern=patterns())
def test_importer_adds_up_to_the_dense_matrix(read, duplicates, pattern):
    n, m, edges, values = pattern
    truth = np.zeros((m, n))
    for (s, t), value in zip(edges, values, strict=True):
        truth[t, s] += value
    np.testing.assert_array_equal(dense(read(*pattern, duplicates=duplicates)), truth)


@pytest.mark.parametrize("read", READERS)
@settings(max_examples=8)
@given(pattern=patterns())
def test_importer_merges_to_one_edge_a_pair(read, pattern):
    assert read(*pattern, duplicates="merge").topology.num_edges == len(set(pattern[2]))


@pytest.mark.parametrize("read", READERS)
@settings(max_examples=8)
@given(pattern=patterns())
def test_importer_keeps_every_edge(read, pattern):
    assert read(*pattern, duplicates="keep").topology.num_edges == len(pattern[2])


@pytest.mark.parametrize("read", [read_scipy, read_torch, read_networkx])
@settings(max_examples=8)
@given(pattern=patterns())
def test_importer_without_an_own_order_sorts_by_target_and_source(read, pattern):
    wiring = read(*pattern, duplicates="keep")
    expected = sorted(pattern[2], key=lambda edge: (edge[1], edge[0]))
    assert list(map(tuple, wiring.topology.edge_index.T.tolist())) == expected


@pytest.mark.parametrize(
    ("read", "unit"),
    [(read_edges, "edges"), (read_scipy, "entries"), (read_torch, "entries"), (read_table, "rows")],
)
def test_importer_names_both_positions_of_a_duplicate(read, unit):
    edges = [(3, 2), (0, 1), (3, 0), (0, 1), (3, 2)]
    with pytest.raises(ValueError, match=rf"edge 0 -> 1 is given twice \({unit} 1 and 3\)"):
        read(IN, OUT, edges, WEIGHT)


def test_networkx_importer_names_both_nodes_of_a_duplicate():
    edges = [(3, 2), (0, 1), (3, 0), (0, 1)]
    with pytest.raises(ValueError, match=r"edge 'x0' -> 'y1' is given twice \(edges 0 and 1\)"):
        read_networkx(
            IN, OUT, edges, WEIGHT[:4]
        )  # networkx groups edges by their source: 0, 1 first


def test_unknown_duplicates_mode_is_refused():
    with pytest.raises(ValueError, match="`duplicates` must be one of"):
        read_scipy(IN, OUT, EDGES, WEIGHT, duplicates="sum")


@settings(max_examples=12)
@given(pattern=patterns())
def test_scipy_round_trip(pattern):
    n, m, edges, values = pattern
    layer = el.EdgeLinear(n, m, edges, weight=values, duplicates="keep", dtype=torch.float64)
    wiring = convert.from_scipy(convert.to_scipy(layer), layout="weight", duplicates="keep")
    assert_close(torch.from_numpy(dense(wiring)), layer.to_dense().detach())


@settings(max_examples=12)
@given(pattern=patterns())
def test_table_round_trip(pattern):
    n, m, edges, values = pattern
    layer = el.EdgeLinear(n, m, edges, weight=values, duplicates="keep", dtype=torch.float64)
    wiring = convert.from_table(
        convert.to_table(layer), in_features=n, out_features=m, duplicates="keep"
    )
    assert_close(torch.from_numpy(dense(wiring)), layer.to_dense().detach())


@settings(max_examples=12)
@given(pattern=patterns())
def test_networkx_round_trip(pattern):
    n, m, edges, values = pattern
    layer = el.EdgeLinear(n, m, edges, weight=values, duplicates="keep", dtype=torch.float64)
    wiring = convert.from_networkx(convert.to_networkx(layer), duplicates="keep")
    assert_close(torch.from_numpy(dense(wiring)), layer.to_dense().detach())


def test_edge_index_round_trip():
    layer = layer_of()
    edge_index, weight = convert.to_edge_index(layer)
    wiring = convert.from_edges(IN, OUT, edge_index, weight=weight)
    assert wiring.topology == layer.topology and torch.equal(wiring.weight, layer.weight)


def test_linear_round_trip():
    layer = layer_of()
    wiring = convert.from_linear(layer.to_linear())
    assert_close(torch.from_numpy(dense(wiring)), layer.to_dense().detach())


def test_weight_mask_round_trip():
    layer = layer_of()
    wiring = convert.from_weight_mask(layer.to_masked_linear().mask)
    assert wiring.topology == layer.topology.sorted()[0]


def test_adjacency_round_trip():
    layer = layer_of()
    wiring = convert.from_adjacency(layer.to_dense().detach().T)
    assert_close(torch.from_numpy(dense(wiring)), layer.to_dense().detach())


# Edge lists and PyG


def test_edges_keep_their_order():
    wiring = convert.from_edges(IN, OUT, EDGES, weight=WEIGHT)
    assert wiring.topology.edge_index.T.tolist() == [list(edge) for edge in EDGES]
    assert wiring.weight.tolist() == WEIGHT


def test_merged_edge_stands_where_it_came_first():
    wiring = convert.from_edges(
        4, 3, [(3, 2), (0, 1), (3, 2)], weight=[1.0, 2.0, 4.0], duplicates="merge"
    )
    assert wiring.topology.edge_index.tolist() == [[3, 0], [2, 1]]
    assert wiring.weight.tolist() == [5.0, 2.0]


def test_weight_of_edges_is_a_copy():
    weight = torch.tensor(WEIGHT)
    wiring = convert.from_edges(IN, OUT, EDGES, weight=weight)
    weight.zero_()
    assert wiring.weight.tolist() == WEIGHT


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_floating_weight_of_edges_keeps_its_type(dtype):
    weight = torch.tensor(WEIGHT, dtype=dtype)
    assert convert.from_edges(IN, OUT, EDGES, weight=weight).weight.dtype == dtype


@pytest.mark.parametrize("weight", [[1, 2, 3, 4, 5], [True, False, True, True, True]])
def test_whole_weight_of_edges_becomes_the_default_type(weight):
    assert convert.from_edges(IN, OUT, EDGES, weight=weight).weight.dtype == torch.float32


class EdgeIndex(Tensor):
    """Stands in for PyG's tensor subclass, which knows its sizes."""

    def sparse_size(self):
        return self.sizes

    @classmethod
    def of(cls, edges, sizes):
        index = torch.tensor(edges).T.as_subclass(cls)
        index.sizes = sizes
        return index


class Data:
    """Stands in for PyG's graph."""

    def __init__(self, edges, num_nodes, **attributes):
        self.edge_index = None if edges is None else torch.tensor(edges).T
        self.num_nodes = num_nodes
        self.__dict__.update(attributes)


def test_pyg_edge_index_brings_its_sizes():
    wiring = convert.from_edges(None, None, EdgeIndex.of(EDGES, (IN, OUT)))
    assert (wiring.topology.in_features, wiring.topology.out_features) == (IN, OUT)


def test_pyg_edge_index_is_unwrapped():
    wiring = convert.from_edges(None, None, EdgeIndex.of(EDGES, (IN, OUT)))
    assert type(wiring.topology.edge_index) is Tensor


def test_given_sizes_win_over_those_of_a_pyg_edge_index():
    wiring = convert.from_edges(7, None, EdgeIndex.of(EDGES, (None, OUT)))
    assert (wiring.topology.in_features, wiring.topology.out_features) == (7, OUT)


def test_pyg_edge_index_of_unknown_size_asks_for_it():
    with pytest.raises(ValueError, match="give `out_features`"):
        convert.from_edges(None, None, EdgeIndex.of(EDGES, (IN, None)))


def test_pyg_data_brings_edges_sizes_and_weights():
    wiring = convert.from_edges(None, None, Data(EDGES, 5, edge_weight=torch.tensor(WEIGHT)))
    truth = np.zeros((5, 5))
    truth[:IN, :OUT] = ADJACENCY
    np.testing.assert_array_equal(dense(wiring), truth.T)


def test_pyg_data_without_weights_has_none():
    assert convert.from_edges(None, None, Data(EDGES, 5)).weight is None


def test_given_weight_wins_over_that_of_pyg_data():
    data = Data(EDGES, 5, edge_weight=torch.zeros(5))
    assert convert.from_edges(None, None, data, weight=WEIGHT).weight.tolist() == WEIGHT


def test_pyg_data_without_edges_is_refused():
    with pytest.raises(ValueError, match="`edge_index` is None"):
        convert.from_edges(None, None, Data(None, 5))


def test_edges_without_sizes_ask_for_them():
    with pytest.raises(ValueError, match="give `in_features`"):
        convert.from_edges(None, None, EDGES)


def test_swapped_edges_are_told_to_flip():
    with pytest.raises(ValueError, match=r"edge_index.flip\(0\)"):
        convert.from_edges(OUT, IN, EDGES)


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


# networkx


def digraph(kind=networkx.DiGraph):
    graph = kind()
    for (s, t), value in zip(EDGES, WEIGHT, strict=True):
        graph.add_edge(f"x{s}", ("y", t), weight=value)
    return graph


INPUTS = [f"x{i}" for i in range(IN)]
OUTPUTS = [("y", j) for j in range(OUT)]


@pytest.mark.parametrize("kind", [networkx.DiGraph, networkx.MultiDiGraph])
def test_networkx_edge_leads_from_input_to_output(kind):
    wiring = convert.from_networkx(digraph(kind), inputs=INPUTS, outputs=OUTPUTS)
    np.testing.assert_array_equal(dense(wiring), ADJACENCY.T)


def test_networkx_names_are_the_lists():
    wiring = convert.from_networkx(digraph(), inputs=INPUTS, outputs=OUTPUTS)
    assert (wiring.in_names, wiring.out_names) == (INPUTS, OUTPUTS)


def test_networkx_without_lists_equals_its_own_adjacency():
    graph = digraph()
    wiring = convert.from_networkx(graph)
    np.testing.assert_array_equal(dense(wiring).T, networkx.to_numpy_array(graph))
    assert wiring.in_names == wiring.out_names == list(graph)


def test_isolated_node_of_networkx_is_kept():
    graph = digraph()
    graph.add_node("alone")
    wiring = convert.from_networkx(graph, inputs=["alone", *INPUTS], outputs=OUTPUTS)
    assert wiring.topology.fan_out.tolist() == [0, 1, 1, 1, 2]


def test_self_loop_of_networkx_is_kept():
    wiring = convert.from_networkx(networkx.DiGraph([("a", "a"), ("a", "b")]))
    assert wiring.topology.edge_index.T.tolist() == [[0, 0], [0, 1]]


def test_networkx_values_are_double():
    assert convert.from_networkx(digraph()).weight.dtype == torch.float64


def test_whole_networkx_values_become_the_default_type():
    graph = networkx.DiGraph()
    graph.add_weighted_edges_from([("a", "b", 2), ("a", "c", True)])
    assert_close(convert.from_networkx(graph).weight, torch.tensor([2.0, 1.0]))


def test_networkx_without_values_has_no_weights():
    assert convert.from_networkx(networkx.DiGraph([("a", "b")])).weight is None


def test_networkx_weight_attribute_is_chosen():
    graph = networkx.DiGraph()
    graph.add_edge("a", "b", synapses=3.5, weight=1.0)
    assert convert.from_networkx(graph, weight="synapses").weight.tolist() == [3.5]


def test_networkx_value_on_some_edges_only_is_refused():
    graph = digraph()
    graph.add_edge("x0", ("y", 0))
    with pytest.raises(ValueError, match=r"edge 'x0' -> \('y', 0\) has no 'weight'"):
        convert.from_networkx(graph)


def test_networkx_value_that_is_no_number_is_refused():
    graph = networkx.DiGraph()
    graph.add_edge("a", "b", weight="0.5")
    with pytest.raises(TypeError, match="edge 'a' -> 'b' has weight='0.5', which is no number"):
        convert.from_networkx(graph)


def test_undirected_graph_is_refused():
    with pytest.raises(TypeError, match=r"graph.to_directed\(\)"):
        convert.from_networkx(networkx.Graph([("a", "b")]))


def test_matrix_is_no_graph():
    with pytest.raises(TypeError, match="must be a networkx graph, got ndarray"):
        convert.from_networkx(ADJACENCY)


def test_one_list_of_nodes_is_refused():
    with pytest.raises(ValueError, match="both `inputs` and `outputs`"):
        convert.from_networkx(digraph(), inputs=INPUTS)


def test_unknown_node_is_refused():
    with pytest.raises(ValueError, match="`inputs` names 'x9', which is no node"):
        convert.from_networkx(digraph(), inputs=[*INPUTS, "x9"], outputs=OUTPUTS)


def test_node_listed_twice_is_refused():
    with pytest.raises(ValueError, match=r"`outputs` lists \('y', 0\) twice"):
        convert.from_networkx(digraph(), inputs=INPUTS, outputs=[*OUTPUTS, ("y", 0)])


def test_set_of_nodes_is_refused():
    with pytest.raises(TypeError, match="`inputs` must be a list, whose order"):
        convert.from_networkx(digraph(), inputs=set(INPUTS), outputs=OUTPUTS)


def test_edge_that_ends_outside_the_lists_is_refused():
    with pytest.raises(ValueError, match=r"as \('y', 2\) is not listed: add it to `outputs`"):
        convert.from_networkx(digraph(), inputs=INPUTS, outputs=OUTPUTS[:2])


def test_to_networkx_equals_the_adjacency():
    graph = convert.to_networkx(layer_of(), in_names=INPUTS, out_names=OUTPUTS)
    found = networkx.to_numpy_array(graph, nodelist=INPUTS + OUTPUTS)
    np.testing.assert_array_equal(found[:IN, IN:], ADJACENCY)


def test_to_networkx_keeps_isolated_nodes():
    graph = convert.to_networkx(el.EdgeLinear(3, 2, [(1, 1)]))
    assert list(graph) == [("in", 0), ("in", 1), ("in", 2), ("out", 0), ("out", 1)]


def test_to_networkx_without_parallel_edges_is_no_multigraph():
    assert not convert.to_networkx(layer_of()).is_multigraph()


def test_own_names_are_read_by_number():
    graph = networkx.DiGraph([(("in", 10), ("out", 1)), (("in", 2), ("out", 0))])
    assert convert.from_networkx(graph).in_names == [2, 10]


def test_name_among_inputs_and_outputs_is_one_node():
    layer = el.EdgeLinear(2, 2, [(0, 1), (1, 0)])
    graph = convert.to_networkx(layer, in_names=["a", "b"], out_names=["a", "b"])
    assert sorted(graph.edges) == [("a", "b"), ("b", "a")]


@pytest.mark.parametrize("export", [convert.to_networkx, convert.to_table])
def test_too_few_names_are_refused(export):
    with pytest.raises(ValueError, match="`in_names` must hold 4 names, got 2"):
        export(layer_of(), in_names=["a", "b"])


@pytest.mark.parametrize("export", [convert.to_networkx, convert.to_table])
def test_repeated_names_are_refused(export):
    with pytest.raises(ValueError, match="`out_names` lists 'a' twice"):
        export(layer_of(), out_names=["a", "b", "a"])


# Tables


def named_table():
    return pandas.DataFrame(
        {"source": ["b", "a", "b", "c"], "target": ["y", "x", "x", "y"], "weight": [1.0, 2, 3, 4]}
    )


def test_strings_are_numbered_as_they_appear():
    wiring = convert.from_table(named_table())
    assert (wiring.in_names, wiring.out_names) == (["b", "a", "c"], ["y", "x"])


def test_named_table_leads_from_source_to_target():
    wiring = convert.from_table(named_table())
    np.testing.assert_array_equal(dense(wiring), [[1, 0, 4], [3, 2, 0]])


@pytest.mark.parametrize("dtype", ["int64", "uint64", "Int64", "float64", "object", "category"])
def test_whole_numbers_are_numbered_in_ascending_order(dtype):
    table = pandas.DataFrame({"source": [9, 2, 5, 9], "target": [1, 0, 0, 0]}).astype(dtype)
    wiring = convert.from_table(table)
    assert (wiring.in_names, wiring.out_names) == ([2, 5, 9], [0, 1])
    assert wiring.topology.edge_index.tolist() == [[2, 0, 1, 2], [1, 0, 0, 0]]


@pytest.mark.parametrize("dtype", ["str", "string", "object", "category"])
def test_names_of_any_string_type_are_plain_strings(dtype):
    table = named_table().astype({"source": dtype, "target": dtype})
    wiring = convert.from_table(table)
    assert wiring.in_names == ["b", "a", "c"]
    assert all(type(name) is str for name in wiring.in_names)


def test_identifiers_beyond_int64_are_exact():
    ids = np.array([2**64 - 1, 2**63], dtype=np.uint64)
    wiring = convert.from_table(pandas.DataFrame({"source": ids, "target": [0, 1]}))
    assert wiring.in_names == [2**63, 2**64 - 1]


def test_tuples_are_names():
    table = pandas.DataFrame({"source": [("a", 1), ("a", 2)], "target": ["x", "y"]})
    assert convert.from_table(table).in_names == [("a", 1), ("a", 2)]


def test_truth_values_are_names():
    table = pandas.DataFrame({"source": [True, False], "target": ["x", "y"]})
    assert convert.from_table(table).in_names == [True, False]


def test_spaces_in_names_are_kept():
    table = pandas.DataFrame({"source": ["a b", " c", "d "], "target": ["x", "x", "x"]})
    assert convert.from_table(table).in_names == ["a b", " c", "d "]


def test_unused_category_is_no_node():
    table = named_table().astype({"source": "category"}).iloc[:3]
    assert convert.from_table(table).in_names == ["b", "a"]


@pytest.mark.parametrize("read", [read_edges, read_table])
@settings(max_examples=8)
@given(pattern=patterns())
def test_importer_of_a_list_keeps_its_order(read, pattern):
    wiring = read(*pattern, duplicates="keep")
    assert list(map(tuple, wiring.topology.edge_index.T.tolist())) == pattern[2]
    assert wiring.weight.tolist() == pattern[3]


def test_table_may_be_sorted():
    wiring = convert.from_table(named_table(), sort=True)
    assert wiring.topology.is_sorted
    assert wiring.weight.tolist() == [1.0, 4.0, 3.0, 2.0]


def test_layers_of_tables_meet_by_name():
    first = convert.from_table(named_table())  # to y and x
    second = pandas.DataFrame({"source": ["x", "y"], "target": ["death", "life"]})
    wiring = convert.from_table(second, in_names=first.out_names, out_names=["life", "?", "death"])
    assert wiring.in_names == ["y", "x"]
    assert wiring.out_names == ["life", "?", "death"]
    assert wiring.topology.edge_index.tolist() == [[1, 0], [2, 0]]


def test_names_in_a_file_are_read_as_those_given(tmp_path):
    path = written(tmp_path, "source,target\n7,x\n5,x\n")
    assert convert.from_table(path, in_names=["5", "6", "7"]).topology.src.tolist() == [2, 0]
    assert convert.from_table(path, in_names=[5, 6, 7]).topology.src.tolist() == [2, 0]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a", "b"], "'source' has 'c' in row 3, which is not among `in_names`: add it"),
        (["a", "b", "a"], "`in_names` lists 'a' twice"),
        ({"a", "b", "c"}, "`in_names` must be a list, whose order"),
        ("abc", "`in_names` must be a list, whose order"),
    ],
)
def test_name_that_is_not_listed_is_refused(names, message):
    with pytest.raises((ValueError, TypeError), match=message):
        convert.from_table(named_table(), in_names=names)


def test_name_of_another_type_is_refused():
    table = pandas.DataFrame({"source": [7], "target": ["x"]})
    with pytest.raises(ValueError, match="has 7 in row 0, .*, where names are str"):
        convert.from_table(table, in_names=["7"])


def test_name_that_is_no_number_is_named_first(tmp_path):
    path = written(tmp_path, "source,target\n7,x\n8,x\nTOTAL,x\n")
    with pytest.raises(ValueError, match="has 'TOTAL' in row 2"):
        convert.from_table(path, in_names=[7, 8])


def test_nodes_that_are_listed_keep_their_names():
    graph = convert.to_networkx(el.EdgeLinear(2, 2, [(0, 0), (1, 1)]))
    wiring = convert.from_networkx(graph, inputs=list(graph), outputs=list(graph))
    assert wiring.in_names == list(graph)


def test_names_and_sizes_exclude_each_other():
    with pytest.raises(ValueError, match="give names or sizes"):
        convert.from_table(table_of(), in_features=6, out_features=5, in_names=range(6))


def test_columns_are_chosen():
    table = named_table().rename(columns={"source": "pre", "target": "post", "weight": "n"})
    wiring = convert.from_table(table, source="pre", target="post", weight="n")
    np.testing.assert_array_equal(dense(wiring), [[1, 0, 4], [3, 2, 0]])


def test_table_with_sizes_keeps_nodes_without_edges():
    wiring = convert.from_table(table_of(), in_features=6, out_features=5)
    assert wiring.topology.fan_in.tolist() == [2, 2, 1, 0, 0]
    assert wiring.in_names is wiring.out_names is None


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("float64", torch.float64),
        ("Float64", torch.float64),
        ("float32", torch.float32),
        ("int64", torch.float32),
        ("uint64", torch.float32),
        ("Int32", torch.float32),
        ("bool", torch.float32),
        ("boolean", torch.float32),
        ("object", torch.float64),
        ("category", torch.float64),
    ],
)
def test_weight_column_has_its_type_and_whole_numbers_the_default(dtype, expected):
    weight = pandas.Series([1.0, 0.0, 1.0, 1.0]).astype(dtype)
    found = convert.from_table(named_table().assign(weight=weight)).weight
    assert_close(found, torch.tensor([1.0, 0.0, 1.0, 1.0], dtype=expected))


def test_table_without_weights_has_none():
    assert convert.from_table(table_of(weight=None)).weight is None


def test_duplicate_row_is_named():
    table = pandas.concat([named_table(), named_table().iloc[1:2]])
    with pytest.raises(ValueError, match=r"edge 'a' -> 'x' is given twice \(rows 1 and 4\)"):
        convert.from_table(table)


@pytest.mark.parametrize("column", ["source", "target", "weight"])
def test_missing_cell_is_named(column):
    table = named_table()
    table.loc[2, column] = None
    with pytest.raises(ValueError, match=rf"column '{column}' has no value in row 2 \(1 missing"):
        convert.from_table(table)


def test_missing_nullable_integer_is_named():
    source = pandas.array([0, None, 1, 2], dtype="Int64")
    with pytest.raises(ValueError, match="column 'source' has no value in row 1"):
        convert.from_table(named_table().assign(source=source))


def test_missing_category_is_named():
    source = pandas.Categorical(["a", None, "b", "c"])
    with pytest.raises(ValueError, match="column 'source' has no value in row 1"):
        convert.from_table(named_table().assign(source=source))


def test_missing_column_is_named_beside_those_there():
    with pytest.raises(ValueError, match="no column 'pre'.*'source', 'target', 'weight'"):
        convert.from_table(named_table(), source="pre")


def test_missing_weight_column_is_named():
    with pytest.raises(ValueError, match="no column 'n'"):
        convert.from_table(named_table(), weight="n")


def test_column_given_twice_is_refused():
    table = named_table().rename(columns={"target": "source"})
    with pytest.raises(ValueError, match="has 2 columns 'source'"):
        convert.from_table(table)


def test_column_of_strings_and_numbers_is_refused():
    table = named_table().assign(source=["7", "a", 7, "b"])
    with pytest.raises(TypeError, match=r"mixes strings and numbers \(rows 0 and 2\).*astype\(str"):
        convert.from_table(table)


@pytest.mark.parametrize("value", [0.5, float("inf"), 1e300])
def test_name_that_is_no_whole_number_is_refused(value):
    table = named_table().assign(source=[1.0, 2.0, value, 3.0])
    with pytest.raises(ValueError, match=r"names or whole numbers, got .* in row 2"):
        convert.from_table(table)


def test_weight_that_is_no_number_is_named():
    table = named_table().assign(weight=["1", "2", "many", "4"])
    with pytest.raises(ValueError, match="column 'weight' must hold numbers, got 'many' in row 2"):
        convert.from_table(table)


def test_complex_weight_is_refused():
    with pytest.raises(TypeError, match="real numbers, got complex128"):
        convert.from_table(named_table().assign(weight=[1j, 2j, 3j, 4j]))


@pytest.mark.parametrize("source", [[0, "b"], ["0", "b"], [0.0, 0.5], [0, np.inf]])
def test_sizes_need_indices(source):
    table = pandas.DataFrame({"source": source, "target": [0, 1]})
    with pytest.raises(ValueError, match="indices where sizes are given, got .* in row 1"):
        convert.from_table(table, in_features=3, out_features=2)


def test_truth_values_are_no_indices():
    table = pandas.DataFrame({"source": [True, False], "target": [0, 1]})
    with pytest.raises(ValueError, match="indices where sizes are given, got .*True.* in row 0"):
        convert.from_table(table, in_features=3, out_features=2)


@pytest.mark.parametrize("index", [-1, 3, 2**64 - 1])
def test_index_outside_its_size_is_refused(index):
    source = np.array([0, index], dtype=np.uint64 if index > 3 else np.int64)
    table = pandas.DataFrame({"source": source, "target": [0, 1]})
    shown = min(index, 2**63 - 1)  # never a negative one in the place of a large one
    with pytest.raises(ValueError, match=rf"source {shown} at edge 1 is outside \[0, 3\)"):
        convert.from_table(table, in_features=3, out_features=2)


def test_one_size_is_refused():
    with pytest.raises(ValueError, match="both `in_features` and `out_features`"):
        convert.from_table(table_of(), in_features=IN)


def test_table_without_rows_is_refused():
    with pytest.raises(ValueError, match="a header but no rows"):
        convert.from_table(named_table().iloc[:0])


def test_array_is_no_table():
    with pytest.raises(TypeError, match="a DataFrame or a path, got ndarray"):
        convert.from_table(ADJACENCY)


def test_to_table_keeps_the_order_and_type_of_the_edges():
    table = convert.to_table(layer_of(dtype=torch.float32))
    assert list(zip(table["source"], table["target"], strict=True)) == EDGES
    assert table["weight"].dtype == np.float32 and table["weight"].tolist() == WEIGHT


def test_to_table_takes_any_names():
    table = convert.to_table(layer_of(), in_names=INPUTS, out_names=OUTPUTS)
    assert table["target"].tolist() == [("y", t) for _, t in EDGES]
    assert table["source"].tolist() == [f"x{s}" for s, _ in EDGES]


def test_to_table_keeps_tuples_of_several_lengths():
    names = [("a",), ("b", 1), ("c", 1, 2)]
    table = convert.to_table(layer_of(), out_names=names)
    assert table["target"].tolist() == [names[t] for _, t in EDGES]


def test_to_table_does_not_share_memory_with_the_layer():
    layer = layer_of()
    table = convert.to_table(layer)
    with torch.no_grad():
        layer.weight.zero_()
    assert table["weight"].tolist() == WEIGHT


# Files


def written(tmp_path, text, name="edges.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["e.csv", "e.tsv", "e.csv.gz", "e.tsv.gz", "e.TSV"])
def test_file_is_read(tmp_path, name):
    separator = "\t" if "tsv" in name.lower() else ","
    named_table().to_csv(tmp_path / name, sep=separator, index=False)
    wiring = convert.from_table(tmp_path / name)
    np.testing.assert_array_equal(dense(wiring), [[1, 0, 4], [3, 2, 0]])


def test_path_may_be_a_string(tmp_path):
    path = written(tmp_path, "source,target\na,x\n")
    assert convert.from_table(str(path)).in_names == ["a"]


def test_file_round_trip(tmp_path):
    layer = layer_of(weight=torch.randn(5, dtype=torch.float64))
    convert.to_table(layer, in_names=list("dcba"), out_names=list("xyz")).to_csv(
        tmp_path / "e.csv", index=False
    )
    wiring = convert.from_table(tmp_path / "e.csv")
    rows = [list("xyz").index(name) for name in wiring.out_names]
    columns = [list("dcba").index(name) for name in wiring.in_names]
    truth = layer.to_dense().detach()[rows][:, columns]
    assert_close(torch.from_numpy(dense(wiring)), truth)


def test_plain_whole_numbers_of_a_file_are_numbers(tmp_path):
    path = written(tmp_path, "source,target\n10,1\n9,0\n")
    assert convert.from_table(path).in_names == [9, 10]


@pytest.mark.parametrize("name", ["007", "1e3", "True", "NA", "None", " 7", "1_0", "+7"])
def test_name_in_a_file_is_kept_as_written(tmp_path, name):
    path = written(tmp_path, f"source,target\n{name},x\n8,y\n")
    assert convert.from_table(path).in_names == [name, "8"]


@pytest.mark.parametrize("cell", ["", "nan", "NaN"])
@pytest.mark.parametrize("sizes", [{}, {"in_features": 9, "out_features": 9}])
def test_nan_in_an_index_column_of_a_file_is_refused(tmp_path, cell, sizes):
    path = written(tmp_path, f"source,target\n1,2\n{cell},3\n")
    with pytest.raises(ValueError, match="column 'source' has no value in row 1"):
        convert.from_table(path, **sizes)


def test_number_beyond_int64_in_a_file_is_exact(tmp_path):
    path = written(tmp_path, f"source,target\n{2**64 - 1},0\n{2**70},1\n")
    assert convert.from_table(path).in_names == [str(2**64 - 1), str(2**70)]


def test_indices_in_a_file_may_be_floats(tmp_path):
    path = written(tmp_path, "source,target\n2.0,1\n0.0,0\n")
    wiring = convert.from_table(path, in_features=3, out_features=2)
    assert wiring.topology.edge_index.tolist() == [[2, 0], [1, 0]]


def test_empty_cell_in_a_file_is_missing(tmp_path):
    with pytest.raises(ValueError, match="column 'target' has no value in row 1"):
        convert.from_table(written(tmp_path, "source,target\na,x\nb,\n"))


def test_short_row_in_a_file_is_missing_a_value(tmp_path):
    with pytest.raises(ValueError, match="column 'target' has no value in row 1"):
        convert.from_table(written(tmp_path, "source,target\na,x\nb\n"))


def test_rows_wider_than_the_header_are_refused(tmp_path):
    with pytest.raises(ValueError, match="more cells than its header"):
        convert.from_table(written(tmp_path, "source,target\n1,a,x\n2,b,y\n"))


def test_ragged_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match="cannot be read as a table"):
        convert.from_table(written(tmp_path, "source,target\na,x\nb,y,0.5,0.5\n"))


def test_binary_file_is_refused(tmp_path):
    (tmp_path / "e.csv").write_bytes(b"source,target\n\xff\xfe,\x80\n")
    with pytest.raises(ValueError, match="cannot be read as a table"):
        convert.from_table(tmp_path / "e.csv")


def test_file_with_a_byte_order_mark_is_read(tmp_path):
    path = written(tmp_path, "\ufeffsource,target\na,x\n")
    assert convert.from_table(path).in_names == ["a"]


def test_header_without_rows_is_refused(tmp_path):
    with pytest.raises(ValueError, match="a header but no rows"):
        convert.from_table(written(tmp_path, "source,target\n"))


def test_empty_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match="e.csv is empty"):
        convert.from_table(written(tmp_path, "", "e.csv"))


def test_absent_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.csv"):
        convert.from_table(tmp_path / "nowhere.csv")


def test_weight_in_a_file_that_is_no_number_is_named(tmp_path):
    path = written(tmp_path, "source,target,weight\na,x,1\nb,x,many\n")
    with pytest.raises(ValueError, match="'weight' must hold numbers, got 'many' in row 1"):
        convert.from_table(path)


# Optional packages


@pytest.mark.parametrize(
    ("package", "use"),
    [
        ("pandas", lambda: convert.from_table("edges.csv")),
        ("pandas", lambda: convert.to_table(layer_of())),
        ("networkx", lambda: convert.to_networkx(layer_of())),
    ],
)
def test_missing_package_names_the_extra(monkeypatch, package, use):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf"{package}: pip install 'edgelinear\[graph\]'"):
        use()


def test_public_names_are_these():
    public = {
        name
        for name, value in vars(convert).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert public == set(convert.__all__)
    assert not public & set(dir(builtins))
