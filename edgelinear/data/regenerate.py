"""Write the data in this folder anew: `python -m edgelinear.data.regenerate`."""

import gzip
import hashlib
import io
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

_BINN = ("binn==0.1.1", "3932aa18f8c11adf5ac68aa3e11ccb6faac1a72df7c99f2e301558632497896c")
_FLYVIS = ("flyvis==1.2.0", "af365b16e870111fcb06782a063f6551b05cce9a105c6eaab9c0bda3b017031f")
_CECT = ("cect==0.3.5", "ea47f7a6b0d69a8d0bd3b0ade4037b7cc32d31ad0449f823d7ec153d6fd25057")
_DOWNLOADS = "binn/data/downloads"
_WEIGHTED = ("source", "target", "weight")
_HUMAN = "R-HSA-"  # how identifiers of human pathways begin


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
    rows = _rows(lines, 6)
    return sorted({(row[0], row[1]) for row in rows if row[5] == "Homo sapiens"})


def human_parts(lines: Iterable[str]) -> list[tuple[str, str]]:
    """Return the distinct (part, whole) pairs of human pathways, sorted; lines hold whole and part.

    Example:
        >>> human_parts(["R-HSA-1\\tR-HSA-2\\n", "R-MMU-1\\tR-MMU-2\\n"])
        [('R-HSA-2', 'R-HSA-1')]
    """
    return sorted({(part, whole) for whole, part in _rows(lines, 2) if whole.startswith(_HUMAN)})


def human_titles(lines: Iterable[str]) -> list[tuple[str, str]]:
    """Return (pathway, title) of human pathways, sorted; lines hold pathway, title and species.

    Example:
        >>> human_titles(["R-HSA-1\\tApoptosis \\tHomo sapiens\\n"])
        [('R-HSA-1', 'Apoptosis')]
    """
    rows = _rows(lines, 3)
    return sorted((row[0], row[1].strip()) for row in rows if row[0].startswith(_HUMAN))


def cell_pairs(network: dict[str, Any]) -> dict[str, list]:
    """Return the cell types, and for each pair its sign and [u, v, synapses] of its offsets.

    Gaps in the data, offsets within the convex hull of others, count one synapse, as in flyvis.

    Example:
        >>> edge = {"src": "A", "tar": "B", "alpha": -1, "offsets": [[[0, 0], 2.5]]}
        >>> node = {"name": "A", "pattern": ["stride", [1, 2]]}
        >>> cell_pairs({"nodes": [node], "edges": [edge]})
        {'cell_types': [['A', 1, 2]], 'pairs': [['A', 'B', -1, [[0, 0, 2.5]]]]}
    """
    types = [[node["name"], *node["pattern"][1]] for node in network["nodes"]]
    pairs = [
        [edge["src"], edge["tar"], edge["alpha"], _fill_gaps(edge["offsets"])]
        for edge in network["edges"]
    ]
    return {"cell_types": types, "pairs": pairs}


def worm_synapses(lines: Iterable[str], kind: str) -> list[tuple[str, ...]]:
    """Return (source, target, weight) of the worm's synapses of a kind, sorted.

    Each line holds source, target, weight and kind between commas, after a header.

    Example:
        >>> lines = ["Source,Target,Weight,Type\\n", "I1L , I2L ,10,chemical\\n"]
        >>> worm_synapses(lines, "chemical")
        [('I1L', 'I2L', '10')]
    """
    rows = ([cell.strip() for cell in row] for row in _rows(lines, 4, ","))
    return sorted(tuple(row[:3]) for row in rows if row[3] == kind)


def to_tsv_gz(rows: Iterable[tuple[str, ...]], header: tuple[str, ...]) -> bytes:
    """Return the compressed table, the same bytes whenever it is made."""
    return _compress("".join("\t".join(row) + "\n" for row in [header, *rows]))


def _compress(text: str) -> bytes:
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=buffer, mtime=0) as file:
        file.write(text.encode())
    return buffer.getvalue()


def _rows(lines: Iterable[str], columns: int, separator: str = "\t") -> Iterable[list[str]]:
    for number, line in enumerate(lines, start=1):
        row = line.rstrip("\r\n").split(separator)
        if len(row) != columns:
            raise ValueError(f"line {number} must have {columns} columns, got {len(row)}.")
        yield row


def _fill_gaps(offsets: list) -> list[list]:
    """Return [u, v, synapses] of each offset and of the gaps between them.

    matplotlib says which points on the rim of the hull are inside, as it does for the package: with
    all of them the network has 4,555 edges more.
    """
    from matplotlib.path import Path as Polygon
    from scipy.spatial import ConvexHull

    known = {(u, v): synapses for (u, v), synapses in offsets}
    if len(known) >= 3:
        points = np.array(list(known))
        # QJ joggles the points, as those of some filters are on one line and have no hull.
        rim = points[ConvexHull(points, qhull_options="QJ").vertices]
        box = np.indices(np.ptp(points, axis=0) + 1).reshape(2, -1).T + points.min(axis=0)
        for u, v in box[Polygon(rim).contains_points(box)].tolist():
            known.setdefault((u, v), 1)
    return [[u, v, synapses] for (u, v), synapses in sorted(known.items())]


def _open_wheel(requirement: str, sha256: str, folder: str) -> zipfile.ZipFile:
    # Nothing of the wheel runs, so that it need not support this Python.
    options = ["--quiet", "--no-deps", "--only-binary=:all:", "--ignore-requires-python"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", folder, requirement]
    subprocess.run(command, check=True)
    (wheel,) = Path(folder).glob(requirement.replace("==", "-") + "-*.whl")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if digest != sha256:
        raise RuntimeError(f"{wheel.name} must have the SHA-256 {sha256}, got {digest}.")
    return zipfile.ZipFile(wheel)


def main() -> None:
    """Download the releases, and write the tables beside this file or into the folder given."""
    destination = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent)
    with tempfile.TemporaryDirectory() as folder:
        with _open_wheel(*_BINN, folder) as wheel:

            def lines(name: str) -> list[str]:
                return wheel.read(f"{_DOWNLOADS}/{name}.txt").decode().splitlines()

            proteins = human_edges(lines("uniprot_2_reactome_2025_01_14"))
            parts = human_parts(lines("reactome_pathways_relation_2025_01_14"))
            titles = human_titles(lines("reactome_pathways_names_2025_01_21"))
        with _open_wheel(*_FLYVIS, folder) as wheel:
            fly = cell_pairs(json.loads(wheel.read("flyvis/connectome/fib25-fib19_v2.2.json")))
        with _open_wheel(*_CECT, folder) as wheel:
            text = wheel.read("cect/data/herm_full_edgelist.csv").decode()
            worm = [line for line in text.splitlines() if line]
    files = {
        "reactome.tsv.gz": to_tsv_gz(proteins, ("source", "target")),
        "reactome_hierarchy.tsv.gz": to_tsv_gz(parts, ("source", "target")),
        "reactome_titles.tsv.gz": to_tsv_gz(titles, ("pathway", "title")),
        "worm_chemical.tsv.gz": to_tsv_gz(worm_synapses(worm, "chemical"), _WEIGHTED),
        "worm_electrical.tsv.gz": to_tsv_gz(worm_synapses(worm, "electrical"), _WEIGHTED),
        "fly_visual_system.json.gz": _compress(json.dumps(fly, separators=(",", ":"))),
    }
    for name, contents in files.items():
        (destination / name).write_bytes(contents)
        print(f"{len(contents):>9,} bytes  {destination / name}")


if __name__ == "__main__":
    main()
