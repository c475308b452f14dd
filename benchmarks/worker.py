"""A process that builds and times contenders in the Python of their environment; both its ends.

It reads a request a line, in JSON, and answers each with a line: load a problem; build a contender
and check it; time some calls of it; count the memory of one. A waiting worker takes no time.
"""

import contextlib
import ctypes
import gc
import importlib.metadata
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import environments
import numpy as np
import threadpoolctl
import torch
from contenders import CONTENDERS
from peers import Step
from problem import Problem

HERE = Path(__file__).parent
TOLERANCE = 1e-4  # of the largest true value
# Calls go on for the first of these before any is timed, and are timed for the second: threads that
# another process leaves spinning take the other core for milliseconds, and the heap settles. A call
# that takes the third needs no warming.
WARM_SECONDS, TIMED_SECONDS, LONG_SECONDS = 2e-2, 1e-2, 0.5


class Worker:
    """The end that asks. A process that died answers a note, and is started anew by `load`."""

    def __init__(self, environment: str) -> None:
        self.environment = environment
        self.start()

    def start(self) -> None:
        path = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")]))
        self.process = subprocess.Popen(
            [environments.python(self.environment), HERE / "worker.py"],
            env=os.environ | {"PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def load(self, folder: Path, threads: int) -> dict:
        if self.process.poll() is not None:
            self.start()
        return self.ask("load", folder=str(folder), threads=threads)

    def ask(self, request: str, **arguments) -> dict:
        try:
            print(json.dumps([request, arguments]), file=self.process.stdin, flush=True)
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if answer:
            return json.loads(answer)
        return {"note": f"the worker died with exit code {self.process.wait()}"}

    def stop(self) -> None:
        self.process.communicate()  # which closes its input, at whose end it ends


class Requests:
    """The end that answers: a method for each request."""

    def versions(self) -> dict:
        packages = {contender.package for contender in CONTENDERS.values()}
        versions = {}
        for package in packages:
            with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                versions[package] = importlib.metadata.version(package)
        return versions

    def load(self, folder: str, threads: int) -> dict:
        self.folder, self.threads = Path(folder), threads
        self.steps: dict[str, Step] = {}
        self.problem = None  # both are freed before there is another
        gc.collect()
        torch.set_num_threads(threads)
        self.problem = Problem.load(self.folder)
        return {}

    def build(self, contender: str) -> dict:
        made = CONTENDERS[contender].build(self.problem)
        # Some peers bring an OpenMP of their own, which torch does not tell.
        threadpoolctl.threadpool_limits(self.threads, user_api="openmp")
        if made is None:
            return {}
        error = self._error(made)
        if not error < TOLERANCE:
            return {"note": f"wrong: relative error {error:.2g}"}
        self.steps[contender] = made
        return {"error": error}

    def _error(self, made: Step) -> float:
        y, dx, dw = made.step()
        worst = 0.0
        results = {"true_y": y, "true_dx": dx, "true_dw": made.in_edge_order(dw)}
        for name, result in results.items():
            exact = np.load(self.folder / f"{name}.npy", mmap_mode="r")
            if tuple(result.shape) != exact.shape:
                return float("inf")
            difference = np.abs(result.detach().numpy() - exact).max()
            worst = float(np.maximum(worst, difference / np.abs(exact).max()))  # keeps a NaN
        return worst

    def time(self, contender: str, phase: str) -> dict:
        made = self.steps[contender]
        call = made.step if phase == "step" else made.forward
        with torch.set_grad_enabled(phase != "inference"):
            gc.disable()
            warming = [_timed(call)]
            while sum(warming) < WARM_SECONDS:
                warming.append(_timed(call))
            seconds = warming if warming[0] > LONG_SECONDS else []
            while sum(seconds) < TIMED_SECONDS:
                seconds.append(_timed(call))
            gc.enable()
        return {"seconds": seconds}

    def memory(self, contender: str) -> dict:
        """Return by how much a step lets the memory of this process grow, results included."""
        step = self.steps[contender].step
        step()
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)  # or freed pages would count as there already
        Path("/proc/self/clear_refs").write_text("5")  # the peak becomes what is resident now
        before = resident("VmRSS")
        results = step()
        peak = resident("VmHWM")
        del results
        return {"mebibytes": (peak - before) / 1024}


def _timed(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def resident(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1])
    raise RuntimeError(f"/proc/self/status has no {field}: memory is counted on Linux only")


def main() -> None:
    # Whatever a package prints must not be taken for an answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    requests = Requests()
    for line in sys.stdin:
        request, arguments = json.loads(line)
        try:
            answer = getattr(requests, request)(**arguments)
        except Exception as error:  # of any package: it is the answer
            answer = {"note": f"{type(error).__name__}: {error}".partition("\n")[0]}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
