"""The random wirings of the benchmarks: their sizes, their skew, and that they never change."""

import csv
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


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
