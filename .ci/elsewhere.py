"""Run the kernels of wheels for other systems here, under emulators, and compare their bits.

    python .ci/elsewhere.py [--wheels dist] [--problems 100]

Random problems are solved by every instruction set of every wheel: Linux x86_64 as it is, aarch64
under qemu-aarch64 (Debian: qemu-user, libc6-arm64-cross), Windows under wine (wine64). Results must
be those of float64 to rounding, and have the bits that are promised. The library for macOS, which
nothing runs here, is looked at. ziglang builds the program that calls the kernels.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from wheels import LIBRARY, PLATFORMS, ROOT

import edgelinear as el
from edgelinear.backends.library import BOTH, DOTS, DTYPES, INSTRUCTION_SETS, SUMS

# What runs the programs of a platform here: its emulator, with the folder of its C library.
EMULATORS = {
    "linux_x86_64": [],
    "linux_aarch64": ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"],
    "windows_x86_64": ["/usr/lib/wine/wine64"],
}

Result = tuple[Tensor | None, Tensor | None]  # the sums and the dots of a problem


class Problem(NamedTuple):
    """A call of the kernels: matrices are (batch, features), with any strides."""

    topology: el.Topology
    product: int
    threads: int
    gathered: Tensor
    rowwise: Tensor | None
    weight: Tensor | None
    bias: Tensor | None

    @property
    def has_sums(self) -> bool:
        return self.product != DOTS

    @property
    def has_dots(self) -> bool:
        return self.product != SUMS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--wheels", type=Path, default=ROOT / "dist")
    parser.add_argument("--problems", type=int, default=100)
    parser.add_argument("--allow-missing", action="store_true", help="emulators that are not here")
    arguments = parser.parse_args()
    problems = [problem(seed) for seed in range(arguments.problems)]
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder) / "problems"
        given.write_bytes(b"".join(map(written, problems)))
        for platform, emulator in EMULATORS.items():
            if emulator and shutil.which(emulator[0]) is None:
                if not arguments.allow_missing:
                    parser.error(f"{platform} needs {emulator[0]}: --allow-missing leaves it out")
                print(f"{platform}: left out, as there is no {emulator[0]}")
                continue
            data = run(platform, emulator, given, arguments.wheels)
            for name, results in read(data, problems).items():
                number = sum(map(check, problems, results))
                print(f"{platform}, {name}: {number:,} numbers are those of float64 to rounding")
                found[platform, name] = results
    compare(found)
    look_at_macos(arguments.wheels)


def problem(seed: int) -> Problem:
    """Return a random problem: sizes, degrees, types and layouts of all kinds."""
    random, draws = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    sources, targets = (int(2 ** random.uniform(0, 9)) for _ in range(2))
    if seed % 4 == 0:  # large and dense enough for runs
        sources, targets = (int(random.integers(1024, 2048)) for _ in range(2))
    edges = int(random.uniform(0, 0.15) * sources * targets) + 1
    topology = el.generators.erdos_renyi(sources, targets, num_edges=edges, generator=draws)
    if seed % 3 == 0:
        shuffled = topology.edge_index[:, torch.from_numpy(random.permutation(topology.num_edges))]
        topology = el.Topology(sources, targets, shuffled)
    dtype = list(DTYPES)[seed % 4] if seed % 5 else torch.float32
    edge_dtype = torch.promote_types(dtype, torch.float32) if random.random() < 0.5 else dtype
    batch = int(random.choice([1, 2, 7, 16, 33, 64, 70]))
    product = int(random.integers(3))
    if product == BOTH and dtype != edge_dtype:
        product = SUMS

    def values(*shape: int, dtype: torch.dtype = dtype) -> Tensor:
        return torch.from_numpy(random.standard_normal(shape)).to(dtype)

    def matrix(features: int) -> Tensor:
        feature_major = bool(seed & 1)
        return values(features, batch).t() if feature_major else values(batch, features)

    return Problem(
        topology,
        product,
        threads=int(random.integers(1, 4)),
        gathered=matrix(sources),
        rowwise=matrix(targets) if product != SUMS else None,
        weight=values(topology.num_edges, dtype=edge_dtype) if product != DOTS else None,
        bias=values(targets) if product == SUMS and seed & 2 else None,
    )


def written(p: Problem) -> bytes:
    """Return the problem as `elsewhere.cpp` reads it: its header, and the arrays."""
    _, indptr, indices, edge_ids, runs, _ = p.topology._target_view
    dtype, edge_dtype = p.gathered.dtype, edge_type(p)
    matrices = (p.gathered, p.rowwise, sums_like(p) if p.has_sums else None)
    header = [p.product, DTYPES[dtype], DTYPES[edge_dtype], indices.element_size()]
    header += [p.gathered.shape[0], p.topology.out_features, p.topology.in_features]
    header += [p.topology.num_edges, 0 if runs is None else len(runs), p.threads]
    for each in matrices:
        strides = (0, 0) if each is None else (each.stride(1), each.stride(0))
        header += [0 if each is None else each.nbytes, *strides]
    arrays = (p.gathered, p.rowwise, indptr, indices, edge_ids, runs, p.weight, p.bias)
    sizes = [0 if each is None else each.nbytes for each in arrays]
    dots = p.topology.num_edges * edge_dtype.itemsize if p.has_dots else 0
    header += [*sizes[2:7], dots, sizes[7]]
    stored = [memory(each) for each in arrays if each is not None]
    return b"".join([np.array(header, dtype="<i8").tobytes(), *stored])


def edge_type(p: Problem) -> torch.dtype:
    if p.weight is not None:
        return p.weight.dtype
    return torch.promote_types(p.gathered.dtype, torch.float32)


def sums_like(p: Problem) -> Tensor:
    """Return an empty tensor for the sums, laid out as what is gathered is."""
    batch, targets = p.gathered.shape[0], p.topology.out_features
    if p.gathered.stride(1) == 1:
        return p.gathered.new_empty(batch, targets)
    return p.gathered.new_empty(targets, batch).t()


def memory(tensor: Tensor) -> bytes:
    """Return the bytes of a tensor as they lie."""
    lies = tensor if tensor.stride(-1) == 1 else tensor.t()
    return lies.reshape(-1).view(torch.uint8).numpy().tobytes()


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


def read(data: bytes, problems: list[Problem]) -> dict[str, list[Result]]:
    """Return the results of each instruction set that the wheel has and the processor runs."""
    sets = int.from_bytes(data[:4], "little")
    names = [name for i, name in enumerate(INSTRUCTION_SETS) if sets >> i & 1]
    found: dict[str, list[Result]] = {name: [] for name in names}
    at = 4

    def take(like: Tensor) -> Tensor:
        nonlocal at
        lies = like if like.is_contiguous() else like.t()
        part = torch.frombuffer(bytearray(data[at : at + like.nbytes]), dtype=like.dtype)
        at += like.nbytes
        part = part.view(lies.shape)
        return part if like.is_contiguous() else part.t()

    for p in problems:
        dots = torch.empty(p.topology.num_edges, dtype=edge_type(p))
        for name in names:
            sums = take(sums_like(p)) if p.has_sums else None
            found[name].append((sums, take(dots) if p.has_dots else None))
    assert at == len(data)
    return found


def check(p: Problem, result: Result) -> int:
    """Return how many numbers there are, all of which are those of float64 to rounding."""
    sums, dots = result
    dense = torch.zeros(p.topology.out_features, p.topology.in_features, dtype=torch.float64)
    x = p.gathered.double()
    number = 0
    if sums is not None:
        dense[p.topology.dst, p.topology.src] = p.weight.double()
        bias = 0 if p.bias is None else p.bias.double()
        size = x.abs() @ dense.abs().t() + (0 if p.bias is None else bias.abs())
        number += right(sums, x @ dense.t() + bias, size)
    if dots is not None:
        rowwise = p.rowwise.double()
        ends = p.topology.dst, p.topology.src
        size = (rowwise.abs().t() @ x.abs())[ends]
        number += right(dots, (rowwise.t() @ x)[ends], size)
    return number


def right(found: Tensor, truth: Tensor, size: Tensor) -> int:
    """Return how many numbers there are; `size` is the sum of the absolute values of the terms."""
    wide = torch.promote_types(found.dtype, torch.float32)
    rounding = torch.finfo(found.dtype).eps * truth.abs() + 20 * torch.finfo(wide).eps * size
    near = (found.double() - truth).abs() <= rounding + torch.finfo(found.dtype).tiny
    off = ~near  # as NaN is
    if off.any():
        raise SystemExit(f"{int(off.sum())} of {off.numel()} numbers are wrong")
    return off.numel()


def compare(found: dict[tuple[str, str], list[Result]]) -> None:
    """Check which bits are the same: those of one set everywhere, and sums of all that fuse.

    Dots add up the samples of a vector, of which sets have more or less. Portable kernels of x86
    round products before they add them; those for ARM, which every processor there runs, do not.
    """
    x86, arm, windows = EMULATORS
    ran = {platform for platform, _ in found}
    same = [((x86, name), (windows, name), (0, 1)) for name in INSTRUCTION_SETS]
    same += [((x86, "avx2"), other, (0,)) for other in ((x86, "avx512"), (arm, "portable"))]
    for one, other, parts in same:
        if one not in found and other not in found or other[0] not in ran:
            continue  # a set that this processor has not, or a system without emulator
        if one not in found or other not in found:
            raise SystemExit(f"of {one} and {other}, one did not run")
        for part in parts:
            what, pairs = ("sums", "dots")[part], zip(found[one], found[other], strict=True)
            differ = [i for i, (a, b) in enumerate(pairs) if not equal(a[part], b[part])]
            if differ:
                raise SystemExit(f"{what} of {one} and {other} differ in problems {differ}")
            print(f"{' '.join(one)} and {' '.join(other)}: {what} have the same bits")


def equal(a: Tensor | None, b: Tensor | None) -> bool:
    return a is b is None or torch.equal(a, b)


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
