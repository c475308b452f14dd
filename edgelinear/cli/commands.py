"""The commands `demo`, `compare` and `info`. Any error is one line on stderr, and exit code 2."""

import platform
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import click
import torch

import edgelinear
from edgelinear import backends
from edgelinear.cli.compare import compare
from edgelinear.topology import Topology


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


main.add_command(compare)


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
def info() -> None:
    """Show versions, threads, and which backends can run here."""
    with warnings.catch_warnings(action="ignore"):
        backends.cpp.kernels()  # which warns where there are none: that is said below
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
                answer += f", {_vectors()}"
            click.echo(f"  {name:<14} {answer}")


def _vectors() -> str:
    """Return the instruction set of the kernels, of which the portable one is NEON on ARM."""
    name = backends.cpp.instruction_set()
    is_arm = platform.machine().lower() in ("aarch64", "arm64")
    return "NEON" if is_arm and name == "portable" else name
