"""The strongest paths are those that a search of all paths finds, and in the same order."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from viewed import ask, named_layer, network, scene

import edgelinear as el


def all_walks(pairs, source, target, steps):
    """Return the edges of every walk of 1 to `steps` steps."""
    found, ready = [], [((), source)]
    for _ in range(steps):
        ready = [
            ((*edges, edge), t)
            for edges, node in ready
            for edge, (s, t) in enumerate(pairs)
            if s == node
        ]
        found += [edges for edges, node in ready if node == target]
    return found


def passes(pairs, edges, node):
    return node in {end for edge in edges for end in pairs[edge]}


def brute(pairs, weight, source, target, steps, through=None):
    """Return the walks without a weight of 0: of equal ones those of fewer steps, then by edges."""
    found = []
    for edges in all_walks(pairs, source, target, steps):
        product = math.prod(abs(Fraction(weight[edge])) for edge in edges)
        if product and (through is None or passes(pairs, edges, through)):
            found.append((product, edges))
    return found


@st.composite
def graphs(draw, acyclic):
    nodes = draw(st.integers(2, 6))
    node = st.integers(0, nodes - 1)
    pairs = draw(st.lists(st.tuples(node, node), max_size=12))
    if acyclic:
        pairs = [(min(pair), max(pair)) for pair in pairs if pair[0] != pair[1]]
    # Few sizes, powers of 2 and their products: ties are many, and exact.
    sizes = st.sampled_from([0.0, 0.5, 1.0, -1.0, 2.0, -3.0])
    weight = [draw(sizes) for _ in pairs]
    return nodes, pairs, weight, draw(node), draw(node)


def wiring_of(nodes, pairs, weight):
    edges = np.array(pairs, int).reshape(-1, 2).T
    topology = el.Topology(nodes, nodes, edges, duplicates="keep")
    weight = torch.tensor(weight, dtype=torch.float64)
    return el.convert.Wiring(topology, weight, inputs=[0], outputs=[nodes - 1])


def found_of(seen, source, target, **rest):
    asked = {"source": ["node", source], "target": ["node", target], "through": None, "k": 100}
    return ask(seen, "paths", **asked | rest)


@given(graphs(acyclic=True), st.integers(1, 8), st.booleans(), st.integers(0, 5))
def test_paths_of_graphs_without_cycles(problem, k, is_through, through):
    nodes, pairs, weight, source, target = problem
    through = min(through, nodes - 1) if is_through else None
    known = brute(pairs, weight, source, target, nodes, through)
    known.sort(key=lambda path: (-path[0], path[1][::-1]))
    asked = None if through is None else ["node", through]
    found = found_of(scene(wiring_of(nodes, pairs, weight)), source, target, through=asked, k=k)
    assert [tuple(path["edges"]) for path in found["paths"]] == [edges for _, edges in known[:k]]
    assert [path["product"] for path in found["paths"]] == [float(p) for p, _ in known[:k]]
    for path in found["paths"]:
        signed = math.prod(weight[edge] for edge in path["edges"])
        assert path["sign"] * path["product"] == signed
        assert path["log10"] == pytest.approx(math.log10(abs(signed)))
        ends = [source, *(pairs[edge][1] for edge in path["edges"])]
        assert path["nodes"] == [["node", node] for node in ends]


@given(graphs(acyclic=False), st.integers(1, 4), st.booleans(), st.integers(0, 5))
def test_walks_of_graphs_with_cycles(problem, steps, is_through, through):
    nodes, pairs, weight, source, target = problem
    pairs, weight = [*pairs, (0, 1), (1, 0)], [*weight, 1.0, 2.0]  # a cycle for certain
    through = min(through, nodes - 1) if is_through else None
    known = brute(pairs, weight, source, target, steps, through)
    asked = None if through is None else ["node", through]
    seen = scene(wiring_of(nodes, pairs, weight))
    found = found_of(seen, source, target, through=asked, steps=steps)
    sizes = sorted((float(product) for product, _ in known), reverse=True)
    assert [path["product"] for path in found["paths"]] == sizes[:100]
    if through is None:  # else equal ones stand by the part in which the node was passed
        known.sort(key=lambda path: (-path[0], len(path[1]), path[1][::-1]))
        edges = [edges for _, edges in known[:100]]
        assert [tuple(path["edges"]) for path in found["paths"]] == edges
    else:
        shown = [tuple(path["edges"]) for path in found["paths"]]
        assert len({*shown}) == len(shown) and {*shown} <= {edges for _, edges in known}


@given(graphs(acyclic=True))
def test_random_weights_have_the_largest_products(problem):
    nodes, pairs, _, source, target = problem
    weight = np.random.default_rng(len(pairs)).normal(size=len(pairs)).tolist()
    known = brute(pairs, weight, source, target, nodes)
    found = found_of(scene(wiring_of(nodes, pairs, weight)), source, target)
    products = sorted((float(product) for product, _ in known), reverse=True)
    np.testing.assert_allclose([path["product"] for path in found["paths"]], products)


def test_graph_of_the_paths_is_layered_and_named():
    found = found_of(scene(network()), 0, 4, k=10)
    assert [path["edges"] for path in found["paths"]] == [[3, 4], [0, 2, 4]]
    assert found["said"] == ""
    nodes = {node["name"]: (node["column"], node["role"]) for node in found["nodes"]}
    assert nodes == {
        "in a": (0, "source"), "hidden": (1, "node"), "also": (2, "node"), "out": (3, "target"),
    }  # fmt: skip
    assert found["links"][0] == {"edge": 0, "from": ["node", 0], "to": ["node", 2], "weight": 1.0}
    assert {link["edge"] for link in found["links"]} == {0, 2, 3, 4}


def test_paths_go_through_the_node_that_is_asked_for():
    found = found_of(scene(network()), 0, 4, through=["node", 2])
    assert [path["edges"] for path in found["paths"]] == [[0, 2, 4]]
    assert {n["name"] for n in found["nodes"] if n["role"] == "through"} == {"hidden"}
    none = found_of(scene(network()), 1, 4, through=["node", 0])
    assert (
        none["paths"] == [] and none["said"] == "No path leads from 'in b' to 'out' through 'in a'."
    )


def test_path_of_a_layer_is_an_edge():
    asked = {"source": ["in", 1], "target": ["out", 0], "k": 5}
    found = ask(scene(named_layer()), "paths", **asked)
    (path,) = found["paths"]
    assert path["edges"] == [1] and path["product"] == 1.0 and path["sign"] == -1
    assert [node["side"] for node in found["nodes"]] == ["in", "out"]
    for through, number in ((["in", 1], 1), (["out", 0], 1), (["in", 0], 0)):
        assert len(ask(scene(named_layer()), "paths", **asked, through=through)["paths"]) == number
    none = ask(scene(named_layer()), "paths", source=["in", 0], target=["out", 1], k=5)
    assert none["said"] == "No path leads from 'TP53' to 'growth'."


def test_parallel_edges_are_paths_apart():
    layer = el.EdgeLinear(1, 1, [(0, 0), (0, 0)], weight=[1.0, 3.0], duplicates="keep")
    found = ask(scene(layer), "paths", source=["in", 0], target=["out", 0], k=5)
    assert [path["edges"] for path in found["paths"]] == [[1], [0]]


def test_paths_lead_through_layers_that_follow_one_another():
    first = el.EdgeLinear(2, 2, [(0, 0), (0, 1), (1, 1)], weight=[1.0, 2.0, 3.0])
    second = el.EdgeLinear(2, 1, [(0, 0), (1, 0)], weight=[4.0, 5.0])
    found = found_of(scene([first, second]), 0, 4)
    assert [(path["edges"], path["product"]) for path in found["paths"]] == [
        ([1, 4], 10.0), ([0, 3], 4.0),
    ]  # fmt: skip


def test_edges_of_weight_0_are_on_no_path_and_that_is_said():
    net = network(weight=[1.0, 1.0, 0.5, 0.0, 0.0, 1.5])
    found = found_of(scene(net), 0, 4)
    assert found["paths"] == []
    assert found["said"] == "Every path from 'in a' to 'out' has an edge whose weight is 0."


def test_edges_that_are_not_finite_are_left_out_and_that_is_said():
    net = network()
    net.weight.data[2] = float("nan")
    found = found_of(scene(net), 0, 4)
    assert [path["edges"] for path in found["paths"]] == [[3, 4]]
    assert found["said"] == "Left out: 1 edge on the way whose weight is not finite."
    net.weight.data[3] = float("inf")
    said = found_of(scene(net), 0, 4)["said"]
    assert said == "Every path from 'in a' to 'out' has an edge whose weight is 0 or not finite."


def test_walks_say_that_they_are_walks():
    net = el.EdgeRNN(3, [(0, 1), (1, 1), (1, 2)], [0], [2], weight=[1.0, 2.0, 1.0])
    seen = scene(net)
    assert seen.meta()["steps"] == 6
    found = found_of(seen, 0, 2, k=2)
    assert [path["edges"] for path in found["paths"]] == [[0, 1, 1, 1, 1, 2], [0, 1, 1, 1, 2]]
    assert found["said"].startswith("With cycles, these are walks of at most 6 steps")
    assert {node["node"]: node["column"] for node in found["nodes"]} == {0: 0, 1: 1, 2: 2}
    none = found_of(seen, 2, 0)
    assert none["said"] == "No path of at most 6 steps leads from '2' to '0'."


def test_node_has_no_path_to_itself_without_a_cycle():
    assert "there are no cycles" in found_of(scene(network()), 4, 4)["said"]


def chain(nodes, weight):
    edges = np.stack([np.arange(nodes - 1), np.arange(1, nodes)])
    topology = el.Topology(nodes, nodes, np.concatenate([edges, edges], axis=1), duplicates="keep")
    layer = el.EdgeLinear.from_topology(topology, dtype=torch.float64)
    layer.set_weight([weight] * (nodes - 1) + [weight * 2] * (nodes - 1))
    return layer.wiring._replace(inputs=[0], outputs=[nodes - 1])


def test_products_are_compared_where_they_are_too_small_for_numbers():
    nodes = 3000  # of a depth that recursion would not reach, with parallel edges
    found = found_of(scene(chain(nodes, 1e-3)), 0, nodes - 1, k=3)
    assert found["paths"] == []  # so many nodes are not drawn
    assert found["said"] == "0 of 3 paths are shown: all of them have 3000 nodes."
    found = found_of(scene(chain(400, 1e-3)), 0, 399, k=3)
    assert [path["product"] for path in found["paths"]] == [0.0] * 3
    first = 399 * math.log10(2e-3)
    expected = [first, first - math.log10(2), first - math.log10(2)]
    np.testing.assert_allclose([path["log10"] for path in found["paths"]], expected)


def test_at_most_500_nodes_are_drawn():
    width = 400
    edges = [(0, i) for i in range(1, width + 1)] + [(i, width + 1) for i in range(1, width + 1)]
    topology = el.Topology(width + 2, width + 2, edges)
    seen = scene(el.convert.Wiring(topology, inputs=[0], outputs=[width + 1]))
    found = found_of(seen, 0, width + 1)
    assert len(found["paths"]) == 100 and len(found["nodes"]) == 102
    # Of equal paths, those stand first whose last edge does.
    assert [path["edges"][1] for path in found["paths"][:3]] == [width, width + 1, width + 2]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"k": 0}, "`k` must be from 1 to 100, got 0"),
        ({"k": 101}, "`k` must be from 1 to 100, got 101"),
        ({"source": ["node", 9]}, "there is no node 9 on the side 'node', which has 5"),
        ({"source": ["in", 0]}, "`side` must be one of"),
    ],
)
def test_paths_that_cannot_be_are_refused(asked, said):
    asked = {"source": ["node", 0], "target": ["node", 4]} | asked
    with pytest.raises(ValueError, match=said):
        ask(scene(network()), "paths", **asked)


def test_paths_of_a_layer_lead_from_inputs_to_outputs():
    with pytest.raises(ValueError, match="paths lead from 'in' to 'out', got 'out' and 'in'"):
        ask(scene(named_layer()), "paths", source=["out", 0], target=["in", 0])


def test_walks_have_a_bound():
    net = el.EdgeRNN(2, [(0, 1), (1, 0)], [0], [1])
    with pytest.raises(ValueError, match="`steps` must be from 1 to 50, got 51"):
        found_of(scene(net), 0, 1, steps=51)
