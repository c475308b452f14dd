"""Write the tables of page and README, a picture and one thread; tell which targets are met.

    python benchmarks/summarize.py [--page FILE] [--readme FILE] [CSV ...]

The rows are those of results/cpu.csv and results/memory.csv, as `run.py` wrote them. Pictures and
tables are written beside the first file, and all rows between the marks of docs/performance.md.
"""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from targets import AUTO, SPARSE, table, targets

from edgelinear.comparison.units import short

HERE = Path(__file__).parent
DENSE = ["dense masked", "nn.Linear"]
SHOWN = [*DENSE, "CSR parameter", "gather + index_add", "sparselab", "sparseprop"]
# Two that are won and two that are lost: one to plain torch, one to dense products.
IN_README = [("reactome", 64), ("flyvis", 32), ("tiny", 1), ("square 50 %", 512)]
MARKERS = {  # of the picture, for readers of any colour vision; those of dense layers are square
    AUTO: ("D", "black"),
    "sparselab": ("o", "#009e73"),
    "gather + index_add": ("o", "#999999"),
    "sparseprop": ("o", "#cc79a7"),
    "CSR parameter": ("o", "#56b4e9"),
    "dense masked": ("s", "#e69f00"),
    "nn.Linear": ("s", "#d55e00"),
}
CAPTION = (
    "Medians, with lines from quartile to quartile. One is absent where its dense matrix, or its "
    "product of batch and edges, is too large.\nSix more contenders are in cpu.csv alone."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv", nargs="*", type=Path, default=measured())
    parser.add_argument("--page", type=Path, default=HERE.parent / "docs" / "performance.md")
    parser.add_argument("--readme", type=Path, default=HERE.parent / "README.md")
    arguments = parser.parse_args()
    rows = pd.concat([pd.read_csv(path) for path in arguments.csv], ignore_index=True)
    threads = rows.threads.max()
    folder = arguments.csv[0].parent
    sizes = rows.drop_duplicates(["workload", "batch"]).set_index(["workload", "batch"])
    for target in targets(rows):
        state = {True: "met", False: "MISSED", None: "not measured"}[target.met]
        print(f"{state:12} {target.text}" + f" ({target.found})" * bool(target.found))
    for note in sorted(set(notes(rows))):
        print(f"failed       {note}")

    step = table(rows, threads)
    table(rows, 1).dropna(axis=1, how="all").to_csv(folder / "one_thread.csv")
    picture(rows, sizes).savefig(folder / "cpu.png", dpi=160)
    first = rows.iloc[0]
    measured_on = (
        f"Milliseconds; {first.machine}, {threads} threads, torch {first.torch}, commit "
        f"{first.commit}."
    )
    legend = (
        f"{measured_on} In bold where edgelinear is the fastest sparse path. `nn.Linear` trains "
        "the zeros too: it is a yardstick, no replacement."
    )
    title = ["# Training steps on the CPU", ""]
    lines = [*title, *markdown(step, sizes), "", legend]
    (folder / "README.md").write_text("\n".join(lines) + "\n")
    lines = [*wirings(sizes), "", *markdown(step), "", legend]
    write_between_marks(arguments.page, lines)
    few = step.loc[[key for key in IN_README if key in step.index]]
    write_between_marks(arguments.readme, [*markdown(few, sizes, DENSE), "", measured_on])


def write_between_marks(path: Path, lines: list[str], mark: str = "results") -> None:
    marked = rf"(?<=<!-- {mark} -->\n\n).*(?=\n\n<!-- /{mark} -->)"
    text, found = re.subn(marked, lambda _: "\n".join(lines), path.read_text(), flags=re.DOTALL)
    if found != 1:
        raise ValueError(f"{path} must have the marks of {mark} once, got {found}.")
    path.write_text(text)


def measured() -> list[Path]:
    return [path for name in ("cpu", "memory") if (path := HERE / f"results/{name}.csv").exists()]


def notes(rows: pd.DataFrame) -> list[str]:
    failed = rows[rows.note.notna()]
    return [
        f"{r.contender} on {r.workload}, batch {r.batch}: {r.note}" for r in failed.itertuples()
    ]


def wirings(sizes: pd.DataFrame) -> list[str]:
    """Return a table with a row for each workload."""
    lines = ["| workload | inputs | outputs | edges |", "|---|---:|---:|---:|"]
    for workload, size in sizes.groupby(level="workload", sort=False).first().iterrows():
        numbers = (size.in_features, size.out_features, size.edges)
        lines.append(f"| {workload} | " + " | ".join(f"{one:,}" for one in numbers) + " |")
    return lines


def markdown(
    step: pd.DataFrame,  # milliseconds of each (workload, batch) and contender
    sizes: pd.DataFrame | None = None,
    shown: Sequence[str] = SHOWN,
) -> list[str]:
    """Return a table with a row for each (workload, batch), which tells its sizes if given."""
    header = ["workload", AUTO, "fastest other sparse path", "ratio", *shown]
    lines = ["| " + " | ".join(header) + " |", "|---|---:|---|" + "---:|" * (len(header) - 3)]
    for (workload, batch), times in step.iterrows():
        wiring = ""
        if sizes is not None:
            size = sizes.loc[(workload, batch)]
            wiring = f" ({size.in_features} -> {size.out_features}, {size.edges:,} edges)"
        others = times[SPARSE].dropna()
        ours, best = milliseconds(times[AUTO]), others.min()
        ratio = best / times[AUTO]
        cells = [
            f"{workload}, batch {batch}{wiring}",
            f"**{ours}**" if ratio > 1 else ours,
            f"{others.idxmin()}, {milliseconds(best)}" if len(others) else "-",
            f"{ratio:.2f}",
            *(milliseconds(times[name]) for name in shown),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def milliseconds(value: float) -> str:
    if np.isnan(value):
        return "-"
    if value < 100:
        return f"{value:#.3g}".rstrip(".")
    return f"{value:,.0f}"


def picture(rows: pd.DataFrame, sizes: pd.DataFrame) -> Figure:
    """Return a row for each workload: the step of each contender, as a multiple of edgelinear's."""
    threads = rows.threads.max()
    step, low, high = (table(rows, threads, value=f"{name}_ms") for name in ("median", "q1", "q3"))
    ours, place = step[AUTO], np.arange(len(step))
    figure = Figure(figsize=(9, 1.7 + 0.3 * len(step)), layout="constrained")
    axes = figure.add_subplot()
    shifts = [0, *np.linspace(-0.3, 0.3, len(MARKERS) - 1)]  # or equal times hide each other
    for shift, (name, (marker, colour)) in zip(shifts, MARKERS.items(), strict=True):
        at = place + shift
        axes.hlines(at, low[name] / ours, high[name] / ours, color=colour, lw=1.2, zorder=2)
        style = dict(ms=9 if name == AUTO else 6, color=colour, mec="white", mew=0.5)
        axes.plot(step[name] / ours, at, marker, label=name, **style)
    divide(axes)
    axes.set_xlabel("time of a training step, as a multiple of edgelinear's")
    axes.set_ylim(len(step) - 0.5, -1.5)
    axes.set_yticks(place, [label(sizes.loc[key], *key) for key in step.index])
    times = axes.secondary_yaxis("right")
    times.set_yticks([-1, *place], ["edgelinear", *(f"{milliseconds(time)} ms" for time in ours)])
    for side in (axes, times):
        side.tick_params(axis="both", length=0, labelsize=7.5)
        side.spines[:].set_visible(False)
    figure.suptitle(f"A training step: {rows.machine.iloc[0]}, {threads} threads", fontsize=11)
    legend = figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    legend.set_title(CAPTION, {"size": 8})
    return figure


def divide(axes: Axes) -> None:
    """Set off what is faster than edgelinear from what is slower, on a log scale."""
    axes.set_xscale("log")
    left, right = axes.get_xlim()
    axes.axvspan(left, 1, color="0.95", zorder=0)
    axes.axvline(1, color="black", lw=1, zorder=1)
    axes.set_xlim(left, right)
    for x, side, text in ((0.93, "right", "faster"), (1.08, "left", "slower than edgelinear")):
        axes.text(x, -1, text, ha=side, va="center", fontsize=8, style="italic")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}x")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)


def label(size: pd.Series, workload: str, batch: int) -> str:
    wiring = f"{size.in_features:,} -> {size.out_features:,}, {short(size.edges)} edges"
    return f"{workload}, batch {batch}\n{wiring}"


if __name__ == "__main__":
    main()
