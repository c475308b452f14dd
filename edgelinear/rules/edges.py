"""Rules of the edges: tied, signed and frozen."""

import warnings
from typing import Any

import torch
from torch.nn.utils import parametrize

from edgelinear.layers.module import EdgeModule
from edgelinear.layers.parametrizations import Frozen, Rule, Signed, Tied, register
from edgelinear.rules.checks import (
    Layer,
    as_tensor,
    check_layer,
    check_on_conflict,
    per_edge,
    projected,
)
from edgelinear.topology.checks import check_numbering


def tie(
    layer: Layer,
    index: Any,  # (num_edges,)
    *,
    scale: Any = None,  # (num_edges,)
    nonnegative: bool = False,
    on_conflict: str = "warn",
) -> Layer:
    """Make all edges of the same `index` share one parameter, and return the layer.

    `layer.weight[e]` is then `parameter[index[e]] * scale[e]`, and the gradient of a parameter the
    sum over its edges. A parameter starts as what all its edges ask for; where they differ, it has
    the sign that most of their weight asks for, and the sum of squares of their weights stays, so
    that outputs keep their scale.

    Args:
        index: whole numbers from 0 on: the parameter of each edge.
        scale: fixed numbers other than zero, as counts of synapses; ones by default.
        nonnegative: whether parameters are taken as absolute values, so that each edge keeps the
            sign of its scale.
        on_conflict: of edges of one index whose weights differ: "warn" changes them, and says how
            many where they came from data and not from a generator, "project" changes them without
            a word, "error" refuses them.

    Raises:
        TypeError: if `index` does not hold whole numbers.
        ValueError: if it has another shape or a negative number, a scale is zero or not finite, the
            layer is tied or frozen already, its edges of one index have fixed signs that differ, or
            weights would change under "error". Nothing changes then.

    Example:
        >>> layer = tie(EdgeLinear(3, 2, [(0, 0), (1, 0), (2, 1)]), [0, 0, 1])
        >>> layer.parametrizations.weight.original.shape
        torch.Size([2])
        >>> bool(layer.weight[0] == layer.weight[1])
        True
    """
    check_on_conflict(on_conflict)
    index = per_edge(layer, "index", index)
    if index.dtype == torch.bool or index.is_floating_point() or index.is_complex():
        raise TypeError(f"`index` must hold whole numbers, got {index.dtype}.")
    if index.numel() and int(index.min()) < 0:
        raise ValueError(f"`index` must not be negative, got {int(index.min())}.")
    number = int(index.max()) + 1 if index.numel() else 0
    check_numbering("the number of `index`es", number, layer.num_edges, "`pandas.factorize`")
    scale = torch.ones(layer.num_edges) if scale is None else scale
    scale = per_edge(layer, "scale", scale).to(_factor_type(layer))
    wrong = ~scale.isfinite() | (scale == 0)
    if wrong.any():
        edge = int(wrong.nonzero()[0])
        raise ValueError(f"`scale` must be finite and not zero, got {scale[edge]} for edge {edge}.")
    rule = Tied(index.long().clone(), scale.detach().clone(), torch.tensor(bool(nonnegative)))
    said = _register_first(layer, rule, "tie", on_conflict)
    if said is not None:
        warnings.warn(said, stacklevel=2)
    return layer


def fix_signs(layer: Layer, signs: Any, *, of: str = "sources", on_conflict: str = "warn") -> Layer:
    """Give all edges out of a source its sign, and return the layer: Dale's law.

    `layer.weight[e]` is then `signs[src(e)]` times the absolute value of a parameter. Weights keep
    their magnitudes at first. A parameter that is exactly zero has no gradient, and stays.

    Args:
        signs: (in_features,) numbers, each 1 or -1, of a network (num_nodes,); or (num_edges,)
            where they are those of edges.
        of: "sources" or "edges".
        on_conflict: of weights that have the other sign: "warn" turns them over, and says how many
            where they came from data and not from a generator, "project" turns them over without a
            word, "error" refuses them.

    Raises:
        ValueError: if `signs` has another shape or other numbers, or does not agree with the rules
            that the layer has, or weights would change under "error". Nothing changes then.

    Example:
        >>> layer = fix_signs(EdgeLinear(2, 2, [(0, 0), (0, 1), (1, 1)]), [1, -1])
        >>> layer.weight.sign().tolist()
        [1.0, 1.0, -1.0]
    """
    return _sign(layer, signs, of, on_conflict, "fix_signs")


def fix_nonnegative(layer: Layer, *, on_conflict: str = "warn") -> Layer:
    """Keep every weight from becoming negative, and return the layer: `fix_signs` with ones.

    Example:
        >>> layer = fix_nonnegative(EdgeLinear(2, 2, [(0, 0), (1, 1)]))
        >>> bool((layer.weight >= 0).all())
        True
    """
    check_layer(layer)
    return _sign(
        layer, torch.ones(layer.topology.in_features), "sources", on_conflict, "fix_nonnegative"
    )


def _sign(layer: Layer, signs: Any, of: str, on_conflict: str, name: str) -> Layer:
    check_layer(layer)
    check_on_conflict(on_conflict)
    if of not in ("sources", "edges"):
        raise ValueError(f'`of` must be "sources" or "edges", got {of!r}.')
    number, unit = layer.num_edges, "edge"
    if of == "sources":  # of a network, each node is one
        number = layer.topology.in_features
        unit = "input" if number == layer.in_features else "node"
    signs = as_tensor("signs", signs).detach().to(layer.weight.device, _factor_type(layer))
    if signs.shape != (number,):
        raise ValueError(
            f"`signs` must hold 1 or -1 for each of the {number} {unit}s, got shape "
            f"{tuple(signs.shape)}."
        )
    wrong = signs.abs() != 1
    if wrong.any():
        first = int(wrong.nonzero()[0])
        raise ValueError(f"`signs` must hold 1 or -1, got {signs[first]:g} for {unit} {first}.")
    if of == "sources":
        signs = signs[layer.topology.src.long()]
    rule = Signed(signs.clone())
    weight, said = projected(layer, rule, name, on_conflict)
    drawn = layer._is_drawn
    try:
        layer.set_weight(weight)
    except ValueError as error:
        raise ValueError(
            "these signs do not agree with a rule that the layer has (`freeze` comes after "
            f"`fix_signs`). With them, {error}"
        ) from error
    register(layer, rule)
    if drawn:
        layer._mark_drawn()
    if said is not None:
        warnings.warn(said, stacklevel=3)
    return layer


def freeze(layer: Layer, mask: Any) -> Layer:
    """Keep the weights of the edges in `mask` as they are, and return the layer.

    The other edges are the parameter, so that neither decay nor momentum moves a frozen one. Frozen
    weights stand beside it, as a buffer. Make the optimizer anew: one that was made before holds
    the parameter of all edges. `remove_parametrizations(layer, "weight")` of
    `torch.nn.utils.parametrize` undoes it, as to freeze other edges.

    Args:
        mask: (num_edges,) truth values.

    Raises:
        TypeError: if `mask` does not hold truth values.
        ValueError: if it has another shape, or the layer is tied or frozen already.

    Example:
        >>> layer = EdgeLinear(3, 2, [(0, 0), (1, 0), (2, 1)], weight=[1.0, 2.0, 3.0])
        >>> freeze(layer, [True, False, False]).parametrizations.weight.original.tolist()
        [2.0, 3.0]
        >>> layer.weight.tolist()
        [1.0, 2.0, 3.0]
    """
    mask = per_edge(layer, "mask", mask)
    if mask.dtype != torch.bool:
        raise TypeError(f"`mask` must hold truth values, got {mask.dtype}.")
    _register_first(layer, Frozen(mask, layer.weight.detach()), "freeze", "project")
    return layer


def _factor_type(layer: EdgeModule) -> torch.dtype:
    """Return the type of what weights are multiplied by: a half type would round it."""
    return torch.promote_types(layer.weight.dtype, torch.float32)


@torch.no_grad()
def _register_first(layer: EdgeModule, rule: Rule, name: str, on_conflict: str) -> str | None:
    """Register a rule that changes the shape of the parameter: below signs, if there are any.

    Returns the warning to give of what it changed, if any.
    """
    signs = [rule for rule in layer.rules if isinstance(rule, Signed)]
    others = [type(rule).__name__ for rule in layer.rules if rule not in signs]
    if others:
        raise ValueError(
            f"`{name}` goes with signs alone, and the weights of this layer are "
            f"{' and '.join(others).strip('_').lower()} already."
        )
    weight, said = projected(layer, rule, name, on_conflict)
    lost = layer.weight.isfinite() & ~weight.isfinite()
    if lost.any():
        raise ValueError(
            f"the parameter of edge {int(lost.nonzero()[0])} would be too large for "
            f"{weight.dtype}, as its scale is too small."
        )
    try:
        for check in (rule, *signs):  # before anything is changed
            check.right_inverse(weight)
    except ValueError as error:
        raise ValueError(f"`{name}` does not agree with the signs: with it, {error}") from error
    drawn = layer._is_drawn
    (parameter,) = layer.edge_parameters()
    parameter.copy_(weight)
    parameter.grad = None  # it has the shape of the parameter so far
    if not signs:
        register(layer, rule)
    else:
        # The signs are not taken off first, and made anew: they belong to a class that torch made
        # for this layer, and copies of the layer would lose their weight with it.
        layer.parametrizations["weight"] = parametrize.ParametrizationList(  # type: ignore
            [rule, *signs], parameter
        )
    if drawn:
        layer._mark_drawn()
    return said
