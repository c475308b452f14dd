"""Names of every kind are shown as they are, and nothing in them is executed."""

import pytest
from subjects import ODD_NAMES, odd_names

import edgelinear as el

pytestmark = pytest.mark.browser

EVIL = """
return [window.hacked ?? null, ...root.querySelectorAll('script, img, svg, b, iframe')].length
"""


@pytest.fixture
def page(look):
    view = el.view(odd_names())
    found = look(view)
    found.view = view
    found.settle()
    return found


@pytest.mark.parametrize("name", ODD_NAMES, ids=range(len(ODD_NAMES)))
def test_name_is_shown_as_it_is_and_not_executed(page, name):
    page.view.show(node=name, path=(name, f"{name} out"))
    page.wait(lambda: page.text(".partners .title").startswith(name))
    page.wait(lambda: page.all(".path .name"))
    shown = page.run("return [...root.querySelectorAll('.path .name')].map((n) => n.textContent)")
    assert shown == [name, f"{name} out"]
    listed = [row[0] for row in page.rows()]
    assert {*listed} == {f"{name} out" for name in ODD_NAMES}
    assert page.run(EVIL) == 1 and page.driver.execute_script("return window.hacked") is None


def test_name_is_found_and_said_as_it_is(page):
    page.find(".partners .search input").click()
    page.press("<script>")
    page.wait(lambda: len(page.all('.partners [role="option"]')) == 2)
    found = page.run(
        "return [...root.querySelectorAll('.partners .search li .name')].map((n) => n.textContent)"
    )
    assert found == [ODD_NAMES[0], f"{ODD_NAMES[0]} out"]
    page.pointer(*page.place(page.view, 0.5, 1.5)).perform()
    page.wait(
        lambda: page.text(".readout").startswith(
            f"target {ODD_NAMES[0]} out, source {ODD_NAMES[1]}"
        )
    )
    assert page.driver.execute_script("return window.hacked") is None


def test_saved_page_shows_them_too(page, tmp_path):
    page.view.selected_nodes = [("in", 0)]
    path = page.view.save(tmp_path / "names.html")
    page.open(path.as_uri())
    page.wait(lambda: page.text(".partners .title").startswith(ODD_NAMES[0]))
    assert page.run(EVIL) == 1 and page.driver.execute_script("return window.hacked") is None
