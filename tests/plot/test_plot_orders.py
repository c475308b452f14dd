"""Facts about the matrix in other orders: which node stands where, and what the axes say."""

import numpy as np
import pytest

import edgelinear as el
from edgelinear.orders import ORDERS, level_of, order_of

pytest.importorskip("matplotlib")
from edgelinear import plot  # noqa: E402


def labels(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def drawn():
    topology = el.generators.erdos_renyi(20, 12, num_edges=60)
    names = [f"s{i}" for i in range(20)], [f"t{i}" for i in range(12)]
    return el.EdgeLinear.from_topology(topology, in_names=names[0], out_names=names[1])


@pytest.mark.parametrize("order", ["given", "degree", "cluster"])
def test_cells_names_and_margins_follow_the_order(order):
    layer = drawn()
    weight = layer.weight.detach().numpy().astype(float)
    rows, columns = order_of(layer.topology, order, weight=weight)
    axes, top, right, *_ = plot.matrix(layer, order=order).axes
    there = plot.block_counts(layer.topology)[rows][:, columns]
    assert np.array_equal(axes.images[0].get_array().filled(0), there)
    assert labels(axes.xaxis) == [f"s{i}" for i in columns]
    assert labels(axes.yaxis) == [f"t{i}" for i in rows]
    assert top.patches[0].get_data().values.tolist() == there.sum(0).tolist()
    assert right.patches[0].get_data().values.tolist() == there.sum(1).tolist()


@pytest.mark.parametrize(
    ("order", "across", "down"),
    [
        ("given", "source (input)", "target (output)"),
        ("degree", "source (input), by fan-out", "target (output), by fan-in"),
        ("cluster", "source (input), clustered", "target (output), clustered"),
    ],
)
def test_axes_say_another_order(order, across, down):
    axes = plot.matrix(drawn(), order=order).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == (across, down)


def test_networks_are_ordered_by_level_or_by_steps():
    net = el.EdgeNetwork(4, [(3, 1), (1, 0), (0, 2)], ["d"], ["c"], node_names=[*"abcd"])
    loop = el.EdgeRNN(4, [(3, 1), (1, 3), (1, 0), (0, 2)], ["d"], ["c"], node_names=[*"abcd"])
    for model, said in ((net, "by level"), (loop, "by steps from an input")):
        axes = plot.matrix(model, order="level").axes[0]
        for axis in (axes.xaxis, axes.yaxis):
            assert labels(axis) == ["d", "b", "a", "c"]
            assert axis.get_label_text().endswith(f", {said}")
        assert level_of(model).tolist() == [2, 1, 3, 0]


def test_nodes_without_names_have_their_numbers():
    axes = plot.matrix(el.Topology(3, 2, [(2, 1), (2, 0), (0, 1)]), order="degree").axes[0]
    assert labels(axes.xaxis) == ["2", "0", "1"] and labels(axes.yaxis) == ["1", "0"]


def test_places_in_another_order_are_not_taken_for_numbers_of_nodes():
    topology = el.generators.erdos_renyi(60, 50, num_edges=300)
    for order in ("given", "degree", "cluster"):
        axes = plot.matrix(topology, order=order).axes[0]
        for ticks in (axes.get_xticks(), axes.get_yticks()):
            assert (len(ticks) > 0) == (order == "given")
    ends = np.unique(np.random.default_rng(0).integers(0, 60, (2, 300)), axis=1)
    axes = plot.network(el.EdgeRNN(60, ends, [50], [1])).axes[0]
    assert len(axes.get_xticks()) == len(axes.get_yticks()) == 0


def test_large_matrices_are_binned_in_their_order():
    topology = el.generators.barabasi_albert(600, 500, edges_per_node=3)
    image = plot.matrix(topology, order="degree").axes[0].images[0].get_array().filled(0)
    assert image.sum() == topology.num_edges
    assert image[0].sum() == image.sum(1).max() and image[:, 0].sum() == image.sum(0).max()


def test_cells_are_named_where_they_are_bins_alone():
    small = el.Topology(2, 2, [(0, 0), (0, 0), (1, 1)], duplicates="keep")
    assert plot.matrix(small).axes[3].get_ylabel() == "edges from a source to a target"
    large = el.Topology(300, 2, [(0, 0), (1, 0)] * 2, duplicates="keep")
    said = "edges in a cell, of about 1.2 sources x 1 targets"
    assert plot.matrix(large).axes[3].get_ylabel() == said


def test_orders_that_cannot_be_had_are_refused():
    layer = drawn()
    with pytest.raises(ValueError, match="`order` must be one of"):
        plot.matrix(layer, order="name")
    with pytest.raises(ValueError, match='order="level" must have a network'):
        plot.matrix(layer, order="level")
    with pytest.raises(ValueError, match="at most 2,000 a side, got 2,100"):
        plot.matrix(el.Topology(2100, 3, []), order="cluster")
    layer.set_weight(np.full(60, np.nan))
    with pytest.raises(ValueError, match="`weight` must be finite to be drawn, got nan for edge 0"):
        plot.matrix(layer, order="cluster")
    plot.matrix(layer, order="degree")


@pytest.mark.parametrize("order", [order for order in ORDERS if order != "level"])
@pytest.mark.parametrize("sizes", [(0, 0), (3, 0), (3, 2)])
def test_empty_wirings_have_any_order(order, sizes):
    plot.matrix(el.Topology(*sizes, []), order=order).draw_without_rendering()
