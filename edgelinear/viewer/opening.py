"""`view`: a layer, a network or a wiring, opened to be looked at."""

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import nn

from edgelinear._optional import import_optional
from edgelinear.layers import EdgeLinear
from edgelinear.layers.held import held_by
from edgelinear.layers.module import EdgeModule
from edgelinear.topology import Wiring
from edgelinear.viewer.columns import as_values, columns_of, means_of
from edgelinear.viewer.joined import first_difference, joined
from edgelinear.viewer.scene import Scene
from edgelinear.viewer.subject import Subject, single

if TYPE_CHECKING:
    from edgelinear.viewer.widget import View


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
        layer: an EdgeLinear, an EdgeNetwork, an EdgeRNN, a Wiring or a Topology, or a model that
            holds one of these; or a list of layers that follow one another, or a model that mixes
            features in EdgeLinears alone, registered in the order of data. These are one graph,
            whose levels are columns of nodes.
        values: a number for each edge, to be shown beside its weight, as one of its importance.
        other: what to compare with: a layer, a network, a Wiring or a Topology of the same nodes,
            as a null model, or a state dict, as that of an earlier checkpoint; one with rules is
            compared where `layer` has the same. For a list of layers, a list of these. Edges are
            the same if both ends are.
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
    model, layer = layer, _opened(layer, "layer")
    subject = _subject(layer, "layer")
    numbers = as_values(values, subject.num_edges), means_of(layer, subject, inputs)
    another = None if other is None else _other(model, subject, other)
    return Scene(subject, columns_of(subject, *numbers, another))


def _opened(layer: Any, argument: str) -> Any:
    """Return the one layer or network that a model holds, or a list of its layers."""
    is_model = isinstance(layer, nn.Module) and not isinstance(layer, EdgeModule)
    if not is_model or not any(layer.children()):
        return layer
    layers = [held.layer for held in held_by(layer, argument)]
    return layers[0] if len(layers) == 1 else layers


def _subject(layer: Any, argument: str) -> Subject:
    return joined(layer, argument) if _is_list(layer) else single(layer, argument)


def _is_list(layer: Any) -> bool:
    return isinstance(layer, (list, tuple)) and not isinstance(layer, Wiring)


def _other(model: Any, subject: Subject, other: Any) -> Subject:
    """Return what a subject is compared with, which must have the same nodes."""
    if isinstance(other, Mapping):
        other = _loaded(model, other)
    elif _is_list(other) and _is_list(model) and len(other) == len(model):
        pairs = zip(model, other, strict=True)
        other = [_loaded(m, one) if isinstance(one, Mapping) else one for m, one in pairs]
    found = _subject(_opened(other, "other"), "other")
    here, there = _sizes(subject), _sizes(found)
    if here != there:
        raise ValueError(f"`other` has {there} nodes, and `layer` {here}: {_cure(subject)}.")
    for place, (one, two) in enumerate(zip(subject.ends, found.ends, strict=True)):
        node = first_difference(one, two)
        if node is not None:
            sides = subject.columns, subject.rows
            where = f"column {place}" if subject.is_joined else f"the side {sides[place]!r}"
            raise ValueError(
                f"`other` calls node {node} of {where} {two[node]!r}, and `layer` {one[node]!r}: "
                f"{_cure(subject)}."
            )
    return found


def _sizes(subject: Subject) -> str:
    return " -> ".join(str(names.size) for names in subject.ends)


def _cure(subject: Subject) -> str:
    """Return what makes another wiring one of the same nodes."""
    if subject.is_joined:
        return "pass layers of the same nodes, by the same names in the same order"
    names = ("node_names",) * 2 if subject.is_graph else ("in_names", "out_names")
    return (
        "edges of other nodes cannot be compared. Where both have names, "
        f"`el.convert.from_table(el.convert.to_table(other), in_names=layer.{names[0]}, "
        f'out_names=layer.{names[1]}, unknown="drop")` numbers its nodes as here'
    )


def _loaded(layer: Any, state: Mapping[str, Any]) -> nn.Module:
    """Return what a state dict was saved from."""
    inner = [key for key, value in state.items() if isinstance(value, Mapping)]
    if inner:
        raise ValueError(
            f"`other` is a checkpoint with a state dict inside: pass that, as other[{inner[0]!r}]."
        )
    make = getattr(layer, "from_state_dict", None)
    has_rules = any("parametrizations." in key for key in state)
    try:
        if isinstance(layer, nn.Module) and (make is None or has_rules):
            twin = copy.deepcopy(layer)
            twin.load_state_dict(state)
            return twin
        return (make or EdgeLinear.from_state_dict)(dict(state))
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"`other` is no state dict of such a layer: {error}") from error
