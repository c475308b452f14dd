"""Facts about the figures: what is counted, drawn and named, not pixels."""

import struct
import sys
from dataclasses import replace
from operator import attrgetter

import numpy as np
import pytest
import torch

from edgelinear import ControlsReport, EdgeLinear, EdgeNetwork, EdgeRNN, Topology, generators
from edgelinear.comparison import Comparison, Row
from edgelinear.dynamic import Update

pytest.importorskip("matplotlib")
from matplotlib import style  # noqa: E402
from matplotlib.collections import LineCollection, PathCollection  # noqa: E402
from matplotlib.colors import to_hex, to_rgb  # noqa: E402

from edgelinear import plot  # noqa: E402


def skewed() -> Topology:
    random = np.random.default_rng(0)
    src = (1000 * random.random(5000) ** 4).astype(int)
    dst = (700 * random.random(5000) ** 2).astype(int)
    return Topology(1000, 700, np.stack([src, dst]), duplicates="keep")


@pytest.mark.parametrize("cells", [1, 7, 256])
def test_block_counts_add_up_to_the_edges(cells):
    topology = skewed()
    counts = plot.block_counts(topology, cells)
    assert counts.shape == (cells, cells) and counts.sum() == topology.num_edges


def test_block_counts_of_a_small_wiring_are_its_matrix():
    layer = EdgeLinear(5, 3, [(0, 2), (4, 0), (1, 1)], weight=[1.0, 1.0, 1.0])
    assert np.array_equal(plot.block_counts(layer.topology), layer.to_dense().detach().numpy())


def test_matrix_shows_every_edge_targets_down():
    figure = plot.matrix(Topology(5, 3, [(0, 2), (4, 0), (1, 1)]))
    axes = figure.axes[0]
    image = axes.images[0].get_array()
    assert image.shape == (3, 5) and image.sum() == 3 and image[2, 0] == 1
    assert axes.get_ylim() == (2.5, -0.5)  # target 0 at the top
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("source (input)", "target (output)")
    assert figure.get_suptitle() == "5 -> 3, 3 edges (20% of dense)"


def test_large_matrix_is_binned_and_loses_no_edge():
    figure = plot.matrix(skewed())
    image = figure.axes[0].images[0].get_array()
    assert image.shape == (256, 256) and image.sum() == 5000
    assert figure.axes[1].get_ylabel() == "mean fan-out (log)"
    assert figure.axes[3].get_ylabel() == "edges in a cell, of about 4 sources x 3 targets"


def test_margins_show_the_degrees():
    topology = Topology(4, 3, [(0, 0), (0, 1), (2, 1)])
    _, top, right, *_ = plot.matrix(topology).axes
    assert top.patches[0].get_data().values.tolist() == [2, 0, 1, 0]
    assert right.patches[0].get_data().values.tolist() == [1, 2, 0]


def test_margin_is_logarithmic_where_few_degrees_are_far_above_the_rest_of_those_with_edges():
    few = Topology(100, 30, [(source, 29) for source in range(30)])
    _, _, right, *_ = plot.matrix(few).axes  # fan-in: 29 targets of none, and one of 30
    assert (right.get_xscale(), right.get_xlabel()) == ("linear", "fan-in")
    hub = Topology(100, 3, [(0, 0), (1, 1), *((source, 2) for source in range(100))])
    _, _, right, *_ = plot.matrix(hub).axes
    assert (right.get_xscale(), right.get_xlabel()) == ("symlog", "fan-in (log)")


def test_matrix_writes_names_of_a_small_wiring():
    axes = plot.matrix(Topology(2, 2, [(0, 1)]), in_names=["a", "b"], out_names=["y", "z"]).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["y", "z"]


def named(size: int, length: int) -> EdgeLinear:
    topology = generators.erdos_renyi(size, size, num_edges=2 * size)
    names = [f"{i:02d}{'W' * length}"[:length] for i in range(size)]
    return EdgeLinear.from_topology(topology, in_names=names, out_names=names[::-1])


def labels(axis) -> list[str]:
    return [label.get_text() for label in axis.get_ticklabels()]


def assert_all_inside(figure):
    figure.draw_without_rendering()
    drawn, page = figure.get_tightbbox(), figure.bbox_inches  # both in inches
    assert drawn.x0 >= 0 and drawn.x1 <= page.x1, (drawn, page)
    assert drawn.y0 >= 0 and drawn.y1 <= page.y1, (drawn, page)


def test_matrix_writes_the_names_of_a_layer_unless_others_are_given():
    layer = EdgeLinear(2, 2, [(0, 1)], in_names=["a", "b"], out_names=["y", "z"])
    axes = plot.matrix(layer, in_names=["c", "d"]).axes[0]
    assert (labels(axes.xaxis), labels(axes.yaxis)) == (["c", "d"], ["y", "z"])


def test_bipartite_writes_the_names_of_a_layer_unless_others_are_given():
    layer = EdgeLinear(2, 2, [(0, 1)], in_names=["a", "b"], out_names=["y", "z"])
    axes = plot.bipartite(layer, in_names=["c", "d"]).axes[0]
    assert (labels(axes.yaxis), labels(axes.child_axes[0].yaxis)) == (["c", "d"], ["y", "z"])


@pytest.mark.parametrize("draw", [plot.matrix, plot.bipartite])
@pytest.mark.parametrize("length", [2, 5, 20, 60])
@pytest.mark.parametrize("size", [3, 12, 40])
def test_names_stay_inside_the_picture_and_apart(draw, length, size):
    figure = draw(named(size, length))
    assert_all_inside(figure)
    axes = figure.axes[0]
    for axis, low, high in ((axes.xaxis, "x0", "x1"), (axes.yaxis, "y0", "y1")):
        boxes = [label.get_window_extent() for label in axis.get_ticklabels()]
        boxes.sort(key=attrgetter(low))
        for box, following in zip(boxes, boxes[1:], strict=False):
            assert getattr(box, high) < getattr(following, low)


def test_long_names_keep_both_ends():
    layer = EdgeLinear(1, 1, [(0, 0)], in_names=["left " + "-" * 60 + " right"])
    (name,) = labels(plot.matrix(layer).axes[0].xaxis)
    assert len(name) == 32 and name.startswith("left -") and name.endswith("- right")
    assert "…" in name


def test_names_are_no_formulas():
    layer = EdgeLinear(1, 1, [(0, 0)], in_names=["$\\no$"], out_names=["a$b$"])
    for draw in (plot.matrix, plot.bipartite):
        draw(layer).draw_without_rendering()


def test_matrix_refuses_a_wrong_number_of_names():
    with pytest.raises(ValueError, match="`out_names` must hold 2 names, got 1"):
        plot.matrix(Topology(2, 2, [(0, 1)]), out_names=["y"])


def test_no_nodes_have_no_ticks():
    axes = plot.matrix(Topology(0, 3, [])).axes[0]
    assert len(axes.get_xticks()) == 0 and len(axes.get_yticks()) > 0


@pytest.mark.parametrize(
    "topology",
    [Topology(0, 0, []), Topology(3, 0, []), Topology(3, 2, []), Topology(2000, 1, [(7, 0)])],
    ids=["nothing", "no targets", "no edges", "wide"],
)
def test_odd_wirings_can_be_drawn(topology, tmp_path):
    for name, draw in (("matrix", plot.matrix), ("degrees", plot.degrees)):
        draw(topology).savefig(tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").stat().st_size > 1000


def test_bipartite_draws_each_edge_in_its_weight():
    layer = EdgeLinear(3, 2, [(0, 0), (2, 0), (1, 1)], weight=[0.5, -2.0, 1.0])
    axes = plot.bipartite(layer, in_names="abc").axes[0]
    lines = axes.collections[0]
    assert lines.get_array().tolist() == [0.5, 1.0, -2.0]  # strong ones last, on top
    assert (lines.norm.vmin, lines.norm.vmax) == (-2.0, 2.0)
    strongest = lines.get_segments()[-1]
    assert strongest[:, 0].tolist() == [0.0, 1.0]
    assert strongest[:, 1].tolist() == pytest.approx([2.5 / 3, 0.25])  # the last source, target 0
    assert labels(axes.yaxis) == ["a", "b", "c"]
    assert labels(axes.child_axes[0].yaxis) == ["0", "1"]


@pytest.mark.parametrize("shape", [(61, 3, 5), (40, 40, 601)])
def test_bipartite_refuses_a_blot(shape):
    *sizes, num_edges = shape
    layer = EdgeLinear.from_topology(generators.erdos_renyi(*sizes, num_edges=num_edges))
    with pytest.raises(ValueError, match="edgelinear.plot.matrix"):
        plot.bipartite(layer)


def test_pictures_refuse_another_kind():
    with pytest.raises(TypeError, match="got Linear"):
        plot.bipartite(torch.nn.Linear(2, 2))
    with pytest.raises(TypeError, match="got Linear"):
        plot.matrix(torch.nn.Linear(2, 2))


@pytest.mark.parametrize("topology", [Topology(4, 3, [(0, 0), (0, 1)]), skewed()])
def test_degree_bars_count_every_node_and_show_degree_zero(topology):
    for axes, degrees in zip(
        plot.degrees(topology).axes, (topology.fan_in, topology.fan_out), strict=True
    ):
        heights = [bar.get_height() for bar in axes.patches]
        assert sum(heights) == len(degrees)
        assert heights[0] == int((degrees == 0).sum())
        scale = "log" if degrees.max() > 60 else "linear"
        assert axes.get_yscale() == scale


def made_up() -> Comparison:
    rows = [
        Row("cpp", 9, 0, 0, 0, True, 1.0, 0.9, 1.2, 3.0, 2.5, 4.0, 100, 300),
        Row("nn.Linear", 9, 0, 0, 0, True, 2.0, 1.9, 2.1, 6.0, 5.0, 6.5, 0, None),
    ]
    machine = {"torch": "2", "threads": 1, "device": "cpu"}
    return Comparison(2, 3, 4, 5, "float32", machine, rows)


def test_comparison_dots_are_its_numbers():
    time, memory = plot.comparison(made_up()).axes
    assert time.get_xscale() == memory.get_xscale() == "log"
    dots = {dots.get_label(): dots.get_offsets()[:, 0].tolist() for dots in scatters(time)}
    assert dots["forward"] == [1.0] and dots["dense, forward"] == [2.0]
    assert dots["training step"] == [3.0] and dots["dense, training step"] == [6.0]
    assert labels(time.yaxis) == ["nn.Linear", "cpp"]  # the first row stands on top
    assert [text.get_text() for text in memory.texts] == ["0 B", "100 B", "-", "300 B"]


def scatters(axes) -> list:
    return [found for found in axes.collections if isinstance(found, PathCollection)]


def test_comparison_whiskers_are_the_quartiles():
    time, _ = plot.comparison(made_up()).axes
    forward, step = (found for found in time.collections if isinstance(found, LineCollection))
    assert [line[:, 0].tolist() for line in forward.get_segments()] == [[1.9, 2.1], [0.9, 1.2]]
    assert [line[:, 0].tolist() for line in step.get_segments()] == [[5.0, 6.5], [2.5, 4.0]]


def test_comparison_explains_every_colour():
    for axes in plot.comparison(made_up()).axes:
        drawn = {to_hex(dots.get_facecolor()[0]) for dots in scatters(axes)}
        explained = {to_hex(dots.get_facecolor()[0]) for dots in axes.get_legend().legend_handles}
        assert len(drawn) == 4 and drawn == explained


def test_comparison_says_what_was_not_measured():
    comparison = replace(made_up(), left_out={"triton": "no GPU", "cusparse": "no GPU"})
    assert "not measured: triton, cusparse" in plot.comparison(comparison).get_suptitle()


@pytest.mark.parametrize("number", [1, 2, 9])
def test_comparison_stays_inside_the_picture(number):
    comparison = made_up()
    comparison = replace(comparison, rows=[comparison.rows[0]] * number)
    assert_all_inside(plot.comparison(comparison))


def test_comparison_draws_curves():
    curves = {"sparse": [3.0, 2.0, 1.0], "dense": [3.0, 2.0, 1.0]}
    training = plot.comparison(made_up(), curves).axes[2]
    assert [line.get_label() for line in training.lines] == ["sparse", "dense"]
    assert training.lines[0].get_ydata().tolist() == [3.0, 2.0, 1.0]


def test_figures_leave_pyplot_alone():
    plot.matrix(Topology(2, 2, [(0, 1)]))
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []


LAYER = EdgeLinear(2, 2, [(0, 1)])
NET = EdgeNetwork(2, [(0, 1)], [0], [1])


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plot.matrix(LAYER),
        lambda: plot.bipartite(LAYER),
        lambda: plot.network(LAYER),
        lambda: plot.network(EdgeRNN(2, [(0, 1)], [0], [1])),
        lambda: plot.levels(NET),
        lambda: plot.weights([1.0], [2.0]),
        lambda: plot.degrees(LAYER),
        lambda: plot.rewiring([Update(0, "", 0, 0, 1, (0.0, 0.0, 0.5, 1.0, 1.0))]),
        lambda: plot.comparison(made_up()),
        lambda: plot.controls(made_up_controls(higher_is_better=True)),
        plot.formats,
    ],
)
def test_missing_matplotlib_names_the_extra(monkeypatch, draw):
    for name in [name for name in sys.modules if name.startswith("matplotlib.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "edgelinear.plot._shown", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'edgelinear\[plot\]'"):
        draw()


def test_a_notebook_shows_a_picture_in_any_kernel():
    figure = plot.matrix(LAYER)
    shown = pytest.importorskip("IPython.core.formatters").DisplayFormatter()
    data, _ = shown.format(figure)
    width, height = (100 * figure.get_size_inches()).astype(int)
    assert struct.unpack(">II", data["image/png"][16:24]) == (width, height)


@pytest.mark.parametrize("draw", [plot.matrix, plot.bipartite])
def test_names_of_a_series_are_read_in_their_order(draw):
    series = pytest.importorskip("pandas").Series(["a", "b", "c"], index=[2, 0, 1])
    axes = draw(EdgeLinear(3, 1, [(0, 0)]), in_names=series).axes[0]
    assert labels(axes.xaxis if draw is plot.matrix else axes.yaxis) == ["a", "b", "c"]


def test_dark_pictures_can_be_read():
    layers = [EdgeLinear.from_topology(generators.erdos_renyi(9, 9, num_edges=30))] * 2
    with style.context("dark_background"):
        figure = plot.network(layers, top=8)
        (dots, *_) = plot.bipartite(layers[0]).axes[0].lines
        lines = plot.weights([1.0], [2.0]).axes[0].lines
    axes = figure.axes[0]
    boxes = len(axes.containers[0])
    for text in axes.texts[:-boxes]:
        assert np.mean(to_rgb(text.get_color())) * text.get_alpha() > 0.5  # on black
    for text in axes.texts[-boxes:]:
        assert np.mean(to_rgb(text.get_color())) < 0.5  # on white
    assert to_hex(dots.get_color()) == "#ffffff"
    assert {to_hex(line.get_color()) for line in lines} == {"#ffffff"}


def made_up_controls(**options) -> ControlsReport:
    scores = {"real wiring": [0.9, 0.8, 0.7], "a": [0.5, 0.6, 0.7], "b_or_c": [1.0, 1.0, 0.95]}
    return ControlsReport((0, 1, 2), scores, **options)


def test_controls_are_drawn_in_pairs():
    left, right = plot.controls(made_up_controls(higher_is_better=False)).axes
    assert [line.get_ydata().tolist() for line in left.lines] == [
        [0.5, 0.9],
        [0.6, 0.8],
        [0.7, 0.7],
    ]
    assert left.get_ylabel() == "score (lower is better)"
    assert labels(right.xaxis) == ["b or c", "real wiring"]


@pytest.mark.parametrize(
    ("higher_is_better", "words"), [(True, ("better", "worse")), (False, ("worse", "better"))]
)
def test_controls_say_whether_the_real_wiring_is_better(higher_is_better, words):
    left, right = plot.controls(made_up_controls(higher_is_better=higher_is_better)).axes
    assert left.get_title().startswith(f"real wiring {words[0]} by 0.2\n(-0.517 to 0.917)")
    assert right.get_title().startswith(f"real wiring {words[1]} by 0.183\n(")


def test_several_controls_stand_below_their_titles():
    report = made_up_controls(higher_is_better=True)
    figure = plot.controls({"first": report, "second": report})
    assert [row.get_suptitle() for row in figure.subfigs] == ["first", "second"]
    assert len(figure.axes) == 4 and "Thick bars are means" in figure.get_supxlabel()
    assert_all_inside(figure)


def test_controls_stay_inside_the_picture():
    scores = {"real wiring": [0.9, 0.8], "a_rather_long_name_of_a_null_model": [0.5, 0.6]}
    assert_all_inside(plot.controls(ControlsReport((0, 1), scores, higher_is_better=True)))
