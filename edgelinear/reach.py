"""`Called`: modules that are right only when they are called, whoever reaches inside of them."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_module_registration_hook


class Called(nn.Module):
    """A module whose `weight` is not the dense matrix that it multiplies by.

    Modules of torch that take `weight` themselves would compute something else, or fail.
    `nn.TransformerEncoderLayer` does so when it evaluates, but calls modules that have a hook: this
    one has. `nn.MultiheadAttention` always does so with its `out_proj`, and refuses this one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_forward_pre_hook(_is_called)


def _is_called(module: nn.Module, inputs: tuple[Tensor]) -> None:
    pass


def _refuse_in_attention(parent: nn.Module, name: str, module: Any) -> None:
    if torch.compiler.is_compiling():  # Dynamo makes modules of its own, which it cannot trace here
        return
    if isinstance(module, Called) and isinstance(parent, nn.MultiheadAttention):
        kind = type(module).__name__
        raise TypeError(
            f"`{name}` of nn.MultiheadAttention must have a dense matrix for a weight, which is "
            f"multiplied without a call of the module, got {kind}: keep the nn.Linear that is "
            f"there and apply the {kind} to the result, or assign an nn.Linear of the same function"
            f"{' (`layer.to_linear()`)' if hasattr(module, 'to_linear') else ''}."
        )


# The only door that an assignment passes: the module that is assigned knows nothing of it.
register_module_module_registration_hook(_refuse_in_attention)


def leaf(module: nn.Module, input: Any) -> Any:
    """Return the call of a module in a graph of `torch.fx`, which it enters whole as torch's do."""
    if input.tracer.root is module:
        raise TypeError(
            f"`torch.fx.symbolic_trace` takes {type(module).__name__} inside of a model, got it "
            "alone: put it into an nn.Sequential, or use `torch.export`."
        )
    path = input.tracer.path_of_module(module)
    return input.tracer.create_proxy("call_module", path, (input,), {})
