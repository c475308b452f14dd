"""Facts about pictures of networks: what is counted, drawn and named, not pixels."""

import warnings

import numpy as np
import pytest
import torch

import edgelinear as el

matplotlib = pytest.importorskip("matplotlib")
from edgelinear import plot  # noqa: E402
from edgelinear.plot._folding import fold  # noqa: E402
from edgelinear.plot._layers import layers_in  # noqa: E402
from edgelinear.plot._stack import stack_of  # noqa: E402

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


def lines(figure, label):
    (found,) = (c for c in figure.axes[0].collections if c.get_label() == label)
    return found


def boxes(figure):
    """Return the texts of boxes, column by column, from the top."""
    axes = figure.axes[0]
    (tracks, _) = axes.containers
    found = {}
    for box, text in zip(tracks, axes.texts[-len(tracks) :], strict=True):
        assert text.get_position()[1] == pytest.approx(box.get_y() + box.get_height() / 2)
        found.setdefault(box.get_x(), []).append((box.get_y(), text.get_text()))
    return [[text for _, text in sorted(found[x])] for x in sorted(found)]


def bars(figure):
    """Return the length of each bar over that of its box, by its text."""
    axes = figure.axes[0]
    tracks, scores = axes.containers
    texts = [text.get_text() for text in axes.texts[-len(tracks) :]]
    parts = [bar.get_width() / box.get_width() for bar, box in zip(scores, tracks, strict=True)]
    return dict(zip(texts, parts, strict=True))


def note(figure):
    """Return the text below the picture, in one line."""
    texts = [" ".join(text.get_text().split()) for text in figure.axes[0].texts]
    return next(text for text in texts if "Bars: sum" in text)


def assert_readable(figure):
    """Hold texts to their boxes, boxes to their places, and everything to the page."""
    figure.draw_without_rendering()
    drawn, page = figure.get_tightbbox(), figure.bbox_inches.padded(1e-6)
    assert drawn.x0 >= page.x0 and drawn.x1 <= page.x1
    assert drawn.y0 >= page.y0 and drawn.y1 <= page.y1
    axes = figure.axes[0]
    tracks = [box.get_window_extent() for box in axes.containers[0]]
    texts = [text.get_window_extent() for text in axes.texts]
    for box, text in zip(tracks, texts[len(texts) - len(tracks) :], strict=True):
        if text.width:
            assert box.x0 < text.x0 and text.x1 < box.x1
    every = [*tracks, *texts[: len(texts) - len(tracks)]]
    every += [scale.get_tightbbox() for scale in figure.axes[1:]]  # with its numbers and label
    for i, box in enumerate(every):
        assert not any(box.overlaps(other) for other in every[i + 1 :] if other.width)


WIDTHS = ("p", 400), ("q", 60), ("r", 20), ("s", 3)


def stack(widths=(400, 60, 20, 3), edges=(900, 200, 40), scale=(1.0, 10.0, 0.1), named=True):
    random = torch.Generator().manual_seed(0)
    names = [[f"{'pqrs'[i]}{node}" for node in range(width)] for i, width in enumerate(widths)]
    layers = []
    for i, number in enumerate(edges):
        topology = el.generators.erdos_renyi(
            widths[i], widths[i + 1], num_edges=number, generator=random
        )
        sides = {"in_names": names[i], "out_names": names[i + 1]} if named else {}
        weight = scale[i] * torch.randn(number, generator=random)
        layers.append(el.EdgeLinear.from_topology(topology, weight=weight, **sides))
    return layers


def ends_of(layers):
    """Return the sources, targets, weights and columns of targets of all edges, as the names."""
    rows = []
    for i, layer in enumerate(layers):
        for (s, t), weight in zip(layer.edge_index.T.tolist(), layer.weight.tolist(), strict=True):
            rows.append((f"{'pqrs'[i]}{s}", f"{'pqrs'[i + 1]}{t}", weight, i))
    return rows


def test_small_network_is_shown_whole_in_its_weights():
    net = small()
    figure = plot.network(net)
    assert sorted(lines(figure, "strongest").get_array().tolist()) == sorted(net.weight.tolist())
    assert len(lines(figure, "others").get_segments()) == 0
    assert {*boxes(figure)[0]} == {"in a", "in b"} and boxes(figure)[1:] == [
        ["hidden"], ["also"], ["out"]
    ]  # fmt: skip
    assert figure.axes[1].get_ylabel() == "weight"
    assert [text.get_text() for text in figure.axes[0].texts[:4]] == [
        "level 0", "level 1", "level 2", "level 3"
    ]  # fmt: skip


def test_every_edge_leads_from_the_box_of_its_source_to_that_of_its_target():
    net = small()
    axes = plot.network(net).axes[0]
    at = {
        text.get_text(): (box.get_x(), box.get_x() + box.get_width(), text.get_position()[1])
        for box, text in zip(axes.containers[0], axes.texts[-5:], strict=True)
    }
    found = []
    collection = lines(axes.figure, "strongest")
    for line, weight in zip(collection.get_segments(), collection.get_array(), strict=True):
        found.append((*line[0], *line[-1], weight))
    expected = []
    for (s, t), weight in zip(EDGES, net.weight.tolist(), strict=True):
        source, target = at[NAMES[s]], at[NAMES[t]]
        expected.append((source[1], source[2], target[0], target[2], weight))
    assert np.allclose(sorted(found), sorted(expected))


def test_edges_that_skip_levels_pass_between_the_boxes():
    net = el.EdgeNetwork(
        8, [(0, 2), (1, 2), (2, 3), (2, 4), (3, 5), (4, 5), (0, 5), (1, 5), (0, 6), (5, 7), (2, 7)],
        [0, 1], [7],
    )  # fmt: skip
    for top in (4, 30):
        assert_lines_pass_between_boxes(plot.network(net, top=top))


def assert_lines_pass_between_boxes(figure):
    axes = figure.axes[0]
    every = [*lines(figure, "strongest").get_segments(), *lines(figure, "others").get_segments()]
    for line in every:
        for box in axes.containers[0]:
            x0, x1 = box.get_x(), box.get_x() + box.get_width()
            if line[0, 0] < x0 and x1 < line[-1, 0]:  # a column that it passes
                y = np.interp([x0, (x0 + x1) / 2, x1], *line.T)
                low, high = box.get_y(), box.get_y() + box.get_height()
                assert (y < low).all() or (y > high).all()


def test_edge_passes_a_column_where_a_straight_line_would():
    # From the first of three inputs to the last of three outputs, past one box and another.
    edges = [(0, 3), (1, 3), (2, 3), (3, 4), (4, 5), (4, 6), (4, 7), (0, 7)]
    weight = [1.0, 0.5, 0.4, 1.0, 1.0, 0.8, 0.4, 0.3]
    figure = plot.network(el.EdgeNetwork(8, edges, [0, 1, 2], [5, 6, 7], weight=weight))
    assert boxes(figure) == [["0", "1", "2"], ["3"], ["4"], ["5", "6", "7"]]
    (line,) = [one for one in lines(figure, "strongest").get_segments() if len(one) > 60]
    for box, side in zip(figure.axes[0].containers[0][3:5], (-1, 1), strict=True):
        middle = box.get_x() + box.get_width() / 2, box.get_y() + box.get_height() / 2
        assert np.sign(np.interp(middle[0], *line.T) - middle[1]) == side


def test_other_edges_that_skip_levels_are_counted():
    net = el.EdgeNetwork(4, [(0, 1), (1, 2), (2, 3), (0, 3)], [0], [3], weight=[3.0, 2.0, 4.0, 1.0])
    figure = plot.network(net, top=3)
    assert len(lines(figure, "others").get_segments()) == 0
    assert "3 in all; left out: 1 that skip columns. Bars" in note(figure)
    net = large()
    figure = plot.network(net, top=60)
    src, dst = net.level.numpy()[net.edge_index.numpy()]
    folded = fold(stack_of(layers_in(net), None), 60)
    rest = np.setdiff1d(np.arange(net.num_edges), folded.edges)
    skipping = int((dst - src > 1)[rest].sum())
    assert f"in grey the other {rest.size - skipping:,}, added" in note(figure)
    assert f"left out: {skipping:,} that skip columns" in note(figure)
    near = np.abs(net.weight.detach().double().numpy())[rest][(dst - src == 1)[rest]].sum()
    assert folded.total.sum() == pytest.approx(near)
    assert_lines_pass_between_boxes(figure)


def test_strong_edges_are_wide():
    figure = plot.network(small())
    collection = lines(figure, "strongest")
    strength = np.abs(collection.get_array())
    assert (np.diff(strength) >= 0).all()  # strong ones last, on top
    assert (np.diff(collection.get_linewidths())[np.diff(strength) > 0] > 0).all()
    assert collection.norm.vmin == -3.0 and collection.norm.vmax == 3.0


def test_as_many_edges_lead_into_each_column_the_strongest_of_it():
    layers = stack()
    figure = plot.network(layers, top=12)
    edges = ends_of(layers)
    expected, left = {}, {}
    for i in range(3):
        ranked = sorted((e for e in edges if e[3] == i), key=lambda e: -abs(e[2]))
        expected[i] = {name for e in ranked[:4] for name in e[:2]}
        left[i] = len(layers[i].weight) - 4
    shown = set().union(*expected.values())
    found = [{*column} for column in boxes(figure)]
    names = [{f"{kind}{i}" for i in range(n)} for kind, n in WIDTHS]
    for column, possible in zip(found, names, strict=True):
        untouched = possible - shown
        folded = {f"{len(untouched)} others"} if len(untouched) > 1 else untouched
        assert column == (shown & possible) | folded
    assert len(lines(figure, "strongest").get_segments()) == 12
    assert f"12 in all; in grey the other {sum(left.values()):,}" in note(figure)


def test_colours_of_several_columns_are_parts_of_the_largest_in_each():
    layers = stack()
    figure = plot.network(layers, top=12)
    expected = []
    for layer in layers:
        four = sorted(layer.weight.tolist(), key=abs)[-4:]
        expected += [weight / abs(four[-1]) for weight in four]
    found = lines(figure, "strongest").get_array().tolist()
    assert sorted(found) == pytest.approx(sorted(expected))
    said = figure.axes[1].get_ylabel().replace("\n", " ")
    assert said == "weight, over the largest in the column"
    largest = [float(layer.weight.abs().max()) for layer in layers]
    assert [text.get_text() for text in figure.axes[0].texts[:4]] == [
        "inputs", *(f"layer {i}\nlargest {value:.2g}" for i, value in enumerate(largest))
    ]  # fmt: skip


def test_colours_and_widths_of_a_network_are_of_one_scale():
    net = large()
    figure = plot.network(net, top=60)
    collection = lines(figure, "strongest")
    found = collection.get_array()
    bound = float(net.weight.abs().max())
    assert {*found.tolist()} <= {*net.weight.tolist()} and collection.norm.vmax == bound
    assert np.allclose(collection.get_linewidths(), 0.7 + 3.3 * np.abs(found) / bound)
    assert figure.axes[1].get_ylabel() == "weight"


def test_bands_are_as_wide_as_lines_of_their_sum():
    edges = [(0, 0), (1, 0), (2, 1), (3, 1), (4, 1)]
    layer = el.EdgeLinear(5, 2, edges, weight=[10.0, 9.0, 8.0, 1e-6, 8.0])
    figure = plot.network(layer, top=3)
    assert lines(figure, "strongest").get_linewidths()[-1] == 4.0  # whose weight is 10
    widths = lines(figure, "others").get_linewidths()
    assert [*widths] == pytest.approx([0.7 + 3.3 * 8.000001 / 10])
    layer = el.EdgeLinear(9, 1, [(i, 0) for i in range(9)], weight=[1.0, *[0.9] * 8])
    assert lines(plot.network(layer, top=1), "others").get_linewidths().tolist() == [8.0]


def test_columns_are_ranked_by_the_sum_of_all_edges_and_bars_are_as_long():
    layers = stack()
    figure = plot.network(layers, top=12)
    score = {}
    for s, t, weight, i in ends_of(layers):
        score[t] = score.get(t, 0.0) + abs(weight)
        if i == 0:
            score[s] = score.get(s, 0.0) + abs(weight)
    found = bars(figure)
    for column in boxes(figure):
        named = [text for text in column if "others" not in text]
        assert named == sorted(named, key=lambda name: -score[name])
        largest = max(score[name] for name in named)
        for name in named:
            assert found[name] == pytest.approx(score[name] / largest)
        if named != column:
            assert column[-1].endswith("others") and found[column[-1]] == 0


def test_bands_hold_all_edges_but_the_strongest():
    layers = stack()
    folded = fold(stack_of(layers_in(layers), None), 12)
    edges = ends_of(layers)
    total = sum(abs(weight) for *_, weight, _ in edges)
    drawn = {*folded.edges.tolist()}
    assert len(drawn) == 12
    strong = sum(abs(edges[e][2]) for e in drawn)
    assert folded.total.sum() + strong == pytest.approx(total)
    label = {}
    for row, (node, column) in enumerate(zip(folded.node, folded.column, strict=True)):
        offset = [0, 400, 460, 480][column]
        label[row] = f"{'pqrs'[column]}{node - offset}" if node >= 0 else f"others {column}"
    expected = {}
    shown = {*label.values()}
    for e, (s, t, weight, i) in enumerate(edges):
        if e not in drawn:
            pair = s if s in shown else f"others {i}", t if t in shown else f"others {i + 1}"
            expected[pair] = expected.get(pair, 0.0) + abs(weight)
    found = {
        (label[a], label[b]): total
        for (a, b), total in zip(folded.bands.T, folded.total, strict=True)
    }
    assert found == pytest.approx(expected)


def test_scores_take_the_place_of_weights():
    layers = stack()
    scores = [torch.zeros(layer.num_edges) for layer in layers]
    for given, edge in zip(scores, (5, 6, 7), strict=True):
        given[edge] = -2.0
    figure = plot.network(layers, scores=scores, top=3)
    ends = [
        layer.edge_index[:, edge].tolist() for layer, edge in zip(layers, (5, 6, 7), strict=True)
    ]
    expected = {f"{'pqrs'[i + side]}{ends[i][side]}" for i in range(3) for side in (0, 1)}
    assert {text for column in boxes(figure) for text in column if "others" not in text} == expected
    assert lines(figure, "strongest").get_array().tolist() == [-1.0] * 3
    said = figure.axes[1].get_ylabel().replace("\n", " ")
    assert said == "score, over the largest in the column"


def test_one_layer_and_one_network_take_an_array_of_scores():
    layer = el.EdgeLinear(3, 2, [(0, 0), (1, 1), (2, 1)])
    for given in ([1.0, 2.0, 3.0], np.array([1, 2, 3]), [torch.tensor([1.0, 2.0, 3.0])]):
        for model in (layer, [layer], torch.nn.Sequential(layer)):
            figure = plot.network(model, scores=given)
            assert lines(figure, "strongest").get_array().tolist() == [1.0, 2.0, 3.0]
            assert figure.axes[1].get_ylabel() == "score"
    for given in (range(6), (torch.arange(6),)):
        figure = plot.network(small(), scores=given)
        assert lines(figure, "strongest").get_array().tolist() == [0, 1, 2, 3, 4, 5]


def test_layers_of_a_module_are_those_of_a_list():
    first, second = stack((6, 5, 4), (9, 8), named=False)
    model = torch.nn.Sequential(first, torch.nn.Tanh(), second)
    headings = [text.get_text() for text in plot.network(model).axes[0].texts[:3]]
    assert headings == ["inputs", "layer 0", "layer 2"]
    found, expected = (
        lines(plot.network(kind), "strongest").get_array().tolist()
        for kind in (model, [first, second])
    )
    assert found == expected
    twice = torch.nn.Sequential(el.EdgeLinear(2, 2, [(0, 1), (1, 0)]))
    twice.append(twice[0])
    assert len(lines(plot.network(twice), "strongest").get_segments()) == 4


def test_names_come_from_either_side_or_are_numbers():
    first = el.EdgeLinear(2, 2, [(0, 0), (1, 1)], out_names=["h", "i"])
    second = el.EdgeLinear(2, 1, [(0, 0), (1, 0)])
    assert boxes(plot.network([first, second])) == [["0", "1"], ["h", "i"], ["0"]]
    first.out_names, second.in_names = None, ["other", "names"]
    assert boxes(plot.network([first, second]))[1] == ["other", "names"]


def test_pictures_without_names_count_others_all_the_same():
    figure = plot.network(stack(), top=12, names=False)
    texts = {text for column in boxes(figure) for text in column}
    assert all(text == "" or text.endswith("others") for text in texts)
    assert_readable(figure)


def test_nodes_without_edges_are_folded_where_there_are_many():
    layer = el.EdgeLinear(5000, 2, [(7, 1), (9, 0)], weight=[1.0, 2.0])
    assert boxes(plot.network(layer))[0] == ["9", "7", "4,998 others"]


def test_a_single_node_that_is_left_has_its_name():
    layer = el.EdgeLinear(3, 2, [(0, 0), (1, 1), (2, 1)], weight=[3.0, 2.0, 1.0])
    assert boxes(plot.network(layer, top=2)) == [["0", "1", "2"], ["0", "1"]]


def test_edges_of_zero_are_drawn_last():
    layer = el.EdgeLinear(4, 2, [(0, 0), (1, 0), (2, 1), (3, 1)], weight=[0.0, 0.0, 0.0, 2.0])
    assert lines(plot.network([layer], top=1), "strongest").get_array().tolist() == [2.0]
    nothing = el.EdgeLinear(4, 2, [(0, 0), (1, 0), (2, 1), (3, 1)], weight=[0.0] * 4)
    assert lines(plot.network(nothing, top=2), "strongest").get_array().tolist() == [0.0, 0.0]


def test_parallel_edges_are_drawn_each():
    layer = el.EdgeLinear(1, 1, [(0, 0), (0, 0)], duplicates="keep", weight=[1.0, -2.0])
    assert lines(plot.network(layer), "strongest").get_array().tolist() == [1.0, -2.0]


@pytest.mark.parametrize(
    "name", ["{}", "W{}" * 16, "{}" + "W" * 199, "$\\no{}$", "a\nb {}", "\U0001f9ec {}"]
)
def test_names_of_every_kind_stay_in_their_boxes(name):
    names = [name.replace("{}", str(i)) for i in range(9)]
    edges = [(i, (2 * i) % 9) for i in range(9)]
    layers = [el.EdgeLinear(9, 9, edges, in_names=names, out_names=names) for _ in range(2)]
    for top in (3, 9):
        figure = plot.network(layers, top=top)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a font without the glyph
            assert_readable(figure)


def test_large_pictures_stay_readable():
    for model, top in ((stack(), 12), (stack(), 200), (large(), 60), (large(), 600)):
        assert_readable(plot.network(model, top=top))


@pytest.mark.parametrize("font", ["DejaVu Sans", "DejaVu Sans Mono"])
@pytest.mark.parametrize("dpi", [72, 80, 96, 100, 200])
def test_texts_have_room_in_wide_fonts_and_few_dots(font, dpi):
    skipping = el.EdgeNetwork(
        5, [(0, 1), (1, 2), (2, 3), (0, 3), (0, 4), (3, 4)], [0], [4],
        weight=[1.0, 1.0, 1.0, 0.9, 1.0, 1.0],
    )  # fmt: skip
    few = [torch.nn.Sequential(*stack((3, 3, 3), (4, 4), named=False)), skipping, large()]
    with matplotlib.rc_context({"font.family": font, "figure.dpi": dpi}):
        for model, top in [(few[0], 3), (skipping, 4), (few[2], 60), (stack(), 30)]:
            assert_readable(plot.network(model, top=top))


def test_levels_show_the_edges_between_them():
    net = large()
    top, axes, *_ = plot.levels(net).axes
    level = net.level.numpy()
    expected = np.zeros((net.num_levels, net.num_levels), int)
    for s, t in net.edge_index.T.tolist():
        expected[level[t], level[s]] += 1
    assert np.array_equal(axes.images[0].get_array().filled(0), expected)
    skips = sum(int(level[t] - level[s] > 1) for s, t in net.edge_index.T.tolist())
    assert axes.get_title() == f"edges between levels: {skips:,} skip some"
    kinds = {"all": range(net.num_nodes), "inputs": net.inputs, "outputs": net.outputs}
    for bars in top.containers:
        nodes = kinds.pop(bars.get_label())
        assert [bar.get_y() for bar in bars] == [0] * net.num_levels  # none on another
        heights = [bar.get_height() for bar in bars]
        assert heights == np.bincount(level[nodes], minlength=net.num_levels).tolist()
    assert not kinds


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


def test_weak_weights_of_a_recurrent_network_have_a_colour():
    ends = np.unique(np.random.default_rng(0).integers(0, 60, (2, 300)), axis=1)
    weight = np.full(ends.shape[1], 0.5)
    weight[7] = 100.0
    figure = plot.network(el.EdgeRNN(60, ends, [50], [1], weight=weight))
    (image,) = figure.axes[0].images
    shown = image.to_rgba(image.get_array())[~np.ma.getmaskarray(image.get_array())]
    assert (shown[:, :3].mean(1) < 0.8).all()
    said = "weight; beyond 0.5, up to 1e+02, in the last colour"
    assert image.norm.vmax == 0.5 and figure.axes[1].get_ylabel() == said
    weight[7] = 0.001
    figure = plot.network(el.EdgeRNN(60, ends, [50], [1], weight=weight))
    (image,) = figure.axes[0].images
    shown = image.to_rgba(image.get_array())[~np.ma.getmaskarray(image.get_array())]
    assert (shown[:, :3].mean(1) < 0.8).all() and figure.axes[1].get_ylabel() == "weight"


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


def test_nodes_without_names_have_their_numbers_in_the_order_of_reach():
    axes = plot.network(el.EdgeRNN(3, [(2, 0), (0, 1), (1, 0)], [2], [1])).axes[0]
    for axis in (axes.xaxis, axes.yaxis):
        assert [label.get_text() for label in axis.get_ticklabels()] == ["2", "0", "1"]
    axes = plot.network(el.EdgeRNN(3, [(2, 0), (0, 1)], [2], [1]), names=False).axes[0]
    assert len(axes.get_xticks()) == len(axes.get_yticks()) == 0


@pytest.mark.parametrize(
    "net",
    [
        el.EdgeNetwork(1, [], [0], [0]),
        el.EdgeNetwork(3, [], [0], [2]),
        el.EdgeNetwork(300, [(0, 299)], [0], [299]),
        el.EdgeRNN(1, [], [0], [0]),
        el.EdgeRNN(300, [(0, 0)], [0], [0]),
        el.EdgeLinear(0, 0, []),
        el.EdgeLinear(3, 0, []),
        el.EdgeLinear(3, 2, []),
        el.EdgeLinear(1, 1, [(0, 0)]),
        [el.EdgeLinear(3, 2, []), el.EdgeLinear(2, 900, [(0, 7)])],
    ],
    ids=[
        "one node", "no edges", "one edge", "one node in turn", "one loop", "nothing",
        "no targets", "no edges in a layer", "an edge in a layer", "an empty one",
    ],
)  # fmt: skip
def test_odd_networks_can_be_drawn(net, tmp_path):
    plot.network(net).savefig(tmp_path / "network.png")
    assert (tmp_path / "network.png").stat().st_size > 1000


def test_a_long_chain_has_levels_and_no_columns(tmp_path):
    net = el.EdgeNetwork(60, [(i, i + 1) for i in range(59)], [0], [59])
    plot.levels(net).savefig(tmp_path / "levels.png")
    with pytest.raises(ValueError, match="at most 32 columns .* got 60: use `plot.levels`"):
        plot.network(net)


def test_layers_must_follow_one_another():
    first, second, third = stack()
    with pytest.raises(ValueError, match="layer 0 gives 60 values, and layer 1 takes 20"):
        plot.network([first, third])
    with pytest.raises(ValueError, match="first gives 60 values, and blocks.0 takes 20"):
        model = torch.nn.ModuleDict({"first": first, "blocks": torch.nn.ModuleList([third])})
        plot.network(model)


def test_names_of_both_sides_must_agree():
    first = el.EdgeLinear(2, 3, [(0, 0), (1, 1)], out_names=["a", "b", "c"])
    second = el.EdgeLinear(3, 1, [(0, 0), (1, 0)], in_names=["a", "c", "b"])
    said = "output 1 of layer 0 is 'b', and input 1 of layer 1 is 'c'"
    with pytest.raises(ValueError, match=said):
        plot.network([first, second])


def test_nothing_else_may_mix_features_between_layers():
    first, second = el.EdgeLinear(3, 2, [(0, 0), (1, 1)]), el.EdgeLinear(2, 1, [(0, 0), (1, 0)])
    between = {
        "Linear": torch.nn.Linear(2, 2),
        "GRU": torch.nn.Sequential(torch.nn.GRU(2, 2)),
        "EdgeNetwork": el.EdgeNetwork(4, [(0, 2), (1, 3)], [0, 1], [2, 3]),
        "EdgeRNN": el.EdgeRNN(2, [(0, 1), (1, 0)], [0, 1], [0, 1]),
    }
    for kind, module in between.items():
        with pytest.raises(ValueError, match=f"EdgeLinears alone, .* got {kind} at '1"):
            plot.network(torch.nn.Sequential(first, module, second))
    with pytest.raises(ValueError, match="got EdgeNetwork at '1'"):
        plot.network(torch.nn.Sequential(first, between["EdgeNetwork"]))
    model = torch.nn.Sequential(
        torch.nn.Linear(3, 3), first, torch.nn.BatchNorm1d(2), second, torch.nn.Linear(1, 1)
    )
    assert [*map(len, boxes(plot.network(model)))] == [3, 2, 1]


@pytest.mark.parametrize("wrap", [torch.nn.Sequential, torch.compile])
def test_a_network_in_a_module_is_that_network(wrap):
    assert boxes(plot.network(wrap(small()))) == boxes(plot.network(small()))
    loop = el.EdgeRNN(2, [(0, 1), (1, 0)], [0], [1])
    assert plot.network(wrap(loop)).axes[0].get_ylabel() == "target"


def test_layers_of_a_compiled_model_are_called_as_in_the_model():
    model = torch.compile(torch.nn.Sequential(*stack((6, 5, 4), (9, 8), named=False)))
    headings = [text.get_text() for text in plot.network(model).axes[0].texts[:3]]
    assert headings == ["inputs", "layer 0", "layer 1"]


def test_a_layer_of_two_names_is_there_once():
    first, second = stack((6, 5, 4), (9, 8), named=False)
    model = torch.nn.Module()
    model.layers = torch.nn.ModuleList([first, second])
    model.readout = model.layers[1]
    model.body = torch.nn.Sequential(first, torch.nn.Tanh(), second)
    assert [*map(len, boxes(plot.network(model)))] == [6, 5, 4]
    block = torch.nn.Sequential(el.EdgeLinear(2, 2, [(0, 1), (1, 0)]), torch.nn.Tanh())
    assert len(boxes(plot.network(torch.nn.Sequential(block, block)))) == 3


def test_scores_are_one_finite_number_an_edge():
    layers = stack()
    right = [torch.zeros(layer.num_edges) for layer in layers]
    for scores, error, message in (
        (right[:2], ValueError, "each of the 3 layers, got 2"),
        (right[0], TypeError, "each of the 3 layers, got Tensor"),
        ([right[0], right[0], right[2]], ValueError, r"`scores\[1\]` must hold one number for each "
         r"of the 200 edges, got shape \(900,\)"),
        ([*right[:2], np.full(40, np.nan)], ValueError, r"`scores\[2\]` must be finite"),
        ([*right[:2], ["a"] * 40], TypeError, r"`scores\[2\]` must hold numbers"),
    ):  # fmt: skip
        with pytest.raises(error, match=message):
            plot.network(layers, scores=scores)
    with pytest.raises(ValueError, match="`scores` must hold one number for each of the 6 edges"):
        plot.network(small(), scores=[1.0])
    with pytest.raises(TypeError, match="`scores` must be real to be drawn, got torch.complex"):
        plot.network(small(), scores=np.full(6, 1j))


def test_weights_that_are_not_finite_are_refused():
    net, layers = small(), stack()
    with torch.no_grad():
        net.weight[3] = np.nan
        layers[1].weight[5] = np.inf
    with pytest.raises(ValueError, match="`weight` must be finite to be drawn, got nan for edge 3"):
        plot.network(net)
    with pytest.raises(ValueError, match="`weight` of layer 1 must be finite .* inf for edge 5"):
        plot.network(layers)
    loop = el.EdgeRNN(2, [(0, 1), (1, 0)], [0], [1], weight=[np.nan, 1.0])
    with pytest.raises(ValueError, match="`weight` must be finite to be drawn, got nan for edge 0"):
        plot.network(loop)
    with pytest.raises(ValueError, match="`weight` must have values .* meta"):
        plot.network(small().to("meta"))
    plot.network(net, scores=range(6))


@pytest.mark.parametrize("options", [{"scores": [1.0, 2.0]}, {"top": 30}])
def test_recurrent_networks_take_no_options_of_columns(options):
    loop = el.EdgeRNN(2, [(0, 1), (1, 0)], [0], [1])
    with pytest.raises(ValueError, match="takes neither `scores` nor `top`: leave them out"):
        plot.network(loop, **options)


@pytest.mark.parametrize("top", [0, 601])
def test_top_is_a_number_that_can_be_told_apart(top):
    with pytest.raises(ValueError, match=f"from 1 to 600, .* got {top}"):
        plot.network(small(), top=top)
    with pytest.raises(TypeError, match="`top` must be an integer"):
        plot.network(small(), top=2.5)
    with pytest.raises(TypeError, match="`names` must be True or False, got 'a'"):
        plot.network(small(), names="a")


def test_a_page_of_boxes_without_end_is_refused():
    topology = el.generators.erdos_renyi(2000, 2000, num_edges=4000)
    layer = el.EdgeLinear.from_topology(topology)
    with pytest.raises(ValueError, match="at most 200 boxes .* pass a smaller `top` than 600"):
        plot.network(layer, top=600)
    plot.network(layer, top=190)


def test_what_has_no_layers_is_refused():
    with pytest.raises(TypeError, match="or a module that holds some, got int"):
        plot.network(5)
    with pytest.raises(TypeError, match="EdgeLinears alone where it is a list, got Linear at pos"):
        plot.network([el.EdgeLinear(2, 1, [(0, 0)]), torch.nn.Linear(1, 1)])
    with pytest.raises(ValueError, match="at least one EdgeLinear, got an empty list"):
        plot.network([])
    with pytest.raises(ValueError, match="EdgeLinear, or a network, got a Sequential without"):
        plot.network(torch.nn.Sequential(torch.nn.Linear(2, 2)))
    with pytest.raises(TypeError, match="`net` must be an EdgeNetwork.* got EdgeRNN"):
        plot.levels(el.EdgeRNN(1, [], [0], [0]))
    with pytest.raises(TypeError, match="got EdgeNetwork: use `plot.network`"):
        plot.bipartite(small())
