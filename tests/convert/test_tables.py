"""Tables: how nodes are numbered, what a weight becomes, and which rows are refused."""

import numpy as np
import pandas
import pytest
import torch
from importers import (
    ADJACENCY,
    EDGES,
    IN,
    INPUTS,
    OUTPUTS,
    WEIGHT,
    dense,
    layer_of,
    named_table,
    table_of,
)
from torch.testing import assert_close

from edgelinear import convert


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


@pytest.mark.parametrize("values", [[1.5, 0.0, 2.0], [0, 7, 1], [True, False, True]])
@pytest.mark.parametrize("fill", [0, 1])
def test_sparse_columns_are_read_as_dense_ones(values, fill):
    table = pandas.DataFrame({"source": [5, 0, 0], "target": [1, 0, 1], "weight": values})
    for name in table:
        sparse = table.copy()
        kind = table[name].dtype
        sparse[name] = pandas.arrays.SparseArray(table[name], fill_value=kind.type(fill))
        for options in ({}, {"in_features": 6, "out_features": 2}):
            found, truth = (convert.from_table(t, **options) for t in (sparse, table))
            assert found.topology == truth.topology and found.in_names == truth.in_names
            assert_close(found.weight, truth.weight)


def test_missing_cell_of_a_sparse_column_is_named():
    weight = pandas.arrays.SparseArray([1.0, np.nan])
    table = pandas.DataFrame({"source": [0, 1], "target": [0, 1], "weight": weight})
    with pytest.raises(ValueError, match="column 'weight' has no value in row 1"):
        convert.from_table(table)


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
