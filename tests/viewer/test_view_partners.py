"""Tables of partners equal those of pandas, and as CSV they execute nothing."""

import csv
import io

import numpy as np
import pandas
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from viewed import ask, named_layer, network, scene
from wired import edge_lists

import edgelinear as el


def table_of(layer, **columns):
    """Return all edges as pandas has them."""
    src, dst = layer.edge_index.numpy()
    return pandas.DataFrame(
        {"edge": range(layer.num_edges), "in": src, "out": dst}
        | {"weight": layer.weight.tolist()}
        | columns
    )


@given(edge_lists(), st.sampled_from(["in", "out"]), st.booleans(), st.integers(0, 99))
def test_rows_are_those_of_the_node_by_size(problem, direction, descending, seed):
    random = np.random.default_rng(seed)
    weight = random.integers(-3, 4, len(problem[2])).astype(float)
    layer = el.EdgeLinear(*problem, weight=weight, duplicates="keep")
    side, other = ("out", "in") if direction == "in" else ("in", "out")
    node = int(random.integers(problem[1] if side == "out" else problem[0]))
    table = table_of(layer)
    table = table[table[side] == node]
    order = table["weight"].abs().sort_values(kind="stable", ascending=not descending).index
    table = table.loc[order]
    found = ask(
        scene(layer), "partners", side=side, node=node, direction=direction,
        sort="weight", descending=descending, start=0, stop=100, filter="",
    )  # fmt: skip
    assert found["total"] == len(table)
    assert [row["edge"] for row in found["rows"]] == table["edge"].tolist()
    assert [row["node"] for row in found["rows"]] == table[other].tolist()
    assert [row["weight"] for row in found["rows"]] == table["weight"].tolist()
    assert {row["side"] for row in found["rows"]} <= {other}
    assert {row["state"] for row in found["rows"]} <= {"here"}


def test_pages_are_parts_of_the_whole_table():
    random = np.random.default_rng(0)
    layer = el.EdgeLinear(50, 1, [(i, 0) for i in range(50)], weight=random.normal(size=50))
    seen, asked = scene(layer), {"side": "out", "node": 0, "direction": "in"}
    whole = ask(seen, "partners", **asked)["rows"]
    pages = [
        ask(seen, "partners", **asked, start=start, stop=start + 20)["rows"]
        for start in (0, 20, 40)
    ]
    assert [len(page) for page in pages] == [20, 20, 10]
    assert sum(pages, []) == whole


def test_edges_on_the_side_that_has_none_are_none():
    assert ask(scene(named_layer()), "partners", side="in", node=0, direction="in")["total"] == 0


def names_of(found):
    return [row["name"] for row in found["rows"]]


def test_names_are_sorted_and_filtered_without_case():
    names = ["beta", "Alpha", "gamma", "alpha2"]
    layer = el.EdgeLinear(4, 1, [(i, 0) for i in range(4)], in_names=names)
    asked = {"side": "out", "node": 0, "direction": "in", "sort": "name"}
    seen = scene(layer)
    by_name = ask(seen, "partners", **asked, descending=False)
    assert names_of(by_name) == ["Alpha", "alpha2", "beta", "gamma"]
    assert names_of(ask(seen, "partners", **asked, descending=True)) == names_of(by_name)[::-1]
    some = ask(seen, "partners", **asked, descending=False, filter="ALPHA")
    assert names_of(some) == ["Alpha", "alpha2"] and some["total"] == 2


def test_nodes_without_names_are_sorted_by_number():
    layer = el.EdgeLinear(12, 1, [(i, 0) for i in range(12)])
    found = ask(
        scene(layer), "partners", side="out", node=0, direction="in", sort="name", descending=False
    )
    assert names_of(found) == [str(i) for i in range(12)]


def test_values_and_contributions_are_columns():
    layer = named_layer()
    inputs = np.array([[1.0, 2.0, 0.0], [3.0, 4.0, 0.0]])
    seen = scene(layer, values=[7, 8, 9], inputs=inputs)
    found = ask(seen, "partners", side="out", node=0, direction="in", sort="contribution")
    assert found["columns"] == ["name", "weight", "contribution", "values"]
    rows = {row["name"]: (row["contribution"], row["values"]) for row in found["rows"]}
    assert rows == {"TP53": (0.5 * 2, 7.0), "MYC": (-1.0 * 3, 8.0)}
    assert names_of(found) == ["MYC", "TP53"]


def test_contributions_of_a_network_are_of_the_values_of_its_nodes():
    net = network(activation="tanh").double()
    x = np.random.default_rng(0).normal(size=(6, 2))
    values = net.nodes(torch.from_numpy(x)).mean(0)
    expected = net.weight * values[net.edge_index[0]]
    seen = scene(net, inputs=x)
    for node in range(5):
        for row in ask(seen, "partners", side="node", node=node, direction="in")["rows"]:
            assert row["contribution"] == pytest.approx(expected[row["edge"]].item())


def test_other_wiring_has_edges_that_are_not_here():
    here = el.EdgeLinear(3, 1, [(0, 0), (1, 0)], weight=[1.0, 2.0])
    there = el.EdgeLinear(3, 1, [(2, 0), (1, 0)], weight=[4.0, 5.0])
    asked = {"side": "out", "node": 0, "direction": "in", "sort": "difference"}
    rows = ask(scene(here, other=there), "partners", **asked)["rows"]
    kept = ("edge", "node", "weight", "other", "difference", "state")
    assert [tuple(row[name] for name in kept) for row in rows] == [
        (None, 2, None, 4.0, -4.0, "there"),
        (1, 1, 2.0, 5.0, -3.0, "both"),
        (0, 0, 1.0, None, 1.0, "here"),
    ]


def test_numbers_that_are_missing_stand_last_either_way():
    here = el.EdgeLinear(3, 1, [(0, 0), (1, 0)], weight=[1.0, 2.0])
    there = el.EdgeLinear(3, 1, [(2, 0)], weight=[4.0])
    asked = {"side": "out", "node": 0, "direction": "in", "sort": "weight"}
    for descending, expected in ((True, [2.0, 1.0, None]), (False, [1.0, 2.0, None])):
        rows = ask(scene(here, other=there), "partners", **asked, descending=descending)["rows"]
        assert [row["weight"] for row in rows] == expected


def test_weight_that_is_not_finite_is_the_largest_and_has_a_name():
    layer = el.EdgeLinear(3, 1, [(0, 0), (1, 0), (2, 0)], weight=[1.0, 2.0, 3.0])
    layer.weight.data[:2] = layer.weight.new_tensor([float("nan"), float("-inf")])
    found = ask(scene(layer), "partners", side="out", node=0, direction="in")
    assert [row["weight"] for row in found["rows"]] == ["NaN", "-Infinity", 3.0]


def read(text):
    return list(csv.reader(io.StringIO(text, newline="")))


def test_csv_holds_the_whole_table_in_the_digits_of_its_type():
    layer = named_layer(weight=[0.1, -0.3, 2.0])
    found = ask(scene(layer), "csv", side="out", node=0, direction="in")
    assert found["name"] == "repair-in.csv"
    assert read(found["text"]) == [
        ["edge", "node", "name", "weight"],
        ["1", "1", "MYC", "-0.3"],
        ["0", "0", "TP53", "0.1"],
    ]
    wide = layer.double()
    wide.set_weight([0.1, -0.3, 2.0])
    assert read(ask(scene(wide), "csv", side="out", node=0, direction="in")["text"])[1][3] == "-0.3"


ODD = [
    'say "no"',
    "two\nlines",
    "a,b",
    "=1+1",
    "+cmd|' /C calc'!A0",
    "-x",
    "@SUM(A1)",
    "\t=1",
    "-5",
    "+3e-5",
    "=5",
]


def test_csv_keeps_names_and_no_spreadsheet_computes_them():
    layer = el.EdgeLinear(len(ODD), 1, [(i, 0) for i in range(len(ODD))], in_names=ODD)
    text = ask(scene(layer), "csv", side="out", node=0, direction="in")["text"]
    found = {int(row[1]): row[2] for row in read(text)[1:]}
    inert = {i: name if i in (0, 1, 2, 8, 9) else f"'{name}" for i, name in enumerate(ODD)}
    assert found == inert
    frame = pandas.read_csv(io.StringIO(text))
    assert frame["weight"].dtype.kind == "f" and len(frame) == len(ODD)


def test_csv_says_in_which_wirings_an_edge_is():
    here, there = el.Topology(2, 1, [(0, 0)]), el.Topology(2, 1, [(1, 0)])
    text = ask(scene(here, other=there), "csv", side="out", node=0, direction="in")["text"]
    assert read(text) == [
        ["edge", "node", "name", "difference", "state"],
        ["0", "0", "0", "1.0", "here"],
        ["", "1", "1", "-1.0", "there"],
    ]


@pytest.mark.parametrize(
    ("name", "expected"), [("a/b\\c", "a_b_c-out.csv"), ("../..", "0-out.csv"), ("é", "0-out.csv")]
)
def test_file_of_a_table_has_a_plain_name(name, expected):
    layer = el.EdgeLinear(1, 1, [(0, 0)], in_names=[name])
    assert ask(scene(layer), "csv", side="in", node=0, direction="out")["name"] == expected


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"direction": "up"}, '`direction` must be "in" or "out", got \'up\''),
        ({"sort": "colour"}, "`sort` must be one of"),
        ({"node": 2}, "there is no node 2 on the side 'out', which has 2"),
        ({"side": "node"}, "`side` must be one of"),
    ],
)
def test_table_that_is_not_there_is_refused(asked, said):
    asked = {"side": "out", "node": 0, "direction": "in"} | asked
    with pytest.raises(ValueError, match=said):
        ask(scene(named_layer()), "partners", **asked)


def test_search_finds_the_name_then_beginnings_then_the_rest():
    names = ["xtp53", "TP53b", "TP53", "other"]
    layer = el.EdgeLinear(4, 2, [(2, 0), (2, 1)], in_names=names, out_names=["tp53", "none"])
    found = ask(scene(layer), "search", text="tp53", side=None, limit=10)
    assert found["total"] == 4
    assert [(row["side"], row["name"]) for row in found["found"]] == [
        ("in", "TP53"), ("out", "tp53"), ("in", "TP53b"), ("in", "xtp53"),
    ]  # fmt: skip
    assert [(row["in"], row["out"]) for row in found["found"]] == [(0, 2), (1, 0), (0, 0), (0, 0)]
    few = ask(scene(layer), "search", text="tp53", side="in", limit=1)
    assert [row["node"] for row in few["found"]] == [2] and few["total"] == 3


@pytest.mark.parametrize(
    ("text", "nodes"), [("2", [2]), ("3", []), ("", []), ("-1", []), ("²", [])]
)
def test_nodes_without_names_are_found_by_number(text, nodes):
    found = ask(scene(el.Topology(3, 1, [(0, 0)])), "search", text=text, side="in", limit=5)
    assert [row["node"] for row in found["found"]] == nodes


def test_names_that_are_not_unique_are_told_apart_by_number():
    topology = el.Topology(3, 1, [(0, 0), (1, 0), (2, 0)])
    wiring = el.convert.Wiring(topology, None, ["a", "b", "a"], ["y"])
    seen = scene(wiring)
    found = ask(seen, "search", text="a", side="in", limit=5)
    assert [row["node"] for row in found["found"]] == [0, 2]
    (note,) = seen.meta()["notes"]
    assert note == "Names of sources are not unique (1 repeated): numbers tell them apart."


def test_names_are_listed_in_the_order_of_the_matrix():
    layer = el.EdgeLinear(
        3, 1, [(2, 0), (2, 0), (1, 0)], in_names=["a", "b", "c"], duplicates="keep"
    )
    found = ask(scene(layer), "names", side="in", order="degree", start=0, stop=2)
    assert found == {"names": ["c", "b"], "nodes": [2, 1]}
    assert ask(scene(layer), "names", side="in", nodes=[0, 2])["names"] == ["a", "c"]


def test_names_of_a_graph_stand_along_both_axes():
    net = el.EdgeNetwork(3, [(0, 1), (0, 2), (1, 2)], ["a"], ["c"], node_names=["a", "b", "c"])
    asked = {"side": "node", "order": "degree", "start": 0, "stop": 3}
    for axis, expected in (("rows", ["c", "b", "a"]), ("columns", ["a", "b", "c"])):
        assert ask(scene(net), "names", **asked, axis=axis)["names"] == expected
