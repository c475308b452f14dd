"""To dense matrices and layers of the same function, and from them."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from edgelinear.baselines import MaskedLinear
from edgelinear.topology import Topology


def matrix(weight: Tensor, topology: Topology) -> Tensor:  # (out_features, in_features)
    """Return W with `W[dst[e], src[e]] = weight[e]`, differentiable; parallel edges add up.

    Half types add up in float32 and are rounded once, as in the layer.
    """
    wide = weight.to(torch.promote_types(weight.dtype, torch.float32))
    dense = wide.new_zeros(topology.out_features, topology.in_features)
    dense = dense.index_put((topology.dst, topology.src), wide, accumulate=True)
    return dense.to(weight.dtype)


def linear_twin(weight: Tensor, bias: Tensor | None, topology: Topology) -> nn.Linear:
    """Return an `nn.Linear` of the same function."""
    sizes = topology.in_features, topology.out_features
    return _filled(nn.Linear(*sizes, **_like(weight, bias)), weight, bias, topology)


def masked_twin(weight: Tensor, bias: Tensor | None, topology: Topology) -> MaskedLinear:
    """Return a dense layer of the same function, whose weight is masked to the edges."""
    sizes = topology.in_features, topology.out_features
    mask = torch.zeros(sizes[::-1], dtype=torch.bool)
    mask[topology.dst.cpu(), topology.src.cpu()] = True
    return _filled(MaskedLinear(*sizes, mask, **_like(weight, bias)), weight, bias, topology)


def _like(weight: Tensor, bias: Tensor | None) -> dict[str, Any]:
    return dict(bias=bias is not None, device=weight.device, dtype=weight.dtype)


@torch.no_grad()
def _filled(twin: Any, weight: Tensor, bias: Tensor | None, topology: Topology) -> Any:
    twin.weight.copy_(matrix(weight, topology))
    if bias is not None:
        twin.bias.copy_(bias)
    return twin


def bias_of(linear: nn.Linear) -> Tensor | None:
    """Return the bias of an `nn.Linear` as its next forward will have it."""
    mask = getattr(linear, "bias_mask", None)
    if mask is None:
        return linear.bias
    return mask * linear.bias_orig  # pruned: `linear.bias` is stale until then


def saved_linear(state: Mapping[str, Tensor], prefix: str) -> nn.Linear | None:
    """Return the `nn.Linear` that a state dict holds in the place of a layer, if it does.

    Raises:
        ValueError: if its bias has not as many entries as its weight has rows.
    """
    entries = {key[len(prefix) :]: state[key] for key in state if key.startswith(prefix)}
    masks = {
        name: entries[f"{name}_mask"]
        for name in ("weight", "bias")
        if {f"{name}_orig", f"{name}_mask"} <= entries.keys()
    }
    weight, bias = (entries.get(f"{n}_orig" if n in masks else n) for n in ("weight", "bias"))
    if "edge_index" in entries or weight is None or weight.dim() != 2:
        return None
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(
            f"`{prefix}bias` in this checkpoint must have shape ({weight.shape[0]},) beside a "
            f"weight of shape {tuple(weight.shape)}, got {tuple(bias.shape)}."
        )
    outputs, inputs = weight.shape
    linear = nn.Linear(inputs, outputs, bias=bias is not None, device="meta")
    linear.weight = nn.Parameter(weight, requires_grad=False)
    if bias is not None:
        linear.bias = nn.Parameter(bias, requires_grad=False)
    for name, mask in masks.items():
        prune.custom_from_mask(linear, name, mask)
    return linear
