"""Time every contender on every workload, in turn and in one run, and write a row for each.

    python benchmarks/run.py [--full] [--only WORKLOAD ...] [--threads 1 2] [--out FILE]

Correctness is checked before the clock starts: a contender whose float32 results are further than
1e-4 of the largest value from the float64 truth stops the run.
"""

import argparse
import csv
import gc
import platform
import statistics
import subprocess
import time
from pathlib import Path

import numpy as np
import torch
from peers import csr_parameter, dense, embedding_bag, gather_scatter, ours
from problem import Problem
from workloads import FULL, SHORT

import edgelinear as el

CONTENDERS = {
    "edgelinear auto": ours.make("auto"),
    **{f"edgelinear {name}": ours.make(name) for name in el.backends.BACKENDS},
    "CSR parameter": csr_parameter.peer,
    "embedding_bag": embedding_bag.peer,
    "gather + index_add": gather_scatter.peer,
    "dense masked": dense.masked,
    "nn.Linear": dense.plain,
}
COLUMNS = [
    "workload", "in_features", "out_features", "edges", "batch", "threads", "contender", "phase",
    "median_ms", "q1_ms", "q3_ms", "min_ms", "rounds", "error",
    "machine", "torch", "edgelinear", "commit",
]  # fmt: skip
SECONDS = 6.0  # for all contenders of a phase, once the least rounds are done
LEAST_ROUNDS, MOST_ROUNDS = 5, 200
TOLERANCE = 1e-4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="the large workloads too")
    parser.add_argument("--only", nargs="+", metavar="WORKLOAD", help="these and no others")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, torch.get_num_threads()])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results/cpu.csv")
    arguments = parser.parse_args()
    origin = {
        "machine": f"{processor()}, {platform.system()}",
        "torch": torch.__version__,
        "edgelinear": el.__version__,
        "commit": commit(),
    }
    with arguments.out.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for workload in FULL if arguments.full or arguments.only else SHORT:
            if arguments.only and workload.name not in arguments.only:
                continue
            topology = workload.wiring()
            for batch in workload.batches:
                problem = Problem.make(topology, batch)
                for threads in dict.fromkeys(arguments.threads):
                    torch.set_num_threads(threads)
                    for row in measure(workload.name, problem, threads):
                        writer.writerow(row | origin)
                    file.flush()


def measure(name: str, problem: Problem, threads: int) -> list[dict]:
    topology, batch = problem.topology, problem.x.shape[0]
    steps, errors = {}, {}
    truth = problem.truth()
    for contender, make in CONTENDERS.items():
        made = make(problem)
        if made is not None:
            errors[contender] = check(contender, made.step(), truth)
            steps[contender] = made
    rows = []
    for phase in ("forward", "step"):
        times = in_turn({c: getattr(made, phase) for c, made in steps.items()})
        for contender, seconds in times.items():
            milliseconds = [1e3 * s for s in seconds]
            q1, median, q3 = statistics.quantiles(milliseconds, n=4)
            rows.append(
                {
                    "workload": name,
                    "in_features": topology.in_features,
                    "out_features": topology.out_features,
                    "edges": topology.num_edges,
                    "batch": batch,
                    "threads": threads,
                    "contender": contender,
                    "phase": phase,
                    "median_ms": f"{median:.4g}",
                    "q1_ms": f"{q1:.4g}",
                    "q3_ms": f"{q3:.4g}",
                    "min_ms": f"{min(milliseconds):.4g}",
                    "rounds": len(seconds),
                    "error": f"{errors[contender]:.2g}",
                }
            )
            if phase == "step":
                print(f"{name:14} {batch:4} {threads} {contender:24} {median:9.3f} ms", flush=True)
    return rows


def check(contender: str, results: tuple, truth: tuple) -> float:
    worst = 0.0
    for result, exact in zip(results, truth, strict=True):
        error = np.abs(result.detach().double().numpy() - exact).max() / np.abs(exact).max()
        worst = max(worst, float(error))
    if not worst < TOLERANCE:
        raise SystemExit(f"{contender} is wrong: relative error {worst:.2g}")
    return worst


def in_turn(calls: dict) -> dict[str, list[float]]:
    """Time all calls round by round, so that a slower machine slows all of them alike.

    Each timed call follows an untimed one of its own, so that none pays for the caches that the
    contender before it left.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    gc.disable()
    started = time.perf_counter()
    rounds = 0
    while rounds < LEAST_ROUNDS or (
        rounds < MOST_ROUNDS and time.perf_counter() - started < SECONDS
    ):
        for name, call in calls.items():
            call()
            begin = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - begin)
        rounds += 1
    gc.enable()
    return times


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def commit() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()
