"""CPU seconds of reading an edge table of millions of rows, against pandas and the topology alone.

`from_table(path)` may take 1.5 times the CPU time of `pandas.read_csv` plus the topology where ids
are whole numbers, and twice where names are strings. It numbers the names as well, which a topology
needs: for strings, the time of `pandas.factorize` is shown apart.

    python benchmarks/tables.py [--rows 5_000_000] [--rounds 3] [--folder DIRECTORY]
"""

import argparse
import importlib.util
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas

import edgelinear as el

NODES = 139_255  # neurons of the fly
BARS = {"whole numbers": 1.5, "strings": 2.0}


def make_table(rows: int, kind: str) -> pandas.DataFrame:
    """Return different edges in random order, the hardest for a hash of names."""
    generator = np.random.default_rng(0)
    cells = np.unique(generator.integers(0, NODES**2, rows + rows // 100))
    cells = generator.permutation(cells)[:rows]
    table = pandas.DataFrame({"source": cells // NODES, "target": cells % NODES})
    return table if kind == "whole numbers" else table.map("N{}".format)


def measure(rounds: int, call: Callable[..., Any], *arguments: Any) -> float:
    """Return the least CPU time of several calls, in seconds."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        call(*arguments)
        times.append(time.process_time() - start)
    return min(times)


def check(path: Path, table: pandas.DataFrame) -> el.convert.Wiring:
    """Return the wiring in a file, after comparing it with the table, row by row."""
    wiring = el.convert.from_table(path)
    src, dst = wiring.topology.edge_index.numpy()
    for ends, names, column in (
        (src, wiring.in_names, table["source"]),
        (dst, wiring.out_names, table["target"]),
    ):
        assert (np.array(names, dtype=object)[ends] == column.to_numpy(dtype=object)).all()
    return wiring


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=None)
    options = parser.parse_args()
    arrow = "with" if importlib.util.find_spec("pyarrow") else "without"
    print(f"{options.rows:,} rows, pandas {pandas.__version__} {arrow} pyarrow, CPU seconds")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for kind, bar in BARS.items():
            path, table = Path(folder) / "edges.csv", make_table(options.rows, kind)
            table.to_csv(path, index=False)
            topology = check(path, table).topology
            sizes, edges = (topology.in_features, topology.out_features), topology.edge_index
            rounds = options.rounds
            read = measure(rounds, pandas.read_csv, path)
            build = measure(rounds, el.Topology, *sizes, edges)
            ours = measure(rounds, el.convert.from_table, path)
            frame = pandas.read_csv(path)
            number = sum(measure(rounds, pandas.factorize, frame[name]) for name in frame)
            ratio = ours / (read + build)
            print(
                f"{kind:14} from_table {ours:5.2f}   read_csv {read:5.2f} + topology {build:5.2f}: "
                f"{ratio:4.2f} times, allowed {bar}{'' if ratio <= bar else ' (missed)'}; with "
                f"factorize {number:5.2f}: {ours / (read + number + build):4.2f} times"
            )


if __name__ == "__main__":
    main()
