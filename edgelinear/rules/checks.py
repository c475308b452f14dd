"""What rules check of a layer and of what is given for its edges."""

from typing import Any, TypeVar

import torch
from torch import Tensor

from edgelinear.layers.module import EdgeModule
from edgelinear.layers.parametrizations import Rule
from edgelinear.topology.numbers import as_numbers

Layer = TypeVar("Layer", bound=EdgeModule)

ON_CONFLICT = ("warn", "project", "error")


def check_on_conflict(on_conflict: str) -> None:
    if on_conflict not in ON_CONFLICT:
        raise ValueError(f"`on_conflict` must be one of {ON_CONFLICT}, got {on_conflict!r}.")


def projected(
    layer: EdgeModule, rule: Rule, name: str, on_conflict: str
) -> tuple[Tensor, str | None]:
    """Return the weights as a new rule has them, and a warning to give once it is made, or None.

    What changes is worth a word where the weights came from data: drawn at random, they have
    nothing to lose.
    """
    before = layer.weight.detach()
    after = rule.project(before)
    tolerance = max(1e-5, 4 * torch.finfo(before.dtype).eps)
    moved = (~torch.isclose(after, before, rtol=tolerance, atol=0.0, equal_nan=True)).nonzero()
    if not len(moved) or (on_conflict != "error" and (on_conflict == "project" or layer._is_drawn)):
        return after, None
    edge = int(moved[0])
    ends = layer._named(int(layer.topology.src[edge]), int(layer.topology.dst[edge]))
    what = (
        f"{len(moved)} of {layer.num_edges} weights, as that of edge {edge} "
        f"({ends}) from {before[edge]:g} to {after[edge]:g}"
    )
    if on_conflict == "error":
        raise ValueError(
            f"`{name}` would change {what}: make them follow the rule first, or pass "
            'on_conflict="project" to have them changed.'
        )
    return after, (
        f'`{name}` changed {what}. Pass on_conflict="error" to refuse such weights, or '
        'on_conflict="project" to change them without a word.'
    )


def per_edge(layer: EdgeModule, name: str, values: Any) -> Tensor:
    check_layer(layer)
    values = as_tensor(name, values).to(layer.weight.device)
    if values.shape != (layer.num_edges,):
        raise ValueError(
            f"`{name}` must have one entry for each of the {layer.num_edges} edges, "
            f"got shape {tuple(values.shape)}."
        )
    return values


def as_tensor(name: str, values: Any) -> Tensor:
    try:
        return as_numbers(f"`{name}`", values)
    except TypeError as error:
        raise TypeError(
            f"`{name}` must be numbers, in a tensor, an array or a list: {error} "
            "(`pandas.factorize` numbers names.)"
        ) from error


def check_layer(layer: EdgeModule) -> None:
    if not isinstance(layer, EdgeModule):
        raise TypeError(
            f"`layer` must be an EdgeLinear or an EdgeNetwork, got {type(layer).__name__}."
        )
    weight = layer.weight
    if weight.device.type == "meta" or hasattr(weight, "device_mesh"):
        where = "on the meta device" if weight.device.type == "meta" else "sharded"
        raise ValueError(
            f"rules need the values of the weights, and these are {where}: "
            "make rules on a device, and shard the layer by `fully_shard` afterwards; "
            "`EdgeParallel` takes none."
        )
