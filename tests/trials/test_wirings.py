"""`controls` on wirings with names and weights, with layers that stay, and without self-loops."""

from functools import partial

import pytest
import torch

import edgelinear as el
from edgelinear import null_models
from edgelinear.trials.report import REAL

GRAPH = el.Topology(12, 12, [(i, (i + k) % 12) for i in range(12) for k in (1, 3, 4)])
WIRING = el.convert.Wiring(
    GRAPH, torch.arange(1.0, 37.0), [f"in {i}" for i in range(12)], [f"out {i}" for i in range(12)]
)
OTHER = el.generators.erdos_renyi(12, 5, num_edges=20, generator=torch.Generator().manual_seed(1))


def seen_by(given, **options):
    """Return what `make_model` was given for each training, and the report."""
    seen = []

    def make(wiring):
        seen.append(wiring)
        return torch.nn.Linear(1, 1)

    options = {"seeds": [0], "progress": False} | options
    report = el.controls(make, given, lambda model, seed: 0.0, **options)
    return seen, report


def test_wiring_comes_with_names_and_weights():
    names = ["degree_preserving", "permute_targets", "erdos_renyi_like", "permute_weights"]
    (real, *drawn), report = seen_by(WIRING, null_models=names)
    assert real is WIRING and [*report.scores] == [REAL, *names]
    for wiring in drawn:
        assert (wiring.in_names, wiring.out_names) == (WIRING.in_names, WIRING.out_names)
        assert sorted(wiring.weight.tolist()) == WIRING.weight.tolist()
        assert wiring.weight.tolist() != WIRING.weight.tolist()
    assert drawn[3].topology == GRAPH and drawn[0].topology != GRAPH


def test_layer_is_made_on_a_wiring_with_its_weights():
    make = partial(el.EdgeLinear.from_wiring, values="weight")
    report = el.controls(make, WIRING, lambda m, s: m.weight.sum().item(), seeds=range(2),
                         progress=False)  # fmt: skip
    assert all(score == [666.0, 666.0] for score in report.scores.values())


def test_topologies_drawn_of_a_wiring_are_those_drawn_alone():
    (_, *of_wiring), _ = seen_by(WIRING)
    (_, *alone), _ = seen_by(GRAPH)
    assert [w.topology for w in of_wiring] == alone


def test_fixed_layers_stay_in_every_null_model():
    for fixed in ([1], [-1], [OTHER]):
        seen, _ = seen_by([GRAPH, OTHER], fixed=fixed)
        assert all(second is OTHER for _, second in seen)
        assert all(first != GRAPH for first, _ in seen[1:])


@pytest.mark.parametrize(
    "given, fixed, error, message",
    [
        ([GRAPH, OTHER], [2], ValueError, "`fixed` must name some of the 2 topologies, .* got 2"),
        ([GRAPH, OTHER], [0, 1], ValueError, "`fixed` must leave a topology to draw"),
        (GRAPH, [0], ValueError, "`fixed` must leave a topology to draw"),
        ([GRAPH, OTHER], [GRAPH.T], ValueError, "`fixed` must name some of the 2 topologies"),
        ([GRAPH, OTHER], [0.5], TypeError, "`fixed` must hold positions or topologies, got 0.5"),
        ([GRAPH, OTHER], 1, TypeError, "`fixed` must be a list, got 1"),
    ],
)
def test_what_cannot_be_fixed_is_refused(given, fixed, error, message):
    with pytest.raises(error, match=message):
        seen_by(given, fixed=fixed)


def test_null_models_draw_no_self_loops_when_told_so():
    (_, *drawn), report = seen_by(GRAPH, seeds=range(3), self_loops=False)
    assert len(report.scores) == 4
    assert not any((t.src == t.dst).any() for t in drawn)
    (_, *drawn), _ = seen_by(GRAPH, seeds=range(3))
    assert any((t.src == t.dst).any() for t in drawn)


def test_permuted_weights_have_no_loops_to_avoid():
    seen, _ = seen_by(WIRING, null_models=["permute_weights"], self_loops=False)
    assert seen[1].topology is GRAPH


def test_fixed_layers_may_have_self_loops_and_any_shape():
    looped = el.Topology(12, 12, [(0, 0)])
    seen, _ = seen_by([GRAPH, OTHER, looped], fixed=[1, 2], self_loops=False)
    assert not any((first.src == first.dst).any() for first, *_ in seen)


def without_option(topology, *, generator):
    return topology


@pytest.mark.parametrize(
    "given, options, error, message",
    [
        (GRAPH, {"null_models": [without_option]}, ValueError, "`without_option` takes no `self_l"),
        ([GRAPH, OTHER], {}, ValueError, "in_features must equal out_features"),
        (el.Topology(2, 2, [(0, 0)]), {}, ValueError, "must have no self-loops .* got 1 of 1"),
    ],
)
def test_impossible_self_loops_are_refused_before_training(given, options, error, message):
    seen = []
    with pytest.raises(error, match=message):
        el.controls(seen.append, given, lambda m, s: 0.0, seeds=[0], self_loops=False, **options)
    assert not seen


def test_partial_functions_are_named_by_what_they_call():
    models = [partial(null_models.degree_preserving, self_loops=False), "erdos_renyi_like",
              partial(partial(without_option))]  # fmt: skip
    (_, drawn, *_), report = seen_by(GRAPH, null_models=models)
    assert [*report.scores] == [REAL, "degree_preserving", "erdos_renyi_like", "without_option"]
    assert not (drawn.src == drawn.dst).any()


def test_partial_functions_without_a_name_are_refused():
    with pytest.raises(ValueError, match="needs a name"):
        seen_by(GRAPH, null_models=[partial(lambda topology, generator: topology)])


@pytest.mark.parametrize(
    "drawn, message",
    [
        (lambda w: None, "must return a Wiring, as it was given one, got NoneType"),
        (lambda w: w.topology, "must return a Wiring, as it was given one, got Topology"),
        (lambda w: w._replace(topology=OTHER), "must return a wiring of 12 -> 12 .* got 12 -> 5"),
    ],
)
def test_what_a_null_model_returns_is_checked(drawn, message):
    def mine(wiring, *, generator):
        return drawn(wiring)

    with pytest.raises((TypeError, ValueError), match=f"`mine` {message}"):
        seen_by(WIRING, null_models=[mine])


def test_needed_seeds_are_printed_before_anything_is_trained(capsys):
    printed = []

    def make(topology):
        printed.append(capsys.readouterr().err)
        return torch.nn.Linear(1, 1)

    for seeds in (range(4), range(7)):
        el.controls(make, GRAPH, lambda m, s: 0.0, seeds=seeds, progress=False)
    assert printed[0].strip() == (
        "4 seeds are too few to tell: even if all agree, p is 0.12, and 0.017 is needed. "
        "Use 7 seeds."
    )
    assert not any(printed[1:])


def test_file_knows_weights_and_names_and_what_stays(tmp_path):
    path = tmp_path / "scores.csv"
    seen_by(WIRING, path=path)
    for other in (
        WIRING._replace(weight=WIRING.weight + 1),
        WIRING._replace(weight=None),
        WIRING._replace(in_names=WIRING.in_names[::-1]),
        GRAPH,
    ):
        with pytest.raises(ValueError, match="scores of another topology"):
            seen_by(other, path=path)
    assert not seen_by(WIRING, path=path)[0]
    path = tmp_path / "fixed.csv"
    seen_by([GRAPH, OTHER], path=path)
    with pytest.warns(UserWarning, match="has other code"):
        seen_by([GRAPH, OTHER], path=path, fixed=[1])


@pytest.mark.parametrize("given", [[WIRING, GRAPH], [GRAPH, WIRING]])
def test_kinds_may_be_mixed(given):
    (_, drawn, *_), _ = seen_by(given)
    assert [type(d) for d in drawn] == [type(g) for g in given]
