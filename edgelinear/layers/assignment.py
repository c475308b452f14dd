"""Values that weights are set to, and whether weights are still those drawn at random."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from edgelinear.topology.checks import check_weight
from edgelinear.topology.numbers import cast


def as_weight(values: Any, num_edges: int, like: Tensor) -> Tensor:
    """Return values, one an edge, as a copy of the type and on the device of a parameter.

    Raises:
        TypeError, ValueError: if they have another shape, are complex, or are too large for the
            type.
    """
    given = check_weight(values, num_edges)
    weight = cast("`weight`", given, like.dtype).to(like.device)
    return weight.clone() if weight is given else weight


def origins(rules: Iterable[nn.Module], weight: Tensor) -> tuple[Tensor, ...]:
    """Return what a weight that follows these rules is computed from, first to last.

    Raises:
        ValueError: if it does not follow them, or one of them cannot be turned around.
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
    return (values,) if isinstance(values, Tensor) else tuple(values)


def summary(weight: Tensor) -> Tensor | None:
    """Return two numbers that tell weights from others, without waiting for the device.

    Or None where there are no values, or each process has some of them.
    """
    if weight.is_meta or hasattr(weight, "device_mesh"):
        return None
    weight = weight.detach()
    exact = torch.float32 if weight.device.type == "mps" else torch.float64
    return torch.stack([weight.sum(dtype=exact), torch.linalg.vector_norm(weight, dtype=exact)])


def is_of(weight: Tensor, known: Tensor | None) -> bool:
    """Whether a summary is that of these weights, which may have been rounded since."""
    found = summary(weight)
    if found is None or known is None:
        return False
    (total, norm), (known_total, known_norm) = found.tolist(), known.tolist()
    rounding = 8 * torch.finfo(weight.dtype).eps * known_norm
    return abs(total - known_total) <= rounding and abs(norm - known_norm) <= rounding
