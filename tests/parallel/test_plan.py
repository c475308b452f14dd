"""What a plan says: sums by hand, counts of real shares, and measured bytes of indices."""

import json

import numpy as np
import pytest
import torch
from problems import random_edges

import edgelinear as el
from edgelinear.parallel import formulas, plan
from edgelinear.topology.views import View

WDC = (3_563_000_000, 3_563_000_000, 128_736_000_000)  # nodes and links of a crawl of the web
HOSTS = (101_000_000, 101_000_000, 2_040_000_000)
GB = 10**9


def ways_of(found):
    return {way.name: way for way in found.ways}


def test_hyperlinks_of_the_web_on_512_processes():
    """Weights, gradients and Adam take 16 bytes an edge, 4.0 GB; a gather of 32 samples 455 GB."""
    found = plan(WDC, 512, batch=32, memory=80 * GB)
    gather, blocks = found.ways
    state = gather.weights + gather.gradients + gather.optimizer
    assert state == pytest.approx(16 * 128_736e6 / 512, rel=1e-6)
    inputs = 3_563e6 * 32 * 4
    assert gather.moved == pytest.approx(2 * inputs * 511 / 512, rel=1e-5)
    assert blocks.moved == pytest.approx(2 * inputs * (1 / 16 + 1 / 32 - 1 / 512), rel=1e-3)
    assert gather.largest_batch < 3 < blocks.largest_batch
    assert "blocks 16 x 32 moves least" in found.sentence


def test_hosts_of_the_web_on_8_processes():
    """One machine of eight GPUs: 4 GB of weights and what goes with them, 11 GB in a gather."""
    gather, _ = plan(HOSTS, 8, batch=32).ways
    assert gather.weights + gather.gradients + gather.optimizer == 16 * 255_000_000
    load = formulas.by_gather(HOSTS[:2], HOSTS[2], 8)
    assert load.fetched * 32 * 4 == pytest.approx(101e6 * 7 / 8 * 128)


@pytest.mark.parametrize("grid", [(2, 2), (1, 4), (4, 1), (2, 3), (3, 2)], ids=str)
def test_blocks_on_paper_are_those_of_a_graph_with_all_edges(grid):
    size = 24
    edges = torch.cartesian_prod(torch.arange(size), torch.arange(size)).T
    found = formulas.counted(el.Topology(size, size, edges), grid, gather=False)
    assert formulas.by_blocks((size, size), size * size, grid) == found


def test_ids_beyond_int32_take_eight_bytes():
    few = formulas.by_gather((10**6, 10**6), 10**7, 4)
    many = formulas.by_gather((10**10, 10**10), 4 * 10**10, 4)
    for load, width in ((few, 4), (many, 8)):
        pointers = width * (load.needed + load.reached + 2)
        assert formulas.index_bytes(load) == (16 + 4 * width) * load.edges + pointers


def local_topology(share):
    src, dst = share.edge_index
    if not len(dst):
        return el.Topology(0, 0, share.edge_index)
    inputs, columns = torch.unique(src, return_inverse=True)
    first = int(dst[0])
    ends = torch.stack([columns, dst - first])
    return el.Topology(len(inputs), int(dst[-1]) + 1 - first, ends, duplicates="keep")


@pytest.mark.parametrize("grid", [(3, 1), (2, 2), (1, 1)])
def test_bytes_of_indices_are_those_measured(grid):
    topology = el.Topology(300, 200, random_edges(300, 200, 5000))
    load = formulas.counted(topology, grid, gather=False)
    measured = []
    for share in topology.split(grid, by="blocks"):
        local = local_topology(share)
        schedules = {"runs", "pieces"}  # small, and other ones on other graphs
        fields = View._fields * 2
        tensors = {
            t.data_ptr(): t.nbytes
            for name, t in zip(fields, local._tensors, strict=True)
            if t is not None and name not in schedules
        }
        measured.append(sum(tensors.values()) + share.edge_index.nbytes)
    assert max(measured) <= formulas.index_bytes(load) <= 1.01 * max(measured)


@pytest.mark.parametrize("parts", [1, 2, 3, 7])
def test_rows_are_counted_on_a_topology(parts):
    topology = el.Topology(30, 20, random_edges(30, 20, 100))
    found = ways_of(plan(topology, parts, batch=5, dtype=torch.float64))
    here = el.parallel.partition(topology, parts)
    come, go = here.inputs_before, here.sums_before
    assert found["halo"].moved == 2 * 5 * 8 * (max(come) + max(go))
    gathered = 0 if parts == 1 else 30 - max(0, 30 - (parts - 1) * -(-30 // parts))
    assert found["all-gather"].moved == 2 * 5 * 8 * (gathered + max(go))
    assert found["halo"].edges == -(-100 // parts)


def test_paper_and_topology_agree_on_a_graph_with_even_degrees():
    """Every input feeds every output: what is counted is what sizes alone say."""
    topology = el.Topology(12, 8, np.stack(np.meshgrid(np.arange(12), np.arange(8))).reshape(2, -1))
    counts = (12, 8, 96)
    for grid in ((4, 1), (2, 2)):
        paper = formulas.by_blocks(counts[:2], 96, grid)
        real = formulas.counted(topology, grid, gather=False)
        assert (paper.edges, paper.needed, paper.reached) == (real.edges, real.needed, real.reached)
        assert paper.fetched >= real.fetched and paper.sent >= real.sent
    paper, real = (formulas.by_gather(counts[:2], 96, 4), formulas.counted(topology, (4, 1), True))
    assert (paper.fetched, paper.whole) == (real.fetched, real.whole) == (9, 12)


@pytest.mark.parametrize("outputs, parts", [(8, 4), (10, 4), (9, 7), (100, 64)])
def test_paper_counts_the_sums_that_a_graph_with_even_fan_in_sends(outputs, parts):
    ends = np.stack([np.arange(outputs * 6) % 30, np.arange(outputs * 6) // 6])
    paper = formulas.by_gather((30, outputs), outputs * 6, parts)
    real = formulas.counted(el.Topology(30, outputs, ends), (parts, 1), gather=True)
    assert real.sent <= paper.sent <= real.sent + 2


def test_largest_batch_is_the_last_that_fits():
    found = ways_of(plan((1000, 800, 50_000), 4, batch=1, memory=3_000_000))
    for name, way in found.items():
        for batch, fits in ((way.largest_batch, True), (way.largest_batch + 1, False)):
            again = ways_of(plan((1000, 800, 50_000), 4, batch=batch, memory=3_000_000))[name]
            assert (again.total <= 3_000_000) == fits
    assert plan((1000, 800, 50_000), 4, batch=1, memory=1000).ways[0].largest_batch == 0


def test_table_is_printed_and_kept_as_values():
    found = plan(el.Topology(30, 20, random_edges(30, 20, 100)), 4, batch=5, memory=1000)
    text = str(found)
    assert text.startswith("30 -> 20, 100 edges over 4 processes, batch 5, float32\n")
    for name in ("all-gather", "halo", "blocks 2 x 2"):
        assert sum(line.startswith(name) for line in text.splitlines()) >= 1
    assert "Within 1.0 kB a process none fits." in text
    values = json.loads(json.dumps(found.to_dict()))
    assert values["ways"][1]["moved"] == found.ways[1].moved
    assert values["ways"][0]["total"] == found.ways[0].total


def test_table_is_coloured_in_a_terminal():
    console = pytest.importorskip("rich.console").Console(width=140)
    with console.capture() as printed:
        console.print(plan((30, 20, 100), 4, batch=5))
    assert "blocks 2 x 2" in printed.get()


@pytest.mark.parametrize("processes, grid", [(1, (1, 1)), (6, (2, 3)), (7, (1, 7)), (64, (8, 8))])
def test_grid_is_as_square_as_can_be(processes, grid):
    assert plan((9, 9, 80), processes, 1).ways[-1].grid == grid


@pytest.mark.parametrize(
    "arguments, options, error, message",
    [
        (((3, 4), 2, 1), {}, TypeError, "`topology` must be a Topology, or"),
        (((3, 4, -1), 2, 1), {}, ValueError, "`num_edges` must not be negative"),
        (((0, 4, 2), 2, 1), {}, ValueError, "2 edges need inputs and outputs"),
        (((3, 4, 5), 0, 1), {}, ValueError, "`processes` must be at least 1"),
        (((3, 4, 5), 2, 1.5), {}, TypeError, "`batch` must be an integer"),
        (((3, 4, 5), 2, 1, torch.int64), {}, TypeError, "`dtype` must be a floating type"),
        (((3, 4, 5), 4, 1), dict(grid=(2, 3)), ValueError, "has 6 blocks for 4 processes"),
        (((3, 4, 5), 4, 1), dict(grid=4), TypeError, "`parts` must be a pair"),
        (((3, 4, 5), 4, 1), dict(memory=-1), ValueError, "`memory` must not be negative"),
    ],
)
def test_wrong_arguments_are_refused(arguments, options, error, message):
    with pytest.raises(error, match=message):
        plan(*arguments, **options)
