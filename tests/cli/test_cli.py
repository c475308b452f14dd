"""The command line: what it prints, and one line and exit code 2 for anything wrong."""

import gzip
import importlib
import json
import os
import platform
import subprocess
import sys

import numpy as np
import pytest
import scipy.io
import scipy.sparse
import torch

import edgelinear
from edgelinear import backends

pytest.importorskip("click")
from edgelinear.__main__ import main  # noqa: E402

pytestmark = pytest.mark.usefixtures("few_rounds")


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def edges(tmp_path):
    path = tmp_path / "edges.csv"
    path.write_text("source,target,weight\na,x,0.5\nb,x,-1\nb,y,2\n")
    return str(path)


def run_process(*arguments: str, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "edgelinear", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


def said_in_one_line(capsys, *arguments: str) -> str:
    """Return the only line on stderr, after checking its form and the exit code."""
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("edgelinear: error: ")
    assert err.endswith("\n") and err.count("\n") == 1
    return err


def read_json(capsys, *arguments: str) -> dict:
    assert main(["compare", *arguments, "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return json.loads(out)


def test_compare_prints_a_plain_table(capsys, edges):
    assert main(["compare", edges, "--batch", "3"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("2 -> 2, 3 edges (75.000%), batch 3, float32\n") and err == ""
    assert "MaskedLinear" in out and "\x1b" not in out


def test_compare_prints_only_json(capsys, edges):
    record = read_json(capsys, edges, "--plot", "bars.png")
    assert (record["in_features"], record["num_edges"], record["batch_size"]) == (2, 3, 64)
    assert all(row["agrees"] for row in record["rows"])
    assert os.path.getsize("bars.png") > 1000


def test_compare_reads_tsv_compressed_or_not(capsys):
    text = "source\ttarget\n0\t1\n4\t0\n"
    with open("edges.tsv", "w") as file:
        file.write(text)
    with gzip.open("edges.tsv.gz", "wt") as file:
        file.write(text)
    for name in ("edges.tsv", "edges.tsv.gz"):
        assert read_json(capsys, name)["in_features"] == 2
    sized = read_json(capsys, "edges.tsv", "--in-features", "7", "--out-features", "3")
    assert (sized["in_features"], sized["out_features"]) == (7, 3)


@pytest.mark.parametrize("suffix", ["npz", "mtx"])
def test_compare_reads_matrices_in_both_layouts(capsys, suffix):
    matrix = scipy.sparse.random_array((9, 5), density=0.3, format="coo", rng=0)
    if suffix == "npz":
        scipy.sparse.save_npz("m.npz", matrix)
    else:
        scipy.io.mmwrite("m.mtx", matrix)
    record = read_json(capsys, f"m.{suffix}")
    assert (record["in_features"], record["out_features"]) == (9, 5)
    assert record["num_edges"] == matrix.nnz
    flipped = read_json(capsys, f"m.{suffix}", "--layout", "weight")
    assert (flipped["in_features"], flipped["out_features"]) == (5, 9)


def test_compare_reads_a_dense_mtx(capsys):
    scipy.io.mmwrite("m.mtx", np.array([[0.0, 1.0], [2.0, 0.0], [0.0, 0.0]]))
    assert read_json(capsys, "m.mtx")["num_edges"] == 2


def test_compare_reads_the_columns_it_is_told(capsys):
    with open("edges.csv", "w") as file:
        file.write("gene,pathway\n0,0\n0,2\n1,1\n")
    record = read_json(capsys, "edges.csv", "--source", "pathway", "--target", "gene")
    assert (record["in_features"], record["out_features"]) == (3, 2)


def test_compare_takes_duplicates_as_told(capsys):
    with open("edges.csv", "w") as file:
        file.write("source,target\n0,0\n0,0\n1,1\n")
    said = said_in_one_line(capsys, "compare", "edges.csv")
    assert "given twice" in said and "--duplicates keep for two" in said
    assert read_json(capsys, "edges.csv", "--duplicates", "keep")["num_edges"] == 3
    assert read_json(capsys, "edges.csv", "--duplicates", "merge")["num_edges"] == 2


BAD_FILES = {
    "empty.csv": (b"", "empty"),
    "empty.tsv": (b"", "empty"),
    "empty.npz": (b"", "empty.npz"),
    "empty.mtx": (b"", "empty.mtx"),
    "header.csv": (b"source,target\n", "no rows"),
    "blank.csv": (b"\n\n", "empty"),
    "columns.csv": (b"a,b\n1,2\n", "no column 'source'"),
    "nan.csv": (b"source,target\n1,2\nnan,3\n4,\n", "no value"),
    "weight.csv": (b"source,target,weight\n1,2,x\n", "must hold numbers"),
    "inf.csv": (b"source,target,weight\n1,2,inf\n", "must be finite"),
    "bytes.csv": (b"\xff\xfe\x00\x81source", "cannot be read"),
    "broken.csv.gz": (b"no gzip at all", "gzip"),
    "cut.csv.gz": (gzip.compress(b"source,target\n" + bytes(range(256)) * 40)[:40], "cut.csv.gz"),
    "bytes.npz": (b"\x80\x81no archive", "bytes.npz"),
    "cut.npz": (b"PK\x03\x04 cut off", "cut.npz"),
    "bytes.mtx": (b"\x00\x01no matrix", "bytes.mtx"),
    "cut.mtx": (b"%%MatrixMarket matrix coordinate real general\n3 3 2\n1 1 5\n", "cut.mtx"),
    "range.mtx": (b"%%MatrixMarket matrix coordinate real general\n2 2 1\n9 1 5\n", "range.mtx"),
    "complex.mtx": (
        b"%%MatrixMarket matrix coordinate complex general\n2 2 1\n1 1 5 1\n",
        "complex",
    ),
    "edges.txt": (b"0 1\n", "is no header, pass"),
    "edges": (b"0 1\n", ".csv, .tsv"),
    "matrix.npz.gz": (b"0 1\n", ".csv, .tsv"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_file_is_one_line(capsys, name):
    content, reason = BAD_FILES[name]
    with open(name, "wb") as file:
        file.write(content)
    assert reason in said_in_one_line(capsys, "compare", name)


def test_npz_that_is_no_sparse_matrix_is_one_line(capsys):
    np.savez("array.npz", np.ones(3))
    assert "array.npz" in said_in_one_line(capsys, "compare", "array.npz")
    np.savez("pickle.npz", format=np.array({"a": 1}, dtype=object))
    assert "pickle.npz" in said_in_one_line(capsys, "compare", "pickle.npz")


BAD_ARGUMENTS = {
    "no such command": (["weave"], "weave"),
    "no such option": (["info", "--loud"], "--loud"),
    "no file": (["compare"], "FILE"),
    "missing file": (["compare", "gone.csv"], "gone.csv"),
    "a folder": (["compare", "."], "directory"),
    "batch 0": (["compare", "EDGES", "--batch", "0"], "--batch"),
    "negative batch": (["compare", "EDGES", "--batch", "-3"], "--batch"),
    "batch of words": (["compare", "EDGES", "--batch", "many"], "many"),
    "one size": (["compare", "EDGES", "--in-features", "3"], "both"),
    "names with sizes": (
        ["compare", "EDGES", "--in-features", "3", "--out-features", "3"],
        "indices",
    ),
    "layout of a table": (["compare", "EDGES", "--layout", "weight"], "--layout"),
    "unknown layout": (["compare", "EDGES", "--layout", "sideways"], "sideways"),
    "wrong picture": (["compare", "EDGES", "--plot", "bars.docx"], ".png"),
    "picture without ending": (["compare", "EDGES", "--plot", "bars"], ".png"),
    "picture in no folder": (["compare", "EDGES", "--plot", "no/bars.png"], "no folder no"),
    "picture is a folder": (["compare", "EDGES", "--plot", "taken.png"], "taken.png is a folder"),
    "no epochs": (["demo", "--epochs", "0"], "--epochs"),
    "out is a file": (["demo", "--out", "EDGES"], "edges.csv"),
}


@pytest.mark.parametrize("case", BAD_ARGUMENTS)
def test_bad_argument_is_one_line(capsys, edges, case):
    os.mkdir("taken.png")
    arguments, reason = BAD_ARGUMENTS[case]
    arguments = [edges if argument == "EDGES" else argument for argument in arguments]
    assert reason in said_in_one_line(capsys, *arguments)


def test_picture_that_fails_to_be_written_is_one_line(capsys, edges, monkeypatch):
    from matplotlib.figure import Figure

    def full(*args, **options):
        raise OSError(28, "No space left on device", "bars.png")

    monkeypatch.setattr(Figure, "savefig", full)
    said = said_in_one_line(capsys, "compare", edges, "--plot", "bars.png")
    assert said == "edgelinear: error: bars.png: No space left on device\n"


def test_message_of_several_lines_becomes_one(capsys, edges, monkeypatch):
    import edgelinear.comparison

    def out_of_memory(*args):
        raise RuntimeError("no memory\n  for this")

    monkeypatch.setattr(edgelinear.comparison, "compare", out_of_memory)
    said = said_in_one_line(capsys, "compare", edges)
    assert said == "edgelinear: error: no memory for this\n"


def test_matrix_takes_no_sizes(capsys):
    scipy.sparse.save_npz("m.npz", scipy.sparse.eye_array(3, format="csr"))
    arguments = ["compare", "m.npz", "--in-features", "3", "--out-features", "3"]
    assert "--in-features is for a table" in said_in_one_line(capsys, *arguments)


def test_info_names_versions_and_every_backend(capsys, monkeypatch):
    monkeypatch.setattr(backends.torch_csr, "why_not", lambda *args: "it is switched off")
    assert main(["info"]) == 0
    out, err = capsys.readouterr()
    assert err == "" and edgelinear.__version__ in out and torch.__version__ in out
    assert "torch_csr      no: it is switched off" in out
    assert all(name in out for name in backends.BACKENDS)


@pytest.mark.parametrize(
    ("machine", "chosen", "said"),
    [
        ("x86_64", "portable", "portable"),
        ("aarch64", "portable", "NEON"),
        ("arm64", "portable", "NEON"),
        ("AMD64", "avx2", "avx2"),
    ],
)
def test_info_names_the_instruction_set(machine, chosen, said, capsys, monkeypatch):
    monkeypatch.setattr(backends.cpp, "why_not", lambda *args: None)
    monkeypatch.setattr(backends.cpp, "instruction_set", lambda: chosen)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert main(["info"]) == 0
    assert f"cpp            yes, {said}\n" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["--help"], ["compare", "-h"], ["--version"]])
def test_help_and_version_are_no_errors(capsys, arguments):
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    assert out and err == ""


def test_missing_click_names_the_extra(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "click", None)
    assert "pip install 'edgelinear[cli]'" in said_in_one_line(capsys, "info")


def test_missing_demo_package_names_the_extra(capsys, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "sklearn" else find(name)
    )
    assert "pip install 'edgelinear[demo]'" in said_in_one_line(capsys, "demo")


def test_python_dash_m_runs_the_command():
    process = run_process("info")
    assert process.returncode == 0 and process.stderr == ""
    assert process.stdout.startswith("edgelinear ")


def test_error_of_a_process_has_no_traceback():
    process = run_process("compare", "gone.csv")
    assert process.returncode == 2 and process.stdout == ""
    assert process.stderr.startswith("edgelinear: error: ") and process.stderr.count("\n") == 1


def test_interrupt_exits_130(edges):
    # The process interrupts itself in the middle of the measurement. One that was started in the
    # background ignores interrupts unless told otherwise.
    code = (
        "import os, signal, sys, edgelinear.cli as cli, edgelinear.comparison\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "edgelinear.comparison.compare = lambda *_: os.kill(os.getpid(), signal.SIGINT)\n"
        f"sys.exit(cli.run(['compare', {str(edges)!r}]))"
    )
    command = [sys.executable, "-c", code]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 130 and "Traceback" not in process.stderr


def test_interrupt_returns_130(monkeypatch, edges):
    import edgelinear.comparison

    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(edgelinear.comparison, "compare", interrupted)
    assert main(["compare", edges]) == 130
