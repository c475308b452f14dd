"""What the scores of `controls` say: paired differences, their intervals and tests."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

REAL = "real wiring"
_LEVEL = 0.05
_RESAMPLES = 10_000


class Contrast(NamedTuple):
    """The real wiring against one null model, over the same seeds. Positive is better.

    Example:
        >>> scores = {"real wiring": [0.9, 0.8, 0.9], "permute_targets": [0.5, 0.6, 0.5]}
        >>> contrast = ControlsReport((0, 1, 2), scores, True).comparisons[0]
        >>> contrast.null_model, round(contrast.mean_difference, 3)
        ('permute_targets', 0.333)
    """

    null_model: str
    mean_difference: float
    low: float  #: of the confidence interval of the mean difference, at `report.confidence`
    high: float
    p_value: float  #: of the sign-flip test, two-sided
    effect_size: float  #: mean difference over the standard deviation of the differences


@dataclass(frozen=True)
class ControlsReport:
    """Scores of every seed, and what they say. `str(report)` is a table and a sentence.

    Raises:
        ValueError: if a wiring has not a finite score for each seed, or there is no null model.

    Example:
        >>> scores = {"real wiring": [0.9, 0.8, 0.9], "permute_targets": [0.5, 0.6, 0.5]}
        >>> print(ControlsReport((0, 1, 2), scores, True).sentence)
        3 seeds are too few to tell: even if all agree, p is 0.25, and 0.05 is needed. Use 6 seeds.
    """

    seeds: tuple[int, ...]
    scores: dict[str, list[float]]  #: of each wiring, in the order of seeds
    higher_is_better: bool
    note: str = field(default="", compare=False)  #: where scores are from

    def __post_init__(self) -> None:
        if REAL not in self.scores or len(self.scores) < 2:
            raise ValueError(
                f"`scores` must have those of {REAL!r} and of a null model, got {[*self.scores]}."
            )
        for name, scores in self.scores.items():
            if len(scores) != len(self.seeds) or not np.isfinite(scores).all():
                raise ValueError(
                    f"{name} must have a finite score for each of the {len(self.seeds)} seeds, "
                    f"got {scores}."
                )

    def differences(self, null_model: str) -> np.ndarray:
        """Return by how much the real wiring is better than a null model, for each seed."""
        difference = np.array(self.scores[REAL]) - np.array(self.scores[null_model])
        return difference if self.higher_is_better else -difference

    @cached_property
    def comparisons(self) -> list[Contrast]:
        """One for each null model. Intervals are corrected for their number, p-values are not."""
        return [
            _contrast(name, self.differences(name), self.confidence)
            for name in self.scores
            if name != REAL
        ]

    @property
    def level(self) -> float:
        """What each p-value is held against: 0.05 over the number of null models (Bonferroni)."""
        return level_of(len(self.scores) - 1)

    @property
    def confidence(self) -> float:
        """That of each interval, so that all of them hold at once with 95 % at least."""
        return 1 - self.level

    @property
    def sentence(self) -> str:
        """What the scores say at the level of 5 %, corrected for the number of null models."""
        number, level = len(self.seeds), self.level
        if all(scores == self.scores[REAL] for scores in self.scores.values()):
            return (
                "Every score is the same as with the real wiring: does `make_model` use the wiring "
                "it is given?"
            )
        few = too_few(number, len(self.scores) - 1)
        if few is not None:
            return few
        comparisons = self.comparisons
        better = [c.null_model for c in comparisons if c.p_value <= level and c.mean_difference > 0]
        worse = [c.null_model for c in comparisons if c.p_value <= level and c.mean_difference < 0]
        said = []
        if better:
            said.append(f"the real wiring is better than {_listed(better)}")
        if worse:
            said.append(f"the real wiring is worse than {_listed(worse)}")
        rest = [c.null_model for c in comparisons if c.null_model not in (*better, *worse)]
        if rest:
            said.append(f"there is no evidence that it is better or worse than {_listed(rest)}")
        if not better and not worse:
            said = [f"no evidence that the wiring helps: it cannot be told from {_listed(rest)}"]
        text = "; ".join(said)
        held = f"each p is held against {level:.2g}"
        if len(comparisons) > 1:
            held = (
                f"each p is held against {_LEVEL} / {len(comparisons)}, and each interval is of "
                f"{percent(self.confidence)}"
            )
        return f"{text[0].upper()}{text[1:]} ({number} seeds; {held})."

    def __str__(self) -> str:
        interval = f"{percent(self.confidence)} interval"
        lines = [f"{'null model':<20} {'difference':>11} {interval:>22} {'p':>8} {'effect':>7}"]
        for c in self.comparisons:
            interval = f"[{c.low:+.4g}, {c.high:+.4g}]"
            lines.append(
                f"{c.null_model:<20} {c.mean_difference:>+11.4g} {interval:>22} {c.p_value:>8.2g} "
                f"{c.effect_size:>+7.2f}"
            )
        return "\n".join([*lines, self.sentence, *filter(None, [self.note])])

    def to_csv(self, path: str | Path) -> None:
        """Write a row for each seed and wiring."""
        with Path(path).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["wiring", "seed", "score"])
            for name, scores in self.scores.items():
                for seed, score in zip(self.seeds, scores, strict=True):
                    writer.writerow([name, seed, repr(score)])


def level_of(null_models: int) -> float:
    """Return what each p-value is held against: 0.05 over the number of null models."""
    return _LEVEL / null_models


def too_few(seeds: int, null_models: int) -> str | None:
    """Return None if so many seeds can tell, or a sentence that says how many could."""
    least, level = 2.0 ** (1 - seeds), level_of(null_models)
    if least <= level:
        return None
    are = "1 seed is" if seeds == 1 else f"{seeds} seeds are"
    return (
        f"{are} too few to tell: even if all agree, p is {least:.2g}, and {level:.2g} is needed. "
        f"Use {math.ceil(1 - math.log2(level))} seeds."
    )


def percent(part: float) -> str:
    return f"{100 * part:.3g} %"


def _contrast(null_model: str, differences: np.ndarray, confidence: float) -> Contrast:
    from scipy import stats

    mean, number = float(differences.mean()), len(differences)
    if number == 1:
        return Contrast(null_model, mean, -math.inf, math.inf, 1.0, math.nan)
    spread = float(differences.std(ddof=1))
    half = spread / math.sqrt(number) * float(stats.t.ppf((1 + confidence) / 2, number - 1))
    if (differences == 0).all():
        return Contrast(null_model, 0.0, 0.0, 0.0, 1.0, 0.0)
    test = stats.permutation_test(
        (differences,),
        np.mean,
        permutation_type="samples",  # flips the signs of one sample
        n_resamples=_RESAMPLES,
        vectorized=True,
        random_state=np.random.default_rng(0),
    )
    rounding = 1e-12 * float(np.abs(differences).max())
    effect = mean / spread if spread > rounding else math.copysign(math.inf, mean)
    return Contrast(null_model, mean, mean - half, mean + half, float(test.pvalue), effect)


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
