"""Did the wiring matter? The same model, trained on it and on random wirings that are like it."""

import csv
import hashlib
import io
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from edgelinear import null_models as nulls
from edgelinear.topology import Topology

REAL = "real wiring"
NULL_MODELS: dict[str, Callable[..., Topology]] = {
    "degree_preserving": nulls.degree_preserving,
    "permute_targets": nulls.permute_targets,
    "erdos_renyi_like": nulls.erdos_renyi_like,
}
_RESAMPLES = 10_000


class Contrast(NamedTuple):
    """The real wiring against one null model, over the same seeds. Positive is better."""

    null_model: str
    mean_difference: float
    low: float  # of the 95 % confidence interval of the mean difference
    high: float
    p_value: float  # of the sign-flip test, two-sided
    effect_size: float  # mean difference over the standard deviation of the differences


@dataclass(frozen=True)
class ControlsReport:
    """Scores of every seed, and what they say. `str(report)` is a table and a sentence.

    Example:
        >>> scores = {"real wiring": [0.9, 0.8, 0.9], "permute_targets": [0.5, 0.6, 0.5]}
        >>> print(ControlsReport((0, 1, 2), scores, True).sentence)
        3 seeds are too few to tell: even if all agree, p is no less than 0.25.
    """

    seeds: tuple[int, ...]
    scores: dict[str, list[float]]  # of each wiring, in the order of seeds
    higher_is_better: bool

    def differences(self, null_model: str) -> np.ndarray:
        """Return by how much the real wiring is better than a null model, for each seed."""
        difference = np.array(self.scores[REAL]) - np.array(self.scores[null_model])
        return difference if self.higher_is_better else -difference

    @cached_property
    def comparisons(self) -> list[Contrast]:
        """One for each null model. P-values are not corrected for their number."""
        return [_compare(name, self.differences(name)) for name in self.scores if name != REAL]

    @property
    def sentence(self) -> str:
        """What the scores say at the level of 5 %, corrected for the number of null models."""
        number = len(self.seeds)
        least = 2.0 ** (1 - number)
        comparisons = self.comparisons
        level = 0.05 / max(1, len(comparisons))  # Bonferroni
        if least > level:
            return (
                f"{number} seeds are too few to tell: even if all agree, p is no less than "
                f"{least:.2g}."
            )
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
        return f"{text[0].upper()}{text[1:]} ({number} seeds, p <= {level:.2g})."

    def __str__(self) -> str:
        lines = [
            f"{'null model':<20} {'difference':>11} {'95 % interval':>22} {'p':>8} {'effect':>7}"
        ]
        for c in self.comparisons:
            interval = f"[{c.low:+.4g}, {c.high:+.4g}]"
            lines.append(
                f"{c.null_model:<20} {c.mean_difference:>+11.4g} {interval:>22} {c.p_value:>8.2g} "
                f"{c.effect_size:>+7.2f}"
            )
        return "\n".join([*lines, self.sentence])

    def to_csv(self, path: str | Path) -> None:
        """Write a row for each seed and wiring."""
        with Path(path).open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["wiring", "seed", "score"])
            for name, scores in self.scores.items():
                for seed, score in zip(self.seeds, scores, strict=True):
                    writer.writerow([name, seed, repr(score)])


def controls(
    make_model: Callable[[Any], nn.Module],
    topology: Topology | Sequence[Topology],
    train: Callable[[nn.Module, int], float],
    *,
    seeds: Iterable[int],
    null_models: Sequence[str | Callable[..., Topology]] = tuple(NULL_MODELS),
    higher_is_better: bool = True,
    path: str | Path | None = None,
    progress: bool = True,
) -> ControlsReport:
    """Train the same model on `topology` and on random wirings like it, and report the difference.

    For each seed, torch is seeded with it before `make_model` and again before `train`, so that
    models differ in their wiring alone; a null model draws another wiring for each seed. The same
    seeds give the same report, as far as `train` is deterministic.

    Differences are paired by seed. Their p-value is that of a sign-flip permutation test, exact for
    up to 13 seeds, and their interval that of Student's t. In 15 published pathway networks such
    controls found no evidence that the pathways mattered (arXiv 2505.04300).

    Args:
        make_model: topology -> model; or topologies -> model.
        topology: the real wiring, or several, as of the layers of a network: a null model then
            draws one for each.
        train: (model, seed) -> score.
        null_models: names in `edgelinear.null_models`, or functions like those.
        path: a CSV file that keeps the score of every training as soon as it is there. What it
            holds is not trained again: so a run that was stopped goes on.
        progress: whether to show a bar, where rich (extra `cli`) is installed.

    Raises:
        ValueError: if there are no seeds or null models, a name is unknown, a score is no finite
            number, or `path` holds scores of another topology.

    Example:
        >>> topology = el.generators.erdos_renyi(8, 4, num_edges=10)
        >>> report = controls(
        ...     el.EdgeLinear.from_topology,
        ...     topology,
        ...     lambda model, seed: model.weight.mean().item(),
        ...     seeds=range(3),
        ...     progress=False,
        ... )
        >>> len(report.scores["real wiring"])
        3
    """
    seeds = tuple(int(seed) for seed in seeds)
    wirings = {REAL: None} | _by_name(null_models)
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"`seeds` must be different whole numbers, at least one, got {seeds}.")
    if len(wirings) == 1:
        raise ValueError("`null_models` must name at least one.")
    real = [topology] if isinstance(topology, Topology) else list(topology)
    store = _Store(path, real)
    remaining = [
        (seed, name) for seed in seeds for name in wirings if (name, seed) not in store.scores
    ]
    for seed, name in _bar(remaining, progress):
        draw, drawn = wirings[name], real
        if draw is not None:
            generator = torch.Generator().manual_seed(seed)
            drawn = [draw(wiring, generator=generator) for wiring in real]
        torch.manual_seed(seed)
        model = make_model(drawn[0] if isinstance(topology, Topology) else drawn)
        torch.manual_seed(seed)
        score = float(train(model, seed))
        if not math.isfinite(score):
            raise ValueError(
                f"`train` must return a finite number, got {score} for seed {seed} on {name}."
            )
        store.add(name, seed, score)
    scores = {name: [store.scores[name, seed] for seed in seeds] for name in wirings}
    return ControlsReport(seeds, scores, higher_is_better)


def _by_name(null_models: Sequence[str | Callable[..., Topology]]) -> dict[str, Any]:
    found = {}
    for model in null_models:
        if isinstance(model, str) and model not in NULL_MODELS:
            raise ValueError(f"`null_models` must be among {tuple(NULL_MODELS)}, got {model!r}.")
        name = model if isinstance(model, str) else getattr(model, "__name__", None)
        if name is None or name == "<lambda>" or name in found:
            raise ValueError(
                f"`null_models` must have names that differ, as scores are kept by name: define a "
                f"function for {model!r}."
            )
        found[name] = NULL_MODELS[name] if isinstance(model, str) else model
    return found


class _Store:
    """Scores by (wiring, seed), kept in a file where there is a path."""

    def __init__(self, path: str | Path | None, topologies: list[Topology]) -> None:
        self.path = None if path is None else Path(path)
        digests = "".join(topology.digest for topology in topologies)
        self.digest = hashlib.sha256(digests.encode()).hexdigest()[:16]
        self.scores: dict[tuple[str, int], float] = {}
        if self.path is None:
            return
        text = self.path.read_text() if self.path.exists() else ""
        complete = text[: text.rfind("\n") + 1] or "topology,wiring,seed,score\n"
        if complete != text:  # it is new, or its last line was cut short
            self.path.write_text(complete)
        for row in csv.DictReader(io.StringIO(complete)):
            if row.get("topology") != self.digest:
                raise ValueError(
                    f"{path} holds scores of another topology: name another file, or delete it."
                )
            self.scores[row["wiring"], int(row["seed"])] = float(row["score"])

    def add(self, name: str, seed: int, score: float) -> None:
        self.scores[name, seed] = score
        if self.path is not None:
            with self.path.open("a", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow([self.digest, name, seed, repr(score)])


def _bar(remaining: list, progress: bool) -> Iterable:
    if not progress:
        return remaining
    try:
        from rich.progress import track
    except ImportError:
        return remaining
    return track(remaining, description="training")


def _compare(null_model: str, differences: np.ndarray) -> Contrast:
    from scipy import stats

    mean, number = float(differences.mean()), len(differences)
    spread = float(differences.std(ddof=1)) if number > 1 else math.nan
    half = (
        spread / math.sqrt(number) * float(stats.t.ppf(0.975, number - 1))
        if number > 1
        else math.inf
    )
    if (differences == 0).all():
        p_value, effect = 1.0, 0.0
    else:
        test = stats.permutation_test(
            (differences,),
            np.mean,
            permutation_type="samples",  # of one sample: its signs are flipped
            n_resamples=_RESAMPLES,
            vectorized=True,
            random_state=np.random.default_rng(0),
        )
        p_value = float(test.pvalue)
        rounding = 1e-12 * float(np.abs(differences).max())
        effect = mean / spread if spread > rounding else math.copysign(math.inf, mean)
    return Contrast(null_model, mean, mean - half, mean + half, p_value, effect)


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
