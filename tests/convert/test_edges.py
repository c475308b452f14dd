"""Edge lists and PyG's edges and graphs."""

import numpy as np
import pytest
import torch
from importers import ADJACENCY, EDGES, IN, OUT, WEIGHT, dense
from torch import Tensor

from edgelinear import convert


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
