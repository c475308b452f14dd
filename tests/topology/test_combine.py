"""What becomes of the values of merged edges."""

import numpy as np
import pandas
import pytest
import scipy.sparse
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

import edgelinear as el
from edgelinear import EdgeMap

PYTHON = {
    "sum": sum,
    "mean": lambda values: sum(values) / len(values),
    "max": max,
    "min": min,
}
HOW = sorted(PYTHON)
merges = st.integers(1, 5).flatmap(
    lambda n: st.lists(st.tuples(st.integers(-1, n - 1), st.integers(-8, 8)), min_size=1).map(
        lambda pairs: (n, *map(list, zip(*pairs, strict=True)))
    )
)


def groups(n, new, values):
    return [[v for g, v in zip(new, values, strict=True) if g == edge] for edge in range(n)]


def merged_map(n, new):
    old = [new.index(edge) if edge in new else -1 for edge in range(n)]
    return EdgeMap(old, new=new)


@pytest.mark.parametrize("how", HOW)
@given(merges)
def test_merged_values_are_those_of_a_loop(how, case):
    n, new, values = case
    expected = [PYTHON[how](group) if group else 0 for group in groups(n, new, values)]
    found = merged_map(n, new).combine(torch.tensor(values, dtype=torch.float64), how)
    assert_close(found, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("how", HOW)
@given(merges)
def test_rows_of_values_are_merged_each_by_itself(how, case):
    n, new, values = case
    rows = torch.tensor([values, [-v for v in values]], dtype=torch.float64).T
    edges = merged_map(n, new)
    assert_close(
        edges.combine(rows, how),
        torch.stack([edges.combine(column, how) for column in rows.T], dim=1),
    )


@pytest.mark.parametrize("how", HOW)
def test_gradients_flow_back_to_merged_values(how):
    values = torch.tensor([1.0, 5.0, -2.0, 3.0, 9.0], dtype=torch.float64, requires_grad=True)
    edges = EdgeMap([0, 2], new=[0, 0, 1, 1, -1])
    assert torch.autograd.gradcheck(lambda v: edges.combine(v, how), (values,))


def test_whole_numbers_are_summed_exactly():
    values = torch.tensor([2**53, 1, 2**24, 1])  # which float32, and then float64, would round
    found = EdgeMap([0, 2], new=[0, 0, 1, 1]).sum(values)
    assert found.dtype == torch.int64 and found.tolist() == [2**53 + 1, 2**24 + 1]


@pytest.mark.parametrize("how", ["max", "min"])
def test_largest_whole_number_is_exact(how):
    values = torch.tensor([2**53 + 1, 2**53, -(2**53) - 1])
    (found,) = EdgeMap([0], new=[0, 0, 0]).combine(values, how).tolist()
    assert found == PYTHON[how](values.tolist())


def test_mean_of_whole_numbers_is_a_fraction():
    assert EdgeMap([0], new=[0, 0]).combine(torch.tensor([1, 2]), "mean").tolist() == [1.5]


def test_truth_values_are_counted_or_true_where_one_is():
    truth = torch.tensor([True, False, False, False, True, True])
    edges = EdgeMap([0, 2, 4], new=[0, 0, 1, 1, 2, 2])
    assert edges.sum(truth).tolist() == [1, 0, 2]
    largest = edges.combine(truth, "max")
    assert largest.dtype == torch.bool and largest.tolist() == [True, False, True]


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int32, torch.int64, torch.bool])
@pytest.mark.parametrize("edges", [EdgeMap([0], new=[0, 0]), EdgeMap([1])])
def test_sums_of_whole_numbers_are_of_int64(dtype, edges):
    values = torch.tensor([100, 100]).to(dtype)
    found = edges.sum(values)
    assert found.dtype == torch.int64
    assert found.item() == (values.long().sum() if edges.new is not None else values[1])


@pytest.mark.parametrize(
    ("values", "how", "dtype"),
    [([60000, 60000], "sum", torch.float16), ([3e38, 3e38], "sum", torch.float32)],
)
def test_sum_too_large_for_its_type_is_refused(values, how, dtype):
    with pytest.raises(ValueError, match=f"the sum of `values` holds .* too large for {dtype}"):
        EdgeMap([0], new=[0, 0]).combine(torch.tensor(values, dtype=dtype), how)


def test_mean_of_large_values_is_right():
    values = torch.tensor([3e38, 3e38])
    assert EdgeMap([0], new=[0, 0]).combine(values, "mean").tolist() == values[:1].tolist()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_mean_of_half_types_is_rounded_once(dtype):
    values = (torch.rand(4096) + 1).to(dtype)
    found = EdgeMap([0], new=[0] * 4096).combine(values, "mean")
    assert found.item() == values.double().mean().to(dtype).item()


def test_columns_of_pandas_are_merged():
    values = pandas.Series([1, 2, 5], index=[9, 8, 7], dtype="Int64")
    assert EdgeMap([0, 2], new=[0, 0, 1]).combine(values, "max").tolist() == [2, 5]


def test_map_that_merges_nothing_takes_values_as_they_are():
    for how in HOW:
        assert EdgeMap([1, 0, -1]).combine(torch.tensor([1.0, 2.0]), how).tolist() == [2, 1, 0]


def test_unknown_way_to_combine_is_refused():
    with pytest.raises(ValueError, match="`how` must be one of .*'mean'.*, got 'median'"):
        EdgeMap([0]).combine(torch.ones(1), "median")


# Importers and the layer

EDGES = [(0, 0), (2, 1), (0, 0), (1, 1), (0, 0), (2, 1)]
WEIGHT = [1.0, 4.0, -3.0, 7.0, 8.0, 6.0]


def by_hand(how):
    how = "sum" if how == "merge" else how
    cells = {}
    for edge, value in zip(EDGES, WEIGHT, strict=True):
        cells.setdefault(edge, []).append(value)
    return {edge: PYTHON[how](values) for edge, values in cells.items()}


def read_edges(**options):
    return el.convert.from_edges(3, 2, EDGES, weight=np.array(WEIGHT), **options)


def read_scipy(**options):
    matrix = scipy.sparse.coo_array((WEIGHT, tuple(zip(*EDGES, strict=True))), shape=(3, 2))
    return el.convert.from_scipy(matrix, **options)


def read_torch(**options):
    matrix = torch.sparse_coo_tensor(torch.tensor(EDGES).T, torch.tensor(WEIGHT), (3, 2))
    return el.convert.from_adjacency(matrix, **options)


def read_table(**options):
    source, target = zip(*EDGES, strict=True)
    table = pandas.DataFrame({"source": source, "target": target, "weight": WEIGHT})
    return el.convert.from_table(table, in_features=3, out_features=2, **options)


def read_networkx(**options):
    networkx = pytest.importorskip("networkx")
    graph = networkx.MultiDiGraph()
    graph.add_nodes_from([("in", i) for i in range(3)] + [("out", j) for j in range(2)])
    for (s, t), value in zip(EDGES, WEIGHT, strict=True):
        graph.add_edge(("in", s), ("out", t), weight=value)
    return el.convert.from_networkx(graph, **options)


def read_layer(**options):
    return el.EdgeLinear(3, 2, EDGES, weight=WEIGHT, **options).wiring


READERS = [read_edges, read_scipy, read_torch, read_table, read_networkx, read_layer]


@pytest.mark.parametrize("duplicates", ["merge", "mean", "max", "min"])
@pytest.mark.parametrize("read", READERS)
def test_importer_gives_a_merged_edge_its_value(read, duplicates):
    wiring = read(duplicates=duplicates)
    edges = [tuple(edge) for edge in wiring.topology.edge_index.T.tolist()]
    assert dict(zip(edges, wiring.weight.tolist(), strict=True)) == by_hand(duplicates)


@pytest.mark.parametrize("duplicates", ["mean", "max", "min"])
@pytest.mark.parametrize("read", READERS[:-2])
def test_rows_of_an_importer_combine_other_columns_alike(read, duplicates):
    wiring = read(duplicates=duplicates)
    assert_close(
        wiring.rows.combine(torch.tensor(WEIGHT), duplicates).double(), wiring.weight.double()
    )


@pytest.mark.parametrize("duplicates", ["mean", "max", "min"])
def test_topology_alone_merges(duplicates):
    topology = el.Topology(3, 2, EDGES, duplicates=duplicates)
    assert topology == el.Topology(3, 2, EDGES, duplicates="merge")


TWICE = [(0, 0), (0, 0)]


@pytest.mark.parametrize(
    ("values", "dtype", "total"),
    [([60000, 60000], torch.float16, 120000), ([256, 1], torch.bfloat16, 257)],
)
def test_merged_half_types_keep_their_sum_in_a_wider_layer(values, dtype, total):
    weight = torch.tensor(values, dtype=dtype)
    layer = el.EdgeLinear(1, 1, TWICE, weight=weight, duplicates="merge")
    assert layer.weight.tolist() == [total]


def test_sum_too_large_for_the_type_of_the_layer_is_refused():
    weight = torch.tensor([60000.0, 60000.0]).half()
    with pytest.raises(ValueError, match="`weight` holds 120000.0 .* too large for torch.float16"):
        el.EdgeLinear(1, 1, TWICE, weight=weight, duplicates="merge", dtype=torch.float16)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_mean_of_the_largest_weights_is_right(dtype):
    weight = torch.full((2,), torch.finfo(dtype).max * 0.9).to(dtype)
    for found in (
        el.EdgeLinear(1, 1, TWICE, weight=weight, duplicates="mean", dtype=dtype),
        el.convert.from_edges(1, 1, TWICE, weight=weight, duplicates="mean"),
    ):
        assert found.weight.tolist() == weight[:1].tolist()


@pytest.mark.parametrize(
    ("value", "dtype", "total"),
    [(60000.0, torch.float16, "120000.0"), (3e38, torch.float32, "6.*e.38")],
)
def test_merged_values_too_large_for_their_type_are_refused_by_the_edge(value, dtype, total):
    values = torch.full((2,), value, dtype=dtype)
    matrix = torch.sparse_coo_tensor([[0, 0], [1, 1]], values, (2, 2))
    said = f"values of edge 0 -> 1 make {total} together, which is too large for {dtype}"
    with pytest.raises(ValueError, match=said):
        el.convert.from_torch(matrix, duplicates="merge")
    with pytest.raises(ValueError, match=said):
        el.convert.from_edges(2, 2, [(0, 1)] * 2, weight=values, duplicates="merge")
    assert el.convert.from_torch(matrix, duplicates="mean").weight.tolist() == values[:1].tolist()


# Values of any kind follow their edges


def test_masked_array_goes_on_hiding():
    values = np.ma.array([1.0, 2.0, 3.0], mask=[False, True, False])
    assert EdgeMap([1, 0]).follow(values).mask.tolist() == [True, False]
    filled = EdgeMap([1, -1, 0]).follow(values, fill=9.0)
    assert filled.mask.tolist() == [True, False, False] and filled[1:].tolist() == [9.0, 1.0]


@pytest.mark.parametrize(
    "kind",
    [
        lambda v: pandas.array(v, dtype="Int64"),
        lambda v: pandas.Series(v, index=[7, 8, 9], dtype="Int64"),
        pandas.arrays.SparseArray,
        pandas.Index,
        list,
    ],
)
def test_values_of_any_kind_follow_by_position(kind):
    assert [*EdgeMap([2, 0]).follow(kind([10, 20, 30]))] == [30, 10]
