"""One copy of a topology on each device, for as long as somebody uses it."""

import gc
import weakref

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

import edgelinear as el

EDGES = torch.tensor([[3, 0, 1, 3, 0, 4], [2, 0, 2, 1, 2, 0]])


def make_topology():
    return el.Topology(5, 4, EDGES)


@pytest.fixture
def to():
    """Return what moves topologies to CUDA devices that are not there."""
    mode = FakeTensorMode(allow_non_fake_inputs=True)

    def to(topology, device):
        with mode:
            return topology.to(device)

    return to


def test_a_device_has_one_copy_while_it_is_in_use():
    topology = make_topology()
    assert topology.to("meta") is not topology.to("cpu")
    copy = topology.to("meta")
    assert topology.to("meta") is copy
    assert topology.to(torch.device("meta")) is copy
    assert copy.to("meta") is copy


def test_a_copy_nobody_uses_is_freed_at_once():
    topology = make_topology()
    copy = topology.to("meta")
    tensors = [weakref.ref(t) for t in copy._tensors if t is not None]
    gc.disable()  # nothing may wait for the collector
    try:
        del copy
        assert [t() for t in tensors] == [None] * len(tensors)
    finally:
        gc.enable()


def test_the_original_is_freed_though_its_copy_lives():
    topology = make_topology()
    copy, original = topology.to("meta"), weakref.ref(topology.src)
    del topology
    assert original() is None
    assert copy.num_edges == 6


def test_way_back_leads_to_the_original(to):
    topology = make_topology()
    there = to(topology, "cuda:1")
    assert there.device == torch.device("cuda:1")
    assert to(there, "cpu") is topology
    assert to(to(there, "cuda:0"), "cuda:1") is there


def test_reverse_and_forward_share_the_copy(to):
    topology = make_topology()
    there, back = to(topology, "cuda:0"), to(topology.T, "cuda:0")
    assert back.src is there.dst
    assert to(topology.T, "cuda:0") is back
    assert to(back.T, "cuda:0").src is there.src
    del there
    assert to(topology, "cuda:0").src is back.dst


@pytest.mark.parametrize(
    "first, second", [("cuda", "cuda:0"), ("cuda:0", "cuda"), ("cpu", "cpu:0")]
)
def test_a_device_without_a_number_is_the_current_one(to, first, second):
    topology = make_topology()
    copy = to(topology, first)
    assert to(topology, second) is copy
    assert to(copy, first) is copy and to(copy, second) is copy


def test_layers_on_one_topology_hold_one_copy(to):
    topology = make_topology()
    layers = [el.EdgeLinear.from_topology(topology) for _ in range(3)]
    layers.append(el.EdgeLinear.from_topology(topology.T))
    copies = [to(layer.topology, "cuda") for layer in layers]
    tensors = {id(t) for copy in copies for t in copy._tensors if t is not None}
    assert len(tensors) == len({id(t) for t in copies[0]._tensors if t is not None})


def test_moved_copy_is_that_of_its_own_topology():
    first, second = make_topology(), el.Topology(5, 4, EDGES.flip(1))
    copies = first.to("meta"), second.to("meta")
    assert copies[0] is not copies[1]
    assert second.to("meta") is copies[1]
