import shutil
from importlib.util import find_spec

import pytest

NEEDED = ("anywidget", "selenium")  # by `make test-view`
collect_ignore_glob = [] if all(map(find_spec, NEEDED)) else ["*.py"]


@pytest.fixture(scope="session")
def browser():
    from page import start_browser

    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.fail("these tests need chromium and chromedriver: apt-get install chromium-driver")
    driver = start_browser()
    yield driver
    driver.quit()


@pytest.fixture(scope="session")
def stage():
    from stage import Stage

    made = Stage()
    yield made
    made.close()


@pytest.fixture
def look(browser, stage):
    """Return a function that opens a view in the browser; nothing may go wrong there."""
    from page import Page

    pages = []

    def opened(view, withheld="", **how):
        page = Page(browser)
        pages.append(page)
        address = stage.show(view)
        stage.wire(view).withheld = withheld
        return page.open(address, **how)

    yield opened
    for page in pages:
        assert page.errors() == []
    browser.get("about:blank")  # or it would wait for news of the next test
