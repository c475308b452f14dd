"""The null models of a trial: their names, their options, and what they draw."""

import inspect
import operator
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from edgelinear import null_models as nulls
from edgelinear.null_models.shared import check_loop_free
from edgelinear.topology import Topology, Wiring

NULL_MODELS: dict[str, Callable[..., Any]] = {
    name: getattr(nulls, name)
    for name in (
        *("degree_preserving", "permute_targets", "erdos_renyi_like", "permute_weights"),
        *("level_preserving", "permute_levels"),
    )
}
# Those that draw no self-loops in any case, of wirings that have none.
_LOOP_FREE = (nulls.permute_weights, nulls.level_preserving, nulls.permute_levels)
USUAL = ("degree_preserving", "permute_targets", "erdos_renyi_like")


def by_name(null_models: Sequence[str | Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    """Return null models by their names, which are those of their functions."""
    if isinstance(null_models, str) or callable(null_models):
        raise TypeError(f"`null_models` must be a list, got {null_models!r}: put it into brackets.")
    found: dict[str, Callable[..., Any]] = {}
    for model in null_models:
        if isinstance(model, str) and model not in NULL_MODELS:
            raise ValueError(f"`null_models` must be among {tuple(NULL_MODELS)}, got {model!r}.")
        name = model if isinstance(model, str) else _name_of(model)
        if name in found:
            raise ValueError(f"`null_models` must have names that differ, got {name!r} twice.")
        found[name] = NULL_MODELS[model] if isinstance(model, str) else model
    if not found:
        raise ValueError("`null_models` must name at least one.")
    return found


def _name_of(model: Any) -> str:
    function = model
    while isinstance(function, partial):
        function = function.func
    name = getattr(function, "__name__", None)
    if name is None or name == "<lambda>":
        raise ValueError(
            "a null model needs a name, by which its scores are kept: define it by `def`, got "
            f"{model!r}."
        )
    return name


def no_self_loops(
    models: dict[str, Callable[..., Any]], wirings: Sequence[Topology | Wiring]
) -> dict[str, Callable[..., Any]]:
    """Return null models that draw no self-loops of these wirings, which have none."""
    for wiring in wirings:
        check_loop_free(wiring if isinstance(wiring, Topology) else wiring.topology)
    found = {}
    for name, model in models.items():
        if model in _LOOP_FREE:
            found[name] = model
            continue
        takes = inspect.signature(model).parameters
        if "self_loops" not in takes and not any(p.kind is p.VAR_KEYWORD for p in takes.values()):
            raise ValueError(
                f"the null model `{name}` takes no `self_loops`: give it that argument, or leave "
                "self_loops=False to functions that take it, by `functools.partial`."
            )
        found[name] = partial(model, self_loops=False)
    return found


def as_fixed(fixed: Any, wirings: Sequence[Topology | Wiring]) -> tuple[int, ...]:
    """Return the positions of the wirings that stay, in ascending order."""
    if isinstance(fixed, str | Topology | Wiring) or not isinstance(fixed, Sequence):
        raise TypeError(f"`fixed` must be a list, got {fixed!r}: put it into brackets.")
    number, found = len(wirings), set()
    for one in fixed:
        if isinstance(one, Topology | Wiring):
            places = [i for i, wiring in enumerate(wirings) if wiring is one]
        else:
            try:
                at = operator.index(one)
            except TypeError:
                raise TypeError(
                    f"`fixed` must hold positions or topologies, got {one!r}."
                ) from None
            places = [at % number] if -number <= at < number else []
        if not places:
            raise ValueError(
                f"`fixed` must name some of the {number} topologies, by position or themselves, "
                f"got {one!r}."
            )
        found.update(places)
    if len(found) == number:
        raise ValueError("`fixed` must leave a topology to draw, got all of them.")
    return tuple(sorted(found))


def draw_all(
    name: str,
    draw: Callable[..., Any],
    wirings: Sequence[Topology | Wiring],
    fixed: Sequence[int],
    generator: torch.Generator,
) -> list[Any]:
    """Return what a null model draws for each wiring, and those that are fixed as they are."""
    found = []
    for i, wiring in enumerate(wirings):
        drawn = wiring if i in fixed else draw(wiring, generator=generator)
        kind = Wiring if isinstance(wiring, Wiring) else Topology
        if not isinstance(drawn, kind):
            raise TypeError(
                f"the null model `{name}` must return a {kind.__name__}, as it was given one, got "
                f"{type(drawn).__name__}."
            )
        before, after = _sizes(wiring), _sizes(drawn)
        if before != after:
            raise ValueError(
                f"the null model `{name}` must return a wiring of {before[0]} -> {before[1]} "
                f"features, got {after[0]} -> {after[1]}."
            )
        found.append(drawn)
    return found


def is_same(real: Topology | Wiring, drawn: Topology | Wiring) -> bool:
    """Whether a null model drew the wiring that it was given, with its weights, in any order."""
    return np.array_equal(_in_order(real), _in_order(drawn))


def _in_order(wiring: Topology | Wiring) -> np.ndarray:
    """Return a column an edge: its source, its target, and its weight if it has one."""
    if isinstance(wiring, Topology):
        return _sorted(wiring.edge_index.cpu().numpy())
    edges = wiring.topology.edge_index.cpu().numpy()
    if wiring.weight is None:
        return _sorted(edges)
    return _sorted(np.stack([*edges, wiring.weight.detach().double().cpu().numpy()]))


def _sorted(columns: np.ndarray) -> np.ndarray:
    return columns[:, np.lexsort(columns[::-1])]


def _sizes(wiring: Topology | Wiring) -> tuple[int, int]:
    topology = wiring if isinstance(wiring, Topology) else wiring.topology
    return topology.in_features, topology.out_features
