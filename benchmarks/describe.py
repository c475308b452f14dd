"""What every row of results says of its times and of where they were taken."""

import os
import platform
import statistics
import subprocess
from pathlib import Path

import torch

import edgelinear as el
from edgelinear.backends.library import library_path

HERE = Path(__file__).parent


def describe_times(seconds: list[float]) -> dict:
    milliseconds = [1e3 * s for s in seconds]
    q1, median, q3 = statistics.quantiles(milliseconds, n=4)
    return {
        "median_ms": f"{median:.4g}",
        "q1_ms": f"{q1:.4g}",
        "q3_ms": f"{q3:.4g}",
        "min_ms": f"{min(milliseconds):.4g}",
        "calls": len(seconds),
    }


def describe_size(workload: str, topology: el.Topology, batch: int) -> dict:
    return {
        "workload": workload,
        "in_features": topology.in_features,
        "out_features": topology.out_features,
        "edges": topology.num_edges,
        "batch": batch,
    }


def require_kernels() -> None:
    """Stop where an environment reads this source tree, and what was built of it lies in another.

    Layers would take slower kernels, after no more than a warning.
    """
    if library_path() is None:
        raise SystemExit(
            "no compiled kernels are in reach: set EDGELINEAR_LIBRARY to a libedgelinear.so, as "
            "`make bench-all` does."
        )


def describe_origin() -> dict:
    return {
        "machine": f"{processor()}, {os.cpu_count()} cores, {platform.system()}",
        "torch": torch.__version__,
        "edgelinear": el.__version__,
        "commit": commit(),
    }


def commit() -> str:
    """Return the commit of this tree, or nothing where git or its folder is missing."""
    command = ["git", "-C", str(HERE), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()
    except OSError:
        return ""


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
