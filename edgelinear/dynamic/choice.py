"""Which layers of a model a schedule changes, and which it refuses."""

from collections.abc import Iterable
from typing import Any

from torch import nn

from edgelinear.layers.module import EdgeModule
from edgelinear.layers.parametrizations import Frozen, Signed, Tied
from edgelinear.rewiring.rewire import check_layer
from edgelinear.rewiring.state import moved_state
from edgelinear.topology import EdgeMap


def layers_of(
    model: nn.Module, optimizer: Any, skip: Iterable[str], *, grows: bool
) -> dict[str, EdgeModule]:
    """Return the layers whose wiring may change, by their names in the model.

    Raises:
        TypeError, ValueError: if there are none, or one of them cannot change.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"`model` must be a module of torch, got {type(model).__name__}.")
    layers = _not_skipped(model, skip)
    if not layers:
        raise ValueError(
            "`model` must have an EdgeLinear, an EdgeNetwork or an EdgeRNN, got none: make layers "
            "sparse first, as by `el.EdgeLinear.from_linear` or `el.EdgeLinear.from_topology`."
        )
    owners: dict[int, str] = {}
    for name, layer in layers.items():
        try:
            check_layer(layer)
            _check_rules(layer, grows)
            (parameter,) = layer.edge_parameters()
            moved_state(optimizer, parameter, EdgeMap.identity(parameter.numel()))
        except ValueError as error:
            raise ValueError(f"{shown(name)}: {error} `skip` leaves layers out.") from error
        if id(parameter) in owners:
            raise ValueError(
                f"{shown(owners[id(parameter)])} and {shown(name)} share one weight, and would "
                "need the same edges: put one layer in both places, or leave both out by `skip`."
            )
        owners[id(parameter)] = name
    return layers


def shown(name: str) -> str:
    """Return the name of a layer as messages have it."""
    return f"`{name}`" if name else "the layer"


def _not_skipped(model: nn.Module, skip: Iterable[str]) -> dict[str, EdgeModule]:
    if isinstance(skip, str):
        raise TypeError(f"`skip` must be a list of names, got {skip!r}: write `[{skip!r}]`.")
    names = dict(model.named_modules(remove_duplicate=False))
    skipped: set[nn.Module] = set()
    for name in skip:
        if name not in names:
            raise ValueError(f"`skip` has {name!r}, which is no module of the model.")
        skipped.update(names[name].modules())
    return {
        name: layer
        for name, layer in model.named_modules()
        if isinstance(layer, EdgeModule) and layer not in skipped
    }


def _check_rules(layer: EdgeModule, grows: bool) -> None:
    """Refuse weights that do not train, or of which a new edge would not know what it is."""
    if not all(parameter.requires_grad for parameter in layer.edge_parameters()):
        raise ValueError("the weights do not require a gradient.")
    for rule in layer.rules:
        if isinstance(rule, Frozen):
            raise ValueError("edges are frozen, by `el.rules.freeze`.")
        if isinstance(rule, Tied) and grows:
            raise ValueError(
                "edges share parameters, by `el.rules.tie`, and nothing says which of them a new "
                "edge is to have: use `el.rewire` with `index`."
            )
        if not isinstance(rule, (Signed, Tied)):
            raise ValueError(
                f"the weights follow {type(rule).__name__}, which says nothing of new edges: take "
                "it off by `torch.nn.utils.parametrize.remove_parametrizations`."
            )
