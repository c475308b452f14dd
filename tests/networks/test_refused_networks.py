"""What networks refuse, and the sentences with which they do."""

import numpy as np
import pandas
import pytest
import torch

import edgelinear as el

CHAIN = [(0, 1), (1, 2), (2, 3)]
NAMED = [("a", "b"), ("b", "c"), ("c", "d")]


def wiring_of(edges):
    return el.convert.from_table(pandas.DataFrame(edges, columns=["source", "target"]))


def refused_by_all(option, value, error, match):
    for kind in (el.EdgeNetwork, el.EdgeRNN):
        with pytest.raises(error, match=match):
            kind(4, CHAIN, [0], [3], **{option: value})


def test_a_cycle_is_named_by_the_names_of_its_nodes():
    edges = [*NAMED, ("c", "b")]
    with pytest.raises(ValueError, match=r"no cycle, got b -> c -> b: a graph"):
        el.EdgeNetwork.from_wiring(wiring_of(edges), ["a"], ["d"])
    net = el.EdgeNetwork.from_wiring(wiring_of(NAMED))
    before = net.edge_index.clone()
    with pytest.raises(ValueError, match=r"no cycle, got b -> c -> b: a graph"):
        el.rewire(net, add=[("c", "b")])
    assert torch.equal(net.edge_index, before)


@pytest.mark.parametrize("kind", [el.EdgeNetwork, el.EdgeRNN], ids=["network", "recurrent"])
def test_ends_that_a_loop_hides_are_asked_for(kind):
    loop = wiring_of([("a", "b"), ("b", "a")])
    with pytest.raises(ValueError, match="`inputs` must be given, as every node of this wiring"):
        kind.from_wiring(loop)
    with pytest.raises(ValueError, match="`outputs` must be given, .* has an edge out of it"):
        kind.from_wiring(loop, inputs=["a"])


@pytest.mark.parametrize("value", [None, 3, torch.zeros(4)], ids=["none", "number", "tensor"])
def test_aggregations_are_names(value):
    refused_by_all("aggregation", value, TypeError, "`aggregation` must be a name, a list")


@pytest.mark.parametrize("value", [None, torch.zeros(4), "no", 1])
def test_switches_are_true_or_false(value):
    refused_by_all("bias", value, TypeError, "`bias` must be True or False, got")
    with pytest.raises(TypeError, match="`bias` must be True or False, got"):
        el.EdgeLinear(4, 4, CHAIN, bias=value)
    for option in ("learn_leak", "clamp_inputs"):
        with pytest.raises(TypeError, match=f"`{option}` must be True or False, got"):
            el.EdgeRNN(4, CHAIN, [0], [3], **{option: value})


def test_switches_and_counts_may_be_numpys():
    net = el.EdgeRNN(
        4, CHAIN, [0], [3], bias=np.bool_(False), learn_leak=np.bool_(True), steps_per_input=2
    )
    twin = el.EdgeRNN(4, CHAIN, [0], [3], bias=False, learn_leak=True, steps_per_input=np.int64(2))
    twin.load_state_dict(net.state_dict())
    x = torch.randn(2, 5, 1)
    assert torch.equal(net(x)[0], twin(x)[0])


@pytest.mark.parametrize("lengths", [[3, None, 1], ["a", "b", "c"], [[1], [2, 3]], object()])
def test_lengths_are_whole_numbers(lengths):
    net = el.EdgeRNN(4, CHAIN, [0], [3])
    with pytest.raises(TypeError, match="`lengths` must be whole numbers, got"):
        net(torch.randn(3, 5, 1), lengths=lengths)


def test_numbers_of_nodes_that_have_names_are_told_of_them():
    for kind in (el.EdgeNetwork, el.EdgeRNN):
        with pytest.raises(ValueError, match="names 0, .* by their names here, .* first is 'a'"):
            kind(4, CHAIN, [0], ["d"], node_names=list("abcd"))


def test_edges_by_name_are_sent_to_an_importer():
    for kind in (el.EdgeNetwork, el.EdgeRNN):
        with pytest.raises(TypeError, match="for names, use `el.convert.from_table`"):
            kind(4, NAMED, ["a"], ["d"], node_names=list("abcd"))


@pytest.mark.parametrize(
    ("function", "cure"), [(np.tanh, "`torch.tanh`"), (np.cbrt, "a function of torch")]
)
def test_functions_of_numpy_are_no_activations(function, cure):
    refused_by_all("activation", function, TypeError, f"by torch, got NumPy's .*: pass {cure}")


def test_levels_are_of_one_set_of_nodes():
    wiring = wiring_of(NAMED)
    for null_model in (el.null_models.level_preserving, el.null_models.permute_levels):
        with pytest.raises(ValueError, match="other names of sources than of targets"):
            null_model(wiring)
        null = null_model(el.EdgeNetwork.from_wiring(wiring).wiring)
        assert null.topology.num_edges == 3
