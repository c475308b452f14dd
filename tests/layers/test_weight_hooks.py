"""Hooks of torch that put other parameters in place of the weight."""

import pytest
import torch
import torch.nn.functional as F
from problems import random
from torch import nn
from torch.nn.utils import parametrizations, prune
from torch.testing import assert_close

import edgelinear as el

EDGES = torch.tensor([[3, 0, 1, 3, 0, 4], [2, 0, 2, 1, 2, 0]])

HOOKS = {
    "prune": lambda layer: prune.l1_unstructured(layer, "weight", amount=2),
    "weight_norm": lambda layer: nn.utils.weight_norm(layer),
    "weight_norm of all": lambda layer: nn.utils.weight_norm(layer, dim=None),
    "parametrization": lambda layer: parametrizations.weight_norm(layer),
}
hooks = pytest.mark.parametrize("hook", HOOKS)
old_hooks = pytest.mark.parametrize("hook", [name for name in HOOKS if name != "parametrization"])


def make_layer(seed=0, edges=EDGES):
    torch.manual_seed(seed)
    return el.EdgeLinear(5, 4, edges, dtype=torch.float64)


def values(module):
    return {key: value.clone() for key, value in module.state_dict().items()}


@hooks
def test_layer_computes_trains_and_moves(hook):
    layer, x = HOOKS[hook](make_layer()), random(3, 5)
    assert_close(layer(x), F.linear(x, layer.to_dense(), layer.bias))
    before = layer(x)
    before.square().sum().backward()
    torch.optim.SGD(layer.parameters(), lr=0.1).step()
    after = layer(x)
    assert not torch.equal(after, before)
    assert_close(layer.float()(x.float()), after.float())


@hooks
def test_state_dict_loads_and_another_wiring_is_refused(hook):
    saved, layer = HOOKS[hook](make_layer()), HOOKS[hook](make_layer(seed=1))
    layer.load_state_dict(saved.state_dict())
    assert_close(values(layer), values(saved))
    other = HOOKS[hook](make_layer(edges=EDGES.flip(1))).state_dict()
    with pytest.raises(RuntimeError, match="another wiring"):
        layer.load_state_dict(other)
    bare = {k: v for k, v in other.items() if k not in ("edge_index", "shape")}
    with pytest.raises(RuntimeError, match="holds no `edge_index`"):
        layer.load_state_dict(bare, strict=False)
    assert_close(values(layer), values(saved), rtol=0, atol=0)


@hooks
def test_what_stands_for_the_weight_decays(hook):
    model = nn.Sequential(HOOKS[hook](make_layer()), nn.Linear(4, 2, dtype=torch.float64))
    decaying, rest = el.param_groups(model, weight_decay=0.1)
    stands = {id(p) for name, p in model[0].named_parameters() if name != "bias"}
    assert stands <= {id(p) for p in decaying["params"]}
    assert {id(p) for p in rest["params"]} == {id(model[0].bias), id(model[1].bias)}
    total = len(decaying["params"]) + len(rest["params"])
    assert total == len(list(model.parameters()))


@hooks
def test_another_wiring_is_not_adopted_and_nothing_changes(hook):
    layer = HOOKS[hook](make_layer())
    before, x = values(layer), random(3, 5)
    y = layer(x)
    with pytest.raises(ValueError, match="take another wiring first, and apply (these|rules) then"):
        el.adopt_wiring(layer, make_layer(edges=EDGES.flip(1)).state_dict())
    assert_close(values(layer), before, rtol=0, atol=0)
    assert_close(layer(x), y, rtol=0, atol=0)
    el.adopt_wiring(layer, layer.state_dict())  # this one may be adopted
    assert_close(layer(x), y, rtol=0, atol=0)


@old_hooks
def test_wiring_adopted_first_takes_the_checkpoint(hook):
    saved = HOOKS[hook](make_layer(edges=EDGES.flip(1)))
    layer = make_layer(seed=1)
    el.adopt_wiring(layer, saved.state_dict())
    HOOKS[hook](layer).load_state_dict(saved.state_dict())
    x = random(3, 5)
    assert_close(layer(x), saved(x))


@old_hooks
def test_from_state_dict_says_what_the_checkpoint_is_of(hook):
    state = HOOKS[hook](make_layer()).state_dict()
    with pytest.raises(ValueError, match="no `weight`. It was saved from a layer under `prune` or"):
        el.EdgeLinear.from_state_dict(state)


def test_from_state_dict_takes_what_was_removed_before_saving():
    layer = HOOKS["prune"](make_layer())
    x, y = random(3, 5), layer(random(3, 5))
    prune.remove(layer, "weight")
    assert_close(el.EdgeLinear.from_state_dict(layer.state_dict())(x), y)


@old_hooks
def test_weights_that_are_computed_are_not_drawn_anew(hook):
    layer = HOOKS[hook](make_layer())
    with pytest.raises(RuntimeError, match="`weight` is computed from `weight_.*: remove these"):
        layer.reset_parameters()


NORMS = {"hook": nn.utils.spectral_norm, "parametrization": parametrizations.spectral_norm}


@pytest.mark.parametrize("norm", NORMS)
def test_norm_of_a_vector_is_never_taken_for_that_of_the_matrix(norm):
    plain = make_layer()
    matrix = torch.linalg.matrix_norm(plain.to_dense(), 2)
    assert not torch.isclose(matrix, plain.weight.norm())  # what torch would divide by
    layer, x = NORMS[norm](make_layer()), random(3, 5)
    uses = [lambda: layer(x), layer.to_dense, layer.to_linear, lambda: layer.wiring]
    for use in [*uses, layer.to_masked_linear, lambda: nn.Sequential(layer)(x)]:
        with pytest.raises(RuntimeError, match="`spectral_norm` must not be used here"):
            use()


def test_cure_for_spectral_norm_gives_a_matrix_of_norm_one():
    layer = make_layer()
    with torch.no_grad():
        layer.weight.div_(torch.linalg.matrix_norm(layer.to_dense(), 2))
    assert_close(torch.linalg.matrix_norm(layer.to_dense(), 2), torch.tensor(1.0).double())
