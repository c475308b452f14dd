"""The random wirings of the benchmarks: their sizes, their skew, and that they never change."""

import csv
import importlib
import os
import re
import shutil
import subprocess
import sys
from math import nan
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
PAGES = [BENCHMARKS.parent / "docs" / "performance.md", BENCHMARKS.parent / "README.md"]


@pytest.fixture
def wirings(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("wirings")


def test_power_law_has_exactly_the_edges_asked_for_in_target_order(wirings):
    topology = wirings.power_law(500, 20_000, exponent=2.5, max_degree=200, seed=0)
    assert (topology.in_features, topology.out_features) == (500, 500)
    assert topology.num_edges == 20_000
    assert topology.is_sorted


def test_power_law_is_the_same_for_the_same_seed_only(wirings):
    first, again, other = (
        wirings.power_law(300, 3_000, exponent=2.5, max_degree=100, seed=seed) for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


def test_power_law_hubs_stay_near_the_maximal_degree(wirings):
    topology = wirings.power_law(20_000, 200_000, exponent=2.5, max_degree=500, seed=0)
    # Expected 500 less a few repeats; the standard deviation of a degree of 500 is 22.
    assert 350 < topology.fan_in.max() < 600
    assert 350 < topology.fan_out.max() < 600


def test_power_law_refuses_what_it_cannot_draw(wirings):
    with pytest.raises(ValueError, match="above 2, got 2"):
        wirings.power_law(10, 5, exponent=2, seed=0)
    with pytest.raises(ValueError, match="which is 50, got 51"):
        wirings.power_law(10, 51, exponent=2.5, seed=0)


def test_pnet_has_the_sizes_of_the_paper_and_a_pathway_of_hundreds(wirings):
    topology = wirings.pnet()
    assert (topology.in_features, topology.out_features) == (9229, 1387)
    assert topology.num_edges == 15_651
    assert 300 < topology.fan_in.max() < 900
    assert topology == wirings.pnet()


def test_unreachable_index_says_what_to_do(wirings, monkeypatch, tmp_path):
    monkeypatch.setattr(wirings, "CACHE", tmp_path)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(RuntimeError, match="put the wheel into"):
        wirings.celegans()


@pytest.fixture
def picture(monkeypatch):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("matplotlib")
    monkeypatch.syspath_prepend(BENCHMARKS)
    rows = pandas.read_csv(BENCHMARKS / "results/cpu.csv")
    sizes = rows.drop_duplicates(["workload", "batch"]).set_index(["workload", "batch"])
    return rows, importlib.import_module("summarize").picture(rows, sizes)


def test_picture_has_a_dot_for_every_time_as_a_multiple_of_ours(picture):
    rows, figure = picture
    rows = rows[(rows.phase == "step") & (rows.threads == rows.threads.max())]
    medians = rows.set_index(["contender", "workload", "batch"]).median_ms
    order = rows[["workload", "batch"]].drop_duplicates().itertuples(index=False, name=None)
    keys = list(order)
    lines = {line.get_label(): line.get_xdata() for line in figure.axes[0].lines}
    for name in ("edgelinear auto", "sparselab", "dense masked"):
        ratios = [medians.get((name, *key), nan) / medians["edgelinear auto", *key] for key in keys]
        assert lines[name] == pytest.approx(ratios, nan_ok=True)


def test_picture_explains_every_marker_and_workload(picture):
    rows, figure = picture
    axes = figure.axes[0]
    explained = {text.get_text() for text in figure.legends[0].get_texts()}
    drawn = {line.get_label() for line in axes.lines if line.get_linestyle() == "None"}
    assert explained == drawn and len(drawn) == 7
    assert "absent" in figure.legends[0].get_title().get_text()
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert "ref32, batch 64\n1,024 -> 1,024, 32.8k edges" in labels
    assert len(labels) == len(rows[["workload", "batch"]].drop_duplicates())


def test_picture_stays_inside_itself(picture):
    _, figure = picture
    figure.draw_without_rendering()
    drawn, page = figure.get_tightbbox(), figure.bbox_inches
    legend, axes = figure.legends[0].get_window_extent(), figure.axes[0].get_tightbbox()
    assert legend.y1 < axes.y0
    assert drawn.x0 >= 0 and drawn.x1 <= page.x1 and drawn.y0 >= 0 and drawn.y1 <= page.y1


def summarize(folder, *pages):
    script = [sys.executable, BENCHMARKS / "summarize.py"]
    rows = [shutil.copy(BENCHMARKS / f"results/{name}.csv", folder) for name in ("cpu", "memory")]
    options = ["--page", pages[0], "--readme", pages[1], *rows]
    return subprocess.run([*script, *options], capture_output=True, text=True)


def test_page_and_readme_have_the_tables_of_the_rows(tmp_path):
    pytest.importorskip("matplotlib")
    copies = [shutil.copy(page, tmp_path / f"copy_of_{page.name}") for page in PAGES]
    assert summarize(tmp_path, *copies).returncode == 0
    for page, copy in zip(PAGES, copies, strict=True):
        assert copy.read_text() == page.read_text(), "run benchmarks/summarize.py"
    tables = [copy.read_text().partition("<!-- results -->")[2] for copy in copies]
    tables = [text.partition("<!-- /results -->")[0] for text in tables]
    assert [text.count(", batch ") for text in tables] == [27, 4]
    assert "| fly | 139,255 | 139,255 | 15,000,000 |" in tables[0]
    lost = re.compile(r"\| tiny, batch 1 \(64 -> 64, 476 edges\) \| [0-9.]+ \|")  # not bold
    assert lost.search(tables[1])


def test_page_has_the_table_of_the_rows_of_a_gpu(tmp_path):
    pytest.importorskip("matplotlib")
    page = PAGES[0]
    copy = shutil.copy(page, tmp_path / "page.md")
    command = [sys.executable, BENCHMARKS / "gpu_summary.py", "--page", copy]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert copy.read_text() == page.read_text(), "run benchmarks/gpu_summary.py"
    table = copy.read_text().partition("<!-- gpu -->")[2].partition("<!-- /gpu -->")[0]
    assert table.count(", batch ") == 27 and "NVIDIA H200" in table
    assert "| fly, batch 1, float32 | 0.151 | CSR parameter, 0.116 | 0.76 |" in table  # lost


def test_page_without_marks_is_refused(tmp_path):
    pytest.importorskip("matplotlib")
    (tmp_path / "page.md").write_text("# Performance\n")
    found = summarize(tmp_path, tmp_path / "page.md", tmp_path / "page.md")
    assert "page.md must have the marks of results once, got 0" in found.stderr


@pytest.mark.slow
def test_script_for_a_gpu_checks_and_times_every_contender(tmp_path):
    out = tmp_path / "rows.csv"
    command = [sys.executable, BENCHMARKS / "gpu.py", "--device", "cpu", "--only", "tiny"]
    said = subprocess.run([*command, "--out", out], capture_output=True, text=True, check=True)
    rows = list(csv.DictReader(out.open()))
    assert {"edgelinear auto", "CSR parameter", "nn.Linear"} <= {row["contender"] for row in rows}
    assert {row["dtype"] for row in rows} == {"float32", "bfloat16"}
    for row in (row for row in rows if not row["note"]):
        assert float(row["error"]) < (1e-4 if row["dtype"] == "float32" else 3e-2)
        assert float(row["median_ms"]) > 0
        assert f"  {row['contender']}" in said.stdout


@pytest.mark.slow
def test_script_for_two_processes_checks_and_times_every_way(tmp_path):
    out = tmp_path / "rows.csv"
    command = [sys.executable, BENCHMARKS / "parallel.py", "--only", "tiny", "--rounds", "3"]
    subprocess.run([*command, "--out", out], capture_output=True, text=True, check=True)
    rows = list(csv.DictReader(out.open()))
    assert len({row["way"] for row in rows}) == len(rows) == 4
    for row in rows:
        assert float(row["median_ms"]) > 0
        if row["way"].startswith("two"):
            assert 0 < float(row["error"]) < 1e-4 or row["error"] == "0"
    assert "| tiny, batch 32 (64 -> 64, 476 edges) |" in out.with_suffix(".md").read_text()


def test_networks_are_not_timed_without_the_kernels(tmp_path):
    command = [sys.executable, BENCHMARKS / "networks.py", "--out", tmp_path / "rows.csv"]
    nowhere = os.environ | {"EDGELINEAR_LIBRARY": str(tmp_path / "none.so")}
    made = subprocess.run(command, env=nowhere, capture_output=True, text=True)
    assert made.returncode == 1 and "set EDGELINEAR_LIBRARY" in made.stderr
    assert not (tmp_path / "rows.csv").exists()
