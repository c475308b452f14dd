"""Windows of the matrix, and where nodes and edges are in it."""

import math

import numpy as np

from edgelinear.viewer.scene import Scene

LISTED = 10_000  # edges whose numbers are sent
SELECTED = 1_000_000  # edges that can be selected in the page


def edges_in_window(scene: Scene, ask: dict) -> np.ndarray:
    """Return the edges of a window of the matrix, in which every node counts that it touches.

    Raises:
        ValueError: if there are more than can be selected.
    """
    pyramid = scene.pyramid(ask["order"])

    def span(start: str, stop: str, size: int) -> tuple[int, int]:
        first = min(max(0, math.floor(ask[start])), size)
        return first, min(max(first, math.ceil(ask[stop])), size)

    edges = pyramid.edges_in(
        span("top", "bottom", pyramid.rows.size), span("left", "right", pyramid.columns.size)
    )
    edges = edges[edges < scene.columns.number]
    if edges.size > SELECTED:
        raise ValueError(
            f"a selection has {SELECTED:,} edges at most, and this window has {edges.size:,}: "
            "choose a smaller one, or set `view.selected_edges` in Python."
        )
    return edges


def places(scene: Scene, ask: dict) -> dict:
    """Return the rows and columns of nodes, -1 where they have none, and of edges."""
    pyramid, subject = scene.pyramid(ask["order"]), scene.subject
    nodes = [scene.node(node) for node in ask.get("nodes", [])]
    edges = np.array(ask.get("edges", [])[:LISTED], np.int64)
    if edges.size and not (0 <= edges.min() and edges.max() < pyramid.src.size):
        raise ValueError(f"edges must be from 0 to {pyramid.src.size - 1}.")
    return {
        "nodes": [
            [
                int(pyramid.row[node]) if side == subject.rows else -1,
                int(pyramid.column[node]) if side == subject.columns else -1,
            ]
            for side, node in nodes
        ],
        "rows": pyramid.row[pyramid.dst[edges]].tolist(),
        "columns": pyramid.column[pyramid.src[edges]].tolist(),
    }
