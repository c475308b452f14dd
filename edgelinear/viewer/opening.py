"""`view`: a layer, a network or a wiring, opened to be looked at."""

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import nn

from edgelinear._optional import import_optional
from edgelinear.layers import EdgeLinear
from edgelinear.topology import Wiring
from edgelinear.viewer.columns import as_values, columns_of, means_of
from edgelinear.viewer.joined import joined, layers_of
from edgelinear.viewer.scene import Scene
from edgelinear.viewer.subject import Subject, single

if TYPE_CHECKING:
    from edgelinear.viewer.widget import View

_CURE = (
    "edges of other nodes cannot be compared. Where both have names, "
    "`el.convert.from_table(el.convert.to_table(other), in_names=layer.in_names, "
    'out_names=layer.out_names, unknown="drop")` numbers its nodes as here'
)


def view(
    layer: Any,
    *,
    values: Any = None,  # (num_edges,)
    other: Any = None,
    inputs: Any = None,  # (*, in_features)
) -> "View":
    """Return a view of a layer, a network or a wiring: a widget for notebooks, or a page of HTML.

    It has the matrix of the edges, from an overview of millions of them down to single ones; the
    partners of a node, with their weights; the strongest paths between two nodes, by the product of
    `|weight|`; and what differs from another wiring. What is selected there comes back as
    `selected_edges` and `selected_nodes`. Weights are shown as they are when this is called.

    Args:
        layer: an EdgeLinear, an EdgeNetwork, an EdgeRNN, a Wiring or a Topology; or a list of
            layers that follow one another, or an `nn.Sequential` that mixes features in EdgeLinears
            alone. These are one graph, whose levels are columns of nodes.
        values: a number for each edge, to be shown beside its weight, as one of its importance.
        other: what to compare with: a layer, a network, a Wiring or a Topology of the same nodes,
            as a null model, or a state dict, as that of an earlier checkpoint; one with rules is
            compared where `layer` has the same. Edges are the same if both ends are.
        inputs: samples, for what each edge contributes: its weight times the mean value of its
            source. Of an EdgeNetwork they are its inputs; of an EdgeRNN its states, as
            `(*, num_nodes)`.

    Raises:
        TypeError: if `layer` or `other` is something else.
        ValueError: if `layer` has no values, as on the meta device, or more than 50 million edges;
            or something does not fit it.
        ImportError: without anywidget: `pip install 'edgelinear[view]'`.

    Example:
        >>> layer = EdgeLinear(3, 2, [(0, 0), (1, 0), (2, 1)], in_names=["TP53", "MYC", "AKT1"])
        >>> view = el.view(layer)
        >>> view.selected_nodes = ["TP53"]
        >>> view.selected_nodes
        [('in', 0)]
    """
    import_optional("anywidget", "view")
    from edgelinear.viewer.widget import View

    return View(scene_of(layer, values, other, inputs))


def scene_of(layer: Any, values: Any = None, other: Any = None, inputs: Any = None) -> Scene:
    """Return what a view of these shows."""
    subject = _subject(layer, "layer")
    numbers = as_values(values, subject.num_edges), means_of(layer, subject, inputs)
    another = None if other is None else _other(layer, subject, other)
    return Scene(subject, columns_of(subject, *numbers, another))


def _subject(layer: Any, argument: str) -> Subject:
    if isinstance(layer, nn.Sequential):
        return joined(layers_of(layer, argument), type(layer).__name__, argument)
    if isinstance(layer, (list, tuple, nn.ModuleList)) and not isinstance(layer, Wiring):
        return joined(list(layer), "layers", argument)
    return single(layer, argument)


def _other(layer: Any, subject: Subject, other: Any) -> Subject:
    """Return what a subject is compared with, which must have the same nodes."""
    if isinstance(other, Mapping):
        other = _loaded(layer, other)
    found = _subject(other, "other")
    here, there = subject.topology, found.topology
    sizes = (here.in_features, here.out_features), (there.in_features, there.out_features)
    if sizes[0] != sizes[1]:
        raise ValueError(
            f"`other` has {sizes[1][0]} -> {sizes[1][1]} nodes, and `layer` {sizes[0][0]} -> "
            f"{sizes[0][1]}: {_CURE}."
        )
    ends = ((subject.columns, found.columns), (subject.rows, found.rows))
    for ours, theirs in ends:
        one, two = subject.names[ours], found.names[theirs]
        if one.names is None or two.names is None or one.names == two.names:
            continue
        node = next((node for node in range(one.size) if one[node] != two[node]), None)
        if node is not None:
            raise ValueError(
                f"`other` calls node {node} of the side {ours!r} {two[node]!r}, and `layer` "
                f"{one[node]!r}: {_CURE}."
            )
    return found


def _loaded(layer: Any, state: Mapping[str, Any]) -> nn.Module:
    """Return what a state dict was saved from."""
    inner = [key for key, value in state.items() if isinstance(value, Mapping)]
    if inner:
        raise ValueError(
            f"`other` is a checkpoint with a state dict inside: pass that, as other[{inner[0]!r}]."
        )
    make = getattr(layer, "from_state_dict", None)
    try:
        if isinstance(layer, nn.Module) and (make is None or any(map(_is_of_rules, state))):
            twin = copy.deepcopy(layer)
            twin.load_state_dict(state)
            return twin
        return (make or EdgeLinear.from_state_dict)(dict(state))
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"`other` is no state dict of such a layer: {error}") from error


def _is_of_rules(key: str) -> bool:
    return "parametrizations." in key
