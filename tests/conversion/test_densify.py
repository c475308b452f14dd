"""`densify`: a whole model with a dense layer of the same function for each sparse one."""

import pytest
import torch
from torch import nn
from torch.nn.utils import prune
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


class Doubled(el.EdgeLinear):
    def forward(self, input):
        return 2 * super().forward(input)


class Renamed(el.EdgeLinear):
    pass


def test_densify_refuses_a_layer_that_computes_something_else():
    model = nn.Sequential(nn.ReLU(), nn.Sequential(Doubled(2, 2, [(0, 0)])))
    with pytest.raises(
        TypeError, match=r"`1\.0` must compute .* got Doubled, which has a `forward`"
    ):
        el.densify(model)
    assert type(el.densify(Renamed(2, 2, [(0, 0)]))) is nn.Linear


def test_densify_keeps_hooks():
    layer, x = sparse(8, 6), torch.randn(3, 8)
    layer.register_forward_pre_hook(lambda module, inputs: (inputs[0] * 2,))
    layer.register_forward_hook(lambda module, inputs, kwargs, y: y + 1, with_kwargs=True)
    twin = el.densify(nn.Sequential(layer))
    assert_close(twin(x), layer(x))
    assert len(twin[0]._forward_pre_hooks) == 1


def test_densify_has_hooks_of_the_model_belong_to_the_copy():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.calls = sparse(4, 4), 0
            self.layer.register_forward_hook(self.count)

        def count(self, module, inputs, y):
            self.calls += 1

    model = Model()
    twin = el.densify(model)
    twin.layer(torch.ones(1, 4))
    assert (model.calls, twin.calls) == (0, 1)


def test_densify_leaves_out_the_hook_that_prunes():
    layer, x = sparse(8, 6), torch.randn(3, 8)
    prune.l1_unstructured(layer, "weight", amount=0.5)
    assert_close(el.densify(nn.Sequential(layer))(x), layer(x))


def test_densify_keeps_ties():
    first = sparse(6, 6)
    second = el.EdgeLinear.from_topology(first.topology)
    other = nn.Linear(6, 6)
    second.weight, second.bias = first.weight, first.bias
    other.bias = first.bias
    twin = el.densify(nn.Sequential(first, second, other))
    assert twin[0] is not twin[1] and twin[0].weight is twin[1].weight
    assert twin[0].bias is twin[1].bias is twin[2].bias
    assert twin[0].bias is not first.bias


def test_densify_does_not_tie_layers_of_other_wirings():
    first, second = el.EdgeLinear(2, 2, [(0, 0)]), el.EdgeLinear(2, 2, [(1, 1)])
    second.weight = first.weight
    twin = el.densify(nn.Sequential(first, second))
    assert_close(twin[1].weight.detach(), second.to_dense().detach())


def test_recurrent_networks_are_refused_with_the_cure():
    model = nn.Sequential(el.EdgeRNN(2, [(0, 1), (1, 1)], [0], [1]))
    with pytest.raises(TypeError, match="`0` is an EdgeRNN, whose steps .* write its loop over"):
        el.densify(model)
