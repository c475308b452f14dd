"""Pages that were saved: they ask for nothing, and answer as Python does."""

import csv
import io
import re

import numpy as np
import pytest
import torch
from page import Page
from selenium.webdriver.common.keys import Keys
from subjects import named_layer, network, reactome

import edgelinear as el
from edgelinear.viewer.answers import answer
from edgelinear.viewer.cells import edges_in_window

pytestmark = pytest.mark.browser


@pytest.fixture
def opened(browser, tmp_path):
    """Return a function that saves a view and opens the page, for which there is no network."""
    page = Page(browser)

    def saved(view, **options):
        path = view.save(tmp_path / "view.html", **options)
        page.command("Network.enable")
        page.command(
            "Network.emulateNetworkConditions",
            offline=True, latency=0, downloadThroughput=0, uploadThroughput=0,
        )  # fmt: skip
        page.requests()
        return page.open(path.as_uri())

    yield saved
    asked = [url for url in page.requests() if not url.startswith("data:")]
    assert asked and {re.sub(r".*/", "", url) for url in asked} == {"view.html"}
    assert page.errors() == []
    page.command(
        "Network.emulateNetworkConditions",
        offline=False, latency=0, downloadThroughput=-1, uploadThroughput=-1,
    )  # fmt: skip
    browser.get("about:blank")


def test_page_opens_where_the_view_was(opened):
    view = el.view(reactome())
    view.show(value="weight", node="R-HSA-1257604", window=(100, 2000, 400, 4000))
    view.selected_edges = [3, 5]
    page = opened(view)
    page.settle()
    page.wait(lambda: page.rows())
    assert page.text(".partners .title").startswith("R-HSA-1257604, target")
    assert page.text(".chosen span") == "Selected: 2 edges, 0 nodes"
    values = page.run("return [...root.querySelectorAll('.compare select')].map((s) => s.value)")
    assert values == ["weight", "given"]


def test_rectangle_may_be_added_to_what_is_selected(opened):
    view = el.view(named_layer())
    view.selected_edges = [2]
    page = opened(view)
    page.settle()
    page.find(".check input").click()
    (x, y), (right, bottom) = page.place(view, 0.2, 0.2), page.place(view, 0.8, 1.8)
    drag = page.pointer(x, y).key_down(Keys.SHIFT).click_and_hold()
    drag.move_by_offset(right - x, bottom - y).release().key_up(Keys.SHIFT).perform()
    page.wait(lambda: page.text(".chosen span") == "Selected: 3 edges, 0 nodes")


def test_footer_says_where_it_comes_from(opened):
    view = el.view(named_layer())
    page = opened(view)
    said = page.text("footer")
    assert view._meta["digest"] in said and f"edgelinear {el.__version__}" in said


def test_page_without_its_edges_shows_what_it_holds_and_says_what_it_lacks(opened):
    view = el.view(reactome())
    view.show(node="R-HSA-1257604")
    page = opened(view)
    page.settle()
    page.wait(lambda: page.rows())
    for mark in "↑↓":  # by name, and from the last one on, which Python was never asked for
        page.all("thead button")[0].click()
        page.wait(lambda mark=mark: mark in page.text("th[aria-sort]"))
    names = [row[0] for row in page.rows()]
    assert names == sorted(names, reverse=True) and len(names) == 50
    page.all("tbody .link")[0].click()
    page.wait(lambda: "needs Python" in page.text(".partners .said"))


def random_topology(size=3000):
    ends = np.random.default_rng(0).integers(0, size, (2, 30_000))
    return el.Topology(size, size, ends, duplicates="keep")


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("order", ["given", "degree"])
def test_page_without_its_edges_says_which_nodes_are_seen(opened, order, named):
    topology = random_topology()
    names = [f"node {i}" for i in range(3000)] if named else None
    layer = el.EdgeLinear.from_topology(topology, in_names=names, out_names=names)
    rows = columns = range(3000)
    if order == "degree":
        degrees = topology.fan_in.numpy(), topology.fan_out.numpy()
        rows, columns = (np.argsort(-degree, kind="stable") for degree in degrees)
    row, column = 1214, 1623  # which are seen, and no multiples of what is asked for at once
    name = "node {}" if named else "{}"
    ends = f"target {name}, source {name}: ".format(rows[row], columns[column])
    view = el.view(layer)
    view.show(order=order, window=(1210, 1620, 1218, 1630))
    page = opened(view)
    page.settle()
    page.pointer(*page.place(view, row + 0.5, column + 0.5)).perform()
    page.wait(lambda: page.text(".readout").startswith(ends))


def test_page_without_its_edges_has_rows_and_columns_in_another_order(opened):
    view = el.view(random_topology())
    view.show(order="degree")
    page = opened(view)
    page.settle()
    page.pointer(*page.place(view, 1500, 1500)).perform()
    size = view._meta["spans"][int(page.drawn["level"])][0]
    first = 1500 // size * size
    part = f"{first:,} to {first + size - 1:,}"
    page.wait(lambda: page.text(".readout").startswith(f"rows {part}, columns {part}: "))


def test_page_without_its_edges_turns_the_pages_of_a_long_table(opened):
    number = 25_000
    weight = np.random.default_rng(0).permutation(number) + 1.0
    edges = [(source, 0) for source in range(number)]
    view = el.view(el.EdgeLinear(number, 1, edges, weight=weight))
    view.show(node=("out", 0))
    page = opened(view)
    first = [str(node) for node in np.argsort(-weight)]
    page.wait(lambda: [row[0] for row in page.rows()] == first[:50])
    page.button("Next").click()
    page.wait(lambda: [row[0] for row in page.rows()] == first[50:100])
    page.all("thead button")[1].click()  # the smallest first, of which the page has none
    page.wait(lambda: "needs Python" in page.text(".partners .said"))


@pytest.mark.parametrize(
    ("node", "said"),
    [
        (2300, "2300: 1 edge out"),  # an input, of many
        (2500, "2500: 1 edge in"),  # which has one edge either way
        (2501, "2501: 1 edge in"),
    ],
)
def test_partners_open_where_a_node_has_edges(opened, node, said):
    edges = [(2300, 2500), (2500, 2501)]
    view = el.view(el.EdgeNetwork(2502, edges, range(2500), [2501]))
    view.show(node=node)
    page = opened(view)
    page.wait(lambda: page.text(".partners .title") == said)
    assert len(page.rows()) == 1


COMPARED = lambda: el.view(  # noqa: E731
    named_layer(), other=el.EdgeLinear(3, 2, [(0, 0), (1, 1), (2, 1)], weight=[0.25, 3.0, -2.0])
)
SMALL = {"layer": lambda: el.view(named_layer()), "network": lambda: el.view(network())}
TYPES = np.uint32, np.float64, np.uint32, np.uint32  # of the arrays of a tile
FORMULAS = ["=5", "@1", "-3", "+1e5", "-x", "=1+1", "._.", "../a b"]


def odd_layer():
    """Return a layer whose names spreadsheets would compute, and numbers of several digits."""
    size = len(FORMULAS)
    edges = [(source, target) for target in (0, 1) for source in range(size)]
    weight = torch.tensor([0.1, 1 / 3, 1e-12, 3e20, 0.5, -2.0, 16777216.0, 1e-3] * 2)
    layer = el.EdgeLinear(size, 2, edges, weight=weight, in_names=FORMULAS, out_names=["._", "a/b"])
    wide = el.EdgeLinear(size, 2, edges[3:], weight=weight[3:].double() / 3, dtype=torch.float64)
    return el.view(layer, values=weight.tolist(), other=wide)


def asks(view):
    """Yield questions of every kind that the edges answer."""
    meta = view._meta
    for order in meta["orders"]:
        for value in [value["key"] for value in meta["values"]]:
            for level in range(meta["depth"]):
                yield {
                    "kind": "tile",
                    "order": order,
                    "value": value,
                    "level": level,
                    "row": 0,
                    "column": 0,
                }
        for axis in ("rows", "columns"):
            side = meta["node_sides"][axis]
            yield {
                "kind": "names",
                "side": side,
                "axis": axis,
                "order": order,
                "start": 0,
                "stop": meta[axis],
            }
        nodes = [[side, 0] for side in meta["sides"]]
        yield {"kind": "places", "order": order, "nodes": nodes, "edges": [*range(meta["edges"])]}
        area = {"top": 0.5, "bottom": 1.5, "left": 0.2, "right": 2.0}
        yield {"kind": "window", "order": order, **area}
    for edge in range(min(meta["edges"], 20)):
        yield {"kind": "edge", "edge": edge}
    for text in ("a", "R", "in", "17", "TP53", "?"):
        for side in (None, *meta["sides"]):
            yield {"kind": "search", "text": text, "side": side, "limit": 5}
    for side in meta["sides"]:
        for node in (0, 1):
            for direction in ("in", "out"):
                table = {"side": side, "node": node, "direction": direction}
                yield {"kind": "csv", **table}
                for sort in ("weight", "name", "difference", "other"):
                    for descending in (True, False):
                        pages = {"start": 0, "stop": 50, "filter": ""}
                        yield {
                            "kind": "partners",
                            **table,
                            "sort": sort,
                            "descending": descending,
                            **pages,
                        }


def random_layer():
    topology = el.generators.erdos_renyi(700, 300, num_edges=5000)
    return el.view(el.EdgeLinear.from_topology(topology))


@pytest.mark.parametrize("made", [*SMALL.values(), COMPARED, odd_layer, random_layer])
def test_page_with_all_edges_answers_as_python_does(opened, made):
    view = made()
    page = opened(view)
    for ask in asks(view):
        found = page.ask(**ask)
        truth, buffers = told(view._scene, ask)
        assert len(found["buffers"]) == len(buffers)
        for mine, theirs, kind in zip(found["buffers"], buffers, TYPES, strict=False):
            one, other = np.frombuffer(mine, kind), np.frombuffer(theirs, kind)
            np.testing.assert_allclose(one, other, rtol=1e-12)
        if ask["kind"] == "tile":
            truth["most"] = pytest.approx(truth["most"])
        if ask["kind"] == "csv":  # where JavaScript writes 1 for 1.0
            found["answer"]["text"] = cells(found["answer"]["text"])
            truth["text"] = cells(truth["text"])
        assert found["answer"] == truth, ask


def told(scene, ask):
    """Return what Python answers."""
    if ask["kind"] != "window":
        return answer(scene, ask)
    return {"edges": edges_in_window(scene, ask).tolist()}, []


def cells(text):
    def cell(text):
        try:
            return float(text)
        except ValueError:
            return text

    return [[cell(one) for one in row] for row in csv.reader(io.StringIO(text))]
