"""Names of nodes: where they come from, where they go, and that they survive."""

import io

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import torch

import edgelinear as el

EDGES = [(0, 0), (1, 0), (2, 1)]
NAMES = {"in_names": ["TP53", "MYC", "AKT1"], "out_names": ["repair", "growth"]}


def make_layer(weight=(0.5, -0.31, 2.0), **names):
    return el.EdgeLinear(3, 2, EDGES, weight=weight, **(names or NAMES))


def test_names_of_a_table_come_with_the_layer():
    table = pd.DataFrame(
        {"source": ["TP53", "MYC"], "target": ["repair", "growth"], "weight": [1.0, 2.0]}
    )
    layer = el.EdgeLinear.from_wiring(el.convert.from_table(table), values="weight")
    assert (layer.in_names, layer.out_names) == (["TP53", "MYC"], ["repair", "growth"])
    again = el.convert.to_table(layer)
    rows = zip(again["source"], again["target"], again["weight"], strict=True)
    assert set(rows) == {("TP53", "repair", 1.0), ("MYC", "growth", 2.0)}


def test_names_of_a_graph_come_back():
    graph = nx.DiGraph([("a", "b"), ("b", "c")])
    layer = el.EdgeLinear.from_wiring(el.convert.from_networkx(graph))
    assert set(el.convert.to_networkx(layer).edges) == {("a", "b"), ("b", "c")}


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


def test_names_may_be_set_and_are_checked():
    layer = make_layer(in_names=np.arange(3))
    assert layer.in_names == [0, 1, 2]
    layer.in_names = ("A", "B", "C")
    assert layer.in_names == ["A", "B", "C"]
    with pytest.raises(ValueError, match="must hold 2 names, got 3"):
        layer.out_names = ["a", "b", "c"]


def test_names_that_are_read_are_a_copy():
    layer = make_layer()
    layer.in_names[0] = "MYC"
    assert layer.in_names == NAMES["in_names"]


def test_labels_of_a_data_frame_are_names():
    frame = pd.DataFrame([[1, 0], [0, 2]], index=["a", "b"], columns=["y", "z"])
    layer = el.EdgeLinear.from_adjacency(frame)
    assert (layer.in_names, layer.out_names) == (["a", "b"], ["y", "z"])
    layer = el.EdgeLinear.from_weight_mask(frame)
    assert (layer.in_names, layer.out_names) == (["y", "z"], ["a", "b"])
    assert el.EdgeLinear.from_adjacency(pd.DataFrame([[1, 0], [0, 2]])).in_names is None


@pytest.mark.parametrize("labels", [["a", "a"], [0.5, 1.5], [("a", 1), ("a", 2)], [1, None]])
def test_labels_that_cannot_be_names_are_left(labels):
    frame = pd.DataFrame([[1, 0], [0, 2]], index=pd.Index(labels, tupleize_cols=False))
    assert el.EdgeLinear.from_adjacency(frame).in_names is None
    assert el.EdgeLinear.from_weight_mask(frame).out_names is None


def test_layer_without_names_has_none_after_networkx():
    layer = make_layer(in_names=None)
    wiring = el.convert.from_networkx(el.convert.to_networkx(layer))
    assert el.EdgeLinear.from_wiring(wiring).in_names is None


def test_names_travel_through_a_checkpoint_as_tensors():
    buffer = io.BytesIO()
    layer = make_layer(in_names=["é", 7, "x\n"], out_names=NAMES["out_names"])
    torch.save(layer.state_dict(), buffer)
    buffer.seek(0)
    state = torch.load(buffer, weights_only=True)
    assert all(type(value) is torch.Tensor for value in state.values())
    assert el.EdgeLinear.from_state_dict(state).in_names == ["é", 7, "x\n"]
    other = make_layer(in_names=None)
    other.load_state_dict(state)
    assert (other.in_names, other.out_names) == (["é", 7, "x\n"], NAMES["out_names"])


def test_checkpoint_without_names_leaves_those_here():
    layer = make_layer()
    layer.load_state_dict(make_layer(in_names=None).state_dict())
    assert layer.in_names == NAMES["in_names"]


def test_other_names_are_refused_or_adopted():
    state = make_layer(in_names=["TP53", "AKT1", "MYC"]).state_dict()
    layer = make_layer()
    with pytest.raises(RuntimeError, match="number 1 is 'MYC' here, 'AKT1' there"):
        layer.load_state_dict(state)
    el.adopt_wiring(layer, state)
    layer.load_state_dict(state)
    assert layer.in_names == ["TP53", "AKT1", "MYC"]


def test_adopted_wiring_without_names_leaves_those_that_fit():
    layer = make_layer()
    el.adopt_wiring(layer, el.EdgeLinear(3, 4, EDGES).state_dict())
    assert (layer.in_names, layer.out_names) == (NAMES["in_names"], None)


@pytest.mark.parametrize("names", [[255, 255], list(b'{"a": 1}'), list(b'["a", "b"]')])
def test_corrupt_names_are_refused(names):
    state = make_layer().state_dict() | {"in_names": torch.tensor(names, dtype=torch.uint8)}
    with pytest.raises(RuntimeError, match="`in_names` in this checkpoint is corrupt"):
        make_layer().load_state_dict(state)


@pytest.mark.parametrize(
    "names, error, message",
    [
        (["a", "b"], ValueError, "must hold 3 names, got 2"),
        (["a", "b", "a"], ValueError, "lists 'a' twice"),
        (["a", "b", ("c", 1)], TypeError, "strings or whole numbers, .* got \\('c', 1\\)"),
        (["a", "b", True], TypeError, "got True"),
        ({"a", "b", "c"}, TypeError, "must be a list, .* got a set"),
        ("abc", TypeError, "must be a list, .* got a str"),
    ],
)
def test_names_that_cannot_be_kept_are_refused(names, error, message):
    with pytest.raises(error, match=message):
        make_layer(in_names=names)
