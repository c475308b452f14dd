"""What is no list of edges is told where it can be read."""

import numpy as np
import pandas
import pytest
import scipy.sparse
import torch

import edgelinear as el


@pytest.mark.parametrize(
    "matrix",
    [
        scipy.sparse.csr_array(np.eye(3)),
        scipy.sparse.coo_matrix(np.ones((2, 3))),
        torch.eye(3).to_sparse(),
        torch.ones(2, 3).to_sparse_csr(),
    ],
    ids=["scipy", "scipy of two rows", "torch", "torch of two rows"],
)
@pytest.mark.filterwarnings("ignore:Sparse")
def test_sparse_matrix_as_edges_is_told_of_from_adjacency(matrix):
    with pytest.raises(TypeError, match=r"must list edges \(for an adjacency, use .*adjacency`\)"):
        el.EdgeLinear(3, 3, matrix)
    el.convert.from_adjacency(matrix)


def test_names_as_edges_are_told_of_from_table():
    table = pandas.DataFrame({"source": ["a", "b"], "target": ["y", "z"]})
    with pytest.raises(
        TypeError, match="must hold integers, got 'a' at .* `el.convert.from_table`"
    ):
        el.Topology(2, 2, table.T)
    el.convert.from_table(table)


def test_hidden_end_of_an_edge_is_refused():
    edges = np.ma.array([[0, 1], [1, 0]], mask=[[False, True], [False, False]])
    with pytest.raises(ValueError, match=r"`edge_index` has no value at \[0, 1\]"):
        el.Topology(2, 2, edges)


@pytest.mark.parametrize("matrix", ["abc", None, {"a": 1}, [["a", 1.0]]])
def test_what_is_no_matrix_is_refused(matrix):
    with pytest.raises(TypeError, match="the matrix must hold real numbers in rows, got"):
        el.convert.from_adjacency(matrix)


@pytest.mark.filterwarnings("ignore:The PyTorch API of MaskedTensors")
def test_hidden_entry_of_a_masked_tensor_is_no_edge():
    shown = torch.tensor([[True, False, False], [False, True, True]])
    matrix = torch.masked.masked_tensor(torch.ones(2, 3), shown)
    assert el.convert.from_torch(matrix).topology.edge_index.T.tolist() == [[0, 0], [1, 1], [1, 2]]
