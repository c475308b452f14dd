"""What a page asks, and what it is answered: a function for each kind of question.

None changes anything: selecting, which does, is in `widget.py`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from edgelinear.convert import explain
from edgelinear.viewer import cells, drawn
from edgelinear.viewer.chosen import as_edges
from edgelinear.viewer.partners import (
    Partners,
    csv_of,
    file_name,
    partners_of,
    rows_of,
    shown,
)
from edgelinear.viewer.pyramid import NO_EDGE
from edgelinear.viewer.scene import Scene

NAMES = 2000  # sent at once
ROWS = 1000  # of a table, likewise

Answer = tuple[dict[str, Any], list[bytes]]


def answer(scene: Scene, ask: dict[str, Any]) -> Answer:
    """Return what a page asks for, and arrays as bytes.

    Raises:
        ValueError: if it asks for what there is not.
    """
    kind = ask.get("kind")
    if kind not in _KINDS:
        raise ValueError(f"a view answers {', '.join(_KINDS)}, got {kind!r}.")
    found = _KINDS[kind](scene, ask)
    return found if isinstance(found, tuple) else (found, [])


def edges_of(scene: Scene, ask: dict[str, Any]) -> np.ndarray:
    """Return the edges that a page chooses, ascending: a window, a node's table, or by number.

    Raises:
        ValueError: if there are no such edges, or more in a window than can be selected.
    """
    if "window" in ask:
        return cells.edges_in_window(scene, ask["window"])
    if "table" in ask:
        found = _table(scene, ask["table"]).edges
        return np.sort(found[found < scene.columns.number])
    return as_edges(ask["edges"], scene.subject.num_edges)


def _tile(scene: Scene, ask: dict) -> Answer:
    key, level = ask["value"], int(ask["level"])
    if key not in scene.shades:
        raise ValueError(f"`value` must be one of {', '.join(scene.shades)}, got {key!r}.")
    pyramid = scene.pyramid(ask["order"])
    tile = pyramid.tile(key, level, int(ask["row"]), int(ask["column"]))
    buffers = [tile.cell.tobytes(), tile.value.tobytes(), tile.number.tobytes()]
    if tile.edge is not None:
        is_here = tile.edge < scene.columns.number
        buffers.append(np.where(is_here, tile.edge, NO_EDGE).astype(np.uint32).tobytes())
    return {
        "rows": tile.rows,
        "columns": tile.columns,
        "most": pyramid.most(key, level),
        "cells": tile.cell.size,
    }, buffers


def _names(scene: Scene, ask: dict) -> dict:
    side = scene.side(ask["side"])
    if "nodes" in ask:
        nodes = [scene.node((side, node))[1] for node in ask["nodes"][:NAMES]]
    else:
        pyramid = scene.pyramid(ask["order"])
        axis = ask.get("axis") or ("rows" if side == scene.subject.rows else "columns")
        order = pyramid.rows if axis == "rows" else pyramid.columns
        start = max(0, int(ask["start"]))
        nodes = order[start : min(int(ask["stop"]), start + NAMES)].tolist()
    return {"names": [scene.subject.names[side][node] for node in nodes], "nodes": nodes}


def _search(scene: Scene, ask: dict) -> dict:
    topology = scene.subject.topology
    sides = scene.subject.sides if ask.get("side") is None else [scene.side(ask["side"])]
    limit = min(int(ask.get("limit", 20)), ROWS)
    found, total = [], 0
    for place, side in enumerate(sides):
        some, number = scene.subject.names[side].find(str(ask["text"]), limit)
        found += [(badness, name, place, node) for badness, name, node in some]
        total += number
    into, out = topology.by_dst.indptr, topology.by_src.indptr

    def degree(side: str, node: int, of: str, indptr: Any) -> int:
        return int(indptr[node + 1] - indptr[node]) if side == of else 0

    return {
        "found": [
            {
                "side": sides[place],
                "node": node,
                "name": scene.subject.names[sides[place]][node],
                "in": degree(sides[place], node, scene.subject.rows, into),
                "out": degree(sides[place], node, scene.subject.columns, out),
            }
            for _, _, place, node in sorted(found)[:limit]
        ],
        "total": total,
    }


def _table(scene: Scene, ask: dict) -> Partners:
    return partners_of(
        scene.subject,
        scene.columns,
        scene.node((ask["side"], ask["node"])),
        ask["direction"],
        sort=ask.get("sort", "weight"),
        descending=bool(ask.get("descending", True)),
        text=str(ask.get("filter") or ""),
    )


def _partners(scene: Scene, ask: dict) -> dict:
    found = _table(scene, ask)
    start = max(0, int(ask.get("start", 0)))
    part = slice(start, min(int(ask.get("stop", start + ROWS)), start + ROWS))
    page = Partners(found.side, found.edges[part], found.nodes[part])
    return {
        "total": found.edges.size,
        "rows": rows_of(scene.subject, scene.columns, page),
        "columns": ["name", *shown(scene.columns)],
    }


def _csv(scene: Scene, ask: dict) -> dict:
    node = scene.node((ask["side"], ask["node"]))
    found = partners_of(scene.subject, scene.columns, node, ask["direction"])
    return {
        "text": csv_of(scene.subject, scene.columns, found),
        "name": file_name(scene.subject, node, ask["direction"]),
    }


def _paths(scene: Scene, ask: dict) -> dict:
    source, target = scene.node(ask["source"]), scene.node(ask["target"])
    through = None if ask.get("through") is None else scene.node(ask["through"])
    steps = ask.get("steps")
    found = drawn.paths_between(
        scene.subject,
        source,
        target,
        through,
        int(ask.get("k", 10)),
        None if steps is None else int(steps),
    )
    return drawn.as_drawn(scene.subject, found, source, target, through)


def _edge(scene: Scene, ask: dict) -> dict:
    edge, subject = int(ask["edge"]), scene.subject
    if not 0 <= edge < subject.num_edges:
        raise ValueError(f"there is no edge {edge}: there are {subject.num_edges}.")
    firsts = subject.firsts()
    part = int(np.searchsorted(firsts, edge, side="right")) - 1
    text = explain(subject.parts[part], edge - int(firsts[part]))
    if subject.is_joined:
        text = f"layer {part}, {text}"
    return {"text": text}


_KINDS: dict[str, Callable[[Scene, dict], Any]] = {
    "tile": _tile,
    "names": _names,
    "search": _search,
    "partners": _partners,
    "csv": _csv,
    "paths": _paths,
    "edge": _edge,
    "places": cells.places,
}
