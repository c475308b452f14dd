"""Controls: what differs between runs, the statistics, and that a stopped run goes on."""

import csv
import itertools
import multiprocessing
import random
import subprocess
import sys
import time
import warnings
from functools import partial

import numpy as np
import pytest
import torch

import edgelinear as el
from edgelinear.trials.report import REAL, ControlsReport

TOPOLOGY = el.generators.erdos_renyi(
    30, 20, num_edges=100, generator=torch.Generator().manual_seed(99)
)


def run(train, **options):
    options = {"seeds": range(6), "progress": False} | options
    return el.controls(el.EdgeLinear.from_topology, TOPOLOGY, train, **options)


def overlap(model, seed):
    """Return how many edges of the true wiring a model has: a score that wiring alone decides."""
    edges = set(map(tuple, model.edge_index.T.tolist()))
    return len(edges & set(map(tuple, TOPOLOGY.edge_index.T.tolist())))


def test_wiring_that_matters_is_found():
    report = run(overlap, seeds=range(10))
    assert report.scores[REAL] == [100.0] * 10
    assert all(c.mean_difference > 0 for c in report.comparisons)
    assert report.sentence.startswith("The real wiring is better than degree_preserving")


def test_wiring_that_does_not_matter_is_not_found():
    report = run(lambda model, seed: torch.rand(()).item(), seeds=range(10))
    assert "no evidence that the wiring helps" in report.sentence.lower()


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


def test_p_value_is_that_of_all_sign_flips():
    differences = np.array([0.3, -0.1, 0.4, 0.2, 0.5, 0.25])
    report = ControlsReport(tuple(range(6)), {REAL: list(differences), "null": [0.0] * 6}, True)
    (found,) = report.comparisons
    flips = [np.mean(differences * signs) for signs in itertools.product([1, -1], repeat=6)]
    exact = np.mean(np.abs(flips) >= abs(differences.mean()) - 1e-12)
    assert found.p_value == pytest.approx(exact)
    assert found.effect_size == pytest.approx(differences.mean() / differences.std(ddof=1))


def test_interval_covers_the_truth_as_often_as_it_says():
    draws, covered = np.random.default_rng(0), 0
    for _ in range(300):
        scores = {REAL: list(draws.normal(0.5, 1.0, 8)), "null": [0.0] * 8}
        (found,) = ControlsReport(tuple(range(8)), scores, True).comparisons
        covered += found.low <= 0.5 <= found.high
    assert 0.91 < covered / 300 < 0.98  # 95 %, give or take three standard errors


def test_few_seeds_cannot_tell():
    report = run(overlap, seeds=range(4))
    assert report.sentence == (
        "4 seeds are too few to tell: even if all agree, p is 0.12, and 0.017 is needed. "
        "Use 7 seeds."
    )


def test_stopped_run_goes_on(tmp_path):
    path, calls = tmp_path / "scores.csv", []

    def train(model, seed):
        calls.append(seed)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return overlap(model, seed)

    with pytest.raises(KeyboardInterrupt):
        run(train, path=path)
    report = run(train, path=path)
    assert len(calls) == 24 + 1  # the one that was stopped came twice
    assert report == run(overlap)
    assert run(train, path=path) == report and len(calls) == 25


def test_line_that_was_cut_is_written_anew(tmp_path):
    path = tmp_path / "scores.csv"
    report = run(overlap, path=path)
    path.write_text(path.read_text()[:-8])  # as if the machine had stopped while it wrote
    assert run(overlap, path=path) == report


def test_file_of_another_topology_is_refused(tmp_path):
    path = tmp_path / "scores.csv"
    run(overlap, path=path)
    with pytest.raises(ValueError, match="scores of another topology"):
        el.controls(el.EdgeLinear.from_topology, TOPOLOGY.T, overlap, seeds=[0], path=path)


OTHER_FILES = {
    "a table": b"model,accuracy\nA,0.9\nB,0.8",
    "one line": b"hello",
    "no text": b"\xff\xfe",
    "a report": b"wiring,seed,score\nreal wiring,0,1.0\n",
}


@pytest.mark.parametrize("name", OTHER_FILES)
def test_file_of_something_else_is_left_alone(name, tmp_path):
    path = tmp_path / "scores.csv"
    path.write_bytes(OTHER_FILES[name])
    with pytest.raises(ValueError, match="is no file of `controls`"):
        run(overlap, path=path)
    assert path.read_bytes() == OTHER_FILES[name]


@pytest.mark.parametrize("score", ["nan", "abc", "inf", ""])
def test_score_in_a_file_must_be_a_number(score, tmp_path):
    path = tmp_path / "scores.csv"
    run(overlap, path=path, seeds=[0])
    text = path.read_text()
    path.write_text(text.replace(",100.0", f",{score}"))
    with pytest.raises(ValueError, match="line 2 of .* must hold a finite score"):
        run(overlap, path=path)


def test_report_says_what_was_read(tmp_path):
    path = tmp_path / "scores.csv"
    run(overlap, path=path, seeds=range(2))
    report = run(overlap, path=path, seeds=range(3))
    assert str(report).endswith(f"8 of 12 scores were read from {path}.")


def constant(model, seed, score=0.5):
    return score


def other(model, seed, score=0.1):
    return score


class Constant:
    def __init__(self, score):
        self.score = score

    def __call__(self, model, seed):
        return self.score


class Other(Constant):
    def __call__(self, model, seed):
        return self.score + 1


def null_model(topology, *, generator):
    return topology


CHANGES = {
    "a number": (lambda model, seed: 0.5, lambda model, seed: 0.1),
    "a default": (constant, other),
    "an argument": (partial(constant, score=0.5), partial(constant, score=0.1)),
    "a wrapped function": (torch.no_grad()(constant), torch.no_grad()(other)),
    "a class": (Constant(0.5), Other(0.5)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_scores_of_other_code_are_used_with_a_warning(name, tmp_path):
    before, after = CHANGES[name]
    path = tmp_path / "scores.csv"
    first = run(before, path=path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(before, path=path)
    with pytest.warns(UserWarning, match="has other code than when scores"):
        second = run(after, path=path)
    assert second == first


def test_another_null_model_is_no_other_code(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for models in (["permute_targets"], ["permute_targets", null_model], ["permute_targets"]):
            run(constant, path=tmp_path / "scores.csv", null_models=models)


def test_code_is_the_same_in_another_process(tmp_path):
    script = f"""
import edgelinear as el
def train(model, seed, a=object(), b=print):
    return float(str(seed) in {{"1", "2", "3", "4"}})
el.controls(el.EdgeLinear.from_topology, el.Topology(3, 3, [(0, 1), (1, 2)]), train,
            seeds=range(2), path={str(tmp_path / "scores.csv")!r}, progress=False)
"""
    for _ in range(3):
        subprocess.run([sys.executable, "-W", "error::UserWarning", "-c", script], check=True)


def test_two_runs_do_not_write_to_one_file(tmp_path):
    path = tmp_path / "scores.csv"
    with pytest.raises(RuntimeError, match="another run.* is writing"):
        run(lambda model, seed: run(overlap, path=path), path=path)


def test_file_is_free_after_a_run_that_started_a_process(tmp_path):
    path = tmp_path / "scores.csv"
    started = []

    def train(model, seed):
        if not started:
            started.append(
                multiprocessing.get_context("fork").Process(target=time.sleep, args=[60])
            )
            started[0].start()
        return 0.0

    try:
        run(train, path=path)
        run(train, path=path)
    finally:
        started[0].kill()


def test_one_seed_cannot_tell():
    report = run(overlap, seeds=[0])
    assert report.sentence.startswith("1 seed is too few to tell")
    assert "nan" in str(report)
    assert all(c.p_value == 1.0 for c in report.comparisons)


@pytest.mark.parametrize("scores", [[1.0], [1.0, float("nan")]])
def test_report_needs_a_finite_score_for_each_seed(scores):
    with pytest.raises(ValueError, match="null must have a finite score for each of the 2 seeds"):
        ControlsReport((0, 1), {REAL: [1.0, 2.0], "null": scores}, True)


@pytest.mark.parametrize("scores", [{REAL: [1.0]}, {"null": [1.0]}, {}])
def test_report_needs_a_real_wiring_and_a_null_model(scores):
    with pytest.raises(ValueError, match="those of 'real wiring' and of a null model"):
        ControlsReport((0,), scores, True)


def test_report_is_written_as_a_table(tmp_path):
    report = run(overlap)
    report.to_csv(tmp_path / "report.csv")
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
