"""Time a pruned transformer as it is, after `el.sparsify`, and after sparseprop's swap, in one run.

    python benchmarks/models.py [--layers 6] [--sparsity 0.95 0.9 0.8] [--threads 1 2] [--out FILE]

BERT of transformers, as wide as BERT-base, with random weights, its matrices pruned by magnitude,
each by the same share. A step computes the gradients of all parameters. "dense" has
zeros, and trains them too; "dense, pruned" is masked by `torch.nn.utils.prune`. Contenders are
timed in turn, after their outputs were found within 1e-5 of those of the dense model, in units of
the largest. `environments.py models` makes a Python with transformers and sparseprop.
"""

import argparse
import contextlib
import copy
import csv
import gc
import importlib.metadata
import io
import time
from pathlib import Path

import torch
from describe import describe_origin, describe_times, require_kernels
from torch import Tensor, nn
from torch.nn.utils import prune

import edgelinear as el

HERE = Path(__file__).parent
BATCH, TOKENS, WIDTH = 8, 128, 768
SECONDS, LEAST_ROUNDS, MOST_ROUNDS = 25.0, 5, 20
TOLERANCE = 1e-5
COLUMNS = [
    "model", "sparsity", "batch", "tokens", "threads", "contender", "phase", "converted",
    "min_ms", "median_ms", "q1_ms", "q3_ms", "calls", "error", "megabytes", "seconds_to_convert",
    "note", "package", "machine", "torch", "edgelinear", "commit",
]  # fmt: skip


class Encoder(nn.Module):
    """BERT on vectors: sparseprop draws its example from `torch.randn`."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        from transformers import BertConfig, BertModel

        config = BertConfig(num_hidden_layers=layers, hidden_size=WIDTH, vocab_size=100)
        self.bert = BertModel(config, add_pooling_layer=False)

    def forward(self, x: Tensor) -> Tensor:  # (batch, tokens, WIDTH) -> the same
        return self.bert(inputs_embeds=x).last_hidden_state


def pruned(layers: int, sparsity: float) -> nn.Module:
    torch.manual_seed(0)
    model = Encoder(layers)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            prune.l1_unstructured(module, "weight", amount=sparsity)
    return model


def with_zeros(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if isinstance(module, nn.Linear):
            prune.remove(module, "weight")
    return model


def sparsified(model: nn.Module, x: Tensor, mode: str) -> str:
    report = el.sparsify(model, x, mode=mode, progress=False)
    return f"{len(report.converted)} of {len(report.layers)}"


def swapped(model: nn.Module, x: Tensor) -> str:
    """Let sparseprop swap what it measures to be faster."""
    from sparseprop.utils import swap_modules_with_sparse

    with contextlib.redirect_stdout(io.StringIO()) as said:
        swap_modules_with_sparse(model, tuple(x.shape), inplace=True)
    lines = said.getvalue().splitlines()
    return f"{sum('replaced with' in line for line in lines)} of {len(lines)}"


def contenders(arguments: argparse.Namespace, sparsity: float, x: Tensor, phase: str) -> dict:
    """Return the models, how many layers were converted, and how long that took; or a note."""
    mode = "training" if phase == "step" else "inference"
    makers = {
        "dense": lambda: (with_zeros(pruned(arguments.layers, sparsity)), ""),
        "dense, pruned": lambda: (pruned(arguments.layers, sparsity), ""),
        "edgelinear": lambda: _converted(arguments, sparsity, lambda m: sparsified(m, x, mode)),
        "sparseprop": lambda: _converted(arguments, sparsity, lambda m: swapped(m, x)),
    }
    made = {}
    for name, make in makers.items():
        begin = time.perf_counter()
        try:
            model, converted = make()
        except Exception as error:  # of a peer: it is the answer
            if name == "edgelinear":
                raise
            made[name] = {"note": f"{type(error).__name__}: {error}".partition("\n")[0]}
            continue
        seconds = f"{time.perf_counter() - begin:.1f}" if converted else ""
        made[name] = {"model": model, "converted": converted, "seconds_to_convert": seconds}
    return made


def _converted(arguments, sparsity, convert):
    model = with_zeros(pruned(arguments.layers, sparsity))
    return model, convert(model)


def check(made: dict, x: Tensor) -> None:
    """Note how far each is from the dense model in float64, and leave out what is too far."""
    with torch.no_grad():
        exact = copy.deepcopy(made["dense"]["model"]).double().eval()(x.double())
        for name, entry in made.items():
            if "model" in entry:
                error = (entry["model"].eval()(x).double() - exact).abs().max() / exact.abs().max()
                entry["error"] = f"{float(error):.1e}"
                if not error < TOLERANCE:
                    entry["note"] = f"wrong: relative error {float(error):.2g}"
                    if name == "edgelinear":
                        raise SystemExit(entry["note"])


def measure(made: dict, x: Tensor, phase: str) -> dict[str, list[float]]:
    grad = torch.randn(x.shape)

    def call(model: nn.Module) -> object:
        if phase == "inference":
            with torch.no_grad():
                return model(x)
        wanted = [p for p in model.parameters() if p.requires_grad]
        return torch.autograd.grad(model(x), wanted, grad, allow_unused=True)

    models = {
        name: e["model"].train(phase == "step") for name, e in made.items() if "note" not in e
    }
    times: dict[str, list[float]] = {name: [] for name in models}
    begin = time.perf_counter()
    gc.disable()
    for model in models.values():
        call(model)
    for done in range(MOST_ROUNDS):
        if done >= LEAST_ROUNDS and time.perf_counter() - begin > SECONDS:
            break
        for name in list(models)[:: -1 if done % 2 else 1]:
            start = time.perf_counter()
            call(models[name])
            times[name].append(time.perf_counter() - start)
    gc.enable()
    return times


def megabytes(model: nn.Module) -> str:
    tensors = [*model.parameters(), *model.buffers()]
    for module in model.modules():
        if isinstance(module, el.EdgeLinear):
            tensors += [t for t in module.topology._tensors if t is not None]
        tensors += getattr(module, "W_idx", ())
    return f"{sum(t.nbytes for t in tensors) / 1e6:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--sparsity", type=float, nargs="+", default=[0.95, 0.9, 0.8])
    parser.add_argument("--threads", type=int, nargs="+", default=[torch.get_num_threads()])
    parser.add_argument("--out", type=Path, default=HERE / "results" / "models.csv")
    arguments = parser.parse_args()
    packages = {
        name: f"{name} {importlib.metadata.version(name)}"
        for name in ("transformers", "sparseprop")
    }
    size = {"model": f"BERT, {arguments.layers} layers", "batch": BATCH, "tokens": TOKENS}
    require_kernels()
    origin = describe_origin()
    with arguments.out.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="", extrasaction="ignore")
        writer.writeheader()
        for threads in arguments.threads:
            torch.set_num_threads(threads)
            for sparsity in arguments.sparsity:
                for phase in ("inference", "step"):
                    torch.manual_seed(1)
                    x = torch.randn(BATCH, TOKENS, WIDTH)
                    made = contenders(arguments, sparsity, x, phase)
                    check(made, x)
                    times = measure(made, x, phase)
                    for name, entry in made.items():
                        row = {
                            "sparsity": sparsity,
                            "threads": threads,
                            "contender": name,
                            "phase": phase,
                            "package": packages.get(name, packages["transformers"]),
                        }
                        if "model" in entry:
                            row["megabytes"] = megabytes(entry["model"])
                        if name in times:
                            row |= describe_times(times[name])
                        writer.writerow(entry | size | row | origin)
                        file.flush()
                        report(entry | row)


def report(row: dict) -> None:
    time = f"{row['min_ms']:>7} ms" if "min_ms" in row else "-"
    said = [row.get(name, "") for name in ("converted", "error", "note")]
    print(row["sparsity"], row["threads"], row["phase"], f"{row['contender']:14}", time, *said)


if __name__ == "__main__":
    main()
