"""Shares of edges that several processes read together, against one process that sorts them."""

import importlib.util
import re
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from problems import random, random_edges
from processes import Work
from torch.distributed.device_mesh import init_device_mesh

import edgelinear as el
from edgelinear.parallel import load_shares, loading, reading, sorting
from edgelinear.topology import digests

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (dist.is_available() and dist.is_gloo_available()), reason="torch has no gloo"
    ),
]

HAS_ARROW = importlib.util.find_spec("pyarrow") is not None
needs_arrow = pytest.mark.skipif(not HAS_ARROW, reason="pyarrow is not installed")
SIZES = dict(in_features=40, out_features=30)
HUGE = 2**40
work = Work()
processes = work.fixture(2, 3, 4)


def edges_and_weight(seed=0, number=500):
    return random_edges(40, 30, number, seed=seed), random(number, seed=seed)


def repeated():
    """Parallel edges in any order, of which one pair is more than a share of four."""
    edges = torch.cat([random_edges(40, 30, 200), torch.tensor([[7], [5]]).repeat(1, 200)], dim=1)
    order = torch.randperm(400, generator=torch.Generator().manual_seed(3))
    return edges[:, order], random(400)


def hub():
    """A target with most of the edges."""
    src = torch.arange(40).flip(0)
    edges = torch.stack([src, torch.full((40,), 3)])
    return torch.cat([edges, torch.tensor([[0, 1, 2], [29, 0, 1]])], dim=1)


def parts_of(edges, sizes, parts, weight=None, by="edges"):
    """Return edges and weights of the shares that one process makes of the whole."""
    topology = el.Topology(*sizes.values(), edges, duplicates="keep")
    shares = topology.split(parts, by)
    return [
        (share.edge_index, None if weight is None else share.follow(weight)) for share in shares
    ]


def outcome(share):
    return share.edge_index, share.weight


def error_of(call):
    with pytest.raises(Exception) as caught:
        call()
    return f"{caught.type.__name__}: {caught.value}"


def write_files(path, rank):
    """Let one process write the edges in files of each kind, cut at places that fit nothing."""
    edges, weight = edges_and_weight()
    folder = Path(path) / "files"
    if rank == 0 and not folder.exists():
        folder.mkdir()
        for i, (a, b) in enumerate([(0, 130), (130, 130), (130, 500)]):
            ids, values = edges[:, a:b].numpy(), weight[a:b].numpy()
            np.save(folder / f"{i}.npy", ids)
            np.save(folder / f"pairs{i}.npy", np.ascontiguousarray(ids.T))
            np.save(folder / f"weight{i}.npy", values)
            np.savez(folder / f"{i}.npz", edge_index=ids, weight=values)
            for ending, sep in ((".csv", ","), (".tsv", "\t")):
                lines = [
                    sep.join(["x", repr(float(v)), str(t), str(s)])
                    for s, t, v in zip(*ids, values, strict=True)
                ]
                header = sep.join(["note", "weight", "target", "source"])
                text = "\r\n".join([header, *lines]) + "\r\n" * (i != 2)
                (folder / f"{i}{ending}").write_bytes(text.encode())
            if HAS_ARROW:
                import pyarrow
                from pyarrow import feather, parquet

                table = pyarrow.table({"target": ids[1], "weight": values, "source": ids[0]})
                parquet.write_table(table, folder / f"{i}.parquet", row_group_size=60)
                feather.write_feather(table, folder / f"{i}.feather", chunksize=50)
    dist.barrier()
    return folder


@work
def read_files(path, rank):
    folder = write_files(path, rank)
    found = {}
    endings = ["npy", "npz", "csv", "tsv"] + ["parquet", "feather"] * HAS_ARROW
    for ending in endings:
        paths = [folder / f"{i}.{ending}" for i in range(3)]
        for block in (7, 2**20):
            share = load_shares(paths, dist.group.WORLD, **SIZES, block=block)
            found[ending, block] = outcome(share)
    pairs = [(folder / f"pairs{i}.npy", folder / f"weight{i}.npy") for i in range(3)]
    found["pairs"] = outcome(load_shares(pairs, dist.group.WORLD, **SIZES, edge_axis=0, block=9))
    return found


def test_files_of_every_kind_are_shared_as_one_process_splits_them(processes):
    edges, weight = edges_and_weight()
    expected = parts_of(edges, SIZES, processes.number, weight)
    for found, (ids, values) in zip(processes(read_files), expected, strict=True):
        for kind, (here, numbers) in found.items():
            assert torch.equal(here, ids), kind
            if kind not in (("npy", 7), ("npy", 2**20)):
                assert torch.equal(numbers, values), kind


@needs_arrow
def test_arrow_was_among_them(processes):
    assert ("parquet", 7) in processes(read_files)[0]


@work
def read_arrays(path, rank):
    group, found = dist.group.WORLD, {}
    edges, weight = edges_and_weight()
    found["whole"] = outcome(load_shares([(edges, weight)], group, **SIZES, block=11))
    found["one"] = outcome(load_shares(edges, group, **SIZES))
    mine = (
        edges.chunk(dist.get_world_size(), dim=1)[rank],
        weight.chunk(dist.get_world_size())[rank],
    )
    found["own"] = outcome(load_shares([mine], group, **SIZES, own=True, block=11))
    first = [(edges, weight.float())] if rank == 0 else []
    found["of one process"] = outcome(load_shares(first, group, **SIZES, own=True, block=64))
    return found


def test_arrays_of_all_or_of_each_are_shared(processes):
    edges, weight = edges_and_weight()
    expected = parts_of(edges, SIZES, processes.number, weight)
    for found, (ids, values) in zip(processes(read_arrays), expected, strict=True):
        assert all(torch.equal(here, ids) for here, _ in found.values())
        assert torch.equal(found["whole"][1], values)
        assert torch.equal(found["own"][1], values)
        assert torch.equal(found["of one process"][1], values.float())
        assert found["one"][1] is None


@work
def read_special_graphs(path, rank):
    group, found = dist.group.WORLD, {}
    found["hub"] = load_shares(hub(), group, **SIZES, block=5)
    found["repeated"] = load_shares([repeated()], group, **SIZES, block=50, duplicates="keep")
    found["empty"] = load_shares(torch.empty(2, 0, dtype=torch.int64), group, **SIZES)
    found["one"] = load_shares(torch.tensor([[3], [4]]), group, **SIZES)
    ids = random_edges(1000, 1000, 300) * (HUGE // 1000)
    found["huge"] = load_shares(ids, group, in_features=HUGE, out_features=HUGE, block=20)
    return {name: outcome(share) for name, share in found.items()}


def test_hubs_parallel_and_few_edges_are_shared(processes):
    number = processes.number
    edges, weight = repeated()
    cases = {
        "hub": parts_of(hub(), SIZES, number),
        "repeated": parts_of(edges, SIZES, number, weight),
        "empty": parts_of(torch.empty(2, 0, dtype=torch.int64), SIZES, number),
        "one": parts_of(torch.tensor([[3], [4]]), SIZES, number),
    }
    for rank, found in enumerate(processes(read_special_graphs)):
        for name, expected in cases.items():
            ids, values = expected[rank]
            assert torch.equal(found[name][0], ids), name
            assert values is None or torch.equal(found[name][1], values), name


def test_products_of_sizes_may_exceed_what_an_integer_holds(processes):
    ids = random_edges(1000, 1000, 300) * (HUGE // 1000)
    ordered = torch.tensor(sorted((t, s) for s, t in ids.T.tolist())).flip(1).T
    each = -(-300 // processes.number)
    for rank, found in enumerate(processes(read_special_graphs)):
        assert torch.equal(found["huge"][0], ordered[:, rank * each : (rank + 1) * each])


def grid_of(number):
    return (2, 2) if number == 4 else (1, number)


@work
def read_blocks(path, rank):
    grid = grid_of(dist.get_world_size())
    mesh = init_device_mesh("cpu", grid, mesh_dim_names=("targets", "sources"))
    edges, weight = edges_and_weight()
    found = {"distinct": load_shares([(edges, weight)], mesh, **SIZES, by="blocks", block=30)}
    found["repeated"] = load_shares(
        [repeated()], mesh, **SIZES, by="blocks", block=30, duplicates="keep"
    )
    assert all(share.grid == grid for share in found.values())
    return {name: outcome(share) for name, share in found.items()}


def test_blocks_are_shared_as_one_process_splits_them(processes):
    grid = grid_of(processes.number)
    for name, (edges, weight) in {"distinct": edges_and_weight(), "repeated": repeated()}.items():
        expected = parts_of(edges, SIZES, grid, weight, "blocks")
        for found, (ids, values) in zip(processes(read_blocks), expected, strict=True):
            assert torch.equal(found[name][0], ids), name
            assert torch.equal(found[name][1], values), name


@work
def take_digests(path, rank):
    digests._WINDOW = 13
    group, grid = dist.group.WORLD, grid_of(dist.get_world_size())
    edges, _ = edges_and_weight()
    topology = el.Topology(*SIZES.values(), edges)
    many = el.Topology(*SIZES.values(), repeated()[0], duplicates="keep")
    few = el.Topology(*SIZES.values(), edges[:, :1])
    found = [
        load_shares(edges, group, **SIZES).digest(group),
        topology.split(dist.get_world_size())[rank].digest(),
        topology.split(grid, by="blocks")[rank].digest(group),
        many.split(grid, by="blocks")[rank].digest(group),
        few.split(dist.get_world_size())[rank].digest(group),
    ]
    other = topology if rank else few
    found.append(error_of(other.split(dist.get_world_size())[rank].digest))
    return found


def test_digest_is_that_of_the_sorted_wiring_on_one_process(processes):
    edges, _ = edges_and_weight()
    whole = el.Topology(*SIZES.values(), edges).sorted()[0].digest
    many = el.Topology(*SIZES.values(), repeated()[0], duplicates="keep").sorted()[0].digest
    few = el.Topology(*SIZES.values(), edges[:, :1]).digest
    for *found, error in processes(take_digests):
        assert found == [whole, whole, whole, many, few]
        assert "each process must bring its own share of one wiring" in error


def saved(path, rank, name, parts, grid=None, seed=0):
    """Let one process write shares to files, and return their paths in no good order."""
    edges, weight = edges_and_weight(seed)
    topology = el.Topology(*SIZES.values(), edges)
    shares = topology.split(parts) if grid is None else topology.split(grid, by="blocks")
    paths = [Path(path) / f"{name}{share.part}.npz" for share in shares]
    if rank == 0:
        for share, to in zip(shares, paths, strict=True):
            share.save(to, weight=share.follow(weight))
    dist.barrier()
    return paths[::-1]


@work
def load_saved(path, rank):
    number = dist.get_world_size()
    paths = saved(path, rank, "whole", number)
    mesh = init_device_mesh("cpu", (number,))
    found = [load_shares(paths, mesh)]
    found.append(load_shares([paths[number - 1 - rank]], mesh, own=True))
    grid = grid_of(number)
    blocks = saved(path, rank, "blocks", None, grid)
    found.append(load_shares(blocks, init_device_mesh("cpu", grid), by="blocks"))
    anew = saved(path, rank, "more", number + 1)
    found.append(load_shares(anew, mesh, **SIZES))
    digest = {share.digest() for share in found}
    return [outcome(share) for share in found], digest


def test_each_process_loads_its_own_file(processes):
    edges, weight = edges_and_weight()
    expected = parts_of(edges, SIZES, processes.number, weight)
    blocks = parts_of(edges, SIZES, grid_of(processes.number), weight, "blocks")
    for rank, (found, digest) in enumerate(processes(load_saved)):
        for here, one in zip(found, (expected, expected, blocks, expected), strict=True):
            assert torch.equal(here[0], one[rank][0])
            assert torch.equal(here[1], one[rank][1])
        assert digest == {el.Topology(*SIZES.values(), edges).sorted()[0].digest}


@work
def load_wrong_files(path, rank):
    number, group = dist.get_world_size(), dist.group.WORLD
    paths = saved(path, rank, "right", number)
    more = saved(path, rank, "toomany", number + 1)
    other = saved(path, rank, "other", number, seed=1)
    swapped = [*paths[:-1], other[-1]]
    absent = [*paths[:-1], Path(path) / "absent.npz"]
    changed = saved(path, rank, "changed", number)
    if rank == 0:  # an edge becomes another one that is in order as well
        share = el.topology.Share.load(changed[0])
        src = share.edge_index[0]
        src[-1] = src[-1] + 1 if src[-1] < 39 else src[-1] - 1
        share.save(changed[0])
    dist.barrier()
    return {
        "missing": error_of(lambda: load_shares(paths[:-1], group)),
        "absent": error_of(lambda: load_shares(absent, group)),
        "count": error_of(lambda: load_shares(more, group)),
        "wiring": error_of(lambda: load_shares(swapped, group)),
        "twice": error_of(lambda: load_shares([*paths[1:], paths[1]], group)),
        "changed": error_of(lambda: load_shares(changed, group)),
        "arrays": error_of(lambda: load_shares(torch.zeros(2, 3), group)),
        "foreign": error_of(lambda: load_shares([Path(__file__)], group)),
    }


def test_files_that_are_not_those_of_one_split_are_refused_everywhere(processes):
    number = processes.number
    expected = {
        "missing": f"no file holds part 0 of {number}, among {number - 1} that are listed",
        "absent": "absent.npz is not there: each process needs the file of its part",
        "count": f"was saved for {number + 1} processes .* and here are {number} in",
        "wiring": "are shares of two wirings, as fingerprint is",
        "twice": "both hold part",
        "changed": "a file was changed. Split again",
        "arrays": "edges need sizes: pass in_features and out_features",
        "foreign": "a share is kept in a file that ends in .npz, .arrow or .feather",
    }
    for found in processes(load_wrong_files):
        for name, message in expected.items():
            assert re.search(message, found[name]), (name, found[name])


def break_while_reading(rank):
    """Return a source whose second reading fails on one process, midway."""
    edges, _ = edges_and_weight()
    reads = []

    class Failing(reading._Array):
        def read(self, unit, size):
            reads.append(unit)
            if rank == 1 and len(reads) == self.units // dist.get_world_size() + 3:
                raise OSError("the disk went away")
            yield from super().read(unit, size)

    return edges, Failing


@work
def read_wrong_edges(path, rank):

    group = dist.group.WORLD
    edges, weight = edges_and_weight()
    outside, twice = edges.clone(), edges.clone()
    outside[1, 333] = 30
    twice[:, 450] = twice[:, 10]
    infinite = weight.clone()
    infinite[77] = float("nan")
    text, near = Path(path) / "bad.csv", Path(path) / "near.csv"
    if rank == 0:
        near.write_text("source,target,Weight\n1,2,0.5\n")
        text.write_text("source,target\n" + "1,2\n" * 40 + "1,two\n")
    dist.barrier()

    def call(given, **options):
        return error_of(lambda: load_shares(given, group, **(SIZES | {"block": 8} | options)))

    found = {
        "outside": call(outside),
        "twice": call(twice),
        "nan": call([(edges, infinite)]),
        "text": call([text]),
        "near": call([near]),
        "absent": call(["nowhere.npy"]),
        "axis": call(edges.T),
        "floats": call(edges.double()),
        "some": call([(edges[:, :9], weight[:9]), edges[:, 9:]]),
        "sizes": call(edges, in_features=None),
        "merge": call(edges, duplicates="merge"),
        "differ": call(edges, block=8 + rank),
        "lists": call([edges] * (1 + rank)),
        "arrays": call(edges if rank else edges.roll(1, 0) % 30),
        "tuple": call((edges, weight)),
        "blocks": call(edges, by="blocks"),
    }
    edges, failing = break_while_reading(rank)
    made = loading.open_source
    loading.open_source = lambda given, i, axis, size: failing("array 0", given, None, axis, size)
    found["midway"] = call(edges)
    loading.open_source = made
    share = load_shares(edges, group, **SIZES)  # the group is still in step
    return found, share.digest()


def test_wrong_edges_are_refused_everywhere(processes):
    expected = {
        "outside": "target 30 at edge 333 of array 0 is outside .0, 30., as out_features=30",
        "twice": 'is given twice. Pass duplicates="keep"',
        "nan": "the weight at edge 77 of array 0 is nan",
        "text": "bad.csv cannot be read as edges, in line",
        "near": "near.csv cannot be read as edges: it has a column 'Weight', and weights are",
        "absent": "nowhere.npy is not there",
        "axis": r"must have shape \(2, k\), got \(500, 2\): pass edge_axis=0",
        "floats": "must hold integers, got float64",
        "some": "all edges must have weights, or none: array 0 has some, array 1 none",
        "sizes": "edges need both sizes",
        "merge": '`duplicates` must be "error" or "keep"',
        "differ": "its block is 8 on process 0 and 9 on process 1",
        "lists": "its list of edges is",
        "arrays": "its list of edges is",
        "tuple": "a tuple is a pair",
        "blocks": "needs a mesh of two axes",
        "midway": "the disk went away",
    }
    whole = el.Topology(*SIZES.values(), edges_and_weight()[0]).sorted()[0].digest
    for found, digest in processes(read_wrong_edges):
        for name, message in expected.items():
            assert re.search(message, found[name]), (name, found[name])
        assert digest == whole


@work
def measure_memory(path, rank):
    """Return the most bytes that NumPy held, while reading and in all."""
    number, block, size = dist.get_world_size(), 2000, 200_000
    file = Path(path) / "many.npy"
    if rank == 0:
        np.save(file, random_edges(5000, 5000, size).numpy())
    dist.barrier()
    peaks = []
    dealt = sorting._dealt

    def watched(*args):
        tracemalloc.reset_peak()
        found = dealt(*args)
        peaks.append(tracemalloc.get_traced_memory()[1])
        return found

    sorting._dealt = watched
    tracemalloc.start()
    share = load_shares(file, dist.group.WORLD, in_features=5000, out_features=5000, block=block)
    peaks.append(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
    sorting._dealt = dealt
    assert share.edge_index.shape[1] == bounds_size(size, number, rank)
    return peaks


def bounds_size(size, parts, rank):
    each = -(-size // parts)
    return min(size, (rank + 1) * each) - min(size, rank * each)


def test_no_process_holds_more_than_its_share_and_blocks(processes):
    share = 200_000 / processes.number * 16
    block = 2000 * 16 * 8  # as read, in order, sent and received, by two columns of each
    for while_reading, whole in processes(measure_memory):
        assert while_reading < 1.25 * share + block
        assert whole < 2.5 * share + block


def test_without_a_process_group_there_is_an_error():
    with pytest.raises(RuntimeError, match="there is no process group: start the program by"):
        load_shares([], None)


@pytest.mark.parametrize("wrong, said", [("9,x", "in line {}: "), ("9,99", "at line {} of ")])
@pytest.mark.parametrize("block", [1, 7, 1000])
@pytest.mark.parametrize("line", [2, 3, 60, 201])
def test_lines_of_text_are_counted_from_the_first_one(tmp_path, line, block, wrong, said):
    lines = ["source,target", *["1,2", ""] * 100]
    lines[line - 1] = wrong
    path = tmp_path / "edges.csv"
    path.write_text("\n".join(lines))
    source = reading.open_source(path, 0, 1, block)
    with pytest.raises(ValueError, match=said.format(line)):
        for unit in range(source.units):
            for found in source.read(unit, block):
                loading._check_block(found, str(path), (10, 10))
