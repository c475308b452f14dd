"""`compare`: what a layer costs here on each backend and as a dense layer, and which to take."""

import contextlib
import time
import warnings
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from edgelinear import backends
from edgelinear.comparison import measure
from edgelinear.comparison.contenders import Contender
from edgelinear.comparison.machine import machine_of
from edgelinear.comparison.result import Comparison
from edgelinear.comparison.rows import Row
from edgelinear.comparison.subjects import input_of_backends, subject_of
from edgelinear.layers import EdgeLinear, EdgeNetwork, EdgeRNN


def compare(
    layer: EdgeLinear | EdgeNetwork | EdgeRNN,
    batch_size: int = 64,
    backends: str | Sequence[str] | None = None,
    *,
    steps: int | None = None,
    seconds: float | None = None,
) -> Comparison:
    """Measure a layer or a network on every backend that runs here, and what it is instead of.

    Of a layer, these are dense: `layer.to_masked_linear()`, the same function to train, and
    `layer.to_linear()`, which trains the zeros as well. First, output, input gradient and weight
    gradient are held against a dense float64 computation; then all are timed in turn, as if every
    parameter were trained. Where the dense matrices would take more than a quarter of the memory
    that is free, they are left out, and the truth is scipy's float64 CSR product instead. The
    layer, its gradients and the random state stay as they are.

    An EdgeNetwork is held against its composition, an EdgeLinear for each level on all values that
    came before it, and the same with a MaskedLinear for each level; an EdgeRNN against a loop over
    an EdgeLinear, and one over a dense masked matrix. Their truth is scipy's, too. Noise is left
    out, and leaks and factors of inputs are not trained.

    Rounds go on until the upper quartile of each contender is at most twice the least time, and
    threads waited for a processor in at most a quarter of the rounds (which Linux tells), for two
    seconds a contender at most, forwards and steps each. Where times do not hold still by then, the
    sentence says that the machine is too busy, and gives no verdict.

    Args:
        batch_size: samples in the random input.
        steps: of its sequences, for an EdgeRNN alone; 20 by default.
        backends: names in `edgelinear.backends.BACKENDS`; by default all that can run here.
        seconds: that the whole call may take, counted from its start: no round begins after them.
            What a comparison cannot do without is done all the same, however long it takes: the
            float64 computation, the memory of one step, and one round of forwards and of steps.

    Raises:
        TypeError: if `layer` is none, the batch size or `steps` no integer, or `seconds` no number.
        ValueError: if the batch size or `steps` is below 1, `seconds` is not positive, a backend is
            unknown, a weight is not finite, or nodes of a network take neither sums nor means.
        RuntimeError: if a backend asked for by name cannot run here.

    Example:
        >>> layer = EdgeLinear(4, 2, [(0, 0), (1, 0), (2, 1), (3, 1)])
        >>> comparison = compare(layer, batch_size=8, backends=["reference"])
        >>> [row.name for row in comparison.rows]
        ['reference', 'MaskedLinear', 'nn.Linear']
        >>> comparison.rows[0].output_error < 1e-6
        True
    """
    _check(layer, batch_size, steps, seconds)
    deadline = None if seconds is None else time.perf_counter() + seconds
    device = layer.weight.device
    with _undisturbed(device):
        generator = torch.Generator("cpu").manual_seed(0)

        def draw(shape: tuple[int, ...]) -> Tensor:
            values = torch.randn(shape, generator=generator, device="cpu")
            return values.to(device, layer.weight.dtype)

        subject = subject_of(layer, batch_size, steps)
        x, grad = draw(subject.input).requires_grad_(), draw(subject.output)
        names, left_out = _usable(layer, x, backends)
        truth = subject.truth(x, grad)
        entered = [subject.contender(name) for name in names]
        entered += [make() for make in subject.others]
        limits = measure.bounds(truth, layer.topology, layer.weight.dtype, subject.depth)
        rows = _measure(entered, x, grad, truth, limits, deadline)
    return Comparison(
        layer.in_features,
        layer.out_features,
        layer.num_edges,
        batch_size,
        str(layer.weight.dtype).removeprefix("torch."),
        machine_of(device),
        rows,
        left_out | subject.left_out,
        subject.graph,
    )


def _check(layer: Any, batch_size: Any, steps: Any, seconds: Any) -> None:
    if not isinstance(layer, EdgeLinear | EdgeNetwork | EdgeRNN):
        raise TypeError(
            "`layer` must be an EdgeLinear, an EdgeNetwork or an EdgeRNN, got "
            f"{type(layer).__name__}."
        )
    for name, count in (("batch_size", batch_size), ("steps", 1 if steps is None else steps)):
        if isinstance(count, bool) or not isinstance(count, int):
            raise TypeError(f"`{name}` must be an integer, got {count!r}.")
        if count < 1:
            raise ValueError(f"`{name}` must be at least 1, got {count}.")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float | None):
        raise TypeError(f"`seconds` must be a number or None, got {seconds!r}.")
    if seconds is not None and not seconds > 0:
        raise ValueError(f"`seconds` must be positive, got {seconds}.")
    if layer.weight.is_meta:
        raise ValueError("`layer` is on the meta device, where nothing can be timed: move it.")
    for name, parameter in (("weight", layer.weight), ("bias", layer.bias)):
        if parameter is not None and not parameter.isfinite().all():
            raise ValueError(f"`layer.{name}` must be finite to be compared, and is not.")


@contextlib.contextmanager
def _undisturbed(device: torch.device) -> Iterator[None]:
    """Keep the caller's random state and modes out of the measurement, and it out of them."""
    devices = [] if device.type == "cpu" else [device]
    with (
        torch.random.fork_rng(devices, device_type=device.type if devices else "cuda"),
        torch.inference_mode(False),  # which enables gradients
        torch.autocast(device.type, enabled=False),
        warnings.catch_warnings(),
    ):
        # A layer without inputs or outputs makes empty dense parameters.
        warnings.filterwarnings("ignore", "Initializing zero-element tensors")
        yield


def _usable(
    layer: EdgeLinear | EdgeNetwork | EdgeRNN, x: Tensor, names: str | Sequence[str] | None
) -> tuple[list[str], dict[str, str]]:
    """Return the backends to measure, and why each other one is not."""
    problem = (input_of_backends(layer, x), layer.weight, layer.topology)
    if names is not None:
        names = [names] if isinstance(names, str) else list(names)
        for name in names:
            if name not in backends.BACKENDS:
                raise ValueError(f"`backends` must be of {backends.BACKENDS}, got {name!r}.")
            backends.select(name, *problem)
        return names, {}
    reasons = {name: backends.why_not(name, *problem) for name in backends.BACKENDS}
    usable = [name for name, reason in reasons.items() if reason is None]
    return usable, {name: reason for name, reason in reasons.items() if reason is not None}


def _measure(
    entered: list[Contender],
    x: Tensor,
    grad: Tensor,
    truth: measure.Truth,
    limits: tuple[float, ...],
    deadline: float | None,
) -> list[Row]:
    errors = [measure.errors(c, x, grad, truth) for c in entered]
    saved = [measure.saved_bytes(c, x) for c in entered]
    peaks = [measure.peak_bytes(partial(c.step, x, grad), x.device) for c in entered]
    half = None
    if deadline is not None:
        half = (deadline + time.perf_counter()) / 2
    with torch.no_grad():
        forward = measure.rounds(entered, lambda c: c.forward(x), half)
    step = measure.rounds(entered, lambda c: c.step(x, grad), deadline)
    return [
        Row(
            name=contender.name,
            parameters=sum(p.numel() for p in contender.parameters),
            output_error=errors[i][0],
            input_grad_error=errors[i][1],
            weight_grad_error=errors[i][2],
            agrees=all(error <= limit for error, limit in zip(errors[i], limits, strict=True)),
            forward_ms=forward[i].median,
            forward_ms_low=forward[i].low,
            forward_ms_high=forward[i].high,
            step_ms=step[i].median,
            step_ms_low=step[i].low,
            step_ms_high=step[i].high,
            saved_bytes=saved[i],
            peak_bytes=peaks[i],
            forward_ms_min=forward[i].least,
            step_ms_min=step[i].least,
            rounds=step[i].rounds,
            disturbed=step[i].disturbed,
        )
        for i, contender in enumerate(entered)
    ]
