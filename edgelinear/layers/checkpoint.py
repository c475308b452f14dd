"""The wiring in a state dict: checked like any other, compared, and never taken unasked."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgelinear.layers.parametrizations import Rule
from edgelinear.topology import Topology, Wiring
from edgelinear.topology.checks import as_edge_index
from edgelinear.topology.wiring import as_names

# What a state dict holds beside the parameters of a module: its wiring, and the names of its nodes
# where they have some.
WIRING, NAMES = ("edge_index", "shape"), ("in_names", "out_names")
KEYS = (*WIRING, *NAMES)
RULES = "parametrizations.weight."  # what stands before the parameters of weights with rules


def entries_of(wiring: Wiring, prefix: str) -> dict[str, Tensor]:
    """Return what a state dict holds of a module beside its parameters."""
    topology = wiring.topology
    entries = {prefix + "edge_index": topology.edge_index, prefix + "shape": shape_of(topology)}
    for key in NAMES:
        names = getattr(wiring, key)
        if names is not None:
            entries[prefix + key] = _as_bytes(names)
    return entries


def shape_of(topology: Topology) -> Tensor:
    """Return in_features and out_features as a tensor, which a state dict holds."""
    return torch.tensor((topology.in_features, topology.out_features), device="cpu")


def compare(
    wiring: Wiring, rules: Sequence[nn.Module], state: Mapping[str, Tensor], prefix: str
) -> tuple[list[str], dict[str, list[str | int]]]:
    """Return why a state dict is not one of this module, if so; and the names in it, by their key.

    Everything is compared before anything is loaded. `rules` are all parametrizations of the
    weight, in their order.
    """
    found: list[str | None] = []
    topology = wiring.topology
    saved_rules = [value for key, value in state.items() if key.startswith(prefix + RULES)]
    parameters = saved_rules if rules else [state.get(prefix + "weight")]
    if not _is_compared_by_rank_0(parameters, state, prefix):
        other_wiring = _refuse_topology(topology, state, prefix)
        if other_wiring is not None:
            return [other_wiring], {}
        if saved_rules and not rules:
            found.append(
                f"`{prefix}weight` in this checkpoint has rules: apply the same ones first."
            )
        for i, rule in enumerate(rules):
            if saved_rules and isinstance(rule, Rule):
                found.append(rule.refuse(state, f"{prefix}{RULES}{i}."))
    names = {}
    for key, size in zip(NAMES, (topology.in_features, topology.out_features), strict=True):
        try:
            saved = saved_names(state, prefix + key, size)
        except ValueError as error:
            found.append(str(error))
            continue
        if saved is not None:
            names[key] = saved
            found.append(_refuse_names(getattr(wiring, key), saved, prefix + key))
    return [sentence for sentence in found if sentence is not None], names


def saved_topology(state: Mapping[str, Tensor], prefix: str = "") -> Topology:
    """Return the wiring that a state dict holds: row 0 of its edges the source, row 1 the target.

    Raises:
        ValueError: if the wiring is missing, or its indices do not fit its shape.
    """
    in_features, out_features, edges = _read_wiring(state, prefix)
    try:
        return Topology(in_features, out_features, edges, duplicates="keep")
    except ValueError as error:
        raise ValueError(f"`{prefix}edge_index` in this checkpoint is corrupt: {error}") from error


def saved_names(state: Mapping[str, Any], key: str, size: int) -> list[str | int] | None:
    """Return the names in a state dict, or None where it has none.

    Raises:
        ValueError: if they are no JSON list of `size` different names.
    """
    if key not in state:
        return None
    try:
        names = json.loads(state[key].to("cpu", torch.uint8).numpy().tobytes())
        if not isinstance(names, list):
            raise TypeError("they are no list")
        return as_names(key, names, size)
    except (TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"`{key}` in this checkpoint is corrupt: {error}") from error


def _as_bytes(names: list[str | int]) -> Tensor:  # (bytes,) uint8
    """Return names as a JSON list, which a state dict holds as a tensor."""
    return torch.from_numpy(np.frombuffer(json.dumps(names).encode(), dtype=np.uint8).copy())


def _refuse_topology(here: Topology, state: Mapping[str, Tensor], prefix: str) -> str | None:
    """Return None if the saved wiring is this one, or a sentence that says how it differs."""
    try:
        in_features, out_features, there = _read_wiring(state, prefix)
    except ValueError as error:
        return str(error)
    what = _difference(here, in_features, out_features, there)
    if what is None:
        return None
    return (
        f"`{prefix}edge_index` in this checkpoint is another wiring ({what}). "
        "Use el.adopt_wiring to take it."
    )


def _refuse_names(ours: list[str | int] | None, saved: list[str | int], key: str) -> str | None:
    """Return None, or a sentence that says how the saved names differ from those here."""
    if ours is None or ours == saved:
        return None
    i = next(i for i, (a, b) in enumerate(zip(ours, saved, strict=True)) if a != b)
    return (
        f"`{key}` in this checkpoint holds other names: number {i} is {ours[i]!r} here, "
        f"{saved[i]!r} there. Use el.adopt_wiring to take them."
    )


def _is_compared_by_rank_0(
    parameters: Iterable[Tensor | None], state: Mapping[str, Tensor], prefix: str
) -> bool:
    """Whether this is what torch's `broadcast_from_rank0` hands to other ranks: parameters alone.

    They come as shards. The wiring they were saved with stays on rank 0, which compares it.
    """
    return (
        any(hasattr(parameter, "device_mesh") for parameter in parameters)
        and torch.distributed.get_rank() > 0
        and not any(prefix + key in state for key in WIRING)
    )


def _read_wiring(state: Mapping[str, Tensor], prefix: str) -> tuple[int, int, Tensor]:
    """Return the two sizes and the edges, whose values may still be anything."""
    for key in WIRING:
        if prefix + key not in state:
            layers = [repr(k.removesuffix(WIRING[0])) for k in state if k.endswith(WIRING[0])]
            hint = (
                f"it has layers under the prefix{'es' * (len(layers) > 1)} {', '.join(layers)}."
                if layers
                else "was it saved from an EdgeLinear?"
            )
            raise ValueError(
                f"the state dict holds no `{prefix}{key}`, which says how the layer is wired: "
                f"{hint}"
            )
    shape = torch.as_tensor(state[prefix + "shape"])
    if shape.shape != (2,) or shape.is_floating_point() or shape.is_complex():
        raise ValueError(
            f"`{prefix}shape` must hold 2 integers, in_features and out_features, "
            f"got {shape.dtype} of shape {tuple(shape.shape)}."
        )
    in_features, out_features = shape.tolist()
    try:
        return in_features, out_features, as_edge_index(state[prefix + "edge_index"])
    except (TypeError, ValueError) as error:
        raise ValueError(f"`{prefix}edge_index` in this checkpoint is corrupt: {error}") from error


def difference(here: Topology, there: Topology) -> str | None:
    """Return None for equal wirings, or how the other one differs, in a few words."""
    if here == there:
        return None
    return _difference(here, there.in_features, there.out_features, there.edge_index.cpu())


def _difference(here: Topology, in_features: int, out_features: int, there: Tensor) -> str | None:
    ours = here.edge_index.cpu()
    if (here.in_features, here.out_features) != (in_features, out_features):
        return (
            f"{here.in_features} -> {here.out_features} features here, "
            f"{in_features} -> {out_features} there"
        )
    if here.num_edges != there.shape[1]:
        return f"{here.num_edges} edges here, {there.shape[1]} there"
    return None if torch.equal(ours, there) else _first_difference(ours, there)


def _first_difference(ours: Tensor, theirs: Tensor) -> str:
    def in_order(edges: Tensor) -> Tensor:
        return edges[:, np.lexsort(edges.numpy())]

    if torch.equal(in_order(ours), in_order(theirs)):
        return "the same edges in another order"
    edge = int((ours != theirs).any(0).nonzero()[0])
    (src, dst), (other_src, other_dst) = ours[:, edge].tolist(), theirs[:, edge].tolist()
    return f"edge {edge} is {src} -> {dst} here, {other_src} -> {other_dst} there"
