"""What this library sets out to reach, each asked of the rows that `run.py` measured."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from contenders import CONTENDERS

OURS = [name for name, contender in CONTENDERS.items() if contender.kind == "ours"]
SPARSE = [name for name, contender in CONTENDERS.items() if contender.kind == "sparse"]
AUTO = "edgelinear auto"
LARGE = 10_000  # edges
SCALING = "flyvis|square .*|radix|fly"


class Target(NamedTuple):
    text: str
    met: bool | None  # None if a row is missing
    found: str


def table(
    rows: pd.DataFrame, threads: int, phase: str = "step", value: str = "median_ms"
) -> pd.DataFrame:
    """Return a value of each (workload, batch), in the order of measurement, and contender."""
    rows = rows[(rows.phase == phase) & (rows.threads == threads)]
    cells = rows.pivot(index=["workload", "batch"], columns="contender", values=value)
    order = rows.set_index(["workload", "batch"]).index.drop_duplicates()
    return cells.loc[order].reindex(columns=list(CONTENDERS))


def targets(rows: pd.DataFrame) -> Iterator[Target]:
    """Yield every target, of what was measured: of the most threads, where it does not say."""
    threads = rows.threads.max()
    step = table(rows, threads)
    edges = rows.groupby(["workload", "batch"]).edges.first()

    large = step[edges.loc[step.index] >= LARGE]
    text = f"step >= 2x the fastest other sparse path, from {LARGE:,} edges"
    yield at_least(2, text, large[SPARSE].min(axis=1) / large[AUTO])

    logarithms = np.log(step["CSR parameter"] / step[AUTO])
    mean = pd.Series({("geometric mean", "all"): np.exp(logarithms.mean())})
    yield at_least(4, "step >= 4x CSR parameter in the geometric mean", mean)

    long = step[step[AUTO] > 1]
    fastest = long[[name for name in OURS if name != AUTO]].min(axis=1)
    text = "auto <= 1.1x the fastest of our backends, where a step takes over 1 ms"
    yield at_most(1.1, text, long[AUTO] / fastest)

    for phase in ("inference", "step"):
        tiny = only(table(rows, threads, phase), "tiny")
        yield at_most(3, f"tiny, {phase}: <= 3x nn.Linear", tiny[AUTO] / tiny["nn.Linear"])

    for workload, batch in (("square 30 %", 512), ("square 10 %", 64)):
        dense = only(step, workload, batch)
        text = f"{workload}, batch {batch}: faster than nn.Linear"
        yield at_least(1, text, dense["nn.Linear"] / dense[AUTO])

    sizes = rows.groupby(["workload", "batch"])[["edges", "in_features", "out_features"]].first()
    density = sizes.edges / (sizes.in_features * sizes.out_features)
    forward = table(rows, threads, "forward", "min_ms")
    rate = (density.loc[forward.index] * forward["nn.Linear"] / forward[AUTO]).to_frame()
    rate = pd.concat([only(rate, "square 10 %", 512), only(rate, "ref128", 1024)])
    text = "multiplications per second of a forward >= 0.5x those of nn.Linear"
    yield at_least(0.5, text, rate[0])

    single = only(table(rows, 1), "ref32", 64)
    text = "ref32, batch 64, one thread: >= 2x sparselab"
    yield at_least(2, text, single["sparselab"] / single[AUTO])

    one, two = (table(rows, n, value="min_ms")[AUTO] for n in (1, 2))
    text = "two threads >= 1.7x one thread by minima, on flyvis, square, radix and fly"
    yield at_least(1.7, text, only(one / two, SCALING))

    memory = only(table(rows, threads, "memory", "memory_mib"), "flyvis", 32)
    yield at_most(45, "flyvis, batch 32: memory of a step <= 45 MiB", memory[AUTO])


def only(cells: pd.DataFrame, workloads: str, batch: int | None = None) -> pd.DataFrame:
    """Return the rows of the workloads that match a pattern, and of one batch where it is given."""
    names, batches = cells.index.get_level_values(0), cells.index.get_level_values(1)
    kept = names.str.fullmatch(workloads)
    return cells[kept if batch is None else kept & (batches == batch)]


def at_least(bound: float, text: str, values: pd.Series) -> Target:
    return _target(text, values, values >= bound)


def at_most(bound: float, text: str, values: pd.Series) -> Target:
    return _target(text, values, values <= bound)


def _target(text: str, values: pd.Series, met: pd.Series) -> Target:
    """Return a target that all values must meet: all that miss it are found, or else the range."""
    measured = values.notna()
    values, met = values[measured], met[measured]
    if values.empty:
        return Target(text, None, "")
    if met.all():
        return Target(text, True, f"{values.min():.3g} to {values.max():.3g}")
    missed = [f"{name} {batch}: {value:.3g}" for (name, batch), value in values[~met].items()]
    return Target(text, False, ", ".join(missed))
