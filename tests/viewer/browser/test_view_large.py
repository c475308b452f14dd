"""The fly's eye: one and a half million edges, of which each frame draws a few tiles."""

import re

import numpy as np
import pytest
from subjects import eye
from tour import tour

import edgelinear as el

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def view():
    return el.view(eye())


def test_every_frame_is_drawn_of_a_few_tiles(look, view):
    page = look(view)
    page.settle()
    frames, _ = tour(page)
    tiles = [int(frame["tiles"]) for frame in frames]
    assert min(tiles) >= 1 and max(tiles) <= 36
    levels = [int(frame["level"]) for frame in frames]
    assert levels[0] < max(levels) == levels[150]
    assert max(int(frame["awaited"]) for frame in frames) <= 40


def test_cells_have_the_numbers_of_numpy(look, view):
    page = look(view)
    page.settle()
    layer = eye()
    src, dst = layer.edge_index.numpy()
    meta = view._meta
    for row, column in [(0.21, 0.2), (0.5, 0.52), (0.73, 0.7)]:
        page.pointer(*page.place(view, row * meta["rows"], column * meta["columns"])).perform()
        pattern = r"targets ([\d,]+) to ([\d,]+), sources ([\d,]+) to ([\d,]+): (no|[\d,]+) edge"
        found = page.wait(lambda p=pattern: re.match(p, page.text(".readout")))
        top, bottom, left, right = (int(text.replace(",", "")) for text in found.groups()[:4])
        number = int(found[5].replace(",", "").replace("no", "0"))
        inside = (dst >= top) & (dst <= bottom) & (src >= left) & (src <= right)
        assert number == np.count_nonzero(inside)


def test_single_edges_are_reached_and_have_their_weights(look, view):
    layer = eye()
    page = look(view)
    edge = 1_000_000
    source, target = layer.edge_index[:, edge].tolist()
    view.show(value="weight", window=(target - 4, source - 4, target + 4, source + 4))
    page.wait(lambda: page.drawn.get("level") == str(view._meta["depth"] - 1))
    page.settle()
    page.pointer(*page.place(view, target + 0.5, source + 0.5)).perform()
    start = f"target {target}, source {source}: 1 edge, |weight| "
    said = page.wait(lambda: start in page.text(".readout") and page.text(".readout"))
    weight = float(layer.weight[edge].detach())
    assert float(said.rpartition(" ")[2]) == pytest.approx(abs(weight), rel=5e-3)
    page.pointer(*page.place(view, target + 0.5, source + 0.5)).click().perform()
    page.wait(lambda: view.selected_edges == [edge])
    page.wait(lambda: page.text(".readout") == el.convert.explain(layer, edge))
