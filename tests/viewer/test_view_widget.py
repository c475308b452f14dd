"""The widget without a front-end: messages as they come over the wire, and what is selected."""

import json

import numpy as np
import pytest
import torch
from viewed import named_layer, network

import edgelinear as el

pytest.importorskip("anywidget")


@pytest.fixture
def talk():
    """Return a function that sends a message of a page to a view, and returns what comes back."""

    def said(view, message, **more):
        sent = []
        view.send = lambda content, buffers=None: sent.append((content, buffers))
        data = {"method": "custom", "content": message, **more}
        view._handle_msg({"content": {"data": data}, "buffers": []})
        return sent

    return said


def update(view, **state):
    """Change traits as a page does."""
    data = {"method": "update", "state": state, "buffer_paths": []}
    view._handle_msg({"content": {"data": data}, "buffers": []})


AREA = {"order": "given", "top": 0.2, "left": 0.5, "bottom": 0.9, "right": 1.5}
WINDOW = {"kind": "select", "how": "replace", "window": AREA}


def test_tile_comes_with_its_arrays(talk):
    ask = {"kind": "tile", "order": "given", "value": "weight", "level": 0, "row": 0, "column": 0}
    ((content, buffers),) = talk(el.view(named_layer()), {"id": 7, "ask": ask})
    assert content["id"] == 7 and content["answer"]["cells"] == 3
    assert np.frombuffer(buffers[0], np.uint32).tolist() == [0, 1, 5]
    assert np.frombuffer(buffers[1], np.float64).tolist() == [0.5, 1.0, 2.0]
    assert np.frombuffer(buffers[3], np.uint32).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        ({"kind": "dance"}, "got 'dance'"),
        ({"kind": "edge", "edge": 9}, "there is no edge 9"),
        ({"kind": "edge"}, "the question must have 'edge'."),
        ("edge", "a question must be a dict with its kind, got 'edge'."),
        (None, "a question must be a dict with its kind, got None."),
        ({"kind": "select", "how": "turn", "edges": [0]}, "`how` must be one of replace, add"),
        ({"kind": "select", "how": "add", "edges": [9]}, "must be from 0 to 2, of 3 edges, got 9"),
        ({"kind": "select", "how": "add"}, "the question must have 'edges'."),
        ({"kind": "tile", "order": "given", "value": "count", "level": None}, "int()"),
    ],
)
def test_what_cannot_be_answered_is_said(talk, ask, said):
    view = el.view(named_layer())
    view.selected_edges = [1]
    ((content, _),) = talk(view, {"id": "x-1", "ask": ask})
    assert view.selected_edges == [1]
    assert content["id"] == "x-1" and said in content["error"] and "answer" not in content


@pytest.mark.parametrize("message", [None, "tile", {}, {"id": 1}])
def test_message_that_asks_nothing_is_passed_over(talk, message):
    assert talk(el.view(named_layer()), message) == []


def test_window_that_a_page_selects_is_frozen_and_the_rest_trains(talk):
    torch.manual_seed(0)
    layer = named_layer()
    view = el.view(layer)
    ((content, _),) = talk(view, {"id": 1, "ask": WINDOW})
    assert content["answer"] == {"edges": [0, 1], "total": 2}
    assert view.selected_edges == [0, 1] and view._edges == [0, 1] and view._edge_total == 2
    before = layer.weight.detach().clone()
    el.rules.freeze(layer, view.edge_mask())
    optimizer = torch.optim.Adam(layer.parameters(), 0.1, weight_decay=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        layer(torch.randn(8, 3)).square().mean().backward()
        optimizer.step()
    moved = layer.weight.detach() != before
    assert moved.tolist() == [False, False, True]


def test_window_may_be_added_to_what_is_selected(talk):
    view = el.view(named_layer())
    view.selected_edges = [2]
    ((content, _),) = talk(view, {"id": 1, "ask": WINDOW | {"how": "add"}})
    assert content["answer"] == {"edges": [0, 1, 2], "total": 3}
    assert view.selected_edges == [0, 1, 2]


def test_edges_that_a_page_selects_come_back(talk):
    view = el.view(named_layer())
    for turn, (how, edges, expected) in enumerate([
        ("replace", [2, 0, 2], [0, 2]), ("add", [1, 0], [0, 1, 2]), ("remove", [0, 1], [2]),
        ("remove", [1], [2]), ("replace", [], []),
    ]):  # fmt: skip
        ask = {"kind": "select", "how": how, "edges": edges}
        ((content, _),) = talk(view, {"id": f"a-{turn}", "ask": ask})
        assert view.selected_edges == expected == view._edges == content["answer"]["edges"]
        assert view._edge_total == len(expected) == content["answer"]["total"]


def test_what_a_page_asks_again_is_selected_once(talk):
    view = el.view(named_layer())
    first, second = WINDOW, {"kind": "select", "how": "replace", "edges": [2]}
    for turn, ask in [(1, first), (2, second), (1, first), (2, second)]:
        ((content, _),) = talk(view, {"id": f"a-{turn}", "ask": ask})
    assert content["answer"] == {"edges": [2], "total": 1} and view.selected_edges == [2]
    view.selected_edges = [1]  # after all of them
    ((content, _),) = talk(view, {"id": "a-2", "ask": second})
    assert content["answer"]["edges"] == [1] == view.selected_edges
    talk(view, {"id": "b-1", "ask": second})  # of another page
    assert view.selected_edges == [2]


@pytest.mark.parametrize(("text", "expected"), [("", [0, 1]), ("myc", [1]), ("nobody", [])])
def test_table_that_a_page_selects_comes_back(talk, text, expected):
    other = el.EdgeLinear(3, 2, [(2, 0)])  # whose edge cannot be selected
    view = el.view(named_layer(), other=other)
    table = {"side": "out", "node": 0, "direction": "in", "filter": text}
    talk(view, {"id": 1, "ask": {"kind": "select", "how": "replace", "table": table}})
    assert view.selected_edges == expected


def test_nodes_that_a_page_selects_come_back():
    view = el.view(named_layer())
    update(view, _nodes=[["in", 1], ["out", 0]])
    assert view.selected_nodes == [("in", 1), ("out", 0)]


def test_what_a_page_of_an_older_view_selects_is_left_out():
    view = el.view(named_layer())
    update(view, _nodes=[["in", 9], ["node", 0], ["out", 1]])
    assert view.selected_nodes == [("out", 1)]


@pytest.mark.parametrize(
    "edges",
    [[2, 0, 2], (0, 2), np.array([0, 2]), torch.tensor([2, 0]), [True, False, True]],
)
def test_edges_may_be_selected_in_python(edges):
    view = el.view(named_layer())
    view.selected_edges = edges
    assert view.selected_edges == [0, 2] == view._edges
    view.selected_edges = []
    assert view.selected_edges == [] == view._edges and view._edge_total == 0


@pytest.mark.parametrize(
    ("edges", "error", "said"),
    [
        ([3], ValueError, "`selected_edges` must be from 0 to 2, of 3 edges, got 3"),
        ([-1, 0], ValueError, "got -1"),
        ([0.5], TypeError, "`selected_edges` must hold numbers of edges, got torch.float64"),
        ([[0, 1]], ValueError, r"must have one dimension, got shape \(1, 2\)"),
        ([True, False], ValueError, "a truth value for each of the 3 edges, got 2"),
        (["TP53"], TypeError, "`selected_edges` must hold numbers"),
    ],
)
def test_edges_that_are_none_are_refused(edges, error, said):
    view = el.view(named_layer())
    view.selected_edges = [1]
    with pytest.raises(error, match=said):
        view.selected_edges = edges
    assert view.selected_edges == [1]


def test_nodes_are_selected_by_number_or_by_name():
    view = el.view(named_layer())
    view.selected_nodes = ["MYC", ("out", 1), ("in", np.int64(1))]
    assert view.selected_nodes == [("in", 1), ("out", 1)]
    graph = el.view(network())
    graph.selected_nodes = [4, "in a"]
    assert graph.selected_nodes == [4, 0] and graph._nodes == [["node", 4], ["node", 0]]


@pytest.mark.parametrize(
    ("nodes", "error", "said"),
    [
        (["TP54"], ValueError, "`selected_nodes` has 'TP54', and no node has this name"),
        (["twice"], ValueError, "'twice', a name of 2 nodes: "),
        ([0], TypeError, r"takes nodes as \(\"in\", i\) and \(\"out\", j\), or by name, got 0"),
        ([("in", 3)], ValueError, "nodes from 0 to 2 of the side 'in', got 3"),
        ([("in", True)], TypeError, "got .'in', True."),
        ("TP53", TypeError, "must be a list of nodes, got 'TP53'"),
        (3, TypeError, "must be a list of nodes, got 3"),
    ],
)
def test_nodes_that_are_none_are_refused(nodes, error, said):
    view = el.view(named_layer(in_names=["TP53", "MYC", "twice"], out_names=["twice", "y"]))
    with pytest.raises(error, match=said):
        view.selected_nodes = nodes
    assert view.selected_nodes == []


def test_large_selection_stays_whole_in_python(talk):
    number = 12_000
    layer = el.EdgeLinear(number, 1, [(i, 0) for i in range(number)])
    view = el.view(layer)
    area = AREA | {"top": 0, "bottom": 1, "left": 0, "right": number}
    ((content, _),) = talk(view, {"id": 1, "ask": WINDOW | {"window": area}})
    assert content["answer"]["total"] == number and len(content["answer"]["edges"]) == 10_000
    assert len(view.selected_edges) == number == view._edge_total and len(view._edges) == 10_000
    update(view, _edges=[3])  # as a front-end may that sends all it has
    assert len(view.selected_edges) == number and len(view._edges) == 10_000
    ask = {"kind": "select", "how": "remove", "edges": [11_000]}
    ((content, _),) = talk(view, {"id": 2, "ask": ask})
    assert content["answer"]["total"] == number - 1 == len(view.selected_edges)
    assert 11_000 not in view.selected_edges and 11_001 in view.selected_edges
    ((content, _),) = talk(view, {"id": 3, "ask": {"kind": "selected", "edges": [11_000, 11_001]}})
    assert content["answer"] == {"edges": [11_001]}


def test_window_of_too_many_edges_selects_nothing(talk, monkeypatch):
    from edgelinear.viewer import cells

    monkeypatch.setattr(cells, "SELECTED", 1)
    view = el.view(named_layer())
    ((content, _),) = talk(view, {"id": 1, "ask": WINDOW})
    assert "a selection has 1 edges at most, and this window has 2" in content["error"]
    assert view.selected_edges == []


def test_selection_goes_into_rewire_tables_and_null_models():
    layer = named_layer()
    view = el.view(layer)
    view.selected_edges = [0, 2]
    table = el.convert.to_table(layer).iloc[view.selected_edges]
    assert table["source"].tolist() == ["TP53", "AKT1"]
    part = el.Topology(3, 2, layer.edge_index[:, view.selected_edges])
    assert el.null_models.degree_preserving(part).num_edges == 2
    assert el.rewire(layer, keep=view.selected_edges).old.tolist() == [0, 2]


def test_masks_of_several_layers_are_selected_again():
    view = el.view([named_layer(), el.EdgeLinear(2, 1, [(0, 0), (1, 0)])])
    view.selected_edges = [1, 4]
    masks = view.edge_mask()
    view.selected_edges = []
    view.selected_edges = masks
    assert view.selected_edges == [1, 4]


def test_mask_of_several_layers_is_one_for_each():
    first, second = named_layer(), el.EdgeLinear(2, 1, [(0, 0), (1, 0)])
    view = el.view([first, second])
    view.selected_edges = [1, 4]
    masks = [mask.tolist() for mask in view.edge_mask()]
    assert masks == [[False, True, False], [False, True]]


def test_edge_map_carries_values_of_the_other_wiring():
    here, there = named_layer(), el.EdgeLinear(3, 2, [(2, 1), (2, 0)], weight=[8.0, 9.0])
    assert el.view(here).edge_map is None
    edges = el.view(here, other=there).edge_map
    assert edges.follow(there.weight).tolist() == [0.0, 0.0, 8.0]


def test_view_shows_what_python_asks_for():
    view = el.view(network())
    view.show(order="degree", value="weight", node="hidden", window=(0, 0, 2, 2.5))
    view.show(path=("in a", "hidden", "out"), k=3, theme="dark")
    assert view._view == {
        "order": "degree", "value": "weight", "node": ["node", 2], "window": [0.0, 0.0, 2.0, 2.5],
        "path": {"source": ["node", 0], "target": ["node", 4], "through": ["node", 2], "k": 3},
    }  # fmt: skip
    assert view._theme == "dark"


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        ({"order": "colour"}, "`order` must be one of given, level, .* here, got 'colour'"),
        ({"value": "other"}, "`value` must be one of count, weight here, got 'other'"),
        ({"theme": "blue"}, "`theme` must be one of auto, light, dark here, got 'blue'"),
        ({"window": [1, 2]}, r"`window` must be \(top, left, bottom, right\), .* got \(1, 2\)"),
        ({"window": [0, 0, 1, 6]}, r"within \(0, 0, 5, 5\), got \(0, 0, 1, 6\)"),
        ({"window": [3, 3, 2, 4]}, r"within \(0, 0, 5, 5\), got \(3, 3, 2, 4\)"),
        ({"window": [-1, 0, 2, 2]}, r"got \(-1, 0, 2, 2\)"),
        ({"window": [float("nan"), 0, 2, 2]}, r"got \(nan, 0, 2, 2\)"),
        ({"path": ["in a"]}, r"`path` must be \(source, target\) or"),
        ({"path": "ab"}, "got 'ab'"),
        ({"path": ["in a", "out"], "k": 0}, "`k` must be from 1 to 100"),
        ({"node": "nobody"}, "`node` has 'nobody', and no node has this name"),
    ],
)
def test_what_cannot_be_shown_is_refused(shown, said):
    view = el.view(network())
    with pytest.raises(ValueError, match=said):
        view.show(**shown)
    assert view._view == {}


def test_edges_of_the_strongest_paths_are_selected():
    net = network()
    view = el.view(net)
    # in b -> out is 1.5; in b -> hidden -> also -> out is 2 * 0.5 * 0.25.
    assert view.paths("in b", "out") == [[5], [1, 2, 4]]
    assert view.paths("in b", "out", k=1) == [[5]]
    assert view.paths(1, 4, through="also") == [[1, 2, 4]]
    assert view.paths("out", "in a") == []
    view.selected_edges = sum(view.paths("in b", "out"), [])
    assert view.selected_edges == [1, 2, 4, 5]
    with pytest.raises(ValueError, match="`through` has 'nobody', and no node has this name"):
        view.paths("in b", "out", through="nobody")
    with pytest.raises(TypeError, match="`k` must be an integer, got 1.5"):
        view.paths("in b", "out", k=1.5)
    view.show(path=("in b", "out"), k=np.int64(3))
    json.dumps(view._view)


def test_view_says_in_words_what_it_is():
    view = el.view(named_layer())
    view.selected_edges = [1]
    expected = "View(EdgeLinear: 3 -> 2, 3 edges (50% of dense); selected: 1 edge, 0 nodes)"
    assert repr(view) == expected
    assert view._repr_mimebundle_()[0]["text/plain"] == expected
