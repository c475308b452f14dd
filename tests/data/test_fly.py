"""The fly's visual system: what it holds, and that it is what its source says."""

import gzip
import json
from importlib import resources

import numpy as np
import pytest
import torch

from edgelinear.data import fly_visual_system
from edgelinear.data.regenerate import cell_pairs


def test_eye_has_the_published_size():
    fly = fly_visual_system()
    assert fly.topology.in_features == fly.topology.out_features == 45_669
    assert fly.topology.num_edges == 1_513_231
    assert len(fly.cell_types) == 65 and len(fly.pairs) == 604
    assert fly.topology.is_sorted


def test_eye_connects_what_a_loop_over_cells_does():
    fly = fly_visual_system(extent=3)
    path = resources.files("edgelinear") / "data" / "fly_visual_system.json.gz"
    data = json.loads(gzip.decompress(path.read_bytes()))
    cells = [
        (name, u, v)
        for name, u_stride, v_stride in data["cell_types"]
        for u in range(-3, 4)
        for v in range(-3, 4)
        if abs(u + v) <= 3 and u % u_stride == 0 and v % v_stride == 0
    ]
    number = {cell: i for i, cell in enumerate(cells)}
    names = [fly.cell_types[i] for i in fly.cell_type]
    assert cells == [(n, *column) for n, column in zip(names, fly.column.tolist(), strict=True)]
    expected = {}
    for source, target, sign, offsets in data["pairs"]:
        for name, u, v in cells:
            if name != source:
                continue
            for du, dv, synapses in offsets:
                other = number.get((target, u + du, v + dv))
                if other is not None:
                    expected[number[name, u, v], other] = (sign, synapses, (source, target))
    found = {}
    for edge, ends in enumerate(map(tuple, fly.topology.edge_index.T.tolist())):
        pair = fly.pairs[fly.pair[edge]]
        found[ends] = (int(fly.sign[edge]), fly.synapses[edge].item(), pair)
    assert found.keys() == expected.keys()
    for ends, (sign, synapses, pair) in expected.items():
        assert found[ends] == (sign, np.float32(synapses), pair)


def test_gaps_in_offsets_are_filled_with_one_synapse():
    corners = [[[0, 0], 5.0], [[2, 0], 4.0], [[0, 2], 3.0], [[2, 2], 2.0]]
    edge = {"src": "A", "tar": "A", "alpha": 1, "offsets": corners}
    ((*_, offsets),) = cell_pairs({"nodes": [], "edges": [edge]})["pairs"]
    filled = {(u, v): synapses for u, v, synapses in offsets}
    assert filled[1, 1] == 1 and filled[2, 0] == 4.0


def test_signs_are_one_or_minus_one():
    fly = fly_visual_system(extent=2)
    assert torch.equal(fly.sign.abs(), torch.ones_like(fly.sign))
    assert (fly.synapses > 0).all()


@pytest.mark.parametrize("extent, error", [(-1, ValueError), (1.5, TypeError)])
def test_extent_that_cannot_be_is_refused(extent, error):
    with pytest.raises(error, match="`extent` must"):
        fly_visual_system(extent)
