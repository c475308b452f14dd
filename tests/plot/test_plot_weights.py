"""Facts about weights before and after."""

import numpy as np
import pytest
import torch
from torch import nn

import edgelinear as el

pytest.importorskip("matplotlib")
from edgelinear import plot  # noqa: E402


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_each_edge_is_a_dot_in_the_colour_of_its_sign():
    before, after = [1.0, -2.0, 3.0, 0.0, 4.0], [1.5, 2.0, -0.5, 1.0, 0.0]
    figure = plot.weights(before, after)
    left = figure.axes[0]
    stayed, changed = (dots.get_offsets().tolist() for dots in left.collections)
    assert stayed == [[1.0, 1.5], [0.0, 1.0], [4.0, 0.0]]
    assert changed == [[-2.0, 2.0], [3.0, -0.5]]
    assert legend(left) == ["sign stayed", "sign changed"]
    assert figure.get_suptitle() == "5 edges: 40% of signs changed"
    assert left.get_xlim() == left.get_ylim() == pytest.approx((-4.2, 4.2))


def test_histograms_count_every_edge_and_those_near_zero():
    random = np.random.default_rng(0)
    before, after = random.normal(size=400), random.normal(size=400)
    after[:100] = 0.0
    right = plot.weights(before, after).axes[1]
    for patch, values in zip(right.patches, (before, after), strict=True):
        counts, edges, _ = patch.get_data()
        assert counts.sum() == 400
        assert np.array_equal(counts, np.histogram(values, edges)[0])
    near = 0.01 * np.sqrt(np.mean(np.concatenate([before, after]) ** 2))
    shares = [100 * np.mean(np.abs(values) <= near) for values in (before, after)]
    assert shares[1] >= 25
    assert legend(right) == [
        f"{name}: {share:.3g}% near zero"
        for name, share in zip(("before", "after"), shares, strict=True)
    ]
    assert f"up to {near:.2g}" in right.get_xlabel()


def test_many_edges_are_counted_in_cells():
    before, after = torch.randn(2, 20_000)
    figure = plot.weights(before, after)
    (cells,) = figure.axes[0].collections
    assert cells.get_array().sum() == 20_000
    assert figure.axes[2].get_ylabel() == "edges in a cell"
    largest = figure.axes[2].get_yticks()[-1]  # a power of 10
    assert largest <= cells.get_array().max() < 10 * largest
    share = 100 * float((before * after < 0).double().mean())
    assert figure.get_suptitle() == f"20,000 edges: {share:.3g}% of signs changed"


@pytest.mark.parametrize("kind", ["layer", "network", "recurrent"])
def test_layers_networks_and_wirings_have_weights(kind):
    edges = [(0, 1), (1, 2), (0, 2)]
    model = {
        "layer": lambda: el.EdgeLinear(3, 3, edges),
        "network": lambda: el.EdgeNetwork(3, edges, [0], [2]),
        "recurrent": lambda: el.EdgeRNN(3, edges, [0], [2]),
    }[kind]()
    before, old = model.wiring, model.weight.tolist()
    model.set_weight([1.0, -1.0, 2.0])
    for after in (model, model.wiring, model.weight, [1.0, -1.0, 2.0]):
        found = np.concatenate(
            [dots.get_offsets() for dots in plot.weights(before, after).axes[0].collections]
        )
        expected = [*zip(old, [1.0, -1.0, 2.0], strict=True)]
        assert sorted(map(tuple, found.tolist())) == sorted(expected)


def test_weights_of_other_edges_are_refused_and_follow():
    torch.manual_seed(0)
    layer = el.EdgeLinear.from_topology(el.generators.erdos_renyi(9, 9, num_edges=20))
    before = layer.wiring
    edges = el.rewire(layer, keep=torch.arange(20) < 15)
    with pytest.raises(ValueError, match="has 20 weights and `after` 15: .*EdgeMap.follow"):
        plot.weights(before, layer)
    plot.weights(edges.follow(before.weight), layer)

    other = el.EdgeLinear.from_topology(el.generators.erdos_renyi(9, 9, num_edges=20))
    with pytest.raises(ValueError, match="as many edges, and others: .*`EdgeMap.between"):
        plot.weights(before, other)
    edges = el.EdgeMap.between(before.topology, other.topology)
    plot.weights(edges.follow(before.weight), other)


def test_weights_after_training_are_those_of_the_model():
    model = nn.Sequential(el.EdgeLinear(3, 2, [(0, 0), (1, 0), (2, 1)], weight=[1.0, 1.0, 1.0]))
    before = model[0].wiring
    optimizer = torch.optim.SGD(model.parameters(), 10.0)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    figure = plot.weights(before, model[0])
    assert figure.get_suptitle() == "3 edges: 100% of signs changed"


@pytest.mark.parametrize("number", [0, 1, 9])
def test_no_edges_one_edge_and_zeros_are_drawn(number):
    figure = plot.weights(np.zeros(number), np.zeros(number))
    figure.draw_without_rendering()
    edges = "1 edge" if number == 1 else f"{number} edges"
    assert figure.get_suptitle() == f"{edges}: 0% of signs changed"
    share = "100" if number else "0"
    assert legend(figure.axes[1]) == [f"{name}: {share}% near zero" for name in ("before", "after")]


def test_weights_that_changed_with_those_of_the_layer_are_refused():
    layer = el.EdgeLinear(3, 2, [(0, 0), (1, 0), (2, 1)])
    before, kept = layer.weight.detach(), layer.weight.detach().clone()
    layer.set_weight([1.0, 2.0, 3.0])
    for after in (layer, layer.weight, before):
        with pytest.raises(ValueError, match="one in the same memory: .* `layer.wiring` or"):
            plot.weights(before, after)
    plot.weights(kept, layer)
    plot.weights(*torch.randn(2, 5))  # rows of one


def test_weights_whose_squares_overflow_are_refused():
    with pytest.raises(
        ValueError, match=r"`before` must be up to 1e\+150 to be drawn, got 1e\+308"
    ):
        plot.weights([1e308, 1.0], [1e308, 2.0])
    plot.weights([1e150, 1.0], [-1e150, 2.0]).draw_without_rendering()


def test_what_is_no_weights_is_refused():
    wiring = el.convert.from_edges(2, 1, [(0, 0), (1, 0)])
    with pytest.raises(ValueError, match="`before` must have weights, got a Wiring without"):
        plot.weights(wiring, [1.0, 2.0])
    with pytest.raises(ValueError, match="`after` must be finite to be drawn, got nan for edge 1"):
        plot.weights([1.0, 2.0], [1.0, np.nan])
    with pytest.raises(ValueError, match=r"`before` must hold one number .* got shape \(2, 2\)"):
        plot.weights(torch.ones(2, 2), torch.ones(2))
    with pytest.raises(TypeError, match="`after` must hold numbers"):
        plot.weights([1.0], "a")


@pytest.mark.parametrize("number", [3, 20_000])
def test_picture_stays_inside(number):
    figure = plot.weights(*np.random.default_rng(0).normal(size=(2, number)))
    figure.draw_without_rendering()
    drawn, page = figure.get_tightbbox(), figure.bbox_inches
    assert drawn.x0 >= 0 and drawn.x1 <= page.x1 and drawn.y0 >= 0 and drawn.y1 <= page.y1
