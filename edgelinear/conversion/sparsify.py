"""`sparsify`: pruned models, layer by layer, on the edges that are left."""

import contextlib
import functools
import time
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from edgelinear._optional import with_bar
from edgelinear.comparison.machine import machine_of
from edgelinear.conversion import checks, hooks, optimizers, pruned, running, timing, twins
from edgelinear.conversion.equality import difference_of
from edgelinear.conversion.found import (
    Found,
    check_there,
    find,
    groups,
    look_at,
    other_matrices,
    settle,
)
from edgelinear.conversion.optimizers import Replaced
from edgelinear.conversion.report import SparsifyReport
from edgelinear.conversion.rows import bytes_of, edge_reports, layer_report
from edgelinear.conversion.timing import AFTER, BEFORE, Swap, Taken


def sparsify(
    model: nn.Module,
    example: Any,
    *,
    when: str = "faster",
    min_sparsity: float = 0.8,
    mode: str = "training",
    amount: float | None = None,
    scope: str = "global",
    skip: str | Sequence[str] = (),
    optimizer: Any = None,
    seconds: float = 10.0,
    progress: bool = True,
) -> SparsifyReport:
    """Replace each pruned `nn.Linear` of a model by an `EdgeLinear`, in place, where it is faster.

    Edges are the entries of the mask of a layer that `torch.nn.utils.prune` or torchao pruned,
    zeros among its weights included, and without a mask the weights other than 0. The model
    computes the same, to rounding; what has no edge stays 0 when it is trained. Biases stay the
    same Parameters, weights become new ones of shape (num_edges,), with `requires_grad`, gradients,
    and hooks of the layers as they were. State dicts keep the names `weight` and `bias`, without
    `weight_orig` and `weight_mask`, and have the wiring beside them.

    The model is run on the example, in its mode of training or evaluation as `mode` says, to learn
    what reaches each layer. Layers of equal shape, density and inputs are timed once, in turn with
    what they would become; at last the whole model, before and after. Modes, buffers, gradients,
    random states, and all else that is registered in the model, stay as they were. Parts that
    `torch.compile` wraps are measured eagerly, and compiled anew when they next run.

    Layers and networks that are on edges already stay as they are. So does an `nn.Linear`, and the
    report says why, where it has a `forward` of its own, its weight is parametrized, or quantized,
    or read by others as a matrix (tied embeddings, the `out_proj` of `nn.MultiheadAttention`,
    adapters that add to it), or is all zeros without a mask and trained (the second matrix of an
    adapter, which starts so).

    Args:
        example: the input of a forward: a tensor, a tuple of arguments, or a dict of keyword
            arguments; for a forward of a tuple or dict, a tuple with it. What is measured holds for
            its shapes.
        when: "faster" converts the layers that are measured to be faster, if the whole model then
            is; "always" converts all that are sparse enough.
        min_sparsity: the share of zeros that a layer must have, in [0, 1].
        mode: "training" measures forwards and gradients, of what needs gradients; "inference"
            forwards alone.
        amount: the share of weights to prune first, the smallest, in [0, 1]; of the layers that
            can be converted. Those that are not are left pruned by `torch.nn.utils.prune`.
        scope: "global" compares the weights of all layers, which may leave one with none; "layer"
            prunes each by the same share.
        skip: names of modules that stay as they are, with all that is inside.
        optimizer: what trains the model, or a list of such: the new weights take the place of the
            old ones in its groups, and its state follows the edges. One that was made before, and
            is not given, would go on with weights that the model has no longer.
        seconds: that measuring may take, counted from its start: no round begins after them, but
            the first of each.
        progress: whether to show a bar, where rich (extra `cli`) is installed.

    Returns:
        What was measured and done, a row a layer; `report.model` is the model, or the new layer
        where `model` is an `nn.Linear` itself.

    Raises:
        TypeError, ValueError: if an argument does not fit, the example reaches no layer, or the
            optimizer cannot follow. Nothing is changed then.
        RuntimeError: if the model does not compute the same afterwards; nothing is changed.

    Example:
        >>> model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
        >>> report = sparsify(
        ...     model, torch.randn(8, 64), amount=0.9, skip="2", when="always", progress=False
        ... )
        >>> [layer.action for layer in report.layers]
        ['converted', 'left']
        >>> model[0].num_edges
        410
    """
    start = time.perf_counter()
    checks.check(model, when, min_sparsity, mode, amount, scope, seconds)
    training = mode == "training"
    root = _Alone(model) if isinstance(model, nn.Linear) else model
    call = running.as_call(root, example)
    found = _found(root, skip, training)
    trained = optimizers.as_optimizers(optimizer)
    before = bytes_of(model), [bytes_of(entry.linear) for entry in found]
    rows = edge_reports(root)
    with contextlib.ExitStack() as undo, running.undisturbed(root):
        root.train(training)
        _record(root, call, found, training)
        if amount is not None:
            undo.callback(pruned.prune_smallest(_prunable(found), amount, scope))
        _make_twins(found, min_sparsity)
        swap = Swap(found)
        undo.callback(swap.to, BEFORE)
        optimizers.check_held(trained, swap.weights)
        middle = start + seconds / 2
        bar = functools.partial(with_bar, description="measuring", shown=progress, transient=True)
        timing.time_layers(swap.found, training, middle, bar)
        timing.decide(found, when)
        measured = _measured(root, call, found, training, when, start + seconds)
        undo.pop_all()
    _commit(found, trained)
    rows |= {e.names[0]: layer_report(e, size) for e, size in zip(found, before[1], strict=True)}
    return SparsifyReport(
        layers=[rows[path] for path, _ in root.named_modules() if path in rows],
        mode=mode,
        bytes_before=before[0],
        bytes_after=bytes_of(root),
        machine=machine_of(next(root.parameters()).device),
        others=other_matrices(root),
        model=root.model if isinstance(root, _Alone) else root,
        **measured,
    )


class _Alone(nn.Module):
    """What a layer is replaced in that is no part of a model."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Any, **named: Any) -> Any:
        return self.model(*inputs, **named)


def _found(root: nn.Module, skip: str | Sequence[str], training: bool) -> list[Found]:
    """Return the layers of a model, and of each why it must stay, if it must."""
    found = find(root)
    check_there(found)
    if training:
        checks.check_trainable(root)
    skipped = checks.names_of(root, skip)
    for entry in found:
        if any(
            path == name or path.startswith(f"{name}.") for path in entry.names for name in skipped
        ):
            entry.reason = "skipped, as asked"
    look_at(root, found)
    return found


def _record(root: nn.Module, call: functools.partial, found: list[Found], training: bool) -> None:
    running.record(call, found, training=training)
    settle(found)
    free = [entry for entry in found if not entry.reason]
    if free and not any(entry.calls for entry in free):
        raise ValueError(
            f"`example` reaches none of the layers that could be replaced, as `{free[0].name}`: "
            "pass an input with which the forward of `model` calls them."
        )


def _prunable(found: Iterable[Found]) -> list[Found]:
    """Return the layers that may be pruned: no parametrized ones, which keep their masks."""
    return [e for e in found if not e.reason and not parametrize.is_parametrized(e.linear)]


def _make_twins(found: Iterable[Found], min_sparsity: float) -> None:
    for group in groups(entry for entry in found if not entry.reason):
        density = group[0].density
        if density is not None and 1 - density >= min_sparsity:
            twins.make_twins(group)
            continue
        for entry in group:
            entry.reason = f"less than {min_sparsity:.0%} zeros"


def _measured(
    root: nn.Module,
    call: functools.partial,
    found: list[Found],
    training: bool,
    when: str,
    deadline: float,
) -> dict[str, Any]:
    """Put the twins into the model, unless that is no faster, and return what was measured."""
    swap, steady = Swap(found), all(entry.steady for entry in found)
    if not swap.found:
        return dict(steady=steady)
    difference = difference_of(root, call, swap)
    root.train(training)
    whole = Taken(*timing.time_model(root, call, swap, training, deadline))
    stays = when == "faster" and not whole.after < whole.before
    if stays:
        for entry in swap.found:
            entry.twin, entry.reason = None, "the whole model is no faster with it"
    swap.to(BEFORE if stays else AFTER)
    return dict(
        ms_before=whole.before,
        ms_after=whole.after,
        difference=difference,
        steady=steady and whole.steady,
    )


def _commit(found: Iterable[Found], trained: list[torch.optim.Optimizer]) -> None:
    replaced = {}
    for entry in found:
        if entry.twin is not None and entry.weight is not None:
            entry.twin.train(entry.linear.training)
            hooks.hand_over(entry.linear, entry.twin)
            one = Replaced(entry.weight, entry.twin.weight, entry.twin.topology)
            replaced[id(entry.weight)] = one
    optimizers.replace(trained, [*replaced.values()])
