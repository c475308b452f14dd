"""Gene sets: GMT files, and lists of names."""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from edgelinear._optional import import_optional
from edgelinear.convert.files import read_text
from edgelinear.convert.names import Nodes, place_ends, refuse_alike, stripped
from edgelinear.convert.shared import checked_wiring
from edgelinear.topology import Wiring
from edgelinear.topology.wiring import as_list, positions


def read_gmt(
    path: Any,
    *,
    in_names: Sequence[Hashable] | None = None,  # (in_features,)
    out_names: Sequence[Hashable] | None = None,  # (out_features,)
    unknown: str = "error",
    duplicates: str = "error",
    strip: bool = False,
) -> Wiring:
    """Read a GMT file, a line a set: an edge leads from a gene (an input) to its set (an output).

    A line has the name of the set, what it is, and its genes, parted by tabs; the second is not
    read. Edges are in (target, source) order, and sets in that of the lines.

    Args:
        path: of the file, packed (.gz, .bz2, .xz, .zip) or not.
        in_names: the genes in the order wanted, as the columns of the data.
        out_names: the sets in the order wanted.
        unknown: "error" refuses a gene or a set that is not among those given, "drop" leaves it
            out and warns of how many there are.
        strip: whether to take blanks around names, and characters without width, away.

    Raises:
        ValueError: if a line has no genes, a set stands on two lines, names differ by blanks alone,
            or a gene stands twice in a set under `duplicates="error"`.

    Example:
        >>> import os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "sets.gmt")
        >>> with open(path, "w") as file:
        ...     _ = file.write("repair\\tna\\tTP53\\tBRCA1\\ngrowth\\tna\\tMYC\\tTP53\\n")
        >>> wiring = read_gmt(path)
        >>> wiring.in_names, wiring.out_names
        (['TP53', 'BRCA1', 'MYC'], ['repair', 'growth'])
    """
    if unknown not in ("error", "drop"):
        raise ValueError(f'`unknown` must be "error" or "drop", got {unknown!r}.')
    if unknown == "drop" and in_names is None and out_names is None:
        raise ValueError(
            'unknown="drop" needs `in_names` or `out_names`: the names that are known.'
        )
    pandas = import_optional("pandas")
    sets: dict[str, int] = {}
    genes: list[str] = []
    members: list[int] = []
    for number, line in enumerate(read_text(path).decode().split("\n"), 1):
        if not line.strip():
            continue
        name, *rest = line.rstrip("\t ").split("\t")
        found = rest[1:]
        if not found or not all(map(stripped, [name, *found])):
            raise ValueError(
                f"{path}: line {number} must have the name of a set, what it is, and its genes, "
                f"parted by tabs, got {line[:60]!r}."
            )
        if strip:
            name, found = stripped(name), [*map(stripped, found)]
        if name in sets:
            raise ValueError(f"{path}: line {number} has the set {name!r} for the second time.")
        members += [len(sets)] * len(found)
        sets[name] = number
        genes += found
    if not sets:
        raise ValueError(f"{path} is empty: it must have a line a set.")
    cells, names = pandas.factorize(np.array(genes, dtype=object))
    ends = [Nodes(cells, list(names)), Nodes(np.array(members), list(sets))]
    refuse_alike([("gene", ends[0]), ("set", ends[1])])
    lists = {
        "in_names": None if in_names is None else as_list("in_names", in_names),
        "out_names": None if out_names is None else as_list("out_names", out_names),
    }
    columns = [
        pandas.Series(genes, name="gene", dtype=object),
        pandas.Series([*sets], name="set", dtype=object),
    ]
    (src, inputs), (dst, outputs), kept = place_ends(ends, columns, lists, unknown)
    return checked_wiring(
        len(inputs),
        len(outputs),
        src,
        dst,
        None,
        duplicates,
        in_names=inputs,
        out_names=outputs,
        unit="genes",
        kept=kept,
        number=len(genes),
    )


def read_names(path: Any) -> list[str]:
    """Return the names in a file with a name a line, as a list of genes, for `in_names`.

    Blanks around a name and empty lines are left out.

    Raises:
        ValueError: if a name stands there twice, a line has several cells, or there is none.

    Example:
        >>> import os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "genes.txt")
        >>> with open(path, "w") as file:
        ...     _ = file.write("TP53\\nMYC\\n")
        >>> read_names(path)
        ['TP53', 'MYC']
    """
    names = []
    for number, line in enumerate(read_text(path).decode().split("\n"), 1):
        if "\t" in line.strip():
            raise ValueError(
                f"{path}: line {number} must be a name, got {line[:60]!r}: for a table of edges, "
                "use `from_table`."
            )
        names += [stripped(line)] if stripped(line) else []
    if not names:
        raise ValueError(f"{path} is empty: it must have a name a line.")
    positions("names", names)
    return names
