"""What rules check of a layer and of what is given for its edges."""

from typing import Any

import torch
from torch import Tensor

from edgelinear.layers import EdgeLinear


def per_edge(layer: EdgeLinear, name: str, values: Any) -> Tensor:
    check_layer(layer)
    values = as_tensor(name, values).to(layer.weight.device)
    if values.shape != (layer.num_edges,):
        raise ValueError(
            f"`{name}` must have one entry for each of the {layer.num_edges} edges, "
            f"got shape {tuple(values.shape)}."
        )
    return values


def as_tensor(name: str, values: Any) -> Tensor:
    try:
        return torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"`{name}` must be a tensor, an array or a list of numbers, got "
            f"{type(values).__name__}: {error}. (pandas.factorize numbers names.)"
        ) from error


def check_layer(layer: EdgeLinear) -> None:
    if not isinstance(layer, EdgeLinear):
        raise TypeError(f"`layer` must be an EdgeLinear, got {type(layer).__name__}.")
    weight = layer.weight
    if weight.device.type == "meta" or hasattr(weight, "device_mesh"):
        where = "on the meta device" if weight.device.type == "meta" else "sharded"
        raise ValueError(
            f"rules need the values of the weights, and these are {where}: "
            "make rules on a device, and shard the layer afterwards."
        )
