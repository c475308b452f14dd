"""Write results/networks.md from results/networks.csv, as `networks.py` wrote it.

python benchmarks/network_tables.py [CSV]
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from graphs import CASES
from networks import OURS, YARD
from summarize import milliseconds

HERE = Path(__file__).parent
KEY = ["case", "batch", "threads"]
BARS = {(case.name, case.batch): case.bar for case in CASES}
LEGEND = (
    "Milliseconds; {machine}, torch {torch}, commits {commits}. The yard is one `edge_linear` of "
    "all edges at once, as often as there are steps; ratios are those of minima, the others "
    "medians. Contenders compute the same, to 1e-4 of the largest value, but for edge2torch (no "
    "activations here), ncps (another equation) and the yard itself. `neat_python` and "
    "`reservoirpy` have no gradients. One is absent where its matrices or messages are too large."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv", nargs="?", type=Path, default=HERE / "results" / "networks.csv")
    path = parser.parse_args().csv
    rows = pd.read_csv(path)
    commits = ", ".join(rows.commit.unique())
    lines = ["# Whole networks on the CPU", "", LEGEND.format(**rows.iloc[0], commits=commits)]
    for title, phase in (("A training step", "step"), ("Without gradients", "inference")):
        lines += ["", f"## {title}", "", *times(rows[rows.phase == phase])]
    lines += ["", "## Memory of a step", "", *memory(rows[rows.phase == "memory"])]
    path.with_suffix(".md").write_text("\n".join(lines) + "\n")


def times(rows: pd.DataFrame) -> Iterator[str]:
    """Yield the lines of a table with a row for each case, batch and number of threads."""
    names = [name for name in rows.contender.unique() if name not in (OURS, YARD)]
    yield "| " + " | ".join(["case", "threads", OURS, YARD, "ratio", *names]) + " |"
    yield "|---|---:|" + "---:|" * (len(names) + 3)
    for (case, batch, threads), group in rows.groupby(KEY, sort=False):
        cells = group.set_index("contender")
        median, ratio = cells.median_ms, cells.ratio[OURS]
        bar = BARS.get((case, batch)) if group.phase.iloc[0] == "step" else None
        mark = "" if bar is None else f" (bar {bar:g})"
        found = [milliseconds(median.get(name, float("nan"))) for name in (OURS, YARD)]
        others = [milliseconds(median.get(name, float("nan"))) for name in names]
        cells = [describe(group.iloc[0]), str(threads), *found, f"{ratio:.2f}{mark}", *others]
        yield "| " + " | ".join(cells) + " |"


def memory(rows: pd.DataFrame) -> Iterator[str]:
    """Yield the lines of a table of what each contender keeps, and of its peak."""
    rows = rows[rows.kept_mib.notna()]
    names = list(rows.contender.unique())
    yield "| " + " | ".join(["MiB kept / at the peak", *names]) + " |"
    yield "|---|" + "---:|" * len(names)
    for _, group in rows.groupby(KEY[:2], sort=False):
        found = {r.contender: f"{r.kept_mib:.1f} / {r.peak_mib:.1f}" for r in group.itertuples()}
        cells = [describe(group.iloc[0]), *(found.get(name, "-") for name in names)]
        yield "| " + " | ".join(cells) + " |"


def describe(row: pd.Series) -> str:
    size = f"{row.nodes:,} nodes, {row.edges:,} edges"
    more = f"{row.levels:.0f} levels" if pd.notna(row.levels) else f"{row.steps:.0f} steps"
    return f"{row.case}, batch {row.batch} ({size}, {more})"


if __name__ == "__main__":
    main()
