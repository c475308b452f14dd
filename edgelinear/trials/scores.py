"""Scores by seed and wiring, kept in a file as soon as they are there."""

import csv
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

_COLUMNS = ["topology", "code", "wiring", "seed", "score"]


class Store:
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
def opened(path: str | Path | None, digest: str, code: dict[str, str]) -> Iterator[Store]:
    """Yield the scores in a file, which no other run may write to until this one is done."""
    store = Store(digest, code)
    if path is None:
        yield store
        return
    with _locked(path), Path(path).open("a+", newline="", encoding="utf-8") as file:
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
def _locked(path: str | Path) -> Iterator[None]:
    """Keep other runs from the file, by a lock beside it which ends with this process."""
    lock = FileLock(f"{path}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise RuntimeError(
            f"another run, or a process that it left behind, is writing to {path}: "
            "wait for it, or name another file."
        ) from None
    try:
        yield
    finally:
        lock.release()


def _read(store: Store, lines: list[str], path: str | Path) -> None:
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
