"""Time whole networks against what people write by hand and against libraries, in one run.

    python benchmarks/networks.py [--only NAME ...] [--threads 1 2] [--out FILE]

A step computes the gradients of weight, bias and input. The yard is one `edge_linear` of all edges
at once, as often as a recurrent network has steps: the work that nobody can avoid. Contenders are
timed in turn, after their outputs were found within 1e-4 of the largest value of those in float64;
`compositions.py` and `libraries.py` have them. The memory of a step is counted in a process of its
own: what is kept for the backward pass, parameters and input left out, and the peak of it all.
Libraries that are not installed are left out: `environments.py networks` makes a Python with them.
"""

import argparse
import csv
import ctypes
import gc
import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import compositions
import libraries
import torch
from describe import describe_origin, describe_times, require_kernels
from graphs import CASES, Case, Graph
from torch import Tensor, nn
from worker import resident

import edgelinear as el

HERE = Path(__file__).parent
LARGEST_DENSE, LARGEST_MESSAGES, LARGEST_LIBRARY = 2**28, 2**29, 1000  # elements, and nodes
SECONDS, LEAST_ROUNDS, MOST_ROUNDS = 4.0, 5, 60
SLOW, SLOW_ROUNDS = 10, 2  # those this much slower than ours take fewer rounds
TIMED_SECONDS = 5e-3  # calls go on for so long in a round
TOLERANCE = 1e-4
OURS, YARD = "edgelinear", "yard"
COLUMNS = [
    "case", "nodes", "edges", "levels", "batch", "steps", "threads", "contender", "phase",
    "ratio", "min_ms", "median_ms", "q1_ms", "q3_ms", "calls", "error", "kept_mib", "peak_mib",
    "note", "machine", "torch", "edgelinear", "commit",
]  # fmt: skip


class Problem:
    """A network of ours, an input, and gradients by what it returns."""

    def __init__(self, case: Case) -> None:
        self.case, self.graph = case, case.graph()
        torch.manual_seed(0)
        self.net = _network(case, self.graph)
        rows = (case.batch, case.steps) if case.steps else (case.batch,)
        self.x = torch.randn(*rows, len(self.graph.inputs), requires_grad=True)
        self.grad = torch.randn(*rows, len(self.graph.outputs))
        self.nodes = torch.randn(case.batch, self.graph.num_nodes, requires_grad=True)
        self.grad_nodes = torch.randn(case.batch, self.graph.num_nodes)

    def contenders(self) -> dict[str, Callable[[], Any]]:
        """Return what builds each contender that can hold this problem."""
        net, case, activation = self.net, self.case, self.graph.activation
        found: dict[str, Callable[[], Any]] = {
            OURS: lambda: net,
            YARD: lambda: compositions.Yard(net),
        }
        if case.steps:
            found["EdgeLinear in a loop"] = lambda: compositions.Loop(net, activation)
            if net.num_edges * case.batch * case.steps <= LARGEST_MESSAGES:
                found["gather + scatter"] = lambda: compositions.Gathered(net, activation)
            if net.num_nodes**2 <= LARGEST_DENSE:
                found["dense masked"] = lambda: compositions.DenseRecurrent(net, activation)
        else:
            found["EdgeLinear + cat"] = lambda: compositions.Concatenated(net, activation)
            if compositions.Masked.elements(net) <= LARGEST_DENSE:
                found["dense masked"] = lambda: compositions.Masked(net, activation)
        if net.num_nodes <= LARGEST_LIBRARY:
            names = ("ncps", "reservoirpy") if case.steps else ("neat_python", "edge2torch")
            for name in names:
                if importlib.util.find_spec("neat" if name == "neat_python" else name):
                    found[name] = lambda name=name: getattr(libraries, name)(net)
        return found

    def calls(self, name: str, model: Any) -> dict[str, Callable[[], Any]]:
        """Return the phases of a contender."""
        x, grad, times = self.x, self.grad, 1
        if name == YARD:
            x, grad, times = self.nodes, self.grad_nodes, max(self.case.steps, 1)
        plain = x.detach()

        def inference() -> Any:
            with torch.no_grad():
                for _ in range(times):
                    y = output(model(plain))
            return y

        if not isinstance(model, nn.Module):
            return {"inference": inference}
        parameters = [p for p in model.parameters() if p.requires_grad]

        def step() -> Any:
            for _ in range(times):
                y = output(model(x))
                by = grad if y.shape == grad.shape else torch.ones_like(y)
                found = torch.autograd.grad(y, (*parameters, x), by, allow_unused=True)
            return found

        return {"step": step, "inference": inference}

    def error(self, name: str, call: Callable[[], Tensor]) -> float | None:
        """Return how far a contender is from the truth, or None if it computes something else."""
        if name in (YARD, "edge2torch", "ncps"):
            return None
        truth = self.truth
        return float((call().double() - truth).abs().max() / truth.abs().max())

    @property
    def truth(self) -> Tensor:
        """The outputs in float64: gather and scatter, or `edge_linear` level by level."""
        twin = _network(self.case, self.graph).double()
        twin.set_weight(self.net.weight.double())
        kind = compositions.Gathered if self.case.steps else compositions.Concatenated
        with torch.no_grad():
            return kind(twin, self.graph.activation).double()(self.x.detach().double())


def output(returned: Any) -> Tensor:
    """Return what recurrent networks return before their state."""
    return returned[0] if isinstance(returned, tuple) else returned


def _network(case: Case, graph: Graph) -> el.EdgeNetwork | el.EdgeRNN:
    ends = graph.num_nodes, graph.edge_index, graph.inputs, graph.outputs
    if case.steps:
        return el.EdgeRNN(*ends, activation=graph.activation, leak=case.leak)
    return el.EdgeNetwork(*ends, activation=graph.activation)


def measure(problem: Problem, threads: int) -> list[dict]:
    """Return a row for each phase of each contender."""
    torch.set_num_threads(threads)
    calls, rows = {}, []
    for name, build in problem.contenders().items():
        calls[name] = problem.calls(name, build())
        error = problem.error(name, calls[name]["inference"])
        if error is not None and not error < TOLERANCE:
            if name == OURS:
                raise SystemExit(f"{OURS} is wrong on {problem.case.name}: {error:.2g}")
            rows.append({"contender": name, "note": f"wrong: relative error {error:.2g}"})
            del calls[name]
        elif error is not None:
            rows.append({"contender": name, "error": f"{error:.2g}"})
    errors = {row["contender"]: row["error"] for row in rows if "error" in row}
    rows = [row for row in rows if "note" in row]
    for phase in ("step", "inference"):
        times = in_turn({name: found[phase] for name, found in calls.items() if phase in found})
        yard = min(times[YARD])
        for name, seconds in times.items():
            row = {"contender": name, "phase": phase, "error": errors.get(name, "")}
            row["ratio"] = f"{min(seconds) / yard:.3g}"
            rows.append(row | describe_times(seconds))
    return rows


def in_turn(calls: dict[str, Callable[[], Any]]) -> dict[str, list[float]]:
    """Time all calls round by round, so that a slower machine slows all of them alike."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    started = time.perf_counter()
    for done in range(MOST_ROUNDS):
        if done >= LEAST_ROUNDS and time.perf_counter() - started > SECONDS:
            break
        for name in list(calls)[:: -1 if done % 2 else 1]:
            if done >= SLOW_ROUNDS and min(times[name]) > SLOW * min(times[OURS]):
                continue
            # The first call of a round finds the caches as another contender left them.
            seconds = [timed(calls[name])]
            while sum(seconds) < TIMED_SECONDS:
                seconds.append(timed(calls[name]))
            times[name] += seconds[1:] or seconds
    return times


def timed(call: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def memory(number: int, name: str) -> dict:
    """Return what a step of a contender keeps for its backward pass, and its peak, in MiB."""
    torch.set_num_threads(1)
    problem = Problem(CASES[number])
    model = problem.contenders()[name]()
    step = problem.calls(name, model)["step"]
    known = {t.untyped_storage().data_ptr() for t in (*model.parameters(), problem.x)}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known and tensor.is_floating_point():
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    x = problem.nodes if name == YARD else problem.x
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        y = model(x)
    del y
    step()
    give_back()
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    results = step()
    peak = resident("VmHWM") - before
    del results
    return {"kept_mib": f"{sum(kept.values()) / 2**20:.1f}", "peak_mib": f"{peak / 2**10:.1f}"}


def give_back() -> None:
    """Return to the system what is free: other processes need it, and memory is counted anew."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = list(dict.fromkeys(case.name for case in CASES))
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=names)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, torch.get_num_threads()])
    parser.add_argument("--out", type=Path, default=HERE / "results" / "networks.csv")
    parser.add_argument("--memory", nargs=2, metavar=("CASE", "CONTENDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory:
        print(json.dumps(memory(int(arguments.memory[0]), arguments.memory[1])))
        return
    require_kernels()
    origin = describe_origin()
    with arguments.out.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        for number, case in enumerate(CASES):
            if arguments.only and case.name not in arguments.only:
                continue
            problem = Problem(case)
            size = describe(problem)
            rows = [
                {"threads": threads} | row
                for threads in dict.fromkeys(arguments.threads)
                for row in measure(problem, threads)
            ]
            del problem
            give_back()
            contenders = dict.fromkeys(
                row["contender"] for row in rows if row.get("phase") == "step"
            )
            rows += [count_memory(number, contender) for contender in contenders]
            for row in rows:
                report(case, row)
                writer.writerow(size | row | origin)
            file.flush()


def describe(problem: Problem) -> dict:
    case, net = problem.case, problem.net
    levels = "" if case.steps else net.num_levels
    size = {"case": case.name, "nodes": net.num_nodes, "edges": net.num_edges, "levels": levels}
    return size | {"batch": case.batch, "steps": case.steps or ""}


def count_memory(number: int, contender: str) -> dict:
    command = [sys.executable, __file__, "--memory", str(number), contender]
    done = subprocess.run(command, capture_output=True, text=True)
    row = {"contender": contender, "phase": "memory", "threads": 1}
    if done.returncode:
        return row | {"note": f"no memory counted: exit code {done.returncode}"}
    return row | json.loads(done.stdout.splitlines()[-1])


def report(case: Case, row: dict) -> None:
    cell = f"{case.name:14} {case.batch:4} {row.get('threads', '')} {row['contender']:22}"
    if row.get("note"):
        print(cell, row["note"], flush=True)
    elif row["phase"] == "memory":
        print(cell, f"kept {row['kept_mib']:>8} peak {row['peak_mib']:>8} MiB", flush=True)
    else:
        bar = ""
        if case.bar and row["phase"] == "step" and row["contender"] == OURS:
            state = "met" if float(row["ratio"]) <= case.bar else "MISSED"
            bar = f"  bar {case.bar}: {state}"
        figures = f"{row['min_ms']:>9} ms {row['ratio']:>8} x yard{bar}"
        print(cell, f"{row['phase']:10}", figures, flush=True)


if __name__ == "__main__":
    main()
