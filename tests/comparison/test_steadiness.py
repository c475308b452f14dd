"""Verdicts need times that hold still, and `seconds` bounds the call: on a made-up clock."""

import pytest
import torch

from edgelinear import EdgeLinear
from edgelinear.comparison import Comparison, Row, compare, measure, run

MACHINE = {"torch": "2", "threads": 1, "device": "a machine"}


class Clock:
    """Time that passes as runs take it, and not by itself."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        for module in (measure, run):
            monkeypatch.setattr(module.time, "perf_counter", lambda: self.now)
        self.queued = 0.0
        monkeypatch.setattr(measure, "seconds_in_queue", lambda: self.queued)


class Fake:
    """A contender whose runs take the given milliseconds in turn, again and again."""

    def __init__(self, clock, *ms):
        self.clock, self.ms, self.runs = clock, ms, 0
        self.parameters = [torch.zeros(())]

    def run(self):
        timed = self.runs // 2  # each timed run follows an untimed one
        self.clock.now += 1e-3 * self.ms[timed % len(self.ms)]
        self.runs += 1


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def rounds(*fakes, deadline=None):
    return measure.rounds(fakes, lambda fake: fake.run(), deadline)


def test_quiet_times_are_taken_as_before(clock):
    (times,) = rounds(Fake(clock, 1.0, 1.1, 1.2))
    assert (times.least, times.rounds) == (pytest.approx(1.0), 200)
    assert times.median == pytest.approx(1.1)


def test_times_that_do_not_hold_still_are_taken_for_longer(clock):
    (quiet,) = rounds(Fake(clock, 20.0))
    before = clock.now
    (busy,) = rounds(Fake(clock, 20.0, 60.0))
    assert clock.now - before == pytest.approx(4 * measure._SECONDS, abs=0.2)
    assert busy.rounds > quiet.rounds and busy.least == pytest.approx(20.0)


def test_it_stops_when_times_begin_to_hold_still(clock):
    fake = Fake(clock, *[60.0, 1.0] * 5, *[1.0] * 10**5)
    (times,) = rounds(fake)
    assert clock.now < 4 * measure._SECONDS
    assert times.high == pytest.approx(1.0)


def test_deadline_ends_the_rounds_after_one_at_least(clock):
    (times,) = rounds(Fake(clock, 30.0), deadline=0.2)
    assert times.rounds == 4 and clock.now == pytest.approx(0.24)
    (times,) = rounds(Fake(clock, 30.0), deadline=0.0)
    assert times.rounds == 1


def test_runs_that_waited_for_a_processor_are_counted(clock):
    class Waiting(Fake):
        def run(self):
            super().run()
            if (self.runs - 1) % 8 < 4:  # two turns of four
                clock.queued += 1e-3

    (times,) = rounds(Waiting(clock, 1.0))
    assert times.disturbed == pytest.approx(0.5, abs=0.01)
    assert clock.now == pytest.approx(4 * measure._SECONDS, abs=0.1)  # it went on for longer
    (times,) = rounds(Fake(clock, 1.0))
    assert times.disturbed == 0


def test_time_in_the_queue_grows_where_threads_outnumber_processors():
    import os
    import threading

    if not os.path.exists("/proc/self/schedstat"):
        pytest.skip("no Linux")
    stop = threading.Event()

    def spin():
        while not stop.is_set():
            torch.ones(10**5).sum()

    before = measure.seconds_in_queue()
    threads = [threading.Thread(target=spin) for _ in range(4 * (os.cpu_count() or 1))]
    for thread in threads:
        thread.start()
    for _ in range(50):
        torch.ones(10**6).sum()
    assert measure.seconds_in_queue() > before
    stop.set()
    for thread in threads:
        thread.join()


def row(name, low, median, high, least=None, rounds=50, disturbed=0.0):
    least = low if least is None else least
    times = (median, low, high)
    return Row(name, 1, 0.0, 0.0, 0.0, True, *times, *times, 0, 0, least, least, rounds, disturbed)


def comparison(*rows, left_out=()):
    return Comparison(2, 2, 2, 2, "float32", MACHINE, [*rows], dict(left_out))


STEADY = {
    "cpp": row("cpp", 0.9, 1.0, 1.1),
    "MaskedLinear": row("MaskedLinear", 3.9, 4.0, 4.1),
    "nn.Linear": row("nn.Linear", 1.9, 2.0, 2.1),
}
BUSY = {
    "far quartiles": (1.0, 5.0, 9.0, 1.0, 50),
    "quartiles that agree, far above the least": (63.9, 66.7, 68.3, 0.1, 9),
    "one round": (4.0, 4.0, 4.0, 4.0, 1),
    "times that agree, in a queue": (61.8, 63.5, 71.7, 60.0, 9, 1.0),
}


@pytest.mark.parametrize("how", BUSY)
@pytest.mark.parametrize("name", STEADY)
def test_no_verdict_is_given_where_times_do_not_hold_still(name, how):
    found = comparison(*(STEADY | {name: row(name, *BUSY[how])}).values())
    assert found.sentence.startswith("The machine is too busy to tell")
    assert (
        f"{name} took {found.rows[list(STEADY).index(name)].step_ms_min:.2g}"[:12]
        in (found.sentence)
        or name in found.sentence
    )
    assert "times faster" not in found.sentence and "fastest" not in found.sentence
    assert not found.dense_is_better
    assert "seconds" in found.sentence


def test_steady_times_have_a_verdict():
    said = comparison(*STEADY.values()).sentence
    assert said.startswith("cpp is the fastest backend") and "4.0 times faster" in said
    slow = {"cpp": row("cpp", 7.9, 8.0, 8.1)}
    assert comparison(*(STEADY | slow).values()).dense_is_better


def test_backend_that_is_slower_at_its_best_spoils_nothing():
    slower = row("reference", 5.0, 20.0, 90.0, 3.0)
    assert "too busy" not in comparison(*STEADY.values(), slower).sentence
    maybe_faster = row("reference", 5.0, 20.0, 90.0, 0.5)
    assert "too busy" in comparison(*STEADY.values(), maybe_faster).sentence


def test_what_is_wrong_or_left_out_is_said_on_a_busy_machine_too():
    wrong = Row(**{**STEADY["cpp"].__dict__, "name": "reference", "agrees": False})
    busy = row("cpp", *BUSY["far quartiles"])
    left_out = {"MaskedLinear": "it is too large", "nn.Linear": "it is too large"}
    said = comparison(busy, wrong, left_out=left_out).sentence
    assert "too busy" in said and "NOT EQUAL" in said and "it is too large" in said


def layer():
    return EdgeLinear(3, 2, [(0, 0), (2, 1)])


def test_seconds_bound_the_whole_call(monkeypatch):
    deadlines, now = [], [100.0]
    monkeypatch.setattr(run.time, "perf_counter", lambda: now[0])
    times = measure.Times(1.0, 1.0, 1.0, 1.0, 5, 0.0)

    def passing(contenders, call, deadline):
        deadlines.append(deadline)
        now[0] = deadline
        return [times] * len(contenders)

    def slow_errors(*arguments):
        now[0] += 2.0
        return 0.0, 0.0, 0.0

    monkeypatch.setattr(measure, "rounds", passing)
    monkeypatch.setattr(measure, "errors", slow_errors)
    compare(layer(), 4, "reference", seconds=30)
    # Of the 24 seconds that three contenders leave, forwards and steps get half each.
    assert deadlines == [118.0, 130.0]


def test_without_seconds_there_is_no_deadline(monkeypatch):
    deadlines = []

    def passing(contenders, call, deadline):
        deadlines.append(deadline)
        return [measure.Times(1.0, 1.0, 1.0, 1.0, 5, 0.0)] * len(contenders)

    monkeypatch.setattr(measure, "rounds", passing)
    compare(layer(), 4, "reference")
    assert deadlines == [None, None]


@pytest.mark.parametrize(
    "seconds, error",
    [
        (0, ValueError),
        (-1.0, ValueError),
        (float("nan"), ValueError),
        ("5", TypeError),
        (True, TypeError),
    ],  # fmt: skip
)
def test_seconds_must_be_a_positive_number(seconds, error):
    with pytest.raises(error, match="`seconds` must be"):
        compare(layer(), 4, "reference", seconds=seconds)


def test_command_line_passes_seconds_on(monkeypatch, tmp_path):
    from edgelinear.cli import commands
    from edgelinear.cli import compare as command

    path, given = tmp_path / "wiring.csv", {}
    path.write_text("source,target\na,b\n")

    def measured(layer, batch, seconds=None):
        given.update(seconds=seconds)
        return comparison(*STEADY.values())

    monkeypatch.setattr(command.comparison, "compare", measured)
    assert commands.run(["compare", str(path), "--seconds", "2.5"]) == 0
    assert given == {"seconds": 2.5}
    assert commands.run(["compare", str(path)]) == 0 and given == {"seconds": None}
    assert commands.run(["compare", str(path), "--seconds", "0"]) == 2
