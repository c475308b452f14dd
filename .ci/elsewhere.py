"""Run the kernels of wheels for other systems here, under emulators, and compare their bits.

    python .ci/elsewhere.py [--wheels dist] [--problems 100]

Random walks, passes and copies are made by every instruction set of every wheel: Linux x86_64 as it
is, aarch64 under qemu-aarch64 (Debian: qemu-user, libc6-arm64-cross), Windows under wine (wine64).
Results must be those of float64 to rounding, and have the bits that are promised: whatever the
threads, and a sample's in any batch. The library for macOS, which nothing runs here, is looked at.
ziglang builds the program that calls the kernels.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import torch
from calls import FIELDS, Call, Recorder, copied, walk
from passes import passed
from torch import Tensor
from wheels import LIBRARY, PLATFORMS, ROOT

from edgelinear.backends.library import INSTRUCTION_SETS

# What runs the programs of a platform here: its emulator, with the folder of its C library.
EMULATORS = {
    "linux_x86_64": [],
    "linux_aarch64": ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"],
    "windows_x86_64": ["/usr/lib/wine/wine64"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--wheels", type=Path, default=ROOT / "dist")
    parser.add_argument("--problems", type=int, default=100, help="of each kind")
    parser.add_argument("--allow-missing", action="store_true", help="emulators that are not here")
    arguments = parser.parse_args()
    recorder, seeds = Recorder(), range(arguments.problems)
    calls = [
        make(recorder, seed, alone)
        for make in (walk, copied, passed)
        for seed in seeds
        for alone in (False, True)
    ]
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder) / "calls"
        given.write_bytes(b"".join(call.written for call in calls))
        for platform, emulator in EMULATORS.items():
            if emulator and shutil.which(emulator[0]) is None:
                if not arguments.allow_missing:
                    parser.error(f"{platform} needs {emulator[0]}: --allow-missing leaves it out")
                print(f"{platform}: left out, as there is no {emulator[0]}")
                continue
            data = run(platform, emulator, given, arguments.wheels)
            for name, results in read(data, calls).items():
                check(f"{platform}, {name}", calls, results)
                found[platform, name] = results
    compare(calls, found)
    look_at_macos(arguments.wheels)


def run(platform: str, emulator: list[str], given: Path, wheels: Path) -> bytes:
    """Return what the kernels in the wheel for a platform give for all problems."""
    _, target, *_ = PLATFORMS[platform]
    folder = given.parent / platform
    with zipfile.ZipFile(wheel_of(platform, wheels)) as archive:
        library = archive.extract(LIBRARY, folder)
    program, results = folder / "elsewhere.exe", folder / "results"
    compiler = [sys.executable, "-m", "ziglang", "c++", "-target", target, "-std=c++17", "-O1"]
    source = [f"-I{ROOT / 'edgelinear/kernels'}", str(ROOT / ".ci/elsewhere.cpp")]
    subprocess.run([*compiler, *source, "-o", str(program)], check=True)
    command = [*emulator, str(program), library, str(given), str(results)]
    wine = {"WINEDEBUG": "-all", "WINEPREFIX": str(folder / "wine")}
    subprocess.run(command, check=True, env={**os.environ, **wine})
    return results.read_bytes()


def wheel_of(platform: str, wheels: Path) -> Path:
    tag = PLATFORMS[platform][0].partition(".")[0]
    found = list(wheels.glob(f"*{tag}*.whl"))
    if len(found) != 1:
        raise SystemExit(
            f"{wheels} must hold one wheel for {platform}, got {len(found)}: `make wheels`"
        )
    return found[0]


def read(data: bytes, calls: list[Call]) -> dict[str, list[list[Tensor]]]:
    """Return the results of each instruction set that the wheel has and the processor runs."""
    sets = int.from_bytes(data[:4], "little")
    names = [name for i, name in enumerate(INSTRUCTION_SETS) if sets >> i & 1]
    found: dict[str, list[list[Tensor]]] = {name: [] for name in names}
    at = 4

    def take(like: Tensor) -> Tensor:
        nonlocal at
        size = like.untyped_storage().nbytes()
        flat = torch.frombuffer(bytearray(data[at : at + size]), dtype=like.dtype)
        at += size
        return flat.as_strided(like.size(), like.stride(), like.storage_offset())

    for call in calls:
        for name in names:
            found[name].append([take(result.tensor) for result in call.results])
    assert at == len(data)
    return found


def check(where: str, calls: list[Call], found: list[list[Tensor]]) -> None:
    """Check results against float64, and those of a sample alone against it in its batch."""
    numbers = dict.fromkeys(FIELDS, 0)
    for i, (call, results) in enumerate(zip(calls, found, strict=True)):
        try:
            numbers[call.function] += call.check(*results)
        except ValueError as error:
            raise SystemExit(f"{where}: call {i}, of {call.function}: {error}") from error
    for call, many, one in zip(calls[::2], found[::2], found[1::2], strict=True):
        for result, of_many, of_one in zip(call.results, many, one, strict=True):
            by = result.samples
            if by is not None and not equal(of_many.narrow(by, 0, 1), of_one):
                raise SystemExit(f"{where}: the bits of a sample depend on its batch")
    of_each = ", ".join(f"{number:,} of {name}" for name, number in numbers.items())
    print(f"{where}: numbers are those of float64 to rounding, {of_each}")


def compare(calls: list[Call], found: dict[tuple[str, str], list[list[Tensor]]]) -> None:
    """Check which bits are the same: those of one set everywhere, and by sample of all that fuse.

    What is added up over samples takes them by vectors, which are longer or shorter. Portable
    kernels of x86 round products before they add them; those for ARM, which every processor there
    runs, do not.
    """
    x86, arm, windows = EMULATORS
    ran = {platform for platform, _ in found}
    same = [((x86, name), (windows, name), True) for name in INSTRUCTION_SETS]
    same += [((x86, "avx2"), other, False) for other in ((x86, "avx512"), (arm, "portable"))]
    for one, other, every in same:
        if one not in found and other not in found or other[0] not in ran:
            continue  # a set that this processor has not, or a system without emulator
        if one not in found or other not in found:
            raise SystemExit(f"of {one} and {other}, one did not run")
        for i, (call, *results) in enumerate(zip(calls, found[one], found[other], strict=True)):
            for result, a, b in zip(call.results, *results, strict=True):
                if (every or result.samples is not None) and not equal(a, b):
                    raise SystemExit(f"{one} and {other} differ in call {i}, of {call.function}")
        what = "everything" if every else "whatever belongs to a sample"
        print(f"{' '.join(one)} and {' '.join(other)}: {what} has the same bits")


def equal(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=0, atol=0, equal_nan=True)


def look_at_macos(wheels: Path) -> None:
    """Check that the library is one for macOS on arm64, and exports what is called."""
    with zipfile.ZipFile(wheel_of("macos_arm64", wheels)) as archive:
        library = archive.read(LIBRARY)
    assert library[:8] == bytes.fromhex("cffaedfe0c000001"), "no library of 64 bits for arm64"
    for name in ("interface", "instruction_sets", "run", "pass", "copy", "use_huge_pages"):
        assert f"_edgelinear_{name}\0".encode() in library, f"edgelinear_{name} is not exported"
    print("macos_arm64: a library for arm64 that exports all that is called")


if __name__ == "__main__":
    main()
