"""The wiring in a state dict: checked like any other, compared, and never taken unasked."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgelinear.layers.entries import Comparison, is_exact, is_near, largest_exact
from edgelinear.layers.names import NAMES, refuse_names, saved_names
from edgelinear.layers.parametrizations import Rule
from edgelinear.topology import Topology, Wiring
from edgelinear.topology.checks import as_edge_index

# What a state dict holds beside the parameters of a module: its wiring, and the names of its nodes
# where they have some.
WIRING = ("edge_index", "shape")
KEYS = (*WIRING, *NAMES)
RULES = "parametrizations.weight."  # what stands before the parameters of weights with rules


def shape_of(topology: Topology) -> Tensor:
    """Return in_features and out_features as a tensor, which a state dict holds."""
    return torch.tensor((topology.in_features, topology.out_features), device="cpu")


def is_edge_weight(name: str) -> bool:
    """Whether a layer calls so what its weights follow: rules and hooks of torch keep their own."""
    return name == "weight" or name.startswith(RULES) or (name[:7] == "weight_" and "." not in name)


def compare(
    wiring: Wiring,
    rules: Sequence[nn.Module],
    state: Mapping[str, Tensor],
    prefix: str,
    *,
    alone: bool,
) -> Comparison:
    """Compare a state dict with a module, before anything is loaded.

    Where it holds weights it must hold their wiring, unless they may come `alone`. Where it holds
    none, what else is there is compared. `rules` are all parametrizations of the weight, in order.
    """
    weights = {
        key: value
        for key, value in state.items()
        if key.startswith(prefix) and is_edge_weight(key[len(prefix) :])
    }
    missing = [prefix + key for key in WIRING if prefix + key not in state]
    if not weights:
        missing += [f"{prefix}{key}" for key in _rule_keys(rules)]
    refused: list[str | None] = []
    here = [key for key in WIRING if prefix + key in state]
    if not here and is_compared_by_rank_0(weights.values()):
        missing = []
    else:
        if here or (weights and not alone):
            other_wiring = _refuse_topology(wiring.topology, state, prefix, bool(weights))
            if other_wiring is not None:
                return Comparison([other_wiring])
        refused += _refuse_rules(rules, state, prefix)
    sizes = wiring.topology.in_features, wiring.topology.out_features
    other_names, names = compare_names((wiring.in_names, wiring.out_names), sizes, state, prefix)
    refused += other_names
    return Comparison([sentence for sentence in refused if sentence is not None], missing, names)


def compare_names(
    ours: tuple[Any, Any], sizes: tuple[int, int], state: Mapping[str, Tensor], prefix: str
) -> tuple[list[str | None], dict[str, list]]:
    """Return what is refused of saved names of inputs and outputs, and those that there are."""
    refused: list[str | None] = []
    names: dict[str, list] = {}
    for key, here, size in zip(NAMES, ours, sizes, strict=True):
        try:
            saved = saved_names(state, prefix + key, size)
        except ValueError as error:
            refused.append(str(error))
            continue
        if saved is not None:
            names[key] = saved
            refused.append(refuse_names(here, saved, prefix + key))
    return refused, names


def saved_topology(state: Mapping[str, Tensor], prefix: str = "") -> Topology:
    """Return the wiring that a state dict holds: row 0 of its edges the source, row 1 the target.

    Raises:
        ValueError: if the wiring is missing, its indices do not fit its shape, or a cast may have
            rounded them.
    """
    _check_whole(state, prefix)
    saved = _saved_wiring(state, prefix)
    rounded = _refuse_rounded(saved, prefix)
    if rounded is not None:
        keys = f"{prefix + 'edge_index'!r}", f"{prefix + 'shape'!r}"
        raise ValueError(
            f"{rounded}. Take them from a checkpoint that it was made of: state[{keys[0]}], "
            f"state[{keys[1]}] = made_of[{keys[0]}], made_of[{keys[1]}]"
        )
    saved = _whole_numbers(saved, prefix)
    in_features, out_features = _sizes(saved["shape"], prefix)
    edges = _edges(saved["edge_index"], prefix)
    try:
        return Topology(in_features, out_features, edges, duplicates="keep")
    except ValueError as error:
        raise ValueError(f"`{prefix}edge_index` in this checkpoint is corrupt: {error}") from error


def saved_weight(state: Mapping[str, Tensor], prefix: str, build: str) -> Tensor:
    """Return the weights that a state dict holds.

    Args:
        build: how to make a module for those that rules or hooks of torch compute.

    Raises:
        ValueError: if it has none, or what computes them.
    """
    if any(key.startswith(prefix + RULES) for key in state):
        raise ValueError(
            f"`{prefix}weight` in this checkpoint has rules: {build}, apply the same rules, and "
            "use `load_state_dict`."
        )
    if prefix + "weight" not in state:
        hint = ""
        if any(key.startswith(prefix + "weight_") for key in state):
            hint = (
                f" It was saved from a layer under `prune` or `weight_norm`: {build}, apply the "
                "same (for a mask, `prune.identity`), and use `load_state_dict`; or remove these "
                "before saving."
            )
        raise ValueError(f"the state dict holds no `{prefix}weight`.{hint}")
    return state[prefix + "weight"]


def _rule_keys(rules: Sequence[nn.Module]) -> list[str]:
    """Return the keys of the entries that rules have in a state dict."""
    own = ((i, rule) for i, rule in enumerate(rules) if isinstance(rule, Rule))
    return [f"{RULES}{i}.{name}" for i, rule in own for name in rule.fixed]


def _refuse_rules(
    rules: Sequence[nn.Module], state: Mapping[str, Tensor], prefix: str
) -> list[str | None]:
    saved = any(key.startswith(prefix + RULES) for key in state)
    if not saved:
        return []
    if not rules:
        return [f"`{prefix}weight` in this checkpoint has rules: apply the same ones first."]
    return [
        rule.refuse(state, f"{prefix}{RULES}{i}.")
        for i, rule in enumerate(rules)
        if isinstance(rule, Rule)
    ]


def _refuse_topology(
    here: Topology, state: Mapping[str, Tensor], prefix: str, whole: bool
) -> str | None:
    """Return None if the saved wiring is this one, or a sentence that says how it differs.

    Where it need not be `whole`, what is there of it is compared.
    """
    ours = {"edge_index": here.edge_index.cpu(), "shape": shape_of(here)}
    try:
        if whole:
            _check_whole(state, prefix)
        saved = _saved_wiring(state, prefix)
        there = _whole_numbers(saved, prefix)
        in_features, out_features = _sizes(there.get("shape", ours["shape"]), prefix)
        edges = _edges(there.get("edge_index", ours["edge_index"]), prefix)
    except ValueError as error:
        return str(error)
    cure = (
        f"If it is this one, replace them: state[{prefix + 'edge_index'!r}], "
        f"state[{prefix + 'shape'!r}] = layer.edge_index, layer.shape"
    )
    what = _difference(here, in_features, out_features, edges)
    if what is None:
        said = _refuse_rounded(saved, prefix)
        return said and f"{said}, so that it may be this wiring, or another. {cure}"
    rounded = _rounded_to(ours, {"edge_index": edges, "shape": there.get("shape", ours["shape"])})
    if rounded is not None:
        return (
            f"`{prefix}edge_index` in this checkpoint is another wiring ({what}), or this one in "
            f"numbers rounded to {rounded}. {cure}"
        )
    return (
        f"`{prefix}edge_index` in this checkpoint is another wiring ({what}). "
        "Use el.adopt_wiring to take it."
    )


def _saved_wiring(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return what is there of a saved wiring, as tensors of any kind."""
    saved = {}
    for key in WIRING:
        if prefix + key in state:
            value = state[prefix + key]
            try:
                saved[key] = torch.as_tensor(value)
            except (TypeError, ValueError, RuntimeError):
                raise ValueError(
                    f"`{prefix}{key}` in this checkpoint is corrupt: it must be a tensor of "
                    f"integers, got {type(value).__name__}."
                ) from None
    return saved


def _whole_numbers(there: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return as integers what an average, or a cast of the whole state dict, made floats."""
    if not all(tensor.is_floating_point() and not tensor.is_meta for tensor in there.values()):
        return there
    integers = {key: tensor.round().long() for key, tensor in there.items()}
    for key, tensor in there.items():
        if not is_near(integers[key], tensor):
            raise ValueError(
                f"`{prefix}{key}` in this checkpoint is corrupt: it holds numbers that are not "
                "whole, as an average of several wirings. Average models of one wiring alone."
            )
    return integers


def _refuse_rounded(there: Mapping[str, Tensor], prefix: str) -> str | None:
    """Return None, or a sentence that says which numbers are too large to be told from others."""
    for key, tensor in there.items():
        if not tensor.is_meta and not is_exact(tensor):
            return (
                f"`{prefix}{key}` in this checkpoint holds numbers rounded to {tensor.dtype}: it "
                f"has all whole ones up to {largest_exact(tensor.dtype)}, and these go up to "
                f"{float(tensor.abs().max()):.0f}"
            )
    return None


def _rounded_to(ours: dict[str, Tensor], there: dict[str, Tensor]) -> torch.dtype | None:
    """Return the type to which these numbers are rounded, if so."""
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        rounded = {key: tensor.to(dtype).long() for key, tensor in ours.items()}
        if all(torch.equal(rounded[key], tensor.long()) for key, tensor in there.items()):
            return dtype
    return None


def is_compared_by_rank_0(parameters: Iterable[Tensor]) -> bool:
    """Whether this is what torch's `broadcast_from_rank0` hands to other ranks: parameters alone.

    They come as shards. The wiring they were saved with stays on rank 0, which compares it.
    """
    sharded = any(hasattr(parameter, "device_mesh") for parameter in parameters)
    return sharded and torch.distributed.get_rank() > 0


def _check_whole(state: Mapping[str, Tensor], prefix: str) -> None:
    for key in WIRING:
        if prefix + key not in state:
            layers = [repr(k.removesuffix(WIRING[0])) for k in state if k.endswith(WIRING[0])]
            matrix = state.get(prefix + "weight", state.get(prefix + "weight_orig"))
            hint = "was it saved from an EdgeLinear?"
            if isinstance(matrix, Tensor) and matrix.dim() == 2:
                hint = (
                    "its weight is the matrix of an nn.Linear. Load it before the model is made "
                    "sparse, or make the layer of it by `EdgeLinear.from_state_dict`."
                )
            elif layers:
                several = "es" * (len(layers) > 1)
                hint = f"it has layers under the prefix{several} {', '.join(layers)}."
            raise ValueError(
                f"the state dict holds no `{prefix}{key}`, which says how the layer is wired: "
                f"{hint}"
            )


def _sizes(shape: Tensor, prefix: str) -> tuple[int, int]:
    """Return in_features and out_features, which may still be anything."""
    if shape.shape != (2,) or shape.is_floating_point() or shape.is_complex() or shape.is_meta:
        raise ValueError(
            f"`{prefix}shape` must hold 2 integers, in_features and out_features, "
            f"got {shape.dtype} of shape {tuple(shape.shape)}."
        )
    in_features, out_features = shape.tolist()
    return in_features, out_features


def _edges(edge_index: Tensor, prefix: str) -> Tensor:
    """Return the edges, whose values may still be anything."""
    if edge_index.is_floating_point():
        raise ValueError(
            f"`{prefix}edge_index` in this checkpoint is corrupt: it must hold integers, got "
            f"{edge_index.dtype}, as after an average or a cast. Take `edge_index` and `shape` "
            "from a checkpoint that it was made of."
        )
    try:
        return as_edge_index(edge_index)
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
