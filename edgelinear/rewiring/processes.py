"""Whether all processes make the same change."""

import hashlib
from typing import Any

import torch.distributed as dist

from edgelinear.layers.module import EdgeModule
from edgelinear.rewiring.edges import Change
from edgelinear.rewiring.rules import New


def check_same(group: Any, layer: EdgeModule, change: Change | None, new: New) -> None:
    """Refuse a change that is another one elsewhere, in all processes alike.

    Raises:
        RuntimeError: if processes differ.
    """
    digest = hashlib.sha256()
    if change is not None:
        for tensor in (change.topology.edge_index, change.edges.old, *new):
            digest.update(b"-" if tensor is None else tensor.cpu().contiguous().numpy().tobytes())
    found: list = [None] * dist.get_world_size(group)
    dist.all_gather_object(found, digest.hexdigest(), group)
    if len(set(found)) > 1:
        others = [rank for rank, one in enumerate(found) if one != found[0]]
        raise RuntimeError(
            f"processes would rewire in different ways, as rank {others[0]} and rank 0: draw what "
            "is kept and added from a generator with the same seed in all of them."
        )
