"""Time every contender on every workload, in turn and in one run, and write a row for each.

    python benchmarks/run.py [--all] [--only WORKLOAD ...] [--threads 1 2] [--out FILE]
    python benchmarks/run.py --memory

Contenders run in workers, one for each environment; one that is missing is left out. Correctness is
checked before the clock starts: results further than 1e-4 of the largest value from the float64
truth leave a contender without a time and with a note, and stop the run if they are ours.
"""

import argparse
import csv
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import environments
import torch
from contenders import CONTENDERS
from describe import describe_origin, describe_size, describe_times
from problem import Problem
from worker import Worker
from workloads import WORKLOADS, Workload

HERE = Path(__file__).parent
COLUMNS = [
    "workload", "in_features", "out_features", "edges", "batch", "threads", "contender", "phase",
    "median_ms", "q1_ms", "q3_ms", "min_ms", "calls", "error", "memory_mib", "note",
    "package", "machine", "torch", "edgelinear", "commit",
]  # fmt: skip
SECONDS = 2.5  # for all contenders of a phase, once the least rounds are done
LEAST_ROUNDS, MOST_ROUNDS = 5, 50
SLOW, SLOW_ROUNDS = 10, 2  # contenders this much slower than the fastest so far take fewer rounds
MEMORY_WORKLOAD, MEMORY_BATCH = "flyvis", 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--all", action="store_true", help="every workload and batch: hours")
    names = [workload.name for workload in WORKLOADS]
    parser.add_argument("--only", nargs="+", metavar="WORKLOAD", choices=names, help="all of these")
    parser.add_argument("--memory", action="store_true", help="the memory of a step instead")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, torch.get_num_threads()])
    parser.add_argument("--out", type=Path, help="results/cpu.csv if all, memory.csv, or short.csv")
    arguments = parser.parse_args()
    name = "memory.csv" if arguments.memory else "cpu.csv" if arguments.all else "short.csv"
    out = arguments.out or HERE / "results" / name
    workers = start_workers()
    packages = find_packages(workers)
    origin = describe_origin()
    with tempfile.TemporaryDirectory() as temporary, out.open("w", newline="") as file:
        folder = Path(temporary)
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        for workload, batches in choose(arguments):
            try:
                topology = workload.wiring()
            except RuntimeError as error:  # it is downloaded, and nothing is in reach
                print(f"{workload.name} is left out: {error}", file=sys.stderr)
                continue
            for batch in batches:
                Problem.make(topology, batch).save(folder)
                size = describe_size(workload.name, topology, batch)
                for threads in dict.fromkeys(arguments.threads):
                    if arguments.memory:
                        rows = measure_memory(packages, folder, threads)
                    else:
                        rows = measure(workers, packages, folder, threads, workload.phases)
                    for row in rows:
                        row = size | {"threads": threads} | row
                        report(row)
                        writer.writerow(row | {"package": packages[row["contender"]]} | origin)
                        file.flush()
    for worker in workers.values():
        worker.stop()


def choose(arguments: argparse.Namespace) -> list[tuple[Workload, tuple[int, ...]]]:
    """Return the workloads asked for, and which of their batches."""
    if arguments.memory:
        return [(w, (MEMORY_BATCH,)) for w in WORKLOADS if w.name == MEMORY_WORKLOAD]
    if arguments.only:
        return [(w, w.batches) for w in WORKLOADS if w.name in arguments.only]
    return [(w, w.batches if arguments.all else w.short) for w in WORKLOADS]


def start_workers() -> dict[str, Worker]:
    workers = {}
    for name in (environments.MAIN, *environments.ENVIRONMENTS):
        if environments.python(name) is None:
            print(
                f"the environment {name} is missing and its contenders are left out: "
                f"`python benchmarks/environments.py {name}` makes it",
                file=sys.stderr,
            )
        else:
            workers[name] = Worker(name)
    return workers


def find_packages(workers: dict[str, Worker]) -> dict[str, str]:
    """Return the contenders that can be built, and the package and version of each."""
    versions = {name: worker.ask("versions") for name, worker in workers.items()}
    packages = {}
    for name, contender in CONTENDERS.items():
        version = versions.get(contender.environment, {}).get(contender.package)
        if version is not None:
            packages[name] = f"{contender.package} {version}"
        elif contender.environment in workers:
            print(f"{name} is left out: {contender.package} is not installed", file=sys.stderr)
    return packages


def measure(
    workers: dict[str, Worker],
    contenders: Iterable[str],
    folder: Path,
    threads: int,
    phases: tuple[str, ...],
) -> Iterator[dict]:
    """Yield a row for each phase of each contender that can hold the problem in `folder`."""
    for worker in workers.values():
        worker.load(folder, threads)
    built, errors = [], {}
    for contender in contenders:
        answer = workers[CONTENDERS[contender].environment].ask("build", contender=contender)
        if "note" in answer:
            yield failed(contender, phases[-1], answer)
        elif "error" in answer:
            built.append(contender)
            errors[contender] = f"{answer['error']:.2g}"
    for phase in phases:
        times, failures = in_turn(workers, built, phase)
        for contender, seconds in times.items():
            spread = {"contender": contender, "phase": phase, "error": errors[contender]}
            yield spread | describe_times(seconds)
        for contender, answer in failures.items():
            built.remove(contender)
            yield failed(contender, phase, answer)


def in_turn(
    workers: dict[str, Worker], contenders: list[str], phase: str
) -> tuple[dict[str, list[float]], dict[str, dict]]:
    """Time all contenders round by round, so that a slower machine slows all of them alike.

    Return the seconds of those that lasted, and the answers of those that failed.
    """
    times: dict[str, list[float]] = {contender: [] for contender in contenders}
    failures = {}
    started = time.perf_counter()
    for done in range(MOST_ROUNDS):
        if done >= LEAST_ROUNDS and time.perf_counter() - started > SECONDS:
            break
        if done >= SLOW_ROUNDS:
            fastest = min(map(min, times.values()), default=0.0)
        # Back and forth, so that none always finds the memory as the same one left it.
        for contender in list(times)[:: -1 if done % 2 else 1]:
            if done >= SLOW_ROUNDS and min(times[contender]) > SLOW * fastest:
                continue
            worker = workers[CONTENDERS[contender].environment]
            answer = worker.ask("time", contender=contender, phase=phase)
            if "seconds" in answer:
                times[contender] += answer["seconds"]
            else:
                failures[contender] = answer
                del times[contender]
    return times, failures


def measure_memory(contenders: Iterable[str], folder: Path, threads: int) -> Iterator[dict]:
    """Yield a row for each contender, run in a process in which no other one was."""
    for contender in contenders:
        worker = Worker(CONTENDERS[contender].environment)
        worker.load(folder, threads)
        answer = worker.ask("build", contender=contender)
        if "error" in answer:
            error = f"{answer['error']:.2g}"
            answer = worker.ask("memory", contender=contender)
        if "note" in answer:
            yield failed(contender, "memory", answer)
        elif "mebibytes" in answer:
            mebibytes = f"{answer['mebibytes']:.1f}"
            row = {"contender": contender, "phase": "memory", "error": error}
            yield row | {"memory_mib": mebibytes}
        worker.stop()


def failed(contender: str, phase: str, answer: dict) -> dict:
    """Return the row of a contender that failed, or stop the run if it is ours."""
    if CONTENDERS[contender].kind == "ours":
        raise SystemExit(f"{contender} failed: {answer['note']}")
    return {"contender": contender, "phase": phase, "note": answer["note"]}


def report(row: dict) -> None:
    result = row.get("note")
    if row["phase"] == "memory":
        result = result or f"{row['memory_mib']:>9} MiB"
    elif row["phase"] == "step":
        result = result or f"{float(row['median_ms']):9.3f} ms"
    if result:
        cell = f"{row['workload']:15} {row['batch']:4} {row['threads']}"
        print(f"{cell} {row['contender']:24} {result}", flush=True)


if __name__ == "__main__":
    main()
