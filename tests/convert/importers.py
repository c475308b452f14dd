"""The wirings of these tests, their dense matrix, and every importer called in one way."""

import networkx
import numpy as np
import pandas
import scipy.sparse
import torch
from hypothesis import strategies as st

import edgelinear as el
from edgelinear import convert

# Asymmetric and not square, so that a swap of rows and columns shows.
EDGES = [(0, 1), (3, 0), (1, 1), (3, 2), (2, 0)]
IN, OUT = 4, 3
WEIGHT = [0.5, -1.0, 2.0, 0.25, 3.0]
ADJACENCY = np.array([[0, 0.5, 0], [0, 2, 0], [3, 0, 0], [-1, 0, 0.25]])


def dense(wiring):
    """Return W, (out, in), one edge after the other; an edge without a weight counts 1."""
    topology, weight = wiring.topology, wiring.weight
    matrix = np.zeros((topology.out_features, topology.in_features))
    for e, (s, t) in enumerate(topology.edge_index.T.tolist()):
        matrix[t, s] += 1 if weight is None else float(weight[e])
    return matrix


def layer_of(weight=WEIGHT, dtype=torch.float64, duplicates="error", edges=EDGES):
    return el.EdgeLinear(IN, OUT, edges, weight=weight, dtype=dtype, duplicates=duplicates)


def table_of(edges=EDGES, weight=WEIGHT):
    src, dst = zip(*edges, strict=True)
    columns = {"source": src, "target": dst}
    return pandas.DataFrame(columns if weight is None else {**columns, "weight": weight})


@st.composite
def patterns(draw):
    """Return sizes, edges in any order, possibly repeated, and values that add up exactly."""
    sizes = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    edge = st.tuples(st.integers(0, sizes[0] - 1), st.integers(0, sizes[1] - 1))
    edges = draw(st.lists(edge, min_size=1, max_size=20))
    values = draw(st.lists(st.integers(-8, 8), min_size=len(edges), max_size=len(edges)))
    return *sizes, edges, [value / 4 for value in values]


def read_edges(n, m, edges, values, **options):
    weight = torch.tensor(values, dtype=torch.float64)
    return convert.from_edges(n, m, edges, weight=weight, **options)


def read_scipy(n, m, edges, values, **options):
    src, dst = zip(*edges, strict=True)
    matrix = scipy.sparse.coo_array((np.array(values), (src, dst)), shape=(n, m))
    return convert.from_scipy(matrix, **options)


def read_torch(n, m, edges, values, **options):
    matrix = torch.sparse_coo_tensor(
        torch.tensor(edges).T, torch.tensor(values, dtype=torch.float64), (n, m)
    )
    return convert.from_torch(matrix, **options)


def read_table(n, m, edges, values, **options):
    return convert.from_table(table_of(edges, values), in_features=n, out_features=m, **options)


def read_networkx(n, m, edges, values, **options):
    inputs, outputs = [f"x{i}" for i in range(n)], [f"y{j}" for j in range(m)]
    graph = networkx.MultiDiGraph()
    graph.add_nodes_from(outputs + inputs)
    for (s, t), value in zip(edges, values, strict=True):
        graph.add_edge(inputs[s], outputs[t], weight=value)
    return convert.from_networkx(graph, inputs=inputs, outputs=outputs, **options)


READERS = [read_edges, read_scipy, read_torch, read_table, read_networkx]
INPUTS = [f"x{i}" for i in range(IN)]
OUTPUTS = [("y", j) for j in range(OUT)]


def named_table():
    return pandas.DataFrame(
        {"source": ["b", "a", "b", "c"], "target": ["y", "x", "x", "y"], "weight": [1.0, 2, 3, 4]}
    )


def written(tmp_path, text, name="edges.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path
