"""Names of nodes: where they come from, where they go, and that they survive."""

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import torch
from named import EDGES, NAMES, make_layer
from problems import through_a_file

import edgelinear as el


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
    layer = make_layer(in_names=["é", 7, "x\n"], out_names=NAMES["out_names"])
    state = through_a_file(layer.state_dict())
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
