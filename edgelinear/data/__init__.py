"""Real wirings that come with the package: README.md here has their sources and licences."""

from importlib import resources

from edgelinear import convert


def reactome() -> convert.Wiring:
    """Return the human proteins (inputs) and the Reactome pathways they take part in (outputs).

    `in_names` holds UniProt accessions and `out_names` Reactome pathway identifiers.

    Example:
        >>> from edgelinear.data import reactome
        >>> reactome().topology
        Topology(in_features=11876, out_features=2233, edges=46939, density=0.177%, sorted=True)
    """
    with resources.as_file(resources.files("edgelinear") / "data" / "reactome.tsv.gz") as path:
        return convert.from_table(path)
