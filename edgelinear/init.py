"""The initialisation that every layer here shares: by the true fan-in of each target."""

from typing import Any

import torch
from torch import Tensor


def bound_by_fan_in(
    fan_in: Tensor,  # (out_features,)
    targets: Tensor | None = None,
) -> Tensor:
    """Return 1/sqrt(fan_in) of each target, or of the target of each element, in float32."""
    bound = torch.where(fan_in > 0, fan_in.clamp(min=1).to(torch.float32).rsqrt(), 0.0)
    return bound if targets is None else bound[targets]


@torch.no_grad()
def init_by_fan_in(
    parameter: Tensor,
    fan_in: Tensor,  # (out_features,)
    targets: Tensor | None = None,
) -> None:
    """Draw `parameter` uniform in +-1/sqrt(fan_in), and 0 where nothing comes in.

    Element i belongs to target `targets[i]`, or to target i. With inputs of unit variance and no
    bias, outputs then have a standard deviation of 1/sqrt(3) = 0.58 whatever the degrees, as those
    of `nn.Linear` do (He et al. 2015, arXiv 1502.01852, with a = sqrt(5)).
    """
    if parameter.is_meta:
        return
    bound = bound_by_fan_in(fan_in, targets)
    bound = bound.to(parameter.device, parameter.dtype).reshape(-1, *[1] * (parameter.dim() - 1))
    # All values are drawn, also where this process keeps a shard of them: processes have the same
    # seed, and would draw the same numbers for different shards.
    values = torch.empty(parameter.shape, dtype=parameter.dtype, device=parameter.device)
    parameter.copy_(sharded_like(parameter, values.uniform_(-1.0, 1.0).mul_(bound)))


def sharded_like(parameter: Any, values: Tensor) -> Tensor:
    """Shard `values` as `parameter` is, where FSDP has sharded it."""
    if not hasattr(parameter, "device_mesh"):
        return values
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(values, parameter.device_mesh, parameter.placements)
