"""The report of `el.sparsify`: tables, values and the sentence."""

import json

import pytest
import torch
from pruned_models import mlp, sparsify
from torch import nn

import edgelinear as el
from edgelinear.conversion import timing

pytestmark = pytest.mark.usefixtures("few_rounds")


@pytest.fixture
def report(monkeypatch):
    monkeypatch.setattr(timing, "_times", lambda *_: (4.0, 2.0))
    monkeypatch.setattr(timing, "time_model", lambda *_: (12.0, 8.0))
    return sparsify(mlp(), torch.randn(8, 24), when="faster")


def test_plain_table(report):
    lines = str(report).splitlines()
    assert lines[0].startswith("3 layers, forward and gradients, torch ")
    start = lines.index(next(line for line in lines if line.startswith("module")))
    head, first, _, last, total = (line.split() for line in lines[start : start + 5])
    assert " ".join(head) == "module in -> out density before after before after what was done"
    assert first[:7] == ["0", "24", "->", "32", "10.03%", "4.00", "2.00"]
    assert first[-4:] == ["converted:", "2.0", "times", "faster"]
    assert last[:7] == ["6", "40", "->", "3", "100.00%", "-", "-"]
    assert total[:4] == ["whole", "model", "12.0", "8.00"]
    assert len({line.index("%") for line in lines if "%" in line and "->" in line}) == 1


def test_rich_table_says_the_same(report):
    rich = pytest.importorskip("rich.console")
    console = rich.Console(width=200, record=True, file=open("/dev/null", "w"))
    console.print(report)
    text = console.export_text()
    for cell in ("24 -> 32", "converted: 2.0 times faster", "less than 80% zeros", "whole model"):
        assert cell in text
    assert report.sentence in " ".join(text.split())


def test_sentence(report):
    assert report.sentence.startswith(
        "2 of 3 layers were converted: forward and gradients of the whole model take 8.00 ms "
        "instead of 12.0, 1.50 times faster"
    )
    assert report.sentence.endswith("Left as they are: 1 (less than 80% zeros).")


def test_values_are_plain(report):
    record = json.loads(json.dumps(report.to_dict()))
    assert record["layers"][0] == {
        "name": "0",
        "in_features": 24,
        "out_features": 32,
        "density": pytest.approx(77 / 768),
        "calls": 1,
        "ms_before": 4.0,
        "ms_after": 2.0,
        "bytes_before": 4 * (768 + 32),
        "bytes_after": report.layers[0].bytes_after,
        "action": "converted",
        "reason": "2.0 times faster",
    }
    assert (record["ms_before"], record["ms_after"], record["mode"]) == (12.0, 8.0, "training")
    assert "model" not in record and record["sentence"] == report.sentence


def test_bytes_are_those_of_what_is_held(report):
    layer = report.model[0]
    wiring = {t.data_ptr(): t.nbytes for t in layer.topology._tensors if t is not None}
    assert report.layers[0].bytes_after == 4 * (77 + 32) + sum(wiring.values())
    saved = report.bytes_before - report.bytes_after
    assert saved == sum(row.bytes_before - row.bytes_after for row in report.layers)


DOUBT = "The machine was busy, and times did not hold still: measure again when it is idle"


@pytest.mark.parametrize("moving", [None, "_times", "time_model"])
def test_times_that_do_not_hold_still_are_told(moving, monkeypatch):
    for name in ("_times", "time_model"):
        taken = timing.Taken(2.0, 1.0, steady=name != moving)
        monkeypatch.setattr(timing, name, lambda *_, taken=taken: taken)
    report = sparsify(mlp(), torch.randn(8, 24))
    assert report.steady is report.to_dict()["steady"] is (moving is None)
    assert (DOUBT in " ".join(str(report).split())) is (moving is not None)
    assert report.sentence.count("busy") == 0


@pytest.mark.parametrize(
    ("rounds", "high", "disturbed", "steady"),
    [(5, 1.9, 0.0, True), (5, 2.1, 0.0, False), (5, 1.0, 0.3, False), (1, 1.0, 0.0, False)],
)
def test_one_round_tells_nothing_and_several_must_agree(rounds, high, disturbed, steady):
    still = timing.measure.Times(1.0, 1.0, 1.0, 1.0, 5, 0.0)
    other = timing.measure.Times(1.0, 1.0, high, 1.0, rounds, disturbed)
    assert timing._taken([still, other]).steady is steady
    assert timing._taken([other, still]).steady is steady


def test_matrices_that_are_no_layers_are_told():
    """Attention holds a matrix itself, and transformers has a Conv1D for GPT-2."""

    class Conv1D(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(16, 16))

        def forward(self, x):
            return x @ self.weight

    encoder = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
    adapted = nn.utils.parametrizations.orthogonal(nn.Linear(16, 16))
    model = nn.Sequential(Conv1D(), encoder, Conv1D(), adapted, nn.LayerNorm(16))
    report = sparsify(model, torch.randn(2, 3, 16))
    assert report.to_dict()["others"] == {"Conv1D": 2, "MultiheadAttention": 1}
    said = "Not looked at, as they are no nn.Linear: 2 Conv1D, 1 MultiheadAttention."
    assert said in " ".join(str(report).split())
    with pytest.raises(ValueError, match="and has none, but 1 Conv1D: quantized and scripted"):
        sparsify(Conv1D(), torch.randn(2, 16))


def test_scripted_layers_are_told_by_their_own_names():
    model = nn.Sequential(torch.jit.script(nn.Linear(4, 4)), nn.Linear(4, 4))
    assert sparsify(model, torch.randn(2, 4)).others == {"scripted Linear": 1}


def test_nothing_measured_is_nothing_said():
    report = sparsify(nn.Sequential(nn.Linear(4, 4)), torch.randn(2, 4))
    assert report.to_dict()["ms_before"] is None
    assert report.sentence == "No layer was converted. Left as they are: 1 (less than 80% zeros)."
    assert str(report).count("nan") == 0


def test_show_prints_a_plain_table_where_no_terminal_is(report, capsys):
    report.show()
    assert capsys.readouterr().out == f"{report}\n"


def test_bar_is_drawn_and_goes(capsys):
    pytest.importorskip("rich")
    el.sparsify(mlp(), torch.randn(8, 24), seconds=0.1)
    assert "Error" not in capsys.readouterr().err
