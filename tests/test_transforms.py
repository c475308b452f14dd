"""Derivatives of every kind and the `torch.func` transforms, by value against a dense matrix."""

import copy

import pytest
import torch
import torch.autograd.forward_ad as fwAD
import torch.nn.functional as F
from problems import SMALL, Problem, backend_params, dense, random, skip_unless_usable
from torch import nn
from torch.func import (
    functional_call,
    grad,
    grad_and_value,
    hessian,
    jacfwd,
    jacrev,
    jvp,
    linearize,
    stack_module_state,
    vjp,
    vmap,
)
from torch.testing import assert_close

import edgelinear as el
from edgelinear import ops

# 5 -> 4. Nothing leaves source 2 and nothing reaches target 3.
WIRINGS = {
    "sorted": Problem(5, 4, torch.tensor([[0, 4, 3, 0, 1], [0, 0, 1, 2, 2]]), batch=3),
    "parallel": SMALL._replace(batch=3),
}
backends = pytest.mark.parametrize("backend", backend_params())
wirings = pytest.mark.parametrize("wiring", WIRINGS)


class Case:
    """Arguments `(weight, bias, x)`, two more sets of them, and the layer, sparse and dense."""

    def __init__(self, wiring: str, backend: str = "auto") -> None:
        self.problem, self.backend = WIRINGS[wiring], backend
        self.topology = self.problem.topology()
        shapes = (self.topology.num_edges,), (4,), (3, 5)
        self.arguments = tuple(random(*s, seed=i) for i, s in enumerate(shapes))
        self.stacked = tuple(random(2, *s, seed=3 + i) for i, s in enumerate(shapes))
        self.tangents = tuple(s[0] for s in self.stacked)
        if backend != "auto":
            weight, _, x = self.arguments
            skip_unless_usable(backend, x, weight, self.topology)

    def sparse(self, weight, bias, x):
        return el.edge_linear(x, weight, self.topology, bias, backend=self.backend)

    def dense(self, weight, bias, x):
        return F.linear(x, dense(weight, self.problem), bias)

    def leaves(self):
        return tuple(t.clone().requires_grad_() for t in self.arguments)


def compiled(function, **options):
    torch.compiler.reset()
    return torch.compile(function, fullgraph=True, **options)


def loss_of(f):
    return lambda *arguments: f(*arguments).sin().pow(2).sum()


def _vjp(f, p):
    y, pull = vjp(f, *p.arguments)
    return y, pull(y.cos())


EVERYTHING = (0, 1, 2)
TRANSFORMS = {
    "grad": lambda f, p: grad(loss_of(f), EVERYTHING)(*p.arguments),
    "grad of the weight alone": lambda f, p: grad(loss_of(f))(*p.arguments),
    "grad of the input alone": lambda f, p: grad(loss_of(f), 2)(*p.arguments),
    "grad_and_value": lambda f, p: grad_and_value(loss_of(f), EVERYTHING)(*p.arguments),
    "vjp": _vjp,
    "jvp": lambda f, p: jvp(f, p.arguments, p.tangents),
    "jacrev": lambda f, p: jacrev(f, EVERYTHING)(*p.arguments),
    "jacfwd": lambda f, p: jacfwd(f, EVERYTHING)(*p.arguments),
    "hessian": lambda f, p: hessian(loss_of(f), EVERYTHING)(*p.arguments),
    "jacrev of jacrev": lambda f, p: jacrev(jacrev(loss_of(f), (0, 2)), (0, 2))(*p.arguments),
    "jacrev of jacfwd": lambda f, p: jacrev(jacfwd(loss_of(f), (0, 2)), (0, 2))(*p.arguments),
    "hvp": lambda f, p: jvp(grad(loss_of(f), EVERYTHING), p.arguments, p.tangents),
    "vmap over samples": lambda f, p: vmap(f, (None, None, 0))(*p.arguments),
    "vmap over batches": lambda f, p: vmap(f, (None, None, 0))(*p.arguments[:2], p.stacked[2]),
    "vmap over inner axes": lambda f, p: vmap(f, (None, None, 1), out_dims=1)(
        *p.arguments[:2], p.stacked[2]
    ),
    "vmap over weights": lambda f, p: vmap(f, (0, None, None))(p.stacked[0], *p.arguments[1:]),
    "vmap over weights in columns": lambda f, p: vmap(f, (1, 0, None))(
        p.stacked[0].t(), p.stacked[1], p.arguments[2]
    ),
    "vmap over everything": lambda f, p: vmap(f)(*p.stacked),
    "vmap in vmap": lambda f, p: vmap(vmap(f, (None, None, 0)), (0, 0, None))(
        *p.stacked[:2], p.arguments[2]
    ),
    "per-sample gradients": lambda f, p: vmap(grad(loss_of(f), EVERYTHING), (None, None, 0))(
        *p.arguments
    ),
    "gradients of an ensemble": lambda f, p: vmap(grad(loss_of(f), EVERYTHING))(*p.stacked),
    "grad of vmap": lambda f, p: grad(lambda *a: vmap(loss_of(f))(*a).sum(), EVERYTHING)(
        *p.stacked
    ),
    "vmap of jvp": lambda f, p: vmap(lambda *t: jvp(f, p.arguments, t))(*p.stacked),
    "vmap of hessian": lambda f, p: vmap(hessian(loss_of(f), (0, 2)))(*p.stacked),
}
QUICK_TO_COMPILE = ("grad", "jvp", "jacrev", "vmap over weights", "per-sample gradients")
# Two take half a minute each, and Dynamo refuses the third for dense layers too.
NOT_TO_COMPILE = {"jacrev of jacrev", "jacrev of jacfwd", "vmap of hessian"}


# Values against the dense matrix.


@wirings
@pytest.mark.parametrize("name", TRANSFORMS)
def test_transform_equals_dense(name, wiring):
    case, transform = Case(wiring), TRANSFORMS[name]
    assert_close(transform(case.sparse, case), transform(case.dense, case))


@pytest.mark.parametrize("name", QUICK_TO_COMPILE)
def test_compiled_transform_equals_dense(name):
    case, transform = Case("parallel"), TRANSFORMS[name]
    f = compiled(lambda: transform(case.sparse, case), backend="aot_eager")
    assert_close(f(), transform(case.dense, case))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in TRANSFORMS if name not in NOT_TO_COMPILE])
def test_transform_compiled_by_inductor_equals_dense(name):
    case, transform = Case("parallel"), TRANSFORMS[name]
    assert_close(compiled(lambda: transform(case.sparse, case))(), transform(case.dense, case))


@wirings
def test_linearize_equals_dense(wiring):
    case = Case(wiring)

    def linearized(f):
        y, push = linearize(f, *case.arguments)
        return y, push(*case.tangents)

    assert_close(linearized(case.sparse), linearized(case.dense))


@pytest.mark.parametrize(
    "name", ["jvp", "vmap over weights in columns", "vmap over everything", "hessian"]
)
@wirings
@backends
def test_transform_equals_dense_on_backend(backend, wiring, name):
    case, transform = Case(wiring, backend), TRANSFORMS[name]
    assert_close(transform(case.sparse, case), transform(case.dense, case))


@pytest.mark.parametrize(
    "name", ["jvp", pytest.param("per-sample gradients", marks=pytest.mark.slow)]
)
@backends
def test_compiled_transform_equals_dense_on_backend(backend, name):
    case, transform = Case("sorted", backend), TRANSFORMS[name]
    f = compiled(lambda: transform(case.sparse, case), backend="aot_eager")
    assert_close(f(), transform(case.dense, case))


# Ensembles, by the recipe of torch's documentation.


def ensemble():
    topology = WIRINGS["parallel"].topology()
    layers = [el.EdgeLinear.from_topology(topology, dtype=torch.float64) for _ in range(3)]
    return layers, random(6, 5)


def members(layers, x):
    return torch.stack([F.linear(x, layer.to_dense(), layer.bias) for layer in layers])


def run_ensemble(layers):
    base = copy.deepcopy(layers[0]).to("meta")
    return vmap(lambda state, x: functional_call(base, state, (x,)), in_dims=(0, None))


def test_stacked_ensemble_equals_its_members():
    layers, x = ensemble()
    y = run_ensemble(layers)(stack_module_state(layers), x)
    assert_close(y, members(layers, x))


def test_compiled_stacked_ensemble_equals_its_members():
    layers, x = ensemble()
    y = compiled(run_ensemble(layers), backend="aot_eager")(stack_module_state(layers), x)
    assert_close(y, members(layers, x))


def test_gradients_of_a_stacked_ensemble_equal_those_of_its_members():
    layers, x = ensemble()
    parameters, _ = stack_module_state(layers)
    run_ensemble(layers)((parameters, {}), x).sin().sum().backward()
    members(layers, x).sin().sum().backward()
    expected = {
        name: torch.stack([m.get_parameter(name).grad for m in layers]) for name in parameters
    }
    assert_close({name: p.grad for name, p in parameters.items()}, expected)


def test_per_sample_gradients_of_a_model_equal_a_loop():
    layers, x = ensemble()
    model = nn.Sequential(layers[0], nn.Tanh(), nn.Linear(4, 2, dtype=torch.float64))
    parameters = dict(model.named_parameters())

    def loss(parameters, sample):
        return functional_call(model, parameters, (sample,)).pow(2).sum()

    got = vmap(grad(loss), in_dims=(None, 0))(
        {name: p.detach() for name, p in parameters.items()}, x
    )
    for i, sample in enumerate(x):
        head = nn.Sequential(model[1], model[2])
        y = head(F.linear(sample, layers[0].to_dense(), layers[0].bias))
        expected = torch.autograd.grad(y.pow(2).sum(), list(parameters.values()))
        assert_close(
            {name: g[i] for name, g in got.items()}, dict(zip(parameters, expected, strict=True))
        )


# Forward mode without torch.func.


@pytest.mark.parametrize("which", ["weight", "bias", "x", "all"])
@wirings
def test_forward_mode_equals_dense(wiring, which):
    case = Case(wiring)

    def dual_output(f):
        names = ("weight", "bias", "x")
        with fwAD.dual_level():
            duals = [
                fwAD.make_dual(value, tangent) if which in (name, "all") else value
                for name, value, tangent in zip(names, case.arguments, case.tangents, strict=True)
            ]
            return tuple(fwAD.unpack_dual(f(*duals)))

    assert_close(dual_output(case.sparse), dual_output(case.dense))


def test_forward_mode_passes_through_parameters_that_require_grad():
    layers, x = ensemble()
    tangent = torch.ones_like(x)
    with fwAD.dual_level():
        got = fwAD.unpack_dual(layers[0](fwAD.make_dual(x, tangent))).tangent
    assert_close(got, tangent @ layers[0].to_dense().T)


def test_forward_mode_over_backward_equals_dense():
    case = Case("parallel")

    def tangents_of_gradients(f):
        with fwAD.dual_level():
            pairs = zip(case.leaves(), case.tangents, strict=True)
            duals = [fwAD.make_dual(leaf, tangent) for leaf, tangent in pairs]
            grads = torch.autograd.grad(loss_of(f)(*duals), duals, create_graph=True)
            return [fwAD.unpack_dual(g).tangent for g in grads]

    assert_close(tangents_of_gradients(case.sparse), tangents_of_gradients(case.dense))


# Numerical derivatives, on every backend.


@backends
def test_gradcheck(backend):
    case = Case("parallel", backend)
    assert torch.autograd.gradcheck(
        case.sparse,
        case.leaves(),
        check_forward_ad=True,
        check_batched_grad=True,
        check_batched_forward_grad=True,
    )


@backends
def test_gradgradcheck(backend):
    case = Case("parallel", backend)
    assert torch.autograd.gradgradcheck(
        case.sparse, case.leaves(), check_fwd_over_rev=True, check_batched_grad=True
    )


@backends
def test_gradcheck_of_sddmm(backend):
    case = Case("parallel", backend)
    a, b = random(3, 4).requires_grad_(), random(3, 5).requires_grad_()

    def product(a, b):
        return ops.sddmm(a, b, case.topology, backend=backend)

    assert torch.autograd.gradcheck(product, (a, b), check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(product, (a, b), check_fwd_over_rev=True)


# The operators' registrations, on every backend.


@pytest.mark.parametrize(
    "wiring, requires_grad",
    [
        ("sorted", (True, True)),
        pytest.param("parallel", (True, True), marks=pytest.mark.slow),
        pytest.param("sorted", (True, False), marks=pytest.mark.slow),
        pytest.param("parallel", (False, True), marks=pytest.mark.slow),
    ],
)
@backends
def test_opcheck_of_spmm(backend, wiring, requires_grad):
    case = Case(wiring, backend)
    weight, _, x = case.arguments
    weight.requires_grad_(requires_grad[0])
    x.requires_grad_(requires_grad[1])
    bias = random(case.topology.out_features).requires_grad_(requires_grad[0])
    torch.library.opcheck(
        torch.ops.edgelinear.spmm.default,
        (weight, x, bias, *case.topology._tensors, False, backend),
    )
    torch.library.opcheck(
        torch.ops.edgelinear.spmm.default,
        (weight, x.t().contiguous(), None, *case.topology._tensors, True, backend),
    )


@wirings
@backends
def test_opcheck_of_sddmm(backend, wiring):
    case = Case(wiring, backend)
    a, b = random(3, 4).requires_grad_(), random(3, 5).requires_grad_()
    torch.library.opcheck(
        torch.ops.edgelinear.sddmm.default,
        (a, b, *case.topology._tensors, torch.float64, False, backend),
    )


def factors_of_gradients(case):
    weight, _, x = case.arguments
    return random(len(x), case.topology.out_features), weight, x


@wirings
@backends
@pytest.mark.parametrize("feature_major", [False, True])
def test_opcheck_of_gradients(backend, wiring, feature_major):
    case = Case(wiring, backend)
    grad, weight, x = factors_of_gradients(case)
    grad, x = (t.t().contiguous() if feature_major else t for t in (grad, x))
    leaves = [t.detach().requires_grad_() for t in (grad, weight, x)]
    rest = (*case.topology._tensors, torch.float64, feature_major, backend)
    torch.library.opcheck(torch.ops.edgelinear.gradients.default, (*leaves, *rest))


@wirings
@backends
@pytest.mark.parametrize("feature_major", [False, True])
def test_derivatives_of_gradients_are_those_of_dense_products(backend, wiring, feature_major):
    case = Case(wiring, backend)
    leaves = [t.detach().requires_grad_() for t in factors_of_gradients(case)]
    src, dst = case.topology.edge_index

    def by_operator(grad, weight, x):
        grad, x = (grad.t(), x.t()) if feature_major else (grad, x)
        rest = (*case.topology._tensors, torch.float64, feature_major, backend)
        by_weight, by_x = torch.ops.edgelinear.gradients.default(grad, weight, x, *rest)
        return by_weight, by_x.t() if feature_major else by_x

    def by_dense(grad, weight, x):
        matrix = weight.new_zeros(grad.shape[1], x.shape[1])
        matrix = matrix.index_put((dst, src), weight, accumulate=True)
        return (grad.t() @ x)[dst, src], grad @ matrix

    ours, truth = by_operator(*leaves), by_dense(*leaves)
    assert_close(ours, truth)
    seeds = [random(*t.shape, seed=7) for t in truth]
    for outputs in ([0], [1], [0, 1]):
        picked = [[result[i] for i in outputs] for result in (ours, truth, seeds)]
        ours_again, truth_again = (
            torch.autograd.grad(values, leaves, picked[2], retain_graph=True, allow_unused=True)
            for values in picked[:2]
        )
        for got, expected in zip(ours_again, truth_again, strict=True):
            expected = torch.zeros_like(got) if expected is None else expected
            assert_close(got, expected)
