"""The `EdgeLinear` that takes the place of an `nn.Linear`."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from edgelinear import convert
from edgelinear.conversion import hooks
from edgelinear.conversion.found import Found
from edgelinear.layers import EdgeLinear
from edgelinear.topology import Topology


def at_edges(matrix: Tensor, topology: Topology) -> Tensor:  # (num_edges,)
    """Return the entry of each edge of a matrix in the layout of `nn.Linear.weight`."""
    here = topology.to(matrix.device)
    return matrix[here.dst, here.src]


@torch.no_grad()
def make_twins(group: list[Found]) -> None:
    """Give layers of one weight layers of its edges, which share their weight as well.

    Raises:
        ValueError: if a weight is not finite.
    """
    first = group[0]
    weight, matrix = first.weight, first.matrix
    assert weight is not None and matrix is not None
    if not matrix.isfinite().all():
        raise ValueError(
            f"`{first.name}` has weights that are NaN or infinite, which spread along edges alone "
            "and not in a matrix: mend or skip the layer."
        )
    mask = matrix if first.mask is None else first.mask
    topology = convert.from_weight_mask(mask.detach()).topology
    shared = nn.Parameter(at_edges(matrix, topology), weight.requires_grad)
    vars(shared).update(vars(weight))  # what users have hung on it
    if weight.grad is not None:
        shared.grad = at_edges(weight.grad, topology)
    for entry in group:
        entry.twin = _twin(entry.linear, topology, shared)


def _twin(linear: nn.Linear, topology: Topology, weight: nn.Parameter) -> EdgeLinear:
    has_bias = linear.bias is not None
    twin = EdgeLinear.from_topology(topology, bias=has_bias, device="meta", dtype=weight.dtype)
    twin.weight = weight
    twin._place_topology()
    hooks.give(linear, twin)
    if has_bias:
        mask = linear._buffers.get("bias_mask")
        twin.bias = linear._parameters["bias" if mask is None else "bias_orig"]
        if mask is not None:
            prune.custom_from_mask(twin, "bias", mask)
    known: dict[str, Any] = vars(nn.Linear(1, 1)) | vars(twin)
    for name, value in vars(linear).items():  # what users have hung on it
        if name not in known and name not in ("weight", "bias"):
            vars(twin)[name] = value
    return twin.train(linear.training)
