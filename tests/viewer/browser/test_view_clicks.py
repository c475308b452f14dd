"""From what a person does in the page to what Python has selected, and back."""

import numpy as np
import pytest
import torch
from selenium.webdriver import ActionChains
from selenium.webdriver.common.keys import Keys
from subjects import named_layer, network, pathways, reactome

import edgelinear as el

pytestmark = pytest.mark.browser


def selected(page, view, number):
    """Wait until Python has so many edges selected, and return them."""
    page.wait(lambda: len(view.selected_edges) == number)
    return view.selected_edges


def said(page):
    return page.text(".view > .unseen")


def told(page):
    """Return what the page says is selected."""
    return page.text(".chosen span")


def focused(page):
    return page.run("return root.activeElement?.textContent")


def hub():
    """Return a layer of which the edges in a table stand from the last one to the first."""
    number = 12_000
    edges = [(i, 0) for i in range(number)]
    return el.EdgeLinear(number, 1, edges, weight=np.arange(1.0, number + 1))


def draw(page, view, start, end):
    """Draw a rectangle from one place in rows and columns to another."""
    (x, y), (right, bottom) = page.place(view, *start), page.place(view, *end)
    drag = page.pointer(x, y).key_down(Keys.SHIFT).click_and_hold()
    drag.move_by_offset(right - x, bottom - y).release().key_up(Keys.SHIFT).perform()


def test_edge_that_is_clicked_is_frozen_while_the_others_train(look):
    layer = named_layer()
    view = el.view(layer)
    page = look(view)
    page.settle()
    page.pointer(*page.place(view, 0.5, 1.5)).click().perform()
    assert selected(page, view, 1) == [1]
    page.wait(
        lambda: page.text(".readout").startswith("edge 1: input 'MYC' (1) -> output 'repair'")
    )
    assert told(page) == "Selected: 1 edge, 0 nodes"
    before = layer.weight.detach().clone()
    el.rules.freeze(layer, view.edge_mask())
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        layer(torch.randn(8, 3)).square().mean().backward()
        optimizer.step()
    assert (layer.weight.detach() != before).tolist() == [True, False, True]


def test_rectangle_selects_the_edges_in_it(look):
    layer = reactome()
    view = el.view(layer)
    page = look(view)
    page.settle()
    meta = view._meta
    corners = [
        (0.31 * meta["rows"], 0.22 * meta["columns"]),
        (0.52 * meta["rows"], 0.4 * meta["columns"]),
    ]
    (x, y), (right, bottom) = (page.place(view, *corner) for corner in corners)
    draw(page, view, *corners)
    page.wait(lambda: "selected." in said(page))
    left, top, width, height = map(float, page.drawn["plot"].split())

    def nodes(start, end, size, origin, length):
        return np.floor((start - origin) / length * size), np.floor((end - origin) / length * size)

    src, dst = layer.edge_index.numpy()
    first, last = nodes(y, bottom, meta["rows"], top, height)
    from_, to = nodes(x, right, meta["columns"], left, width)
    # A pixel is some nodes wide, so that the rectangle may end a pixel earlier or later.
    slack = 1.5 * meta["rows"] / height, 1.5 * meta["columns"] / width
    inner = np.flatnonzero(
        (dst >= first + slack[0]) & (dst <= last - slack[0])
        & (src >= from_ + slack[1]) & (src <= to - slack[1])
    )  # fmt: skip
    outer = np.flatnonzero(
        (dst >= first - slack[0]) & (dst <= last + slack[0])
        & (src >= from_ - slack[1]) & (src <= to + slack[1])
    )  # fmt: skip
    chosen = {*view.selected_edges}
    assert {*inner.tolist()} <= chosen <= {*outer.tolist()} and len(inner) > 100
    # What is chosen is a rectangle of whole rows and columns.
    rows, columns = dst[sorted(chosen)], src[sorted(chosen)]
    inside = (
        (dst >= rows.min()) & (dst <= rows.max()) & (src >= columns.min()) & (src <= columns.max())
    )
    assert chosen == {*np.flatnonzero(inside).tolist()}


def test_what_python_selects_is_shown(look):
    view = el.view(named_layer())
    page = look(view)
    view.selected_edges = [0, 2]
    view.selected_nodes = ["repair"]
    page.wait(lambda: told(page) == "Selected: 2 edges, 1 node")
    page.wait(lambda: page.rows())
    assert page.text(".partners .title") == "repair, target: 2 edges in"
    assert page.rows() == [["MYC", "−1"], ["TP53", "0.5"]]
    assert [box.is_selected() for box in page.all("tbody input")] == [False, True]
    view.selected_edges = [1, 2]  # as many, and others
    page.wait(lambda: [box.is_selected() for box in page.all("tbody input")] == [True, False])
    page.button("Clear", ".chosen").click()
    page.wait(lambda: view.selected_edges == [] and view.selected_nodes == [])


def test_keys_move_a_cursor_and_select(look):
    view = el.view(named_layer())
    page = look(view)
    page.settle()
    page.run("root.querySelector('.matrix canvas').focus()")
    page.press(Keys.ARROW_UP)
    page.press(Keys.ARROW_UP, Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    page.wait(lambda: said(page).strip() == "target repair, source TP53: 1 edge")
    page.press(Keys.ARROW_RIGHT, holding=Keys.CONTROL)
    page.wait(lambda: said(page).strip() == "target repair, source MYC: 1 edge")
    page.press(Keys.ENTER)
    assert selected(page, view, 1) == [1]
    page.press(Keys.ARROW_DOWN, Keys.ARROW_RIGHT, holding=Keys.SHIFT)
    page.press(Keys.ENTER)
    assert selected(page, view, 2) == [1, 2]


def test_rectangle_that_is_begun_before_the_last_answer_stays(look, stage):
    view = el.view(named_layer())
    page = look(view)
    page.settle()
    stage.wire(view).withheld = "edge"
    page.run("root.querySelector('.matrix canvas').focus()")
    page.press(Keys.ARROW_UP)
    page.press(Keys.ARROW_UP, Keys.ENTER)
    assert selected(page, view, 1) == [1]
    page.press(Keys.ARROW_DOWN, Keys.ARROW_RIGHT, holding=Keys.SHIFT)
    stage.wire(view).release()
    page.wait(lambda: said(page).startswith("edge 1:"))
    page.press(Keys.ENTER)
    assert selected(page, view, 2) == [1, 2]


def test_cursor_says_names_that_come_late(look, stage):
    view = el.view(named_layer())
    page = look(view, withheld="names")
    page.settle()
    page.run("root.querySelector('.matrix canvas').focus()")
    page.press(Keys.ARROW_UP)
    page.wait(lambda: said(page) == "target 1, source 1: no edge")
    stage.wire(view).release()
    page.wait(lambda: said(page) == "target growth, source MYC: no edge")


def test_what_is_chosen_next_may_be_added(look):
    view = el.view(named_layer())
    page = look(view)
    page.settle()
    page.find(".check input").click()
    for row, column, number in [(0.5, 0.5, 1), (1.5, 2.5, 2)]:
        page.pointer(*page.place(view, row, column)).click().perform()
        selected(page, view, number)
    assert view.selected_edges == [0, 2]


def test_edge_of_very_many_is_selected_no_longer_and_the_others_stay(look):
    view = el.view(hub())
    page = look(view)
    view.selected_edges = range(12_000)
    view.show(node=("out", 0))
    page.wait(lambda: told(page) == "Selected: 12,000 edges, 0 nodes")
    # Edge 11,999, which is not among the first 10,000 whose numbers the page has.
    page.wait(lambda: page.find("tbody input") and page.find("tbody input").is_selected())
    page.find("tbody input").click()
    assert selected(page, view, 11_999) == list(range(11_999))
    page.wait(lambda: told(page) == "Selected: 11,999 edges, 0 nodes")
    page.wait(lambda: [box.is_selected() for box in page.all("tbody input")[:2]] == [False, True])


def test_all_edges_of_a_large_table_are_selected(look):
    view = el.view(hub())
    page = look(view)
    view.show(node=("out", 0))
    page.wait(lambda: page.rows())
    page.button("Select all").click()
    assert selected(page, view, 12_000) == list(range(12_000))
    page.wait(lambda: said(page) == "12,000 edges selected.")
    page.wait(lambda: page.find("tbody input").is_selected())


def test_edge_that_is_clicked_after_a_rectangle_is_what_stays(look, stage):
    view = el.view(named_layer())
    page = look(view)
    page.settle()
    wire = stage.wire(view)
    wire.withheld = "select"
    draw(page, view, (0.2, 0.2), (0.8, 1.8))
    page.wait(lambda: len(wire.waiting) == 1)
    page.pointer(*page.place(view, 1.5, 2.5)).click().perform()
    page.wait(lambda: told(page) == "Selected: 1 edge, 0 nodes")
    page.wait(lambda: len(wire.waiting) == 2)
    wire.release()
    page.wait(lambda: view.selected_edges == [2])
    page.wait(lambda: said(page).startswith("edge 2"))
    assert told(page) == "Selected: 1 edge, 0 nodes"


def test_number_of_those_selected_is_right_while_python_is_busy(look, stage):
    view = el.view(named_layer())
    page = look(view)
    view.selected_edges = [0, 1, 2]
    view.show(node="repair")
    page.wait(lambda: page.rows())
    wire = stage.wire(view)
    wire.withheld = "select"
    page.find("tbody input").click()
    page.wait(lambda: len(wire.waiting) == 1)
    assert told(page) == "Selected: 2 edges, 0 nodes"
    wire.release()
    assert selected(page, view, 2) == [0, 2]


def test_name_is_taken_of_what_was_typed_last(look):
    view = el.view(named_layer())
    page = look(view)
    page.find(".partners .search input").click()
    page.press("m")
    page.wait(lambda: page.text(".partners [role='option'] .name") == "MYC")
    page.press(Keys.BACKSPACE, "tp", Keys.ENTER)
    page.wait(lambda: view.selected_nodes)
    assert view.selected_nodes == [("in", 0)]


def test_nothing_is_listed_for_a_field_that_was_left(look, stage):
    view = el.view(named_layer())
    page = look(view)
    view.selected_nodes = ["repair"]
    field = page.find(".partners .search input")
    page.wait(lambda: field.get_property("value") == "repair")
    field.click()
    page.press("x", Keys.TAB)
    page.driver.execute_async_script("setTimeout(arguments[0], 500)")
    asked = [data.get("content", {}).get("ask", {}) for data in stage.wire(view).heard]
    assert "search" not in [ask.get("kind") for ask in asked]
    assert page.find(".partners [role='listbox']").get_property("hidden")
    assert field.get_property("value") == "repair"


def test_legend_has_no_numbers_of_other_colours(look, stage):
    view = el.view(named_layer())
    page = look(view)
    page.settle()
    page.wait(lambda: page.text(".compare .legend").startswith("Up to 1 edge"))
    stage.wire(view).withheld = "tile"
    view.show(value="weight")
    page.wait(lambda: page.text(".compare .legend") == "Loading.")
    assert page.text(".compare .marks") == ""
    stage.wire(view).release()
    page.wait(lambda: page.text(".compare .legend") == "Up to 2, on a square-root scale.")


def test_keys_stay_where_they_are_in_the_pages_of_a_table(look):
    view = el.view(hub())
    page = look(view)
    view.show(node=("out", 0))
    page.wait(lambda: page.rows())
    page.run("[...root.querySelectorAll('.pages button')].at(-1).focus()")
    for first in ("51 to 100", "101 to 150"):
        page.press(Keys.ENTER)
        page.wait(lambda first=first: page.text(".pages").startswith(first))
        assert focused(page) == "Next"
    page.run("root.querySelector('.pages button').focus()")
    for first in ("51 to 100", "1 to 50"):
        page.press(Keys.ENTER)
        page.wait(lambda first=first: page.text(".pages").startswith(first))
        assert focused(page) == "Previous"
    page.press(Keys.ENTER)  # which does nothing on the first page
    page.driver.execute_async_script("setTimeout(arguments[0], 200)")
    assert page.text(".pages").startswith("1 to 50")


def test_keys_stay_where_they_are_when_a_table_turns_or_the_selection_is_cleared(look):
    view = el.view(network())
    page = look(view)
    view.selected_nodes = ["hidden"]
    page.wait(lambda: len(page.rows()) == 2)
    for label in ("Edges out", "Edges in"):
        page.run("arguments[0].focus()", page.button(label))
        page.press(Keys.ENTER)
        way = label.split()[1]
        page.wait(lambda way=way: page.text(".partners .title").endswith(way))
        assert focused(page) == label
        assert page.button(label).get_attribute("aria-pressed") == "true"
    page.run("arguments[0].focus()", page.button("Clear", ".chosen"))
    page.press(Keys.ENTER)
    page.wait(lambda: view.selected_nodes == [])
    assert focused(page) == "Clear"
    assert page.button("Clear", ".chosen").get_attribute("aria-disabled") == "true"


def test_table_opens_on_the_edges_that_a_node_has(look):
    number = 2_500  # inputs, of one output
    edges = [(i, number) for i in range(number)]
    view = el.view(el.EdgeNetwork(number + 1, edges, range(number), [number]))
    page = look(view)
    for node, about in [(2_400, "1 edge out"), (number, "2,500 edges in"), (3, "1 edge out")]:
        view.show(node=node)
        page.wait(lambda about=about: page.text(".partners .title").endswith(about))
        assert page.rows()


def test_tap_of_a_finger_selects(look):
    view = el.view(named_layer())
    page = look(view, width=400, height=900)
    page.settle()
    left, top = page.corner()
    x, y = page.place(view, 1.5, 2.5)
    page.touch("touchStart", (left + x, top + y))
    page.touch("touchEnd")
    assert selected(page, view, 1) == [2]


def test_two_fingers_zoom(look):
    view = el.view(reactome())
    page = look(view, width=400, height=900)
    page.settle()
    left, top = page.corner()
    x, y, width, height = map(float, page.drawn["plot"].split())
    x, y = left + x + width / 2, top + y + height / 2
    page.touch("touchStart", (x - 20, y))
    page.touch("touchStart", (x - 20, y), (x + 20, y))
    for apart in range(20, 81, 10):
        page.touch("touchMove", (x - apart, y), (x + apart, y))
    page.touch("touchEnd")
    page.wait(lambda: view._view.get("window"))
    top, left, bottom, right = view._view["window"]
    assert (bottom - top) / view._meta["rows"] == pytest.approx(0.25, rel=0.15)
    assert (right - left) / view._meta["columns"] == pytest.approx(0.25, rel=0.15)


def test_wheel_zooms_about_the_pointer_and_the_page_stays(look):
    view = el.view(reactome())
    page = look(view, height=600)
    page.settle()
    left, top = page.corner()
    scrolled = page.driver.execute_script("return scrollY")
    x, y = page.place(view, 600, 3000)
    page.wheel(left + x, top + y, -200)
    page.wait(lambda: view._view.get("window"))
    start, _, end, _ = view._view["window"]
    assert end - start < 0.8 * view._meta["rows"]
    assert np.abs(np.subtract(page.place(view, 600, 3000), (x, y))).max() <= 2
    assert page.driver.execute_script("return scrollY") == scrolled


def test_wheel_scrolls_the_page_where_all_is_seen(look):
    view = el.view(reactome())
    page = look(view, height=600)
    page.settle()
    left, top = page.corner()
    scrolled = page.driver.execute_script("return scrollY")
    page.wheel(left + 200, top + 200, 150)
    page.wait(lambda: page.driver.execute_script("return scrollY") > scrolled)


def test_partners_are_those_of_numpy(look):
    layer = reactome()
    view = el.view(layer)
    page = look(view)
    page.choose("Find a node", "R-HSA-1257604")
    page.wait(lambda: page.rows())
    target = layer.out_names.index("R-HSA-1257604")
    src, dst = layer.edge_index.numpy()
    edges = np.flatnonzero(dst == target)
    weight = layer.weight.detach().double().numpy()
    order = edges[np.argsort(-np.abs(weight[edges]), kind="stable")]
    page.wait(lambda: f"{len(edges)} edges in" in page.text(".partners .title"))
    assert [row[0] for row in page.rows()] == [layer.in_names[src[e]] for e in order[:50]]
    assert float(page.rows()[0][1].replace("−", "-")) == pytest.approx(weight[order[0]], rel=5e-3)
    assert view.selected_nodes == [("out", target)]
    page.button("Next").click()
    page.wait(lambda: page.rows()[0][0] == layer.in_names[src[order[50]]])
    heads = page.all("thead button")
    heads[0].click()
    names = sorted(layer.in_names[src[e]] for e in edges)
    page.wait(lambda: page.rows()[0][0] == names[0])
    assert page.find("th[aria-sort]").get_attribute("aria-sort") == "ascending"
    page.button("Select all").click()
    assert selected(page, view, len(edges)) == edges.tolist()


def test_table_is_downloaded(look, tmp_path):
    layer = named_layer()
    view = el.view(layer)
    page = look(view)
    page.command("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    page.choose("Find a node", "repair")
    page.wait(lambda: page.rows())
    page.button("CSV").click()
    page.wait(lambda: [*tmp_path.glob("*.csv")])
    (path,) = tmp_path.glob("*.csv")
    assert path.name == "repair-in.csv"
    lines = path.read_text().splitlines()
    assert lines == ["edge,node,name,weight", "1,1,MYC,-1.0", "0,0,TP53,0.5"]


def test_paths_are_listed_drawn_and_selected(look):
    view = el.view(network())
    page = look(view)
    page.choose("From", "in a")
    page.choose("To", "out")
    page.wait(lambda: page.all(".path"))
    # Products of |weight|: 4 * 0.25 by the skip, 1 * 0.5 * 0.25 through both.
    ways = page.run(
        "return [...root.querySelectorAll('.path')].map((path) => "
        "[[...path.querySelectorAll('.name')].map((n) => n.textContent), "
        "path.querySelector('.worth').textContent])"
    )
    assert ways == [
        [["in a", "also", "out"], "−1"],
        [["in a", "hidden", "also", "out"], "−0.125"],
    ]
    page.all(".path")[0].click()
    assert selected(page, view, 2) == [3, 4]
    page.wait(lambda: view.selected_nodes == [0, 3, 4])
    assert "4 nodes in 4 columns, 4 edges" in page.find(".drawing").get_attribute("aria-label")
    page.choose("Through (may be left out)", "hidden")
    page.wait(lambda: len(page.all(".path")) == 1)


@pytest.mark.parametrize(
    ("pressed", "said"),
    [("node 4", "Selected: 0 edges, 1 node"), ("edge 3", "Selected: 1 edge, 0 nodes")],
)
def test_nodes_and_edges_of_the_drawing_can_be_pressed(look, pressed, said):
    view = el.view(network())
    page = look(view)
    view.show(path=("in a", "out"))
    page.wait(lambda: page.all(".drawing canvas"))
    drawing = page.find(".drawing")
    page.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", drawing)
    # Where cytoscape draws it, as the drawing's element knows.
    one = f"root.querySelector('.drawing')._cyreg.cy.$id('{pressed}')"
    what = "renderedPosition" if pressed.startswith("node") else "renderedMidpoint"
    x, y = page.run(f"const {{ x, y }} = {one}.{what}(); return [x, y]")
    x, y = x - drawing.size["width"] / 2, y - drawing.size["height"] / 2
    actions = ActionChains(page.driver, duration=0)
    actions.move_to_element_with_offset(drawing, round(x), round(y)).click().perform()
    page.wait(lambda: told(page) == said)
    page.wait(lambda: view.selected_nodes == [4] or view.selected_edges == [3])


def test_paths_begin_at_the_node_that_is_looked_at(look):
    view = el.view(pathways())
    page = look(view)
    page.choose("Find a node", "R-HSA-109581")
    page.wait(lambda: page.rows())
    page.button("Paths from here").click()
    field = page.all(".form input")[0]
    page.wait(lambda: field.get_property("value") == "R-HSA-109581")


def test_view_goes_where_python_sends_it(look):
    view = el.view(named_layer())
    page = look(view)
    view.show(value="weight", order="degree", node="AKT1", theme="dark")
    page.wait(lambda: page.run("return root.querySelector('.view').dataset.theme") == "dark")
    page.wait(lambda: page.rows() == [["growth", "2"]])
    chosen = page.run("return [...root.querySelectorAll('.compare select')].map((s) => s.value)")
    assert chosen == ["weight", "degree"]


def test_differences_are_shown_beside_both(look):
    layer, other = named_layer(), named_layer(weight=[0.5, 1.0, 2.5])
    view = el.view(layer, other=other)
    page = look(view)
    view.show(value="difference", node="repair")
    page.wait(lambda: len(page.rows()) == 2)
    assert page.rows() == [["MYC", "−1", "1", "−2", "both"], ["TP53", "0.5", "0.5", "0", "both"]]
    page.wait(lambda: page.text(".compare .legend").startswith("From −2, lower here"))


def test_page_says_when_python_is_gone_and_goes_on_when_it_is_back(look, stage):
    view = el.view(named_layer())
    page = look(view)
    page.settle()
    wire = stage.wire(view)
    wire.is_cut = True
    page.find(".partners .search input").click()
    page.press("repair")
    page.wait(lambda: "Python no longer answers" in page.text(".banner"))
    wire.is_cut = False
    page.wait(lambda: page.text(".banner") == "")
    page.wait(lambda: page.all('.partners [role="option"]'))


def test_view_that_is_taken_away_leaves_nothing_behind(look, stage):
    view = el.view(named_layer())
    page = look(view)
    page.settle()
    page.driver.execute_script("takeAway(); document.getElementById('cell').replaceChildren()")
    wire = stage.wire(view)
    view.selected_edges = [1]
    view.show(value="weight", node="repair")
    page.wait(wire.news.empty)
    page.driver.execute_async_script("setTimeout(arguments[0], 500)")
    asked = [data.get("content", {}).get("ask", {}) for data in wire.heard]
    assert not {"places", "partners"} & {ask.get("kind") for ask in asked}
    assert "weight" not in [ask.get("value") for ask in asked]  # nothing is asked for any more
