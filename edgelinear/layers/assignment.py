"""Values that weights are set to, and whether weights are still those drawn at random."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from edgelinear.layers.parametrizations import Rule
from edgelinear.topology import Wiring
from edgelinear.topology.checks import check_weight
from edgelinear.topology.numbers import cast


def values_of(wiring: Wiring, values: str, weight: Any) -> Tensor | None:
    """Return the values of the data for `values="weight"`, and None for "ignore".

    Raises:
        ValueError: if there are none, or `weight` is given as well.
    """
    if values not in ("ignore", "weight"):
        raise ValueError(f'`values` must be "ignore" or "weight", got {values!r}.')
    if values == "ignore":
        return None
    if wiring.weight is None:
        raise ValueError('values="weight" asks for the values of the data, which has none.')
    if weight is not None:
        raise ValueError('pass either `weight` or values="weight", got both.')
    return wiring.weight


def as_weight(values: Any, num_edges: int, like: Tensor) -> Tensor:
    """Return values, one an edge, as a copy of the type and on the device of a parameter.

    Raises:
        TypeError, ValueError: if they have another shape, are complex, or are too large for the
            type.
    """
    given = check_weight(values, num_edges)
    if given.is_meta:
        raise ValueError(
            "`weight` is on the meta device, where no values are: pass values, as of a tensor on "
            "the CPU."
        )
    weight = cast("`weight`", given, like.dtype).to(like.device)
    return weight.clone() if weight is given else weight


def origins(rules: Iterable[nn.Module], weight: Tensor) -> tuple[Tensor, ...]:
    """Return what a weight that follows these rules is computed from, first to last.

    Raises:
        ValueError: if it does not follow them, or one of them cannot be turned around, or not to
            these values.
    """
    values: Any = weight
    backwards: list[Any] = [*rules][::-1]
    for rule in backwards:
        if not hasattr(rule, "right_inverse"):
            raise ValueError(
                f"`weight` follows a {type(rule).__name__}, which has no `right_inverse` to set it "
                "by: set its parameters, or take it off by `remove_parametrizations`."
            )
        values = rule.right_inverse(values)
    values = (values,) if isinstance(values, Tensor) else tuple(values)
    if not all(isinstance(rule, Rule) for rule in backwards):
        _check_finite(backwards[::-1], values, weight)
    return values


def _check_finite(rules: list[Any], values: tuple[Tensor, ...], weight: Tensor) -> None:
    """Refuse weights that rules of torch turn around to others, as `weight_norm` does zeros."""
    first, *rest = rules
    found = first(*values)
    for rule in rest:
        found = rule(found)
    lost = weight.isfinite() & ~found.isfinite()
    if lost.any():
        edge = int(lost.nonzero()[0])
        names = " and ".join(type(rule).__name__ for rule in rules)
        raise ValueError(
            f"`weight` must not be {weight[edge].item():g} for edge {edge}, of which {names} makes "
            f"{found[edge].item()}: set another value, or take it off by `remove_parametrizations`."
        )


def summary(weight: Tensor) -> Tensor | None:
    """Return numbers that tell weights from others, without waiting for the device.

    They are the sum, the norm, and the precision of the type. Or None where there are no values, or
    each process has some of them.
    """
    if weight.is_meta or hasattr(weight, "device_mesh"):
        return None
    weight = weight.detach()
    exact = torch.float32 if weight.device.type == "mps" else torch.float64
    total, norm = weight.sum(dtype=exact), torch.linalg.vector_norm(weight, dtype=exact)
    return torch.stack([total, norm, torch.full_like(norm, torch.finfo(weight.dtype).eps)])


def is_of(weight: Tensor, known: Tensor | None) -> bool:
    """Whether a summary is that of these weights, which a cast may have rounded since."""
    found = summary(weight)
    if found is None or known is None:
        return False
    total, norm, eps = found.tolist()
    known_total, known_norm, *known_eps = known.tolist()  # a pickle of before has no third number
    if [eps] == known_eps:
        # The same type: all that may differ is the order of the sum, as on another device.
        eps = max(torch.finfo(found.dtype).eps, torch.finfo(known.dtype).eps)
    rounding = 8 * eps * known_norm
    return abs(total - known_total) <= rounding and abs(norm - known_norm) <= rounding
