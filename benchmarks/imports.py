"""What `import edgelinear` costs beyond torch, NumPy and scipy.sparse, module by module.

    python benchmarks/imports.py

Each run is a fresh process. Where Triton is installed, the flop counter of torch imports it, which
is told apart.
"""

import statistics
import subprocess
import sys

RUNS, SHOWN = 15, 8
BASE = "import torch, numpy, scipy.sparse, sys\nprint('beyond', file=sys.stderr)\n"
Row = tuple[float, float, str]  # milliseconds alone and with what it imports, and the module


def report() -> list[Row]:
    """Return the rows of Python's own import-time report that follow the base."""
    command = [sys.executable, "-X", "importtime", "-c", BASE + "import edgelinear"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stderr.splitlines()
    rows = []
    for line in lines[lines.index("beyond") + 1 :]:
        alone, total, module = line.removeprefix("import time:").split("|")
        rows.append((int(alone) / 1e3, int(total) / 1e3, module.strip()))
    return rows


def total(rows: list[Row], module: str) -> float:
    return sum(total for _, total, name in rows if name == module)


def main() -> None:
    runs = [report() for _ in range(RUNS)]
    whole = sorted(total(rows, "edgelinear") for rows in runs)
    low, middle, high = whole[0], statistics.median(whole), whole[-1]
    print(f"import edgelinear: {middle:.0f} ms ({low:.0f} to {high:.0f}, {RUNS} processes)")
    triton = statistics.median(total(rows, "triton") for rows in runs)
    if triton:
        print(f"of which Triton, by torch's flop counter: {triton:.0f} ms")
    for alone, _, module in sorted(runs[0], reverse=True)[:SHOWN]:
        print(f"{alone:8.1f} ms  {module}")


if __name__ == "__main__":
    main()
