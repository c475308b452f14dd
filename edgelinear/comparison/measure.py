"""What `compare` measures: errors against float64, times in turn, and memory."""

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.sparse
import torch
import torch.nn.functional as F
from torch import Tensor

from edgelinear.comparison.contenders import Contender
from edgelinear.topology import Topology

_MIN_ROUNDS, _MAX_ROUNDS = 5, 200
_SECONDS = 0.5  # for the rounds of each contender, unless the fewest rounds take longer
_PATIENCE = 4  # times as long, where times do not hold still
_WAKING = 1e-4  # seconds: threads that wake up wait for less on an idle machine
_SLICE_ELEMENTS = 2**22  # of the (edges, batch) products that exist at one time


class Truth(NamedTuple):
    """Output and gradients in float64."""

    output: Tensor  # (batch, out_features)
    input_grad: Tensor  # (batch, in_features)
    weight_grad: Tensor  # (num_edges,)


class Times(NamedTuple):
    """Median, quartiles and the least, in milliseconds."""

    median: float
    low: float
    high: float
    least: float
    rounds: int
    disturbed: float  # the share of runs in which threads had to wait for a processor


def hold_still(least: float, high: float, disturbed: float) -> bool:
    """Whether the upper quartile is near the least, and most runs had the processors they wanted.

    On a busy machine quartiles may agree, and with the least: two threads that wait for each other,
    and for a processor, take 60 ms for what takes 0.1, time after time.
    """
    return high <= 2 * least and disturbed <= 0.25


def dense_truth(
    x: Tensor,  # (batch, in_features)
    weight: Tensor,  # (num_edges,)
    bias: Tensor | None,
    grad: Tensor,  # (batch, out_features)
    topology: Topology,
) -> Truth:
    """Return output and gradients of `F.linear` with the float64 matrix, by torch's autograd."""
    src, dst = topology.src.long(), topology.dst.long()
    matrix = torch.zeros(
        topology.out_features, topology.in_features, dtype=torch.float64, device=x.device
    )
    matrix.index_put_((dst, src), weight.detach().double(), accumulate=True).requires_grad_()
    x = x.detach().double().requires_grad_()
    y = F.linear(x, matrix, None if bias is None else bias.detach().double())
    input_grad, matrix_grad = torch.autograd.grad(y, (x, matrix), grad.double())
    return Truth(y.detach(), input_grad, matrix_grad[dst, src])


def sparse_truth(
    x: Tensor,  # (batch, in_features)
    weight: Tensor,  # (num_edges,)
    bias: Tensor | None,
    grad: Tensor,  # (batch, out_features)
    topology: Topology,
) -> Truth:
    """Return the same by scipy's CSR product and NumPy, where the dense matrix does not fit."""
    src, dst = topology.src.cpu().numpy(), topology.dst.cpu().numpy()
    values = weight.detach().double().cpu().numpy()
    xt, gt = (np.ascontiguousarray(m.detach().double().cpu().numpy().T) for m in (x, grad))
    shape = (topology.out_features, topology.in_features)
    matrix = scipy.sparse.csr_array((values, (dst, src)), shape=shape)
    y = (matrix @ xt).T
    if bias is not None:
        y = y + bias.detach().double().cpu().numpy()
    weight_grad = per_edge(gt, xt, src, dst)
    parts = (y, (matrix.T @ gt).T, weight_grad)
    return Truth(*(torch.from_numpy(np.ascontiguousarray(part)).to(x.device) for part in parts))


def per_edge(
    targets: np.ndarray,  # (out_features, batch)
    sources: np.ndarray,  # (in_features, batch)
    src: np.ndarray,  # (num_edges,)
    dst: np.ndarray,  # (num_edges,)
) -> np.ndarray:  # (num_edges,)
    """Return the sum over the batch of the products of both ends of each edge."""
    found = np.empty(len(src))
    step = max(1, _SLICE_ELEMENTS // max(1, sources.shape[1]))
    for start in range(0, len(src), step):
        edges = slice(start, start + step)
        found[edges] = np.einsum("eb,eb->e", targets[dst[edges]], sources[src[edges]])
    return found


def errors(contender: Contender, x: Tensor, grad: Tensor, truth: Truth) -> tuple[float, ...]:
    """Return the largest absolute errors of output, input gradient and weight gradient."""
    y, input_grad, *gradients = contender.step(x, grad)
    found = (y, input_grad, contender.at_edges(*gradients))
    return tuple(_distance(a, b) for a, b in zip(found, truth, strict=True))


def _distance(a: Tensor, b: Tensor) -> float:
    return float((a.detach().double() - b).abs().max()) if b.numel() else 0.0


def bounds(
    truth: Truth, topology: Topology, dtype: torch.dtype, depth: int = 1
) -> tuple[float, ...]:
    """Return the errors that rounding explains: a sum of n terms drifts as the root of n.

    The result is rounded to `dtype`, and sums are in float32 at least. Each of several levels, or
    steps, adds as much.
    """
    degrees = [int(d.max()) for d in (topology.fan_in, topology.fan_out) if d.numel()]
    terms = max([*degrees, truth.output.shape[0]])
    accumulate = torch.promote_types(dtype, torch.float32)
    relative = depth * (4 * torch.finfo(dtype).eps + 32 * torch.finfo(accumulate).eps * terms**0.5)
    return tuple(relative * float(part.abs().max()) if part.numel() else 0.0 for part in truth)


def rounds(
    contenders: Sequence[Contender],
    run: Callable[[Contender], object],
    deadline: float | None = None,
) -> list[Times]:
    """Return the times of `run` on each, all taken in turn, round after round.

    Each timed run follows an untimed one, so that none pays for the caches that the contender
    before it left. Where times do not hold still, rounds go on for a while. None begins after the
    deadline but the first.
    """
    taken: list[list[float]] = [[] for _ in contenders]
    waits: list[list[bool]] = [[] for _ in contenders]
    start, budget = time.perf_counter(), _SECONDS * len(contenders)
    while _go_on(taken, waits, time.perf_counter() - start, budget) and not (
        taken[0] and deadline is not None and time.perf_counter() >= deadline
    ):
        for times, waited, contender in zip(taken, waits, contenders, strict=True):
            begin, delay = time.perf_counter(), seconds_in_queue()
            run(contender)
            synchronize(contender.parameters[0].device)
            before = time.perf_counter()
            run(contender)
            synchronize(contender.parameters[0].device)
            end = time.perf_counter()
            times.append(1e3 * (end - before))
            waited.append(seconds_in_queue() - delay > max(0.1 * (end - begin), _WAKING))
    return [*map(_summary, taken, waits)]


def seconds_in_queue() -> float:
    """Return how long threads of this process were ready to run, and waited for a processor.

    Linux counts it. Elsewhere it is 0.
    """
    total = 0
    for thread in Path("/proc/self/task").glob("*/schedstat"):
        with contextlib.suppress(OSError, ValueError, IndexError):  # as one that has just ended
            total += int(thread.read_text().split()[1])
    return 1e-9 * total


def _go_on(
    taken: list[list[float]], waits: list[list[bool]], seconds: float, budget: float
) -> bool:
    number = len(taken[0]) if taken else _MIN_ROUNDS
    if number < _MIN_ROUNDS or (number < _MAX_ROUNDS and seconds < budget):
        return True
    if seconds >= _PATIENCE * budget:
        return False
    every = max(1, number // 20)  # to look at all times takes longer than a small layer
    return number % every != 0 or not all(
        hold_still(times.least, times.high, times.disturbed)
        for times in map(_summary, taken, waits)
    )


def _summary(times: list[float], waited: list[bool]) -> Times:
    median, low, high = np.percentile(times, (50, 25, 75)).tolist()
    return Times(median, low, high, min(times), len(times), sum(waited) / len(waited))


def synchronize(device: torch.device) -> None:
    """Wait for the device, so that the clock reads work that is done."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def saved_bytes(contender: Contender, x: Tensor) -> int:
    """Return the bytes that a forward keeps for backward, each storage once.

    Parameters, buffers and index tensors are there anyway, and do not count; the input does.
    """
    held = (*contender.parameters, *contender.fixed)
    known = {_storage(tensor) for tensor in held if tensor is not None}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[_storage(tensor)] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        y = contender.forward(x)  # kept until all is counted: freed memory would be counted twice
    total = sum(size for storage, size in kept.items() if storage not in known)
    del y
    return total


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def peak_bytes(run: Callable[[], object], device: torch.device) -> int | None:
    """Return how far `run` raises the memory that torch allocates, or None if nobody counts.

    A library that allocates on its own, as MKL may, is not seen.
    """
    if device.type == "cuda":
        synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    if device.type != "cpu":
        return None
    level = peak = 0
    for change in _allocations(run):
        level += change
        peak = max(peak, level)
    return peak


def _allocations(run: Callable[[], object]) -> list[int]:
    """Return the bytes of each allocation of `run` on the CPU in order, negative where one ends."""
    # Or the profiler writes to stderr. It reads this when it first starts, which takes a second.
    os.environ.setdefault("KINETO_LOG_LEVEL", "5")
    cpu = torch.profiler.ProfilerActivity.CPU
    with torch.profiler.profile(activities=[cpu], profile_memory=True, acc_events=True) as profiler:
        run()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    changes = [event for event in events if event["name"] == "[memory]"]
    return [event["args"]["Bytes"] for event in sorted(changes, key=lambda event: event["ts"])]
