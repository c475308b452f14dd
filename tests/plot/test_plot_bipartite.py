"""Facts about drawings of chosen edges of a layer."""

import numpy as np
import pytest
import torch

import edgelinear as el

pytest.importorskip("matplotlib")
from edgelinear import plot  # noqa: E402


def labels(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def sides(figure):
    axes = figure.axes[0]
    return labels(axes.yaxis), labels(axes.child_axes[0].yaxis)


def large(**options):
    topology = el.generators.erdos_renyi(900, 300, num_edges=5000)
    return el.EdgeLinear.from_topology(topology, **options)


def test_values_colour_the_edges():
    layer = el.EdgeLinear(3, 2, [(0, 0), (2, 0), (1, 1)], weight=[9.0, 9.0, 9.0])
    figure = plot.bipartite(layer, values=torch.tensor([0.5, -2.0, 1.0], requires_grad=True))
    lines = figure.axes[0].collections[0]
    assert lines.get_array().tolist() == [0.5, 1.0, -2.0]
    assert (lines.norm.vmin, lines.norm.vmax) == (-2.0, 2.0)
    assert figure.axes[1].get_ylabel() == "value"


def test_top_draws_the_strongest_edges_and_what_they_touch():
    layer = large(in_names=[f"s{i}" for i in range(900)], out_names=[f"t{i}" for i in range(300)])
    weight = layer.weight.detach()
    chosen = weight.abs().argsort(descending=True)[:20]
    figure = plot.bipartite(layer, top=20)
    src, dst = layer.edge_index[:, chosen]
    expected = ([f"s{i}" for i in src.unique()], [f"t{i}" for i in dst.unique()])
    assert sides(figure) == expected
    lines = figure.axes[0].collections[0]
    assert np.abs(lines.get_array()).tolist() == weight[chosen].abs().double().sort()[0].tolist()
    heights = {}
    for names, nodes, axes in zip(
        expected, (src, dst), (figure.axes[0], figure.axes[0].child_axes[0]), strict=True
    ):
        at = dict(zip(names, axes.get_yticks(), strict=True))
        kind = names[0][0]
        heights[kind] = [at[f"{kind}{node}"] for node in nodes.tolist()]
    found = sorted((line[0, 1], line[1, 1]) for line in lines.get_segments())
    assert np.allclose(found, sorted(zip(heights["s"], heights["t"], strict=True)))
    left = 900 - len(expected[0]), 300 - len(expected[1])
    note = figure.axes[0].get_xlabel()
    assert note == f"the 20 strongest edges; left out: {left[0]} sources and {left[1]} targets"


def test_top_is_of_the_values_where_there_are_some():
    layer = large()
    values = np.zeros(5000)
    values[[7, 4000]] = 1.0, -3.0
    figure = plot.bipartite(layer, values=values, top=2)
    assert figure.axes[0].collections[0].get_array().tolist() == [1.0, -3.0]
    src, dst = layer.edge_index[:, [7, 4000]]
    assert sides(figure) == ([*map(str, src.unique().tolist())], [*map(str, dst.unique().tolist())])


def test_more_than_all_edges_are_all_of_them():
    layer = el.EdgeLinear(3, 2, [(0, 0), (2, 0)])
    figure = plot.bipartite(layer, top=9)
    assert figure.axes[0].get_xlabel() == "all edges; left out: 1 sources and 1 targets"
    assert sides(figure) == (["0", "2"], ["0"])


def test_names_given_are_those_of_all_nodes():
    layer = el.EdgeLinear(3, 2, [(0, 0), (2, 1)], weight=[1.0, 2.0])
    assert sides(plot.bipartite(layer, top=1, in_names="abc", out_names="yz")) == (["c"], ["z"])
    with pytest.raises(ValueError, match="`in_names` must hold 3 names, got 1"):
        plot.bipartite(layer, top=1, in_names="c")


def test_no_edges_and_zeros_are_drawn():
    plot.bipartite(el.EdgeLinear(3, 2, []), top=4).draw_without_rendering()
    plot.bipartite(el.EdgeLinear(3, 2, []), values=[]).draw_without_rendering()
    zeros = plot.bipartite(el.EdgeLinear(2, 1, [(0, 0), (1, 0)]), values=[0, 0], top=1)
    assert sides(zeros) == (["0"], ["0"])


def test_what_cannot_be_read_is_refused():
    layer = large()
    with pytest.raises(ValueError, match="got 900 and 5000: use .*matrix`, or pass `top`"):
        plot.bipartite(layer)
    with pytest.raises(
        ValueError, match="at most 60 nodes a side .* and 500: pass a smaller `top`"
    ):
        plot.bipartite(layer, top=500)
    with pytest.raises(ValueError, match="from 1 to 600, .* got 0"):
        plot.bipartite(layer, top=0)
    with pytest.raises(TypeError, match="`top` must be an integer, got True"):
        plot.bipartite(layer, top=True)


def test_values_are_one_finite_number_an_edge():
    layer = el.EdgeLinear(3, 2, [(0, 0), (2, 0)], weight=[np.nan, 1.0])
    with pytest.raises(ValueError, match=r"each of the 2 edges, got shape \(3,\)"):
        plot.bipartite(layer, values=[1, 2, 3])
    with pytest.raises(ValueError, match="`values` must be finite to be drawn, got inf for edge 1"):
        plot.bipartite(layer, values=[1, np.inf])
    with pytest.raises(ValueError, match="`weight` must be finite to be drawn, got nan for edge 0"):
        plot.bipartite(layer)
    plot.bipartite(layer, values=[1, 2])
