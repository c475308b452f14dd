"""Write reactome.tsv.gz anew from its source: `python -m edgelinear.data.regenerate`."""

import gzip
import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

_WHEEL = "binn-0.1.1-py3-none-any.whl"
_WHEEL_SHA256 = "3932aa18f8c11adf5ac68aa3e11ccb6faac1a72df7c99f2e301558632497896c"
_MEMBER = "binn/data/downloads/uniprot_2_reactome_2025_01_14.txt"


def human_edges(lines: Iterable[str]) -> list[tuple[str, str]]:
    """Return the distinct (protein, pathway) pairs of Homo sapiens, sorted.

    Each line of Reactome's UniProt2Reactome file holds protein, pathway, url, name, evidence and
    species between tabs. A pair with two kinds of evidence stands there twice.

    Raises:
        ValueError: if a line has another number of columns.

    Example:
        >>> human_edges(["P1\\tR-HSA-1\\turl\\tname\\tTAS\\tHomo sapiens\\n"])
        [('P1', 'R-HSA-1')]
    """
    edges = set()
    for number, line in enumerate(lines, start=1):
        columns = line.rstrip("\r\n").split("\t")
        if len(columns) != 6:
            raise ValueError(f"line {number} must have 6 columns, got {len(columns)}.")
        protein, pathway, *_, species = columns
        if species == "Homo sapiens":
            edges.add((protein, pathway))
    return sorted(edges)


def to_tsv_gz(edges: Iterable[tuple[str, str]]) -> bytes:
    """Return the compressed table, the same bytes whenever it is made."""
    text = "".join(f"{source}\t{target}\n" for source, target in [("source", "target"), *edges])
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=buffer, mtime=0) as file:
        file.write(text.encode())
    return buffer.getvalue()


def _download(folder: str) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder]
    subprocess.run([*command, "binn==0.1.1"], check=True)
    wheel = Path(folder, _WHEEL)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if digest != _WHEEL_SHA256:
        raise RuntimeError(f"{_WHEEL} must have the SHA-256 {_WHEEL_SHA256}, got {digest}.")
    return wheel


def main() -> None:
    """Download the release, and write the table beside this file or to the path given."""
    destination = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent)
    if destination.is_dir():
        destination = destination / "reactome.tsv.gz"
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(_download(folder)) as wheel:
        edges = human_edges(wheel.read(_MEMBER).decode().splitlines())
    destination.write_bytes(to_tsv_gz(edges))
    print(f"{len(edges)} edges -> {destination}")


if __name__ == "__main__":
    main()
