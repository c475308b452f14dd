"""A view as one page of HTML, which needs neither network nor Python."""

import base64
import hashlib
import html
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edgelinear.viewer.answers import NAMES, ROWS, answer
from edgelinear.viewer.partners import shown
from edgelinear.viewer.pyramid import TILE, Grid
from edgelinear.viewer.scene import Scene

BUDGET = 20_000_000  # characters of tiles
EDGES, NODES = 20_000, 50_000  # of wirings that a page holds whole
_EXPLAINED = 100  # selected edges
_TILES = 1024  # of a level: making them takes about a second
_CELL = 27  # characters that a cell of a deep level takes

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title>
</head>
<body>
<div id="edgelinear-view"></div>
<footer id="edgelinear-footer">{footer}</footer>
<script type="application/json" id="edgelinear-saved">{data}</script>
<script type="module">{script}</script>
</body>
</html>
"""


def script() -> str:
    """Return the program of the page, as `web/` makes it."""
    path = Path(__file__).parent / "static" / "view.js"
    return path.read_text(encoding="utf-8")


def page(scene: Scene, traits: dict[str, Any], include: list[tuple[str, int]]) -> str:
    """Return the page of a view: what it shows, and the tables of some nodes more."""
    answers, contents = _recorded(scene, traits, include)
    edges = _whole(scene)
    if edges is not None:
        contents = ["all edges", *contents[1:]]
    program = script().replace("\r\n", "\n").replace("</script", "<\\/script")
    meta, said = traits["_meta"], ", ".join(contents)
    if edges is None:
        said += "; what else it has needs Python"
    saved = {"traits": traits, "answers": answers, "edges": edges, "contents": said}
    data = json.dumps(saved, allow_nan=False, separators=(",", ":"))
    for sign in "<>&":
        data = data.replace(sign, f"\\u{ord(sign):04x}")
    digest = base64.b64encode(hashlib.sha256(program.encode()).digest()).decode()
    return _PAGE.format(
        policy="; ".join([
            "default-src 'none'", f"script-src 'sha256-{digest}'", "style-src 'unsafe-inline'",
            "img-src data: blob:", "base-uri 'none'", "form-action 'none'",
        ]),
        title=html.escape(meta.get("caption") or f"{meta['kind']}: {meta['title']}"),
        footer=html.escape(
            f"{meta['kind']}: {meta['title']}. Wiring {meta['digest']}, by edgelinear "
            f"{meta['version']}. In this page: {said}."
        ),
        data=data,
        script=program,
    )  # fmt: skip


def _recorded(
    scene: Scene, traits: dict[str, Any], include: list[tuple[str, int]]
) -> tuple[list[dict], list[str]]:
    """Return the answers to all that the page shows, and what these are in words."""
    place, nodes = traits["_view"], [tuple(node) for node in traits["_nodes"]]
    order = place.get("order") or "given"
    found, depth = _tiles(scene, order, place.get("value") or "count")
    whole = depth == traits["_meta"]["depth"]
    contents = ["the whole matrix" if whole else "an overview of the matrix"]
    found += [_record(scene, ask) for ask in _names_asked(scene, traits, order)]
    here = [] if place.get("node") is None else [tuple(place["node"])]
    tables = list(dict.fromkeys([*here, *nodes, *include]))
    found += [_record(scene, ask) for node in tables for ask in _tables_asked(scene, node)]
    if tables:
        contents.append("1 partner table" if len(tables) == 1 else f"{len(tables)} partner tables")
    path = place.get("path")
    if path is not None and path["source"] is not None and path["target"] is not None:
        found.append(_record(scene, {"kind": "paths", **path}))
        contents.append("1 set of paths")
    edges = traits["_edges"]
    asks = [{"kind": "edge", "edge": edge} for edge in edges[:_EXPLAINED]]
    if nodes or edges:
        asks.append({"kind": "places", "order": order, "nodes": traits["_nodes"], "edges": edges})
        contents.append("what is selected")
    return found + [_record(scene, ask) for ask in asks], contents


def _record(scene: Scene, ask: dict) -> dict:
    found, buffers = answer(scene, ask)
    texts = [base64.b64encode(buffer).decode() for buffer in buffers]
    return {"ask": ask, "answer": found, "buffers": texts}


def _tiles(scene: Scene, order: str, value: str) -> tuple[list[dict], int]:
    """Return the tiles that fit into a page, from the first level on, and of how many levels.

    Down to the base grid of every value, and further down of the one that is shown.
    """
    pyramid, left = scene.pyramid(order), BUDGET
    others = [key for key in scene.shades if key != value]
    found: list[dict] = []
    for level, grid in enumerate(pyramid.grids):
        is_deep = level > pyramid.base
        number = len(range(0, grid.rows, TILE)) * len(range(0, grid.columns, TILE))
        if is_deep and (number > _TILES or _CELL * scene.columns.topology.num_edges > left):
            return found, level
        for key in [value] if is_deep else [value, *others]:
            asks = _tiles_asked(grid, {"order": order, "value": key, "level": level})
            made = [_record(scene, ask) for ask in asks]
            left -= sum(len(text) for one in made for text in one["buffers"])
            if left < 0:
                return found, level
            found += made
    return found, len(pyramid.grids)


def _tiles_asked(grid: Grid, ask: dict) -> Iterator[dict]:
    for row in range(max(1, -(-grid.rows // TILE))):
        for column in range(max(1, -(-grid.columns // TILE))):
            yield {"kind": "tile", **ask, "row": row, "column": column}


def _names_asked(scene: Scene, traits: dict[str, Any], order: str) -> Iterator[dict]:
    """Yield the names of the rows and columns that are seen, where they are few enough for it.

    Where nodes have numbers alone, of an order in which these are not those of rows and columns.
    """
    subject, meta = scene.subject, traits["_meta"]
    if not meta["named"] and order == "given":
        return
    top, left, bottom, right = traits["_view"].get("window") or (
        0,
        0,
        meta["rows"],
        meta["columns"],
    )
    sides = {"rows": (subject.rows, top, bottom), "columns": (subject.columns, left, right)}
    for axis, (side, first, last) in sides.items():
        start, stop = max(0, math.floor(first)), math.ceil(last)
        if 0 < stop - start <= NAMES:
            seen = {"axis": axis, "order": order, "start": start, "stop": stop}
            yield {"kind": "names", "side": side, **seen}


def _tables_asked(scene: Scene, node: tuple[str, int]) -> Iterator[dict]:
    side, number = node
    yield {"kind": "names", "side": side, "nodes": [number]}
    for direction, own in (("in", scene.subject.rows), ("out", scene.subject.columns)):
        if side == own:
            yield {
                "kind": "partners", "side": side, "node": number, "direction": direction,
                "sort": "weight", "descending": True, "start": 0, "stop": ROWS, "filter": "",
            }  # fmt: skip


def _whole(scene: Scene) -> dict[str, Any] | None:
    """Return all edges of a small wiring, with which a page answers by itself."""
    subject, columns = scene.subject, scene.columns
    topology = columns.topology
    nodes = sum(names.size for names in subject.names.values())
    if topology.num_edges > EDGES or nodes > NODES:
        return None
    edges = range(topology.num_edges)
    fields = shown(columns)
    asks = ({"kind": "edge", "edge": edge} for edge in range(columns.number))
    orders = {order: scene.pyramid(order) for order in scene.orders}
    return {
        "src": topology.src.tolist(),
        "dst": topology.dst.tolist(),
        "fields": {name: [scene.number(name, edge) for edge in edges] for name in fields},
        "single": [name for name in fields if columns.digits.get(name) is np.float32],
        "texts": [answer(scene, ask)[0]["text"] for ask in asks],
        "state": None if columns.there is None else [columns.state(edge) for edge in edges],
        "names": {
            side: None if names.names is None else [names[node] for node in range(names.size)]
            for side, names in subject.names.items()
        },
        "orders": {
            order: {"rows": made.rows.tolist(), "columns": made.columns.tolist()}
            for order, made in orders.items()
            if order != "given"
        },
    }
