"""Taps: what layers are given, and what their outputs' gradients are, in the steps that need it."""

import weakref
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

Pairs = list[tuple[Tensor, Tensor]]  # inputs and gradients of outputs


class Taps:
    """Hooks on some layers: while they are open, what a backward pass needs of them is kept."""

    def __init__(self, layers: Iterable[nn.Module]) -> None:
        self._layers = list(layers)
        self._seen: dict[nn.Module, Pairs] = {}
        self._close: Callable | None = None

    def open(self) -> None:
        """Keep what is seen from now on; until `close`, compiled models run as they are written."""
        self.close()
        self._seen = {layer: [] for layer in self._layers}
        handles = [
            layer.register_forward_hook(_Tap(pairs), prepend=True, with_kwargs=True)
            for layer, pairs in self._seen.items()
        ]
        _Eager.enter()
        self._close = weakref.finalize(self, _closed, handles)

    def close(self) -> None:
        self._seen = {}
        if self._close is not None:
            self._close()
            self._close = None

    def has_seen(self, layer: nn.Module) -> bool:
        return bool(self._seen.get(layer))

    def seen(self, layer: nn.Module) -> Pairs:
        """Return an input (batch, in_features) and a gradient (batch, out_features) for each call.

        Numbers are float32 at least.
        """
        return [(_rows(x), _rows(gradient)) for x, gradient in self._seen.get(layer, ())]


def _rows(values: Tensor) -> Tensor:
    values = values.values() if values.is_nested else values
    dtype = torch.promote_types(values.dtype, torch.float32)
    return values.reshape(-1, values.shape[-1]).to(dtype)


class _Tap:
    """A hook that copies of its layer, pickled ones as well, do not take along."""

    only_watches = True  # runs that train nothing may leave it out

    def __init__(self, pairs: Pairs) -> None:
        self.pairs = pairs

    def __call__(self, layer: nn.Module, args: tuple, kwargs: dict, output: Tensor) -> Any:
        if not output.requires_grad:
            return None
        x = (args[0] if args else kwargs["input"]).detach()
        # A view that something changes in place afterwards, as `nn.ReLU(inplace=True)` does, would
        # lose its hook.
        output = output.clone()
        output.register_hook(lambda gradient: self.pairs.append((x, gradient.detach())))
        return output

    def __reduce__(self) -> tuple[Callable, tuple]:
        return _of_a_copy, ()


def _nothing(layer: nn.Module, args: tuple, kwargs: dict, output: Tensor) -> None:
    pass


def _of_a_copy() -> Callable:
    return _nothing


def _closed(handles: list[Any]) -> None:
    for handle in handles:
        handle.remove()
    _Eager.leave()


class _Eager:
    """Compiled models run without their compiled code, as no hook is part of it."""

    opened = 0
    stance: Any = None

    @classmethod
    def enter(cls) -> None:
        cls.opened += 1
        if cls.opened == 1:
            cls.stance = torch.compiler.set_stance("force_eager")

    @classmethod
    def leave(cls) -> None:
        cls.opened -= 1
        if cls.opened == 0:
            cls.stance.__exit__(None, None, None)
