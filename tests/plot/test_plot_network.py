"""Facts about pictures of networks: what is counted, drawn and named, not pixels."""

import numpy as np
import pytest
import torch

import edgelinear as el

pytest.importorskip("matplotlib")
from edgelinear import plot  # noqa: E402

NAMES = ["in a", "in b", "hidden", "also", "out"]
EDGES = [(0, 2), (1, 2), (2, 3), (0, 3), (3, 4), (1, 4)]


def small(**options):
    weight = [1.0, -2.0, 0.5, 3.0, -0.25, 1.5]
    options = {"weight": weight, "node_names": NAMES} | options
    return el.EdgeNetwork(5, EDGES, NAMES[:2], NAMES[4:], **options)


def large(nodes=200, inputs=50):
    ends = np.sort(np.random.default_rng(0).integers(0, nodes, (2, 2000)), axis=0)
    ends = np.unique(ends[:, (ends[0] < ends[1]) & (ends[1] >= inputs)], axis=1)
    return el.EdgeNetwork(nodes, ends, range(inputs), range(nodes - 5, nodes))


def test_every_edge_is_a_line_from_level_to_level_in_its_weight():
    net = small()
    (lines,) = plot.network(net).axes[0].collections[:1]
    level = net.level.tolist()
    found = sorted(
        (line[0][0], line[-1][0], weight)
        for line, weight in zip(lines.get_segments(), lines.get_array(), strict=True)
    )
    expected = [
        (level[s], level[t], w) for (s, t), w in zip(EDGES, net.weight.tolist(), strict=True)
    ]
    assert found == sorted(expected)


def test_edges_that_skip_levels_are_bent_and_others_straight():
    net = small()
    for line in plot.network(net).axes[0].collections[0].get_segments():
        assert (len(line) > 2) == (line[-1][0] - line[0][0] > 1)


def test_nodes_of_a_level_stand_apart():
    places = plot.network(small()).axes[0].collections[1].get_offsets().tolist()
    assert len({tuple(place) for place in places}) == 5
    assert [x for x, _ in places] == small().level.tolist()


def test_nodes_have_their_names_and_no_formulas():
    net = small(node_names=[*NAMES[:2], "$\\no$", "a$b$", "out"])
    figure = plot.network(net)
    figure.draw_without_rendering()
    assert [text.get_text() for text in figure.axes[0].texts] == net.node_names


def test_picture_of_names_stays_inside():
    names = [f"{'W' * 28}{i}" for i in range(5)]
    figure = plot.network(el.EdgeNetwork(5, EDGES, names[:2], names[4:], node_names=names))
    figure.draw_without_rendering()
    drawn, page = figure.get_tightbbox(), figure.bbox_inches
    assert drawn.x0 >= 0 and drawn.x1 <= page.x1 and drawn.y0 >= 0 and drawn.y1 <= page.y1


def test_large_network_shows_the_edges_between_levels():
    net = large()
    top, axes, *_ = plot.network(net).axes
    level = net.level.numpy()
    expected = np.zeros((net.num_levels, net.num_levels), int)
    for s, t in net.edge_index.T.tolist():
        expected[level[t], level[s]] += 1
    assert np.array_equal(axes.images[0].get_array().filled(0), expected)
    skips = sum(int(level[t] - level[s] > 1) for s, t in net.edge_index.T.tolist())
    assert axes.get_title() == f"edges between levels: {skips:,} skip some"
    heights = np.zeros(net.num_levels)
    for bars in top.containers:
        heights += [bar.get_height() for bar in bars]
    assert heights.tolist() == np.bincount(level).tolist()


def test_matrix_of_weights_is_in_the_order_of_reach():
    # Input 3 reaches 1, then 0 and 4, of which 4 is the output; nothing reaches 2.
    edges = [(3, 1), (1, 0), (1, 4), (0, 1), (2, 2)]
    net = el.EdgeRNN(
        5, edges, ["d"], ["e"], weight=[1.0, 2.0, 3.0, 4.0, 5.0], node_names=[*"abcde"]
    )
    axes = plot.network(net).axes[0]
    order = [3, 1, 0, 4, 2]
    dense = torch.zeros(5, 5)
    for (s, t), weight in zip(edges, net.weight.tolist(), strict=True):
        dense[t, s] = weight
    assert np.array_equal(axes.images[0].get_array().filled(0), dense[order][:, order].numpy())
    names = ["d", "b", "a", "e", "c"]
    for axis in (axes.xaxis, axes.yaxis):
        assert [label.get_text() for label in axis.get_ticklabels()] == names


def test_large_recurrent_network_is_binned_and_loses_no_edge():
    ends = np.unique(np.random.default_rng(0).integers(0, 600, (2, 4000)), axis=1)
    figure = plot.network(el.EdgeRNN(600, ends, range(20), [30]))
    image = figure.axes[0].images[0].get_array()
    assert image.shape == (256, 256) and image.sum() == ends.shape[1]


def test_matrix_and_degrees_take_the_nodes_of_a_network():
    net = small()
    axes = plot.matrix(net).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == NAMES
    assert axes.images[0].get_array().sum() == 6
    assert plot.degrees(net).get_suptitle().startswith("5 -> 5, 6 edges")


@pytest.mark.parametrize(
    "net",
    [
        el.EdgeNetwork(1, [], [0], [0]),
        el.EdgeNetwork(3, [], [0], [2]),
        el.EdgeRNN(1, [], [0], [0]),
        el.EdgeRNN(300, [(0, 0)], [0], [0]),
        el.EdgeNetwork(60, [(i, i + 1) for i in range(59)], [0], [59]),
    ],
    ids=["one node", "no edges", "one node in turn", "one edge", "a long chain"],
)
def test_odd_networks_can_be_drawn(net, tmp_path):
    plot.network(net).savefig(tmp_path / "network.png")
    assert (tmp_path / "network.png").stat().st_size > 1000


def test_layers_are_refused_as_networks_and_networks_as_layers():
    with pytest.raises(TypeError, match="got EdgeLinear: use `bipartite` or `matrix`"):
        plot.network(el.EdgeLinear(2, 1, [(0, 0)]))
    with pytest.raises(TypeError, match="EdgeRNN, got list"):
        plot.network([1])
    with pytest.raises(TypeError, match="got EdgeNetwork: use `plot.network`"):
        plot.bipartite(small())
