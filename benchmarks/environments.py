"""Make the environments of the peers that cannot share one, `benchmarks/.venvs/NAME`.

    python benchmarks/environments.py [NAME ...]

Some of them map an OpenMP of their own, or put a module called `backend` at the top. Each gets the
torch of constraints.txt; edgelinear itself is read from this source tree, by PYTHONPATH.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
VENVS = HERE / ".venvs"
MAIN = "main"  # the environment that runs this

ENVIRONMENTS = {
    "sparselab": ["sparselab==0.2.2"],
    "sparseprop": ["sparseprop==0.1.14"],
    "kpnn2": ["kpnn2==0.3.0"],
    "edge_index": ["torch-geometric==2.8.1"],
    "models": ["transformers==5.24.0", "sparseprop==0.1.14"],
    "networks": ["neat-python==2.0.0", "edge2torch==0.3.0", "ncps==1.0.1", "reservoirpy==0.4.2"],
}
# What a worker imports, and what a peer without a wheel builds with.
COMMON = ["torch", "numpy", "scipy", "threadpoolctl", "setuptools", "wheel"]


def main() -> None:
    failed = []
    for name in sys.argv[1:] or ENVIRONMENTS:
        try:
            make(name)
        except subprocess.CalledProcessError as error:
            print(f"{name}: {error}", file=sys.stderr)
            failed.append(name)
    if failed:
        raise SystemExit(f"could not make {', '.join(failed)}; the others are complete")


def make(name: str) -> None:
    """Make one environment, unless it is complete and has these requirements."""
    if python(name) is not None:
        return
    print(f"making {VENVS / name}", flush=True)
    shutil.rmtree(VENVS / name, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", VENVS / name], check=True)
    pip = [VENVS / name / "bin/python", "-m", "pip"]
    _install(pip, COMMON, HERE.parent / "constraints.txt")
    # A peer may need older packages than ours, but not another torch than the one it is compiled
    # against here; that one must be there first, so that nothing is built in isolation.
    frozen = VENVS / name / "installed.txt"
    frozen.write_bytes(subprocess.run([*pip, "freeze"], check=True, capture_output=True).stdout)
    _install(pip, ["--no-build-isolation", *ENVIRONMENTS[name]], frozen)
    _stamp(name).write_text(_requirements(name))


def _install(pip: list, arguments: list[str], constraints: Path) -> None:
    pins = {"PIP_CONSTRAINT": str(constraints), "PIP_BUILD_CONSTRAINT": str(constraints)}
    subprocess.run([*pip, "install", "--quiet", *arguments], check=True, env=os.environ | pins)


def python(name: str) -> Path | None:
    """Return the Python of an environment, or None if it is missing or out of date."""
    if name == MAIN:
        return Path(sys.executable)
    if not _stamp(name).exists() or _stamp(name).read_text() != _requirements(name):
        return None
    return VENVS / name / "bin/python"


def _stamp(name: str) -> Path:
    return VENVS / name / "requirements.txt"


def _requirements(name: str) -> str:
    return "\n".join(COMMON + ENVIRONMENTS[name]) + "\n"


if __name__ == "__main__":
    main()
