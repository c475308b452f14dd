"""Rules of weights, when their edges change: what each becomes, before any of it does."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from edgelinear.layers.parametrizations import Frozen, Rule, Signed, Tied
from edgelinear.rewiring.edges import Change
from edgelinear.topology import EdgeMap, Topology


class New(NamedTuple):
    """What is given for the new edges, in the order given."""

    weight: Tensor | None  # (number,), or None where they are drawn
    shared: Tensor | None  # (number,): the parameter of each, where edges share some
    scale: Tensor | None  # (number,)


class Followed(NamedTuple):
    """The tensors of a rule for other edges, and what becomes of the entries of its parameter."""

    rule: Rule
    tensors: dict[str, Tensor]
    entries: EdgeMap
    edges: Tensor | None  # the edge of each entry, or None if they are all edges


def followed(rules: list[nn.Module], before: Topology, change: Change, new: New) -> list[Followed]:
    """Return what becomes of each rule. Nothing is changed.

    Raises:
        ValueError: if a rule needs to know more of the new edges, or does not agree with them.
    """
    found = []
    for rule in rules:
        follow = _FOLLOW.get(type(rule))
        if follow is None:
            raise ValueError(
                f"`rewire` cannot take {type(rule).__name__} along, which the weight follows: take "
                "it off by `torch.nn.utils.parametrize.remove_parametrizations`."
            )
        found.append(follow(rule, before, change, new))
    is_tied = any(isinstance(rule, Tied) for rule in rules)
    for name, given in (("index", new.shared), ("scale", new.scale)):
        if given is not None and not is_tied:
            raise ValueError(f"`{name}` is for edges that share parameters, and none here do.")
    return found


def commit(found: list[Followed]) -> None:
    for rule, tensors, *_ in found:
        for name, tensor in tensors.items():
            kept = rule.__dict__ if name in rule.fixed else rule._buffers
            kept[name] = tensor


def _signed(rule: Signed, before: Topology, change: Change, new: New) -> Followed:
    signs = change.edges.follow(rule.signs)
    if len(change.added):
        sources = change.topology.src[change.added].long().to(signs.device)
        signs[change.added.to(signs.device)] = _of_sources(rule.signs, before, sources, new)
    return Followed(rule, {"signs": signs}, change.edges, None)


def _of_sources(signs: Tensor, before: Topology, sources: Tensor, new: New) -> Tensor:
    """Return the sign of each source: that of its edges, or else of the weight given."""
    src = before.src.long().to(signs.device)
    number = before.in_features
    low = signs.new_full((number,), 2).scatter_reduce(0, src, signs, "amin")[sources]
    high = signs.new_full((number,), -2).scatter_reduce(0, src, signs, "amax")[sources]
    known = low == high
    given = torch.zeros_like(low) if new.weight is None else new.weight.sign().to(low)
    sign = torch.where(known, low, given)
    if (sign == 0).any():
        node = int(sources[sign == 0][0])
        what = "no edges" if low[sign == 0][0] == 2 else "edges of both signs"
        raise ValueError(
            f"new edges out of {node} need a sign, and it has {what} so far: pass a `weight` for "
            "each new edge that has it."
        )
    if new.weight is not None and new.shared is None:
        wrong = new.weight.to(low) * sign <= 0
        if wrong.any():
            at = int(wrong.nonzero()[0])
            value = float(new.weight[at])
            raise ValueError(
                f"new edges out of {int(sources[at])} must have the sign {int(sign[at]):+d}, got "
                f"the weight {value:g}"
                + (", which would stay 0, as it has no gradient: " if value == 0 else ": ")
                + 'pass weight="init", or values of that sign.'
            )
    return sign


def _tied(rule: Tied, before: Topology, change: Change, new: New) -> Followed:
    entries = EdgeMap.identity(rule.number)
    index, scale = change.edges.follow(rule.index), change.edges.follow(rule.scale)
    if len(change.added):
        if new.shared is None:
            raise ValueError(
                "edges share parameters here: pass `index`, the parameter of each new edge, and "
                "`scale` if it is not 1."
            )
        if int(new.shared.min()) < 0 or int(new.shared.max()) >= rule.number:
            raise ValueError(
                f"`index` must be from 0 to {rule.number - 1}, the parameters that there are, got "
                f"{int(new.shared.min())} to {int(new.shared.max())}."
            )
        if new.weight is not None and bool((new.weight != 0).any()):
            raise ValueError(
                "`weight` must be left out where edges share parameters, which say what it is."
            )
        added = change.added.to(index.device)
        index[added] = new.shared.to(index)
        scale[added] = 1.0 if new.scale is None else new.scale.to(scale)
    none = torch.zeros(0, dtype=torch.long)
    return Followed(rule, {"index": index, "scale": scale}, entries, none)


def _frozen(rule: Frozen, before: Topology, change: Change, new: New) -> Followed:
    # Of each edge, where its value is: among those that move, or, as -2 - i, among the others.
    number = len(rule.still) + len(rule.moving)
    device = rule.moving.device
    value = torch.empty(number, dtype=torch.long, device=device)
    value[rule.moving] = torch.arange(len(rule.moving), device=device)
    value[rule.still] = -2 - torch.arange(len(rule.still), device=device)
    after = change.edges.follow(value, fill=-1)
    moving, still = (found.nonzero()[:, 0] for found in (after > -2, after <= -2))
    tensors = {"moving": moving, "still": still, "frozen": rule.frozen[-2 - after[still]]}
    return Followed(rule, tensors, EdgeMap(after[moving].cpu()), moving)


_FOLLOW: dict[type, Callable[[Any, Topology, Change, New], Followed]] = {
    Signed: _signed,
    Tied: _tied,
    Frozen: _frozen,
}
