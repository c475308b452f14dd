"""What weights and biases start with: one scale of outputs, whatever the degrees."""

import pytest
import torch
from problems import random_edges, skewed_edges

import edgelinear as el


@pytest.mark.parametrize("edges", ["skewed", "uniform"])
def test_outputs_start_at_the_same_scale_whatever_the_degrees(edges):
    index = skewed_edges(2000, 300) if edges == "skewed" else random_edges(2000, 300, 9000)
    layer = el.EdgeLinear(2000, 300, index, bias=False)
    y = layer(torch.randn(4000, 2000))
    fed = layer.topology.fan_in > 0
    # 1/sqrt(3); over 300 draws of few weights the mean of the variances stays within 10 %.
    assert abs(y[:, fed].var(0).mean().sqrt() - 0.577) < 0.03
    for low, high in ((1, 2), (3, 10), (11, 3000)):
        group = (layer.topology.fan_in >= low) & (layer.topology.fan_in <= high)
        if group.sum() > 30:
            assert abs(y[:, group].var(0).mean().sqrt() - 0.577) < 0.06


def test_initial_values_are_bounded_by_the_fan_in_of_their_target():
    layer = el.EdgeLinear(2000, 300, skewed_edges(2000, 300))
    bound = layer.topology.fan_in.double().rsqrt()
    ratio = layer.weight.abs() / bound[layer.edge_index[1]]
    assert ratio.max() <= 1 + 1e-6
    assert ratio.max() > 0.99 and abs(ratio.mean() - 0.5) < 0.02
    assert (layer.bias.abs() <= bound * (1 + 1e-6)).all()


def test_bias_of_an_output_without_inputs_starts_at_zero():
    layer = el.EdgeLinear(4, 3, [(0, 0), (1, 0)])
    assert layer.bias[0] != 0
    assert layer.bias[1:].tolist() == [0, 0]
