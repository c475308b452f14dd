"""`densify`: a whole model with a dense layer of the same function for each sparse one."""

import torch
from torch import nn
from torch.testing import assert_close

import edgelinear as el


def sparse(in_features, out_features, bias=True):
    topology = el.generators.erdos_renyi(in_features, out_features, density=0.3)
    return el.EdgeLinear.from_topology(topology, bias=bias)


def exact(layer, x):
    """Return the layer's values by a loop over its edges."""
    y = torch.zeros(x.shape[0], layer.out_features)
    for (source, target), weight in zip(layer.edge_index.T.tolist(), layer.weight, strict=True):
        y[:, target] += weight * x[:, source]
    return y if layer.bias is None else y + layer.bias


def test_densify_gives_the_same_function():
    model = nn.Sequential(sparse(8, 6), nn.ReLU(), nn.Sequential(sparse(6, 4, bias=False)))
    twin, x = el.densify(model), torch.randn(3, 8)
    assert [type(m) for m in twin.modules() if hasattr(m, "weight")] == [nn.Linear, nn.Linear]
    assert_close(twin(x), exact(model[2][0], exact(model[0], x).relu()), rtol=1e-5, atol=1e-5)
    assert isinstance(model[0], el.EdgeLinear)


def test_densify_keeps_what_is_shared_frozen_and_in_eval_mode():
    shared = sparse(6, 6).requires_grad_(False)
    twin = el.densify(nn.Sequential(shared, nn.ReLU(), shared).eval())
    assert twin[0] is twin[2]
    assert not twin.training and not twin[0].training
    assert not any(p.requires_grad for p in twin.parameters())


def test_densify_of_a_layer_is_its_linear():
    layer, x = sparse(8, 6), torch.randn(3, 8)
    twin = el.densify(layer)
    assert type(twin) is nn.Linear
    assert_close(twin(x), layer(x))


def test_densify_follows_rules():
    layer, x = el.rules.fix_nonnegative(sparse(8, 6)), torch.randn(3, 8)
    assert_close(el.densify(nn.Sequential(layer))(x), layer(x))
