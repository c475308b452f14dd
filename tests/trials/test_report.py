"""The statistics of a report, against others worked out here."""

import itertools

import numpy as np
import pytest

from edgelinear.trials.report import REAL, ControlsReport


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


@pytest.mark.parametrize("scores", [[1.0], [1.0, float("nan")]])
def test_report_needs_a_finite_score_for_each_seed(scores):
    with pytest.raises(ValueError, match="null must have a finite score for each of the 2 seeds"):
        ControlsReport((0, 1), {REAL: [1.0, 2.0], "null": scores}, True)


@pytest.mark.parametrize("scores", [{REAL: [1.0]}, {"null": [1.0]}, {}])
def test_report_needs_a_real_wiring_and_a_null_model(scores):
    with pytest.raises(ValueError, match="those of 'real wiring' and of a null model"):
        ControlsReport((0,), scores, True)
