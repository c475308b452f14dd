"""How views look: all of them has room, and a name. Pictures of them are in build/view."""

import pytest
from subjects import ALL, named_layer, network, reactome

import edgelinear as el

pytestmark = pytest.mark.browser

# The elements of a page that are wider than what they stand in, if that does not scroll.
TOO_WIDE = """
return [...root.querySelectorAll('*')].filter((one) => {
  const box = one.getBoundingClientRect();
  if (box.width === 0 || one.closest('.rows, .search ul, .drawing, .unseen')) return false;
  return box.right > innerWidth + 1 || box.left < -1;
}).map((one) => one.outerHTML.slice(0, 80))
"""
OVERLAPPING = """
const boxes = [...root.querySelectorAll('.pane')].map((one) => one.getBoundingClientRect());
return boxes.flatMap((a, i) => boxes.slice(i + 1).filter((b) =>
  a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1));
"""


def begun(page, name):
    """Have something in every pane."""
    texts = {"reactome": "R-HSA-1257604", "compared": "R-HSA-1257604", "pathways": "R-HSA-109581"}
    texts |= {"network": "also", "eye": "4242", "one": "0", "names": "emoji", "small": "repair"}
    if name in texts:
        page.choose("Find a node", texts[name])
        page.wait(lambda: page.rows())
    ends = {"network": ("in a", "out"), "pathways": ("R-HSA-5357769", "R-HSA-5357801")}
    for label, text in zip(("From", "To"), ends.get(name, ()), strict=False):
        page.choose(label, text)
    if name in ends:
        page.wait(lambda: page.all(".path"))
        page.all(".path")[0].click()
        page.wait(lambda: page.find('.path[aria-pressed="true"]'))


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 900, 1600])
@pytest.mark.parametrize("name", ALL)
def test_all_has_room(look, name, width, theme):
    page = look(ALL[name](), width=width, prefers_color_scheme=theme)
    if name != "empty":
        page.settle()
    begun(page, name)
    page.picture(f"{name}-{width}-{theme}")
    assert page.run(TOO_WIDE) == []
    assert page.run(OVERLAPPING) == []
    assert page.run("return root.querySelector('.view').dataset.theme") == theme


def test_nothing_moves_by_itself(look):
    page = look(el.view(network()), prefers_reduced_motion="reduce")
    begun(page, "network")
    assert page.run("return root.getAnimations().length") == 0
    rules = "[...root.adoptedStyleSheets[0].cssRules].map((rule) => rule.cssText).join()"
    assert "transition" not in page.run(f"return {rules}")
    frames = page.settle()["frames"]
    page.driver.execute_async_script("setTimeout(arguments[0], 500)")
    assert page.drawn["frames"] == frames


def test_notebook_that_turns_dark_turns_the_view(look):
    page = look(el.view(named_layer()), prefers_color_scheme="light")
    page.driver.execute_script("document.body.dataset.jpThemeLight = 'false'")
    page.wait(lambda: page.run("return root.querySelector('.view').dataset.theme") == "dark")


def test_what_a_screen_reader_is_told(look):
    view = el.view(network())
    page = look(view)
    begun(page, "network")
    told = page.tree()
    for role, name in [
        ("group", f"View of {view._meta['title']}"),
        ("heading", "Matrix"),
        ("application", "Matrix of connections, targets down and sources across"),
        ("button", "Zoom in"),
        ("combobox", "Find a node"),
        ("combobox", "Colour shows"),
        ("table", "Edges in of also"),
        ("columnheader", "weight"),
        ("checkbox", "Select edge 3, in a"),
        ("combobox", "Through (may be left out)"),
        ("spinbutton", "How many"),
        ("checkbox", "Add to what is selected"),
    ]:
        assert (role, name) in told, (role, name, told)
    drawing = [name for role, name in told if role in ("img", "image")]
    assert drawing == [
        "Drawing of the paths: 4 nodes in 4 columns, 4 edges. The list beside it says the same."
    ]
    nameless = [
        (role, name)
        for role, name in told
        if role
        in ("button", "combobox", "checkbox", "textbox", "searchbox", "spinbutton", "listbox")
        and not name
    ]
    assert nameless == []


def test_every_control_is_reached_by_the_keyboard(look):
    page = look(el.view(network()))
    begun(page, "network")
    controls = page.run(
        "return [...root.querySelectorAll('button, input, select, canvas[tabindex]')]"
        ".filter((one) => !one.disabled && one.tabIndex < 0).map((one) => one.outerHTML)"
    )
    assert controls == []


def test_focus_can_be_seen(look):
    page = look(el.view(reactome()))
    page.press("\ue004")  # Tab
    outline = page.run("return getComputedStyle(root.activeElement).outlineStyle")
    assert outline == "solid"
