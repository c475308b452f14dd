"""`View`: the widget that a notebook shows, and what is selected in it."""

import tempfile
import warnings
import webbrowser
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import torch
import traitlets

from edgelinear.topology import EdgeMap
from edgelinear.topology.checks import as_size
from edgelinear.viewer import answers
from edgelinear.viewer.cells import LISTED
from edgelinear.viewer.chosen import as_edges, as_node, as_nodes, as_window, one_of
from edgelinear.viewer.drawn import paths_between
from edgelinear.viewer.page import page, script
from edgelinear.viewer.scene import Scene

_CHANGES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "replace": lambda _, edges: edges,
    "add": np.union1d,
    "remove": np.setdiff1d,
}  # of those selected, by what a page chooses


class View(anywidget.AnyWidget):
    """A wiring to look at, in a notebook or in a page of its own; what is selected comes back.

    Made by `el.view`. It shows weights as they were then.

    Example:
        >>> layer = EdgeLinear(3, 2, [(0, 0), (1, 0), (2, 1)], weight=[0.5, -1.0, 2.0])
        >>> view = el.view(layer)
        >>> view
        View(EdgeLinear: 3 -> 2, 3 edges (50% of dense); selected: 0 edges, 0 nodes)
        >>> view.selected_edges = [0, 2]
        >>> layer = el.rules.freeze(layer, view.edge_mask())
    """

    _esm = script()
    _meta = traitlets.Dict().tag(sync=True)
    _edges: Any = traitlets.List().tag(sync=True)  # the first of those selected
    _edge_total = traitlets.Int(0).tag(sync=True)
    _nodes: Any = traitlets.List().tag(sync=True)
    _theme = traitlets.Enum(["auto", "light", "dark"], "auto").tag(sync=True)
    _view = traitlets.Dict().tag(sync=True)

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._selected = np.zeros(0, np.int64)
        self._turns: dict[str, int] = {}  # the last change of each page that was made
        super().__init__(_meta=scene.meta())
        self.on_msg(self._on_message)

    @property
    def edge_map(self) -> EdgeMap | None:
        """Which edge of `other` each edge is, or None without `other`.

        `edge_map.follow(values)` gives values of its edges to those here.
        """
        return self._scene.columns.edge_map

    @property
    def selected_edges(self) -> list[int]:
        """The numbers of the edges that are selected, ascending. They may be set.

        By numbers, or by a truth value for each edge. Of several layers, edges are numbered one
        layer after the other, and truth values may be a list of those of each.

        Raises:
            TypeError, ValueError: if they are no numbers of edges.
        """
        return self._selected.tolist()

    @selected_edges.setter
    def selected_edges(self, edges: Any) -> None:
        self._select(as_edges(edges, self._scene.subject.num_edges))

    @property
    def selected_nodes(self) -> list[Any]:
        """The nodes that are selected: their numbers in a graph, or ("in", i) and ("out", j).

        They may be set, by name as well where only one node has it.

        Raises:
            TypeError, ValueError: if they are no nodes of this wiring.
        """
        is_graph = self._scene.subject.is_graph
        return [number if is_graph else (side, number) for side, number in self._nodes]

    @selected_nodes.setter
    def selected_nodes(self, nodes: Iterable[Any]) -> None:
        found = dict.fromkeys(as_nodes(self._scene, "selected_nodes", nodes))
        self._nodes = [list(node) for node in found]

    def edge_mask(self) -> Any:
        """Return whether each edge is selected, (num_edges,) truth values; a list of layers' masks.

        As `rules.freeze` takes them, and `rewire` as `keep`.

        Example:
            >>> view = el.view(EdgeLinear(3, 2, [(0, 0), (1, 0), (2, 1)]))
            >>> view.selected_edges = [2]
            >>> view.edge_mask()
            tensor([False, False,  True])
        """
        subject = self._scene.subject
        mask = torch.zeros(subject.num_edges, dtype=torch.bool, device="cpu")
        mask[torch.from_numpy(self._selected)] = True
        if not subject.is_joined:
            return mask
        return list(mask.split(np.diff(subject.firsts()).tolist()))

    def show(
        self,
        *,
        order: str | None = None,
        value: str | None = None,
        window: Sequence[float] | None = None,
        node: Any = None,
        path: Sequence[Any] | None = None,
        k: int = 10,
        theme: str | None = None,
    ) -> None:
        """Have the page show something, and leave the rest as it is.

        Args:
            order: of rows and columns: "given", "level", "degree" or "cluster".
            value: what cells show: "count", "weight", "values", "other" or "difference".
            window: (top, left, bottom, right) in rows and columns of the order: targets from `top`
                to before `bottom`, and sources from `left` to before `right`.
            node: the node whose partners are listed, as in `selected_nodes`.
            path: (source, target), between which the strongest paths are drawn; or (source,
                through, target).
            k: how many paths at most, from 1 to 100.
            theme: "auto", "light" or "dark".

        Raises:
            TypeError, ValueError: if there is no such thing to show.

        Example:
            >>> layer = EdgeLinear(2, 1, [(0, 0), (1, 0)], in_names=["TP53", "MYC"])
            >>> el.view(layer).show(order="degree", node="TP53")
        """
        shown = dict(self._view)
        if order is not None:
            shown["order"] = one_of("order", order, self._scene.orders)
        if value is not None:
            shown["value"] = one_of("value", value, list(self._scene.shades))
        if window is not None:
            shown["window"] = as_window(self._scene, window)
        if node is not None:
            shown["node"] = list(self._node("node", node))
        if path is not None:
            shown["path"] = self._path(path, k)
        if theme is not None:
            self._theme = one_of("theme", theme, ["auto", "light", "dark"])
        self._view = shown

    def paths(
        self, source: Any, target: Any, *, through: Any = None, k: int = 10
    ) -> list[list[int]]:
        """Return the edges of the strongest paths from one node to another, a list for each path.

        As the page draws them: those with the largest products of `|weight|`, the strongest first,
        exactly; none goes along an edge whose weight is 0 or not finite. In graphs with cycles they
        are walks of at most 6 steps.

        Args:
            source, target, through: nodes as in `selected_nodes`.
            k: how many paths at most, from 1 to 100.

        Raises:
            TypeError, ValueError: if there are no such nodes.

        Example:
            >>> edges, names = [(0, 1), (1, 2), (0, 2)], ["TP53", "repair", "risk"]
            >>> weight = [2.0, 3.0, 0.5]
            >>> net = el.EdgeNetwork(3, edges, ["TP53"], ["risk"], weight=weight, node_names=names)
            >>> view = el.view(net)
            >>> view.paths("TP53", "risk")
            [[0, 1], [2]]
            >>> view.selected_edges = sum(view.paths("TP53", "risk", k=1), [])
        """
        ends = self._node("source", source), self._node("target", target)
        by = None if through is None else self._node("through", through)
        found = paths_between(self._scene.subject, *ends, by, as_size("k", k), None)
        return [path.edges for path in found.paths]

    def _path(self, path: Sequence[Any], k: int) -> dict[str, Any]:
        if isinstance(path, str) or len(path) not in (2, 3):
            raise ValueError(
                f"`path` must be (source, target) or (source, through, target), got {path!r}."
            )
        nodes = [list(self._node("path", node)) for node in path]
        through = nodes[1] if len(nodes) == 3 else None
        ends = {"source": nodes[0], "target": nodes[-1], "through": through}
        chosen = {**ends, "k": as_size("k", k)}
        answers.answer(self._scene, {"kind": "paths", **chosen})  # which says what does not fit
        return chosen

    def save(
        self, path: Any, *, title: str | None = None, include: Iterable[Any] | None = None
    ) -> Path:
        """Write the view as one page of HTML, and return where it is.

        The page holds what is shown and what is selected: the matrix as far as 20 MB go, the tables
        of the nodes selected and shown, and the paths. Of a wiring of at most 20,000 edges it holds
        all, and then answers most questions itself. It works offline, and its footer has the digest
        of the wiring.

        Args:
            path: of a file that ends in .html or .htm.
            title: what the page is headed by, in place of its numbers of nodes and edges.
            include: nodes whose tables are in the page as well, as in `selected_nodes`.

        Raises:
            ValueError: if the path has another ending, or there are no such nodes.

        Example:
            >>> import tempfile
            >>> view = el.view(EdgeLinear(2, 1, [(0, 0), (1, 0)]))
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     view.save(f"{folder}/view.html").name
            'view.html'
        """
        path = Path(path)
        if path.suffix.lower() not in (".html", ".htm"):
            raise ValueError(
                f"`path` must end in .html, so that browsers open it, got {path.name!r}."
            )
        nodes = as_nodes(self._scene, "include", include or ())
        names = ("_meta", "_edges", "_edge_total", "_nodes", "_theme", "_view")
        traits = {name: getattr(self, name) for name in names}
        if title is not None:
            traits["_meta"] = {**self._meta, "caption": title}
        path.write_text(page(self._scene, traits, nodes), encoding="utf-8", newline="\n")
        return path

    def browse(self) -> Path:
        """Save the view to a temporary file, open it in a browser, and return where it is.

        Where there is no browser, a warning says where the page is.
        """
        path = self.save(Path(tempfile.mkdtemp(prefix="edgelinear-")) / "view.html")
        try:
            is_open = webbrowser.open(path.as_uri())
        except webbrowser.Error:
            is_open = False
        if not is_open:
            warnings.warn(f"no browser could be opened: the page is {path}.", stacklevel=2)
        return path

    def _node(self, argument: str, node: Any) -> tuple[str, int]:
        return as_node(self._scene, argument, node)

    def _select(self, edges: np.ndarray) -> None:
        self._selected = edges
        with self.hold_sync():
            self._edges = edges[:LISTED].tolist()
            self._edge_total = edges.size

    @traitlets.validate("_edges")
    def _own_edges(self, _: Any) -> list[int]:
        """Return those selected, whatever a page has there: it asks for changes."""
        return self._selected[:LISTED].tolist()

    @traitlets.validate("_nodes")
    def _known_nodes(self, proposal: Any) -> list[list[Any]]:
        names = self._scene.subject.names
        return [
            [side, number]
            for side, number in proposal["value"]
            if side in names and type(number) is int and 0 <= number < names[side].size
        ]

    def _on_message(self, _: Any, content: Any, buffers: Any) -> None:
        """Answer a page."""
        if not isinstance(content, dict) or "ask" not in content:
            return
        try:
            found, arrays = self._answer(content["ask"], str(content.get("id")))
        except (ValueError, TypeError, RuntimeError, IndexError) as error:
            self.send({"id": content.get("id"), "error": str(error)})
        except KeyError as error:
            self.send({"id": content.get("id"), "error": f"the question must have {error}."})
        else:
            self.send({"id": content.get("id"), "answer": found}, arrays)

    def _answer(self, ask: Any, name: str) -> answers.Answer:
        if not isinstance(ask, dict):
            raise TypeError(f"a question must be a dict with its kind, got {ask!r}.")
        kind = ask.get("kind")
        if kind == "select":
            self._change(ask, name)
            return {"edges": self._edges, "total": self._edge_total}, []
        if kind == "selected":
            edges = np.array(ask["edges"], np.int64)
            return {"edges": edges[np.isin(edges, self._selected)].tolist()}, []
        return answers.answer(self._scene, ask)

    def _change(self, ask: dict[str, Any], name: str) -> None:
        """Select what a page chooses, once: it asks again while it hears nothing."""
        page, _, turn = name.rpartition("-")
        if int(turn) <= self._turns.get(page, -1):
            return
        how = one_of("how", ask["how"], list(_CHANGES))
        self._select(_CHANGES[how](self._selected, answers.edges_of(self._scene, ask)))
        self._turns[page] = int(turn)

    def __repr__(self) -> str:
        edges, nodes = self._selected.size, len(self._nodes)
        return (
            f"View({self._meta['kind']}: {self._meta['title']}; selected: {edges:,} "
            f"edge{'s' * (edges != 1)}, {nodes:,} node{'s' * (nodes != 1)})"
        )
