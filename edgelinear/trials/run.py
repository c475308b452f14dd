"""`controls`: the same model, trained on a wiring and on random wirings that are like it."""

import math
import operator
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from edgelinear import null_models as nulls
from edgelinear.topology import Topology
from edgelinear.trials.code import fingerprint, short_hash
from edgelinear.trials.report import REAL, ControlsReport
from edgelinear.trials.scores import opened

NULL_MODELS: dict[str, Callable[..., Topology]] = {
    "degree_preserving": nulls.degree_preserving,
    "permute_targets": nulls.permute_targets,
    "erdos_renyi_like": nulls.erdos_renyi_like,
}


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

    For each seed, the generators of torch, NumPy and Python are seeded before `make_model` and
    before `train`, with numbers that the seed gives but that have nothing to do with each other: so
    models differ in their wiring alone, and data does not depend on weights. A null model draws
    another wiring for each seed. The same seeds give the same report, as far as `train` is
    deterministic; the generators are left as they were.

    Differences are paired by seed. Their p-value is that of a sign-flip permutation test, exact for
    up to 13 seeds, their interval that of Student's t, and their effect size the mean over the
    standard deviation. In 15 published pathway networks such controls found no evidence that the
    pathways mattered (arXiv 2505.04300).

    Args:
        make_model: topology -> model; or topologies -> model.
        topology: the real wiring, or several, as of the layers of a network: a null model then
            draws one for each.
        train: (model, seed) -> score.
        null_models: names in `edgelinear.null_models`, or functions like those.
        path: a CSV file that keeps the score of every training as soon as it is there. What it
            holds is not trained again, so that a run that was stopped goes on: name another file
            when you change the model or its training. A warning says so where the code of
            `make_model`, `train` or a null model differs; what these call, and values from outside
            of them, it does not see.
        progress: whether to show a bar, where rich (extra `cli`) is installed.

    Raises:
        TypeError: if a seed is no whole number, `topology` is something else, or `train` returns
            no number.
        ValueError: if there are no seeds or null models, a name is unknown, a score is not finite,
            or `path` holds something else.
        RuntimeError: if another run is writing to `path`.

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
    seeds = _as_seeds(seeds)
    wirings = {REAL: None} | _by_name(null_models)
    real = _as_topologies(topology)
    code = {name: fingerprint(make_model, train, draw) for name, draw in wirings.items()}
    trials = [(seed, name) for seed in seeds for name in wirings]
    with opened(path, _digest(real), code) as store, _left_as_they_were():
        known = [trial for trial in trials if trial in store.scores]
        remaining = [trial for trial in trials if trial not in store.scores]
        for seed, name in _bar(remaining, len(known), progress):
            drawn, draw = real, wirings[name]
            if draw is not None:
                generator = torch.Generator().manual_seed(_derived(seed, name))
                drawn = [draw(wiring, generator=generator) for wiring in real]
            _seed_all(_derived(seed, "model"))
            model = make_model(drawn[0] if isinstance(topology, Topology) else drawn)
            _seed_all(_derived(seed, "train"))
            store.add(seed, name, _as_score(train(model, seed), seed, name))
    scores = {name: [store.scores[seed, name] for seed in seeds] for name in wirings}
    note = f"{len(known)} of {len(trials)} scores were read from {path}." if known else ""
    return ControlsReport(seeds, scores, higher_is_better, note)


def _as_seeds(seeds: Iterable[int]) -> tuple[int, ...]:
    try:
        found = tuple(operator.index(seed) for seed in seeds)
    except TypeError:
        raise TypeError(
            f"`seeds` must be whole numbers, as `range(8)` or a list, got {seeds!r}."
        ) from None
    if not found or len(set(found)) < len(found):
        raise ValueError(f"`seeds` must be different whole numbers, at least one, got {found}.")
    return found


def _as_topologies(topology: Any) -> list[Topology]:
    found = [topology] if isinstance(topology, Topology) else topology
    if not isinstance(found, Sequence) or not all(isinstance(t, Topology) for t in found):
        got, wrong = type(topology).__name__, topology
        if type(found) in (list, tuple):
            i = next(i for i, t in enumerate(found) if not isinstance(t, Topology))
            wrong = found[i]
            got += f", whose element {i} is a {type(wrong).__name__}"
        hint = ": use its `.topology`" if hasattr(wrong, "topology") else ""
        raise TypeError(f"`topology` must be a Topology or a list of some, got {got}{hint}.")
    if not found:
        raise ValueError("`topology` must hold at least one Topology, got none.")
    return [*found]


def _as_score(score: Any, seed: int, name: str) -> float:
    where = f"for seed {seed} on {name}"
    try:
        if isinstance(score, (bool, str)):
            raise TypeError
        score = float(score)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"`train` must return a number, got {score!r} {where}.") from None
    if not math.isfinite(score):
        raise ValueError(f"`train` must return a finite number, got {score} {where}.")
    return score


def _by_name(null_models: Sequence[str | Callable[..., Topology]]) -> dict[str, Any]:
    if isinstance(null_models, str) or callable(null_models):
        raise TypeError(f"`null_models` must be a list, got {null_models!r}: put it into brackets.")
    found = {}
    for model in null_models:
        if isinstance(model, str) and model not in NULL_MODELS:
            raise ValueError(f"`null_models` must be among {tuple(NULL_MODELS)}, got {model!r}.")
        name = model if isinstance(model, str) else getattr(model, "__name__", None)
        if name is None or name == "<lambda>":
            raise ValueError(
                f"a null model needs a name, by which its scores are kept: define it by `def`, got "
                f"{model!r}."
            )
        if name in found:
            raise ValueError(f"`null_models` must have names that differ, got {name!r} twice.")
        found[name] = NULL_MODELS[name] if isinstance(model, str) else model
    if not found:
        raise ValueError("`null_models` must name at least one.")
    return found


def _derived(seed: int, purpose: str) -> int:
    """Return a seed for one purpose.

    Were model and data drawn from one seed, the first inputs would be the first weights, scaled.
    """
    return int(short_hash(f"{purpose} {seed}"), 16) >> 1


def _seed_all(seed: int) -> None:
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


@contextmanager
def _left_as_they_were() -> Iterator[None]:
    """Give torch's, NumPy's and Python's generators back the state that they have now."""
    numpy_state, python_state = np.random.get_state(), random.getstate()
    with torch.random.fork_rng(range(torch.cuda.device_count())):
        try:
            yield
        finally:
            np.random.set_state(numpy_state)
            random.setstate(python_state)


def _digest(topologies: list[Topology]) -> str:
    return short_hash("".join(topology.digest for topology in topologies))


def _bar(remaining: list, known: int, progress: bool) -> Iterable:
    if not progress or not remaining:
        return remaining
    try:
        from rich.progress import track
    except ImportError:
        return remaining
    total = known + len(remaining)
    return track(remaining, description="training", total=total, completed=known)
