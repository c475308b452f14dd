"""What every importer and exporter holds: sums, order, duplicates, round trips, and names."""

import builtins
import sys
import types

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from importers import (
    EDGES,
    IN,
    OUT,
    READERS,
    WEIGHT,
    dense,
    layer_of,
    patterns,
    read_edges,
    read_networkx,
    read_scipy,
    read_table,
    read_torch,
)
from torch.testing import assert_close

import edgelinear as el
from edgelinear import convert


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


@pytest.mark.parametrize("export", [convert.to_networkx, convert.to_table])
def test_too_few_names_are_refused(export):
    with pytest.raises(ValueError, match="`in_names` must hold 4 names, got 2"):
        export(layer_of(), in_names=["a", "b"])


@pytest.mark.parametrize("export", [convert.to_networkx, convert.to_table])
def test_repeated_names_are_refused(export):
    with pytest.raises(ValueError, match="`out_names` lists 'a' twice"):
        export(layer_of(), out_names=["a", "b", "a"])


@pytest.mark.parametrize("read", [read_edges, read_table])
@settings(max_examples=8)
@given(pattern=patterns())
def test_importer_of_a_list_keeps_its_order(read, pattern):
    wiring = read(*pattern, duplicates="keep")
    assert list(map(tuple, wiring.topology.edge_index.T.tolist())) == pattern[2]
    assert wiring.weight.tolist() == pattern[3]


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
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert public == set(convert.__all__)
    assert not public & set(dir(builtins))
