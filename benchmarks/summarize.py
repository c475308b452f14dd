"""Write the README's table and its picture from the rows that `run.py` measured.

python benchmarks/summarize.py [benchmarks/results/cpu.csv]
"""

import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

HERE = Path(__file__).parent
CONTENDERS = [
    "edgelinear auto",
    "edgelinear reference",
    "CSR parameter",
    "embedding_bag",
    "gather + index_add",
    "dense masked",
    "nn.Linear",
]


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "results/cpu.csv"
    rows = pd.read_csv(path)
    rows = rows[(rows.phase == "step") & (rows.threads == rows.threads.max())]
    rows["label"] = rows.workload + ", batch " + rows.batch.astype(str)
    labels = list(dict.fromkeys(rows.label))
    median = rows.pivot(index="label", columns="contender", values="median_ms").loc[labels]
    contenders = [c for c in CONTENDERS if c in median.columns]
    first = rows.iloc[0]
    sizes = rows.drop_duplicates("label").set_index("label")

    lines = [
        "| workload | " + " | ".join(contenders) + " |",
        "|---|" + "---:|" * len(contenders),
    ]
    for label in labels:
        size = sizes.loc[label]
        best = median.loc[label, contenders].min()
        cells = [cell(value, value == best) for value in median.loc[label, contenders]]
        name = f"{label} ({size.in_features} -> {size.out_features}, {size.edges:,} edges)"
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += [
        "",
        f"Milliseconds; {first.machine}, {rows.threads.max()} threads, torch {first.torch}; the "
        "fastest in bold. `nn.Linear` trains the zeros too: it is a yardstick, no replacement.",
        "Every backend, the forward alone, quartiles and errors are in "
        f"[{path.name}](benchmarks/results/{path.name}).",
    ]
    readme = HERE.parent / "README.md"
    block = "<!-- results -->\n\n" + "\n".join(lines) + "\n\n<!-- /results -->"
    text = readme.read_text()
    marked = r"<!-- results -->.*<!-- /results -->"
    readme.write_text(re.sub(marked, lambda _: block, text, flags=re.DOTALL))
    picture(median[contenders], path.with_suffix(".png"))


def cell(milliseconds: float, best: bool) -> str:
    if np.isnan(milliseconds):
        return "-"
    text = f"{milliseconds:.2f}" if milliseconds < 10 else f"{milliseconds:,.0f}"
    return f"**{text}**" if best else text


def picture(median: pd.DataFrame, path: Path) -> None:
    figure = Figure(figsize=(9, 0.8 + 0.75 * len(median)), layout="constrained")
    axes = figure.add_subplot()
    height = 0.8 / len(median.columns)
    place = np.arange(len(median))
    for i, contender in enumerate(median.columns):
        axes.barh(place + i * height, median[contender], height, label=contender)
    axes.set_yticks(place + 0.4 - height / 2, median.index)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("one training step, milliseconds (less is better)")
    axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
