"""What `sparsify` refuses before it runs the model."""

import difflib
import functools
import inspect
from collections.abc import Sequence
from typing import Any

from torch import nn
from torch.nn.parallel import DistributedDataParallel

from edgelinear.conversion.found import listed, other_matrices
from edgelinear.layers.module import EdgeModule


def check(
    model: Any, when: Any, min_sparsity: Any, mode: Any, amount: Any, scope: Any, seconds: Any
) -> None:
    """Refuse arguments that do not fit, and models without a layer."""
    _check_model(model)
    chosen = (
        ("when", when, ("faster", "always")),
        ("mode", mode, ("training", "inference")),
        ("scope", scope, ("global", "layer")),
    )
    for name, value, known in chosen:
        if value not in known:
            raise ValueError(f'`{name}` must be "{known[0]}" or "{known[1]}", got {value!r}.')
    for name, value in (("min_sparsity", min_sparsity), ("amount", amount)):
        if value is None and name == "amount":
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"`{name}` must be a share in [0, 1], got {value!r}.")
        if not 0 <= value <= 1:
            raise ValueError(f"`{name}` must be a share in [0, 1], as 0.95, got {value}.")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise TypeError(f"`seconds` must be a number, got {seconds!r}.")
    if not seconds > 0:
        raise ValueError(f"`seconds` must be positive, got {seconds}.")


def _check_model(model: Any) -> None:
    if not isinstance(model, nn.Module):
        raise TypeError(f"`model` must be a module of torch, got {type(model).__name__}.")
    for path, module in model.named_modules():
        if isinstance(module, DistributedDataParallel):
            name = f"model.{path}" if path else "model"
            raise TypeError(
                f"`{name}` must not be wrapped by DistributedDataParallel yet, which keeps the "
                f"weights that it was given: sparsify `{name}.module` first, and wrap it then."
            )
    if not any(isinstance(module, (nn.Linear, EdgeModule)) for module in model.modules()):
        others = listed(other_matrices(model))
        raise ValueError(
            f"`model` must have an nn.Linear to replace, and has none{others and f', but {others}'}"
            ": quantized and scripted layers are no nn.Linear any more, so sparsify before that."
        )


def check_trainable(model: nn.Module) -> None:
    """Refuse to train what has nothing to train."""
    if not any(p.requires_grad for p in model.parameters()):
        raise ValueError(
            "no parameter of `model` requires gradients, so nothing is trained: pass "
            'mode="inference" to measure forwards alone, or call `model.requires_grad_()` first.'
        )


def names_of(model: nn.Module, skip: str | Sequence[str]) -> list[str]:
    """Return the names of modules in `skip`, all of which must be there."""
    skipped = [skip] if isinstance(skip, str) else [*skip]
    names = dict(model.named_modules(remove_duplicate=False))
    for name in skipped:
        if not name or name not in names:
            near = difflib.get_close_matches(str(name), names, 1)
            hint = f": did you mean {near[0]!r}?" if near else ", as `model.named_modules()` has."
            raise ValueError(f"`skip` must name modules of `model`, got {name!r}{hint}")
    return skipped


def check_fits(call: functools.partial) -> None:
    """Refuse an example whose number or names of arguments the forward of a model does not have."""
    model: Any = call.func
    try:
        signature = inspect.signature(model.forward)
        signature.bind(*call.args, **call.keywords)
    except ValueError:  # there is none to be known
        return
    except TypeError as error:
        got, cure = f"{len(call.args)} arguments", "pass its inputs alone, without labels"
        if call.keywords:
            got = f"a dict with the keys {', '.join(map(repr, call.keywords))}"
            cure = "a dict is keyword arguments; for a forward of a dict, pass `(example,)`"
        raise TypeError(
            f"`example` must be what the forward of `model` takes, {signature}, got {got} "
            f"({error}): {cure}."
        ) from None
