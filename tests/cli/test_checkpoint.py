"""`edgelinear compare` of a checkpoint: its matrices, their density, and advice."""

import json

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

import edgelinear as el
from edgelinear.conversion import timing

pytest.importorskip("click")
save_file = pytest.importorskip("safetensors.torch").save_file
from edgelinear.__main__ import main  # noqa: E402

pytestmark = pytest.mark.usefixtures("few_rounds")


@pytest.fixture
def saved(tmp_path):
    """Return what saves the state of a model, and prints what is said of it."""

    def save(state):
        path = tmp_path / "model.safetensors"
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
        return str(path)

    return save


def pruned_state():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 30), nn.Linear(30, 10), nn.Embedding(5, 4))
    with torch.no_grad():
        model[0].weight[torch.rand(30, 20) < 0.9] = 0.0
    prune.l1_unstructured(model[1], "weight", amount=270)
    with torch.no_grad():
        model[1].weight_orig += 1.0
    model.append(el.EdgeLinear(8, 4, [(0, 0), (7, 3)]))
    state = dict(model.state_dict())
    return state | {"int8": torch.zeros(6, 6, dtype=torch.int8), "zeros": torch.zeros(6, 6)}


def test_matrices_have_their_density_and_advice(saved, capsys, monkeypatch):
    monkeypatch.setattr(
        timing, "_times", lambda entry, *_: (2.0, 1.0 if entry.mask is None else 3.0)
    )
    state = pruned_state()
    assert main(["compare", saved(state), "--batch", "3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    rows = {row["name"]: row for row in found["layers"]}
    assert [*rows] == ["0.weight", "1.weight_orig", "2.weight", "3.weight", "int8", "zeros"]
    share = float((state["0.weight"] != 0).float().mean())
    assert rows["0.weight"]["density"] == pytest.approx(share)
    assert rows["1.weight_orig"]["density"] == pytest.approx(0.1)
    assert rows["3.weight"]["density"] == pytest.approx(2 / 32)
    assert (rows["3.weight"]["in_features"], rows["3.weight"]["out_features"]) == (8, 4)
    assert {name: (row["action"], row["reason"]) for name, row in rows.items()} == {
        "0.weight": ("el.sparsify", "2.0 times faster"),
        "1.weight_orig": ("dense", "faster as it is"),
        "2.weight": ("dense", "less than 80% zeros"),
        "3.weight": ("on edges", "an EdgeLinear already"),
        "int8": ("dense", "its type is I8"),
        "zeros": ("dense", "all its weights are 0"),
    }
    assert found["batch_size"] == 3 and found["sentence"].startswith("1 of 6 would be faster")


def test_table_is_printed(saved, capsys):
    assert main(["compare", saved(pruned_state()), "--seconds", "0.1"]) == 0
    out, err = capsys.readouterr()
    assert err == "" and out.startswith("6 matrices, a training step of batch 64, torch ")
    (line,) = (line for line in out.splitlines() if line.startswith("2.weight"))
    assert line.split()[:5] == ["2.weight", "4", "->", "5", "100.00%"]


def test_single_matrix_is_a_list_of_one(saved, capsys):
    assert main(["compare", saved({"w": torch.randn(3, 4)}), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["layers"]
    assert (row["in_features"], row["out_features"], row["density"]) == (4, 3, 1.0)


def test_equal_matrices_are_timed_once(saved, capsys, monkeypatch):
    seen = []
    monkeypatch.setattr(timing, "_times", lambda *_: seen.append(1) or (2.0, 1.0))
    weight = torch.eye(20)
    assert main(["compare", saved({"a": weight, "b": weight + 0, "c": torch.eye(30)})]) == 0
    assert len(seen) == 2


def said(capsys, *arguments):
    assert main(["compare", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    return err


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["--layout", "weight"], "--layout"),
        (["--plot", "a.png"], "--plot"),
        (["--no-weight"], "--no-weight"),
        (["--in-features", "3", "--out-features", "2"], "--in-features"),
    ],
)
def test_options_of_other_files_are_refused(saved, capsys, arguments, option):
    path = saved({"w": torch.eye(4)})
    assert f"{option} is not for a checkpoint, as {path} is." in said(capsys, path, *arguments)


def test_file_without_a_matrix(saved, capsys):
    path = saved({"bias": torch.zeros(3)})
    assert f"{path}: it must hold a matrix, of two dimensions, and holds none." in said(
        capsys, path
    )


def test_broken_file(tmp_path, capsys):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"no header at all")
    assert str(path) in said(capsys, str(path))


def test_weights_that_are_not_finite(saved, capsys):
    weight = torch.zeros(10, 10)
    weight[0, 0] = float("nan")
    assert "`w` has weights that are NaN or infinite" in said(capsys, saved({"w": weight}))
