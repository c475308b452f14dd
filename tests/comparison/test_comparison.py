"""`compare`: its numbers against independent ones, and what it leaves untouched."""

import csv
import json
import math

import pytest
import torch
from torch import nn

from edgelinear import EdgeLinear, Topology, backends, generators
from edgelinear.comparison import Comparison, Row, compare, contenders, measure

pytestmark = pytest.mark.usefixtures("few_rounds")


def random_layer(**options) -> EdgeLinear:
    topology = generators.erdos_renyi(30, 20, num_edges=90)
    return EdgeLinear.from_topology(topology, **options)


def by_name(comparison: Comparison) -> dict[str, Row]:
    return {row.name: row for row in comparison.rows}


def test_measures_every_usable_backend_and_both_dense_layers():
    comparison = compare(random_layer(), 8)
    layer, x = random_layer(), torch.zeros(8, 30)
    usable = [
        name
        for name in backends.BACKENDS
        if backends.why_not(name, x, layer.weight, layer.topology) is None
    ]
    assert [row.name for row in comparison.rows] == [*usable, "MaskedLinear", "nn.Linear"]
    assert set(comparison.left_out) == set(backends.BACKENDS) - set(usable)
    assert all(row.agrees for row in comparison.rows)


@pytest.mark.parametrize(
    ("planted", "column"),
    [("spmm", "output_error"), ("sddmm", "weight_grad_error")],
)
def test_error_columns_show_a_planted_error(monkeypatch, planted, column):
    right = getattr(backends.reference, planted)
    monkeypatch.setattr(backends.reference, planted, lambda *args: right(*args) + 0.25)
    row = compare(random_layer(), 8, "reference").rows[0]
    assert getattr(row, column) == pytest.approx(0.25, abs=1e-4)
    assert not row.agrees


def test_input_gradient_column_shows_a_planted_error(monkeypatch):
    right = backends.reference.spmm

    def wrong(weight, x, topology, bias):  # the input gradient runs on the transpose, 20 -> 30
        return right(weight, x, topology, bias) + 0.25 * (topology.in_features == 20)

    monkeypatch.setattr(backends.reference, "spmm", wrong)
    row = compare(random_layer(), 8, "reference").rows[0]
    assert row.input_grad_error == pytest.approx(0.25, abs=1e-4)
    assert row.output_error < 1e-5


def test_wrong_backend_is_named_and_not_called_fastest(monkeypatch):
    monkeypatch.setattr(measure, "errors", lambda *args: (1.0, 0.0, 0.0))
    comparison = compare(random_layer(), 8, "reference")
    assert "NOT EQUAL" in comparison.sentence and "fastest" not in comparison.sentence
    assert "reference (!)" in str(comparison)


def test_parameters_are_edges_and_cells():
    rows = by_name(compare(random_layer(), 8, "reference"))
    assert rows["reference"].parameters == 90 + 20
    assert rows["MaskedLinear"].parameters == rows["nn.Linear"].parameters == 20 * 30 + 20


def test_saved_bytes_are_what_arithmetic_says():
    rows = by_name(compare(random_layer(), 8, "reference"))
    input_bytes = 4 * 8 * 30
    assert rows["reference"].saved_bytes == input_bytes
    assert rows["nn.Linear"].saved_bytes == input_bytes
    assert rows["MaskedLinear"].saved_bytes == input_bytes + 4 * 20 * 30  # weight * mask


def test_peak_sees_a_known_allocation():
    def run():
        first = torch.empty(1000, dtype=torch.uint8)
        del first
        second = torch.empty(300, dtype=torch.uint8)
        return second, torch.empty(400, dtype=torch.uint8)

    assert measure.peak_bytes(run, torch.device("cpu")) == 1000


def test_peak_of_a_plain_linear_step_is_output_and_gradients():
    row = by_name(compare(random_layer(bias=False), 8, "reference"))["nn.Linear"]
    assert row.peak_bytes == 4 * (8 * 20 + 8 * 30 + 20 * 30)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    "edges",
    [[], [(0, 0)], [(1, 1), (0, 1), (2, 0)], [(2, 1), (2, 1), (0, 1), (2, 1)]],
    ids=["none", "one", "unsorted", "duplicates"],
)
def test_chunked_reference_equals_the_dense_one(monkeypatch, edges, bias):
    monkeypatch.setattr(measure, "_SLICE_ELEMENTS", 10)
    layer = EdgeLinear(3, 2, edges, duplicates="keep", bias=bias, dtype=torch.float64)
    problem = (torch.randn(5, 3), layer.weight, layer.bias, torch.randn(5, 2), layer.topology)
    for chunked, dense in zip(
        measure.sparse_truth(*problem), measure.dense_truth(*problem), strict=True
    ):
        torch.testing.assert_close(chunked, dense)


def test_dense_is_left_out_where_it_would_not_fit(monkeypatch):
    monkeypatch.setattr(contenders, "_free_bytes", lambda device: 4 * 600 * 25 - 4)
    comparison = compare(random_layer(), 8, "reference")
    assert [row.name for row in comparison.rows] == ["reference"]
    assert comparison.rows[0].agrees
    assert set(comparison.left_out) == {"MaskedLinear", "nn.Linear"}
    assert "more than a quarter" in comparison.sentence
    monkeypatch.setattr(contenders, "_free_bytes", lambda device: 4 * 600 * 25)
    assert len(compare(random_layer(), 8, "reference").rows) == 3


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_agrees_in_every_type(dtype):
    comparison = compare(random_layer(dtype=dtype), 8)
    assert all(row.agrees for row in comparison.rows), str(comparison)
    assert comparison.dtype == str(dtype).removeprefix("torch.")


@pytest.mark.parametrize(
    ("sizes", "edges"),
    [((3, 2), []), ((0, 5), []), ((4, 0), []), ((9, 9), [(0, 0), (8, 3)]), ((2, 2), [(0, 1)] * 3)],
    ids=["no edges", "no inputs", "no outputs", "isolated", "duplicates"],
)
def test_takes_odd_wirings(recwarn, sizes, edges):
    comparison = compare(EdgeLinear(*sizes, edges, duplicates="keep"), 4)
    assert all(row.agrees for row in comparison.rows)
    assert str(comparison) and comparison.sentence
    assert not [warning for warning in recwarn if warning.category is UserWarning]


def test_rounding_of_a_hub_is_no_disagreement():
    size = 50_000
    edges = torch.stack([torch.arange(size), torch.zeros(size, dtype=torch.int64)])
    layer = EdgeLinear(size, 1, edges, weight=torch.rand(size))
    comparison = compare(layer, 4)
    assert all(row.agrees for row in comparison.rows), str(comparison)


def test_leaves_layer_and_random_state_untouched():
    layer = random_layer()
    layer(torch.randn(2, 30)).sum().backward()
    layer.weight.requires_grad_(False)
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    gradient, state = layer.weight.grad.clone(), torch.get_rng_state()
    with torch.no_grad():
        compare(layer, 4, "reference")
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(layer.weight.grad, gradient) and not layer.weight.requires_grad
    assert all(torch.equal(before[name], value) for name, value in layer.state_dict().items())


def test_runs_under_inference_mode_and_autocast():
    layer = random_layer()
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert all(row.agrees for row in compare(layer, 4, "reference").rows)


@pytest.mark.parametrize(
    ("batch_size", "error"),
    [(0, ValueError), (-1, ValueError), (2.0, TypeError), (True, TypeError)],
)
def test_refuses_a_batch_that_is_none(batch_size, error):
    with pytest.raises(error, match="`batch_size` must be"):
        compare(random_layer(), batch_size)


def test_refuses_what_is_no_layer():
    with pytest.raises(TypeError, match="EdgeRNN, got Linear"):
        compare(nn.Linear(2, 2))


def test_refuses_a_meta_layer():
    with pytest.raises(ValueError, match="meta device"):
        compare(random_layer(device="meta"))


def test_refuses_weights_that_are_not_finite():
    layer = random_layer()
    layer.weight.data[3] = math.nan
    with pytest.raises(ValueError, match="`layer.weight` must be finite"):
        compare(layer)


def test_refuses_an_unknown_backend():
    with pytest.raises(ValueError, match="got 'auto'"):
        compare(random_layer(), 4, ["auto"])


def test_named_backend_that_cannot_run_raises(monkeypatch):
    monkeypatch.setattr(backends.torch_csr, "why_not", lambda *args: "it is switched off")
    with pytest.raises(RuntimeError, match="'torch_csr' cannot be used: it is switched off"):
        compare(random_layer(), 4, ["torch_csr"])
    assert compare(random_layer(), 4).left_out["torch_csr"] == "it is switched off"


def test_csv_holds_every_number(tmp_path):
    comparison = compare(random_layer(), 4, "reference")
    text = comparison.to_csv(tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_bytes() == text.encode()  # on every system
    assert "\r" not in text
    lines = list(csv.DictReader(text.splitlines()))
    for line, row in zip(lines, comparison.rows, strict=True):
        assert float(line["step_ms"]) == row.step_ms
        assert float(line["weight_grad_error"]) == row.weight_grad_error
        assert int(line["saved_bytes"]) == row.saved_bytes
        assert (line["num_edges"], line["torch"]) == ("90", torch.__version__)


def test_json_holds_every_number():
    comparison = compare(random_layer(), 4, "reference")
    record = json.loads(json.dumps(comparison.to_dict(), allow_nan=False))
    assert [Row(**row) for row in record["rows"]] == comparison.rows
    assert record["sentence"] == comparison.sentence


def test_json_has_no_nan():
    row = made_up("reference", 1.0)
    broken = Row(**{**row.__dict__, "output_error": math.nan})
    assert (
        Comparison(1, 1, 1, 1, "float32", {}, [broken]).to_dict()["rows"][0]["output_error"] is None
    )


def made_up(name: str, step: float, spread: float = 0.1) -> Row:
    times = (step, step - spread, step + spread)
    return Row(name, 1, 0.0, 0.0, 0.0, True, *times, *times, 0, 0)


def sentence(ours: float, masked: float, linear: float) -> str:
    rows = [made_up("cpp", ours), made_up("MaskedLinear", masked), made_up("nn.Linear", linear)]
    slower = made_up("reference", 2 * ours)
    return Comparison(2, 2, 2, 2, "float32", {}, [slower, *rows]).sentence


def test_sentence_where_edges_are_faster():
    said = sentence(1.0, 4.0, 2.0)
    assert said.startswith("cpp is the fastest backend here, at 1.00 ms a training step")
    assert "4.0 times faster than MaskedLinear" in said
    assert "2.0 times faster than nn.Linear, which would train the zeros too" in said


def test_sentence_where_masked_dense_is_faster():
    said = sentence(4.0, 2.0, 1.0)
    assert said.startswith("Dense is the faster choice here")
    assert "cpp, takes 4.00 ms: 2.0 times slower than MaskedLinear" in said


def test_sentence_where_only_plain_dense_is_faster():
    said = sentence(4.0, 8.0, 2.0)
    assert "2.0 times faster than MaskedLinear, the same function to train" in said
    assert "nn.Linear takes 2.00 ms (2.0 times faster), but would train the zeros too" in said


def test_sentence_calls_a_difference_within_the_spread_none():
    assert "about as fast as MaskedLinear" in sentence(1.0, 1.1, 5.0)


def test_times_that_cannot_be_are_doubted():
    machine = {"torch": "2", "threads": 1, "device": "a machine"}
    row = made_up("cpp", 1.0)
    slow = Row(**{**row.__dict__, "name": "reference", "forward_ms": 2.0})
    assert "busy" not in str(Comparison(1, 1, 1, 1, "float32", machine, [row]))
    doubted = str(Comparison(1, 1, 1, 1, "float32", machine, [row, slow]))
    assert "the machine was busy: for reference the forward alone took longer" in doubted


def test_plain_table_is_aligned_and_has_no_control_characters(capsys):
    comparison = compare(random_layer(), 4)
    print(comparison)
    printed = capsys.readouterr().out
    table = printed.split("\n\n")[1].splitlines()
    assert len({len(line) for line in table[1:]}) == 1
    assert len(table) == 2 + len(comparison.rows)
    assert "\x1b" not in printed


def test_rich_table_fits_a_terminal_of_80_columns():
    console = pytest.importorskip("rich.console").Console(width=80, record=True, quiet=False)
    comparison = compare(random_layer(), 4)
    with console.capture() as capture:
        console.print(comparison)
    lines = capture.get().splitlines()
    assert max(map(len, lines)) <= 80 and not any("…" in line for line in lines)


def test_show_is_plain_where_the_output_is_no_terminal(capsys):
    comparison = compare(random_layer(), 4, "reference")
    comparison.show()
    assert capsys.readouterr().out == f"{comparison}\n"


def test_sizes_read_as_people_write_them():
    from edgelinear.comparison.units import short, size

    assert [size(n) for n in (0, 999, 1500, 2_000_000)] == ["0 B", "999 B", "1.5 kB", "2.0 MB"]
    assert [short(n) for n in (999, 46939, 999_600)] == ["999", "46.9k", "1.0M"]


def test_kept_duplicates_share_a_cell_and_agree():
    topology = Topology(3, 2, [(0, 0), (0, 0), (2, 1)], duplicates="keep")
    rows = compare(EdgeLinear.from_topology(topology, dtype=torch.float64), 16).rows
    assert max(row.weight_grad_error for row in rows) < 1e-12
