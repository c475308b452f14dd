"""Edges with rules: weights that are tied, of one sign, or frozen.

Each rule is a parametrization of `torch.nn.utils.parametrize`: the optimizer sees what may move,
and `layer.weight` is what follows from it. So no optimizer, checkpoint or assignment can break the
rule, and kernels do not know of it. Make rules before the optimizer, as parameters change their
shape, and before `fully_shard`.

Set weights by assignment, `layer.weight = values`, which is refused where it breaks a rule: what is
written into `layer.weight` in place is lost, as it is computed anew at each use.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import parametrize

from edgelinear.layers import EdgeLinear
from edgelinear.layers.parametrizations import Frozen, Rule, Signed, Tied
from edgelinear.topology.checks import check_numbering
from edgelinear.topology.numbers import as_numbers


def tie(
    layer: EdgeLinear,
    index: Any,  # (num_edges,)
    *,
    scale: Any = None,  # (num_edges,)
    nonnegative: bool = False,
) -> EdgeLinear:
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

    Raises:
        TypeError: if `index` does not hold whole numbers.
        ValueError: if it has another shape or a negative number, a scale is zero or not finite, the
            layer is tied or frozen already, or its edges of one index have fixed signs that differ.

    Example:
        >>> layer = tie(EdgeLinear(3, 2, [(0, 0), (1, 0), (2, 1)]), [0, 0, 1])
        >>> layer.parametrizations.weight.original.shape
        torch.Size([2])
        >>> bool(layer.weight[0] == layer.weight[1])
        True
    """
    index = _per_edge(layer, "index", index)
    if index.dtype == torch.bool or index.is_floating_point() or index.is_complex():
        raise TypeError(f"`index` must hold whole numbers, got {index.dtype}.")
    if index.numel() and int(index.min()) < 0:
        raise ValueError(f"`index` must not be negative, got {int(index.min())}.")
    number = int(index.max()) + 1 if index.numel() else 0
    check_numbering("the number of `index`es", number, layer.num_edges, "`pandas.factorize`")
    scale = torch.ones(layer.num_edges) if scale is None else scale
    scale = _per_edge(layer, "scale", scale).to(_factor_type(layer))
    wrong = ~scale.isfinite() | (scale == 0)
    if wrong.any():
        edge = int(wrong.nonzero()[0])
        raise ValueError(f"`scale` must be finite and not zero, got {scale[edge]} for edge {edge}.")
    rule = Tied(index.long().clone(), scale.detach().clone(), torch.tensor(bool(nonnegative)))
    return _register_first(layer, rule, "tie")


def fix_signs(layer: EdgeLinear, signs: Any, *, of: str = "sources") -> EdgeLinear:
    """Give all edges out of a source its sign, and return the layer: Dale's law.

    `layer.weight[e]` is then `signs[src(e)]` times the absolute value of a parameter. Weights keep
    their magnitudes at first. A parameter that is exactly zero has no gradient, and stays.

    Args:
        signs: (in_features,) numbers, each 1 or -1; or (num_edges,) where they are those of edges.
        of: "sources" or "edges".

    Raises:
        ValueError: if `signs` has another shape or other numbers, or does not agree with the rules
            that the layer has.

    Example:
        >>> layer = fix_signs(EdgeLinear(2, 2, [(0, 0), (0, 1), (1, 1)]), [1, -1])
        >>> layer.weight.sign().tolist()
        [1.0, 1.0, -1.0]
    """
    _check_layer(layer)
    if of not in ("sources", "edges"):
        raise ValueError(f'`of` must be "sources" or "edges", got {of!r}.')
    number, unit = (layer.in_features, "input") if of == "sources" else (layer.num_edges, "edge")
    signs = _as_tensor("signs", signs).detach().to(layer.weight.device, _factor_type(layer))
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
    try:
        _assign(layer, rule.project(layer.weight))
    except ValueError as error:
        raise ValueError(
            "these signs do not agree with a rule that the layer has (`freeze` comes after "
            f"`fix_signs`). With them, {error}"
        ) from error
    parametrize.register_parametrization(layer, "weight", rule)
    return layer


def fix_nonnegative(layer: EdgeLinear) -> EdgeLinear:
    """Keep every weight from becoming negative, and return the layer: `fix_signs` with ones.

    Example:
        >>> layer = fix_nonnegative(EdgeLinear(2, 2, [(0, 0), (1, 1)]))
        >>> bool((layer.weight >= 0).all())
        True
    """
    return fix_signs(layer, torch.ones(layer.in_features))


@torch.no_grad()
def balance(layer: EdgeLinear) -> EdgeLinear:
    """Scale weights so that excitation and inhibition of each target cancel, and return the layer.

    Of the edges into a target, those above zero are scaled by one factor and those below by
    another, so that the sums of both are equal and the sum of squares stays. Outputs of equal
    inputs then start at the bias: Rajan and Abbott, "Eigenvalue spectra of random matrices for
    neural networks" (2006). Targets of one sign alone stay as they are.

    Raises:
        ValueError: if the layer is tied or frozen, and these weights would break the rule.

    Example:
        >>> layer = EdgeLinear(3, 1, [(0, 0), (1, 0), (2, 0)], weight=[1.0, 1.0, -1.0])
        >>> torch.allclose(balance(layer).weight.sum(), torch.zeros(()), atol=1e-6)
        True
    """
    _check_layer(layer)
    weight, dst = layer.weight.detach().double(), layer.topology.dst.long()

    def total(values: Tensor) -> Tensor:  # of each target
        return values.new_zeros(layer.out_features).index_add(0, dst, values)

    above, below = weight.clamp(min=0), weight.clamp(max=0)
    up, down = total(above), -total(below)
    mixed = (up > 0) & (down > 0)
    balanced = above / up.clamp(min=1e-300)[dst] + below / down.clamp(min=1e-300)[dst]
    scale = (total(weight.square()) / total(balanced.square()).clamp(min=1e-300)).sqrt()
    weight = torch.where(mixed[dst], balanced * scale[dst], weight).to(layer.weight.dtype)
    _assign(layer, weight)
    return layer


def freeze(layer: EdgeLinear, mask: Any) -> EdgeLinear:
    """Keep the weights of the edges in `mask` as they are, and return the layer.

    The other edges are the parameter, so that neither decay nor momentum moves a frozen one. Frozen
    weights stand beside it, as a buffer.

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
    mask = _per_edge(layer, "mask", mask)
    if mask.dtype != torch.bool:
        raise TypeError(f"`mask` must hold truth values, got {mask.dtype}.")
    return _register_first(layer, Frozen(mask, layer.weight.detach()), "freeze")


def _per_edge(layer: EdgeLinear, name: str, values: Any) -> Tensor:
    _check_layer(layer)
    values = _as_tensor(name, values).to(layer.weight.device)
    if values.shape != (layer.num_edges,):
        raise ValueError(
            f"`{name}` must have one entry for each of the {layer.num_edges} edges, "
            f"got shape {tuple(values.shape)}."
        )
    return values


def _as_tensor(name: str, values: Any) -> Tensor:
    try:
        return as_numbers(f"`{name}`", values)
    except TypeError as error:
        raise TypeError(
            f"`{name}` must be a tensor, an array or a list of numbers, got "
            f"{type(values).__name__}: {error} (`pandas.factorize` numbers names.)"
        ) from error


def _factor_type(layer: EdgeLinear) -> torch.dtype:
    """Return the type of what weights are multiplied by: a half type would round it."""
    return torch.promote_types(layer.weight.dtype, torch.float32)


def _check_layer(layer: EdgeLinear) -> None:
    if not isinstance(layer, EdgeLinear):
        raise TypeError(f"`layer` must be an EdgeLinear, got {type(layer).__name__}.")
    weight = layer.weight
    if weight.device.type == "meta" or hasattr(weight, "device_mesh"):
        where = "on the meta device" if weight.device.type == "meta" else "sharded"
        raise ValueError(
            f"rules need the values of the weights, and these are {where}: "
            "make rules on a device, and shard the layer afterwards."
        )


@torch.no_grad()
def _register_first(layer: EdgeLinear, rule: Rule, name: str) -> EdgeLinear:
    """Register a rule that changes the shape of the parameter: below signs, if there are any."""
    signs = [rule for rule in layer.rules if isinstance(rule, Signed)]
    others = [type(rule).__name__ for rule in layer.rules if rule not in signs]
    if others:
        raise ValueError(
            f"`{name}` goes with signs alone, and the weights of this layer are "
            f"{' and '.join(others).strip('_').lower()} already."
        )
    weight = rule.project(layer.weight)
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
    if not signs:
        layer.weight.copy_(weight)
        layer.weight.grad = None  # it has the shape of the parameter so far
        return parametrize.register_parametrization(layer, "weight", rule)  # type: ignore
    # The signs are not taken off first, and made anew: they belong to a class that torch made for
    # this layer, and copies of the layer would lose their weight with it.
    (parameter,) = layer.edge_parameters()
    parameter.copy_(weight)
    parameter.grad = None
    layer.parametrizations["weight"] = parametrize.ParametrizationList(  # type: ignore
        [rule, *signs], parameter
    )
    return layer


@torch.no_grad()
def _assign(layer: EdgeLinear, weight: Tensor) -> None:
    if layer.rules:
        layer.weight = weight  # type: ignore[assignment]
    else:
        layer.weight.copy_(weight)
