"""What PyG hands over: sizes that it knows and none that it guesses, directions, types of edges.

The classes are PyG's own where it is installed, and else stand-ins with the same attributes.
"""

import warnings

import numpy as np
import pytest
import torch
from torch import Tensor

import edgelinear as el
from edgelinear import convert

EDGES = torch.tensor([[0, 3, 1, 3], [1, 0, 1, 2]])
WEIGHT = torch.tensor([0.5, -1.0, 2.0, 0.25])
ADJACENCY = np.array([[0, 0.5, 0], [0, 2, 0], [0, 0, 0], [-1, 0, 0.25]])


class Store(dict):
    """Stands in for a `Data` or a part of a `HeteroData`: attributes that are keys as well."""

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class StandInData(Store):
    @property
    def edge_index(self):
        return self.get("edge_index")

    @property
    def num_nodes(self):
        if "num_nodes" in self:
            return self["num_nodes"]
        for key in ("x", "pos", "batch"):
            if key in self:
                return len(self[key])
        warnings.warn("Unable to accurately infer 'num_nodes'", stacklevel=2)
        return int(self.edge_index.max()) + 1 if self.edge_index is not None else None


class StandInNodes(Store):
    @property
    def num_nodes(self):
        if "num_nodes" in self or "x" in self:
            return self.get("num_nodes") or len(self["x"])
        warnings.warn("Unable to accurately infer 'num_nodes'", stacklevel=2)
        return None


class StandInEdges(Store):
    def size(self):
        return self["ends"][0].num_nodes, self["ends"][1].num_nodes


class StandInHetero:
    def __init__(self):
        self.stores = {}

    @property
    def edge_types(self):
        return [key for key in self.stores if isinstance(key, tuple)]

    def __getitem__(self, key):
        if key not in self.stores:
            self.stores[key] = StandInNodes() if isinstance(key, str) else StandInEdges()
        return self.stores[key]

    def add(self, key, **values):
        self[key].update(values)
        if isinstance(key, tuple):
            self[key]["ends"] = self[key[0]], self[key[2]]


class StandInEdgeIndex(Tensor):
    @classmethod
    def of(cls, edges, sparse_size):
        index = torch.as_tensor(edges).as_subclass(cls)
        index.sizes = sparse_size
        return index

    def sparse_size(self):
        return self.sizes


class StandInSparseTensor:
    def __init__(self, row, col, value=None, sparse_sizes=None):
        self.entries, self.sizes = (row, col, value), sparse_sizes

    def coo(self):
        return self.entries

    def sparse_sizes(self):
        return self.sizes


def stand_ins():
    def hetero(**parts):
        graph = StandInHetero()
        for key, values in parts["parts"]:
            graph.add(key, **values)
        return graph

    return {
        "Data": StandInData,
        "hetero": hetero,
        "EdgeIndex": lambda edges, size: StandInEdgeIndex.of(edges, size),
    }


def real():
    data = pytest.importorskip("torch_geometric.data")
    geometric = pytest.importorskip("torch_geometric")

    def hetero(**parts):
        graph = data.HeteroData()
        for key, values in parts["parts"]:
            for name, value in values.items():
                graph[key][name] = value
        return graph

    return {
        "Data": data.Data,
        "hetero": hetero,
        "EdgeIndex": lambda edges, size: geometric.EdgeIndex(edges, sparse_size=size),
    }


@pytest.fixture(params=["stand-in", pytest.param("PyG", marks=pytest.mark.pyg)])
def pyg(request):
    return stand_ins() if request.param == "stand-in" else real()


def sizes_of(wiring):
    return wiring.topology.in_features, wiring.topology.out_features


def dense(wiring):
    topology, weight = wiring.topology, wiring.weight
    matrix = np.zeros((topology.in_features, topology.out_features))
    for e, (s, t) in enumerate(topology.edge_index.T.tolist()):
        matrix[s, t] += 1 if weight is None else float(weight[e])
    return matrix


def test_data_with_x_brings_its_size(pyg):
    graph = pyg["Data"](x=torch.zeros(6, 2), edge_index=EDGES, edge_weight=WEIGHT)
    wiring = convert.from_edges(None, None, graph)
    assert sizes_of(wiring) == (6, 6) and torch.equal(wiring.weight, WEIGHT)


def test_data_that_says_its_number_of_nodes_brings_it(pyg):
    assert sizes_of(convert.from_edges(None, None, pyg["Data"](edge_index=EDGES, num_nodes=9))) == (
        9,
        9,
    )


def test_data_without_x_is_asked_for_sizes(pyg):
    graph = pyg["Data"](edge_index=EDGES)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the guess is not made, and PyG's warning not shown
        with pytest.raises(ValueError, match="do not say how many nodes there are: give `in_feat"):
            convert.from_edges(None, None, graph)
    assert sizes_of(convert.from_edges(4, 3, graph)) == (4, 3)


@pytest.mark.parametrize("more", [{}, {"num_nodes": 14}])
def test_data_with_two_sets_of_nodes_is_asked_for_sizes(pyg, more):
    graph = pyg["Data"](x_s=torch.zeros(10, 2), x_t=torch.zeros(4, 2), edge_index=EDGES % 4, **more)
    with pytest.raises(ValueError, match="give `in_features`"):
        convert.from_edges(None, None, graph)
    with pytest.raises(ValueError, match="give `out_features`"):
        convert.from_edges(10, None, graph)
    assert sizes_of(convert.from_edges(10, 4, graph)) == (10, 4)


def test_data_without_edges_is_refused(pyg):
    with pytest.raises(ValueError, match="holds no edges"):
        convert.from_edges(None, None, pyg["Data"](x=torch.zeros(6, 2)))


def test_edge_index_in_data_brings_both_of_its_sizes(pyg):
    index = pyg["EdgeIndex"](EDGES, (4, 3))
    assert sizes_of(convert.from_edges(None, None, pyg["Data"](edge_index=index))) == (4, 3)


HETERO = [
    ("user", {"x": torch.zeros(5, 1)}),
    ("film", {"num_nodes": 7}),
    (("user", "rates", "film"), {"edge_index": EDGES, "edge_weight": WEIGHT}),
]


def test_only_type_of_edges_is_taken(pyg):
    wiring = convert.from_edges(None, None, pyg["hetero"](parts=HETERO))
    assert sizes_of(wiring) == (5, 7) and torch.equal(wiring.weight, WEIGHT)
    assert torch.equal(wiring.topology.edge_index, EDGES)


SEVERAL = [*HETERO, (("film", "likes", "user"), {"edge_index": EDGES.flip(0)})]


def test_type_of_edges_is_chosen(pyg):
    graph = pyg["hetero"](parts=SEVERAL)
    rates = convert.from_edges(None, None, graph, edge_type=("user", "rates", "film"))
    likes = convert.from_edges(None, None, graph, edge_type=("film", "likes", "user"))
    assert sizes_of(rates) == (5, 7) and sizes_of(likes) == (7, 5)
    assert likes.topology == rates.topology.T and likes.weight is None


def test_part_of_a_hetero_graph_brings_its_sizes(pyg):
    graph = pyg["hetero"](parts=SEVERAL)
    wiring = convert.from_edges(None, None, graph["user", "rates", "film"])
    assert sizes_of(wiring) == (5, 7) and torch.equal(wiring.weight, WEIGHT)


def test_types_of_edges_are_listed_where_one_must_be_chosen(pyg):
    graph = pyg["hetero"](parts=SEVERAL)
    listed = r"\('user', 'rates', 'film'\), \('film', 'likes', 'user'\)"
    with pytest.raises(ValueError, match=f"several types of edges: give `edge_type` .*{listed}"):
        convert.from_edges(None, None, graph)
    with pytest.raises(ValueError, match=f"has no 'knows': give `edge_type` .*{listed}"):
        convert.from_edges(None, None, graph, edge_type="knows")
    assert len(graph.edge_types) == 2  # asking made none


def test_nodes_of_unknown_number_are_asked_for(pyg):
    graph = pyg["hetero"](
        parts=[
            ("user", {"x": torch.zeros(5, 1)}),
            ("film", {"title": ["a", "b"]}),
            (("user", "rates", "film"), {"edge_index": EDGES}),
        ]
    )
    with pytest.raises(ValueError, match="give `out_features`"):
        convert.from_edges(None, None, graph)
    assert sizes_of(convert.from_edges(None, 3, graph)) == (5, 3)


def test_type_of_edges_without_types_is_refused(pyg):
    graph = pyg["Data"](x=torch.zeros(6, 2), edge_index=EDGES)
    with pytest.raises(ValueError, match="`edge_type` chooses among those of a HeteroData"):
        convert.from_edges(None, None, graph, edge_type=("a", "b", "c"))


def test_edge_index_is_an_adjacency(pyg):
    wiring = convert.from_adjacency(pyg["EdgeIndex"](EDGES, (4, 3)))
    np.testing.assert_array_equal(dense(wiring), ADJACENCY != 0)
    assert wiring.weight is None and wiring.topology.is_sorted


def test_edge_index_of_unknown_size_is_no_adjacency(pyg):
    with pytest.raises(ValueError, match="use `el.convert.from_edges"):
        convert.from_adjacency(pyg["EdgeIndex"](EDGES, (None, 3)))


def test_edge_index_is_no_mask(pyg):
    for read in (
        convert.from_weight_mask,
        lambda index: convert.from_torch(index, layout="weight"),
    ):
        with pytest.raises(TypeError, match="its row 0 is the source: use `el.convert.from_edges"):
            read(pyg["EdgeIndex"](EDGES, (4, 3)))


def test_graph_is_no_adjacency(pyg):
    graph = pyg["Data"](x=torch.zeros(6, 2), edge_index=EDGES)
    with pytest.raises(TypeError, match="got .*Data: use `el.convert.from_edges`"):
        convert.from_adjacency(graph)


SPARSE_TENSORS = [
    pytest.param(lambda: StandInSparseTensor, id="stand-in"),
    pytest.param(
        lambda: pytest.importorskip("torch_sparse").SparseTensor,
        id="torch_sparse",
        marks=pytest.mark.pyg,
    ),
]


@pytest.mark.parametrize("find", SPARSE_TENSORS)
def test_sparse_tensor_is_an_adjacency(find):
    matrix = find()(row=EDGES[0], col=EDGES[1], value=WEIGHT, sparse_sizes=(4, 3))
    np.testing.assert_array_equal(dense(convert.from_adjacency(matrix)), ADJACENCY)
    np.testing.assert_array_equal(dense(convert.from_torch(matrix)), ADJACENCY)
    layer = el.EdgeLinear.from_adjacency(matrix, values="weight")
    np.testing.assert_array_equal(layer.to_dense().detach().T, ADJACENCY)


@pytest.mark.parametrize("find", SPARSE_TENSORS)
def test_sparse_tensor_without_values_has_no_weights(find):
    matrix = find()(row=EDGES[0], col=EDGES[1], sparse_sizes=(4, 3))
    wiring = convert.from_adjacency(matrix)
    np.testing.assert_array_equal(dense(wiring), ADJACENCY != 0)
    assert wiring.weight is None


@pytest.mark.parametrize("find", SPARSE_TENSORS)
def test_sparse_tensor_is_a_mask_by_its_true_entries(find):
    matrix = find()(row=EDGES[1], col=EDGES[0], value=WEIGHT * 0, sparse_sizes=(3, 4))
    assert convert.from_weight_mask(matrix).topology.num_edges == 0
    matrix = find()(row=EDGES[1], col=EDGES[0], value=WEIGHT, sparse_sizes=(3, 4))
    np.testing.assert_array_equal(dense(convert.from_weight_mask(matrix)), ADJACENCY != 0)


@pytest.mark.parametrize("find", SPARSE_TENSORS)
def test_transposed_adjacency_of_data_is_read_from_source_to_target(find):
    # `ToSparseTensor` leaves this instead of an edge_index: targets in rows.
    matrix = find()(row=EDGES[1], col=EDGES[0], value=WEIGHT, sparse_sizes=(3, 4))
    graph = StandInData(adj_t=matrix, x=torch.zeros(4, 1))
    np.testing.assert_array_equal(dense(convert.from_edges(None, None, graph)), ADJACENCY)


def test_transposed_adjacency_of_torch_is_read_from_source_to_target(pyg):
    matrix = torch.sparse_coo_tensor(EDGES.flip(0), WEIGHT, (3, 4)).to_sparse_csr()
    graph = pyg["Data"](adj_t=matrix)
    np.testing.assert_array_equal(dense(convert.from_edges(None, None, graph)), ADJACENCY)


def test_duplicates_in_data_follow_the_rule(pyg):
    twice = torch.cat([EDGES, EDGES], 1)
    graph = pyg["Data"](
        x=torch.zeros(4, 1), edge_index=twice, edge_weight=torch.cat([WEIGHT, 3 * WEIGHT])
    )
    with pytest.raises(ValueError, match="given twice"):
        convert.from_edges(None, None, graph)
    wiring = convert.from_edges(None, None, graph, duplicates="mean")
    assert torch.equal(wiring.weight, 2 * WEIGHT)
