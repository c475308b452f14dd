"""`rewire`: take edges away and add others, in place."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from edgelinear.layers.module import EdgeModule, refill
from edgelinear.rewiring import rules, state
from edgelinear.rewiring.edges import Change, change_of
from edgelinear.rewiring.processes import check_same
from edgelinear.rewiring.rules import New
from edgelinear.topology import EdgeMap
from edgelinear.topology.numbers import as_numbers


@torch.no_grad()
def rewire(
    layer: EdgeModule,
    *,
    keep: Any = None,  # (num_edges,) truth values, or the numbers of edges
    add: Any = None,  # (2, number)
    weight: Any = 0.0,  # or (number,), or "init"
    optimizer: torch.optim.Optimizer | None = None,
    index: Any = None,  # (number,)
    scale: Any = None,  # (number,)
    generator: torch.Generator | None = None,
    group: Any = None,
) -> EdgeMap:
    """Take edges away and add others, in place, and return which old edge each one is.

    The layer stays the same module and its parameters the same objects, with the values, the state
    of the optimizer, the rules and the names of edges that stay, which keep their order; new ones
    go where a sorted wiring has them, and else to the end. Gradients are dropped, unless nothing
    changes. Whatever else has an entry an edge, as an average of the weights, follows the map.

    Args:
        layer: an EdgeLinear, an EdgeNetwork or an EdgeRNN.
        keep: which edges stay: a truth value for each, or their numbers; all by default.
        add: new edges: a tensor or an array of row 0 the source, row 1 the target; or a list of
            (source, target) tuples, of numbers, or of names where these are strings; or what an
            importer of `el.convert` found.
        weight: what new edges start at: a number, or one for each in the order of `add`, or "init"
            for a draw by the fan-in of their target, as it is then.
        optimizer: what trains the weights. Leave it out only if there is none: new edges would go
            on with the momenta of others. Its state follows the edges, and starts anew for new
            ones: with zeros, but for the sums of Adagrad and the step sizes of Rprop. Steps are
            counted for all edges together, so that Adam moves new ones further at first.
        index: for edges that share parameters by `rules.tie`, the parameter of each new edge.
        scale: likewise, what each is multiplied with; 1 by default.
        generator: of the draws of "init".
        group: processes that are to make the same change, as `torch.distributed.group.WORLD`: it is
            compared, and refused where they differ.

    Raises:
        TypeError, ValueError: if something does not fit; the message says what would. The layer and
            the optimizer are then as they were.

    Example:
        >>> layer = EdgeLinear(3, 2, [(0, 0), (1, 0), (2, 1)], weight=[1.0, 2.0, 3.0])
        >>> optimizer = torch.optim.Adam(layer.parameters())
        >>> edges = rewire(layer, keep=[0, 2], add=[(0, 1)], weight=0.5, optimizer=optimizer)
        >>> edges.old
        tensor([ 0, -1,  2])
        >>> layer.weight.tolist()
        [1.0, 0.5, 3.0]
    """
    try:
        plan = planned(layer, keep, add, (weight, index, scale), optimizer, generator)
    except (TypeError, ValueError) as error:
        if group is not None:
            check_same(group, repr(error))  # or the others would wait
        raise
    if group is not None:
        check_same(group, None if plan is None else plan.said)
    if plan is None:
        return EdgeMap.identity(layer.num_edges)
    return commit(layer, plan)


class Plan(NamedTuple):
    """A change that fits, before anything is changed."""

    change: Change
    rules: list[rules.Followed]
    moved: list[state.Moved]
    start: Tensor  # (num_edges,): zeros but for new edges
    values: Tensor  # of the parameter that the weight follows
    is_drawn: bool

    @property
    def said(self) -> tuple[Tensor, ...]:
        """What processes compare."""
        return self.change.topology.edge_index, self.start


def planned(
    layer: EdgeModule,
    keep: Any,
    add: Any,
    given: tuple[Any, Any, Any],  # weight, index and scale of the new edges
    optimizer: Any,
    generator: torch.Generator | None,
) -> Plan | None:
    """Return what is to change, or None if nothing is."""
    check_layer(layer)
    change = change_of(layer, keep, add)
    new = _new(layer, 0 if change is None else len(change.added), *given)
    if change is None:
        return None
    found = rules.followed(layer.rules, layer.topology, change, new)
    (parameter,) = layer.edge_parameters()
    entries, edges = (found[0].entries, found[0].edges) if found else (change.edges, None)
    moved = [] if optimizer is None else state.moved_state(optimizer, parameter, entries)
    start = _start(layer, change, new, generator)
    fill = start if edges is None else start[edges]
    values = entries.follow(parameter.detach(), fill=fill)
    return Plan(change, found, moved, start, values, layer._is_drawn and new.weight is None)


def commit(layer: EdgeModule, plan: Plan) -> EdgeMap:
    """Change the layer, and return which old edge each one is."""
    (parameter,) = layer.edge_parameters()
    layer._take_topology(plan.change.topology)  # which may refuse it: nothing was changed before
    rules.commit(plan.rules)
    refill(parameter, plan.values)
    layer._place_topology()
    state.commit(plan.moved)
    if plan.is_drawn:
        layer._mark_drawn()
    return plan.change.edges


def check_layer(layer: Any) -> None:
    """Refuse what has no weights of its own that can change."""
    if not isinstance(layer, EdgeModule):
        raise TypeError(
            "`layer` must be an EdgeLinear, an EdgeNetwork or an EdgeRNN, got "
            f"{type(layer).__name__}."
        )
    stand_in = layer._stand_in()
    if stand_in is not None:
        raise ValueError(
            f"`weight` is computed from `{stand_in}`, as by `torch.nn.utils.prune` or "
            "`weight_norm`: take that off first."
        )
    for parameter in layer.edge_parameters():
        if parameter.is_meta:
            raise ValueError("the weights are on the meta device: use `to_empty` first.")
        if hasattr(parameter, "device_mesh"):
            raise ValueError(
                "the weights are sharded, as by `fully_shard`, and each process has some of them: "
                "rewire the layer before it is sharded."
            )


def _new(layer: EdgeModule, number: int, weight: Any, index: Any, scale: Any) -> New:
    """Return what is given for new edges, checked."""
    given: Tensor | None = None
    if isinstance(weight, str):
        if weight != "init":
            raise ValueError(f'`weight` must be numbers or "init", got {weight!r}.')
    else:
        given = _per_edge("weight", weight, number).to(layer.topology.device)
    if index is not None:
        index = _per_edge("index", index, number)
        if index.is_floating_point() or index.is_complex() or index.dtype == torch.bool:
            raise TypeError(f"`index` must hold whole numbers, got {index.dtype}.")
    if scale is not None:
        scale = _per_edge("scale", scale, number)
        wrong = ~scale.isfinite() | (scale == 0)
        if wrong.any():
            at = int(wrong.nonzero()[0])
            raise ValueError(f"`scale` must be finite and not zero, got {scale[at]:g} at {at}.")
    return New(given, index, scale)


def _per_edge(name: str, values: Any, number: int) -> Tensor:
    values = as_numbers(f"`{name}`", values).detach()
    if values.dim() and values.shape != (number,):
        raise ValueError(
            f"`{name}` must be one number, or one for each of the {number} new edges, got shape "
            f"{tuple(values.shape)}."
        )
    if values.is_complex():
        raise TypeError(f"`{name}` must be real, got {values.dtype}.")
    return values.expand(number)


def _start(
    layer: EdgeModule, change: Change, new: New, generator: torch.Generator | None
) -> Tensor:  # (num_edges,): zeros but for new edges
    """Return what new edges start at, following the signs that they will have."""
    (parameter,) = layer.edge_parameters()
    start = torch.zeros(change.edges.num_edges, dtype=parameter.dtype)
    if new.weight is not None:
        start[change.added] = new.weight.to("cpu", parameter.dtype)
        return start.to(parameter.device)
    bound = layer._init_bound(change.topology)[change.added]
    draws = torch.empty(len(bound), dtype=torch.float32)
    draws = draws.uniform_(-1.0, 1.0, generator=generator) * bound
    start[change.added] = draws.to(parameter.dtype)
    return start.to(parameter.device)
