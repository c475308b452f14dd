"""The shape of the package: which module may import which, and what an import costs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import edgelinear as el

ROOT = Path(__file__).parents[1]


def in_a_fresh_process(program):
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout.split()


def test_imports_go_down_and_run_in_no_circle(monkeypatch):
    from importlinter.cli import lint_imports

    monkeypatch.chdir(ROOT)
    assert lint_imports(cache_dir=None) == 0


def test_import_brings_no_pictures_trials_or_comparisons():
    loaded = in_a_fresh_process("import sys, edgelinear; print(*sys.modules)")
    ours = {name for name in loaded if name.startswith("edgelinear.")}
    assert "edgelinear.layers.linear" in ours
    for name in ("plot", "trials", "comparison", "cli", "data", "dynamic", "parallel", "viewer"):
        assert not any(module.split(".")[1] == name for module in ours), name
    assert not {"matplotlib", "pandas", "networkx", "rich", "click", "scipy.stats"} & {*loaded}


@pytest.mark.parametrize("name", el.__all__)
def test_name_is_there_when_it_is_asked_for(name):
    in_a_fresh_process(f"import edgelinear; edgelinear.{name}")


def test_dir_lists_what_is_not_loaded_yet():
    listed = in_a_fresh_process("import edgelinear; print(*dir(edgelinear))")
    assert {*el.__all__, "__version__"} <= {*listed}


def test_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'edgelinear' has no attribute 'EdgeLiner'"):
        el.EdgeLiner  # noqa: B018


@pytest.mark.parametrize("missing", ["fcntl", "resource", "pwd"])
def test_package_works_without_modules_of_unix(missing, tmp_path):
    path = tmp_path / "scores.csv"
    in_a_fresh_process(
        "import sys, warnings\n"
        f"sys.modules[{missing!r}] = None\n"
        "import edgelinear as el\n"
        "topology = el.generators.erdos_renyi(8, 4, num_edges=10)\n"
        "score = lambda model, seed: float(seed)\n"
        "el.controls(el.EdgeLinear.from_topology, topology, score, seeds=[0, 1],\n"
        f"            path={str(path)!r}, progress=False)\n"
    )
    assert path.read_text().startswith("topology,code,wiring,seed,score\n")


def test_contributing_has_a_line_for_every_file():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    tree = text[text.index("    edgelinear/\n") : text.index("    tests/")]
    named = {*re.findall(r"\w+\.(?:py|h|cpp|txt)", tree)}
    whole_folders = {"generators", "plot", "data"}  # whose files are told in one line
    package = Path(el.__file__).parent
    files = {
        path.name
        for path in package.rglob("*")
        if path.suffix in {".py", ".h", ".cpp", ".txt"}
        and "node_modules" not in path.parts
        and path.parent.name not in whole_folders
        and path.name not in {"__init__.py", "__main__.py"}
    }
    assert files <= named, files - named
    assert named - files <= {"__init__.py", "_draw.py", "_figure.py"}, named - files
