"""The wiring in a state dict: checked like any other, compared, and never taken unasked."""

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor

from edgelinear.edges import as_edge_index
from edgelinear.topology import Topology

WIRING = ("edge_index", "shape")  # what a state dict holds beside the parameters of a layer


def saved_topology(state: Mapping[str, Tensor], prefix: str = "") -> Topology:
    """Return the wiring that a state dict holds: row 0 of its edges the source, row 1 the target.

    Raises:
        ValueError: if the wiring is missing, or its indices do not fit its shape.
    """
    in_features, out_features, edges = _read(state, prefix)
    try:
        return Topology(in_features, out_features, edges, duplicates="keep")
    except ValueError as error:
        raise ValueError(f"`{prefix}edge_index` in this checkpoint is corrupt: {error}") from error


def difference(here: Topology, state: Mapping[str, Tensor], prefix: str = "") -> str | None:
    """Return None if the saved wiring is this one, or a sentence that says how it differs."""
    try:
        in_features, out_features, there = _read(state, prefix)
    except ValueError as error:
        return str(error)
    ours = here.edge_index.cpu()
    if (here.in_features, here.out_features) != (in_features, out_features):
        what = (
            f"{here.in_features} -> {here.out_features} features here, "
            f"{in_features} -> {out_features} there"
        )
    elif here.num_edges != there.shape[1]:
        what = f"{here.num_edges} edges here, {there.shape[1]} there"
    elif torch.equal(ours, there):
        return None
    else:
        what = _first_difference(ours, there)
    return (
        f"`{prefix}edge_index` in this checkpoint is another wiring ({what}). "
        "Use el.adopt_wiring to take it."
    )


def rank_0_compares(
    parameters: Iterable[Tensor | None], state: Mapping[str, Tensor], prefix: str = ""
) -> bool:
    """Whether this is what torch's `broadcast_from_rank0` hands to other ranks: parameters alone.

    They come as shards. The wiring they were saved with stays on rank 0, which compares it.
    """
    return (
        any(hasattr(parameter, "device_mesh") for parameter in parameters)
        and torch.distributed.get_rank() > 0
        and not any(prefix + key in state for key in WIRING)
    )


def _read(state: Mapping[str, Tensor], prefix: str) -> tuple[int, int, Tensor]:
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


def _first_difference(ours: Tensor, theirs: Tensor) -> str:
    def in_order(edges: Tensor) -> Tensor:
        return edges[:, np.lexsort(edges.numpy())]

    if torch.equal(in_order(ours), in_order(theirs)):
        return "the same edges in another order"
    edge = int((ours != theirs).any(0).nonzero()[0])
    (src, dst), (other_src, other_dst) = ours[:, edge].tolist(), theirs[:, edge].tolist()
    return f"edge {edge} is {src} -> {dst} here, {other_src} -> {other_dst} there"
