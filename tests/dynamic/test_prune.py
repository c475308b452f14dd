"""`Prune` against the formula of Zhu and Gupta, and a sort by magnitude."""

import copy

import pytest
import torch
from by_hand import by_edge, dropped_by_hand, layer_of, pairs
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import edgelinear as el


def prune(layer, optimizer=None, **options):
    return el.dynamic.Prune(layer, optimizer or torch.optim.SGD(layer.parameters(), 0.0), **options)


@given(
    fraction=st.floats(0, 1),
    every=st.integers(1, 6),
    start=st.integers(0, 4),
    length=st.integers(1, 20),
)
def test_as_many_edges_are_gone_as_the_formula_says(fraction, every, start, length):
    layer, until = layer_of((20, 10), 150), start + length
    schedule = prune(layer, fraction=fraction, every=every, start=start, until=until)
    here = 150
    for step in range(1, until + 5):
        before = pairs(layer)
        if step == until or (start < step < until and (step - start) % every == 0):
            part = fraction - fraction * (1 - (step - start) / length) ** 3
            here = 150 - int(part * 150 + 1e-9)
        order = dropped_by_hand(layer, len(before))
        schedule.step()
        assert abs(layer.num_edges - here) <= 1
        gone = len(before) - layer.num_edges
        assert set(pairs(layer)) == set(before) - set(order[:gone])
    assert layer.num_edges == 150 - int(fraction * 150)


def test_each_target_loses_its_own_smallest():
    layer = layer_of((20, 10), 120)
    fan_in = layer.topology.fan_in.tolist()
    weights = by_edge(layer, layer.weight.detach().abs())
    schedule = prune(layer, fraction=0.6, every=2, until=6, per="target")
    for _ in range(6):
        schedule.step()
    assert layer.topology.fan_in.tolist() == [n - int(0.6 * n) for n in fan_in]
    kept = set(pairs(layer))
    for target in range(10):
        own = sorted((e for e in weights if e[1] == target), key=weights.get)
        assert set(own[int(0.6 * len(own)) :]) == {e for e in kept if e[1] == target}


@pytest.mark.parametrize("kind", [el.EdgeNetwork, el.EdgeRNN])
def test_networks_are_pruned(kind):
    net = kind(5, [(0, 1), (1, 2), (0, 3), (3, 4), (1, 4)], [0], [2, 4], dtype=torch.float64)
    order = dropped_by_hand(net, 5)
    before = pairs(net)
    prune(net, fraction=0.4, until=1).step()
    assert pairs(net) == [edge for edge in before if edge not in order[:2]]


def test_tied_edges_go_and_their_parameters_stay():
    layer = el.EdgeLinear(4, 3, [(0, 0), (1, 0), (2, 1), (3, 1), (0, 2), (3, 2)])
    el.rules.tie(layer, [0, 0, 1, 1, 2, 2], scale=[1.0, 2.0, 1, 2, 1, 2], on_conflict="project")
    prune(layer, fraction=0.5, until=1).step()
    assert layer.num_edges == 3 and next(layer.edge_parameters()).numel() == 3


def test_state_goes_with_the_edges_and_training_goes_on_from_a_saved_state():
    def parts():
        model = nn.Sequential(layer_of((9, 8), 60), nn.Tanh(), layer_of((8, 4), 20))
        return model, torch.optim.Adam(model.parameters(), 0.05)

    def train(model, optimizer, schedule, steps):
        for _ in range(steps):
            optimizer.zero_grad()
            model(torch.ones(3, 9, dtype=torch.float64)).square().sum().backward()
            optimizer.step()
            schedule.step()

    options = dict(fraction=0.8, every=3, until=10, per="target")
    whole, optimizer = parts()
    schedule = el.dynamic.Prune(whole, optimizer, **options)
    train(whole, optimizer, schedule, 5)
    saved = copy.deepcopy((whole.state_dict(), optimizer.state_dict(), schedule.state_dict()))
    train(whole, optimizer, schedule, 7)

    model, _ = parts()
    el.adopt_wiring(model, saved[0])
    model.load_state_dict(saved[0])
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    optimizer.load_state_dict(saved[1])
    again = el.dynamic.Prune(model, optimizer, **options)
    again.load_state_dict(saved[2])
    train(model, optimizer, again, 7)
    for ours, theirs in zip(model.parameters(), whole.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert repr(again) == repr(schedule)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(until=3, start=3), "must be after `start`, got 3 and 3"),
        (dict(until=3, start=-1), "`start` must be at least 0, got -1"),
        (dict(until=None), "`until` must be a number of steps, got None"),
        (dict(until=3, schedule="constant"), 'got "constant": use "cubic"'),
        (dict(until=3, fraction=1.5), "`fraction` must be between 0 and 1, got 1.5"),
        (dict(until=3, per="model"), "`per` must be one of"),
    ],
)
def test_what_prune_cannot_do_is_refused(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        prune(layer_of((4, 3), 6), **options)
