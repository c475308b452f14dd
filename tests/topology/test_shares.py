"""Shares together are the wiring, in a documented order, and come back from files as they were."""

import importlib.util
import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import random, random_edges
from torch.testing import assert_close
from wired import edge_lists

import edgelinear as el
from edgelinear.topology import Share
from edgelinear.topology.shares import fingerprint_of

arrow = pytest.param(
    ".arrow",
    marks=pytest.mark.skipif(
        importlib.util.find_spec("pyarrow") is None, reason="pyarrow is not installed"
    ),
)
endings = pytest.mark.parametrize("ending", [".npz", arrow])
grids = st.tuples(st.integers(1, 5), st.integers(1, 5))


def pairs_of(share):
    return [(t, s) for s, t in share.edge_index.T.tolist()]


def chunks(items, parts):
    """Cut a list as `torch.chunk` does, with empty ones at the end."""
    each = max(1, -(-len(items) // parts))
    return [items[i * each : (i + 1) * each] for i in range(parts)]


@given(edge_lists(), st.integers(1, 12))
def test_shares_are_the_chunks_of_the_edges_in_order(case, parts):
    shares = el.Topology(*case, duplicates="keep").split(parts)
    expected = chunks(sorted((t, s) for s, t in case[2]), parts)
    assert [pairs_of(share) for share in shares] == expected
    starts = [sum(map(len, expected[:p])) for p in range(parts)]
    assert [share.start for share in shares] == starts


@given(edge_lists(), grids)
def test_blocks_are_cut_by_target_and_then_by_source(case, grid):
    shares = el.Topology(*case, duplicates="keep").split(grid, by="blocks")
    expected = []
    for row in chunks(sorted((t, s) for s, t in case[2]), grid[0]):
        by_source = sorted(row, key=lambda edge: edge[::-1])
        expected += [sorted(part) for part in chunks(by_source, grid[1])]
    assert [pairs_of(share) for share in shares] == expected
    assert [share.part for share in shares] == list(range(grid[0] * grid[1]))


@given(edge_lists(), grids)
def test_nested_shards_of_a_tensor_are_what_a_block_holds(case, grid):
    """As DTensor cuts by [Shard(0), Shard(0)] what all processes hold, one after the other."""
    shares = el.Topology(*case, duplicates="keep").split(grid, by="blocks")
    whole = torch.cat([share.positions for share in shares])
    rows = chunks(whole.tolist(), grid[0])
    cut = [part for row in rows for part in chunks(row, grid[1])]
    assert [share.positions.tolist() for share in shares] == cut
    assert sorted(whole.tolist()) == list(range(len(case[2])))


@given(edge_lists(), grids)
def test_values_follow_their_edges(case, grid):
    topology = el.Topology(*case, duplicates="keep")
    values = torch.arange(float(topology.num_edges))
    for share in topology.split(grid, by="blocks"):
        found = share.follow(values)
        assert_close(topology.edge_index[:, found.long()], share.edge_index)
        order = [edge + (v,) for edge, v in zip(pairs_of(share), found.tolist(), strict=True)]
        assert order == sorted(order)  # parallel edges stay in the order given


@given(edge_lists(), st.integers(1, 5))
def test_fingerprints_of_shares_add_up_to_that_of_the_wiring(case, parts):
    shares = el.Topology(*case, duplicates="keep").split(parts)
    found = sum(fingerprint_of(*share.edge_index.numpy()) for share in shares) % 2**64
    assert {share.fingerprint for share in shares} == {found}


def test_fingerprint_tells_an_edge_from_its_reverse_and_its_neighbours():
    src, dst = np.meshgrid(np.arange(50), np.arange(50))
    prints = {
        fingerprint_of(np.array([s]), np.array([t]))
        for s, t in zip(src.flat, dst.flat, strict=True)
    }
    assert len(prints) == 2500


@pytest.mark.parametrize(
    "parts, by, error, message",
    [
        (0, "edges", ValueError, "`parts` must be at least 1, got 0"),
        (2.0, "edges", TypeError, "`parts` must be an integer, got 2.0"),
        ((2, 2), "edges", TypeError, "`parts` must be an integer, got .*pairs are for"),
        (4, "blocks", TypeError, "`parts` must be a pair"),
        (2, "nodes", ValueError, "`by` must be one of"),
    ],
)
def test_wrong_parts_are_refused(parts, by, error, message):
    with pytest.raises(error, match=message):
        el.Topology(2, 2, [(0, 1)]).split(parts, by)


def test_values_of_another_number_are_refused():
    share = el.Topology(2, 2, [(0, 1), (1, 1)]).split(2)[0]
    with pytest.raises(ValueError, match="each of the 2 edges .* got 3"):
        share.follow(torch.zeros(3))


def make_share(part=1):
    topology = el.Topology(9, 7, random_edges(9, 7, 23))
    return topology.split((2, 2), by="blocks")[part]


def assert_same(found, expected):
    assert repr(found) == repr(expected)
    assert found.fingerprint == expected.fingerprint
    for name in ("edge_index", "positions", "weight"):
        one, other = getattr(found, name), getattr(expected, name)
        assert (one is None) == (other is None), name
        if one is not None:
            assert_close(one, other, rtol=0, atol=0)


@endings
@pytest.mark.parametrize("dtype", [None, torch.float64, torch.bfloat16])
def test_share_comes_back_from_a_file(tmp_path, ending, dtype):
    share, path = make_share(), tmp_path / f"share{ending}"
    weight = None if dtype is None else random(share.edge_index.shape[1], dtype=dtype)
    share.save(path, weight=weight)
    found = Share.load(path)
    share = Share(**{**share.__dict__, "weight": weight})
    assert_same(found, share)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@endings
def test_empty_share_comes_back_from_a_file(tmp_path, ending):
    share = el.Topology(3, 3, [(0, 1)]).split(4)[3]
    share.save(tmp_path / f"share{ending}")
    assert_same(Share.load(tmp_path / f"share{ending}"), share)


def write(path, header=None, **changes):
    """Write the file of a share with something wrong in it."""
    make_share().save(path)
    with np.load(path) as file:
        fields = dict(file)
    if header:
        fields["share"] = np.array(json.dumps(json.loads(str(fields["share"])) | header))
    for name, change in changes.items():
        fields[name] = change(fields[name])
    np.savez(path, **fields)


def with_first(value):
    def change(edges):
        edges[1, -1] = value
        return edges

    return change


@pytest.mark.parametrize(
    "changes, message",
    [
        (dict(edge_index=with_first(7)), "target 7 at edge 5 is outside .0, 7."),
        (dict(edge_index=with_first(-1)), "target -1 at edge 5"),
        (dict(edge_index=lambda e: e[:, ::-1]), "edge 1 comes before"),
        (dict(edge_index=lambda e: e[:, :-1]), "part 1 of 4 has 6 of 23 edges"),
        (dict(edge_index=lambda e: e.astype(float)), "of sources it has 1-D float64"),
        (dict(edge_index=lambda e: e.T), "its `edge_index` has shape"),
        (dict(position=lambda p: p[:-1]), "positions of shape"),
        (dict(position=lambda p: p + 20), "its positions are not all within"),
        (dict(position=lambda p: p * 0), "two of its edges have one position"),
        (dict(header={"part": 4}), "it says that it is part 4 of 4"),
        (dict(header={"columns": 3}), "its grid has 4 parts and 3 columns"),
        (dict(header={"num_edges": 24.0}), "`num_edges` must be an integer"),
        (dict(header={"num_edges": 40}), "part 1 of 4 has 10 of 40 edges"),
        (dict(header={"in_features": -1}), "`in_features` must not be negative"),
        (dict(header={"fingerprint": "1"}), "its fingerprint is '1'"),
        (dict(header={"version": 2}), "does not say of which part"),
    ],
)
def test_files_that_cannot_be_right_are_refused(tmp_path, changes, message):
    path = tmp_path / "share.npz"
    write(path, **changes)
    with pytest.raises(ValueError, match=f"holds no share.*{message}"):
        Share.load(path)


@endings
def test_corrupt_and_foreign_files_are_refused(tmp_path, ending):
    path = tmp_path / f"share{ending}"
    make_share().save(path)
    whole = path.read_bytes()
    for data in (b"", b"edges", whole[: len(whole) // 2], whole[:-9]):
        path.write_bytes(data)
        with pytest.raises(ValueError, match="holds no share as `share.save` writes it"):
            Share.load(path)
    if ending == ".npz":
        np.savez(path, edge_index=np.zeros((2, 3), dtype=int))
        with pytest.raises(ValueError, match="with in_features and out_features"):
            Share.load(path)


def test_byte_that_changed_in_a_file_is_found(tmp_path):
    path = tmp_path / "share.npz"
    make_share().save(path)
    data = bytearray(path.read_bytes())
    at = data.find(make_share().edge_index.numpy().tobytes())
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="CRC"):
        Share.load(path)


def test_paths_and_weights_that_do_not_fit_are_refused(tmp_path):
    share = make_share()
    with pytest.raises(ValueError, match="ends in .npz, .arrow or .feather, got 'share.pt'"):
        share.save("share.pt")
    with pytest.raises(ValueError, match="one number for each of the 6 edges"):
        share.save(tmp_path / "share.npz", weight=torch.zeros(5))
    with pytest.raises(FileNotFoundError, match="share.npz is not there"):
        Share.load(tmp_path / "share.npz")
    assert not list(tmp_path.iterdir())
