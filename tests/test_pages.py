"""The code of the manual's pages runs as it stands, where it is not run as the manual is built."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from markdown_pages import blocks

DOCS = Path(__file__).parents[1] / "docs"
RUN = ["how_it_works", "backends", "performance", "recipes"]
# Sections of the page for those who come from elsewhere, and what each needs.
SECTIONS = {
    "`nn.Linear` and a mask": None,
    "`torch.nn.utils.prune`": None,
    "PyG": "torch_geometric",
    "torch-sparse": "torch_sparse",
    "SparseLinear": "sparselinear",
    "sparselab": "sparselab",
    "BINN": "binn",
    "P-NET": None,
    "flyvis": None,
    "neat-python": "neat",
}
IN_EXTRA = {"torch_geometric", "torch_sparse"}
UNDER_TORCHRUN = "# torchrun "


def blocks_of(page):
    return blocks((DOCS / f"{page}.md").read_text())


@pytest.mark.parametrize("page", RUN)
def test_code_runs_from_top_to_bottom(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = [block for block in blocks_of(page) if not block.startswith(UNDER_TORCHRUN)]
    assert code
    exec(compile("\n".join(code), f"{page}.md", "exec"), {})


def sections():
    """Return what the page says before its sections, and each of these by its heading."""
    first, *rest = re.split(r"^## ", (DOCS / "coming_from.md").read_text(), flags=re.MULTILINE)
    return first, {part.partition("\n")[0]: part for part in rest}


@pytest.mark.parametrize(
    ("heading", "package"),
    [
        pytest.param(heading, package, marks=pytest.mark.pyg if package in IN_EXTRA else ())
        for heading, package in SECTIONS.items()
    ],
    ids=SECTIONS,
)
def test_code_beside_that_of_another_library_gives_the_same(
    heading, package, tmp_path, monkeypatch
):
    if package is not None:
        pytest.importorskip(package, reason=f"this section needs {package}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(DOCS.parent / "tests" / "convert")
    if package == "neat":
        from genomes import written

        (tmp_path / "neat.ini").write_text(written(inputs=3, outputs=2))
    first, parts = sections()
    code = [*blocks(first), *blocks(parts[heading])]
    exec(compile("\n".join(code), f"coming_from.md, {heading}", "exec"), {})


def test_every_section_with_code_is_run():
    assert {heading for heading, text in sections()[1].items() if blocks(text)} == {*SECTIONS}


@pytest.mark.slow
def test_recipe_for_several_processes_runs(tmp_path):
    (script,) = [block for block in blocks_of("recipes") if block.startswith(UNDER_TORCHRUN)]
    (tmp_path / "ddp.py").write_text(script)
    arguments = script.splitlines()[0].removeprefix(UNDER_TORCHRUN).split()
    command = [sys.executable, "-m", "torch.distributed.run", *arguments]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert found.returncode == 0, found.stderr
    said = re.findall(r"process \d: the gradient is that of all 32 samples", found.stdout)
    assert len({*said}) == 2  # their line ends may be mixed up
