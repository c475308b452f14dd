"""Train a layer of 20 million edges over two processes, of which none ever holds all of them.

A million nodes hear their neighbours and, the rarer the further, nodes far away. Each step is an
experiment: random signals at all nodes, and what the graph answers. From these the layer, which
begins with random weights, finds those of the graph. The edges come from files in no order. What
`plan` says of it is printed beside what was measured (Linux, extra `cli`).

    torchrun --nproc-per-node 2 examples/sharded_graph.py [--edges 20_000_000] [--steps 40]
    python examples/sharded_graph.py    # one process: the later of both runs compares their peaks
"""

import argparse
import json
import os
import resource
import statistics
import time
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from rich.progress import track
from torch import Tensor
from torch.distributed.tensor import DTensor, Shard
from torch.distributed.tensor.parallel import parallelize_module
from torch.func import functional_call

import edgelinear as el

FAN_IN, NEAR, FILES, BATCH = 20, 16, 16, 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--edges", type=int, default=20_000_000)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--folder", type=Path, default=Path("sharded_graph"))
    arguments = parser.parse_args()
    if "RANK" not in os.environ:  # not started by torchrun: a group of one
        dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    else:
        dist.init_process_group("gloo")
    mesh = dist.init_device_mesh("cpu", (dist.get_world_size(),))

    nodes = arguments.edges // FAN_IN
    folder = arguments.folder / f"{arguments.edges}"
    if dist.get_rank() == 0:
        write_graph(folder, nodes)
    dist.barrier()  # the others wait for the files
    begin = time.perf_counter()
    files = sorted(folder.glob("*.npz"))
    share = el.parallel.load_shares(files, mesh, in_features=nodes, out_features=nodes)
    say(f"{share} was read in {time.perf_counter() - begin:.1f} s")

    layer = el.parallel.ShardedEdgeLinear(share, bias=False)
    style = el.parallel.EdgeParallel(input_layouts=Shard(-1), output_layouts=Shard(-1))
    layer = parallelize_module(layer, mesh, style)
    say(layer)
    truth = layer.weight.detach().clone()  # came with the edges
    layer.reset_parameters()
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.03)
    moved = train(layer, truth, optimizer, arguments.steps)
    report(layer, optimizer, moved, folder / "peaks.json")
    dist.destroy_process_group()


def write_graph(folder: Path, nodes: int) -> None:
    """Write the edges of every 16th node into one file, those of the next nodes into the next one.

    Most sources are next to their targets, and distances of the others have a density of
    1 / distance, as in Kleinberg, "Navigation in a small world" (2000).
    """
    if (folder / "graph.json").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    near = np.concatenate([np.arange(-NEAR // 2, 0), np.arange(1, NEAR // 2 + 1)])
    for part in track(range(FILES), "writing the graph"):
        random = np.random.default_rng(part)
        dst = np.arange(part, nodes, FILES)[:, None]
        longest = np.log(nodes / NEAR)
        far = NEAR * np.exp(random.uniform(0, longest, (dst.size, FAN_IN - NEAR)))
        far = far.astype(np.int64) * random.choice([-1, 1], far.shape)
        src = (dst + np.concatenate([np.broadcast_to(near, (dst.size, NEAR)), far], axis=1)) % nodes
        cells = np.unique(dst * nodes + src)  # no edge twice
        edges = np.stack([cells % nodes, cells // nodes])[:, random.permutation(cells.size)]
        weight = random.standard_normal(cells.size, dtype=np.float32) / FAN_IN**0.5
        np.savez(folder / f"edges{part:02}.npz", edge_index=edges.astype(np.int32), weight=weight)
    (folder / "graph.json").write_text(json.dumps({"nodes": nodes}))


def train(
    layer: el.EdgeLinear, truth: Tensor, optimizer: torch.optim.Optimizer, steps: int
) -> float:
    """Find the weights of the graph, and return the bytes that came to a process in a step."""
    processes, rank = dist.get_world_size(), dist.get_rank()
    inputs = len(torch.arange(layer.in_features).chunk(processes)[rank])  # as `Shard(-1)` cuts
    random = torch.Generator().manual_seed(rank)
    begin, losses, moved = time.perf_counter(), [], []
    for _ in track(range(steps), "training", disable=rank != 0):
        x = torch.randn(BATCH, inputs, generator=random).requires_grad_()  # as of layers between
        with torch.no_grad():
            answer = functional_call(layer, {"weight": truth}, (x,))
        before = bytes_received()
        optimizer.zero_grad()
        loss = (layer(x) - answer).square().sum() / BATCH
        loss.backward()
        moved.append((bytes_received() - before) / processes)
        optimizer.step()
        total = loss.detach()
        dist.all_reduce(total)
        losses.append(float(total) / layer.out_features)
    seconds = (time.perf_counter() - begin) / steps
    wrong = ((layer.weight.detach() - truth).norm() / truth.norm()).full_tensor()
    say(
        f"after {steps} steps of {seconds:.2f} s the loss fell from {losses[0]:.2g} to "
        f"{losses[-1]:.2g}, and weights are {float(wrong):.1%} off those of the graph"
    )
    return statistics.median(moved)


def bytes_received() -> int:
    """Return what all processes of this machine got over its loopback since it started."""
    dist.barrier()
    lines = Path("/proc/net/dev").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.split()[0] == "lo:")


def report(
    layer: el.EdgeLinear, optimizer: torch.optim.Optimizer, moved: float, peaks: Path
) -> None:
    """Print what was planned beside what the process that has most of it had."""
    processes, local = dist.get_world_size(), layer.sharding.local
    states = [t for t in optimizer.state[layer.weight].values() if isinstance(t, DTensor)]
    views = (local.src, local.dst, *local.by_dst, *local.by_src)
    indices = {t.data_ptr(): t.nbytes for t in views if t is not None}
    here = {
        "edges": layer.weight.to_local().numel(),
        "weights": layer.weight.to_local().nbytes,
        "gradients": layer.weight.grad.to_local().nbytes,
        "optimizer": sum(t.to_local().nbytes for t in states),
        "indices": layer.share.edge_index.nbytes + sum(indices.values()),
        "moved": moved,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    found: list = [None] * processes
    dist.all_gather_object(found, here)
    if dist.get_rank() != 0:
        return
    sizes = layer.in_features, layer.out_features, layer.num_edges
    plan = el.parallel.plan(sizes, processes, BATCH)
    print(f"{plan}\n\n{'':12} {plan.ways[0].name:>14} {'measured':>14}")
    for name in ("edges", "weights", "gradients", "optimizer", "indices", "moved"):
        print(
            f"{name:12} {getattr(plan.ways[0], name):14,} {max(one[name] for one in found):14,.0f}"
        )
    known = json.loads(peaks.read_text()) if peaks.exists() else {}
    known[str(processes)] = [one["peak"] for one in found]
    peaks.write_text(json.dumps(known))
    for number, each in sorted(known.items(), key=lambda one: int(one[0])):
        said = " and ".join(f"{peak / 1e6:,.0f} MB" for peak in each)
        if "1" in known and number != "1":
            said += f", at most {max(each) / known['1'][0]:.2f} of that of one"
        print(f"peak of resident memory of each of {number}: {said}")


def say(what: object) -> None:
    if dist.get_rank() == 0:
        print(what)


if __name__ == "__main__":
    main()
