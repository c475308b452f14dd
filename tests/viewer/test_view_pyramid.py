"""Counts and means of cells, in every order and at every level, are those of dense matrices."""

import tracemalloc
from functools import wraps

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from viewed import ask, scene, tile_of
from wired import edge_lists

import edgelinear as el
from edgelinear.orders import ORDERS, order_of
from edgelinear.viewer import pyramid
from edgelinear.viewer.pyramid import Pyramid, Shade, grids_of

SMALL = {"TILE": 2, "BASE": 4, "_CHUNK": 5}


def with_small_tiles(test):
    """Let few nodes have many levels, some of them below the grid that is made at once."""

    @wraps(test)
    def run(*arguments, **options):
        with pytest.MonkeyPatch.context() as patch:
            for name, value in SMALL.items():
                patch.setattr(pyramid, name, value)
            test(*arguments, **options)

    return run


def dense(topology, values, order):
    """Return the number of edges and the sum of their values, in the order of rows and columns."""
    rows, columns = order
    found = np.zeros((2, topology.out_features, topology.in_features))
    for edge, (s, t) in enumerate(topology.edge_index.T.tolist()):
        found[0, t, s] += 1
        found[1, t, s] += values[edge]
    return found[:, rows][:, :, columns]


def blocks(matrix, grid):
    """Return the sums of the cells of a grid, one after the other."""
    found = np.zeros((grid.rows, grid.columns))
    for i in range(grid.rows):
        for j in range(grid.columns):
            rows = slice(i * grid.row_size, (i + 1) * grid.row_size)
            columns = slice(j * grid.column_size, (j + 1) * grid.column_size)
            found[i, j] = matrix[rows, columns].sum()
    return found


def whole_level(found, key, level):
    """Return the number of edges and the values of all cells of a level, from its tiles."""
    grid = found.grids[level]
    number, value = np.zeros((2, grid.rows, grid.columns))
    step = pyramid.TILE
    for row in range(-(-grid.rows // step)):
        for column in range(-(-grid.columns // step)):
            tile = found.tile(key, level, row, column)
            place = (
                row * step + tile.cell // max(1, tile.columns),
                column * step + tile.cell % max(1, tile.columns),
            )
            number[place], value[place] = tile.number, tile.value
    return number, value


@given(edge_lists(), st.sampled_from(ORDERS), st.integers(0, 2**32 - 1))
@with_small_tiles
def test_cells_equal_those_of_a_dense_matrix(problem, order, seed):
    topology = el.Topology(*problem[:2], problem[2], duplicates="keep")
    random = np.random.default_rng(seed)
    weight = random.normal(size=topology.num_edges)
    level = random.integers(0, 3, topology.in_features)
    if order == "level" and topology.in_features != topology.out_features:
        order = "degree"
    places = order_of(topology, order, level)
    shades = {
        "count": Shade("", None),
        "weight": Shade("", weight),
        "signed": Shade("", weight, None, is_signed=True),
    }
    found = Pyramid(topology, *places, shades)
    for key, values in (("count", weight), ("weight", np.abs(weight)), ("signed", weight)):
        cells = dense(topology, values, places)
        for level, grid in enumerate(found.grids):
            number, value = whole_level(found, key, level)
            expected = blocks(cells[0], grid)
            np.testing.assert_array_equal(number, expected)
            mean = expected if key == "count" else blocks(cells[1], grid) / np.maximum(expected, 1)
            np.testing.assert_allclose(value, mean, rtol=1e-6, atol=1e-7)
            largest = np.abs(mean).max(initial=0)
            if key == "count" or level <= found.base:
                assert found.most(key, level) == pytest.approx(largest)
            else:
                assert found.most(key, level) >= largest * (1 - 1e-6)


@given(edge_lists())
@with_small_tiles
def test_deepest_cells_name_their_first_edge(problem):
    topology = el.Topology(*problem[:2], problem[2], duplicates="keep")
    places = order_of(topology, "degree")
    found = Pyramid(topology, *places, {"count": Shade("", None)})
    level = len(found.grids) - 1
    for edge, (s, t) in enumerate(topology.edge_index.T.tolist()):
        row, column = int(found.row[t]), int(found.column[s])
        tile = found.tile("count", level, row // 2, column // 2)
        cell = row % 2 * tile.columns + column % 2
        (at,) = np.flatnonzero(tile.cell == cell)
        pairs = topology.edge_index.T.tolist()
        assert tile.edge[at] == pairs.index([s, t]) <= edge


@given(edge_lists(), *[st.integers(0, 9)] * 4)
def test_window_has_the_edges_whose_ends_are_in_it(problem, top, bottom, left, right):
    topology = el.Topology(*problem[:2], problem[2], duplicates="keep")
    rows, columns = order_of(topology, "degree")
    found = Pyramid(topology, rows, columns, {}).edges_in((top, bottom), (left, right))
    targets, sources = rows[top:bottom].tolist(), columns[left:right].tolist()
    pairs = enumerate(topology.edge_index.T.tolist())
    assert found.tolist() == [e for e, (s, t) in pairs if s in sources and t in targets]


@given(st.integers(0, 10**7), st.integers(0, 10**7))
def test_levels_go_from_one_tile_to_single_nodes(rows, columns):
    grids = grids_of(rows, columns)
    assert max(grids[0].rows, grids[0].columns) <= 256
    assert grids[-1] == (rows, columns, 1, 1)
    for before, after in zip(grids, grids[1:], strict=False):
        for side in (2, 3):  # a side is halved, or done
            assert before[side] in (after[side], 2 * after[side])
        for side, nodes in ((0, rows), (1, columns)):
            assert before[side] == -(-nodes // before[side + 2])


def large():
    random = np.random.default_rng(0)
    ends = np.stack([random.integers(0, 5000, 30_000), random.integers(0, 700, 30_000) ** 2 // 700])
    return el.Topology(5000, 700, ends, duplicates="keep")


def test_large_matrix_is_what_numpy_counts():
    topology = large()
    seen = scene(topology)
    src, dst = topology.edge_index.numpy()
    for level, grid in enumerate(seen.pyramid("given").grids):
        total = np.zeros((grid.rows, grid.columns), int)
        np.add.at(total, (dst // grid.row_size, src // grid.column_size), 1)
        for row in range(-(-grid.rows // 256)):
            for column in range(-(-grid.columns // 256)):
                found, (cell, value, number, *_) = tile_of(seen, level, row, column)
                shown = np.zeros((found["rows"], found["columns"]), int)
                shown.reshape(-1)[cell] = number
                top, left = 256 * row, 256 * column
                expected = total[top : top + 256, left : left + 256]
                np.testing.assert_array_equal(shown, expected)
                np.testing.assert_array_equal(value, number)
                assert found["cells"] == np.count_nonzero(expected)
                assert found["most"] == total.max()


def test_grid_that_is_made_at_once_has_at_most_1024_cells_a_side():
    topology = el.Topology(100_000, 3000, torch.tensor([[0, 99_999], [0, 2999]]))
    found = scene(topology).pyramid("given")
    number, _ = found.numbers("count", found.base)
    assert number.shape == (750, 782) and number.sum() == 2


def test_cells_are_held_of_two_orders_and_made_again_of_others():
    size = 1024
    layer = el.EdgeNetwork(size, [(node, node + 1) for node in range(size - 1)], [0], [size - 1])
    seen = scene(layer)
    found, held = [], []
    tracemalloc.start()
    for order in ("given", "degree", "level", "given"):
        found.append(tile_of(seen, order=order, value="weight"))
        held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert held[1] > 1.8 * held[0] and max(held) < 1.2 * held[1]
    np.testing.assert_equal(found[3], found[0])


@pytest.mark.parametrize(("rows", "columns"), [(0, 4), (4, 0), (0, 0)])
def test_layer_without_nodes_has_an_empty_tile(rows, columns):
    found, (cell, *_) = tile_of(scene(el.Topology(columns, rows, torch.zeros(2, 0).long())))
    assert (found["rows"], found["columns"], cell.size, found["most"]) == (rows, columns, 0, 0)


def test_difference_counts_the_edges_of_both_wirings():
    here = el.EdgeLinear(2, 2, [(0, 0), (1, 1)], weight=[1.0, 2.0])
    there = el.EdgeLinear(2, 2, [(1, 1), (1, 0)], weight=[5.0, 7.0])
    seen = scene(here, other=there)
    shown = {}
    for key in ("count", "weight", "other", "difference"):
        _, (cell, value, number, edge) = tile_of(seen, value=key)
        assert number.tolist() == [1] * cell.size
        shown[key] = dict(zip(cell.tolist(), value.tolist(), strict=True)), edge.tolist()
    # Cells are row * 2 + column, of targets down and sources across.
    none = 0xFFFFFFFF
    assert shown["count"] == ({0: 1.0, 3: 1.0}, [0, 1])
    assert shown["weight"] == ({0: 1.0, 3: 2.0}, [0, 1])
    assert shown["other"] == ({1: 7.0, 3: 5.0}, [none, 1])
    assert shown["difference"] == ({0: 1.0, 1: -7.0, 3: -3.0}, [0, none, 1])


def test_wirings_without_weights_differ_by_their_edges():
    here, there = el.Topology(2, 1, [(0, 0)]), el.Topology(2, 1, [(1, 0)])
    seen = scene(here, other=there)
    _, (cell, value, *_) = tile_of(seen, value="difference")
    assert dict(zip(cell.tolist(), value.tolist(), strict=True)) == {0: 1.0, 1: -1.0}
    assert any("each edge counts as 1" in note for note in seen.meta()["notes"])
    assert [value["key"] for value in seen.meta()["values"]] == ["count", "other", "difference"]


def test_weight_that_is_not_a_number_is_seen():
    layer = el.EdgeLinear(600, 1, [(0, 0), (1, 0), (500, 0)], weight=[1.0, 2.0, -3.0])
    for odd in (float("nan"), float("-inf")):
        layer.weight.data[1] = odd
        seen = scene(layer)
        for level in range(seen.meta()["depth"]):
            found, (_, value, *_) = tile_of(seen, level, value="weight")
            assert (~np.isfinite(value)).sum() == 1 and found["most"] == 3.0
        (note,) = seen.meta()["notes"]
        assert note == "1 edge has no finite number as 'weight': cells with one are marked."


def test_finite_weights_are_neither_infinite_nor_0_whatever_their_size():
    layer = el.EdgeLinear(2, 1, [(0, 0), (1, 0)], weight=[1e300, 1e-300], dtype=torch.float64)
    seen = scene(layer)
    found, (_, value, *_) = tile_of(seen, value="weight")
    assert value.tolist() == [1e300, 1e-300] and found["most"] == 1e300
    assert seen.meta()["notes"] == []


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"level": 5}, "there is no level 5: this matrix has 1"),
        ({"level": -1}, "there is no level -1"),
        ({"row": 1}, "there is no tile at row 1 and column 0 of level 0"),
        ({"column": -1}, "there is no tile at row 0 and column -1"),
        ({"value": "colour"}, "`value` must be one of count, got 'colour'"),
        ({"order": "colour"}, "`order` must be one of"),
    ],
)
def test_tile_that_is_not_there_is_refused(asked, said):
    with pytest.raises(ValueError, match=said):
        tile_of(scene(el.Topology(3, 2, [(0, 0)])), **asked)


def test_places_are_those_of_the_order():
    topology = el.Topology(3, 2, [(2, 1), (1, 1), (2, 0)])
    found = ask(
        scene(topology), "places", order="degree", nodes=[["in", 2], ["out", 0]], edges=[0, 1]
    )
    # By degree, target 1 comes first, and source 2.
    assert found == {"nodes": [[-1, 0], [1, -1]], "rows": [0, 0], "columns": [0, 1]}
