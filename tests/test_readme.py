"""Every code block of the README and every example runs as it stands."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import matplotlib
import pytest
import torch
from markdown_pages import blocks, links

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
OVER_PROCESSES = "sharded_graph"


def test_readme_code_runs_from_top_to_bottom(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = blocks(README)
    assert len(code) == README.count("```python") >= 2
    exec(compile("\n".join(code), "README.md", "exec"), {})
    assert (tmp_path / "wiring.png").stat().st_size > 1000


def test_readme_names_files_that_exist():
    for target in links(README):
        assert (ROOT / target).exists(), target


def test_readme_commands_are_targets_of_the_makefile():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", README, re.MULTILINE))
    assert {"demo", "test", "wheels", "docs"} <= named <= targets


def test_readme_is_read_in_three_minutes():
    assert len(README.split()) <= 900


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "arguments", "printed"),
    [
        ("custom_connections", [], "GroupedLinear"),
        ("pruned_digits", ["--epochs", "1"], "converted, fine-tuned"),
        ("learned_wiring", ["--seeds", "1", "--epochs", "1"], "RigL from real"),
        ("karate_club", ["--steps", "3"], "of the 17 other members"),
        ("reactome_pathways", ["--seeds", "2", "--epochs", "1"], "labels by random sets"),
        ("reactome_network", ["--seeds", "2", "--epochs", "1"], "those that decide it are"),
        ("important_edges", ["--epochs", "1"], "those that decide the label"),
        (
            "neat_xor",
            ["--seeds", "1", "--rounds", "1", "--generations", "1", "--steps", "2"],
            "Adam",
        ),
        ("worm", ["--seeds", "1", "--steps", "4"], "accuracy falls by"),
        ("fly_visual_system", ["--extent", "3", "--steps", "8", "--updates", "2"], "after "),
    ],
)
def test_example_runs(script, arguments, printed, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [script, *arguments])
    monkeypatch.syspath_prepend(ROOT / "examples")  # as Python does; one imports another
    threads = torch.get_num_threads()
    matplotlib.use("Agg")
    runpy.run_path(str(ROOT / "examples" / f"{script}.py"), run_name="__main__")
    torch.set_num_threads(threads)
    assert printed in capsys.readouterr().out


@pytest.mark.slow
def test_example_runs_over_processes(tmp_path):
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    script = [str(ROOT / "examples" / f"{OVER_PROCESSES}.py"), "--edges", "5000", "--steps", "5"]
    for command in ([*torchrun, *script], script):
        run = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, timeout=300
        )
        assert run.returncode == 0, run.stderr
        first, last = re.search(r"loss fell from ([.\d]+) to ([.\d]+),", run.stdout).groups()
        assert float(first) > 1.1 * float(last)
    assert re.search(r"of 2: \d+ MB and \d+ MB, at most [.\d]+ of that of one", run.stdout)


def test_every_example_is_run():
    scripts = {path.stem for path in (ROOT / "examples").glob("*.py")}
    marks = test_example_runs.pytestmark
    run = {case[0] for mark in marks if mark.name == "parametrize" for case in mark.args[1]}
    assert scripts == {*run, OVER_PROCESSES}
