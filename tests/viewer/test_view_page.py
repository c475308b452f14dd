"""A saved page: what it holds, what it does not, and that nothing in it is executed by accident."""

import base64
import hashlib
import json
import re
import webbrowser
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from viewed import named_layer, network

import edgelinear as el

pytest.importorskip("anywidget")
ODD = ["</script><script>alert(1)</script>", "<!--<img src=x onerror=alert(1)>", 'quo"te &amp;']


class Page(HTMLParser):
    """The elements of a page, with what stands in them."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.found, self.texts, self.open = [], {}, None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self.open = (tag, dict(attrs).get("id") or dict(attrs).get("type"))

    def handle_data(self, data):
        if self.open:
            self.texts[self.open] = self.texts.get(self.open, "") + data

    def handle_endtag(self, tag):
        self.open = None


def saved(view, path, **options):
    text = view.save(path / "view.html", **options).read_text(encoding="utf-8")
    page = Page(text)
    return page, json.loads(page.texts["script", "edgelinear-saved"])


def kinds(data):
    return [answer["ask"]["kind"] for answer in data["answers"]]


def test_small_wiring_is_in_the_page_whole(tmp_path):
    page, data = saved(el.view(named_layer(), values=[1, 2, 3]), tmp_path)
    edges = data["edges"]
    assert (edges["src"], edges["dst"]) == ([0, 1, 2], [0, 0, 1])
    assert edges["fields"] == {"weight": [0.5, -1.0, 2.0], "values": [1.0, 2.0, 3.0]}
    assert edges["single"] == ["weight"]
    assert edges["texts"] == [el.convert.explain(named_layer(), edge) for edge in range(3)]
    assert edges["names"] == {"in": ["TP53", "MYC", "AKT1"], "out": ["repair", "growth"]}
    assert edges["orders"]["degree"] == {"rows": [0, 1], "columns": [0, 1, 2]}
    assert edges["state"] is None and data["contents"] == "all edges"
    assert data["traits"]["_meta"]["digest"] == named_layer().topology.digest


def test_page_says_where_it_came_from(tmp_path):
    page, data = saved(el.view(named_layer()), tmp_path)
    footer = page.texts["footer", "edgelinear-footer"]
    digest = named_layer().topology.digest
    assert footer == (
        f"EdgeLinear: 3 -> 2, 3 edges (50% of dense). Wiring {digest}, by edgelinear "
        f"{el.__version__}. In this page: all edges."
    )
    assert page.texts["title", None] == "EdgeLinear: 3 -> 2, 3 edges (50% of dense)"


def test_page_is_headed_as_it_is_told(tmp_path):
    view = el.view(named_layer())
    page, data = saved(view, tmp_path, title="What <TP53> does")
    assert page.texts["title", None] == "What <TP53> does"
    assert data["traits"]["_meta"]["caption"] == "What <TP53> does"
    assert "caption" not in view._meta


@pytest.mark.parametrize(
    ("path", "options", "error", "said"),
    [
        ("page", {}, ValueError, "`path` must end in .html, so that browsers open it, got 'page'"),
        ("page.pdf", {}, ValueError, "got 'page.pdf'"),
        ("page.html", {"include": "TP53"}, TypeError, "`include` must be a list of nodes, got 'TP"),
    ],
)
def test_page_that_cannot_be_saved_is_not_begun(tmp_path, path, options, error, said):
    with pytest.raises(error, match=said):
        el.view(named_layer()).save(tmp_path / path, **options)
    assert list(tmp_path.iterdir()) == []


def test_tiles_are_those_that_a_page_would_ask_for(tmp_path):
    _, data = saved(el.view(named_layer()), tmp_path)
    tiles = {a["ask"]["value"]: a for a in data["answers"] if a["ask"]["kind"] == "tile"}
    assert {*tiles} == {"count", "weight"}
    cell, value, *_ = (base64.b64decode(text) for text in tiles["weight"]["buffers"])
    assert np.frombuffer(cell, np.uint32).tolist() == [0, 1, 5]
    assert np.frombuffer(value, np.float64).tolist() == [0.5, 1.0, 2.0]


def test_names_cannot_end_the_script(tmp_path):
    layer = named_layer(in_names=ODD, out_names=["\u2028", "😀" * 100])
    page, data = saved(el.view(layer), tmp_path)
    assert data["edges"]["names"] == {"in": ODD, "out": ["\u2028", "😀" * 100]}
    tags = [tag for tag, _ in page.found]
    assert tags.count("script") == 2 and "img" not in tags


def test_page_needs_no_network_and_runs_its_own_script_alone(tmp_path):
    page, _ = saved(el.view(named_layer()), tmp_path)
    for _, attributes in page.found:
        assert not {"src", "href", "action", "data", "style", "onload"} & {*attributes}
    (policy,) = (a["content"] for t, a in page.found if a.get("http-equiv"))
    program = page.texts["script", "module"]
    digest = base64.b64encode(hashlib.sha256(program.encode()).digest()).decode()
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'" and rules["script-src"] == f"'sha256-{digest}'"
    assert "http" not in policy and "*" not in policy


def test_page_holds_the_tables_and_paths_that_are_shown(tmp_path):
    view = el.view(network())
    assert {*kinds(saved(view, tmp_path)[1])} == {"tile", "names"}
    view.selected_nodes, view.selected_edges = ["hidden"], [3]
    view.show(path=("in a", "out"), node="out")
    _, data = saved(view, tmp_path, include=["also"])
    found = [answer["ask"] for answer in data["answers"]]
    tables = [(a["node"], a["direction"]) for a in found if a["kind"] == "partners"]
    assert tables == [(n, d) for n in (4, 2, 3) for d in ("in", "out")]
    (paths,) = [a for a in data["answers"] if a["ask"]["kind"] == "paths"]
    assert [path["edges"] for path in paths["answer"]["paths"]] == [[3, 4], [0, 2, 4]]
    assert {"kind": "edge", "edge": 3} in found
    assert found[-1]["kind"] in ("places", "edge") and "places" in kinds(data)
    assert data["traits"]["_edges"] == [3] and data["traits"]["_nodes"] == [["node", 2]]
    assert data["contents"] == "all edges, 3 partner tables, 1 set of paths, what is selected"


@pytest.mark.parametrize("end", ["source", "target", None])
def test_page_of_a_path_that_lacks_an_end_holds_no_paths(tmp_path, end):
    view = el.view(network())
    ends = dict.fromkeys(("source", "target", "through")) | ({end: ["node", 0]} if end else {})
    view._view = {"path": {"k": 5, **ends}}  # as the form of the page leaves it
    _, data = saved(view, tmp_path)
    assert "paths" not in kinds(data) and data["contents"] == "all edges"
    assert data["traits"]["_view"] == view._view


def large(edges=30_000):
    random = np.random.default_rng(0)
    ends = random.integers(0, 3000, (2, edges))
    names = [f"node {i}" for i in range(3000)]
    topology = el.Topology(3000, 3000, ends, duplicates="keep")
    return el.EdgeLinear.from_topology(topology, in_names=names, out_names=names)


def test_page_holds_no_more_than_it_shows(tmp_path, monkeypatch):
    from edgelinear.viewer import page

    view = el.view(large())
    view.show(window=(10, 20, 30, 50))
    monkeypatch.setattr(page, "BUDGET", 500_000)
    found, data = saved(view, tmp_path)
    assert data["edges"] is None
    tiles = [a for a in data["answers"] if a["ask"]["kind"] == "tile"]
    assert 0 < sum(len(text) for a in tiles for text in a["buffers"]) <= 500_000
    names = {a["ask"]["axis"]: a["answer"]["names"] for a in data["answers"] if a not in tiles}
    assert names == {
        "rows": [f"node {i}" for i in range(10, 30)],
        "columns": [f"node {i}" for i in range(20, 50)],
    }
    text = found.texts["script", "edgelinear-saved"]
    shown = {*range(10, 50)}
    assert {int(n) for n in re.findall(r"node (\d+)", text)} <= shown
    expected = "an overview of the matrix; what else it has needs Python"
    assert data["contents"] == expected


@pytest.mark.parametrize("order", ["given", "degree"])
def test_page_knows_the_numbers_of_nodes_without_names(tmp_path, order):
    topology = large().topology
    view = el.view(topology)
    view.show(order=order, window=(0, 20, 3, 22))
    _, data = saved(view, tmp_path)
    found = [a for a in data["answers"] if a["ask"]["kind"] == "names"]
    degrees = topology.fan_in, topology.fan_out
    rows, columns = (np.argsort(-degree.numpy(), kind="stable") for degree in degrees)
    # In the order given, the number of a node is that of its row or column.
    expected = [] if order == "given" else [rows[:3].tolist(), columns[20:22].tolist()]
    assert [a["answer"]["nodes"] for a in found] == expected
    assert [a["answer"]["names"] for a in found] == [[*map(str, part)] for part in expected]


def test_matrix_that_fits_is_in_the_page_down_to_single_edges(tmp_path):
    _, data = saved(el.view(large()), tmp_path)
    assert data["contents"] == "the whole matrix; what else it has needs Python"
    deepest = [a for a in data["answers"] if a["ask"].get("level") == 4]
    numbers = [np.frombuffer(base64.b64decode(a["buffers"][2]), np.uint32) for a in deepest]
    assert sum(int(number.sum()) for number in numbers) == 30_000


def test_size_of_a_page_is_bounded(tmp_path):
    layer = large(300_000)
    view = el.view(layer, values=layer.weight, other=large(250_000))
    found, _ = saved(view, tmp_path)
    assert len(found.texts["script", "edgelinear-saved"]) < 21_000_000


def test_numbers_that_are_not_finite_are_json(tmp_path):
    layer = named_layer()
    layer.weight.data[1] = float("nan")
    _, data = saved(el.view(layer), tmp_path)
    assert data["edges"]["fields"]["weight"] == [0.5, "NaN", 2.0]


def test_edges_of_the_other_wiring_alone_follow_those_here(tmp_path):
    other = el.EdgeLinear(3, 2, [(2, 1), (2, 0)], weight=[8.0, 9.0])
    _, data = saved(el.view(named_layer(), other=other), tmp_path)
    edges = data["edges"]
    assert (edges["src"][3:], edges["dst"][3:]) == ([2], [0])
    assert edges["state"] == ["here", "here", "both", "there"]
    assert edges["fields"]["weight"] == [0.5, -1.0, 2.0, None]
    assert edges["fields"]["other"] == [None, None, 8.0, 9.0]


def test_empty_layer_is_saved(tmp_path):
    layer = el.EdgeLinear(0, 0, torch.zeros(2, 0, dtype=torch.long))
    assert saved(el.view(layer), tmp_path)[1]["edges"]["src"] == []


def test_browser_opens_the_page(monkeypatch):
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or True)
    path = el.view(named_layer()).browse()
    assert opened == [path.as_uri()] and path.read_text(encoding="utf-8").startswith("<!DOCTYPE")


@pytest.mark.parametrize("raises", [False, True])
def test_without_a_browser_it_is_said_where_the_page_is(monkeypatch, raises):
    def fail(url):
        if raises:
            raise webbrowser.Error("none")
        return False

    monkeypatch.setattr(webbrowser, "open", fail)
    with pytest.warns(UserWarning, match="no browser could be opened: the page is .*view.html"):
        path = el.view(named_layer()).browse()
    assert path.exists()
