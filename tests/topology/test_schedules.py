"""Runs: the edges of a row in one block of columns."""

import pytest
import torch

from edgelinear import Topology
from edgelinear.topology.schedules import BLOCK_COLUMNS, GROUP_ROWS


def dense_edges(rows, columns, density=0.3):
    """Return edges in (target, source) order, of which runs can be made."""
    mask = torch.rand(rows, columns, generator=torch.Generator().manual_seed(0)) < density
    return mask.nonzero().T.flip(0)


@pytest.mark.parametrize("shape", [(1100, 1030), (2000, 1030), (1030, 3000)])
def test_runs_hold_every_edge_once_by_group_block_and_length(shape):
    topology = Topology(*shape, dense_edges(*shape[::-1]))
    for view, runs in (
        (topology.by_dst, topology._target_view.runs),
        (topology.by_src, topology._source_view.runs),
    ):
        keys, positions = [], []
        for row, begin, count in runs.tolist():
            columns = view.indices[begin : begin + count]
            block = int(columns[0]) // BLOCK_COLUMNS
            assert (columns // BLOCK_COLUMNS == block).all()
            assert view.indptr[row] <= begin and begin + count <= view.indptr[row + 1]
            keys.append((row // GROUP_ROWS, block, count))
            positions += range(begin, begin + count)
        assert keys == sorted(keys)
        assert sorted(positions) == list(range(topology.num_edges))


def test_runs_turn_with_the_wiring_and_move_with_it():
    topology = Topology(1100, 1050, dense_edges(1050, 1100))
    assert (
        topology.T._target_view.runs is topology._source_view.runs
        and topology.T._source_view.runs is topology._target_view.runs
    )
    assert topology.to("meta")._target_view.runs.is_meta


def test_runs_are_made_only_where_they_pay():
    edges = dense_edges(1050, 1100)
    for wiring in (
        Topology(1100, 1050, dense_edges(1050, 1100, density=0.03)),  # few edges a run
        Topology(1100, 300, dense_edges(300, 1100)),  # few groups for the threads to share
        Topology(1100, 3000, edges),  # two groups in three are empty
        Topology(1100, 1050, edges[:, torch.randperm(edges.shape[1])]),  # indices are large already
        Topology(1100, 0, []),
    ):
        assert wiring._target_view.runs is None


def test_indices_take_at_most_24_bytes_an_edge_with_runs():
    topology = Topology(1100, 1050, dense_edges(1050, 1100, density=0.1))
    assert topology._target_view.runs is not None
    storages = {v.untyped_storage().data_ptr(): v for v in topology._tensors if v is not None}
    size = sum(v.numel() * v.element_size() for v in storages.values())
    assert size <= 24 * topology.num_edges
