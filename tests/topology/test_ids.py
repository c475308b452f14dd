"""Ids of neurons used as positions are refused before memory is asked for every number below."""

import numpy as np
import pandas
import pytest
import scipy.sparse
import torch

import edgelinear as el
from edgelinear import convert, rules

# Three synapses of neurons as hemibrain and FlyWire number them.
HEMIBRAIN = np.array([[5813105172, 1130447021, 666132205], [1130447021, 666132205, 5813105172]])
FLYWIRE = HEMIBRAIN + 720575940600000000


@pytest.fixture(autouse=True)
def little_memory():
    """Hold the process to what it has and 2 GB more, so that a refusal that comes late shows."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as pages:
        used = int(pages.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2 * 10**9, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, limits)


def square(ids):
    return int(ids.max()) + 1


@pytest.mark.parametrize("ids", [HEMIBRAIN, FLYWIRE], ids=["hemibrain", "FlyWire"])
@pytest.mark.parametrize(
    "build",
    [
        lambda ids: el.Topology(square(ids), square(ids), ids),
        lambda ids: el.EdgeLinear(square(ids), square(ids), ids),
        lambda ids: el.EdgeLinear(3, square(ids), np.stack([[0, 1, 2], ids[1]])),
        lambda ids: convert.from_edges(square(ids), square(ids), ids),
        lambda ids: convert.from_scipy(scipy.sparse.coo_array((np.ones(3), tuple(ids)))),
        lambda ids: convert.from_weight_mask(scipy.sparse.coo_array((np.ones(3), tuple(ids)))),
        lambda ids: convert.from_table(
            pandas.DataFrame({"source": ids[0], "target": ids[1]}),
            in_features=square(ids),
            out_features=square(ids),
        ),
        lambda ids: el.EdgeLinear.from_state_dict(
            el.EdgeLinear(2, 2, [(0, 0)]).state_dict()
            | {"edge_index": torch.from_numpy(ids), "shape": torch.tensor([square(ids)] * 2)}
        ),
    ],
    ids=["Topology", "layer", "one side", "edges", "scipy", "mask", "table", "checkpoint"],
)
def test_ids_as_positions_are_told_of_from_table(build, ids):
    with pytest.raises(ValueError, match="if these are ids and not positions, use .*from_table"):
        build(ids)


def test_ids_beyond_the_sizes_are_told_of_from_table():
    with pytest.raises(ValueError, match=r"outside \[0, 3\), .* ids .* `el.convert.from_table`"):
        el.Topology(3, 3, HEMIBRAIN)


def test_ids_of_a_sparse_tensor_are_told_of_from_table():
    matrix = torch.sparse_coo_tensor(
        torch.from_numpy(HEMIBRAIN % 2**31), torch.ones(3), (2**31, 2**31)
    )
    with pytest.raises(ValueError, match="ids and not positions"):
        convert.from_adjacency(matrix)


def test_ids_as_the_parameters_of_edges_are_refused():
    layer = el.EdgeLinear(3, 3, [(0, 0), (1, 1), (2, 2)])
    with pytest.raises(ValueError, match="if these are ids and not positions, use `pandas.fact"):
        rules.tie(layer, HEMIBRAIN[0])


def test_from_table_numbers_nodes_by_their_ids():
    table = pandas.DataFrame({"source": HEMIBRAIN[0], "target": HEMIBRAIN[1]})
    wiring = convert.from_table(table)
    assert wiring.in_names == sorted(HEMIBRAIN[0].tolist())


def test_many_nodes_with_few_edges_are_taken():
    topology = el.Topology(5 * 10**7, 2, [(5 * 10**7 - 1, 1)])
    assert topology.in_features == 5 * 10**7 and int(topology.fan_out[-1]) == 1
