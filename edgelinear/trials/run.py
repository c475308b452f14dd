"""`controls`: the same model, trained on a wiring and on random wirings that are like it."""

import hashlib
import math
import operator
import random
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from edgelinear._optional import with_bar
from edgelinear.topology import Topology, Wiring
from edgelinear.trials.code import fingerprint, short_hash
from edgelinear.trials.nulls import USUAL, as_fixed, by_name, draw_all, is_same, no_self_loops
from edgelinear.trials.report import REAL, ControlsReport, too_few
from edgelinear.trials.scores import opened


def controls(
    make_model: Callable[[Any], nn.Module],
    topology: Topology | Wiring | Sequence[Topology | Wiring],
    train: Callable[[nn.Module, int], float],
    *,
    seeds: Iterable[int],
    null_models: Sequence[str | Callable[..., Any]] = USUAL,
    fixed: Sequence[int | Topology | Wiring] = (),
    self_loops: bool = True,
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
    standard deviation. P-values are held against 0.05 over the number of null models, and intervals
    are of the same level, so that all hold at once with 95 %. Where seeds are too few for that,
    stderr says so before anything is trained; where all scores are the same, or a null model drew
    the real wiring itself, the report does. In 15 published pathway networks such controls found no
    evidence that the pathways mattered (arXiv 2505.04300).

    Args:
        make_model: topology -> model; or topologies -> model.
        topology: the real wiring, or several, as of the layers of a network: a null model then
            draws one for each. A Wiring comes with names and weights, and null models return such.
        train: (model, seed) -> score.
        null_models: names in `edgelinear.null_models`, or functions like those, which may be
            partial ones: `functools.partial(f, ...)` is called as f is. "permute_weights" needs a
            Wiring. Of an EdgeNetwork, "level_preserving" and "permute_levels" draw graphs without
            cycles, and the others do not.
        fixed: which of several topologies stay as they are in every null model: their positions,
            or themselves.
        self_loops: whether null models may draw edges from source i to target i. False is passed
            on to them, for square wirings without such edges.
        path: a CSV file that keeps the score of every training as soon as it is there. What it
            holds is not trained again, so that a run that was stopped goes on: name another file
            when you change the model or its training. A warning says so where the code of
            `make_model`, `train` or a null model differs; what these call, and values from outside
            of them, it does not see.
        progress: whether to show a bar, where rich (extra `cli`) is installed.

    Raises:
        TypeError: if a seed is no whole number, `topology` is something else, or `train` returns
            no number.
        ValueError: if there are no seeds or null models, a name is unknown, nothing is left to
            draw, a null model changes sizes, a score is not finite, or `path` holds something else.
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
    real = _as_wirings(topology)
    still = as_fixed(fixed, real)
    models = by_name(null_models)
    if not self_loops:
        models = no_self_loops(models, [w for i, w in enumerate(real) if i not in still])
    wirings: dict[str, Any] = {REAL: None} | models
    code = {
        name: fingerprint(make_model, train, draw, *(still if draw is not None else ()))
        for name, draw in wirings.items()
    }
    few = too_few(len(seeds), len(models))
    if few is not None:
        print(few, file=sys.stderr)
    trials = [(seed, name) for seed in seeds for name in wirings]
    unchanged = dict.fromkeys(models, 0)
    with opened(path, _digest(real), code) as store, _left_as_they_were():
        known = [trial for trial in trials if trial in store.scores]
        remaining = [trial for trial in trials if trial not in store.scores]
        for seed, name in with_bar(remaining, "training", shown=progress, done=len(known)):
            drawn, draw = real, wirings[name]
            if draw is not None:
                generator = torch.Generator().manual_seed(_derived(seed, name))
                drawn = draw_all(name, draw, real, still, generator)
                unchanged[name] += all(map(is_same, real, drawn))
            _seed_all(_derived(seed, "model"))
            given = drawn[0] if isinstance(topology, Topology | Wiring) else drawn
            model = _made(make_model, given, name)
            _seed_all(_derived(seed, "train"))
            store.add(seed, name, _as_score(train(model, seed), seed, name))
    scores = {name: [store.scores[seed, name] for seed in seeds] for name in wirings}
    notes = [f"{len(known)} of {len(trials)} scores were read from {path}."] if known else []
    notes += [
        f"{name} drew the real wiring itself for {number} of {len(seeds)} seeds: scores that are "
        "compared there do not tell wirings apart."
        for name, number in unchanged.items()
        if number
    ]
    return ControlsReport(seeds, scores, higher_is_better, "\n".join(notes))


def _made(make_model: Callable[[Any], nn.Module], given: Any, name: str) -> nn.Module:
    try:
        return make_model(given)
    except ValueError as error:
        if name != REAL:
            error.add_note(
                f"This wiring is what the null model `{name}` drew. For an EdgeNetwork, use those "
                'that keep levels: null_models=["level_preserving", "permute_levels"].'
            )
        raise


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


def _as_wirings(topology: Any) -> list[Topology | Wiring]:
    found = [topology] if isinstance(topology, Topology | Wiring) else topology
    if not isinstance(found, Sequence) or not all(isinstance(t, Topology | Wiring) for t in found):
        got, wrong = type(topology).__name__, topology
        if type(found) in (list, tuple):
            i = next(i for i, t in enumerate(found) if not isinstance(t, Topology | Wiring))
            wrong = found[i]
            got += f", whose element {i} is a {type(wrong).__name__}"
        hint = ": use its `.topology` or `.wiring`" if hasattr(wrong, "topology") else ""
        raise TypeError(
            f"`topology` must be a Topology or a Wiring, or a list of some, got {got}{hint}."
        )
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


def _digest(wirings: list[Topology | Wiring]) -> str:
    return short_hash("".join(map(_digest_of, wirings)))


def _digest_of(wiring: Topology | Wiring) -> str:
    if isinstance(wiring, Topology):
        return wiring.digest
    weight = "none"
    if wiring.weight is not None:
        numbers = wiring.weight.detach().double().cpu().numpy().astype("<f8")
        weight = hashlib.sha256(numbers.tobytes()).hexdigest()
    return short_hash(f"{wiring.topology.digest} {weight} {wiring.in_names} {wiring.out_names}")
