"""The model run on the example: what reaches each layer, and nothing of the model changed by it."""

import contextlib
import functools
import random
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.data import DataLoader

from edgelinear.conversion import checks, hooks
from edgelinear.conversion.found import Found


class Call(NamedTuple):
    """What a layer was given."""

    rows: int
    dtype: torch.dtype
    requires_grad: bool


def as_call(model: nn.Module, example: Any) -> functools.partial:
    """Return the call of the model with an example of its inputs."""
    if isinstance(example, Tensor):
        return functools.partial(model, example)
    if isinstance(example, tuple):
        return functools.partial(model, *example)
    if isinstance(example, Mapping):
        return functools.partial(model, **example)
    hint = ""
    if isinstance(example, list):
        hint = ": of a batch [inputs, labels] pass the inputs, of several batches one"
    elif isinstance(example, DataLoader):
        hint = ": pass the inputs of one batch, as of `next(iter(example))`"
    raise TypeError(
        "`example` must be a tensor, a tuple of arguments, or a dict of keyword arguments, got "
        f"{type(example).__name__}{hint}."
    )


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Yield the tensors of what a model returns, or a function takes."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from (t for item in value.values() for t in tensors_in(item))
    elif isinstance(value, (tuple, list)):
        yield from (t for item in value for t in tensors_in(item))
    elif is_dataclass(value) and not isinstance(value, type):
        yield from (t for field in fields(value) for t in tensors_in(getattr(value, field.name)))


@contextlib.contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Keep the modes, buffers and random states that running the model changes; compile nothing."""
    modes = [(module, module.training) for module in model.modules()]
    buffers = [
        (module, name, buffer, buffer.clone())
        for module in model.modules()
        for name, buffer in module.named_buffers(recurse=False)
        if name != "weight_mask"  # which no run changes, but pruning does
    ]
    devices = sorted({p.device.index for p in model.parameters() if p.device.type == "cuda"})
    states = random.getstate(), np.random.get_state()
    with (
        torch.random.fork_rng(devices),
        torch.inference_mode(False),  # which enables gradients
        torch.compiler.set_stance("force_eager"),
        hooks.unwatched(model),
        warnings.catch_warnings(action="ignore"),  # those of the model come whenever it is run
    ):
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
            for module, training in modes:
                module.training = training
            for buffer in buffers:
                _restore(*buffer)


@torch.no_grad()
def _restore(module: nn.Module, name: str, held: Tensor, value: Tensor) -> None:
    if getattr(module, name) is not held:
        setattr(module, name, held)
    if not torch.equal(held, value):
        held.copy_(value)


def record(call: functools.partial, found: list[Found], *, training: bool) -> None:
    """Run the model once, and note the calls of each layer, and who else reads its weight.

    Raises:
        TypeError: if its forward does not take the example.
        ValueError: if it cannot be trained on what it returns.
    """
    active: list[Found] = []
    handles = []
    for entry in found:
        enter, leave = _entered(entry, active), _left(active)
        register = entry.linear.register_forward_pre_hook
        handles.append(register(enter, prepend=True, with_kwargs=True))
        handles.append(entry.linear.register_forward_hook(leave, always_call=True))
    try:
        with torch.set_grad_enabled(training), _Readers(found, active):
            outputs = call()
    except TypeError:
        checks.check_fits(call)
        raise
    finally:
        for handle in handles:
            handle.remove()
    if training:
        _check_graph([t.grad_fn for t in tensors_in(outputs) if t.requires_grad])


def _check_graph(graph: list[Any]) -> None:
    """Refuse outputs without a graph, or with one of which torch gives no gradients to others."""
    if not graph:
        raise ValueError(
            "what `model` returns must require gradients to be trained, and does not: pass "
            'mode="inference".'
        )
    seen = set(graph)
    while graph:
        node = graph.pop()
        if node is not None and node.name() == "CheckpointFunctionBackward":
            raise ValueError(
                "`model` checkpoints activations in torch's reentrant way, whose gradients cannot "
                "be measured: checkpoint with use_reentrant=False, or not while sparsifying, or "
                'pass mode="inference".'
            )
        after = {before for before, _ in getattr(node, "next_functions", ())} - seen
        seen |= after
        graph.extend(after)


def _entered(entry: Found, active: list[Found]) -> Callable[..., None]:
    def enter(linear: nn.Module, arguments: tuple, named: dict) -> None:
        active.append(entry)
        for x in tensors_in([*arguments, named]):
            rows = x.numel() // max(1, entry.linear.in_features)
            entry.calls[Call(rows, x.dtype, x.requires_grad)] += 1

    return enter


def _left(active: list[Found]) -> Callable[..., None]:
    def leave(*_: Any) -> None:
        active.pop()

    return leave


class _Readers(TorchFunctionMode):
    """Sees every function of torch, and notes where one takes a weight outside of its layer."""

    def __init__(self, found: list[Found], active: list[Found]) -> None:
        super().__init__()
        self.active = active
        self.entries = {id(entry.weight): entry for entry in found if entry.weight is not None}
        self.computed = [entry for entry in found if entry.mask is not None]

    def __torch_function__(
        self, function: Any, types: Any, arguments: tuple = (), named: dict | None = None
    ) -> Any:
        result = function(*arguments, **(named or {}))
        if any(True for _ in tensors_in(result)):  # and no size, type or device
            for tensor in tensors_in([*arguments, *(named or {}).values()]):
                self._look(function, tensor)
        return result

    def _look(self, function: Any, tensor: Tensor) -> None:
        entry = self.entries.get(id(tensor))
        if entry is None:  # a pruned layer has its product with the mask in an attribute
            entries = (e for e in self.computed if vars(e.linear).get("weight") is tensor)
            entry = next(entries, None)
        if entry is not None and not any(e.weight is entry.weight for e in self.active):
            name = getattr(function, "__name__", "a function")
            entry.reason = entry.reason or f"`{name}` reads its weight without a call of it"
