"""What a view takes, what it says of it, and what it refuses."""

import copy
import sys

import numpy as np
import pandas
import pytest
import torch
from torch import nn
from viewed import ask, named_layer, network, scene, tile_of

import edgelinear as el
from edgelinear.viewer import subject


def meta_of(*arguments, **options):
    return scene(*arguments, **options).meta()


def test_layer_has_two_sides_and_its_title():
    meta = meta_of(named_layer())
    assert meta["title"] == "3 -> 2, 3 edges (50% of dense)" and meta["kind"] == "EdgeLinear"
    assert meta["sides"] == ["in", "out"] and meta["node_sides"] == {"rows": "out", "columns": "in"}
    assert (meta["rows"], meta["columns"], meta["edges"], meta["named"]) == (2, 3, 3, True)
    assert meta["orders"] == ["given", "degree", "cluster"] and meta["steps"] is None
    assert meta["digest"] == named_layer().topology.digest
    assert meta["version"] == el.__version__ and not meta["compare"]
    assert [value["label"] for value in meta["values"]] == ["edges in a cell", "mean |weight|"]


def test_layer_with_rules_is_what_it_was():
    layer = el.rules.fix_nonnegative(el.EdgeLinear(1, 1, [(0, 0)]))
    assert meta_of(layer)["kind"] == "EdgeLinear"


def test_topology_has_no_weights():
    meta = meta_of(el.Topology(1, 1, [(0, 0)]))
    assert meta["title"] == "1 -> 1, 1 edge (100% of dense)" and not meta["named"]
    assert [value["key"] for value in meta["values"]] == ["count"]


def test_network_has_nodes_levels_inputs_and_outputs():
    meta = meta_of(network())
    assert meta["title"] == "2 -> 1 of 5 nodes, 6 edges, 4 levels"
    assert (meta["sides"], meta["rows"]) == (["node"], 5)
    assert meta["orders"] == ["given", "level", "degree", "cluster"]
    assert network().wiring.inputs is not None
    twin = meta_of(network().wiring)  # levels are found again
    assert twin["title"] == meta["title"] and twin["digest"] == meta["digest"]


def test_recurrent_network_is_shown_by_its_steps():
    net = el.EdgeRNN(3, [(0, 1), (1, 2), (2, 1)], [0], [2])
    seen = scene(net)
    assert seen.meta()["title"] == "1 -> 1 of 3 nodes, 3 edges" and seen.meta()["steps"] == 6
    found = ask(seen, "places", order="level", nodes=[["node", 1]], edges=[])
    assert found["nodes"] == [[1, 1]]


def test_matrix_of_many_nodes_has_no_clusters():
    assert "cluster" not in meta_of(el.Topology(2001, 1, [(0, 0)]))["orders"]


def test_layers_that_follow_one_another_are_columns_of_one_graph():
    first = named_layer()
    second = el.EdgeLinear(2, 1, [(1, 0)], weight=[7.0], out_names=["death"])
    for given in ([first, second], nn.Sequential(first, nn.ReLU(), nn.Sequential(second))):
        seen = scene(given)
        meta = seen.meta()
        assert meta["title"] == "3 -> 1 of 6 nodes, 4 edges, 3 levels"
        assert meta["notes"] == ["2 layers, between 3 columns of nodes, which are its levels."]
        names = ask(seen, "names", side="node", nodes=range(6))["names"]
        assert names == ["TP53", "MYC", "AKT1", "repair", "growth", "death"]
        text = ask(seen, "edge", edge=3)["text"]
        assert text == "layer 1, edge 0: input 1 -> output 'death' (0), weight 7"
        _, (cell, value, *_) = tile_of(seen, value="weight")
        shown = dict(zip(cell.tolist(), value.tolist(), strict=True))
        assert shown == {6 * 3 + 0: 0.5, 6 * 3 + 1: 1.0, 6 * 4 + 2: 2.0, 6 * 5 + 4: 7.0}


@pytest.mark.parametrize("wrap", [nn.Sequential, torch.compile])
@pytest.mark.parametrize("make", [named_layer, network])
def test_model_of_one_layer_or_network_is_that(make, wrap):
    layer = make()
    x = torch.ones(4, layer.in_features)
    seen, expected = scene(wrap(layer), inputs=x), scene(layer, inputs=x)
    assert seen.meta() == expected.meta()
    contribution = expected.columns.here["contribution"]
    assert np.array_equal(seen.columns.here["contribution"], contribution)


def test_layers_anywhere_in_a_model_are_found():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = el.EdgeLinear(2, 2, [(0, 1)], weight=[3.0])

    model = nn.Sequential(named_layer(), Block(), el.EdgeLinear(2, 1, [(0, 0)], weight=[7.0]))
    seen = scene(model)
    assert seen.columns.here["weight"].tolist() == [0.5, -1.0, 2.0, 3.0, 7.0]
    assert seen.meta()["title"] == "3 -> 1 of 8 nodes, 5 edges, 4 levels"


def test_names_that_one_column_has_twice_are_said():
    one = el.convert.Wiring(el.Topology(3, 1, [(0, 0)]), in_names=["x", "x", "z"])
    (_, note) = meta_of([one])["notes"]
    assert note == "Names of nodes are not unique (1 repeated): numbers tell them apart."


def test_names_that_two_columns_have_are_told_apart():
    one = el.EdgeLinear(2, 2, [(0, 0)], in_names=["a", "b"], out_names=["a", "c"])
    two = el.EdgeLinear(2, 2, [(0, 0)])
    names = ask(scene([one, two]), "names", side="node", nodes=range(6))["names"]
    assert names == ["0:a", "b", "1:a", "c", "2:0", "2:1"]


@pytest.mark.parametrize(
    ("layers", "error", "said"),
    [
        ([], ValueError, "at least one EdgeLinear, got none"),
        ([named_layer(), named_layer()], ValueError, "layer 0 has 2 outputs, and layer 1 has 3"),
        ([network()], TypeError, "must hold layers, got a network"),
        ([nn.Linear(2, 2)], TypeError, "or a list of layers, got Linear"),
        (
            nn.Sequential(named_layer(), nn.Linear(2, 2), el.EdgeLinear(2, 1, [(0, 0)])),
            ValueError,
            "`layer` must mix features in EdgeLinears alone, .* got Linear at '1'",
        ),
        (
            nn.Sequential(named_layer(), el.EdgeNetwork(2, [(0, 1)], [0], [1])),
            ValueError,
            "got EdgeNetwork at '1'",
        ),
        (nn.Sequential(nn.ReLU()), ValueError, "EdgeLinear, or a network, got a Sequential witho"),
        (
            [named_layer(), el.EdgeLinear(2, 1, [(0, 0)], in_names=["growth", "repair"])],
            ValueError,
            "output 0 of layer 0 is 'repair', and input 0 of layer 1 is 'growth'",
        ),
        (
            [named_layer(), el.Topology(2, 1, [(0, 0)])],
            ValueError,
            "weights in all layers or in none, and layer 1 has none",
        ),
    ],
)
def test_layers_that_do_not_follow_one_another_are_refused(layers, error, said):
    with pytest.raises(error, match=said):
        scene(layers)


@pytest.mark.parametrize("given", [nn.Linear(2, 2), torch.zeros(2, 2), 3, None])
def test_what_has_no_edges_is_refused(given):
    with pytest.raises(TypeError, match=f"or a list of layers, got {type(given).__name__}"):
        scene(given)


def test_layer_on_meta_is_refused_and_its_wiring_is_not():
    layer = el.EdgeLinear(3, 2, [(0, 0)], device="meta")
    with pytest.raises(ValueError, match="is on the meta device, where no values are: load its"):
        scene(layer)
    assert meta_of(layer.topology)["edges"] == 1


def test_too_many_edges_are_refused_before_anything_is_made(monkeypatch):
    monkeypatch.setattr(subject, "MOST", 2)
    with pytest.raises(ValueError, match="has 3 edges, and a view shows 2 at most: choose some"):
        scene(named_layer())
    with pytest.raises(ValueError, match="has 4 edges"):
        scene([named_layer(), el.EdgeLinear(2, 1, [(0, 0)])])


def test_names_of_another_number_are_refused():
    wiring = named_layer().wiring._replace(out_names=["one"])
    with pytest.raises(ValueError, match="`out_names` must hold 2 names, got 1"):
        scene(wiring)


@pytest.mark.parametrize(
    ("values", "error", "said"),
    [
        ([1.0, 2.0], ValueError, "one number for each of the 3 edges, got shape"),
        (np.zeros((3, 1)), ValueError, r"got shape \(3, 1\)"),
        (["a", "b", "c"], TypeError, "`values` must hold numbers"),
        ([1j, 2, 3], TypeError, "`values` must be real numbers, got torch.complex"),
        (pandas.Series([1.0, None, 2.0]), ValueError, "`values` has no value at position 1"),
        (torch.ones(3, device="meta"), ValueError, "`values` must have values, got a tensor on th"),
    ],
)
def test_values_that_do_not_fit_are_refused(values, error, said):
    with pytest.raises(error, match=said):
        scene(named_layer(), values=values)


def test_values_are_those_of_when_it_was_opened():
    values = np.array([1.0, 2.0, 3.0])
    seen = scene(named_layer(), values=values)
    values[:] = 0
    assert seen.columns.here["values"].tolist() == [1.0, 2.0, 3.0]


def test_values_of_layers_may_be_a_list_of_tensors():
    layers = [named_layer(), el.EdgeLinear(2, 1, [(0, 0)])]
    seen = scene(layers, values=[torch.ones(3), torch.full((1,), 2.0)])
    assert seen.columns.here["values"].tolist() == [1.0, 1.0, 1.0, 2.0]


def test_complex_weights_are_refused():
    wiring = el.convert.Wiring(el.Topology(1, 1, [(0, 0)]), weight=torch.tensor([1j]))
    with pytest.raises(TypeError, match="`layer` must have real weights to be shown, got torch.co"):
        scene(wiring)


def test_values_that_are_not_finite_are_shown_and_counted():
    meta = meta_of(named_layer(), values=[1.0, float("nan"), float("inf")])
    (note,) = meta["notes"]
    assert note == "2 edges have no finite number as 'values': cells with one are marked."


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        (
            np.zeros((4, 2)),
            r"samples of 3 real numbers in their last dimension, got shape \(4, 2\)",
        ),
        (np.zeros((0, 3)), r"got shape \(0, 3\)"),
        (1.0, r"got shape \(\)"),
        (
            torch.ones(4, 3, device="meta"),
            "`inputs` must have values, got a tensor on the meta dev",
        ),
    ],
)
def test_inputs_that_do_not_fit_are_refused(inputs, said):
    with pytest.raises(ValueError, match=said):
        scene(named_layer(), inputs=inputs)


def test_inputs_of_several_layers_are_refused():
    with pytest.raises(TypeError, match="what happens between layers: pass"):
        scene([named_layer()], inputs=np.zeros((1, 3)))


@pytest.mark.parametrize("kind", ["layer", "wiring", "topology", "state"])
def test_other_may_be_of_any_kind(kind):
    layer, other = named_layer(), named_layer(weight=[1.0, 1.0, 1.0])
    given = {
        "layer": other,
        "wiring": other.wiring,
        "topology": other.topology,
        "state": other.state_dict(),
    }[kind]
    seen = scene(layer, other=given)
    assert seen.meta()["compare"] and seen.columns.edge_map.old.tolist() == [0, 1, 2]
    shown = [seen.number("difference", edge) for edge in range(3)]
    assert shown == ([0.0, 0.0, 0.0] if kind == "topology" else [-0.5, -2.0, 1.0])


def test_other_may_be_the_state_of_a_network():
    net = network()
    seen = scene(net, other=net.state_dict())
    assert [seen.number("difference", edge) for edge in range(6)] == [0.0] * 6


def test_edges_of_a_null_model_are_matched_by_their_ends():
    topology = el.generators.erdos_renyi(40, 30, num_edges=200)
    null = el.null_models.degree_preserving(topology)
    seen = scene(topology, other=null)
    expected = el.EdgeMap.between(null, topology).old
    assert torch.equal(seen.columns.edge_map.old, expected)
    ours = {*map(tuple, topology.edge_index.T.tolist())}
    theirs = {*map(tuple, null.edge_index.T.tolist())}
    states = [seen.columns.state(edge) for edge in range(seen.columns.topology.num_edges)]
    assert states.count("both") == len(ours & theirs)
    assert states.count("here") == len(ours - theirs)
    assert states.count("there") == len(theirs - ours)
    assert seen.meta()["edges"] == 200


def test_other_may_be_the_state_of_a_layer_with_rules():
    layer = el.rules.freeze(named_layer(), [True, False, False])
    state = copy.deepcopy(layer.state_dict())
    layer.set_weight([0.5, 7.0, 8.0])
    found = scene(layer, other=state)
    assert found.columns.all["other"].tolist() == [0.5, -1.0, 2.0]
    assert layer.weight.tolist() == [0.5, 7.0, 8.0]
    with pytest.raises(
        ValueError, match="`other` is no state dict of such a layer(.|\n)*same ones first"
    ):
        scene(named_layer(), other=state)


def test_other_may_be_the_state_of_a_model():
    def model(weight):
        layer = el.EdgeLinear(2, 1, [(0, 0), (1, 0)], weight=weight)
        return nn.Sequential(named_layer(), nn.ReLU(), layer)

    found = scene(model([1.0, 2.0]), other=model([3.0, 5.0]).state_dict())
    assert found.columns.all["difference"].tolist() == [0.0, 0.0, 0.0, -2.0, -3.0]


def test_layers_are_compared_column_by_column():
    names = {"in_names": ["a", "b"], "out_names": ["b", "c"]}
    layers = [
        el.EdgeLinear(2, 2, [(0, 0), (1, 1)], **names, weight=[1.0, 2.0]),
        el.EdgeLinear(2, 1, [(0, 0)], weight=[3.0]),
    ]
    null = [layer.topology for layer in layers]
    assert scene(layers, other=null).columns.edge_map.old.tolist() == [0, 1, 2]
    states = [copy.deepcopy(layer.state_dict()) for layer in layers]
    layers[1].set_weight([5.0])
    assert scene(layers, other=states).columns.all["difference"].tolist() == [0.0, 0.0, 2.0]
    other = [layers[0], el.EdgeLinear(2, 1, [(0, 0)], in_names=["b", "d"])]
    with pytest.raises(ValueError, match="output 1 of layer 0 is 'c'"):
        scene(layers, other=other)
    twisted = el.EdgeLinear(2, 2, [(0, 0)], in_names=["a", "b"], out_names=["c", "b"])
    with pytest.raises(ValueError, match="calls node 0 of column 1 'c', and `layer` 'b': pass lay"):
        scene(layers, other=[twisted, layers[1]])
    with pytest.raises(ValueError, match="`other` has 2 -> 2 nodes, and `layer` 2 -> 2 -> 1: pass"):
        scene(layers, other=layers[:1])


def test_other_network_is_numbered_by_the_cure():
    layer = network()
    other = el.EdgeNetwork(
        3,
        [(0, 1), (1, 2)],
        ["in a"],
        ["out"],
        node_names=["in a", "also", "out"],
        weight=[9.0, 8.0],
    )
    with pytest.raises(ValueError, match="`other` has 3 -> 3 nodes, and `layer` 5 -> 5") as error:
        scene(layer, other=other)
    cure = str(error.value).split("`el.convert")[1].split("`")[0]
    aligned = eval(f"el.convert{cure}", {"el": el, "layer": layer, "other": other})
    found = scene(layer, other=aligned).columns.value
    assert [found("other", edge) for edge in range(6)] == [None, None, None, 9.0, 8.0, None]


def test_state_dict_inside_a_checkpoint_is_pointed_at():
    checkpoint = {"epoch": 3, "model": named_layer().state_dict()}
    with pytest.raises(ValueError, match="state dict inside: pass that, as other.'model'."):
        scene(named_layer(), other=checkpoint)
    with pytest.raises(ValueError, match="`other` is no state dict of such a layer"):
        scene(named_layer(), other={"weight": torch.ones(3)})


def test_it_is_said_how_many_edges_two_wirings_share():
    other = el.EdgeLinear(3, 2, [(2, 1), (2, 0)])
    (note,) = scene(named_layer(), other=other).meta()["notes"]
    assert note == (
        "Compared with another wiring: 1 edge is in both, 2 here alone, 1 in the other alone."
    )


def test_other_of_other_sizes_is_refused_with_a_cure_that_works():
    layer = named_layer()
    other = el.EdgeLinear(
        2, 2, [(0, 0), (1, 1)], in_names=["AKT1", "TP53"], out_names=["growth", "repair"]
    )
    with pytest.raises(ValueError, match="`other` has 2 -> 2 nodes, and `layer` 3 -> 2") as error:
        scene(layer, other=other)
    cure = str(error.value).partition("`el.convert")[2].partition("`")[0]
    aligned = eval(f"el.convert{cure}", {"el": el, "layer": layer, "other": other})
    seen = scene(layer, other=aligned)
    # AKT1 -> growth and TP53 -> repair are edges 2 and 0 here.
    assert (seen.columns.edge_map.old >= 0).tolist() == [True, False, True]


def test_other_with_the_same_names_elsewhere_is_refused():
    other = named_layer(in_names=["MYC", "TP53", "AKT1"])
    with pytest.raises(ValueError, match="calls node 0 of the side 'in' 'MYC', and `layer` 'TP53'"):
        scene(named_layer(), other=other)


def test_without_anywidget_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "anywidget", None)
    with pytest.raises(
        ImportError, match=r"this needs anywidget: pip install 'edgelinear\[view\]'"
    ):
        el.view(named_layer())


def test_edge_is_explained_with_its_rule():
    layer = el.rules.freeze(named_layer(), [True, False, False])
    text = ask(scene(layer), "edge", edge=0)["text"]
    assert text == el.convert.explain(layer, 0) and "frozen" in text


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"kind": "edge", "edge": 3}, "there is no edge 3: there are 3"),
        ({"kind": "dance"}, "a view answers tile, names, .*, got 'dance'"),
        ({"kind": "places", "order": "given", "edges": [3]}, "edges must be from 0 to 2"),
    ],
)
def test_question_that_has_no_answer_is_refused(asked, said):
    with pytest.raises(ValueError, match=said):
        ask(scene(named_layer()), **asked)


def test_weights_are_those_of_the_moment():
    layer = named_layer()
    seen = scene(layer)
    layer.weight.data.zero_()
    assert seen.number("weight", 2) == 2.0
