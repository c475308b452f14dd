"""A layer over several processes, against one process."""

import pytest
from processes import Work
from sharing import GRAPHS, LAYOUTS, distance, meshes, same_bits, trained_apart

pytestmark = pytest.mark.slow
work = Work()
processes = work.fixture(1, 2, 3, 4)

graphs = pytest.mark.parametrize("graph", GRAPHS)
layouts = pytest.mark.parametrize("layout", LAYOUTS)
REPEATED = {"edges", "targets sources"}
WITH_SAMPLES = {"uneven", "few edges", "hub"}


@work
def train_on_every_graph(path, rank):
    found = {}
    for names, mesh in meshes().items():
        for graph in GRAPHS:
            if "data" in names and graph not in WITH_SAMPLES:
                continue
            for layout, (into, out, halo) in LAYOUTS.items():
                if names != "edges" and layout == "parts to parts by all-gather":
                    continue
                ours, theirs = trained_apart(graph, mesh, into, out, halo)
                bits = None
                if names in REPEATED and layout.startswith("parts"):
                    again, _ = trained_apart(graph, mesh, into, out, halo)
                    bits = same_bits(ours, again)
                found[graph, layout, names] = distance(ours, theirs), bits
    return found


@layouts
@graphs
def test_training_is_that_of_one_process(processes, graph, layout):
    for found in processes(train_on_every_graph):
        errors = {
            case[2]: error for case, (error, _) in found.items() if case[:2] == (graph, layout)
        }
        assert "edges" in errors
        assert max(errors.values()) <= 1e-12, errors


def test_bits_are_the_same_from_run_to_run(processes):
    for found in processes(train_on_every_graph):
        same = {case: bits for case, (_, bits) in found.items() if bits is not None}
        assert len(same) >= 3 * len(GRAPHS)
        assert all(same.values()), same
