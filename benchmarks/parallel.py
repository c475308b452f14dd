"""Time a layer over two processes against the same layer in one, by the threads of each.

    python benchmarks/parallel.py [--only NAME ...] [--rounds 30] [--out FILE]

A step computes the gradients of weight and input. It is that of two processes with one thread each,
and of one process with one thread and with two, in turn; that of two takes as long as the slower
one. Outputs and gradients of the weight were found within 1e-4 of the largest value of those of one
process. Inputs and outputs of two processes are whole on each, or parts of the features.
"""

import argparse
import csv
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from describe import describe_origin, describe_size, describe_times
from torch import Tensor
from torch.distributed.tensor import Replicate, Shard
from torch.distributed.tensor.parallel import parallelize_module
from workloads import WORKLOADS

import edgelinear as el
from edgelinear.parallel import EdgeParallel, ShardedEdgeLinear, load_shares
from edgelinear.topology import Share

HERE = Path(__file__).parent
NAMES = ("flyvis", "fly", "set")
BATCH, WARM_UP, TOLERANCE = 32, 2, 1e-4
WHOLE, PARTS = "two processes, whole inputs and outputs", "two processes, parts of them"
ONE, TWO = "one process, one thread", "one process, two threads"
LAYOUTS = {WHOLE: Replicate(), PARTS: Shard(-1)}
COLUMNS = [
    "workload", "in_features", "out_features", "edges", "batch", "way", "moved_mib",
    "median_ms", "q1_ms", "q3_ms", "min_ms", "calls", "error",
    "machine", "torch", "edgelinear", "commit",
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=NAMES, choices=[w.name for w in WORKLOADS])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--out", type=Path, default=HERE / "results/parallel.csv")
    arguments = parser.parse_args()
    rows = []
    for workload in (w for w in WORKLOADS if w.name in arguments.only):
        with tempfile.TemporaryDirectory() as folder:
            whole = workload.wiring().sorted()[0]
            paths = [Path(folder) / f"share{part}.npz" for part in range(2)]
            weight = torch.randn(whole.num_edges, generator=torch.Generator().manual_seed(0))
            for share, path in zip(whole.split(2), paths, strict=True):
                share.save(path, share.follow(weight))
            size = describe_size(workload.name, whole, BATCH)
            del whole, share
            mp.spawn(measure, (folder, paths, arguments.rounds), 2)
            found = torch.load(Path(folder) / "found.pt")
        rows += [size | row | describe_origin() for row in found]
        write(rows, arguments.out)
        print(table(rows))


def measure(rank: int, folder: str, paths: list[Path], rounds: int) -> None:
    """Time all ways on both processes, and leave rows in the folder."""
    torch.set_num_threads(1)
    rendezvous = f"file://{folder}/rendezvous"
    dist.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=2)
    mesh = dist.init_device_mesh("cpu", (2,))
    alone = whole_layer(paths) if rank == 0 else None
    layers: dict[str, Any] = {ONE: alone, TWO: alone}
    for way, layout in LAYOUTS.items():
        layer = ShardedEdgeLinear(load_shares(list(paths), mesh), bias=False)
        style = EdgeParallel(input_layouts=layout, output_layouts=layout)
        layers[way] = parallelize_module(layer, mesh, style)
    sizes = layers[WHOLE].in_features, layers[WHOLE].out_features
    random = torch.Generator().manual_seed(1)
    ends = [torch.randn(BATCH, size, generator=random) for size in sizes]
    steps = {
        way: step_of(layer, *(part(end, LAYOUTS.get(way), rank) for end in ends))
        for way, layer in layers.items()
        if layer is not None
    }
    truth = [torch.empty(BATCH, sizes[1]), torch.empty(layers[WHOLE].num_edges)]
    if rank == 0:
        truth = list(steps[ONE]())
    for value in truth:
        dist.broadcast(value, 0)
    errors = {way: check(layers[way], steps[way](), truth, rank) for way in LAYOUTS}

    times: dict[str, list[float]] = {way: [] for way in layers}
    for done in range(rounds + WARM_UP):
        for way in list(layers)[:: -1 if done % 2 else 1]:
            dist.barrier()
            seconds = torch.zeros(1, dtype=torch.float64)
            if way in steps:
                torch.set_num_threads(2 if way == TWO else 1)
                start = time.perf_counter()
                steps[way]()
                seconds += time.perf_counter() - start
            dist.all_reduce(seconds, dist.ReduceOp.MAX)
            if done >= WARM_UP:
                times[way].append(float(seconds))
    moved = {way: moved_mib(layers[way]) for way in LAYOUTS}
    if rank == 0:
        found = [
            {"way": way, "moved_mib": moved.get(way), "error": errors.get(way)}
            | describe_times(seconds)
            for way, seconds in times.items()
        ]
        torch.save(found, Path(folder) / "found.pt")
    dist.destroy_process_group()


def whole_layer(paths: list[Path]) -> el.EdgeLinear:
    shares = [Share.load(path) for path in paths]
    ends = torch.cat([share.edge_index for share in shares], dim=1)
    weight = torch.cat([share.weight for share in shares])
    sizes = shares[0].in_features, shares[0].out_features
    return el.EdgeLinear(*sizes, ends, bias=False, weight=weight)


def part(whole: Tensor, layout: Any, rank: int) -> Tensor:
    return whole.chunk(2, dim=-1)[rank].contiguous() if layout == Shard(-1) else whole


def step_of(layer: el.EdgeLinear, x: Tensor, grad: Tensor) -> Callable[[], tuple[Tensor, Tensor]]:
    """Return what runs a step, and gives the output and the gradient of the weight here."""

    def step() -> tuple[Tensor, Tensor]:
        inputs = x.detach().requires_grad_()
        layer.weight.grad = None
        y = layer(inputs)
        y.backward(grad)
        found = layer.weight.grad
        return y.detach(), found.to_local() if hasattr(found, "to_local") else found

    return step


def check(layer: Any, found: tuple, truth: list[Tensor], rank: int) -> str:
    """Return the largest error of both processes; it stops the run if it is too large."""
    y, grad = found
    expected = truth[0] if y.shape == truth[0].shape else part(truth[0], Shard(-1), rank)
    start = layer.share.start
    pairs = ((y, expected), (grad, truth[1][start : start + len(grad)]))
    error = max(
        (a - b).abs().max() / whole.abs().max() for (a, b), whole in zip(pairs, truth, strict=True)
    )
    dist.all_reduce(error, dist.ReduceOp.MAX)
    if error > TOLERANCE:
        raise SystemExit(f"two processes are {float(error):.2g} off one: nothing was timed")
    return f"{float(error):.2g}"


def moved_mib(layer: Any) -> str:
    """Return what comes to a process and goes from it in a step, of the one that has most of it."""
    sharding = layer.sharding
    forth = (sharding.bring.comes_in, sharding.send.goes_out)
    back = (sharding.bring.T.goes_out, sharding.send.T.comes_in)
    moved = torch.tensor(float(sum(forth) + sum(back)) * BATCH * 4 / 2**20)
    dist.all_reduce(moved, dist.ReduceOp.MAX)
    return f"{float(moved):.1f}"


def write(rows: list[dict], out: Path) -> None:
    """Write the rows, and beside them a table for people."""
    with out.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    out.with_suffix(".md").write_text(table(rows))


def table(rows: list[dict]) -> str:
    """Return the medians, by workload and way."""
    ways = [ONE, TWO, WHOLE, PARTS]
    lines = [
        "# A training step over two processes",
        "",
        f"| workload | {' | '.join(ways)} | moved |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name in dict.fromkeys(row["workload"] for row in rows):
        here = {row["way"]: row for row in rows if row["workload"] == name}
        row = here[PARTS]
        size = f"{row['in_features']:,} -> {row['out_features']:,}, {row['edges']:,} edges"
        cells = " | ".join(f"{float(here[way]['median_ms']):.4g}" for way in ways)
        moved = f"{here[WHOLE]['moved_mib']}, {row['moved_mib']}"
        lines.append(f"| {name}, batch {row['batch']} ({size}) | {cells} | {moved} |")
    last = rows[-1]
    return "\n".join(
        [
            *lines,
            "",
            f"Milliseconds; {last['machine']}, torch {last['torch']}, commit {last['commit']}. Two "
            "processes have one thread each, and gloo between them. Inputs and outputs are whole "
            "on each, or parts of the features (`Shard(-1)`). Moved: MiB that come to a process "
            "and go from it in a step, for whole ones and for parts.",
            "",
        ]
    )


if __name__ == "__main__":
    main()
