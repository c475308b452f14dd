"""Install the wheel of this machine where no compiler is, and use it.

    python .ci/clean.py [--wheels dist]

The kernels must be those that a compiler here builds: the instruction set is the one that the
library of this environment takes. Then the demo and the tests of the kernels run on the wheel, and
the pure wheel says that it has none.
"""

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LAYER = "import edgelinear; edgelinear.EdgeLinear(2, 2, [(0, 1)])"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--wheels", type=Path, default=ROOT / "dist")
    arguments = parser.parse_args()
    wheels = arguments.wheels.resolve()
    (wheel,) = wheels.glob(f"*linux*_{platform.machine()}.whl")
    (pure,) = wheels.glob("*-none-any.whl")
    compiled = kernels_of(sys.executable, os.environ)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # not where the sources are
        venv.create("venv", with_pip=True)
        programs = Path(folder, "venv", "bin")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "EDGELINEAR_"))}
        environment = {**kept, "PATH": str(programs)}  # and no compiler
        environment["PIP_CONSTRAINT"] = str(ROOT / "constraints.txt")

        def run(program: str, *arguments: str) -> None:
            print("$", program, *arguments, flush=True)
            subprocess.run([programs / program, *arguments], env=environment, check=True)

        pip = ("python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        run(*pip, f"{wheel}[demo]", "pytest-xdist", "hypothesis")
        environment["EDGELINEAR_REQUIRE_KERNELS"] = "1"
        found = kernels_of(programs / "python", environment)
        assert found == compiled, f"the wheel has kernels for {found}, a compiler for {compiled}"
        run("edgelinear", "demo", "--epochs", "1")
        Path("tests").mkdir()  # elsewhere pytest would import the sources
        for name in ("conftest.py", "problems.py", "test_cpp.py"):
            shutil.copy(ROOT / "tests" / name, "tests")
        run("pytest", "-q", "-n", "auto", "-m", "not slow", "-W", "ignore", "tests")

        run(*pip, "--no-deps", "--force-reinstall", str(pure))
        assert kernels_of(programs / "python", environment) == "none"
        made = subprocess.run(
            [programs / "python", "-c", LAYER], env=environment, capture_output=True, text=True
        )
        assert "UserWarning: the compiled kernels were not built" in made.stderr, made.stderr
    print(f"the wheel runs on {found}, and the pure one says that it has no kernels")


def kernels_of(python: str | Path, environment: dict[str, str] | os._Environ) -> str:
    """Return the instruction set that `edgelinear info` names, or "none"."""
    command = [python, "-m", "edgelinear", "info"]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    answer = re.search(r"^ *cpp +(?:yes, (\w+)|no: .*not built.*)$", said.stdout, re.MULTILINE)
    assert answer, said.stdout
    return answer[1] or "none"


if __name__ == "__main__":
    main()
