"""Time every contender that needs torch alone on a GPU: check, print a table, write the rows.

    python benchmarks/gpu.py [--only ROW ...] [--seconds 480] [--out FILE]

`gpu_summary.py` makes the table of the page from the rows.

Each contender is checked against float64 first. CUDA events time what the GPU does, as calls are
queued behind a pause: with the data in the L2 cache ("warm"), and with the cache filled with
something else ("cold"). `wall_ms` is what a call takes in a row of them, launches included. Rows
come in order of what they tell; those for which no time is left are named at the end. With
`--device cpu` the script can be tried out: its times are then not of these kernels.
"""

import argparse
import csv
import gc
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
import wirings
from describe import describe_origin, describe_size, describe_times
from peers import (
    Step,
    compiled_gather,
    csr_parameter,
    dense,
    embedding_bag,
    gather_scatter,
    ours,
)
from problem import Problem
from torch import Tensor
from workloads import WORKLOADS, fan_in

import edgelinear as el

HERE = Path(__file__).parent
COLUMNS = [
    "workload", "in_features", "out_features", "edges", "batch", "dtype", "contender", "phase",
    "l2", "median_ms", "q1_ms", "q3_ms", "min_ms", "calls", "wall_ms", "gathered_gb_s", "floor_ms",
    "error", "memory_mib", "note", "device", "machine", "torch", "triton", "edgelinear", "commit",
]  # fmt: skip
FLUSHED = 2**28  # bytes written to fill the cache: five times the L2 of an H100
TIMED_SECONDS, LEAST_CALLS, MOST_CALLS = 0.12, 5, 100
PAUSE = 4_000_000  # cycles, about 2 ms: more than the host takes to queue a step
PRODUCTS_AT_A_TIME = 2**27  # of the truth
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 3e-2}  # of the largest true value
TF32_TOLERANCE = 1e-2
F32, BF16 = torch.float32, torch.bfloat16


class Row(NamedTuple):
    name: str
    wiring: Callable[[], el.Topology]
    batch: int
    dtypes: tuple[torch.dtype, ...] = (F32,)
    compiles: bool = False  # whether Inductor is worth its seconds
    seconds: float = 15  # that must be left for it


def power_law() -> el.Topology:
    return wirings.power_law(10**6, 10**8, exponent=2.2, max_degree=10**6, seed=0)


CPU_WIRINGS = {workload.name: workload.wiring for workload in WORKLOADS}
ROWS = [
    Row("square 10 %", CPU_WIRINGS["square 10 %"], 512, (F32, BF16)),
    Row("square 1 %", CPU_WIRINGS["square 1 %"], 512, (F32, BF16), compiles=True),
    Row("square 5 %", fan_in(4096, 4096, 205), 512, (F32, BF16)),
    Row("radix", CPU_WIRINGS["radix"], 1024, (F32, BF16)),
    Row("fly", CPU_WIRINGS["fly"], 32, (F32, BF16), compiles=True),
    Row("fly", CPU_WIRINGS["fly"], 8),
    Row("fly", CPU_WIRINGS["fly"], 1),
    Row("tiny", CPU_WIRINGS["tiny"], 32, (F32, BF16)),
    Row("power law", power_law, 64, seconds=200),
    Row("pnet", CPU_WIRINGS["pnet"], 50),
    Row("reactome", CPU_WIRINGS["reactome"], 64),
    Row("ref32", CPU_WIRINGS["ref32"], 64),
    Row("ref32", CPU_WIRINGS["ref32"], 1024),
    Row("ref128", CPU_WIRINGS["ref128"], 1024),
    Row("square 10 %", CPU_WIRINGS["square 10 %"], 64),
    Row("square 30 %", CPU_WIRINGS["square 30 %"], 512),
    Row("square 50 %", CPU_WIRINGS["square 50 %"], 512),
    Row("radix", CPU_WIRINGS["radix"], 256),
    Row("set", CPU_WIRINGS["set"], 32),
    Row("celegans", CPU_WIRINGS["celegans"], 64),
    Row("flyvis", CPU_WIRINGS["flyvis"], 32),
    Row("flyvis shuffled", CPU_WIRINGS["flyvis shuffled"], 32),
]


def csr_int64(problem: Problem) -> Step | None:
    views = tuple(v if v is None else v.long() for v in problem.topology._tensors)
    return csr_parameter.peer(problem._replace(topology=el.Topology._from_tensors(views)))


def tf32(problem: Problem) -> Step | None:
    """`nn.Linear` with the products of float32 rounded to TF32, which torch does only if told."""
    made = dense.plain(problem) if problem.x.dtype == F32 else None
    if made is None:
        return None

    def rounded(call: Callable) -> Callable:
        def run():
            torch.backends.cuda.matmul.allow_tf32 = True
            try:
                return call()
            finally:
                torch.backends.cuda.matmul.allow_tf32 = False

        return run

    return Step(rounded(made.forward), rounded(made.step), made.in_edge_order)


TF32, COMPILED = "nn.Linear, TF32", "compiled gather"
CONTENDERS = {
    "edgelinear auto": ours.make("auto"),
    "edgelinear torch_csr": ours.make("torch_csr"),
    "CSR parameter": csr_parameter.peer,
    "CSR parameter, int64": csr_int64,
    "embedding_bag": embedding_bag.peer,
    "gather + index_add": gather_scatter.peer,
    COMPILED: compiled_gather.peer,
    "dense masked": dense.masked,
    "nn.Linear": dense.plain,
    TF32: tf32,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = list(dict.fromkeys(row.name for row in ROWS))
    parser.add_argument("--only", nargs="+", metavar="ROW", choices=names, help="all of these")
    parser.add_argument("--seconds", type=float, default=480, help="for all rows")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path, help="results/cuda.csv for all rows on a GPU")
    arguments = parser.parse_args()
    if arguments.out is None and (arguments.only or arguments.device != "cuda"):
        parser.error("`--out` must name a file, as results/cuda.csv holds all rows of a GPU.")
    out = arguments.out or HERE / "results/cuda.csv"
    # A wheel that pip cannot reach must not take the time of the others.
    os.environ |= {"PIP_RETRIES": "0", "PIP_DEFAULT_TIMEOUT": "5"}
    started = time.perf_counter()
    device = torch.device(arguments.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error("there is no CUDA device: `--device cpu` tries the script out.")
    torch.backends.cuda.matmul.allow_tf32 = False
    origin = describe_gpu(device)
    bandwidth = copy_bandwidth(device)
    print(f"{origin['device']}: copies {bandwidth / 1e9:.0f} GB/s", flush=True)
    left_out, failed, made = [], [], {}
    deadline = started + arguments.seconds
    unfinished = out.with_suffix(".part")
    with unfinished.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        for row in ROWS:
            if arguments.only and row.name not in arguments.only:
                continue
            if time.perf_counter() + row.seconds > deadline:
                left_out.append(f"{row.name}, batch {row.batch}")
                continue
            if row.wiring not in made:
                made = {row.wiring: wiring_of(row)}  # one at a time: the largest take gigabytes
            topology = made[row.wiring]
            if topology is None:
                continue
            for dtype in row.dtypes:
                for result in measure(row, topology, dtype, device, bandwidth, deadline):
                    writer.writerow(result | origin)
                    file.flush()
                    if "note" in result and result["contender"].startswith("edgelinear"):
                        failed.append(f"{result['contender']} on {row.name}: {result['note']}")
            print(f"  ({time.perf_counter() - started:.0f} s)", flush=True)
    unfinished.replace(out)
    if left_out:
        print("no time was left for: " + "; ".join(left_out))
    if failed:
        raise SystemExit("\n".join(["ours failed:", *failed]))


def wiring_of(row: Row) -> el.Topology | None:
    try:
        return row.wiring()
    except RuntimeError as error:  # it is downloaded, and nothing is in reach
        print(f"{row.name} is left out: {error}", file=sys.stderr)
        return None


def measure(
    row: Row,
    topology: el.Topology,
    dtype: torch.dtype,
    device: torch.device,
    bandwidth: float,
    deadline: float,
) -> Iterator[dict]:
    """Print a line for each contender, and yield a row for each phase and state of the cache."""
    problem = on_device(Problem.make(topology, row.batch), dtype, device)
    truth = true_step(problem)
    kind = str(dtype).removeprefix("torch.")
    print(f"{row.name}, batch {row.batch}, {kind}: {topology}", flush=True)
    size = describe_size(row.name, topology, row.batch) | {"dtype": kind}
    gathered = topology.num_edges * row.batch * dtype.itemsize
    floor = {"forward": floor_bytes(problem, 1), "step": floor_bytes(problem, 3)}
    for name, build in CONTENDERS.items():
        if name == COMPILED and not row.compiles:
            continue
        if time.perf_counter() > deadline:
            print(f"  no time was left for {name} and those after it", flush=True)
            return
        base = size | {"contender": name}
        gc.collect()
        try:
            step = build(problem)
            if step is None:
                continue
            tolerance = TF32_TOLERANCE if name == TF32 else TOLERANCE[dtype]
            base["error"] = f"{check(step, truth, tolerance):.2g}"
            base["memory_mib"] = f"{memory(step.step, device):.1f}"
            for phase, call in (("forward", step.forward), ("step", step.step)):
                base["wall_ms"] = f"{1e3 * wall_seconds(call, device):.4g}"
                for l2 in ("warm", "cold"):
                    times = describe_times(timed(call, device, cold=l2 == "cold"))
                    passes = 1 if phase == "forward" else 3
                    rate = passes * gathered / float(times["median_ms"]) / 1e6
                    yield (
                        base
                        | times
                        | {
                            "phase": phase,
                            "l2": l2,
                            "gathered_gb_s": f"{rate:.4g}",
                            "floor_ms": f"{1e3 * floor[phase] / bandwidth:.4g}",
                        }
                    )
                    report(name, phase, l2, times, base)
        except Exception as error:  # of any package: it is the result
            note = f"{type(error).__name__}: {error}".partition("\n")[0]
            print(f"  {name:22} {note[:90]}", flush=True)
            yield base | {"phase": "step", "note": note}
        step = None


def report(name: str, phase: str, l2: str, times: dict, base: dict) -> None:
    cell = f"  {name:22} {phase:8} {l2:5} {float(times['median_ms']):10.4f} ms"
    print(f"{cell}  {base['memory_mib']:>9} MiB  error {base['error']}", flush=True)


def on_device(problem: Problem, dtype: torch.dtype, device: torch.device) -> Problem:
    tensors = (t.to(device, dtype) for t in (problem.weight, problem.x, problem.grad))
    return Problem(problem.topology.to(device), *tensors)


def true_step(problem: Problem) -> tuple[Tensor, Tensor, Tensor]:
    """Return y, dx and dw in float64 by the definition, a slice of the edges at a time."""
    src, dst = problem.topology.edge_index
    weight = problem.weight.double()
    xt, gt = (m.t().double().contiguous() for m in (problem.x, problem.grad))
    yt, dxt, dw = torch.zeros_like(gt), torch.zeros_like(xt), torch.empty_like(weight)
    for part in torch.arange(len(src), device=src.device).split(PRODUCTS_AT_A_TIME // xt.shape[1]):
        s, t, w = src[part], dst[part], weight[part, None]
        yt.index_add_(0, t, xt[s] * w)
        dxt.index_add_(0, s, gt[t] * w)
        dw[part] = (gt[t] * xt[s]).sum(1)
    return yt.t(), dxt.t(), dw


def check(step: Step, truth: tuple[Tensor, Tensor, Tensor], tolerance: float) -> float:
    """Return the error of a step, relative to the largest true value, or raise if it is wrong."""
    y, dx, dw = step.step()
    worst = 0.0
    for result, exact in zip((y, dx, step.in_edge_order(dw)), truth, strict=True):
        if result.shape != exact.shape:
            raise ValueError(f"wrong: shape {tuple(result.shape)}, not {tuple(exact.shape)}")
        error = float((result.detach().double() - exact).abs().max() / exact.abs().max())
        if not error <= tolerance:  # true of a NaN too
            raise ValueError(f"wrong: relative error {error:.2g}")
        worst = max(worst, error)
    return worst


def memory(step: Callable, device: torch.device) -> float:
    """Return by how many MiB a step lets the memory grow, results included."""
    if device.type != "cuda":
        return 0.0
    step()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    results = step()
    peak = torch.cuda.max_memory_allocated()
    del results
    return (peak - before) / 2**20


def timed(call: Callable, device: torch.device, cold: bool) -> list[float]:
    """Return the seconds that the device takes for some calls."""
    filler = torch.empty(FLUSHED if cold else 0, dtype=torch.uint8, device=device)
    seconds: list[float] = []
    begin = time.perf_counter()
    for _ in range(2):
        call()
    while len(seconds) < MOST_CALLS and (
        len(seconds) < LEAST_CALLS or time.perf_counter() - begin < TIMED_SECONDS
    ):
        filler.zero_()
        seconds.append(time_once(call, device))
    return seconds


def time_once(call: Callable, device: torch.device) -> float:
    if device.type != "cuda":
        begin = time.perf_counter()
        call()
        return time.perf_counter() - begin
    start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda._sleep(PAUSE)  # so that the host is ahead
    start.record()
    results = call()
    stop.record()
    stop.synchronize()
    del results
    return start.elapsed_time(stop) / 1e3


def wall_seconds(call: Callable, device: torch.device, calls: int = 10) -> float:
    """Return what a call takes in a row of them, by the clock of the host."""

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()

    call()
    wait()
    begin = time.perf_counter()
    for _ in range(calls):
        call()
    wait()
    return (time.perf_counter() - begin) / calls


def floor_bytes(problem: Problem, passes: int) -> int:
    """Return the bytes that must move: each operand and each index once, whatever the caches hold.

    A forward reads x, weight and source of each edge and writes y. Each gradient does as much.
    """
    topology, x = problem.topology, problem.x
    matrices = x.shape[0] * (topology.in_features + topology.out_features) * x.element_size()
    edges = topology.num_edges * (x.element_size() + topology.src.element_size())
    return passes * (matrices + edges)


def copy_bandwidth(device: torch.device) -> float:
    """Return the bytes a second that a large copy reads and writes."""
    source = torch.zeros(2**28 if device.type == "cuda" else 2**22, device=device)
    copy = partial(torch.empty_like(source).copy_, source)
    return 2 * source.nbytes / statistics.median(timed(copy, device, cold=False))


def describe_gpu(device: torch.device) -> dict:
    name = torch.cuda.get_device_name() if device.type == "cuda" else "cpu"
    try:
        import triton

        version = triton.__version__
    except ImportError:
        version = ""
    return {"device": name, "triton": version} | describe_origin()


if __name__ == "__main__":
    main()
