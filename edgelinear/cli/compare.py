"""The command `compare`: a wiring or a checkpoint in a file, measured."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from edgelinear import comparison
from edgelinear.cli import wirings
from edgelinear.convert.files import endings
from edgelinear.layers import EdgeLinear
from edgelinear.topology import DUPLICATES


@click.command()
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
    wiring = wirings.read(file, given, layout, duplicates)
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
        option = wirings.option_of(given[0])
        raise click.UsageError(f"{option} is not for a checkpoint, as {path} is.")
    found = wirings.attempt(
        path, checkpoint.look_at, path, batch, 10.0 if seconds is None else seconds
    )
    if as_json:
        click.echo(json.dumps(found.to_dict(), indent=2))
    else:
        found.show()


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
