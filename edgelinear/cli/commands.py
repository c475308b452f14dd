"""The commands `demo`, `compare` and `info`. Any error is one line on stderr, and exit code 2."""

import io
import json
import platform
import re
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

import edgelinear
from edgelinear import backends, comparison, convert
from edgelinear.convert import Wiring
from edgelinear.convert.files import endings, read_bytes
from edgelinear.layers import EdgeLinear
from edgelinear.topology import DUPLICATES, Topology

_TABLES = (
    *(".csv", ".tsv", ".tab", ".txt", ".sif", ".dat", ".edges", ".edgelist"),
    *(".parquet", ".pq", ".feather", ".arrow", ".ipc"),
)
_MATRICES, _PACKED_MATRICES = (".npz", ".mtx"), (".gz", ".bz2")


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command line, and return its exit code."""
    arguments = None if argv is None else list(argv)
    try:
        code = main.main(arguments, prog_name="edgelinear", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.Abort:
        return 130
    except click.ClickException as error:
        message = error.format_message()
    except OSError as error:
        where = "" if error.filename is None else f"{error.filename}: "
        message = f"{where}{error.strerror or error}"
    except (ValueError, TypeError, RuntimeError, ImportError, MemoryError) as error:
        message = str(error) or type(error).__name__
    print(f"edgelinear: error: {' '.join(message.split())}", file=sys.stderr)
    return 2


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(edgelinear.__version__)
@click.pass_context
def main(context: click.Context) -> None:
    """Linear layers whose connections are any edge list."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@main.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default="edgelinear-demo",
    show_default=True,
    help="Folder for the pictures.",
)
@click.option("--epochs", type=click.IntRange(min=1), default=20, show_default=True)
def demo(out: Path, epochs: int) -> None:
    """Import a real network, check and time it, train it beside its dense twin, and draw it."""
    from edgelinear.cli.demo import run as run_demo

    run_demo(out, epochs)


@main.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--batch", type=click.IntRange(min=1), default=64, show_default=True)
@click.option("--source", help="Column of a table that holds inputs.  [default: source]")
@click.option("--target", help="Column of a table that holds outputs.  [default: target]")
@click.option("--in-features", type=click.IntRange(min=0), help="Number of inputs, for a table.")
@click.option("--out-features", type=click.IntRange(min=0), help="Number of outputs, for a table.")
@click.option(
    "--layout",
    type=click.Choice(["adjacency", "weight"]),
    help="Of a matrix: adjacency is (in, out), the default; weight is (out, in), as in nn.Linear.",
)
@click.option("--sep", help=r"What parts the cells of a table; '\s+' for runs of blanks.")
@click.option("--columns", help="Names of the columns, parted by commas, where there is no header.")
@click.option("--comment", help="What lines of a table that are no rows begin with.")
@click.option("--decimal", type=click.Choice([".", ","]), help="In the numbers of a table.")
@click.option("--strip", is_flag=True, help="Take blanks around names of a table away.")
@click.option("--no-weight", is_flag=True, help="Leave the column weight of a table unread.")
@click.option("--duplicates", type=click.Choice(DUPLICATES), default="error", show_default=True)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    help="How long it may take: no round of measurements begins after that.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")
@click.option("--plot", type=click.Path(path_type=Path), help="Save a picture.")
def compare(
    file: Path,
    batch: int,
    source: str | None,
    target: str | None,
    in_features: int | None,
    out_features: int | None,
    layout: str | None,
    sep: str | None,
    columns: str | None,
    comment: str | None,
    decimal: str | None,
    strip: bool,
    no_weight: bool,
    duplicates: str,
    seconds: float | None,
    as_json: bool,
    plot: Path | None,
) -> None:
    """Measure a layer wired as FILE says on every backend, and as a dense layer.

    FILE is a table with the columns source, target and perhaps weight (.csv, .tsv, .txt and other
    text, also .gz, .bz2, .xz or .zip; .parquet, .feather, .arrow), or a sparse matrix (.npz of
    scipy; .mtx, also .gz or .bz2). Of a checkpoint (.safetensors) it lists the matrices, with their
    density, and times those that are sparse.
    """
    if (in_features is None) != (out_features is None):
        raise click.UsageError("give both --in-features and --out-features, or neither.")
    if plot is not None:
        _check_picture(plot)
    options = {
        "source": source,
        "target": target,
        "in_features": in_features,
        "out_features": out_features,
        "sep": sep,
        "columns": None if columns is None else columns.split(","),
        "comment": comment,
        "decimal": decimal,
        "strip": strip or None,
        "weight": False if no_weight else None,
    }
    given = {name: value for name, value in options.items() if value is not None}
    if endings(file) == (".safetensors", ""):
        others = {"layout": layout, "plot": plot}
        named = [*given, *(name for name, value in others.items() if value is not None)]
        _look_at(file, batch, seconds, as_json, named)
        return
    wiring = _read(file, given, layout, duplicates)
    layer = EdgeLinear.from_topology(wiring.topology, weight=wiring.weight)
    bound: dict[str, Any] = {} if seconds is None else {"seconds": seconds}
    found = comparison.compare(layer, batch, **bound)
    if plot is not None:
        from edgelinear.plot import comparison as draw

        draw(found).savefig(plot)
    if as_json:
        click.echo(json.dumps({"file": str(file), **found.to_dict()}, indent=2))
        return
    found.show()
    if plot is not None:
        click.echo(f"picture: {plot}")


def _look_at(
    path: Path, batch: int, seconds: float | None, as_json: bool, given: Sequence[str]
) -> None:
    from edgelinear.conversion import checkpoint

    if given:
        option = "no-weight" if given[0] == "weight" else given[0].replace("_", "-")
        raise click.UsageError(f"--{option} is not for a checkpoint, as {path} is.")
    found = _attempt(path, checkpoint.look_at, path, batch, 15.0 if seconds is None else seconds)
    if as_json:
        click.echo(json.dumps(found.to_dict(), indent=2))
    else:
        found.show()


def _read(path: Path, table: dict[str, Any], layout: str | None, duplicates: str) -> Wiring:
    kind, packed = endings(path)
    if kind not in (*_TABLES, *_MATRICES) or (
        kind in _MATRICES
        and packed
        and (kind, packed) not in {(".mtx", p) for p in _PACKED_MATRICES}
    ):
        raise click.UsageError(
            f"{path} must end in .csv, .tsv, .txt or another ending of tables (with .gz or "
            "without), .parquet, .feather, .arrow, .npz, .mtx or .safetensors to be understood."
        )
    if kind in _TABLES and layout is not None:
        raise click.UsageError("--layout is for a matrix; the columns of a table have names.")
    if kind in _MATRICES and table:
        option = next(iter(table)).replace("_", "-")
        option = "no-weight" if option == "weight" else option
        raise click.UsageError(f"--{option} is for a table, and {path} is a matrix.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # readers warn of what the checks behind them refuse
        if kind in _TABLES:
            options = table | {"duplicates": duplicates, "sort": True}
            return _attempt(path, convert.from_table, path, **options)
        matrix = _attempt(path, _load_matrix, path)
        reader = convert.from_torch if isinstance(matrix, torch.Tensor) else convert.from_scipy
        return _attempt(path, reader, matrix, layout=layout or "adjacency", duplicates=duplicates)


def _load_matrix(path: Path) -> Any:
    import scipy.io
    import scipy.sparse

    if endings(path)[0] == ".npz":
        _check_indices(path)
        matrix = scipy.sparse.load_npz(path)
    else:
        matrix = scipy.io.mmread(io.BytesIO(read_bytes(path)))
    if not scipy.sparse.issparse(matrix):
        return torch.as_tensor(matrix)
    if matrix.ndim != 2:
        raise ValueError(f"the matrix must have 2 dimensions, got shape {matrix.shape}")
    return matrix


def _check_indices(path: Path) -> None:
    """Refuse indices that are no integers: scipy cuts them without a word."""
    with np.load(path) as archive:
        for name in {"row", "col", "coords", "indices", "indptr"} & {*archive.files}:
            if archive[name].dtype.kind not in "iu":
                raise ValueError(f"`{name}` must hold integers, got {archive[name].dtype}.")


def _attempt(path: Path, read: Any, *args: Any, **options: Any) -> Any:
    """Return what `read` does, with the file's name in front of whatever a broken file raises."""
    try:
        return read(*args, **options)
    except (ImportError, OSError, MemoryError):
        raise
    except Exception as error:  # zipfile, zlib, struct and pickle all have errors of their own
        said = str(error) or type(error).__name__
        said = re.sub(r'duplicates="(\w+)"', r"--duplicates \1", said)
        raise ValueError(said if str(path) in said else f"{path}: {said}") from error


def _check_picture(path: Path) -> None:
    """Refuse a picture that cannot be written before anything is measured."""
    from edgelinear.plot import formats

    known = formats()
    if path.suffix.removeprefix(".").lower() not in known:
        raise click.UsageError(f"--plot {path} must end in one of .{', .'.join(known)}.")
    if path.is_dir():
        raise click.UsageError(f"--plot {path} is a folder.")
    if not path.parent.is_dir():
        raise click.UsageError(
            f"--plot {path} cannot be written: there is no folder {path.parent}."
        )


@main.command()
def info() -> None:
    """Show versions, threads, and which backends can run here."""
    cuda = torch.cuda.is_available()
    device = f"{torch.version.cuda}, {torch.cuda.get_device_name()}" if cuda else "not available"
    click.echo(f"edgelinear  {edgelinear.__version__}")
    click.echo(f"python      {platform.python_version()} on {platform.platform()}")
    click.echo(f"torch       {torch.__version__}")
    click.echo(f"cuda        {device}")
    click.echo(f"threads     {torch.get_num_threads()}")
    for device in ("cpu", "cuda") if cuda else ("cpu",):
        click.echo(f"\nbackends on {device}:")
        topology = Topology(2, 2, [(0, 0), (1, 1)]).to(device)
        x, weight = torch.zeros(2, 2, device=device), torch.zeros(2, device=device)
        for name in backends.BACKENDS:
            reason = backends.why_not(name, x, weight, topology)
            answer = "yes" if reason is None else f"no: {reason}"
            if name == "cpp" and reason is None:
                answer += f", {backends.cpp.instruction_set()}"
            click.echo(f"  {name:<14} {answer}")
