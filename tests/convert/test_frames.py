"""Edge tables of polars, pyarrow and dask, and Parquet, Feather and Arrow files."""

import numpy as np
import pandas as pd
import pytest

import edgelinear as el
from edgelinear import convert

pa = pytest.importorskip("pyarrow")
pl = pytest.importorskip("polars")
dd = pytest.importorskip("dask.dataframe")


class Capsule:
    """What hands over its columns by Arrow's protocol, and is nothing else."""

    def __init__(self, frame):
        self.frame = pa.Table.from_pandas(frame, preserve_index=False)

    def __arrow_c_stream__(self, schema=None):
        return self.frame.__arrow_c_stream__(schema)


MAKE = {
    "polars": lambda frame: pl.DataFrame({name: frame[name].tolist() for name in frame}),
    "lazy": lambda frame: MAKE["polars"](frame).lazy(),
    "pyarrow": lambda frame: pa.Table.from_pandas(frame, preserve_index=False),
    "chunks": lambda frame: pa.concat_tables(
        [MAKE["pyarrow"](frame.iloc[:2]), MAKE["pyarrow"](frame.iloc[2:])]
    ),
    "batch": lambda frame: pa.RecordBatch.from_pandas(frame, preserve_index=False),
    "capsule": Capsule,
    "dask": lambda frame: dd.from_pandas(frame, npartitions=2),
}
TABLES = {
    "strings": {"source": ["b", "a", "b", "c"], "target": ["y", "x", "x", "y"]},
    "numbers": {"source": [9, 2, 5, 9], "target": [1, 0, 0, 0], "weight": [1.0, 2.0, 3.0, 4.0]},
    "large": {"source": [2**63 - 1, 5, 7, 8], "target": [3, 1, 2, 1], "weight": [1, 2, 3, 4]},
    "floats": {"source": [9.0, 2.0, 5.0, 9.0], "target": ["a", "b", "c", "d"]},
}


def same(found, truth):
    assert (found.in_names, found.out_names) == (truth.in_names, truth.out_names)
    assert found.topology == truth.topology
    assert (found.weight is None) == (truth.weight is None)
    assert truth.weight is None or found.weight.equal(truth.weight)


@pytest.mark.parametrize("kind", MAKE)
@pytest.mark.parametrize("name", TABLES)
def test_frame_is_read_as_that_of_pandas(kind, name):
    frame = pd.DataFrame(TABLES[name])
    same(convert.from_table(MAKE[kind](frame)), convert.from_table(frame))


@pytest.mark.parametrize("kind", MAKE)
@pytest.mark.parametrize("column", ["source", "target", "weight"])
def test_missing_cell_is_named_in_any_frame(kind, column):
    frame = pd.DataFrame({"source": list("abcd"), "target": list("xyxy"), "weight": [1.0] * 4})
    frame = frame.astype({"source": object, "target": object})
    frame.loc[2, column] = None
    with pytest.raises(ValueError, match=f"column '{column}' has no value in row 2"):
        convert.from_table(MAKE[kind](frame))


@pytest.mark.parametrize("kind", MAKE)
def test_missing_column_of_any_frame_is_named_beside_those_there(kind):
    frame = MAKE[kind](pd.DataFrame(TABLES["numbers"]))
    with pytest.raises(ValueError, match="no column 'pre'.*'source', 'target', 'weight'"):
        convert.from_table(frame, source="pre")
    assert convert.from_table(frame, weight=False).weight is None


def test_types_of_polars_and_arrow_are_read():
    frame = pl.DataFrame(
        {
            "source": pl.Series(["b", "a", "b"], dtype=pl.Categorical),
            "target": pl.Series(["x", "x", "y"], dtype=pl.Enum(["y", "x", "z"])),
            "weight": pl.Series(["0.5", "1", "2"]).cast(pl.Decimal(8, 2)),
        }
    )
    wiring = convert.from_table(frame)
    assert (wiring.in_names, wiring.out_names) == (["b", "a"], ["x", "y"])
    assert wiring.weight.tolist() == [0.5, 1.0, 2.0]
    dictionary = pa.table({"source": pa.array(["b", "a"]).dictionary_encode(), "target": [1, 2]})
    assert convert.from_table(dictionary).in_names == ["b", "a"]


def test_column_given_twice_is_refused():
    frame = pa.table([["a"], ["b"], ["x"]], names=["source", "source", "target"])
    with pytest.raises(ValueError, match="has a column twice"):
        convert.from_table(frame)


@pytest.mark.parametrize("kind", ["polars", "pyarrow", "dask"])
def test_table_of_a_wiring_is_of_the_kind_that_came_in(kind):
    given = MAKE[kind](pd.DataFrame(TABLES["numbers"]))
    wiring = convert.from_table(given)
    table = convert.to_table(wiring)
    assert type(table) is type(given)
    same(convert.from_table(table), wiring)
    assert isinstance(convert.to_table(wiring, kind="pandas"), pd.DataFrame)


def test_table_of_a_layer_is_of_the_kind_asked_for():
    layer = el.EdgeLinear(3, 2, [(0, 0), (2, 1)], in_names=["a", "b", "c"])
    assert isinstance(convert.to_table(layer), pd.DataFrame)
    table = convert.to_table(layer, kind="polars")
    assert isinstance(table, pl.DataFrame) and table["source"].to_list() == ["a", "c"]
    np.testing.assert_array_equal(table["weight"].to_numpy(), layer.weight.detach().numpy())
    with pytest.raises(ValueError, match="`kind` must be one of .*, got 'excel'"):
        convert.to_table(layer, kind="excel")
    with pytest.raises(TypeError, match='must hold names of one kind.*pass kind="pandas"'):
        convert.to_table(layer, kind="polars", in_names=["a", "b", 1])


@pytest.mark.parametrize("ending", [".parquet", ".pq", ".PARQUET", ".feather", ".arrow", ".ipc"])
@pytest.mark.parametrize("name", TABLES)
def test_file_of_arrow_is_read_as_its_frame(tmp_path, ending, name):
    frame, path = pd.DataFrame(TABLES[name]), tmp_path / f"edges{ending}"
    if ending.lower() in (".parquet", ".pq"):
        frame.to_parquet(path, index=False)
    elif ending == ".feather":
        frame.to_feather(path)
    else:
        table = MAKE["pyarrow"](frame)
        make = pa.ipc.new_file if ending == ".arrow" else pa.ipc.new_stream
        with make(path, table.schema) as file:
            file.write_table(table)
    found = convert.from_table(path)
    same(found, convert.from_table(frame))
    assert found.frame == "pandas"


def test_text_in_a_parquet_file_stays_text(tmp_path):
    frame = pd.DataFrame({"source": ["7", "8"], "target": ["007", "x"]})
    frame.to_parquet(tmp_path / "e.parquet")
    assert convert.from_table(tmp_path / "e.parquet").in_names == ["7", "8"]


@pytest.mark.parametrize("ending", ["parquet", "feather", "arrow"])
def test_broken_file_of_arrow_is_refused(tmp_path, ending):
    path = tmp_path / f"e.{ending}"
    path.write_bytes(b"no arrow at all")
    with pytest.raises(ValueError, match=f"e.{ending} cannot be read as a table"):
        convert.from_table(path)
