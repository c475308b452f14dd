"""Every private function of torch in use: why it is needed, and what is done where it is missing.

Each is looked up once, here. Without one, everything still works, only slower, by public names.
"""

import ctypes
import sys
from collections.abc import Callable
from functools import partial
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor


def _find(name: str) -> Any:
    """Return what torch calls `name`, or None where it no longer has it."""
    try:
        return attrgetter(name)(torch)
    except AttributeError:
        return None


# Whether tensors are plain memory, and no mode, tracer or profiler watches: kernels are then called
# at once, as the dispatcher costs more than a small layer. No public name tells. Without one of
# these, every call goes through the dispatcher.
_has_storage = _find("_C._has_storage")  # a tensor under vmap, old or new, has none
_is_zerotensor = _find("Tensor._is_zerotensor")  # the zeros of forward mode, without memory
_dispatch_modes = _find("_C._len_torch_dispatch_stack")
_early_modes = _find("_ops._len_torch_dispatch_stack_pre_dispatch")
_is_profiling = _find("autograd._profiler_enabled")
_can_tell = None not in (
    _has_storage,
    _is_zerotensor,
    _dispatch_modes,
    _early_modes,
    _is_profiling,
)
_PLAIN = {Tensor, torch.nn.Parameter}


def is_plain(a: Tensor, b: Tensor, c: Tensor | None = None) -> bool:
    """Whether these tensors are plain memory, and no mode, tracer or profiler watches."""
    return (
        _can_tell
        and _is_memory(a)
        and _is_memory(b)
        and (c is None or _is_memory(c))
        and _dispatch_modes() == 0
        and _early_modes() == 0
        and not _is_profiling()
    )


def is_memory(*tensors: Tensor | None) -> bool:
    """Whether these tensors are plain memory, and no mode or tracer watches; a profiler may."""
    return (
        _can_tell
        and all(t is None or _is_memory(t) for t in tensors)
        and _dispatch_modes() == 0
        and _early_modes() == 0
    )


def _is_memory(tensor: Tensor) -> bool:
    return (
        type(tensor) in _PLAIN
        and not tensor.is_meta
        and _has_storage(tensor)
        and not tensor.is_neg()  # or memory would hold its numbers negated
        and not _is_zerotensor(tensor)
    )


def _always() -> bool:
    return True


# Whether a transform of `torch.func` is active. Without it, every call is made as if one were.
is_transforming: Callable[[], bool] = _find("_C._are_functorch_transforms_active") or _always


# Whether inputs may be dual numbers: the level of forward mode, -1 outside of it, which is read at
# each call. Without it, every call is made as in forward mode.
_forward_ad = torch.autograd.forward_ad
_has_level = _find("autograd.forward_ad._current_level") is not None


def is_forward_mode() -> bool:
    """Whether forward-mode differentiation may be active."""
    return not _has_level or _forward_ad._current_level >= 0


# What `Function.apply` comes down to outside of `torch.func`: it spends most of its time in
# `inspect.bind`, which only transforms need. It skips `unwrap_dead_wrappers` too: a tensor that a
# transform left behind when it ended has no storage, so that `is_plain` sends it through the
# dispatcher, which unwraps it.
_has_quick_apply = _find("_C._FunctionBase.apply") is not None


def quick(function: Any) -> Callable[..., Any]:
    """Return what calls an `autograd.Function` while no transform of `torch.func` is active."""
    return super(torch.autograd.Function, function).apply if _has_quick_apply else function.apply


def quick_apply(function: Any, *arguments: Any) -> Any:
    """Call an `autograd.Function`; right only while no transform of `torch.func` is active."""
    return quick(function)(*arguments)


# What other names tell too, in less time.
_is_tracing = _find("_C._is_tracing") or torch.jit.is_tracing
_is_included = _find("_C._dispatch_tls_is_dispatch_key_included")
_pre_dispatch = _find("_C.DispatchKey.PreDispatch")
if _is_included is not None and _pre_dispatch is not None:
    _is_early = partial(_is_included, _pre_dispatch)
else:
    _is_early = _early_modes


# Whether any device autocasts, in one look. Without it, the input's device is asked each time.
is_any_autocast: Callable[[], bool] = _find("_C._is_any_autocast_enabled") or _always


# Whether Dynamo traces a transform of `torch.func`, asked in a way that it follows: there,
# `peek_interpreter_stack() is not None` holds without a transform too, and
# `_are_functorch_transforms_active` leaves a node in the graph. Without it, compiled calls are made
# as if under a transform.
_peek = _find("_C._functorch.peek_interpreter_stack")
_Interpreter = _find("_C._functorch.CInterpreter")


def is_compiled_transform() -> bool:
    """Whether Dynamo is tracing a transform of `torch.func`; asked while it compiles alone."""
    if _peek is None or _Interpreter is None:
        return True
    return isinstance(_peek(), _Interpreter)


def is_unwatched() -> bool:
    """Whether no compiler, tracer, transform, mode, autocast or profiler sees what is called."""
    return _can_tell and not (
        torch.compiler.is_compiling()
        or _is_tracing()
        or is_transforming()
        or is_forward_mode()
        or is_any_autocast()
        or _dispatch_modes()
        or _is_early()
        or _is_profiling()
    )


def is_memory_of_cpu(a: Any, b: Any, c: Any = None) -> bool:
    """Whether these are tensors of plain memory that a CPU has; the last may be None.

    As `is_memory`, of things of any type, and without a loop: it is asked at every call.
    """
    return (
        type(a) in _PLAIN
        and type(b) in _PLAIN
        and _has_storage(a)
        and _has_storage(b)
        and a.is_cpu
        and b.is_cpu
        and not (a.is_neg() or b.is_neg() or _is_zerotensor(a) or _is_zerotensor(b))
        and (
            c is None
            or (
                type(c) in _PLAIN
                and _has_storage(c)
                and c.is_cpu
                and not (c.is_neg() or _is_zerotensor(c))
            )
        )
    )


# The entries of a sparse tensor as they are stored: `indices` refuses those that may be repeated,
# and `coalesce` would add them up unasked. Without it, such tensors are refused.
_indices, _values = _find("Tensor._indices"), _find("Tensor._values")


def stored_entries(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Return indices and values of a COO tensor, repeated ones apart."""
    if _indices is not None and _values is not None:
        return _indices(matrix), _values(matrix)
    if not matrix.is_coalesced():
        raise ValueError("`matrix` may store entries twice: use `matrix.coalesce()`.")
    return matrix.indices(), matrix.values()


# Calls functions on a subclass of tensors as if it were none, so that plain tensors come back: no
# public name does. Without it, entries of a state dict are plain tensors, which may be overwritten.
without_overrides = _find("_C.DisableTorchFunctionSubclass")


def ragged_dimension(nested: Any) -> int:
    """Return which dimension of a jagged tensor varies. No public name tells; most often 1."""
    return getattr(nested, "_ragged_idx", 1)


def is_constant(function: Any) -> Any:
    """Have Dynamo call a function while it compiles, and take what it returns for a constant.

    As `torch.compiler.assume_constant_result` does, which imports Dynamo first: whoever imports
    this library would wait for it. Where torch calls the mark otherwise, compiled graphs break.
    """
    function._dynamo_marked_constant = True
    return function


def thread_pool() -> int | None:
    """Return the address of torch's own parallel loop, or None where it exports none.

    `torch_parallel_for` is a C function of torch since 2.10: kernels that call it need no second
    runtime of threads beside torch's. Without it they cannot be used.
    """
    # A look-up goes on to what a library depends on; on Windows it does not, and takes by its name
    # what torch has loaded.
    libtorch = ctypes.CDLL("torch_cpu.dll" if sys.platform == "win32" else torch._C.__file__)
    loop = getattr(libtorch, "torch_parallel_for", None)
    return None if loop is None else ctypes.cast(loop, ctypes.c_void_p).value


def has_hooks(parameter: Tensor) -> bool:
    """Whether gradients of a parameter go through hooks of its own. No public name tells."""
    names = ("_backward_hooks", "_post_accumulate_grad_hooks")
    return any(getattr(parameter, name, None) for name in names)


def is_compiled(module: torch.nn.Module) -> bool:
    """Whether `module.compile()` was called. No public name tells."""
    return getattr(module, "_compiled_call_impl", None) is not None
