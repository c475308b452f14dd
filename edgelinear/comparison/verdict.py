"""Which contender is fastest, and whether dense would be the better choice."""

from collections.abc import Iterable, Mapping, Sequence

from edgelinear.comparison.contenders import COMPOSED, COMPOSED_MASKED, LINEAR, MASKED
from edgelinear.comparison.rows import Row
from edgelinear.comparison.units import ms


def fastest_backend(rows: Iterable[Row]) -> Row | None:
    """Return the backend with the shortest step, of those whose results agree; None without any."""
    backends = [row for row in rows if row.agrees and not (row.is_dense or row.is_composed)]
    return min(backends, key=lambda row: row.step_ms, default=None)


def is_faster(rows: Iterable[Row], dense: str) -> bool:
    """Whether this dense layer takes a step in clearly less time than the fastest backend."""
    rows = [*rows]
    best, other = fastest_backend(rows), _dense(rows).get(dense)
    if best is None or other is None or restless(rows):
        return False
    return other.step_ms < best.step_ms and not other.is_level_with(best)


def restless(rows: Iterable[Row]) -> list[Row]:
    """Return the rows whose times did not hold still, of those that the verdict is about.

    A backend that is slower at its best than the fastest one mostly is makes no difference.
    """
    rows = [*rows]
    best = fastest_backend(rows)
    if best is None:
        return []
    return [
        row
        for row in rows
        if row.agrees
        and not row.is_steady
        and (row is best or row.is_dense or not row.step_ms_min > best.step_ms_high)
    ]


def _too_busy(rows: Sequence[Row]) -> str:
    times = ", ".join(map(_doubt, rows))
    return (
        f"The machine is too busy to tell what is faster: for a step, {times}. "
        "Measure again when it is idle, or for longer, by `seconds`"
    )


def _doubt(row: Row) -> str:
    if row.rounds == 1:
        return f"{row.name} was timed once"
    span = f"{row.name} took {ms(row.step_ms_min)} to {ms(row.step_ms_high)} ms"
    if row.disturbed <= 0.25:
        return span
    return f"{span} and waited for a processor in {row.disturbed:.0%} of the rounds"


def sentence(rows: Sequence[Row], left_out: Mapping[str, str]) -> str:
    """Return one sentence: what is fastest here, and whether dense would be the better choice."""
    wrong = [row.name for row in rows if not row.agrees]
    note = ""
    if wrong:
        note = f" NOT EQUAL to the float64 reference beyond rounding: {', '.join(wrong)}."
    best = fastest_backend(rows)
    if best is None:
        return f"No backend was measured whose results agree.{note}"
    moving = restless(rows)
    others = [row for row in rows if row.agrees and row.name in (COMPOSED, COMPOSED_MASKED)]
    if moving:
        reason = left_out.get(MASKED, left_out.get(COMPOSED_MASKED))
        return f"{_too_busy(moving)}{f'; {reason}' if reason else ''}.{note}"
    start = f"{best.name} is the fastest backend here, at {ms(best.step_ms)} ms a training step"
    if others:
        compared = " and ".join(f"{_compared(best, row)} {row.name}" for row in others)
        reason = left_out.get(COMPOSED_MASKED)
        return f"{start}: {compared}, the same function{f'; {reason}' if reason else ''}.{note}"
    dense = _dense(rows)
    if MASKED not in dense or LINEAR not in dense:
        reason = left_out.get(MASKED)
        return f"{start}{f'; {reason}' if reason else ''}.{note}"
    masked, linear = dense[MASKED], dense[LINEAR]
    if is_faster(rows, MASKED):
        return (
            f"Dense is the faster choice here: a training step takes {ms(masked.step_ms)} ms as "
            f"{MASKED}, the same function to train, and {ms(linear.step_ms)} ms as {LINEAR}, "
            f"which would train the zeros too, where the fastest backend, {best.name}, takes "
            f"{ms(best.step_ms)} ms: {_compared(best, masked)} {MASKED}.{note}"
        )
    if is_faster(rows, LINEAR):
        return (
            f"{start}, {_compared(best, masked)} {MASKED}, the same function to train; "
            f"{LINEAR} takes {ms(linear.step_ms)} ms ({best.step_ms / linear.step_ms:.1f} times "
            f"faster), but would train the zeros too.{note}"
        )
    return (
        f"{start}: {_compared(best, masked)} {MASKED}, the same function to train, and "
        f"{_compared(best, linear)} {LINEAR}, which would train the zeros too.{note}"
    )


def _dense(rows: Iterable[Row]) -> dict[str, Row]:
    return {row.name: row for row in rows if row.agrees and row.is_dense}


def _compared(ours: Row, other: Row) -> str:
    """Return how the first stands to the second, as "3.1 times faster than"."""
    if ours.is_level_with(other):
        return "about as fast as"
    ratio = other.step_ms / ours.step_ms
    return f"{ratio:.1f} times faster than" if ratio > 1 else f"{1 / ratio:.1f} times slower than"
