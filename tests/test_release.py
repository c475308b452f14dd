"""What is released: files that agree on versions, and an sdist that builds by itself."""

import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import edgelinear as el

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PYTHONS = [
    line.rpartition(" ")[2]
    for line in PROJECT["classifiers"]
    if line.startswith("Programming Language :: Python :: 3.")
]
NEEDS = [line for line in PROJECT["dependencies"] if ";" not in line]  # on every system
RELEASE = runpy.run_path(str(ROOT / ".ci" / "release.py"))
problems = RELEASE["problems"]


@pytest.fixture
def released(tmp_path):
    """A folder with the files that name the version, as they are on the day of a release."""
    for file in RELEASE["VERSION_IN"]:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    edit(tmp_path / "CHANGELOG.md", r"^## (\S+) - .+", r"## \1 - 2027-01-31")
    edit(tmp_path / "CITATION.cff", r"^(version: .+)", r"\1\ndate-released: 2027-01-31")
    return tmp_path


def edit(file, pattern, new):
    text, count = re.subn(pattern, new, file.read_text(), count=1, flags=re.MULTILINE)
    assert count == 1
    file.write_text(text)


def test_files_agree_on_the_version():
    assert problems(ROOT) == []


def test_tag_of_the_version_is_released(released):
    assert problems(released, f"v{el.__version__}") == []


@pytest.mark.parametrize("tag", ["v9.9.9", el.__version__, f"v{el.__version__}rc1"])
def test_tag_of_another_version_is_refused(released, tag):
    (problem,) = problems(released, tag)
    assert problem.startswith(f"the tag is {tag}, and the version {el.__version__}")


@pytest.mark.parametrize(
    ("file", "pattern", "new"),
    [
        ("CHANGELOG.md", r"^## \S+ -", "## 8.0 -"),
        ("CITATION.cff", r"^version: .+", "version: 8.0"),
        ("conda/recipe.yaml", r'^  version: ".+"', '  version: "8.0"'),
    ],
)
def test_file_of_another_version_is_refused(released, file, pattern, new):
    edit(released / file, pattern, new)
    assert problems(released) == [
        f"{file} says version 8.0, and edgelinear/__init__.py {el.__version__}."
    ]


@pytest.mark.parametrize(
    ("file", "pattern", "new", "problem"),
    [
        ("CHANGELOG.md", "2027-01-31", "unreleased", "CHANGELOG.md must .* got unreleased"),
        ("CITATION.cff", "date-released: .+", "", "CITATION.cff must .* got None"),
        ("CITATION.cff", "2027-01-31", "2027-01-30", "must hold one day"),
    ],
)
def test_release_without_its_day_is_refused(released, file, pattern, new, problem):
    edit(released / file, pattern, new)
    (found,) = problems(released, f"v{el.__version__}")
    assert re.search(problem, found)


def test_conda_asks_for_what_pip_asks_for():
    recipe = yaml.safe_load((ROOT / "conda" / "recipe.yaml").read_text())
    wanted = [f"python{PROJECT['requires-python']}", *NEEDS]
    run = [line.replace(" ", "") for line in recipe["requirements"]["run"]]
    assert sorted(run) == sorted(line.replace("torch>", "pytorch>") for line in wanted)


def test_oldest_python_is_the_first_that_is_named():
    assert PROJECT["requires-python"] == f">={PYTHONS[0]}"


def test_workflow_runs_every_python_and_the_oldest_torch():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    matrix = workflow["jobs"]["test"]["strategy"]["matrix"]
    assert matrix["python"] == PYTHONS
    (oldest,) = re.findall(r"torch>=([\d.]+)", " ".join(NEEDS))
    assert matrix["torch"] == [f"torch=={oldest}.*", "torch"]
    assert {row["torch"] for row in matrix["include"]} == {*matrix["torch"]}


def test_page_of_versions_names_those_of_the_project():
    page = (ROOT / "docs" / "versions.md").read_text()
    assert f"Python {PYTHONS[0]} to {PYTHONS[-1]}" in page
    for line in NEEDS:
        assert line.replace(">=", " ") in page


@pytest.mark.slow
def test_sdist_builds_by_itself(tmp_path):
    """`build` makes the wheel from the sdist, in an environment without torch."""
    command = [sys.executable, "-m", "build", "--outdir", tmp_path, ROOT]
    command += ["-C", "wheel.cmake=false", "-C", "wheel.platlib=false"]  # which takes minutes
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        installed = {name for name in archive.namelist() if name.startswith("edgelinear/")}
    package = {
        file.relative_to(ROOT).as_posix()
        for file in (ROOT / "edgelinear").rglob("*.*")
        if not {"__pycache__", "node_modules", "build"} & {*file.parts} and file.suffix != ".so"
    }
    assert {name for name in packed if name.startswith("edgelinear/")} == package
    assert {"LICENSE", "constraints.txt", "tests/problems.py", ".ci/release.py"} <= packed
    left_out = "/kernels/", "/viewer/web/"
    assert installed == {name for name in package if not any(part in name for part in left_out)}
