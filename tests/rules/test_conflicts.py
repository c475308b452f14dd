"""Weights that do not follow a new rule: how many it changes, said where they came from data."""

import copy
import pickle
import warnings

import numpy as np
import pandas
import pytest
import torch
from torch import nn

import edgelinear as el
from edgelinear import rules

TOPOLOGY = el.Topology(4, 3, [(s, t) for t in range(3) for s in range(4)])
DATA = [1.0, -2.0, 3.0, -4.0, 5.0, -6.0, 7.0, -8.0, 9.0, 10.0, 11.0, 12.0]
SIGNS = [1, 1, -1, 1]
# Three tied weights: 0 and 4 and 8 are 1, 5 and 9, the others alone.
INDEX = [0, 1, 2, 3, 0, 4, 5, 6, 0, 7, 8, 9]

RULES = {
    "fix_signs": lambda layer, **how: rules.fix_signs(layer, SIGNS, **how),
    "fix_signs of edges": lambda layer, **how: rules.fix_signs(
        layer, np.tile(SIGNS, 3), of="edges", **how
    ),
    "fix_nonnegative": rules.fix_nonnegative,
    "tie": lambda layer, **how: rules.tie(layer, INDEX, **how),
    "tie to zero or more": lambda layer, **how: rules.tie(
        layer, range(12), nonnegative=True, **how
    ),
}
# By hand: of DATA, which weights a rule changes.
CHANGED = {
    "fix_signs": [1, 2, 3, 5, 6, 7, 10],
    "fix_signs of edges": [1, 2, 3, 5, 6, 7, 10],
    "fix_nonnegative": [1, 3, 5, 7],
    "tie": [0, 4, 8],
    "tie to zero or more": [1, 3, 5, 7],
}
every_rule = pytest.mark.parametrize("name", RULES)


def fresh(**options):
    return el.EdgeLinear.from_topology(TOPOLOGY, **options)


def loaded():
    layer = fresh()
    layer.load_state_dict(fresh(weight=DATA).state_dict())
    return layer


def in_place():
    layer = fresh()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(DATA))
    return layer


def behind_autograd():
    layer = fresh()
    layer.weight.data[:] = torch.tensor(DATA)
    return layer


def set_weight():
    layer = fresh()
    layer.set_weight(DATA)
    return layer


def dense():
    linear = nn.Linear(4, 3)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor(DATA).view(3, 4))
    return el.EdgeLinear.from_linear(linear)


def adopted():
    layer, state = el.EdgeLinear(4, 3, [(0, 0)]), fresh(weight=DATA).state_dict()
    el.adopt_wiring(layer, state)
    layer.load_state_dict(state)
    return layer


FROM_DATA = {
    "weight": lambda: fresh(weight=DATA),
    "wiring": lambda: el.EdgeLinear.from_wiring(
        el.convert.from_weight_mask(np.ones((3, 4)))._replace(weight=torch.tensor(DATA)),
        values="weight",
    ),
    "adjacency": lambda: el.EdgeLinear.from_adjacency(np.reshape(DATA, (3, 4)).T, values="weight"),
    "linear": dense,
    "set_weight": set_weight,
    "loading": loaded,
    "state dict": lambda: el.EdgeLinear.from_state_dict(fresh(weight=DATA).state_dict()),
    "adoption": adopted,
    "in place": in_place,
    "behind autograd": behind_autograd,
    "half": lambda: fresh(weight=DATA).half(),
    "a copy": lambda: copy.deepcopy(in_place()),
    "a pickle": lambda: pickle.loads(pickle.dumps(in_place())),
}


@every_rule
@pytest.mark.parametrize("source", FROM_DATA)
def test_rule_says_how_many_weights_from_data_it_changed(name, source):
    layer, changed = FROM_DATA[source](), CHANGED[name]
    before = layer.weight.detach().clone()
    rule = name.split(" ")[0]
    message = f"`{rule}` changed {len(changed)} of 12 weights, as that of edge {changed[0]} "
    with pytest.warns(UserWarning, match=message) as caught:
        RULES[name](layer)
    assert len(caught) == 1 and caught[0].filename == __file__
    assert ((layer.weight != before).nonzero()[:, 0]).tolist() == changed


@every_rule
def test_warning_has_the_numbers_and_the_cure(name):
    first = CHANGED[name][0]
    after = RULES[name](fresh(weight=DATA), on_conflict="project").weight[first]
    with pytest.warns(UserWarning) as caught:
        RULES[name](fresh(weight=DATA))
    said = str(caught[0].message)
    assert f"edge {first} ({first % 4} -> {first // 4}) from {DATA[first]:g} to {after:g}" in said
    assert 'on_conflict="error"' in said and 'on_conflict="project"' in said


@every_rule
@pytest.mark.parametrize("source", FROM_DATA)
def test_conflict_may_be_an_error_that_changes_nothing(name, source):
    layer = FROM_DATA[source]()
    before, parameter = layer.weight.detach().clone(), layer.weight
    message = f"`{name.split(' ')[0]}` would change {len(CHANGED[name])} of 12 weights, as that of "
    with pytest.raises(ValueError, match=message):
        RULES[name](layer, on_conflict="error")
    assert layer.weight is parameter and torch.equal(layer.weight, before) and not layer.rules


@every_rule
def test_weights_may_be_changed_without_a_word(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        RULES[name](fresh(weight=DATA), on_conflict="project")


@every_rule
@pytest.mark.parametrize("how", ["warn", "error"])
def test_weights_that_follow_already_stay(name, how):
    following = RULES[name](fresh(weight=DATA), on_conflict="project").weight.detach().clone()
    layer = fresh(weight=following)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        RULES[name](layer, on_conflict=how)
    torch.testing.assert_close(layer.weight.detach(), following)


FRESH = {
    "drawn": fresh,
    "drawn in float64": lambda: fresh(dtype=torch.float64),
    "drawn anew": lambda: reset(fresh(weight=DATA)),
    "a copy": lambda: copy.deepcopy(fresh()),
    "a pickle": lambda: pickle.loads(pickle.dumps(fresh())),
    "rounded": lambda: fresh().bfloat16(),
    "widened": lambda: fresh().double(),
    "ruled": lambda: rules.freeze(fresh(), [False] * 12) and fresh(),
    "from meta": lambda: reset(fresh(device="meta").to_empty(device="cpu")),
    "from a mask": lambda: el.EdgeLinear.from_weight_mask(np.ones((3, 4))),
    "shared": lambda: fresh().share_memory(),
}


def reset(layer):
    layer.reset_parameters()
    return layer


@every_rule
@pytest.mark.parametrize("source", FRESH)
def test_weights_drawn_at_random_follow_without_a_word(name, source):
    layer = FRESH[source]()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        RULES[name](layer)


def test_weights_that_were_trained_are_data():
    layer = fresh()
    torch.optim.SGD(layer.parameters(), 0.1).zero_grad()
    layer(torch.ones(1, 4)).sum().backward()
    torch.optim.SGD(layer.parameters(), 0.1).step()
    with pytest.warns(UserWarning, match="`fix_signs` changed"):
        rules.fix_signs(layer, [-1, -1, -1, -1])


@pytest.mark.parametrize("ruled", ["tie", "freeze", "fix_signs"])
def test_weights_drawn_at_random_stay_so_under_a_rule(ruled):
    layer = fresh()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if ruled == "tie":
            rules.fix_nonnegative(rules.tie(layer, INDEX))
        elif ruled == "freeze":
            rules.fix_nonnegative(rules.freeze(layer, [False] * 12))
        else:
            rules.tie(rules.fix_nonnegative(layer), INDEX)
        layer.reset_parameters()


def test_weights_set_under_a_rule_are_data():
    layer = rules.freeze(fresh(), [False] * 12)
    layer.set_weight(DATA)
    with pytest.warns(UserWarning, match="changed 4 of 12 weights, as that of edge 1 "):
        rules.fix_nonnegative(layer)


def test_edges_are_named_where_nodes_are():
    layer = el.EdgeLinear(2, 1, [(0, 0), (1, 0)], weight=[1.0, -1.0], in_names=["a", "b"])
    with pytest.warns(UserWarning, match=r"of edge 1 \('b' -> 0\) from -1 to 1"):
        rules.fix_nonnegative(layer)


@pytest.mark.parametrize("name", RULES)
def test_unknown_way_is_refused(name):
    with pytest.raises(ValueError, match="`on_conflict` must be one of .*, got \"?'?ignore"):
        RULES[name](fresh(), on_conflict="ignore")


def test_error_of_a_rule_below_is_still_its_own():
    layer = rules.freeze(fresh(weight=DATA), [True] * 12)
    with pytest.raises(ValueError, match="do not agree with a rule that the layer has"):
        rules.fix_signs(layer, SIGNS)
    assert len(layer.rules) == 1


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_weights_after_a_step_are_no_longer_those_drawn(dtype):
    layer = el.EdgeLinear(8, 8, [(i, j) for i in range(8) for j in range(8)], dtype=dtype)
    assert layer._is_drawn
    with torch.no_grad():
        layer.weight[3] *= 1.01  # of 64 weights, which a bfloat16 can hold
    assert not layer._is_drawn


def test_weights_that_were_cast_are_still_those_drawn():
    layer = el.EdgeLinear(8, 8, [(i, j) for i in range(8) for j in range(8)])
    assert layer.bfloat16()._is_drawn
    layer.reset_parameters()
    assert layer.double()._is_drawn


@pytest.mark.parametrize("kind", [list, pandas.Series])
def test_signs_in_words_are_named_and_not_what_holds_them(kind):
    layer = el.EdgeLinear(2, 2, [(0, 0), (1, 1)])
    with pytest.raises(
        TypeError, match="`signs` must hold numbers, got '-' at position 1"
    ) as error:
        rules.fix_signs(layer, kind([1, "-"]))
    assert "Series" not in str(error.value)
