"""A view in JupyterLab: a cell shows it, a click selects in it, and the next cell has what was."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from importlib.util import find_spec
from types import SimpleNamespace

import pytest
from page import Page
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(find_spec("jupyterlab") is None, reason="needs jupyterlab"),
]

CELLS = [
    "import torch, edgelinear as el\n"
    "torch.manual_seed(0)\n"
    "layer = el.EdgeLinear(3, 2, [(0, 0), (1, 0), (2, 1)], in_names=['TP53', 'MYC', 'AKT1'],\n"
    "                      out_names=['repair', 'growth'])\n"
    "view = el.view(layer)\n"
    "view",
    "print('selected', view.selected_edges, view.selected_nodes)",
    "before = layer.weight.detach().clone()\n"
    "el.rules.freeze(layer, view.edge_mask())\n"
    "optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)\n"
    "for _ in range(3):\n"
    "    optimizer.zero_grad()\n"
    "    layer(torch.randn(8, 3)).square().mean().backward()\n"
    "    optimizer.step()\n"
    "print('moved', (layer.weight.detach() != before).tolist())",
]
VIEW = SimpleNamespace(_meta={"rows": 2, "columns": 3}, _view={})


def notebook():
    blank = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    cells = [{**blank, "id": f"cell{number}", "source": text} for number, text in enumerate(CELLS)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


@pytest.fixture
def lab(tmp_path):
    """Return the address of a server of JupyterLab with the notebook above."""
    (tmp_path / "view.ipynb").write_text(json.dumps(notebook()))
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    options = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": port,
        "ServerApp.root_dir": tmp_path,
        "IdentityProvider.token": "",
        "LabApp.news_url": None,
    }
    flags = [f"--{name}={value}" for name, value in options.items()]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", *flags]
    settings = {
        name: str(tmp_path / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTERLAB_SETTINGS_DIR")
    }
    with open(tmp_path / "log", "w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **settings})
    address = f"http://127.0.0.1:{port}"
    for _ in range(120):
        try:
            urllib.request.urlopen(f"{address}/api")
            break
        except OSError:
            assert server.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.5)
    yield f"{address}/lab/tree/view.ipynb"
    server.terminate()
    server.wait(30)


def run_cell(page, number):
    cells = page.driver.find_elements(By.CSS_SELECTOR, ".jp-Notebook .jp-CodeCell")
    editor = cells[number].find_element(By.CSS_SELECTOR, ".cm-content")
    page.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", editor)
    editor.click()
    ActionChains(page.driver).key_down(Keys.SHIFT).send_keys(Keys.ENTER).key_up(
        Keys.SHIFT
    ).perform()


def printed(page, number):
    cells = page.driver.find_elements(By.CSS_SELECTOR, ".jp-Notebook .jp-CodeCell")
    texts = cells[number].find_elements(By.CSS_SELECTOR, ".jp-OutputArea-output pre")
    return "".join(text.text for text in texts).strip()


def test_what_is_clicked_in_one_cell_is_frozen_in_the_next(lab, browser):
    page = Page(browser)
    size = {"width": 1400, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    page.command("Emulation.setDeviceMetricsOverride", **size)
    browser.get(lab)
    page.wait(lambda: len(browser.find_elements(By.CSS_SELECTOR, ".jp-Notebook .jp-CodeCell")) == 3)
    page.wait(
        lambda: (
            "Idle"
            in browser.find_element(By.CSS_SELECTOR, ".jp-Notebook-ExecutionIndicator")
            .get_attribute("data-status")
            .title()
        )
    )
    run_cell(page, 0)
    page.wait(lambda: page.find("canvas"))
    page.settle()
    page.corner()
    page.pointer(*page.place(VIEW, 0.5, 1.5)).click().perform()
    page.wait(lambda: page.text(".chosen span") == "Selected: 1 edge, 0 nodes")
    # Keys that would cut cells of the notebook do not leave the view.
    page.press("d", "d", "x")
    page.choose("Find a node", "AKT1")
    page.wait(lambda: page.rows())
    page.picture("jupyterlab")
    assert len(browser.find_elements(By.CSS_SELECTOR, ".jp-Notebook .jp-CodeCell")) == 3
    run_cell(page, 1)
    page.wait(lambda: printed(page, 1) == "selected [1] [('in', 2)]")
    run_cell(page, 2)
    page.wait(lambda: printed(page, 2) == "moved [True, False, True]")
    browser.get("about:blank")
