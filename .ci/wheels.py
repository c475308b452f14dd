"""Build the sdist and, from it, a wheel for each platform, with zig as the compiler for all.

    python .ci/wheels.py [--to dist] [PLATFORM ...]

zig comes from the package index, so that no compiler and no container is needed. One wheel serves
every Python and every torch, as the kernels know neither. "any" is the wheel without kernels.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

# The platforms on which torch has wheels: the tag of pip, the target of zig, and CMake's names of
# system and processor.
PLATFORMS = {
    "linux_x86_64": (
        "manylinux_2_17_x86_64.manylinux2014_x86_64",
        "x86_64-linux-gnu.2.17",
        "Linux",
        "x86_64",
    ),
    "linux_aarch64": (
        "manylinux_2_17_aarch64.manylinux2014_aarch64",
        "aarch64-linux-gnu.2.17",
        "Linux",
        "aarch64",
    ),
    "macos_arm64": ("macosx_11_0_arm64", "aarch64-macos.11.0", "Darwin", "arm64"),
    "windows_x86_64": ("win_amd64", "x86_64-windows-gnu", "Windows", "AMD64"),
}
PURE = "any"
LIBRARY = "edgelinear/libedgelinear.so"
ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    names = [*PLATFORMS, PURE]
    parser.add_argument("platforms", nargs="*", metavar="PLATFORM", help=", ".join(names))
    parser.add_argument("--to", type=Path, default=ROOT / "dist")
    arguments = parser.parse_args()
    for name in arguments.platforms:
        if name not in names:
            parser.error(f"no platform is called {name}: use {', '.join(names)}")
    to = arguments.to.resolve()
    to.mkdir(parents=True, exist_ok=True)
    sdist = source(to)
    for name in arguments.platforms or names:
        wheel = build(name, sdist, to)
        print(f"{wheel.name}  {wheel.stat().st_size / 2**20:.2f} MiB", flush=True)


def source(to: Path) -> Path:
    """Return the path of a new sdist: what git tracks, and no library that lies in between."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "build", "--sdist", "--outdir", folder, str(ROOT)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        (built,) = Path(folder).glob("*.tar.gz")
        return Path(shutil.move(built, to / built.name))


def build(name: str, sdist: Path, to: Path) -> Path:
    """Return the path of a new wheel for a platform.

    Raises:
        RuntimeError: if it has no kernels and should have some, or the other way round.
    """
    ours = ("CFLAGS", "CXXFLAGS", "LDFLAGS", "CMAKE_", "SKBUILD_")  # for this machine's builds
    environment = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    settings = {"wheel.cmake": "false", "wheel.platlib": "false"}
    if name != PURE:
        tag, target, system, processor = PLATFORMS[name]
        # -I: under build isolation, pip's own packages would hide zig.
        environment["CXX"] = f"{sys.executable} -I -m ziglang c++ -target {target}"
        settings = {
            "cmake.define.CMAKE_SYSTEM_NAME": system,
            "cmake.define.CMAKE_SYSTEM_PROCESSOR": processor,
            "cmake.define.WERROR": "ON",
        }
    options = [f"--config-settings={setting}={value}" for setting, value in settings.items()]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"]
        command += [str(sdist), "--no-deps", "--wheel-dir", folder, *options]
        subprocess.run(command, env=environment, check=True)
        (built,) = Path(folder).glob("*.whl")
        check(built, name)
        if name != PURE:
            built = tagged(built, tag)
        return Path(shutil.move(built, to / built.name))


def check(wheel: Path, name: str) -> None:
    """Refuse a wheel without kernels for a platform, and one with, for none."""
    with zipfile.ZipFile(wheel) as archive:
        has_kernels = LIBRARY in archive.namelist()
    if has_kernels and name == PURE:
        raise RuntimeError(f"the wheel without kernels has {LIBRARY}: the sdist must not.")
    if not has_kernels and name != PURE:
        raise RuntimeError(
            f"the kernels for {name} were not built: `pip wheel -v` with the same CXX says why."
        )


def tagged(wheel: Path, tag: str) -> Path:
    """Give a wheel the tag of its platform."""
    command = [sys.executable, "-m", "wheel", "tags", "--remove", "--platform-tag", tag, wheel]
    name = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    return wheel.parent / name.splitlines()[-1]


if __name__ == "__main__":
    main()
