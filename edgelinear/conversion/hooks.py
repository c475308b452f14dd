"""Hooks of a layer, which the one in its place has too."""

import contextlib
from collections.abc import Iterator
from typing import Any

from torch import nn
from torch.nn.utils import prune
from torch.nn.utils.weight_norm import WeightNorm

from edgelinear import reach

# Of each, the hooks, and what is said of them by the same key.
FORWARD = (
    ("_forward_hooks", "_forward_hooks_with_kwargs", "_forward_hooks_always_called"),
    ("_forward_pre_hooks", "_forward_pre_hooks_with_kwargs"),
)
BACKWARD = ("_backward_hooks", "_backward_pre_hooks", "_is_full_backward_hook")


def is_of_layer(hook: Any) -> bool:
    """Whether a hook is the library's own, or computes the weight, which the twin has already."""
    if isinstance(hook, (prune.BasePruningMethod, WeightNorm)):
        return True
    return getattr(hook, "__module__", None) == reach.__name__


def give(layer: nn.Module, twin: nn.Module) -> None:
    """Give the twin the hooks of a layer."""
    for names in FORWARD:
        kept = {key for key, hook in getattr(layer, names[0]).items() if not is_of_layer(hook)}
        for name in names:
            hooks = getattr(layer, name)
            getattr(twin, name).update((key, hook) for key, hook in hooks.items() if key in kept)
    for name in BACKWARD:
        setattr(twin, name, getattr(layer, name))


def hand_over(layer: nn.Module, twin: nn.Module) -> None:
    """Let the handles of hooks that a layer has remove those of the twin."""
    for names in FORWARD:
        if any(map(is_of_layer, getattr(layer, names[0]).values())):
            continue  # which the layer needs, and the twin must not have
        for name in names:
            held, hooks = getattr(layer, name), getattr(twin, name)
            held.update(hooks)
            setattr(twin, name, held)


@contextlib.contextmanager
def unwatched(model: nn.Module) -> Iterator[None]:
    """Let hooks that only watch a training, as RigL's do, see nothing of what runs meanwhile."""
    watching = [
        (module, key, hook)
        for module in model.modules()
        for key, hook in module._forward_hooks.items()
        if getattr(hook, "only_watches", False)
    ]
    for module, key, _ in watching:
        module._forward_hooks[key] = lambda *_: None
    try:
        yield
    finally:
        for module, key, hook in watching:
            module._forward_hooks[key] = hook
