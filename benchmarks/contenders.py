"""The table of contenders: what builds each, where it runs, and what kind it is."""

from collections.abc import Callable
from typing import NamedTuple

from environments import MAIN
from peers import (
    Step,
    compiled_gather,
    csr_parameter,
    dense,
    edge_index,
    embedding_bag,
    gather_scatter,
    kpnn2,
    ours,
    sparselab,
    sparseprop,
    torch_scatter,
    torch_sparse,
)
from problem import Problem

import edgelinear as el


class Contender(NamedTuple):
    build: Callable[[Problem], Step | None]
    kind: str  # "ours", "sparse" or "dense"
    package: str = "torch"  # without which it is left out, and whose version is recorded
    environment: str = MAIN


CONTENDERS = {
    f"edgelinear {name}": Contender(ours.make(name), "ours")
    for name in ("auto", *el.backends.BACKENDS)
} | {
    "CSR parameter": Contender(csr_parameter.peer, "sparse"),
    "embedding_bag": Contender(embedding_bag.peer, "sparse"),
    "gather + index_add": Contender(gather_scatter.peer, "sparse"),
    "compiled gather": Contender(compiled_gather.peer, "sparse"),
    "torch_sparse": Contender(torch_sparse.peer, "sparse", "torch-sparse"),
    "torch_scatter": Contender(torch_scatter.peer, "sparse", "torch-scatter"),
    "EdgeIndex": Contender(edge_index.peer, "sparse", "torch-geometric", "edge_index"),
    "kpnn2": Contender(kpnn2.peer, "sparse", "kpnn2", "kpnn2"),
    "sparselab": Contender(sparselab.peer, "sparse", "sparselab", "sparselab"),
    "sparseprop": Contender(sparseprop.peer, "sparse", "sparseprop", "sparseprop"),
    "dense masked": Contender(dense.masked, "dense"),
    "nn.Linear": Contender(dense.plain, "dense"),
}
