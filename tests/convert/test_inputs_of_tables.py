"""`to_inputs`: which way a table lies, what it lacks, and tables of every library."""

import numpy as np
import pandas as pd
import pytest
import torch

import edgelinear as el
from edgelinear import convert
from edgelinear.convert import to_inputs

GENES = ["TP53", "MYC", "AKT1"]


def make_layer(names=GENES):
    return el.EdgeLinear(3, 2, [(0, 0), (1, 0), (2, 1)], in_names=names)


def samples():
    return pd.DataFrame({"TP53": [1.0, 4.0], "MYC": [2.0, 5.0], "AKT1": [3.0, 6.0]})


def test_table_with_genes_in_rows_says_to_turn_it():
    turned = samples().T
    with pytest.raises(ValueError, match=r"Its rows are inputs, 3 of 3: use `table.T`"):
        to_inputs(make_layer(), turned)
    assert torch.equal(to_inputs(make_layer(), turned.T), to_inputs(make_layer(), samples()))


@pytest.mark.parametrize("fill", [None, 0.0])
@pytest.mark.parametrize("unknown", ["error", "ignore", "drop"])
def test_turned_table_is_never_filled(fill, unknown):
    with pytest.raises(ValueError, match="use `table.T`"):
        to_inputs(make_layer(), samples().T, fill=fill, unknown=unknown)


def test_table_with_genes_in_a_column_says_to_turn_it():
    table = samples().T.rename_axis("gene").reset_index()
    with pytest.raises(ValueError, match=r"Column 'gene' names inputs, 3 of 3.*set_index\('gene'"):
        to_inputs(make_layer(), table, fill=0.0)
    assert torch.equal(
        to_inputs(make_layer(), table.set_index("gene").T), to_inputs(make_layer(), samples())
    )


def test_inputs_without_a_column_are_filled_and_counted():
    table = samples().drop(columns="MYC")
    with pytest.warns(UserWarning, match=r"1 input \('MYC'\) of 3 had no column, and got 0.5"):
        x = to_inputs(make_layer(), table, fill=0.5)
    assert x.tolist() == [[1.0, 0.5, 3.0], [4.0, 0.5, 6.0]]


def test_table_with_no_input_at_all_is_not_filled():
    table = pd.DataFrame({"a": [1.0], "b": [2.0]})
    with pytest.raises(ValueError, match="None of its columns is an input"):
        to_inputs(make_layer(), table, fill=0.0, unknown="ignore")


def test_columns_that_are_no_inputs_are_dropped_with_a_count():
    with pytest.warns(UserWarning, match=r"left out 1 column \('BRCA1'\)"):
        x = to_inputs(make_layer(), samples().assign(BRCA1=0.0), unknown="drop")
    assert torch.equal(x, to_inputs(make_layer(), samples()))


def test_column_that_differs_by_blanks_says_so():
    table = samples().rename(columns={"MYC": "MYC\xa0"})
    with pytest.raises(ValueError, match="differ by blanks alone: use `table.rename"):
        to_inputs(make_layer(), table)


@pytest.mark.parametrize("kind", ["polars", "lazy", "pyarrow", "dask"])
def test_table_of_any_library_is_read(kind):
    truth = to_inputs(make_layer(), samples())
    assert torch.equal(to_inputs(make_layer(), frame_of(samples(), kind)), truth)


@pytest.mark.parametrize("kind", ["polars", "lazy", "pyarrow"])
def test_names_that_are_numbers_are_columns_called_by_their_digits(kind):
    table = samples().set_axis(["7", "8", "9"], axis=1)
    x = to_inputs(make_layer([9, 7, 8]), frame_of(table, kind))
    assert x.tolist() == [[3.0, 1.0, 2.0], [6.0, 4.0, 5.0]]


@pytest.mark.parametrize("kind", ["polars", "pyarrow", "dask"])
def test_missing_cell_of_any_library_is_named(kind):
    table = samples()
    table.loc[1, "MYC"] = None
    with pytest.raises(ValueError, match="column 'MYC' has no value in row 1"):
        to_inputs(make_layer(), frame_of(table, kind))


def test_turned_table_of_polars_says_to_turn_it():
    table = frame_of(
        samples().T.rename_axis("gene").reset_index().set_axis(list("gab"), axis=1), "polars"
    )
    with pytest.raises(ValueError, match="Column 'g' names inputs, 3 of 3") as error:
        to_inputs(make_layer(), table)
    turned = eval(str(error.value).split("`")[1], {"table": table})
    assert torch.equal(to_inputs(make_layer(), turned), to_inputs(make_layer(), samples()))


@pytest.mark.parametrize("data", [[[1.0]], {"TP53": [1.0]}, torch.ones(2, 3)])
def test_what_is_no_frame_is_refused(data):
    with pytest.raises(TypeError, match="`table` must be a DataFrame, got"):
        to_inputs(make_layer(), data)


def frame_of(table, kind):
    """Return a table of pandas as one of another library."""
    if kind == "pandas":
        return table
    if kind == "dask":
        return pytest.importorskip("dask.dataframe").from_pandas(table, npartitions=2)
    if kind == "pyarrow":
        return pytest.importorskip("pyarrow").Table.from_pandas(table, preserve_index=False)
    polars = pytest.importorskip("polars")
    columns = {name: table[name].tolist() for name in table}
    frame = polars.DataFrame(columns, strict=False)
    frame = frame.with_columns(polars.selectors.float().fill_nan(None))
    return frame.lazy() if kind == "lazy" else frame


@pytest.mark.parametrize("name", ["source", "TP53"])
@pytest.mark.parametrize("read", [convert.from_table, lambda table: to_inputs(make_layer(), table)])
def test_series_is_no_table_and_says_how_to_make_one(read, name):
    with pytest.raises(TypeError, match=r"must be a DataFrame.*, got a Series.*to_frame\(\).T`"):
        read(pd.Series([1, 2], name=name))


def test_row_of_a_table_is_a_table_of_one_row():
    found = to_inputs(make_layer(), samples().iloc[1].to_frame().T)
    assert found.tolist() == [[4.0, 5.0, 6.0]]


@pytest.mark.parametrize(
    "column",
    [
        np.array([1, 4], dtype=object),
        pd.array([1, 4], dtype="Int64"),
        pd.Categorical([1, 4]),
        pd.arrays.SparseArray([1.0, 4.0]),
        pd.arrays.SparseArray([1, 4], fill_value=4),
    ],
    ids=lambda column: str(column.dtype),
)
def test_numbers_in_columns_of_any_kind_are_read(column):
    table = samples().assign(TP53=column)
    assert torch.equal(to_inputs(make_layer(), table), to_inputs(make_layer(), samples()))
    assert table["TP53"].dtype == column.dtype


def test_object_that_is_no_number_is_named():
    table = samples().assign(MYC=np.array([2, "x"], dtype=object))
    with pytest.raises(TypeError, match="'MYC' must hold real numbers, got 'x' in row 1"):
        to_inputs(make_layer(), table)
    with pytest.raises(ValueError, match="'MYC' has no value in row 1"):
        to_inputs(make_layer(), table.replace("x", None))


@pytest.mark.parametrize("wiring", [lambda layer: layer, lambda layer: layer.wiring])
def test_number_too_large_for_the_layer_is_named(wiring):
    table = samples().assign(MYC=[2.0, -1e300])
    with pytest.raises(ValueError, match="input 'MYC' gets -1e\\+300 in row 1.*torch.float32"):
        to_inputs(wiring(make_layer()), table)
    assert to_inputs(make_layer().double(), table)[1, 1] == -1e300
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="input 'AKT1' gets 1e"):
        to_inputs(make_layer(), samples()[["TP53", "MYC"]], fill=1e300)
    infinite = samples().assign(MYC=[2.0, np.inf])  # as the data has it
    assert to_inputs(make_layer(), infinite)[1, 1] == np.inf
