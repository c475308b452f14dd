"""What a state dict says of a layer whose edges many processes have."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, Shard

from edgelinear.layers import checkpoint
from edgelinear.layers.entries import Comparison, with_local
from edgelinear.parallel.agreement import groups_of, told
from edgelinear.parallel.sharding import Axes
from edgelinear.topology import Share


def compare(
    share: Share, axes: Axes, names: tuple[Any, Any], state: Mapping[str, Tensor], prefix: str
) -> Comparison:
    """Compare a state dict with a layer, as all processes do, before anything is loaded."""
    missing = [prefix + key for key in checkpoint.WIRING if prefix + key not in state]
    sizes = share.in_features, share.out_features
    refused, known = checkpoint.compare_names(names, sizes, state, prefix)
    refused += [None if missing else _refuse(share, axes, state, prefix)]
    if len(missing) == len(checkpoint.WIRING) and prefix + "weight" not in state:
        missing = []
    said = told(groups_of(axes.mesh), [one for one in refused if one is not None])
    return Comparison(next((some for _, some in said if some), []), missing, known)


def _refuse(share: Share, axes: Axes, state: Mapping[str, Tensor], prefix: str) -> str | None:
    """Return None if the saved wiring is this one, or a sentence that says that it is not."""
    saved, shape = (state[prefix + key] for key in checkpoint.WIRING)
    key = f"`{prefix}edge_index` in this checkpoint is"
    if shape.shape != (2,) or saved.dim() != 2 or saved.shape[0] != 2:
        return (
            f"{key} corrupt: it must be (2, number) integers, with 2 of `{prefix}shape`, got "
            f"{tuple(saved.shape)} and {tuple(shape.shape)}."
        )
    here = (share.in_features, share.out_features, share.num_edges)
    there = (*shape.tolist(), saved.shape[1])
    if there != here:
        return (
            f"{key} another wiring: {there[0]} -> {there[1]} features and {there[2]} edges there, "
            f"{here[0]} -> {here[1]} and {here[2]} here."
        )
    if isinstance(saved, DTensor):
        edges = saved.redistribute(placements=axes.placements(Shard(1))).to_local()
    else:
        edges = saved[:, share.start : share.start + share.edge_index.shape[1]]
    edges = edges.cpu()
    if torch.equal(edges, share.edge_index):
        return None
    at = int((edges != share.edge_index).any(0).nonzero()[0])
    ours, theirs = share.edge_index[:, at].tolist(), edges[:, at].tolist()
    return (
        f"{key} another wiring, or has another order: edge {share.start + at} is {ours[0]} -> "
        f"{ours[1]} here and {theirs[0]} -> {theirs[1]} there. Where edges are shared they are in "
        "(target, source) order, as those of `topology.sorted()`; in blocks, in that of the same "
        "grid."
    )


def part(value: Tensor, parameter: Any, axes: Axes) -> Tensor:
    """Return what of the value of a whole parameter is here."""
    if value.shape != parameter.shape:
        return value
    number = len(parameter.to_local())
    start = axes.bounds(len(value))[0] if number < len(value) else 0
    return with_local(parameter, value[start : start + number])
