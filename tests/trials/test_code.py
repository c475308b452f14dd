"""Scores of other code are told apart, and the same code is the same in every process."""

import subprocess
import sys
import warnings
from functools import partial

import pytest
import torch
from controlled import constant, null_model, run


def other(model, seed, score=0.1):
    return score


class Constant:
    def __init__(self, score):
        self.score = score

    def __call__(self, model, seed):
        return self.score


class Other(Constant):
    def __call__(self, model, seed):
        return self.score + 1


CHANGES = {
    "a number": (lambda model, seed: 0.5, lambda model, seed: 0.1),
    "a default": (constant, other),
    "an argument": (partial(constant, score=0.5), partial(constant, score=0.1)),
    "a wrapped function": (torch.no_grad()(constant), torch.no_grad()(other)),
    "a class": (Constant(0.5), Other(0.5)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_scores_of_other_code_are_used_with_a_warning(name, tmp_path):
    before, after = CHANGES[name]
    path = tmp_path / "scores.csv"
    first = run(before, path=path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(before, path=path)
    with pytest.warns(UserWarning, match="has other code than when scores"):
        second = run(after, path=path)
    assert second == first


def test_another_null_model_is_no_other_code(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for models in (["permute_targets"], ["permute_targets", null_model], ["permute_targets"]):
            run(constant, path=tmp_path / "scores.csv", null_models=models)


def test_code_is_the_same_in_another_process(tmp_path):
    script = f"""
import edgelinear as el
def train(model, seed, a=object(), b=print):
    return float(str(seed) in {{"1", "2", "3", "4"}})
el.controls(el.EdgeLinear.from_topology, el.Topology(3, 3, [(0, 1), (1, 2)]), train,
            seeds=range(2), path={str(tmp_path / "scores.csv")!r}, progress=False)
"""
    for _ in range(3):
        subprocess.run([sys.executable, "-W", "error::UserWarning", "-c", script], check=True)
