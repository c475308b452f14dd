"""Inputs aligned by name, and edges explained by it."""

import pandas as pd
import pytest
import torch
from named import make_layer

import edgelinear as el


def test_edge_is_explained_by_name():
    assert el.convert.explain(make_layer(), 1) == (
        "edge 1: input 'MYC' (1) -> output 'repair' (0), weight -0.31"
    )
    assert el.convert.explain(make_layer(in_names=None), -1) == (
        "edge 2: input 2 -> output 1, weight 2"
    )
    with pytest.raises(IndexError, match="no edge 3: the layer has 3"):
        el.convert.explain(make_layer(), 3)
    with pytest.raises(TypeError, match="must be an integer, or a tuple of two names, got float"):
        el.convert.explain(make_layer(), 1.0)


def test_edge_is_found_by_the_names_of_its_ends():
    layer = make_layer()
    assert el.convert.explain(layer, ("MYC", "repair")) == el.convert.explain(layer, 1)
    assert el.convert.explain(layer, torch.tensor(1)) == el.convert.explain(layer, 1)
    assert el.convert.explain(make_layer(in_names=None), (2, 1)).startswith("edge 2")
    for edge, message in (
        (("XYZ", "repair"), "no input 'XYZ'"),
        (("MYC", "XYZ"), "no output 'XYZ'"),
        (("MYC", "growth"), "no edge leads from 'MYC' to 'growth'"),
    ):
        with pytest.raises(ValueError, match=message):
            el.convert.explain(layer, edge)
    twice = el.EdgeLinear(1, 1, [(0, 0), (0, 0)], duplicates="keep")
    with pytest.raises(ValueError, match=r"2 edges lead from 0 to 0: \[0, 1\]"):
        el.convert.explain(twice, (0, 0))


def test_rules_are_explained():
    frozen = el.rules.fix_nonnegative(
        el.rules.freeze(make_layer(weight=[1, 2, 3]), [True, False, False])
    )
    assert el.convert.explain(frozen, 0).endswith("weight 1, frozen, keeps its sign")
    assert el.convert.explain(frozen, 1).endswith("weight 2, keeps its sign")
    tied = el.rules.tie(make_layer(), [1, 0, 1])
    assert el.convert.explain(tied, 2).endswith(", shares parameter 1")


def test_inputs_are_aligned_by_name():
    table = pd.DataFrame({"AKT1": [1, 2], "TP53": [3.0, 4.0], "MYC": [5, 6]})
    x = el.convert.to_inputs(make_layer(), table)
    assert x.tolist() == [[3, 5, 1], [4, 6, 2]] and x.dtype == torch.float32
    wide = table.assign(BRCA1=0.0)
    assert torch.equal(el.convert.to_inputs(make_layer(), wide, unknown="ignore"), x)


@pytest.mark.parametrize(
    "table, error, message",
    [
        ({"AKT1": [1], "MYC": [1], "XYZ": [1]}, ValueError, r"no column for 1 input \('TP53'\)"),
        ({"AKT1": [1], "MYC": [1], "XYZ": [1]}, ValueError, r"has 1 column \('XYZ'\) that the"),
        (
            {"AKT1": [1], "MYC": [1], "TP53": [1], "XYZ": [1]},
            ValueError,
            r"no input for 1 column \('XYZ'\): drop them, or pass unknown=\"ignore\"",
        ),
        ({"AKT1": [1], "MYC": [1], "TP53": ["x"]}, TypeError, "'TP53' must hold real numbers"),
        ({"AKT1": [1], "MYC": [None], "TP53": [1.0]}, (TypeError, ValueError), "'MYC'"),
        ({"AKT1": [1.0], "MYC": [float("nan")], "TP53": [1.0]}, ValueError, "no value in row 0"),
    ],
)
def test_table_that_does_not_fit_is_refused(table, error, message):
    with pytest.raises(error, match=message):
        el.convert.to_inputs(make_layer(), pd.DataFrame(table))


@pytest.mark.parametrize(
    "columns, message",
    [
        (["MYC", "AKT1"], r"no column for 1 input \('TP53'\). To fill .*, use `table.reindex"),
        ([1, 2, "3"], "Names are int and columns are not: use `table.rename"),
    ],
)
def test_missing_column_has_a_cure(columns, message):
    layer = make_layer(in_names=[1, 2, 3]) if 1 in columns else make_layer()
    with pytest.raises(ValueError, match=message):
        el.convert.to_inputs(layer, pd.DataFrame([[1.0] * len(columns)], columns=columns))


@pytest.mark.parametrize(
    "call",
    [
        lambda module: el.convert.explain(module, 0),
        lambda module: el.convert.to_inputs(module, pd.DataFrame()),
        el.convert.to_table,
        el.convert.to_networkx,
        el.convert.to_scipy,
        el.convert.to_edge_index,
    ],
)
def test_another_module_is_refused(call):
    with pytest.raises(TypeError, match="`layer` must be an EdgeLinear, got Sequential"):
        call(torch.nn.Sequential(make_layer()))


def test_column_given_twice_is_refused():
    table = pd.DataFrame([[1, 2, 3, 4]], columns=["TP53", "MYC", "AKT1", "MYC"])
    with pytest.raises(ValueError, match=r"1 column \('MYC'\) twice"):
        el.convert.to_inputs(make_layer(), table)
    with pytest.raises(ValueError, match="no `in_names`"):
        el.convert.to_inputs(make_layer(in_names=None), table)
