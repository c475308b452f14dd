"""Whatever holds numbers in a row is taken by position, through one door."""

import decimal
import fractions
import warnings

import numpy as np
import pandas
import pytest
import scipy.sparse
import torch
from torch.testing import assert_close

import edgelinear as el
from edgelinear import EdgeMap, rules
from edgelinear.topology.numbers import as_numbers

EDGES = [(0, 0), (1, 0), (2, 1), (3, 1)]
ODD = [9, 7, 0, 1]  # an index of pandas that is no position


def read_only(values):
    values.flags.writeable = False
    return values


def stand_in(method):
    """Return a class that gives its numbers by one method alone."""
    return type("Column", (), {"__init__": lambda s, v: setattr(s, "values", v), method: give})


def give(column, *args, **options):
    return np.asarray(column.values)


FLOATS = {
    "list": list,
    "tuple": tuple,
    "array": np.array,
    "read-only array": lambda v: read_only(np.array(v)),
    "strided array": lambda v: np.repeat(v, 2)[::2],
    "reversed array": lambda v: np.array(v[::-1])[::-1],
    "big-endian array": lambda v: np.array(v, ">f8"),
    "long double array": lambda v: np.array(v, np.longdouble),
    "half array": lambda v: np.array(v, np.float16),
    "object array": lambda v: np.array(v, object),
    "masked array that hides nothing": lambda v: np.ma.array(v, mask=[False] * len(v)),
    "tensor": torch.tensor,
    "list of tensors": lambda v: [torch.tensor(x) for x in v],
    "list of NumPy's numbers": lambda v: [np.float64(x) for x in v],
    "list of decimals": lambda v: [decimal.Decimal(x) for x in v],
    "list of fractions": lambda v: [fractions.Fraction(x) for x in v],
    "sparse tensor": lambda v: torch.tensor(v).to_sparse(),
    "sparse array of scipy": lambda v: scipy.sparse.coo_array(np.array(v)),
    "Series": lambda v: pandas.Series(v, index=ODD),
    "Index": pandas.Index,
    "Float64": lambda v: pandas.Series(v, index=ODD, dtype="Float64"),
    "object Series": lambda v: pandas.Series(v, index=ODD, dtype=object),
    "SparseArray": pandas.arrays.SparseArray,
    "sparse Series": lambda v: pandas.Series(pandas.arrays.SparseArray(v), index=ODD),
    "categorical": lambda v: pandas.Series(v, index=ODD).astype("category"),
    "extension array": lambda v: pandas.array(v, dtype="Float64"),
    "only __array__": stand_in("__array__"),
    "only to_numpy": stand_in("to_numpy"),
}
VALUES = [0.5, -1.0, 2.0, 0.0]


@pytest.mark.parametrize("kind", FLOATS.values(), ids=FLOATS)
@pytest.mark.parametrize(
    "place",
    [
        lambda v: el.EdgeLinear(4, 2, EDGES, weight=v).weight,
        lambda v: el.convert.from_edges(4, 2, EDGES, weight=v).weight,
        lambda v: EdgeMap([0, 1, 2, 3], new=[0, 1, 2, 3]).sum(v),
        lambda v: as_numbers("`v`", v),
    ],
    ids=["weight of a layer", "weight of edges", "EdgeMap.sum", "as_numbers"],
)
def test_numbers_of_any_kind_are_taken_by_position(kind, place):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = place(kind(VALUES))
    assert found.detach().double().tolist() == VALUES


@pytest.mark.parametrize("kind", FLOATS.values(), ids=FLOATS)
def test_scale_and_signs_are_taken_by_position(kind):
    layer = el.EdgeLinear(4, 2, EDGES, weight=[2.0, -3.0, 4.0, 5.0])
    rules.fix_signs(layer, kind([1.0, -1.0, 1.0, 1.0]))
    rules.tie(layer, [0, 1, 2, 3], scale=kind([1.0, -1.0, 2.0, 4.0]))
    assert_close(layer.weight.detach(), torch.tensor([2.0, -3.0, 4.0, 5.0]))


WHOLE = {
    "list": list,
    "range": lambda v: range(4) if v == [0, 1, 2, 3] else v,
    "array of uint64": lambda v: np.array(v, np.uint64),
    "array of uint16": lambda v: np.array(v, np.uint16),
    "big-endian array": lambda v: np.array(v, ">i4"),
    "Int64": lambda v: pandas.Series(v, index=ODD, dtype="Int64"),
    "UInt8": lambda v: pandas.Series(v, index=ODD, dtype="UInt8"),
    "object Series": lambda v: pandas.Series(v, index=ODD, dtype=object),
    "categorical": lambda v: pandas.Series(v, index=ODD).astype("category"),
    "sparse Series": lambda v: pandas.Series(pandas.arrays.SparseArray(v), index=ODD),
}


@pytest.mark.parametrize("kind", WHOLE.values(), ids=WHOLE)
def test_index_of_tied_edges_is_taken_by_position(kind):
    layer = rules.tie(el.EdgeLinear(4, 2, EDGES, weight=[1.0, 2.0, 2.0, 1.0]), kind([0, 1, 1, 0]))
    assert layer.weight.tolist() == [1.0, 2.0, 2.0, 1.0]
    assert layer.parametrizations.weight.original.shape == (2,)


@pytest.mark.parametrize("kind", WHOLE.values(), ids=WHOLE)
def test_old_edges_of_a_map_are_taken_by_position(kind):
    assert EdgeMap(kind([3, 0, 2, 1])).old.tolist() == [3, 0, 2, 1]


@pytest.mark.parametrize("kind", WHOLE.values(), ids=WHOLE)
def test_rows_of_edges_are_taken_by_position(kind):
    topology = el.Topology(4, 4, [kind([3, 0, 2, 1]), kind([0, 1, 2, 3])])
    assert topology.edge_index.tolist() == [[3, 0, 2, 1], [0, 1, 2, 3]]


def test_two_columns_of_two_edges_are_rows():
    table = pandas.DataFrame({"source": [0, 2], "target": [1, 0]}, dtype="Int64")
    topology = el.Topology(3, 2, [table["source"], table["target"]])
    assert topology.edge_index.tolist() == [[0, 2], [1, 0]]


def test_nullable_frame_is_read_as_edges():
    table = pandas.DataFrame({"source": [0, 2, 1], "target": [1, 0, 0]}, dtype="Int64")
    assert el.Topology(3, 2, table.T).edge_index.tolist() == [[0, 2, 1], [1, 0, 0]]


def test_index_beyond_int64_does_not_become_negative():
    with pytest.raises(ValueError, match="target 9223372036854775807 .* ids"):
        el.Topology(3, 2, np.array([[0], [2**63]], np.uint64))


TRUTH = {
    "list": list,
    "boolean": lambda v: pandas.Series(v, index=ODD, dtype="boolean"),
    "bool Series": lambda v: pandas.Series(v, index=ODD),
    "object Series": lambda v: pandas.Series(v, index=ODD, dtype=object),
    "SparseArray": pandas.arrays.SparseArray,
    "list of NumPy's": lambda v: [np.bool_(x) for x in v],
    "read-only array": lambda v: read_only(np.array(v)),
}


@pytest.mark.parametrize("kind", TRUTH.values(), ids=TRUTH)
def test_frozen_edges_are_taken_by_position(kind):
    layer = el.EdgeLinear(4, 2, EDGES, weight=[1.0, 2.0, 3.0, 4.0])
    rules.freeze(layer, kind([True, False, False, True]))
    assert layer.parametrizations.weight.original.tolist() == [2.0, 3.0]


@pytest.mark.parametrize("kind", ["int64[pyarrow]", "double[pyarrow]", "uint8[pyarrow]"])
def test_arrow_backed_series_is_taken_by_position(kind):
    pytest.importorskip("pyarrow")
    weight = pandas.Series([1, 2, 3, 4], index=ODD, dtype=kind)
    assert el.EdgeLinear(4, 2, EDGES, weight=weight).weight.tolist() == [1.0, 2.0, 3.0, 4.0]


def test_arrays_of_arrow_are_taken():
    arrow = pytest.importorskip("pyarrow")
    chunks = arrow.chunked_array([[0.5, -1.0], [2.0, 0.0]])
    for values in (arrow.array(VALUES), chunks):
        assert as_numbers("`v`", values).tolist() == VALUES
    assert as_numbers("`v`", arrow.array([True, False])).tolist() == [True, False]
    with pytest.raises(ValueError, match="`v` has no value at position 1"):
        as_numbers("`v`", arrow.array([1, None]))


def test_series_of_polars_are_taken():
    polars = pytest.importorskip("polars")
    assert as_numbers("`v`", polars.Series(VALUES)).tolist() == VALUES
    with pytest.raises(ValueError, match="`v` has no value at position 1"):
        as_numbers("`v`", polars.Series([1, None]))


def test_what_offers_dlpack_alone_is_taken():
    class Device:
        def __dlpack__(self, **options):
            return torch.tensor(VALUES).__dlpack__(**options)

        def __dlpack_device__(self):
            return torch.tensor(VALUES).__dlpack_device__()

    assert as_numbers("`v`", Device()).tolist() == VALUES


def test_bfloat16_of_ml_dtypes_keeps_its_type():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    found = as_numbers("`v`", np.array(VALUES, ml_dtypes.bfloat16))
    assert found.dtype == torch.bfloat16 and found.tolist() == VALUES


def test_tensor_keeps_its_graph():
    values = torch.randn(3, requires_grad=True)
    assert as_numbers("`v`", values) is values


def test_numbers_in_a_list_do_not_follow_the_default_device():
    with torch.device("meta"):
        assert as_numbers("`v`", [1.0, 2.0]).tolist() == [1.0, 2.0]


def test_array_is_not_changed_by_its_tensor():
    values = read_only(np.array(VALUES))
    as_numbers("`v`", values)[0] = 7.0
    assert values[0] == 0.5


MISSING = {
    "Int64": pandas.Series([1, None, 3, 4], dtype="Int64"),
    "Float64": pandas.Series([1.5, None, 3, 4], dtype="Float64"),
    "float Series": pandas.Series([1.5, None, 3, 4], index=ODD),
    "object Series": pandas.Series([1, None, 3, 4], dtype=object),
    "NaN in an object Series": pandas.Series([1, np.nan, 3, 4], dtype=object),
    "list": [1.0, None, 3.0, 4.0],
    "list with NA": [1.0, pandas.NA, 3.0, 4.0],
    "masked array": np.ma.array([1.0, 2.0, 3.0, 4.0], mask=[0, 1, 0, 0]),
    "SparseArray": pandas.arrays.SparseArray([1.0, np.nan, 3.0, 4.0]),
}


@pytest.mark.parametrize("values", MISSING.values(), ids=MISSING)
def test_missing_number_is_refused_by_its_position(values):
    for take in (
        lambda v: el.EdgeLinear(4, 2, EDGES, weight=v),
        lambda v: rules.fix_signs(el.EdgeLinear(4, 2, EDGES), v),
        lambda v: rules.tie(el.EdgeLinear(4, 2, EDGES), v),
        EdgeMap,
    ):
        with pytest.raises(ValueError, match=r"has no value at position 1 \(1 missing in all\)"):
            take(values)


def test_missing_truth_value_is_refused():
    mask = pandas.Series([True, None, False, True], dtype="boolean")
    with pytest.raises(ValueError, match="`mask` has no value at position 1"):
        rules.freeze(el.EdgeLinear(4, 2, EDGES), mask)


def test_nan_that_is_a_number_stays_one():
    weight = el.EdgeLinear(4, 2, EDGES, weight=[1.0, float("nan"), 3.0, 4.0]).weight
    assert weight.isnan().tolist() == [False, True, False, False]


@pytest.mark.parametrize(
    "values",
    [
        pandas.Series([1, "a", 3, 4]),
        pandas.Series(["1", "a", "3", "4"]),
        [1.0, "a", 2.0, 3.0],
        {1.0, 2.0},
        {"a": 1.0},
        "abcd",
        None,
        (i for i in range(4)),
        np.array(["2020-01-01"], "datetime64[D]"),
        [[1.0], [1.0, 2.0]],
    ],
    ids=lambda values: type(values).__name__,
)
def test_what_holds_no_numbers_is_refused(values):
    with pytest.raises(TypeError, match="`v` must hold numbers, got"):
        as_numbers("`v`", values)


def test_first_object_that_is_no_number_is_named():
    with pytest.raises(TypeError, match="got 'b' at position 2"):
        as_numbers("`v`", pandas.Series([1, 2.5, "b"], dtype=object))


@pytest.mark.parametrize("shape", [(4, 1), (2, 2), (1, 4)])
def test_numbers_in_a_table_are_no_row(shape):
    frame = pandas.DataFrame(np.ones(shape))
    with pytest.raises(ValueError, match="each of the 4 edges, got shape"):
        el.EdgeLinear(4, 2, EDGES, weight=frame)


def test_sparse_matrix_as_weight_is_not_written_out():
    huge = scipy.sparse.coo_array(([1.0], ([0], [0])), shape=(10**6, 10**6))
    with pytest.raises(ValueError, match="`weight` must be dense, got a sparse matrix"):
        el.EdgeLinear(4, 2, EDGES, weight=huge)


LARGE = {
    "list": [1.0, 1e39, 1.0, 1.0],
    "array": np.array([1.0, 1e39, 1.0, 1.0]),
    "Series": pandas.Series([1.0, 1e39, 1.0, 1.0], index=ODD),
    "tensor": torch.tensor([1.0, 1e39, 1.0, 1.0], dtype=torch.float64),
    "list of large whole numbers": [1, 10**39, 1, 1],
}


@pytest.mark.parametrize("values", LARGE.values(), ids=LARGE)
def test_weight_too_large_for_its_type_is_refused(values):
    with pytest.raises(ValueError, match=r"1e\+39 at position 1, .* too large for torch.float32"):
        el.EdgeLinear(4, 2, EDGES, weight=values)


def test_weight_that_a_wide_type_holds_is_taken():
    weight = np.array([1.0, 1e39, 1.0, 1.0])
    layer = el.EdgeLinear(4, 2, EDGES, weight=weight, dtype=torch.float64)
    assert layer.weight.tolist() == weight.tolist()


@pytest.mark.parametrize("values", [[1.0, float("inf"), 1.0, 1.0], np.array([1, np.inf, 1, 1])])
def test_infinite_weight_by_hand_is_taken(values):
    assert el.EdgeLinear(4, 2, EDGES, weight=values).weight[1].item() == float("inf")


def test_weight_too_large_for_a_half_type_is_refused():
    with pytest.raises(ValueError, match="too large for torch.float16"):
        el.EdgeLinear(4, 2, EDGES, weight=[1.0, 70000.0, 1.0, 1.0], dtype=torch.float16)


def test_long_double_beyond_double_is_refused():
    values = np.array(["1", "1e4000"], np.longdouble)
    if np.isinf(values).any():
        pytest.skip("long doubles are doubles here")
    with pytest.raises(ValueError, match="position 1, which is too large for torch.float64: scale"):
        as_numbers("`v`", values)


NAMES = {
    "array": np.array,
    "object array": lambda names: np.array(names, dtype=object),
    "Index": pandas.Index,
    "Series": lambda names: pandas.Series(names, index=[5, 4, 3, 2][: len(names)]),
    "nullable": lambda names: pandas.Series(names).convert_dtypes(),
    "categorical": lambda names: pandas.Categorical(names),
    "tuple": tuple,
}


@pytest.mark.parametrize("names", [(["a", "b", "c", "d"], ["x", "y"]), ([9, 7, 0, 1], [3, 2])])
@pytest.mark.parametrize("kind", NAMES.values(), ids=NAMES)
def test_names_of_any_kind_are_those_of_python(kind, names):
    layer = el.EdgeLinear(4, 2, EDGES, in_names=kind(names[0]), out_names=kind(names[1]))
    assert (layer.in_names, layer.out_names) == names
    assert {type(name) for name in layer.in_names} == {type(names[0][0])}
    copy = el.EdgeLinear.from_state_dict(layer.state_dict())
    assert copy.in_names == names[0]


@pytest.mark.parametrize("kind", NAMES.values(), ids=NAMES)
def test_names_of_any_kind_order_a_table(kind):
    table = pandas.DataFrame({"source": ["a", "b"], "target": ["y", "x"]})
    wiring = el.convert.from_table(
        table, in_names=kind(["b", "a", "c"]), out_names=kind(["x", "y"])
    )
    assert wiring.in_names == ["b", "a", "c"]
    assert wiring.topology.edge_index.tolist() == [[1, 0], [1, 0]]


def test_whole_numbers_of_torch_are_names():
    layer = el.EdgeLinear(4, 2, EDGES, in_names=torch.tensor([9, 7, 0, 1]))
    assert layer.in_names == [9, 7, 0, 1]


def test_names_of_arrow_are_taken():
    arrow = pytest.importorskip("pyarrow")
    assert el.EdgeLinear(4, 2, EDGES, out_names=arrow.array(["x", "y"])).out_names == ["x", "y"]


def test_sizes_and_names_as_an_array_are_refused_together():
    table = pandas.DataFrame({"source": [0], "target": [1]})
    for side in ("in_names", "out_names"):
        with pytest.raises(ValueError, match="give names or sizes"):
            el.convert.from_table(
                table, in_features=2, out_features=2, **{side: np.array(["a", "b"])}
            )


@pytest.mark.parametrize(
    "names", [[["a"], ["b"]], np.array([["a"], ["b"]]), torch.tensor([[1], [2]]), [{"a"}, {"b"}]]
)
def test_name_that_is_a_list_is_refused(names):
    table = pandas.DataFrame({"source": [1], "target": [1]})
    with pytest.raises(TypeError, match="`out_names` must hold one name a node, .* position 0"):
        el.convert.from_table(table, out_names=names)


def test_cell_that_is_a_list_is_refused_by_its_row():
    table = pandas.DataFrame({"source": ["a", "b"], "target": ["x", ["y", "z"]]})
    with pytest.raises(TypeError, match=r"one name a cell, got \['y', 'z'\] in row 1: `table.expl"):
        el.convert.from_table(table)
    wiring = el.convert.from_table(table.explode("target"))
    assert wiring.out_names == ["x", "y", "z"]


def float64_weight(weight, **options):
    edges = [(i, 0) for i in range(len(weight))]
    return el.EdgeLinear(
        len(weight), 1, edges, weight=weight, dtype=torch.float64, **options
    ).weight


@pytest.mark.parametrize(
    "weight", [[0.1], (0.1, 1), [1e300], [2**24 + 1], np.array([2**24 + 1]), [0.1, 2**24 + 1]]
)
def test_numbers_reach_a_float64_layer_as_they_are(weight):
    assert float64_weight(weight).tolist() == [float(value) for value in weight]


def test_merged_numbers_reach_a_float64_layer_as_they_are():
    layer = el.EdgeLinear(
        1, 1, [(0, 0)] * 2, weight=[0.1, 0.2], duplicates="merge", dtype=torch.float64
    )
    assert layer.weight.item() == 0.1 + 0.2


def test_set_weight_and_scale_are_not_rounded_in_float64():
    layer = el.EdgeLinear(1, 1, [(0, 0)], weight=[1.0], dtype=torch.float64)
    layer.set_weight([0.1])
    assert layer.weight.item() == 0.1
    rules.tie(layer, [0], scale=[0.1])
    assert layer.rules[0].scale.item() == 0.1


def test_layer_without_a_type_rounds_numbers_once():
    assert el.EdgeLinear(1, 1, [(0, 0)], weight=[0.1]).weight.item() == np.float32(0.1)


def test_matrix_of_lists_is_of_the_default_type():
    assert el.convert.from_adjacency([[0.0, 0.5]]).weight.dtype == torch.float32
    assert el.convert.from_adjacency(np.array([[0.0, 0.5]])).weight.dtype == torch.float64
