"""Inputs and weights that are tensors of tensors: nested ones, and those of many processes.

No operator of this library knows them: they are taken apart, computed, and put together again.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from edgelinear import _torch
from edgelinear.topology import Topology

_PLAIN = (Tensor, torch.nn.Parameter)


def is_wrapped(input: Tensor, weight: Tensor) -> bool:
    """Whether either is a nested tensor or a DTensor."""
    if input.is_nested:
        return True
    return (type(input) not in _PLAIN or type(weight) not in _PLAIN) and (
        _is_distributed(input) or _is_distributed(weight)
    )


def unwrap(
    function: Callable[..., Tensor],
    input: Tensor,
    weight: Tensor,
    topology: Topology,
    bias: Tensor | None,
    dim: int,
) -> Tensor:
    """Return what `function`, which takes plain tensors, gives for these.

    Raises:
        TypeError: if the input is a DTensor and the weight is not, or the other way round.
        ValueError: if features are not in the last dimension, or are not those of the topology.
    """
    if dim not in (-1, input.dim() - 1):
        raise ValueError(f"`dim` must be -1 for an input of {type(input).__name__}, got {dim}.")
    if input.is_nested:
        return _nested(lambda x: function(x, weight, topology, bias), input)
    return _distributed(function, input, weight, topology, bias)


def _nested(function: Callable[[Tensor], Tensor], input: Any) -> Tensor:
    if input.layout is not torch.jagged:
        parts = input.unbind()
        lengths = [math.prod(part.shape[:-1]) for part in parts]  # 0 of an empty sequence
        rows = function(
            torch.cat(
                [p.reshape(number, p.shape[-1]) for p, number in zip(parts, lengths, strict=True)]
            )
        )
        results = [
            y.view(*part.shape[:-1], rows.shape[-1])
            for y, part in zip(rows.split(lengths), parts, strict=True)
        ]
        return torch.nested.as_nested_tensor(results)
    ragged = _torch.ragged_dimension(input)
    if ragged == input.dim() - 1:
        raise ValueError("`input` must hold features in its last dimension, which is ragged here.")
    return torch.nested.nested_tensor_from_jagged(
        function(input.values()), input.offsets(), input.lengths(), jagged_dim=ragged
    )


def _is_distributed(tensor: Tensor) -> bool:
    if not torch.distributed.is_available():
        return False
    from torch.distributed.tensor import DTensor

    return isinstance(tensor, DTensor)


def _distributed(
    function: Callable[..., Tensor],
    input: Any,  # a DTensor, as are the others
    weight: Any,
    topology: Topology,
    bias: Any,
) -> Tensor:
    """Compute each process's samples with the whole weight, as of data parallel training."""
    from torch.distributed.tensor import DTensor, Partial, Replicate, Shard

    for name, tensor in (("input", input), ("weight", weight), ("bias", bias)):
        if tensor is not None and not isinstance(tensor, DTensor):
            raise TypeError(
                f"`{name}` must be a DTensor as the others are, got {type(tensor).__name__}: use "
                "`distribute_tensor` for an input, `distribute_module` for a layer."
            )
    mesh = input.device_mesh
    whole = [Replicate()] * mesh.ndim
    # Samples stay where they are. Features come together, and sums are finished: each target may
    # need any of them.
    kept = [
        place if isinstance(place, Shard) and place.dim % input.dim() != input.dim() - 1 else alone
        for place, alone in zip(input.placements, whole, strict=True)
    ]
    # Processes with other samples each have a share of a weight's gradient.
    shares = [Partial() if isinstance(place, Shard) else Replicate() for place in kept]

    def local(tensor: Any) -> Any:
        if tensor is None:
            return None
        return tensor.redistribute(mesh, whole).to_local(grad_placements=shares)

    y = function(input.redistribute(mesh, kept).to_local(), local(weight), topology, local(bias))
    shape = torch.Size([*input.shape[:-1], topology.out_features])
    stride = torch.empty(shape, device="meta").stride()
    return DTensor.from_local(y, mesh, kept, run_check=False, shape=shape, stride=stride)
