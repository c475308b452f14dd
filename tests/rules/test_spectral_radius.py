"""`scale_spectral_radius` against NumPy's dense eigenvalues."""

import math

import numpy as np
import pytest
import torch
from torch.nn.utils import parametrizations

import edgelinear as el
from edgelinear import rules
from edgelinear.networks import spectrum


def radius_of(layer):
    matrix = layer.to_dense().detach().double().numpy()
    return float(np.abs(np.linalg.eigvals(matrix)).max())


def random_layer(size=30, density=0.2, **options):
    topology = el.generators.erdos_renyi(size, size, density=density)
    return el.EdgeLinear.from_topology(topology, **options)


def with_cycles(edges, size, weight):
    return el.EdgeLinear(size, size, edges, weight=weight, dtype=torch.float64)


RULES = {
    "none": lambda layer: layer,
    "signed": lambda layer: rules.fix_signs(layer, torch.where(torch.arange(30) % 3 == 0, -1, 1)),
    "tied": lambda layer: rules.tie(layer, torch.arange(layer.num_edges) % 7),
    "tied and scaled": lambda layer: rules.tie(
        layer, torch.arange(layer.num_edges) % 7, scale=1.0 + torch.arange(layer.num_edges) % 3
    ),
    "tied and signed": lambda layer: rules.fix_nonnegative(
        rules.tie(layer, torch.arange(layer.num_edges) % 7)
    ),
    "nothing frozen": lambda layer: rules.freeze(layer, [False] * layer.num_edges),
    "weight_norm": parametrizations.weight_norm,
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("radius", [0.9, 2.5])
def test_radius_is_that_of_numpy_and_weights_keep_their_ratios(name, dtype, radius):
    layer = RULES[name](random_layer(dtype=dtype))
    before = layer.weight.detach().double()
    assert rules.scale_spectral_radius(layer, radius) is layer
    assert radius_of(layer) == pytest.approx(radius, rel=1e-4 if dtype == torch.float32 else 1e-9)
    ratio = layer.weight.detach().double() / before
    torch.testing.assert_close(ratio, ratio[:1].expand_as(ratio), rtol=1e-5, atol=0.0)
    assert ratio[0] > 0


def test_large_layers_are_done_by_arpack(monkeypatch):
    monkeypatch.setattr(spectrum, "DENSE_NODES", 10)
    called = []
    eigs = spectrum.largest_by_arpack
    monkeypatch.setattr(
        spectrum, "largest_by_arpack", lambda matrix: called.append(1) or eigs(matrix)
    )
    layer = random_layer(200, 0.05, dtype=torch.float64)
    rules.scale_spectral_radius(layer, 0.5)
    assert called
    assert radius_of(layer) == pytest.approx(0.5, rel=1e-5)  # as ARPACK is asked for 1e-6


@pytest.mark.parametrize("dense_nodes", [1000, 3])
def test_eigenvalues_of_equal_size_are_no_trouble(monkeypatch, dense_nodes):
    monkeypatch.setattr(spectrum, "DENSE_NODES", dense_nodes)
    cycle = [(i, (i + 1) % 12) for i in range(12)]  # twelve eigenvalues on a circle
    layer = with_cycles(cycle, 12, np.full(12, 3.0))
    rules.scale_spectral_radius(layer, 1.5)
    assert layer.weight.tolist() == pytest.approx([1.5] * 12)


def test_same_bits_from_run_to_run(monkeypatch):
    monkeypatch.setattr(spectrum, "DENSE_NODES", 10)
    layer = random_layer(200, 0.05)
    twin = el.EdgeLinear.from_wiring(layer.wiring, values="weight")
    np.random.seed(1)
    rules.scale_spectral_radius(layer, 0.5)
    np.random.seed(2)
    rules.scale_spectral_radius(twin, 0.5)
    assert torch.equal(layer.weight, twin.weight)


def test_parts_without_cycles_do_not_blur_the_radius():
    # A chain of 60 nodes, numbered at random, into a loop of weight 0.25. As one matrix, rounding
    # alone gives the chain eigenvalues of about eps ** (1 / 60) = 0.5.
    order = np.random.default_rng(0).permutation(60)
    edges = [(order[i], order[i + 1]) for i in range(59)] + [(order[59], order[59])]
    layer = with_cycles(np.array(edges).T, 60, np.append(np.full(59, 5.0), 0.25))
    rules.scale_spectral_radius(layer, 1.0)
    assert layer.weight[-1].item() == pytest.approx(1.0, rel=1e-12)


def test_parallel_edges_add_up():
    layer = el.EdgeLinear(1, 1, [(0, 0), (0, 0)], weight=[1.0, 3.0], duplicates="keep")
    assert rules.scale_spectral_radius(layer, 2.0).weight.tolist() == [0.5, 1.5]


@pytest.mark.parametrize(
    "edges, weight",
    [
        ([], []),
        ([(0, 1), (1, 2)], [1.0, 1.0]),
        ([(2, 0), (0, 1), (2, 1)], [5.0, 1.0, 2.0]),
        ([(0, 1), (1, 0)], [1.0, 0.0]),  # a weight of zero is no connection
        ([(0, 0), (1, 1)], [0.0, 0.0]),
    ],
    ids=["no edges", "chain", "unsorted", "zero", "zero loops"],
)
def test_wiring_without_cycles_has_no_radius_to_scale(edges, weight):
    layer = with_cycles(edges, 3, weight)
    with pytest.raises(ValueError, match="has no cycle, so that its spectral radius is 0"):
        rules.scale_spectral_radius(layer, 1.0)
    assert layer.weight.tolist() == weight


@pytest.mark.parametrize(
    "matrix",
    [
        [[1.0, -1.0], [1.0, -1.0]],  # excitation and inhibition that cancel
        [[2.0, -3.0, 1.0], [2.0, -3.0, 1.0], [2.0, -3.0, 1.0]],
        [[1.0, 1.0, -2.0], [3.0, 3.0, -6.0], [2.0, 2.0, -4.0]],
    ],
)
def test_radius_that_rounding_decides_is_refused(matrix):
    layer = el.EdgeLinear.from_adjacency(np.array(matrix).T, values="weight")
    before = layer.weight.tolist()
    with pytest.raises(ValueError, match="rounding decides"):
        rules.scale_spectral_radius(layer, 1.0)
    assert layer.weight.tolist() == before


@pytest.mark.parametrize("radius", [0, -1.0, math.nan, math.inf])
def test_radius_must_be_a_positive_number(radius):
    with pytest.raises(ValueError, match="`radius` must be a positive number, got"):
        rules.scale_spectral_radius(random_layer(), radius)


@pytest.mark.parametrize("radius", ["1", None, True, [1.0]])
def test_radius_must_be_a_number(radius):
    with pytest.raises(TypeError, match="`radius` must be a number, got"):
        rules.scale_spectral_radius(random_layer(), radius)


def test_layer_must_be_square():
    with pytest.raises(ValueError, match="as many outputs as inputs, got 3 -> 2"):
        rules.scale_spectral_radius(el.EdgeLinear(3, 2, [(0, 0)]), 1.0)
    with pytest.raises(TypeError, match="must be an EdgeLinear or an EdgeNetwork, got Linear"):
        rules.scale_spectral_radius(torch.nn.Linear(2, 2), 1.0)
    with pytest.raises(ValueError, match="on the meta device"):
        rules.scale_spectral_radius(random_layer(device="meta"), 1.0)


def test_frozen_weights_are_refused_with_the_cure():
    layer = random_layer()
    rules.freeze(layer, torch.arange(layer.num_edges) == 0)
    before = layer.weight.detach().clone()
    with pytest.raises(ValueError, match="1 weight is frozen, .* scale before `freeze`"):
        rules.scale_spectral_radius(layer, 1.0)
    assert torch.equal(layer.weight, before)


def test_weights_must_be_finite():
    layer = with_cycles([(0, 1), (1, 0)], 2, [1.0, math.nan])
    with pytest.raises(ValueError, match="must be finite, got nan for edge 1"):
        rules.scale_spectral_radius(layer, 1.0)


def test_scaled_random_weights_are_still_random(recwarn):
    rules.fix_nonnegative(rules.scale_spectral_radius(random_layer(), 0.9))
    assert not [w for w in recwarn if "changed" in str(w.message)]
