"""Files of scores: a stopped run goes on, and what is no such file is left alone."""

import multiprocessing
import time

import pytest
from controlled import TOPOLOGY, overlap, run

import edgelinear as el


def test_stopped_run_goes_on(tmp_path):
    path, calls = tmp_path / "scores.csv", []

    def train(model, seed):
        calls.append(seed)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return overlap(model, seed)

    with pytest.raises(KeyboardInterrupt):
        run(train, path=path)
    report = run(train, path=path)
    assert len(calls) == 24 + 1  # the one that was stopped came twice
    assert report == run(overlap)
    assert run(train, path=path) == report and len(calls) == 25


def test_line_that_was_cut_is_written_anew(tmp_path):
    path = tmp_path / "scores.csv"
    report = run(overlap, path=path)
    path.write_text(path.read_text()[:-8])  # as if the machine had stopped while it wrote
    assert run(overlap, path=path) == report


def test_file_of_another_topology_is_refused(tmp_path):
    path = tmp_path / "scores.csv"
    run(overlap, path=path)
    with pytest.raises(ValueError, match="scores of another topology"):
        el.controls(el.EdgeLinear.from_topology, TOPOLOGY.T, overlap, seeds=[0], path=path)


OTHER_FILES = {
    "a table": b"model,accuracy\nA,0.9\nB,0.8",
    "one line": b"hello",
    "no text": b"\xff\xfe",
    "a report": b"wiring,seed,score\nreal wiring,0,1.0\n",
}


@pytest.mark.parametrize("name", OTHER_FILES)
def test_file_of_something_else_is_left_alone(name, tmp_path):
    path = tmp_path / "scores.csv"
    path.write_bytes(OTHER_FILES[name])
    with pytest.raises(ValueError, match="is no file of `controls`"):
        run(overlap, path=path)
    assert path.read_bytes() == OTHER_FILES[name]


@pytest.mark.parametrize("score", ["nan", "abc", "inf", ""])
def test_score_in_a_file_must_be_a_number(score, tmp_path):
    path = tmp_path / "scores.csv"
    run(overlap, path=path, seeds=[0])
    text = path.read_text()
    path.write_text(text.replace(",100.0", f",{score}"))
    with pytest.raises(ValueError, match="line 2 of .* must hold a finite score"):
        run(overlap, path=path)


def test_report_says_what_was_read(tmp_path):
    path = tmp_path / "scores.csv"
    run(overlap, path=path, seeds=range(2))
    report = run(overlap, path=path, seeds=range(3))
    assert str(report).endswith(f"8 of 12 scores were read from {path}.")


def test_two_runs_do_not_write_to_one_file(tmp_path):
    path = tmp_path / "scores.csv"
    with pytest.raises(RuntimeError, match="another run.* is writing"):
        run(lambda model, seed: run(overlap, path=path), path=path)


def test_file_is_free_after_a_run_that_started_a_process(tmp_path):
    path = tmp_path / "scores.csv"
    started = []

    def train(model, seed):
        if not started:
            started.append(
                multiprocessing.get_context("fork").Process(target=time.sleep, args=[60])
            )
            started[0].start()
        return 0.0

    try:
        run(train, path=path)
        run(train, path=path)
    finally:
        started[0].kill()
