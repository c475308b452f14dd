"""Intervals and verdicts of several null models: corrected alike, and together right."""

import math

import numpy as np
import pytest
from scipy import stats

from edgelinear import plot
from edgelinear.trials.report import REAL, ControlsReport

DRAWS = np.random.default_rng(0)


def report_of(number, seeds=9, shift=1.0):
    scores = {f"null {i}": list(DRAWS.normal(0, 1, seeds)) for i in range(number)}
    return ControlsReport(
        tuple(range(seeds)), {REAL: list(DRAWS.normal(shift, 1, seeds))} | scores, True
    )


@pytest.mark.parametrize("number", [1, 2, 3, 5])
def test_interval_is_that_of_student_at_a_level_shared_by_all(number):
    report = report_of(number)
    for found in report.comparisons:
        differences = report.differences(found.null_model)
        expected = stats.ttest_1samp(differences, 0).confidence_interval(1 - 0.05 / number)
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("number", [1, 3])
def test_verdict_is_held_against_the_same_level(number):
    for _ in range(20):
        report = report_of(number, seeds=12, shift=DRAWS.uniform(0, 1.5))
        better = [
            c.null_model
            for c in report.comparisons
            if c.p_value <= 0.05 / number and c.mean_difference > 0
        ]
        said = report.sentence.split("; there is")[0]
        assert all(
            (name in said) == (name in better) for name in report.scores if name != REAL
        ) or (not better and said.startswith("No evidence"))


def test_all_intervals_hold_together_as_often_as_one_of_95_percent():
    draws, held, trials = np.random.default_rng(1), 0, 400
    for _ in range(trials):
        scores = {REAL: list(draws.normal(0.5, 1.0, 8))}
        scores |= {f"null {i}": list(draws.normal(0.0, 1.0, 8)) for i in range(4)}
        found = ControlsReport(tuple(range(8)), scores, True).comparisons
        held += all(c.low <= 0.5 <= c.high for c in found)
    # Bonferroni's is 95 % at least: three standard errors below, and no bound above but 1.
    assert held / trials > 0.95 - 3 * math.sqrt(0.95 * 0.05 / trials)


@pytest.mark.parametrize(
    "number, head", [(1, "95 % interval"), (2, "97.5 % interval"), (3, "98.3 % interval")]
)
def test_table_says_of_which_level_its_intervals_are(number, head):
    first = str(report_of(number)).splitlines()[0]
    assert head in first


def test_sentence_says_how_both_were_corrected():
    assert "each p is held against 0.05 / 3, and each interval is of 98.3 %" in (
        report_of(3).sentence
    )
    assert report_of(1).sentence.endswith("(9 seeds; each p is held against 0.05).")


@pytest.mark.parametrize("number, level", [(1, "95 %"), (3, "98.3 %")])
def test_picture_says_of_which_level_its_intervals_are(number, level):
    figure = plot.controls(report_of(number))
    assert f"{level} interval" in figure.get_supxlabel().replace("\u00a0", " ").replace("\n", " ")


def test_rows_of_the_table_are_aligned_below_its_head():
    lines = str(report_of(3)).splitlines()
    assert len({len(line) for line in lines[:4]}) == 1
