"""Edges of a mask are its true entries, in every format; and values of data are finite."""

import networkx
import numpy as np
import pandas
import pytest
import scipy.sparse
import torch
from torch import nn
from torch.testing import assert_close

import edgelinear as el
from edgelinear import convert
from edgelinear.baselines import MaskedLinear

TRUE = np.array([[0, 1, 0], [1, 0, 1], [0, 0, 1], [1, 0, 0]], dtype=bool)  # (out, in) = (4, 3)
EDGES = sorted((s, t) for t, s in np.argwhere(TRUE).tolist())


def stored(make, dtype):
    """Return a format in which every other false entry is stored too."""
    row, col = np.indices(TRUE.shape).reshape(2, -1)
    keep = TRUE[row, col] | (np.arange(row.size) % 2 == 0)
    return make(row[keep], col[keep], TRUE[row, col][keep].astype(dtype), TRUE.shape)


def scipy_coo(row, col, values, shape):
    return scipy.sparse.coo_array((values, (row, col)), shape=shape)


def torch_coo(row, col, values, shape):
    return torch.sparse_coo_tensor(np.stack([row, col]), torch.from_numpy(values), shape)


class SparseTensor:
    """Stands in for torch_sparse's class, by the methods of it that are used."""

    def __init__(self, row, col, values, shape):
        self.entries = *map(torch.as_tensor, (row, col)), values
        self.shape = shape

    def coo(self):
        return self.entries

    def sparse_sizes(self):
        return self.shape


def torch_sparse_stand_in(row, col, values, shape):
    return SparseTensor(row, col, torch.from_numpy(values), shape)


FORMATS = {
    **{
        f"scipy {kind}": lambda *args, kind=kind: getattr(scipy_coo(*args), f"to{kind}")()
        for kind in ("coo", "csr", "csc", "dok", "lil", "bsr")
    },
    "torch coo": torch_coo,
    "torch csr": lambda *args: torch_coo(*args).to_sparse_csr(),
    "torch csc": lambda *args: torch_coo(*args).to_sparse_csc(),
    "SparseTensor": torch_sparse_stand_in,
}


def edges_of(wiring):
    return sorted(map(tuple, wiring.topology.edge_index.T.tolist()))


@pytest.mark.parametrize("dtype", ["bool", "float64", "float32", "int64", "uint8"])
@pytest.mark.parametrize("make", FORMATS.values(), ids=FORMATS)
def test_stored_zeros_of_a_sparse_mask_are_no_edges(make, dtype):
    wiring = convert.from_weight_mask(stored(make, dtype))
    assert edges_of(wiring) == EDGES and wiring.weight is None
    assert el.EdgeLinear.from_weight_mask(stored(make, dtype)).num_edges == len(EDGES)


@pytest.mark.parametrize("make", FORMATS.values(), ids=FORMATS)
def test_stored_false_of_a_sparse_adjacency_is_no_edge(make):
    wiring = convert.from_adjacency(stored(make, bool))
    assert edges_of(wiring) == sorted((t, s) for s, t in EDGES) and wiring.weight is None


@pytest.mark.parametrize("make", FORMATS.values(), ids=FORMATS)
def test_stored_zero_of_an_adjacency_of_numbers_is_an_edge(make):
    assert convert.from_adjacency(stored(make, float)).topology.num_edges > len(EDGES)


@pytest.mark.parametrize("make", [scipy_coo, torch_coo])
@pytest.mark.parametrize("read", [convert.from_adjacency, convert.from_weight_mask])
def test_rows_of_a_mask_are_positions_among_what_is_stored(read, make):
    matrix = stored(make, bool)
    wiring = read(matrix)
    if make is torch_coo:
        row, col = matrix._indices().numpy()
        values = matrix._values().numpy()
    else:
        row, col, values = matrix.row, matrix.col, matrix.data
    src, dst = (row, col) if read is convert.from_adjacency else (col, row)
    assert values[wiring.rows.old].all()
    assert np.array_equal(src[wiring.rows.old], wiring.topology.src)
    assert np.array_equal(dst[wiring.rows.old], wiring.topology.dst)
    assert wiring.rows.sum(np.ones(len(values))).tolist() == [1.0] * len(EDGES)


@pytest.mark.parametrize("make", [scipy_coo, torch_coo])
def test_duplicate_in_a_mask_is_named_by_its_stored_positions(make):
    mask = make(np.array([0, 1, 2, 1]), np.array([0, 1, 0, 1]), np.array([0, 1, 0, 1]) > 0, (3, 2))
    with pytest.raises(ValueError, match=r"edge 1 -> 1 is given twice \(entries 1 and 3\)"):
        convert.from_adjacency(mask)


@pytest.mark.parametrize("make", [scipy_coo, torch_coo])
@pytest.mark.parametrize(
    "values", [np.array([True, True, True, False]), np.array([1.0, -2.0, 3.0, -3.0])]
)
def test_entry_of_a_mask_stored_twice_is_the_one_of_the_matrix_written_out(make, values):
    mask = make(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1]), values, (2, 2))
    dense = mask.toarray() if make is scipy_coo else mask.float().to_dense().numpy()
    assert edges_of(convert.from_weight_mask(mask)) == edges_of(convert.from_weight_mask(dense))


DENSE = {
    "array": np.array,
    "list": lambda m: m.tolist(),
    "list of arrays": list,
    "list of tensors": lambda m: [*torch.from_numpy(m)],
    "tensor": torch.from_numpy,
    "frame": pandas.DataFrame,
    "nullable frame": lambda m: pandas.DataFrame(m).convert_dtypes(),
    "object frame": lambda m: pandas.DataFrame(m).astype(object),
    "sparse frame": lambda m: pandas.DataFrame.sparse.from_spmatrix(scipy.sparse.coo_matrix(m)),
    "masked array": lambda m: np.ma.array(np.ones_like(m), mask=m == 0),
    "masked tensor": lambda m: torch.masked.masked_tensor(
        torch.ones(m.shape), torch.from_numpy(m) != 0
    ),
}


@pytest.mark.filterwarnings("ignore:The PyTorch API of MaskedTensors")
@pytest.mark.parametrize("dtype", [bool, float, int])
@pytest.mark.parametrize("kind", DENSE.values(), ids=DENSE)
def test_dense_mask_of_any_kind_gives_its_true_entries(kind, dtype):
    mask = kind(TRUE.astype(dtype))
    assert edges_of(convert.from_weight_mask(mask)) == EDGES
    assert edges_of(convert.from_adjacency(mask)) == sorted((t, s) for s, t in EDGES)
    np.testing.assert_array_equal(MaskedLinear(3, 4, mask).mask.numpy(), TRUE)


def test_what_a_masked_array_shows_are_its_values():
    matrix = np.ma.masked_invalid([[0.0, 2.0, np.nan], [np.inf, 0.0, 3.0]])
    wiring = convert.from_adjacency(matrix)
    assert edges_of(wiring) == [(0, 1), (1, 2)] and wiring.weight.tolist() == [2.0, 3.0]


@pytest.mark.parametrize("kind", sorted(FORMATS.keys() - {"SparseTensor"}))
def test_masked_linear_takes_sparse_masks(kind):
    make = FORMATS[kind]
    np.testing.assert_array_equal(MaskedLinear(3, 4, stored(make, bool)).mask.numpy(), TRUE)


@pytest.mark.parametrize(
    "mask", [[[np.nan, 1.0]], np.array([[np.inf, 1.0]]), torch.tensor([[float("nan"), 1.0]])]
)
def test_mask_that_is_neither_true_nor_false_is_refused(mask):
    with pytest.raises(ValueError, match="some read as"):
        MaskedLinear(2, 1, mask)
    with pytest.raises(ValueError, match="some read as"):
        convert.from_weight_mask(mask)


def test_missing_entry_of_a_mask_is_refused():
    mask = pandas.DataFrame([[True, None], [False, True]], dtype="boolean")
    for read in (convert.from_weight_mask, lambda m: MaskedLinear(2, 2, m)):
        with pytest.raises(ValueError, match=r"has no value at \[0, 1\]"):
            read(mask)


# Values


def read_edges(values):
    return convert.from_edges(3, 2, [(0, 0), (1, 1), (2, 1)], weight=np.array(values))


def read_scipy(values):
    return convert.from_scipy(scipy.sparse.coo_array((values, ([0, 1, 2], [0, 1, 1]))))


def read_torch(values):
    index = torch.tensor([[0, 1, 2], [0, 1, 1]])
    return convert.from_torch(torch.sparse_coo_tensor(index, torch.tensor(values), (3, 2)))


def read_csr(values):
    return convert.from_scipy(scipy.sparse.coo_array((values, ([0, 1, 2], [0, 1, 1]))).tocsr())


def read_table(values):
    table = pandas.DataFrame({"source": [0, 1, 2], "target": [0, 1, 1], "weight": values})
    return convert.from_table(table, in_features=3, out_features=2)


def read_networkx(values):
    graph = networkx.DiGraph()
    for edge, value in zip([(0, "y"), (1, "z"), (2, "z")], values, strict=True):
        graph.add_edge(*edge, weight=value)
    return convert.from_networkx(graph, inputs=[0, 1, 2], outputs=["y", "z"])


def read_dense(values):
    matrix = np.zeros((3, 2))
    matrix[[0, 1, 2], [0, 1, 1]] = values
    return convert.from_adjacency(matrix)


def read_linear(values):
    linear = nn.Linear(3, 2)
    with torch.no_grad():
        linear.weight.zero_()
        linear.weight[[0, 1, 1], [0, 1, 2]] = torch.tensor(values)
    return convert.from_linear(linear)


READERS = [
    read_edges,
    read_scipy,
    read_csr,
    read_torch,
    read_table,
    read_networkx,
    read_dense,
    read_linear,
]


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("read", READERS)
def test_value_that_is_not_finite_is_refused(read, wrong):
    assert read([1.0, 2.0, 3.0]).weight.tolist() == [1.0, 2.0, 3.0]
    with pytest.raises(ValueError, match="(?i)nan|inf|no value in row 1"):
        read([1.0, wrong, 3.0])


@pytest.mark.parametrize("read", [read_edges, read_scipy, read_torch, read_table])
def test_edge_whose_value_is_infinite_is_named(read):
    with pytest.raises(ValueError, match=r"edge 1 -> 1 \((edge|entry|row) 1\) has the value inf"):
        read([1.0, float("inf"), 3.0])


def test_edge_of_a_graph_whose_value_is_nan_is_named():
    with pytest.raises(ValueError, match="edge 1 -> 'z' .* has the value nan"):
        read_networkx([1.0, float("nan"), 3.0])


@pytest.mark.parametrize("read", [r for r in READERS if r not in (read_torch, read_linear)])
def test_value_that_overflows_the_layer_is_refused(read):
    wiring = read([1.0, 1e39, 3.0])
    assert wiring.weight.tolist() == [1.0, 1e39, 3.0]
    with pytest.raises(ValueError, match=r"`weight` holds 1e\+39 .* too large for torch.float32"):
        el.EdgeLinear.from_wiring(wiring, values="weight")
    layer = el.EdgeLinear.from_wiring(wiring, values="weight", dtype=torch.float64)
    assert_close(layer.weight.detach(), wiring.weight)


def test_number_in_nested_lists_that_overflows_is_named():
    with pytest.raises(ValueError, match=r"the matrix holds 1e\+39 at \[0, 1\]"):
        convert.from_adjacency([[0.0, 1e39], [1.0, 0.0]])


def test_fractions_and_large_integers_of_a_graph_are_numbers():
    from fractions import Fraction

    wiring = read_networkx([Fraction(1, 2), 2**70, 3])
    assert wiring.weight.tolist() == [0.5, 2.0**70, 3.0]


# Corrupt matrices


def corrupt(kind, indptr, indices, data=None):
    matrix = getattr(scipy.sparse, f"{kind}_array")((3, 3))
    matrix.indptr, matrix.indices = np.array(indptr), np.array(indices)
    matrix.data = np.ones(len(indices)) if data is None else np.array(data)
    return matrix


@pytest.mark.parametrize("kind", ["csr", "csc"])
@pytest.mark.parametrize(
    "indptr, message",
    [
        ([0, 3, 1, 4], "falls after position 1"),
        ([0, 1, 2, 9], "goes from 0 to 9, with 4 entries"),
        ([2, 2, 3, 4], "goes from 2 to 4"),
    ],
)
def test_corrupt_pointer_of_scipy_is_refused(kind, indptr, message):
    with pytest.raises(ValueError, match=f"`matrix` is corrupt: .* {message}"):
        convert.from_scipy(corrupt(kind, indptr, [0, 1, 2, 0]))


def test_space_behind_the_entries_of_a_csr_matrix_is_not_read():
    matrix = corrupt("csr", [0, 1, 2, 3], [0, 1, 2, 7, 8], [1.0, 2.0, 3.0, 9.0, 9.0])
    wiring = convert.from_scipy(matrix)
    assert edges_of(wiring) == [(0, 0), (1, 1), (2, 2)] and wiring.weight.tolist() == [1, 2, 3]
    assert len(matrix.indices) == 5  # the caller's matrix is left as it is


def test_indices_of_scipy_that_are_no_integers_are_refused():
    matrix = scipy.sparse.coo_array(np.eye(3))
    matrix.coords = (np.array([0.5, 1.0, 2.0]), matrix.coords[1])
    with pytest.raises(TypeError, match="indices must be integers, got float64"):
        convert.from_scipy(matrix)


@pytest.mark.filterwarnings("ignore:Sparse")
@pytest.mark.parametrize("make", [torch.sparse_csr_tensor, torch.sparse_csc_tensor])
@pytest.mark.parametrize(
    "indptr", [[0, 3, 1, 4], [0, 1, 2, 9], [0, 1, 1, 2], [0, 1, 4], [0, 1, 2, 3, 4]]
)
def test_corrupt_pointer_of_torch_is_refused(make, indptr):
    matrix = make(
        torch.tensor(indptr),
        torch.tensor([0, 1, 2, 0]),
        torch.ones(4),
        (3, 3),
        check_invariants=False,
    )
    with pytest.raises(ValueError, match="`matrix` is corrupt: its pointer"):
        convert.from_torch(matrix)
