"""Tables in files: what a cell is read as, and which files are refused."""

import numpy as np
import pytest
import torch
from importers import dense, layer_of, named_table, written
from torch.testing import assert_close

from edgelinear import convert


def test_names_in_a_file_are_read_as_those_given(tmp_path):
    path = written(tmp_path, "source,target\n7,x\n5,x\n")
    assert convert.from_table(path, in_names=["5", "6", "7"]).topology.src.tolist() == [2, 0]
    assert convert.from_table(path, in_names=[5, 6, 7]).topology.src.tolist() == [2, 0]


def test_name_that_is_no_number_is_named_first(tmp_path):
    path = written(tmp_path, "source,target\n7,x\n8,x\nTOTAL,x\n")
    with pytest.raises(ValueError, match="has 'TOTAL' in row 2"):
        convert.from_table(path, in_names=[7, 8])


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
