"""Real wirings that come with the package: README.md here has their sources and licences."""

import csv
import gzip
import io
from importlib import resources

from edgelinear import convert
from edgelinear.data.fly import FlyVisualSystem, fly_visual_system

__all__ = [
    "FlyVisualSystem",
    "fly_visual_system",
    "reactome",
    "reactome_hierarchy",
    "reactome_titles",
    "worm",
]


def reactome() -> convert.Wiring:
    """Return the human proteins (inputs) and the Reactome pathways they take part in (outputs).

    `in_names` holds UniProt accessions and `out_names` Reactome pathway identifiers.

    Example:
        >>> from edgelinear.data import reactome
        >>> reactome().topology
        Topology(in_features=11876, out_features=2233, edges=46939, density=0.177%, sorted=True)
    """
    return _wiring("reactome.tsv.gz")


def reactome_hierarchy() -> convert.Wiring:
    """Return the human Reactome pathways (inputs) and the larger ones they are part of (outputs).

    Names are pathway identifiers. Those among the outputs alone are the top-level pathways.

    Example:
        >>> from edgelinear.data import reactome_hierarchy
        >>> hierarchy = reactome_hierarchy()
        >>> len(set(hierarchy.out_names) - set(hierarchy.in_names))
        29
    """
    return _wiring("reactome_hierarchy.tsv.gz")


def reactome_titles() -> dict[str, str]:
    """Return what each human Reactome pathway is called, by its identifier.

    Example:
        >>> from edgelinear.data import reactome_titles
        >>> reactome_titles()["R-HSA-109581"]
        'Apoptosis'
    """
    path = resources.files("edgelinear") / "data" / "reactome_titles.tsv.gz"
    text = gzip.decompress(path.read_bytes()).decode()
    rows = csv.DictReader(io.StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE)
    return {row["pathway"]: row["title"] for row in rows}


def worm(kind: str = "chemical") -> convert.Wiring:
    """Return the synapses among the cells of a hermaphrodite worm, C. elegans, and their numbers.

    Weights are as Cook et al. (2019) give them, a count of the sections of each synapse. Names in
    capitals are neurons, others muscles and other cells. Nearly all electrical synapses stand there
    both ways.

    Args:
        kind: "chemical" or "electrical".

    Example:
        >>> from edgelinear.data import worm
        >>> synapses = worm()
        >>> el.convert.explain(synapses, ("AVAL", "VA08"))
        "edge 3387: input 'AVAL' (53) -> output 'VA08' (238), weight 7"
    """
    if kind not in ("chemical", "electrical"):
        raise ValueError(f'`kind` must be "chemical" or "electrical", got {kind!r}.')
    return _wiring(f"worm_{kind}.tsv.gz")


def _wiring(name: str) -> convert.Wiring:
    with resources.as_file(resources.files("edgelinear") / "data" / name) as path:
        return convert.from_table(path, sort=True)
