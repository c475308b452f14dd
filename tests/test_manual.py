"""The manual: every public name has its place, every page is listed, every link leads somewhere."""

import re
from collections import Counter
from pathlib import Path
from pkgutil import resolve_name
from types import ModuleType

import pytest
from markdown_pages import links

import edgelinear as el

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(p for p in DOCS.rglob("*.md") if "_build" not in p.parts)
NAMES = [str(page.relative_to(DOCS)) for page in PAGES]
DOCUMENTED = [
    name
    for page in (DOCS / "api").glob("*.md")
    for name in re.findall(r"^\.\. auto\w+:: edgelinear\.(\S+)$", page.read_text(), re.MULTILINE)
]


def public(module):
    """Return the names of a module that users may take, with those of its modules."""
    own = (
        name
        for name, value in vars(module).items()
        if name[0] != "_" and getattr(value, "__module__", "") == module.__name__
    )
    for name in getattr(module, "__all__", own):
        value = getattr(module, name)
        inner = public(value) if isinstance(value, ModuleType) else [None]
        yield from (name if one is None else f"{name}.{one}" for one in inner)


def test_every_public_name_has_one_place_in_the_api():
    counts = Counter(DOCUMENTED)
    names = {*public(el)}
    assert {"EdgeLinear", "convert.from_table", "baselines.MaskedLinear"} <= names
    assert {name: counts[name] for name in names if counts[name] != 1} == {}
    assert max(counts.values()) == 1


@pytest.mark.parametrize("name", sorted(DOCUMENTED))
def test_what_the_api_names_is_there_and_documented(name):
    assert resolve_name(f"edgelinear.{name}").__doc__


def test_every_page_is_in_a_toctree():
    listed = {"index.md"}
    for page in PAGES:
        for block in re.findall(r"```\{toctree\}\n(.*?)```", page.read_text(), re.DOTALL):
            entries = (line for line in block.split("\n") if line and line[0] != ":")
            listed |= {str((page.parent / entry).relative_to(DOCS)) + ".md" for entry in entries}
    assert listed == {*NAMES}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_of_the_manual_lead_to_what_is_there(page):
    for target in links(page.read_text()):
        assert (page.parent / target).exists(), target
