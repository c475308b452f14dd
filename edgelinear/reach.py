"""`Called`: modules that are right only when they are called, whoever reaches inside of them."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_module_registration_hook


class Called(nn.Module):
    """A module whose `weight` is not the dense matrix that it multiplies by.

    Modules of torch that take `weight` themselves would compute something else, or fail.
    `nn.TransformerEncoderLayer` does so when it evaluates, but calls modules that have a hook: this
    one gets one there. `nn.MultiheadAttention` always does so with its `out_proj`, and refuses it.
    """


def _is_called(module: nn.Module, inputs: tuple[Tensor]) -> None:
    pass


def _enter(parent: nn.Module, name: str, module: Any) -> None:
    """Look at what is assigned to a module of torch."""
    if torch.compiler.is_compiling():  # Dynamo makes modules of its own, which it cannot trace here
        return
    if not isinstance(module, Called):
        return
    if isinstance(parent, nn.TransformerEncoderLayer):
        if _is_called not in module._forward_pre_hooks.values():
            module.register_forward_pre_hook(_is_called)
    elif multiplies_itself(parent):
        kind = type(module).__name__
        raise TypeError(
            f"`{name}` of nn.MultiheadAttention must have a dense matrix for a weight, which is "
            f"multiplied without a call of the module, got {kind}: keep the nn.Linear that is "
            f"there and apply the {kind} to the result, or assign an nn.Linear of the same function"
            f"{' (`layer.to_linear()`)' if hasattr(module, 'to_linear') else ''}."
        )


def multiplies_itself(parent: nn.Module) -> bool:
    """Whether this is attention as torch computes it: a subclass may call its `out_proj`."""
    attention = nn.MultiheadAttention
    return isinstance(parent, attention) and type(parent).forward is attention.forward


# The only door that an assignment passes: the module that is assigned knows nothing of it.
register_module_module_registration_hook(_enter)


def leaf(module: nn.Module, input: Any, forward: Any) -> Any:
    """Return the call of a module in a graph of `torch.fx`, which it enters whole as torch's do.

    Raises:
        TypeError: if the module is traced alone, or does more than `forward` when it is called,
            which would be done twice: while it is traced, and in the graph.
    """
    kind = type(module)
    if input.tracer.root is module:
        raise TypeError(
            f"`torch.fx.symbolic_trace` takes {kind.__name__} inside of a model, got it "
            "alone: put it into an nn.Sequential, or use `torch.export`."
        )
    hooks = {*module._forward_hooks.values(), *module._forward_pre_hooks.values()} - {_is_called}
    if hooks or kind.forward is not forward:
        what = "hooks" if hooks else "a `forward` of its own"
        usual = forward.__qualname__.partition(".")[0]
        raise TypeError(
            f"`torch.fx.symbolic_trace` takes an {usual} without hooks and with its own `forward`, "
            f"got {kind.__name__} with {what}: use `torch.export`."
        )
    path = input.tracer.path_of_module(module)
    return input.tracer.create_proxy("call_module", path, (input,), {})
