"""`SET` and `RigL` against updates by hand, on dense matrices and with loops."""

import copy
import io
import math
import pickle
import weakref

import pytest
import torch
import torch.nn.functional as F
from by_hand import by_edge, dropped_by_hand, grown_by_hand, layer_of, pairs
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import edgelinear as el
from edgelinear.dynamic import gradients

KINDS = {"SET": el.dynamic.SET, "RigL": el.dynamic.RigL}


def train(model, optimizer, schedule, x, steps=1):
    """Train for some steps, and return the maps of those that changed the wiring."""
    found = []
    for _ in range(steps):
        optimizer.zero_grad()
        model(x).square().sum().backward()
        optimizer.step()
        found.append(schedule.step())
    return found


def inputs(batch, size, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, size, dtype=torch.float64, generator=generator)


# RigL.


@settings(max_examples=80)
@given(data=st.data(), per=st.sampled_from(["layer", "target"]))
def test_rigl_is_a_dense_step_by_hand(data, per):
    sizes = data.draw(st.tuples(st.integers(1, 8), st.integers(1, 8)))
    possible = sizes[0] * sizes[1]
    number = data.draw(st.integers(0, possible - 1))
    fraction = data.draw(st.floats(0, 1))
    layer = layer_of(sizes, number, seed=data.draw(st.integers(0, 99)))
    x = inputs(data.draw(st.integers(1, 5)), sizes[0])
    optimizer = torch.optim.Adam(layer.parameters(), 0.01)
    schedule = el.dynamic.RigL(layer, optimizer, fraction=fraction, every=1, per=per)

    dense = layer.to_dense().detach().requires_grad_()
    F.linear(x, dense, layer.bias.detach()).square().sum().backward()
    layer(x).square().sum().backward()
    optimizer.step()
    weights = by_edge(layer, layer.weight)
    averages = by_edge(layer, optimizer.state[layer.weight]["exp_avg"])
    full = {t for t in range(sizes[1]) if sum(e[1] == t for e in pairs(layer)) == sizes[0]}
    may_go = [edge for edge in pairs(layer) if per == "layer" or edge[1] not in full]
    order = [edge for edge in dropped_by_hand(layer, number) if edge in may_go]
    dropped = order[: int(fraction * number)]
    grown = grown_by_hand(dense.grad, layer, dropped, per)

    block = data.draw(st.sampled_from([1, 5, 2**21]))
    before, gradients._BLOCK = gradients._BLOCK, block
    try:
        schedule.step()
    finally:
        gradients._BLOCK = before
    kept = set(weights) - set(dropped)
    assert set(pairs(layer)) == kept | set(grown) and layer.num_edges == number
    after, state = by_edge(layer, layer.weight), optimizer.state[layer.weight]["exp_avg"]
    for edge, average in by_edge(layer, state).items():
        stays = edge in weights  # also where it was dropped and chosen again
        assert after[edge] == (weights[edge] if stays else 0.0)
        assert average == (averages[edge] if stays else 0.0)


def test_equal_gradients_are_taken_by_target_and_source():
    layer = el.EdgeLinear(4, 3, [(3, 0), (3, 1), (0, 2), (3, 2)], weight=[3.0, 2.0, 1.0, 1.0])
    optimizer = torch.optim.SGD(layer.parameters(), 0.0)
    schedule = el.dynamic.RigL(layer, optimizer, fraction=0.75, every=1)
    (0.0 * layer(torch.ones(2, 4)).sum()).backward()
    schedule.step()
    assert pairs(layer) == [(0, 0), (1, 0), (2, 0), (3, 0)]


@pytest.mark.parametrize("per", ["layer", "target"])
def test_gradients_of_several_backward_passes_are_summed(per):
    layers = [layer_of((12, 9), 30) for _ in range(2)]
    schedules = []
    for layer in layers:
        optimizer = torch.optim.SGD(layer.parameters(), 0.0)
        schedules.append(el.dynamic.RigL(layer, optimizer, fraction=0.5, every=1, per=per))
    x = inputs(8, 12)
    layers[0](x).square().sum().backward()
    for part in x.split(3):
        layers[1](part).square().sum().backward()
    for schedule in schedules:
        schedule.step()
    assert pairs(layers[0]) == pairs(layers[1])


def test_a_layer_used_twice_sums_the_gradients_of_both_uses():
    layer = layer_of((7, 7), 20)
    optimizer = torch.optim.SGD(layer.parameters(), 0.0)
    schedule = el.dynamic.RigL(nn.Sequential(layer, nn.Tanh(), layer), optimizer, every=1)
    dense = layer.to_dense().detach().requires_grad_()
    x, bias = inputs(5, 7), layer.bias.detach()
    F.linear(F.linear(x, dense, bias).tanh(), dense, bias).square().sum().backward()
    dropped = dropped_by_hand(layer, 6)
    expected = set(pairs(layer)) - set(dropped)
    expected |= set(grown_by_hand(dense.grad, layer, dropped, "layer"))
    layer(layer(x).tanh()).square().sum().backward()
    schedule.step()
    assert set(pairs(layer)) == expected


@pytest.mark.parametrize("shape", [(6,), (2, 3, 6), (5, 6)])
@pytest.mark.parametrize("by_name", [False, True])
def test_inputs_of_any_shape_and_outputs_changed_in_place(shape, by_name):
    layer = layer_of((6, 5), 12)
    optimizer = torch.optim.SGD(layer.parameters(), 0.0)
    schedule = el.dynamic.RigL(layer, optimizer, fraction=0.5, every=1)
    x = inputs(math.prod(shape), 1).reshape(shape)
    dense = layer.to_dense().detach().requires_grad_()
    F.linear(x, dense, layer.bias.detach()).relu().square().sum().backward()
    dropped = dropped_by_hand(layer, 6)
    expected = set(pairs(layer)) - set(dropped)
    expected |= set(grown_by_hand(dense.grad, layer, dropped, "layer"))
    y = layer(input=x) if by_name else layer(x)
    y.relu_().square().sum().backward()
    schedule.step()
    assert set(pairs(layer)) == expected


def test_the_numbers_kept_are_those_of_the_step_of_an_update_alone():
    layer = layer_of((6, 5), 12)
    optimizer = torch.optim.SGD(layer.parameters(), 0.1)
    schedule = el.dynamic.RigL(layer, optimizer, every=3, until=7)
    for step in range(1, 10):
        x = inputs(4, 6)
        kept = weakref.ref(x.untyped_storage())
        layer(x).square().sum().backward()
        del x
        optimizer.step()
        assert (kept() is not None) == (step in (3, 6))
        schedule.step()
        assert kept() is None


def test_a_schedule_that_is_gone_leaves_no_hook():
    layer = layer_of((6, 5), 12)
    schedule = el.dynamic.RigL(layer, torch.optim.SGD(layer.parameters(), 0.1), every=1)
    copies = [copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))]  # made while it looks
    del schedule
    for each in (layer, *copies):
        x = inputs(4, 6)
        kept = weakref.ref(x.untyped_storage())
        each(x).square().sum().backward()
        del x
        assert kept() is None


def test_evaluation_and_checkpointing_do_not_count():
    results = []
    for extra in (False, True):
        layer = layer_of((6, 5), 12)
        optimizer = torch.optim.SGD(layer.parameters(), 0.0)
        schedule = el.dynamic.RigL(layer, optimizer, fraction=0.5, every=1)
        x = inputs(4, 6)
        if extra:
            layer(10 * inputs(4, 6, seed=2))  # no backward
            with torch.no_grad():
                layer(x)
            y = torch.utils.checkpoint.checkpoint(layer, x, use_reentrant=False)
        else:
            y = layer(x)
        y.square().sum().backward()
        schedule.step()
        results.append(pairs(layer))
    assert results[0] == results[1]


def test_a_step_whose_gradients_are_not_finite_is_made_up_for_by_the_next():
    layer = layer_of((6, 5), 12)
    optimizer = torch.optim.SGD(layer.parameters(), 0.0)
    schedule = el.dynamic.RigL(layer, optimizer, every=2, until=9)
    x, before = inputs(4, 6), pairs(layer)
    updates = []
    for step in range(1, 9):
        scale = float("inf") if step in (2, 3) else 1.0
        (layer(x).square().sum() * scale).backward()
        schedule.step()
        updates.append(schedule.updates)
        assert (pairs(layer) == before) == (step < 4)
    assert updates == [0, 0, 0, 1, 1, 2, 2, 3]


def test_that_an_update_waits_is_saved():
    layer = layer_of((6, 5), 12)
    optimizer = torch.optim.SGD(layer.parameters(), 0.0)
    schedule = el.dynamic.RigL(layer, optimizer, every=2)
    schedule.step()
    (layer(inputs(4, 6)).sum() * float("inf")).backward()
    schedule.step()
    again = el.dynamic.RigL(layer, optimizer, every=2)
    again.load_state_dict(schedule.state_dict())
    train(layer, optimizer, again, inputs(4, 6))
    assert (again.steps, again.updates) == (3, 1)


def test_a_step_that_a_grad_scaler_skips_is_made_up_for():
    layer = layer_of((6, 5), 12).float()
    optimizer = torch.optim.SGD(layer.parameters(), 0.0)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127, backoff_factor=2.0**-30)
    schedule = el.dynamic.RigL(layer, optimizer, every=2)
    updates = []
    for _ in range(5):
        optimizer.zero_grad()
        scaler.scale(layer(4 * inputs(4, 6).float()).square().sum()).backward()
        scaler.step(optimizer)
        scaler.update(None if schedule.steps else 2.0**127)  # step 2 overflows, too
        schedule.step()
        updates.append(schedule.updates)
    assert updates == [0, 0, 1, 2, 2]


def test_hooks_of_others_come_after_and_nested_inputs_count():
    layer = layer_of((6, 5), 12)
    factor = torch.arange(1.0, 6.0, dtype=torch.float64)
    layer.register_forward_hook(lambda layer, args, y: y * factor)
    optimizer = torch.optim.SGD(layer.parameters(), 0.0)
    schedule = el.dynamic.RigL(layer, optimizer, fraction=0.5, every=1)
    parts = [inputs(3, 6), inputs(2, 6, seed=2)]
    dense = layer.to_dense().detach().requires_grad_()
    y = F.linear(torch.cat(parts), dense, layer.bias.detach())
    (y * factor).square().sum().backward()
    dropped = dropped_by_hand(layer, 6)
    expected = set(pairs(layer)) - set(dropped)
    expected |= set(grown_by_hand(dense.grad, layer, dropped, "layer"))
    nested = torch.nested.nested_tensor(parts, layout=torch.jagged)
    layer(nested).values().square().sum().backward()
    schedule.step()
    assert set(pairs(layer)) == expected


def test_scaled_losses_of_half_types_choose_the_same_edges():
    wirings = []
    for scale in (1.0, 1024.0):
        layer = layer_of((20, 9), 60).float()
        optimizer = torch.optim.SGD(layer.parameters(), 0.0)
        schedule = el.dynamic.RigL(layer, optimizer, fraction=0.5, every=1)
        with torch.autocast("cpu", torch.bfloat16):
            y = layer(inputs(8, 20).float())
        (scale * y.float().square().sum()).backward()
        schedule.step()
        wirings.append(pairs(layer))
    assert wirings[0] == wirings[1]


@pytest.mark.parametrize("per", ["layer", "target"])
def test_a_sample_of_candidates_is_compared_exactly(per):
    from edgelinear.dynamic.room import room_of
    from edgelinear.generators._draw import numpy_generator

    layer = layer_of((15, 9), 40)
    optimizer = torch.optim.SGD(layer.parameters(), 0.0)
    generator = torch.Generator().manual_seed(5)
    options = dict(fraction=0.5, every=1, per=per, candidates=33, generator=generator)
    schedule = el.dynamic.RigL(layer, optimizer, **options)
    dropped = dropped_by_hand(layer, 20)
    kept = set(pairs(layer)) - set(dropped)
    taken = torch.tensor(sorted(t * 15 + s for s, t in kept)).numpy()
    lost = torch.tensor([sum(e[1] == t for e in dropped) for t in range(9)])
    count = (lost * 33 + 19) // 20 if per == "target" else torch.tensor([33])
    random = numpy_generator(torch.Generator().manual_seed(5))
    drawn = room_of(layer, None).draw(random, taken, count.numpy(), per_target=per == "target")

    x = inputs(4, 15)
    dense = layer.to_dense().detach().requires_grad_()
    F.linear(x, dense, layer.bias.detach()).square().sum().backward()
    among = torch.zeros(9 * 15, dtype=torch.float64)
    among[drawn] = dense.grad.view(-1).abs()[drawn] + 1  # the others are no candidates
    grown = set(grown_by_hand(among.view(9, 15), layer, dropped, per))
    layer(x).square().sum().backward()
    schedule.step()
    assert set(pairs(layer)) == kept | grown


def test_all_candidates_are_what_is_compared_without_a_number():
    wirings = []
    for candidates in (None, 10**6):
        layer = layer_of((15, 9), 40)
        optimizer = torch.optim.SGD(layer.parameters(), 0.0)
        schedule = el.dynamic.RigL(layer, optimizer, every=1, candidates=candidates)
        train(layer, optimizer, schedule, inputs(4, 15))
        wirings.append(pairs(layer))
    assert wirings[0] == wirings[1]


class Largest(TorchDispatchMode):
    """The largest tensor that any operator made."""

    numel = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        if isinstance(found, torch.Tensor):
            self.numel = max(self.numel, found.numel())
        return found


@pytest.mark.parametrize("per", ["layer", "target"])
@pytest.mark.parametrize("kind", KINDS)
def test_no_update_makes_a_dense_matrix(kind, per):
    layer = layer_of((3000, 2000), 4000).float()
    optimizer = torch.optim.SGD(layer.parameters(), 0.0)
    schedule = KINDS[kind](layer, optimizer, every=1, per=per)
    layer(torch.randn(2, 3000)).square().sum().backward()
    with Largest() as largest:
        schedule.step()
    assert largest.numel <= gradients._BLOCK < 3000 * 2000


# SET.


@settings(max_examples=60)
@given(data=st.data(), per=st.sampled_from(["layer", "target"]))
def test_set_drops_the_smallest_and_grows_as_many_missing(data, per):
    sizes = data.draw(st.tuples(st.integers(1, 8), st.integers(1, 8)))
    number = data.draw(st.integers(0, sizes[0] * sizes[1] - 1))
    fraction = data.draw(st.floats(0, 1))
    layer = layer_of(sizes, number, seed=data.draw(st.integers(0, 99)))
    optimizer = torch.optim.Adam(layer.parameters(), 0.01)
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 99)))
    options = dict(fraction=fraction, every=1, per=per, weight=0.5, generator=generator)
    schedule = el.dynamic.SET(layer, optimizer, **options)
    layer(inputs(3, sizes[0])).square().sum().backward()
    optimizer.step()
    before, weights = pairs(layer), by_edge(layer, layer.weight)
    full = {t for t in range(sizes[1]) if sum(e[1] == t for e in before) == sizes[0]}
    order = [
        edge for edge in dropped_by_hand(layer, number) if per == "layer" or edge[1] not in full
    ]
    dropped = order[: int(fraction * number)]
    schedule.step()
    kept = set(before) - set(dropped)
    after = by_edge(layer, layer.weight)
    assert layer.num_edges == len(after) == number and kept <= after.keys()
    assert all(after[e] == (weights[e] if e in kept else 0.5) for e in after)
    state = by_edge(layer, optimizer.state[layer.weight]["exp_avg"])
    assert all(state[edge] == 0.0 for edge in after.keys() - kept)
    if per == "target":
        assert [e[1] for e in sorted(after, key=lambda e: e[1])] == sorted(e[1] for e in before)


def test_new_edges_of_set_are_drawn_by_fan_in():
    layer = el.EdgeLinear.from_topology(el.generators.fixed_fan_in(400, 20, fan_in=100))
    optimizer = torch.optim.SGD(layer.parameters(), 0.0)
    schedule = el.dynamic.SET(layer, optimizer, fraction=1.0, every=1, per="target")
    (edges,) = schedule.step().values()
    assert (edges.old < 0).all()
    assert layer.weight.abs().max() <= 0.1 and layer.weight.std() > 0.8 * 0.1 / 3**0.5


@pytest.mark.parametrize("name", ["cosine", "linear", "cubic", "constant"])
@pytest.mark.parametrize("until", [None, 40])
def test_the_fraction_falls_by_its_schedule(name, until):
    layer = layer_of((100, 100), 1000)
    optimizer = torch.optim.SGD(layer.parameters(), 0.0)
    options = dict(fraction=0.4, every=10, until=until, schedule=name, weight=0.0)
    schedule = el.dynamic.SET(layer, optimizer, **options)
    left = {
        "cosine": lambda p: math.cos(math.pi * p / 2) ** 2,
        "linear": lambda p: 1 - p,
        "cubic": lambda p: (1 - p) ** 3,
        "constant": lambda p: 1,
    }[name]
    found = [sum(map(len, [m.old[m.old < 0] for m in schedule.step().values()])) for _ in range(60)]
    steps = [10, 20, 30] if until else [10, 20, 30, 40, 50, 60]
    expected = {s: 400 * (left(s / until) if until else 1) for s in steps}
    for step, number in enumerate(found, 1):
        assert abs(number - expected.get(step, 0)) <= 1
    assert schedule.updates == len(steps)


def test_networks_grow_edges_to_later_levels_alone():
    edges = [(0, 2), (1, 2), (1, 3), (2, 4), (3, 4), (2, 5), (4, 6), (5, 6)]
    net = el.EdgeNetwork(7, edges, [0, 1], [6], dtype=torch.float64)
    level = net.level.tolist()
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    schedule = el.dynamic.SET(net, optimizer, fraction=0.5, every=1)
    for _ in range(60):
        train(net, optimizer, schedule, inputs(4, 2))
        assert net.num_edges == len(set(pairs(net))) == len(edges)
        assert all(level[source] < level[target] for source, target in pairs(net))


def test_recurrent_networks_grow_any_edge_but_into_clamped_inputs():
    edges = [(0, 1), (1, 2), (2, 1), (2, 3)]
    seen = set()
    for clamped in (False, True):
        net = el.EdgeRNN(4, edges, [0], [3], clamp_inputs=clamped)
        optimizer = torch.optim.SGD(net.parameters(), 0.0)
        schedule = el.dynamic.SET(net, optimizer, fraction=1.0, every=1)
        grown = set()
        for _ in range(60):
            schedule.step()
            grown |= set(pairs(net))
        assert len(grown) == (12 if clamped else 16)
        seen |= grown if clamped else set()
    assert all(target != 0 for _, target in seen)


def test_signs_stay_those_of_sources():
    topology = el.generators.erdos_renyi(10, 8, num_edges=40)
    signs = [1, -1] * 5
    layer = el.rules.fix_signs(el.EdgeLinear.from_topology(topology), signs)
    optimizer = torch.optim.Adam(layer.parameters(), 0.05)
    for grow in ("random", "gradient"):
        schedule = el.dynamic.SET(layer, optimizer, fraction=0.5, every=1, grow=grow)
        for _ in range(20):
            train(layer, optimizer, schedule, torch.randn(4, 10))
            assert layer.num_edges == 40
            assert all(
                (w > 0) == (s % 2 == 0) for (s, _), w in by_edge(layer, layer.weight).items()
            )
        assert schedule.updates == 20


# What all of them do.


@settings(max_examples=40)
@given(data=st.data())
def test_any_schedule_keeps_the_number_of_edges_and_counts_its_updates(data):
    kind = KINDS[data.draw(st.sampled_from(sorted(KINDS)))]
    every, steps = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 9))
    until = data.draw(st.none() | st.integers(1, 10))
    options = dict(
        fraction=data.draw(st.floats(0, 1)),
        per=data.draw(st.sampled_from(["layer", "target"])),
        grow=data.draw(st.sampled_from(["random", "gradient"])),
        schedule=data.draw(st.sampled_from(["cosine", "linear", "cubic", "constant"])),
    )
    model = nn.Sequential(layer_of((7, 6), 15), nn.ReLU(inplace=True), layer_of((6, 4), 10))
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    schedule = kind(model, optimizer, every=every, until=until, **options)
    parameters = list(model.parameters())
    train(model, optimizer, schedule, inputs(4, 7), steps)
    assert [model[0].num_edges, model[2].num_edges] == [15, 10]
    assert [len({*pairs(model[at])}) for at in (0, 2)] == [15, 10]
    due = [s for s in range(1, steps + 1) if s % every == 0 and (until is None or s < until)]
    assert schedule.updates == len(due) and schedule.steps == steps
    assert [u.step for u in schedule.history] == [s for s in [0, *due] for _ in range(2)]
    assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))
    assert f"step={steps}" in repr(schedule) and f"updates={len(due)}" in repr(schedule)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stop", [3, 4, 5])
def test_training_goes_on_from_a_saved_state_bit_for_bit(kind, stop):
    def parts():
        model = nn.Sequential(layer_of((9, 8), 30), nn.Tanh(), layer_of((8, 4), 12))
        return model, torch.optim.Adam(model.parameters(), 0.05)

    def schedule_of(model, optimizer):
        generator = torch.Generator().manual_seed(7)
        return KINDS[kind](model, optimizer, every=2, until=9, generator=generator)

    whole, optimizer = parts()
    schedule = schedule_of(whole, optimizer)
    train(whole, optimizer, schedule, inputs(5, 9), stop)
    file = io.BytesIO()
    torch.save((whole.state_dict(), optimizer.state_dict(), schedule.state_dict()), file)
    saved = torch.load(io.BytesIO(file.getvalue()), weights_only=True)
    train(whole, optimizer, schedule, inputs(5, 9), 10 - stop)

    model, _ = parts()
    el.adopt_wiring(model, saved[0])
    model.load_state_dict(saved[0])
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    optimizer.load_state_dict(saved[1])
    again = schedule_of(model, optimizer)
    again.load_state_dict(saved[2])
    train(model, optimizer, again, inputs(5, 9), 10 - stop)
    for ours, theirs in zip(model.parameters(), whole.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert pairs(model[0]) == pairs(whole[0]) and pairs(model[2]) == pairs(whole[2])
    assert again.history == schedule.history and repr(again) == repr(schedule)


def test_levels_of_a_network_are_those_of_the_beginning():
    net = el.EdgeNetwork(4, [(0, 1), (1, 2), (2, 3)], [0], [3])
    optimizer = torch.optim.SGD(net.parameters(), 0.0)
    schedule = el.dynamic.SET(net, optimizer, fraction=1.0, every=1)
    while net.level.tolist() == [0, 1, 2, 3]:
        schedule.step()
    state = schedule.state_dict()
    again = el.dynamic.SET(net, optimizer, fraction=1.0, every=1)
    again.load_state_dict(state)
    assert again.state_dict()["levels"][0].tolist() == [0, 1, 2, 3]


def test_a_state_of_something_else_is_refused():
    layer = layer_of((9, 8), 30)
    optimizer = torch.optim.SGD(layer.parameters(), 0.0)
    schedule = el.dynamic.SET(layer, optimizer, every=1)
    state = schedule.state_dict()
    schedule.step()
    with pytest.raises(ValueError, match="another wiring than when `state` was saved: load"):
        schedule.load_state_dict(state)
    with pytest.raises(ValueError, match="must be that of a SET, and has no 'history'"):
        schedule.load_state_dict({k: v for k, v in state.items() if k != "history"})
    with pytest.raises(ValueError, match="is that of 2 layers, got a model with 1"):
        schedule.load_state_dict(state | {"wirings": state["wirings"] * 2})
    assert schedule.steps == 1


def test_maps_say_which_old_edge_each_one_is():
    model = nn.Sequential(layer_of((9, 8), 30), nn.Tanh(), layer_of((8, 4), 12))
    average = copy.deepcopy(model[0].weight.detach())
    optimizer = torch.optim.SGD(model.parameters(), 0.0)
    schedule = el.dynamic.SET(model, optimizer, every=1, skip=["2"], weight=3.0)
    maps = schedule.step()
    assert list(maps) == ["0"]
    assert torch.equal(maps["0"].follow(average, fill=3.0), model[0].weight)


def test_every_layer_is_told_of_in_the_history():
    model = nn.Sequential(layer_of((9, 8), 30), nn.Tanh(), layer_of((8, 4), 12))
    optimizer = torch.optim.SGD(model.parameters(), 0.0)
    schedule = el.dynamic.SET(model, optimizer, every=1, fraction=0.5)
    schedule.step()
    first, second = schedule.history_of("2")
    assert (first.step, first.dropped, first.grown, first.num_edges) == (0, 0, 0, 12)
    assert (second.step, second.dropped, second.grown, second.num_edges) == (1, 6, 6, 12)
    fan_in = model[2].topology.fan_in.double()
    quartiles = fan_in.quantile(torch.linspace(0, 1, 5).double())
    assert second.fan_in == tuple(quartiles.tolist())
