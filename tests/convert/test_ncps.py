"""Wirings of the ncps package, or of objects that say the same."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import edgelinear as el


def matrices(units=9, inputs=4, outputs=2):
    generator = np.random.default_rng(0)
    between = generator.integers(-1, 2, (units, units)).astype(np.int32)
    into = generator.integers(-1, 2, (inputs, units)).astype(np.int32)
    return SimpleNamespace(
        adjacency_matrix=between, sensory_adjacency_matrix=into, output_dim=outputs
    )


def of_ncps():
    wirings = pytest.importorskip("ncps.wirings")
    wiring = wirings.NCP(
        inter_neurons=5, command_neurons=4, motor_neurons=2, sensory_fanout=3, inter_fanout=2,
        recurrent_command_synapses=3, motor_fanin=3,
    )  # fmt: skip
    wiring.build(4)
    return wiring


wirings = pytest.mark.parametrize("made", [matrices, of_ncps])


@wirings
def test_edges_are_the_entries_of_both_matrices(made):
    theirs = made()
    wiring = el.convert.from_ncps(theirs)
    units = len(theirs.adjacency_matrix)
    whole = np.zeros((units + 4, units + 4))
    src, dst = wiring.topology.edge_index
    whole[src, dst] = wiring.weight
    assert_close(whole[:units, :units], theirs.adjacency_matrix.astype(float))
    assert_close(whole[units:, :units], theirs.sensory_adjacency_matrix.astype(float))
    assert not whole[:, units:].any()
    assert wiring.topology.is_sorted and wiring.topology.num_edges == (whole != 0).sum()
    assert wiring.inputs == [*range(units, units + 4)] and wiring.outputs == [0, 1]


@wirings
def test_a_network_of_it_is_a_dense_loop(made):
    theirs = made()
    wiring = el.convert.from_ncps(theirs)
    net = el.EdgeRNN.from_wiring(wiring, clamp_inputs=True, values="weight", dtype=torch.float64)
    assert net.in_names == [f"sensory_{i}" for i in range(4)]
    assert net.out_names == ["neuron_0", "neuron_1"]
    x = torch.randn(3, 6, 4, dtype=torch.float64)
    between = torch.from_numpy(theirs.adjacency_matrix).double()
    into = torch.from_numpy(theirs.sensory_adjacency_matrix).double()
    h, expected = torch.zeros(3, len(between), dtype=torch.float64), []
    for t in range(6):
        h = torch.tanh(h @ between + x[:, t] @ into)
        expected.append(h[:, :2])
    assert_close(net(x)[0], torch.stack(expected, 1))


@wirings
def test_polarities_are_kept_by_a_rule(made):
    wiring = el.convert.from_ncps(made())
    net = el.EdgeRNN.from_wiring(wiring, clamp_inputs=True)
    el.rules.fix_signs(net, wiring.weight, of="edges")
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    net(torch.randn(3, 6, 4))[0].sum().backward()
    optimizer.step()
    assert torch.equal(net.weight.sign(), wiring.weight)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"sensory_adjacency_matrix": None}, ValueError, r"use `wiring.build\(input_dim\)` first"),
        ({"output_dim": None}, ValueError, "set_output_dim"),
        ({"adjacency_matrix": np.ones((2, 3))}, ValueError, r"got shapes \(2, 3\) and \(4, 9\)"),
        ({"output_dim": 10}, ValueError, "`output_dim` 10 of 9 units"),
    ],
)
def test_what_is_no_built_wiring_is_refused(changes, error, message):
    theirs = SimpleNamespace(**vars(matrices()) | changes)
    with pytest.raises(error, match=message):
        el.convert.from_ncps(theirs)
    with pytest.raises(TypeError, match="must be a wiring of ncps, .* got ndarray"):
        el.convert.from_ncps(np.eye(3))
