"""Wiring in and out: an importer returns a `Wiring`, and its first line says which way it reads."""

from edgelinear.convert.edges import from_edges, to_edge_index
from edgelinear.convert.genesets import read_gmt, read_names
from edgelinear.convert.igraphs import from_igraph
from edgelinear.convert.inputs import explain, to_inputs
from edgelinear.convert.matrices import (
    from_adjacency,
    from_linear,
    from_scipy,
    from_torch,
    from_weight_mask,
    to_scipy,
)
from edgelinear.convert.ncps import from_ncps
from edgelinear.convert.neat import Genome, from_neat, to_neat
from edgelinear.convert.nx import from_networkx, to_networkx
from edgelinear.convert.tables import from_table, to_table
from edgelinear.topology import Wiring

__all__ = [
    "Genome",
    "Wiring",
    "explain",
    "from_adjacency",
    "from_edges",
    "from_igraph",
    "from_linear",
    "from_ncps",
    "from_neat",
    "from_networkx",
    "from_scipy",
    "from_table",
    "from_torch",
    "from_weight_mask",
    "read_gmt",
    "read_names",
    "to_edge_index",
    "to_inputs",
    "to_neat",
    "to_networkx",
    "to_scipy",
    "to_table",
]
