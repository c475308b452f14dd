"""A list that holds something else than topologies names the element."""

import pytest

import edgelinear as el

TOPOLOGY = el.Topology(3, 2, [(0, 0), (2, 1)])


@pytest.mark.parametrize(
    "topologies, message",
    [
        ([TOPOLOGY, (0, 0)], "a list of some, got list, whose element 1 is a tuple"),
        ((None, TOPOLOGY), "got tuple, whose element 0 is a NoneType"),
        (
            [TOPOLOGY, el.EdgeLinear.from_topology(TOPOLOGY)],
            "whose element 1 is a EdgeLinear: use its `.topology`",
        ),
        ({TOPOLOGY}, "got set"),
        (el.EdgeLinear.from_topology(TOPOLOGY), "got EdgeLinear: use its `.topology`"),
    ],
)
def test_element_that_is_no_topology_is_named(topologies, message):
    with pytest.raises(TypeError, match=message):
        el.controls(lambda t: t, topologies, lambda model, seed: 0.0, seeds=[0], progress=False)
