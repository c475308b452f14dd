"""Did the wiring matter? The same model, trained on it and on random wirings that are like it."""

import csv
import fcntl
import hashlib
import math
import operator
import random
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from inspect import isfunction, unwrap
from pathlib import Path
from types import CodeType, NoneType
from typing import Any

import numpy as np
import torch
from torch import nn

from edgelinear import null_models as nulls
from edgelinear.contrasts import REAL, ControlsReport
from edgelinear.topology import Topology

NULL_MODELS: dict[str, Callable[..., Topology]] = {
    "degree_preserving": nulls.degree_preserving,
    "permute_targets": nulls.permute_targets,
    "erdos_renyi_like": nulls.erdos_renyi_like,
}
_COLUMNS = ["topology", "code", "wiring", "seed", "score"]


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
    code = {name: _fingerprint(make_model, train, draw) for name, draw in wirings.items()}
    trials = [(seed, name) for seed in seeds for name in wirings]
    with _opened(path, _digest(real), code) as store, _left_as_they_were():
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
        hint = ": use its `.topology`" if hasattr(topology, "topology") else ""
        raise TypeError(
            f"`topology` must be a Topology or a list of some, got {type(topology).__name__}{hint}."
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
    return int(_hash(f"{purpose} {seed}"), 16) >> 1


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
    return _hash("".join(topology.digest for topology in topologies))


def _fingerprint(*functions: Any) -> str:
    """Return what tells the code of functions from another: names and numbers in it included."""
    return _hash(_described(functions))


def _hash(text: str) -> str:  # 64 bits
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _described(value: Any) -> str:
    """Return the code, or the number or text, as a text that is the same in every process."""
    if isinstance(value, (int, float, complex, str, bytes, NoneType)):
        return repr(value)
    if isinstance(value, (tuple, list)):
        return str([*map(_described, value)])
    if isinstance(value, dict):
        return _described([*value.items()])
    if isinstance(value, frozenset):  # its order differs from run to run
        return str(sorted(map(_described, value)))
    if isinstance(value, CodeType):
        return _described((value.co_code, value.co_names, value.co_consts))
    if isinstance(value, partial):
        return _described((value.func, value.args, value.keywords))
    if isinstance(value, type):
        return _described([v for _, v in sorted(vars(value).items()) if isfunction(v)])
    function = unwrap(value) if callable(value) else value
    if hasattr(function, "__code__"):
        return _described((function.__code__, function.__defaults__, function.__kwdefaults__))
    return f"{type(value).__qualname__} {_described(type(value)) if callable(value) else ''}"


class _Store:
    """Scores by (seed, wiring), kept in a file where there is one."""

    def __init__(self, digest: str, code: dict[str, str]) -> None:
        self.digest = digest
        self.code = code
        self.scores: dict[tuple[int, str], float] = {}
        self.file: Any = None

    def add(self, seed: int, name: str, score: float) -> None:
        self.scores[seed, name] = score
        if self.file is not None:
            row = [self.digest, self.code[name], name, seed, repr(score)]
            csv.writer(self.file, lineterminator="\n").writerow(row)
            self.file.flush()


@contextmanager
def _opened(path: str | Path | None, digest: str, code: dict[str, str]) -> Iterator[_Store]:
    """Yield the scores in a file, which no other run may write to until this one is done."""
    store = _Store(digest, code)
    if path is None:
        yield store
        return
    with Path(path).open("a+", newline="", encoding="utf-8") as file, _locked(file, path):
        file.seek(0)
        try:
            text = file.read()
        except UnicodeDecodeError:
            text = "something else"
        complete = text[: text.rfind("\n") + 1]  # the last line may have been cut short
        if text and complete.partition("\n")[0].strip() != ",".join(_COLUMNS):
            raise ValueError(
                f"{path} is no file of `controls`, which begins with {','.join(_COLUMNS)}: "
                "name another file."
            )
        _read(store, complete.splitlines()[1:], path)
        file.truncate(len(complete.encode()))
        if not text:
            file.write(",".join(_COLUMNS) + "\n")
        store.file = file
        yield store


@contextmanager
def _locked(file: Any, path: str | Path) -> Iterator[None]:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RuntimeError(
            f"another run, or a process that it left behind, is writing to {path}: "
            "wait for it, or name another file."
        ) from None
    except OSError:  # there are file systems without locks
        pass
    try:
        yield
    finally:
        file.flush()
        # Closing is not enough, where `train` started processes that have the file open too.
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_UN)


def _read(store: _Store, lines: list[str], path: str | Path) -> None:
    changed = False
    for number, row in enumerate(csv.reader(lines), start=2):
        try:
            topology, code, name, seed, score = row
            value = (int(seed), name), float(score)
            if not math.isfinite(value[1]):
                raise ValueError
        except ValueError:
            raise ValueError(
                f"line {number} of {path} must hold a finite score under {','.join(_COLUMNS)}, "
                f"got {','.join(row)}."
            ) from None
        if topology != store.digest:
            raise ValueError(f"{path} holds scores of another topology: name another file.")
        changed |= store.code.get(name, code) != code
        store.scores.update([value])
    if changed:
        warnings.warn(
            f"`make_model`, `train` or a null model has other code than when scores in {path} were "
            "kept: they are not trained anew. Name another file if they should be.",
            stacklevel=5,
        )


def _bar(remaining: list, known: int, progress: bool) -> Iterable:
    if not progress or not remaining:
        return remaining
    try:
        from rich.progress import track
    except ImportError:
        return remaining
    total = known + len(remaining)
    return track(remaining, description="training", total=total, completed=known)
