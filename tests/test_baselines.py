import pytest
import torch
import torch.nn.functional as F
from problems import through_a_file
from torch import nn
from torch.testing import assert_close

import edgelinear as el
from edgelinear.baselines import GroupedLinear, LocalLinear, MaskedLinear

MASK = torch.tensor([[1, 0, 0, 1], [0, 1, 0, 0], [1, 1, 0, 0]])  # (out, in) = (3, 4)
LAYERS = {
    "masked": lambda **options: MaskedLinear(4, 3, MASK, **options),
    "local": lambda **options: LocalLinear(6, 3, **options),
    "grouped": lambda **options: GroupedLinear(6, 3, **options),
}


def by_hand(layer, sources, x):
    """Return, sample by sample, the sum over the given sources of each target."""
    y = torch.zeros(*x.shape[:-1], len(sources), dtype=x.dtype)
    for target, inputs in enumerate(sources):
        for source in inputs:
            y[..., target] += layer.weight[target, source] * x[..., source]
        y[..., target] += layer.bias[target]
    return y


def test_masked_equals_hand_loops():
    layer, x = MaskedLinear(4, 3, MASK, dtype=torch.float64), torch.randn(5, 4, dtype=torch.float64)
    assert_close(layer(x), by_hand(layer, [[0, 3], [1], [0, 1]], x))


def test_masked_equals_a_linear_with_zeros():
    layer, linear, x = MaskedLinear(4, 3, MASK), nn.Linear(4, 3), torch.randn(5, 4)
    with torch.no_grad():
        linear.weight.copy_(layer.weight * MASK)
        linear.bias.copy_(layer.bias)
    assert_close(layer(x), linear(x))


def test_masked_equals_edge_linear():
    layer, x = MaskedLinear(4, 3, MASK), torch.randn(5, 4)
    edges = el.EdgeLinear.from_weight_mask(MASK)
    with torch.no_grad():
        edges.weight.copy_(layer.weight[edges.topology.dst, edges.topology.src])
        edges.bias.copy_(layer.bias)
    assert_close(layer(x), edges(x))


@pytest.mark.parametrize(
    "mask", [MASK, MASK.bool(), MASK.float() * -2.5, MASK.tolist(), MASK.numpy()]
)
def test_nonzero_of_a_mask_is_a_connection(mask):
    assert torch.equal(MaskedLinear(4, 3, mask).mask, MASK.bool())


def test_masked_weight_has_no_gradient_outside_the_mask():
    layer = MaskedLinear(4, 3, MASK)
    layer(torch.randn(5, 4)).square().sum().backward()
    assert torch.equal(layer.weight.grad != 0, MASK.bool())


def test_masked_function_does_not_see_unconnected_inputs_after_training():
    layer = MaskedLinear(4, 3, MASK)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        layer(torch.randn(5, 4)).square().sum().backward()
        optimizer.step()
    jacobian = torch.autograd.functional.jacobian(layer, torch.randn(4))
    assert torch.equal(jacobian != 0, MASK.bool())


def test_mask_is_a_copy():
    mask = MASK.bool()
    layer = MaskedLinear(4, 3, mask)
    mask.zero_()
    assert torch.equal(layer.mask, MASK.bool())


def test_state_dict_holds_the_mask():
    assert set(MaskedLinear(4, 3, MASK).state_dict()) == {"weight", "bias", "mask"}


def test_state_dict_brings_mask_and_function():
    saved, other, x = MaskedLinear(4, 3, MASK), MaskedLinear(4, 3, 1 - MASK), torch.randn(5, 4)
    other.load_state_dict(through_a_file(saved.state_dict()))
    assert_close(other(x), saved(x))


def test_transposed_mask_is_refused_with_the_cure():
    with pytest.raises(
        ValueError, match=r"\(3, 4\), got \(4, 3\). It fits transposed: use `mask.T"
    ):
        MaskedLinear(4, 3, MASK.T)


def test_mask_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"\(3, 4\), got \(2, 4\).$"):
        MaskedLinear(4, 3, MASK[:2])


def test_masked_weights_start_within_the_true_fan_in():
    layer = MaskedLinear(400, 50, torch.arange(400).expand(50, 400) < 4)
    assert 0.45 < layer.weight[:, :4].abs().max() <= 0.5


@pytest.mark.parametrize("name", LAYERS)
def test_bias_is_optional(name):
    layer = LAYERS[name](bias=False)
    assert layer.bias is None
    assert_close(layer(torch.zeros(2, layer.in_features)), torch.zeros(2, 3))


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("shape", [(), (0,), (2,), (2, 5)])
def test_leading_dimensions_are_kept(name, shape):
    layer = LAYERS[name]()
    assert layer(torch.randn(*shape, layer.in_features)).shape == (*shape, 3)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_dtype_is_that_of_parameters_and_output(name, dtype):
    layer = LAYERS[name](dtype=dtype)
    assert {p.dtype for p in layer.parameters()} == {dtype}
    assert layer(torch.ones(2, layer.in_features, dtype=dtype)).dtype == dtype


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("device", ["meta", pytest.param("cuda", marks=pytest.mark.cuda)])
def test_device_is_that_of_parameters_and_mask(name, device):
    layer = LAYERS[name](device=device)
    assert {t.device.type for t in layer.state_dict().values()} == {device}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_repr_shows_the_sizes(name, device):
    layer = LAYERS[name](device=device)
    assert f"in_features={layer.in_features}, " in repr(layer)


def test_repr_counts_connections():
    assert "connections=5" in repr(MaskedLinear(4, 3, MASK))


# Local and grouped


def test_local_equals_hand_loops_of_two_neurons_an_output():
    """Hidden neurons 1 and 2 feed output 1, neurons 3 and 4 output 2, neurons 5 and 6 output 3."""
    layer, x = LocalLinear(6, 3, dtype=torch.float64), torch.randn(5, 6, dtype=torch.float64)
    assert_close(layer(x), by_hand(layer, [[0, 1], [2, 3], [4, 5]], x))


def test_local_windows_may_overlap():
    layer, x = LocalLinear(7, 3, kernel_size=3, dtype=torch.float64), torch.randn(5, 7).double()
    assert_close(layer(x), by_hand(layer, [[0, 1, 2], [2, 3, 4], [4, 5, 6]], x))


def test_local_with_equal_windows_equals_conv1d():
    layer, kernel, x = LocalLinear(7, 3, kernel_size=3), torch.randn(3), torch.randn(5, 7)
    with torch.no_grad():
        layer.weight.copy_(torch.stack([F.pad(kernel, (2 * t, 4 - 2 * t)) for t in range(3)]))
        layer.bias.zero_()
    assert_close(layer(x), F.conv1d(x[:, None], kernel[None, None], stride=2)[:, 0])


def test_local_equals_unfold():
    layer, x = LocalLinear(7, 3, kernel_size=3), torch.randn(5, 7)
    windows = F.unfold(x[:, None, None], (1, 3), stride=(1, 2))  # (batch, kernel_size, windows)
    weight = torch.stack([layer.weight[t, 2 * t : 2 * t + 3] for t in range(3)], dim=1)
    assert_close(layer(x), (windows * weight).sum(1) + layer.bias)


def test_local_with_one_output_is_dense():
    assert LocalLinear(4, 1, kernel_size=4).mask.all()


def test_local_knows_its_kernel_size():
    assert LocalLinear(7, 3, kernel_size=3).kernel_size == 3


@pytest.mark.parametrize(
    ("in_features", "out_features", "kernel_size"),
    [(7, 3, 2), (9, 3, 2), (3, 3, 4), (4, 1, 3), (3, 1, 4), (4, 3, 4), (4, 2, 0)],
)
def test_windows_that_do_not_cover_the_inputs_are_refused(in_features, out_features, kernel_size):
    with pytest.raises(ValueError, match=f"cannot cover {in_features} inputs"):
        LocalLinear(in_features, out_features, kernel_size)


def grouped_as_local():
    """Return a grouped and a local layer of the same weights."""
    grouped, local = GroupedLinear(6, 3), LocalLinear(6, 3)
    with torch.no_grad():
        local.weight.copy_(torch.block_diag(*grouped.weight[:, None]))
        local.bias.copy_(grouped.bias)
    return grouped, local


def test_grouped_equals_local():
    (grouped, local), x = grouped_as_local(), torch.randn(5, 6)
    assert_close(grouped(x), local(x))


def test_grouped_equals_edge_linear():
    grouped, x = GroupedLinear(6, 3), torch.randn(5, 6)
    edges = el.EdgeLinear.from_topology(
        el.generators.block_diagonal(6, 3, blocks=3), weight=grouped.weight.flatten()
    )
    with torch.no_grad():
        edges.bias.copy_(grouped.bias)
    assert_close(grouped(x), edges(x))


def test_grouped_equals_a_grouped_conv1d():
    grouped, x = GroupedLinear(6, 3), torch.randn(5, 6)
    truth = F.conv1d(x[..., None], grouped.weight[..., None], grouped.bias, groups=3)[..., 0]
    assert_close(grouped(x), truth)


def test_grouped_weights_start_within_the_group_size():
    weight = GroupedLinear(400, 100).weight
    assert 0.45 < weight.abs().max() <= 0.5


@pytest.mark.parametrize("groups", [0, 4, -3])
def test_groups_must_divide_the_inputs(groups):
    with pytest.raises(ValueError, match=rf"`groups` must divide in_features=6.* got {groups}"):
        GroupedLinear(6, groups)


def test_grouped_refuses_an_input_of_another_width():
    with pytest.raises(ValueError, match=r"6 features in its last dimension, got shape \(5, 12\)"):
        GroupedLinear(6, 3)(torch.randn(5, 12))
