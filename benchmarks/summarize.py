"""Write the README's table, a picture and a table of one thread, and tell which targets are met.

    python benchmarks/summarize.py [--readme FILE] [CSV ...]

The rows are those of results/cpu.csv and results/memory.csv, as `run.py` wrote them. Pictures and
tables are written beside the first file.
"""

import argparse
import re
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from targets import AUTO, SPARSE, table, targets

HERE = Path(__file__).parent
SHOWN = ["CSR parameter", "gather + index_add", "sparselab", "sparseprop", "dense masked"]
SHOWN += ["nn.Linear"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv", nargs="*", type=Path, default=measured())
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
    lines = markdown(step, sizes)
    table(rows, 1).dropna(axis=1, how="all").to_csv(folder / "one_thread.csv")
    picture(step, folder / "cpu.png", f"{threads} threads")
    first = rows.iloc[0]
    lines += [
        "",
        f"Milliseconds; {first.machine}, {threads} threads, torch {first.torch}, commit "
        f"{first.commit}. In bold where edgelinear is the fastest sparse path. `nn.Linear` trains "
        "the zeros too: it is a yardstick, no replacement.",
        "Every contender, the forward alone, quartiles, errors and versions are in "
        "[cpu.csv](benchmarks/results/cpu.csv), and the steps of one thread in "
        "[one_thread.csv](benchmarks/results/one_thread.csv).",
    ]
    block = "<!-- results -->\n\n" + "\n".join(lines) + "\n\n<!-- /results -->"
    marked = r"<!-- results -->.*<!-- /results -->"
    text = arguments.readme.read_text()
    arguments.readme.write_text(re.sub(marked, lambda _: block, text, flags=re.DOTALL))


def measured() -> list[Path]:
    return [path for name in ("cpu", "memory") if (path := HERE / f"results/{name}.csv").exists()]


def notes(rows: pd.DataFrame) -> list[str]:
    failed = rows[rows.note.notna()]
    return [
        f"{r.contender} on {r.workload}, batch {r.batch}: {r.note}" for r in failed.itertuples()
    ]


def markdown(
    step: pd.DataFrame,  # milliseconds of each (workload, batch) and contender
    sizes: pd.DataFrame,
) -> list[str]:
    """Return a table with a row for each (workload, batch)."""
    header = ["workload", AUTO, "fastest other sparse path", "ratio", *SHOWN]
    lines = ["| " + " | ".join(header) + " |", "|---|---:|---|" + "---:|" * (len(header) - 3)]
    for (workload, batch), times in step.iterrows():
        size = sizes.loc[(workload, batch)]
        wiring = f"{size.in_features} -> {size.out_features}, {size.edges:,} edges"
        others = times[SPARSE].dropna()
        ours, best = milliseconds(times[AUTO]), others.min()
        ratio = best / times[AUTO]
        cells = [
            f"{workload}, batch {batch} ({wiring})",
            f"**{ours}**" if ratio > 1 else ours,
            f"{others.idxmin()}, {milliseconds(best)}" if len(others) else "-",
            f"{ratio:.2f}",
            *(milliseconds(times[name]) for name in SHOWN),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def milliseconds(value: float) -> str:
    if np.isnan(value):
        return "-"
    if value < 100:
        return f"{value:#.3g}".rstrip(".")
    return f"{value:,.0f}"


def picture(step: pd.DataFrame, path: Path, subtitle: str) -> None:
    """Draw a bar for each contender, by workload, in two columns of a log scale."""
    names = [AUTO, *SHOWN]
    colours = ["black", "tab:blue", "tab:cyan", "tab:green", "tab:olive", "tab:orange", "tab:red"]
    halves = np.array_split(np.arange(len(step)), 2)
    figure = Figure(figsize=(13, 1.2 + 0.75 * len(halves[0])), layout="constrained")
    height = 0.8 / len(names)
    for axes, half in zip(figure.subplots(1, 2, sharex=True), halves, strict=True):
        cells = step.iloc[half]
        place = np.arange(len(cells))
        for i, (name, colour) in enumerate(zip(names, colours, strict=True)):
            axes.barh(place + i * height, cells[name], height, label=name, color=colour)
        labels = [f"{workload}\nbatch {batch}" for workload, batch in cells.index]
        axes.set_yticks(place + 0.4 - height / 2, labels)
        axes.set_ylim(len(cells) - 0.1, -0.2)
        axes.set_xscale("log")
        # Both ends, as the axis is shared; or the shortest bar has no length.
        axes.set_xlim(step[names].min().min() / 2, step[names].max().max() * 1.5)
        axes.set_xlabel("one training step, milliseconds (less is better)")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="x", alpha=0.3)
        axes.set_axisbelow(True)
    figure.suptitle(f"A training step, {subtitle}: log scale, medians")
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(names), frameon=False)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
