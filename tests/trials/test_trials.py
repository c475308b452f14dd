"""Controls: what differs between runs, and what is said of it."""

import csv
import random
from functools import partial

import numpy as np
import pytest
import torch
from controlled import TOPOLOGY, null_model, overlap, run

import edgelinear as el
from edgelinear.trials.report import REAL


def test_wiring_that_matters_is_found():
    report = run(overlap, seeds=range(10))
    assert report.scores[REAL] == [100.0] * 10
    assert all(c.mean_difference > 0 for c in report.comparisons)
    assert report.sentence.startswith("The real wiring is better than degree_preserving")


def test_wiring_that_does_not_matter_is_not_found():
    def noise(model, seed):  # which differs from wiring to wiring
        torch.manual_seed(int(model.topology.digest[:8], 16) + seed)
        return torch.rand(()).item()

    report = run(noise, seeds=range(10))
    assert "no evidence that the wiring helps" in report.sentence.lower()


@pytest.mark.parametrize("seeds", [1, 6, 10])
def test_scores_that_no_wiring_changes_are_no_evidence_of_anything(seeds):
    report = run(lambda model, seed: torch.rand(()).item(), seeds=range(seeds))
    assert report.sentence == (
        "Every score is the same as with the real wiring: does `make_model` use the wiring it is "
        "given?"
    )
    assert report.sentence in str(report) and "drew the real wiring" not in str(report)


def test_null_models_that_draw_the_real_wiring_are_counted():
    full = el.Topology(3, 2, [(i, j) for j in (1, 0) for i in range(3)])
    report = el.controls(
        el.EdgeLinear.from_topology,
        full,
        lambda model, seed: model.weight.sum().item() + len(model.topology.edge_index[0]),
        seeds=range(7),
        null_models=["permute_targets", "erdos_renyi_like"],
        progress=False,
    )
    for name in ("permute_targets", "erdos_renyi_like"):
        assert f"{name} drew the real wiring itself for 7 of 7 seeds" in str(report)
    assert "drew the real wiring" not in str(run(overlap, seeds=range(2)))


def test_weights_tell_wirings_of_the_same_edges():
    topology = el.Topology(2, 2, [(0, 0), (1, 1), (0, 1)])
    for weight, said in ((torch.ones(3), True), (torch.arange(3.0), False)):
        report = el.controls(
            lambda wiring: el.EdgeLinear.from_wiring(wiring, values="weight"),
            el.convert.Wiring(topology, weight),
            lambda model, seed: model.weight[0].item(),
            seeds=[1],
            null_models=["permute_weights"],
            progress=False,
        )
        assert ("permute_weights drew the real wiring itself" in str(report)) == said


def test_data_does_not_depend_on_weights():
    one_to_one = el.Topology(256, 256, torch.arange(256).repeat(2, 1))

    def make(topology):
        return el.EdgeLinear.from_topology(topology, bias=False)

    def train(model, seed):  # nothing: were weights and data of one seed, their product would tell
        with torch.no_grad():
            return model(torch.rand(64, 256))[0].mean().item()

    report = el.controls(make, one_to_one, train, seeds=range(8), progress=False)
    assert "no evidence that the wiring helps" in report.sentence.lower()


def test_generators_are_seeded_and_left_as_they_were():
    def draw():
        return torch.rand(()).item(), np.random.rand(), random.random()

    drawn = []

    def train(model, seed):
        drawn.append(draw())
        return 0.0

    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    expected = draw()
    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    run(train, seeds=range(2))
    assert draw() == expected
    assert drawn[:4] == [drawn[0]] * 4 and drawn[4:] == [drawn[4]] * 4 and drawn[0] != drawn[4]


def test_generators_are_left_as_they_were_after_an_error():
    torch.manual_seed(1)
    expected = torch.rand(())
    torch.manual_seed(1)
    with pytest.raises(ZeroDivisionError):
        run(lambda model, seed: 1 / 0)
    assert torch.equal(torch.rand(()), expected)


def test_lower_may_be_better():
    report = run(lambda model, seed: -overlap(model, seed), higher_is_better=False, seeds=range(10))
    assert "better than" in report.sentence


def test_pairs_share_all_but_the_wiring():
    drawn = {}

    def train(model, seed):
        drawn.setdefault(seed, []).append((torch.rand(3).tolist(), model.weight.shape))
        return 0.0

    run(train)
    for draws in drawn.values():
        assert len(draws) == 4 and all(draw == draws[0] for draw in draws)
    assert len({str(draws[0]) for draws in drawn.values()}) == 6


def test_same_seeds_give_the_same_report():
    first, second = (run(lambda model, seed: model.weight.sum().item()) for _ in range(2))
    assert first == second
    assert str(first) == str(second)


def test_several_topologies_are_drawn_together():
    both = [TOPOLOGY, TOPOLOGY.T]
    seen = []

    def make(topologies):
        seen.append(topologies)
        return torch.nn.Linear(1, 1)

    el.controls(make, both, lambda m, s: 0.0, seeds=[0], null_models=["permute_targets"],
                progress=False)  # fmt: skip
    assert seen[0] == both
    assert [t.num_edges for t in seen[1]] == [100, 100] and seen[1] != both


def test_few_seeds_cannot_tell():
    report = run(overlap, seeds=range(4))
    assert report.sentence == (
        "4 seeds are too few to tell: even if all agree, p is 0.12, and 0.017 is needed. "
        "Use 7 seeds."
    )


def test_one_seed_cannot_tell():
    report = run(overlap, seeds=[0])
    assert report.sentence.startswith("1 seed is too few to tell")
    assert "nan" in str(report)
    assert all(c.p_value == 1.0 for c in report.comparisons)


def test_report_is_written_as_a_table(tmp_path):
    report = run(overlap)
    report.to_csv(tmp_path / "report.csv")
    assert b"\r" not in (tmp_path / "report.csv").read_bytes()
    rows = list(csv.DictReader((tmp_path / "report.csv").open()))
    assert len(rows) == 24
    assert {row["wiring"] for row in rows} == {
        REAL, "degree_preserving", "permute_targets", "erdos_renyi_like"
    }  # fmt: skip


@pytest.mark.parametrize(
    "options, message",
    [
        ({"seeds": []}, "at least one"),
        ({"seeds": [1, 1]}, "different"),
        ({"null_models": []}, "name at least one"),
        ({"null_models": [lambda topology, generator: topology]}, "needs a name"),
        ({"null_models": [partial(null_model), null_model]}, "names that differ"),
        ({"null_models": ["permute_targets", "permute_targets"]}, "names that differ"),
        ({"null_models": ["shuffle"]}, "must be among .*, got 'shuffle'"),
    ],
)
def test_impossible_request_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        run(overlap, **options)


@pytest.mark.parametrize("score", [None, "0.5", True, torch.zeros(2), [0.5]])
def test_score_must_be_a_number(score):
    with pytest.raises(TypeError, match="must return a number, got .* for seed 0 on real wiring"):
        run(lambda model, seed: score)


@pytest.mark.parametrize("score", [torch.tensor(0.5), np.float32(0.5), 1])
def test_score_may_be_any_number(score):
    assert run(lambda model, seed: score).scores[REAL] == [float(score)] * 6


def test_score_must_be_finite():
    with pytest.raises(ValueError, match="finite number, got nan for seed 0 on real wiring"):
        run(lambda model, seed: float("nan"))


@pytest.mark.parametrize(
    "topology, error, message",
    [
        (
            el.EdgeLinear.from_topology(TOPOLOGY),
            TypeError,
            "got EdgeLinear: use its `.topology` or `.wiring`",
        ),
        ([], ValueError, "at least one Topology"),
        ([(0, 0)], TypeError, "must be a Topology or a Wiring, or a list of some, got list"),
    ],
)
def test_wrong_topology_is_refused(topology, error, message):
    with pytest.raises(error, match=message):
        el.controls(el.EdgeLinear.from_topology, topology, overlap, seeds=[0])


@pytest.mark.parametrize(
    "options, message",
    [
        ({"seeds": 5}, "whole numbers, .* got 5"),
        ({"seeds": [0.5, 1.5]}, "whole numbers"),
        ({"null_models": "permute_targets"}, "must be a list, got 'permute_targets'"),
    ],
)
def test_wrong_kind_is_refused(options, message):
    with pytest.raises(TypeError, match=message):
        run(overlap, **options)
