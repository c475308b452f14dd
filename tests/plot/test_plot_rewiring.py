"""Facts about the picture of a schedule."""

import numpy as np
import pytest
import torch
from torch import nn

import edgelinear as el

pytest.importorskip("matplotlib")


def trained(kind=el.dynamic.SET, **options):
    torch.manual_seed(0)
    model = nn.Sequential(
        el.EdgeLinear.from_topology(el.generators.erdos_renyi(12, 8, num_edges=40)),
        nn.ReLU(),
        el.EdgeLinear.from_topology(el.generators.erdos_renyi(8, 5, num_edges=20)),
    )
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    schedule = kind(model, optimizer, fraction=0.5, every=2, until=9, **options)
    for _ in range(10):
        schedule.step()
    return schedule


def test_each_layer_has_its_fan_in_and_its_changes():
    schedule = trained()
    figure = el.plot.rewiring(schedule)
    first, second, below, _ = figure.axes
    assert first.get_title() == "0: 40 edges" and second.get_title() == "2: 20 edges"
    (median,) = first.lines
    updates = schedule.history_of("0")
    assert median.get_xdata().tolist() == [0, 2, 4, 6, 8]
    assert median.get_ydata().tolist() == [update.fan_in[2] for update in updates]
    heights = np.array([bar.get_height() for bar in below.patches])
    assert heights.tolist() == [*[u.grown for u in updates], *[-u.dropped for u in updates]]
    total = sum(update.grown for update in schedule.history)
    assert figure.get_suptitle() == f"SET: 4 updates, {total} edges dropped and {total} grown"


def test_a_history_alone_is_drawn_and_edges_that_became_fewer_are_told():
    figure = el.plot.rewiring(trained(el.dynamic.Prune).history)
    assert figure.axes[0].get_title() == "0: 40 to 20 edges"
    assert figure.get_suptitle().startswith("5 updates, 30 edges dropped and 0 grown")


def test_updates_of_a_part_of_a_history_are_counted():
    history = trained().history  # of two layers
    for part, said in (
        (history[-4:], "2 updates,"),
        (history[:4], "1 update,"),
        (history[:2], "0"),
    ):
        assert el.plot.rewiring(part).get_suptitle().startswith(said)


@pytest.mark.parametrize(
    ("schedule", "error", "message"),
    [
        ([], ValueError, "a history of at least one layer"),
        ([1, 2], TypeError, "one of `el.dynamic`, or its `history`, got int"),
        (None, TypeError, "one of `el.dynamic`, or its `history`, got NoneType"),
    ],
)
def test_what_is_no_schedule_is_refused(schedule, error, message):
    with pytest.raises(error, match=message):
        el.plot.rewiring(schedule)
