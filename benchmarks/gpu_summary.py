"""Write the table of a GPU's rows into the page.

    python benchmarks/gpu_summary.py [--page FILE] [CSV]

The rows are those of results/cuda.csv, as `gpu.py` wrote them; the table stands between the marks
of docs/performance.md.
"""

import argparse
from pathlib import Path

import pandas as pd
from summarize import HERE, milliseconds, write_between_marks

AUTO, TF32 = "edgelinear auto", "nn.Linear, TF32"
NAMES = {"edgelinear torch_csr": "torch_csr"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv", nargs="?", type=Path, default=HERE / "results/cuda.csv")
    parser.add_argument("--page", type=Path, default=HERE.parent / "docs" / "performance.md")
    arguments = parser.parse_args()
    rows = pd.read_csv(arguments.csv)
    write_between_marks(arguments.page, table(rows), "gpu")


def table(rows: pd.DataFrame) -> list[str]:
    """Return a row for each workload: the forward and the step against the fastest other one."""
    warm = rows[(rows.l2 == "warm") & rows.median_ms.notna()]
    lines = [
        "| workload | forward | fastest other | ratio | step | fastest other | ratio "
        "| nn.Linear | in TF32 |",
        "|---|---:|---|---:|---:|---|---:|---:|---:|",
    ]
    sizes = warm.drop_duplicates(["workload", "batch", "dtype"])
    for size in sizes.itertuples():
        this = warm[
            (warm.workload == size.workload)
            & (warm.batch == size.batch)
            & (warm.dtype == size.dtype)
        ]
        times = this.pivot(index="phase", columns="contender", values="median_ms")
        cells = [f"{size.workload}, batch {size.batch}, {size.dtype}"]
        for phase in ("forward", "step"):
            found = times.loc[phase]
            sparse = found[[name for name in found.index if is_sparse(name)]].dropna()
            ratio = sparse.min() / found[AUTO]
            ours = milliseconds(found[AUTO])
            other = NAMES.get(sparse.idxmin(), sparse.idxmin())
            cells += [
                f"**{ours}**" if ratio > 1 else ours,
                f"{other}, {milliseconds(sparse.min())}",
                f"{ratio:.2f}",
            ]
        dense = times.loc["step"].reindex(["nn.Linear", TF32])
        cells += [milliseconds(value) for value in dense]
        lines.append("| " + " | ".join(cells) + " |")
    first = rows.iloc[0]
    return [
        *lines,
        "",
        f"Milliseconds on the device, with data in its cache; {first.device}, torch {first.torch}, "
        f"Triton {first.triton}, commit {first.commit}.",
    ]


def is_sparse(contender: str) -> bool:
    return contender != AUTO and not contender.startswith(("dense", "nn."))


if __name__ == "__main__":
    main()
