"""Inputs that are clamped: their nodes are x[t] in step t, and nothing else.

A step reads the last values of all nodes. So the first input is put into the state before the
first step, and each step brings the next one.
"""

import torch
from torch import Tensor

from edgelinear.functional.export import take
from edgelinear.networks.plan import Plan


def ahead(
    x: Tensor,  # (batch, steps, inputs)
    state: Tensor | None,  # (batch, num_nodes)
    going: Tensor | None,  # (batch, steps): whether sequences have not ended
    plan: Plan,
) -> tuple[Tensor, Tensor]:  # (batch, steps, inputs), (batch, num_nodes)
    """Return what the steps bring to the inputs, and the state before the first one."""
    if state is None:
        state = x.new_zeros(x.shape[0], plan.num_nodes)
    first = state.index_copy(1, plan.order[: x.shape[2]], x[:, 0])
    following = torch.cat([x[:, 1:], x[:, -1:]], 1)
    if going is not None:  # what stands beyond the end of a sequence is no input
        goes_on = torch.cat([going[:, 1:], going[:, -1:]], 1)
        following = torch.where(goes_on[..., None], following, x)
    return following, first


def behind(y: Tensor, x: Tensor, plan: Plan) -> Tensor:  # (batch, steps, outputs)
    """Return the outputs, of which those that are inputs are those of their own step."""
    inputs = x.shape[2]
    fed = take(x, 2, plan.outputs.clamp(max=inputs - 1))
    return torch.where(plan.outputs < inputs, fed, y)


def whole(leak: Tensor | None, inputs: int) -> Tensor | None:  # (num_nodes,), by place
    """Return leaks that let inputs go all the way."""
    return None if leak is None else torch.cat([torch.ones_like(leak[:inputs]), leak[inputs:]])
