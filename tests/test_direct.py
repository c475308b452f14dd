"""The shortest way to the compiled kernels: which calls take it, and that it changes nothing."""

from contextlib import nullcontext

import pytest
import torch
from problems import PROBLEMS, random
from torch._subclasses import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

import edgelinear as el
from edgelinear.functional import direct
from edgelinear.functional.linear import checked_edge_linear

PROBLEM = PROBLEMS["unsorted"]
TOPOLOGY = PROBLEM.topology()

pytestmark = pytest.mark.skipif(
    el.backends.why_not("cpp", torch.ones(1, 13), torch.ones(40), TOPOLOGY) is not None,
    reason="needs the compiled kernels",
)


class Subclass(torch.Tensor):
    pass


def arguments(dtype=torch.float32):
    return PROBLEM.x(dtype), PROBLEM.weight(dtype), TOPOLOGY, random(7, dtype=dtype, seed=5), "auto"


def leaves_of(x, weight, bias, needed="weight x bias"):
    named = {"weight": weight, "x": x, "bias": bias}
    leaves = {name: t.clone().requires_grad_(name in needed) for name, t in named.items()}
    return leaves, [leaf for leaf in leaves.values() if leaf.requires_grad]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", PROBLEMS)
def test_usual_calls_take_it_to_the_same_bits(name, dtype):
    problem = PROBLEMS[name]
    topology, bias = problem.topology(), random(problem.out_features, dtype=dtype, seed=5)
    for offset in (bias, None):
        call = problem.x(dtype), problem.weight(dtype), topology, offset
        y = direct.edge_linear(*call, "cpp")
        assert torch.equal(y, checked_edge_linear(*call, -1, "cpp"))


@pytest.mark.parametrize("needed", ["weight x bias", "weight x", "weight", "x", "bias"])
@pytest.mark.parametrize("name", PROBLEMS)
def test_gradients_have_the_same_bits(name, needed):
    problem = PROBLEMS[name]
    topology, bias = problem.topology(), random(problem.out_features, seed=5)
    dense = problem.grad()
    for grad in (dense, dense.t().contiguous().t(), dense[:1, :1].expand(dense.shape)):
        results = []
        for function in (direct.edge_linear, lambda *a: checked_edge_linear(*a[:4], -1, a[4])):
            leaves, required = leaves_of(problem.x(), problem.weight(), bias, needed)
            y = function(leaves["x"], leaves["weight"], topology, leaves["bias"], "auto")
            results.append(torch.autograd.grad(y, required, grad))
        for leaf, ours, theirs in zip(required, *results, strict=True):
            assert ours.is_contiguous()
            if leaf is leaves["bias"]:  # whose samples the kernels add in another order
                torch.testing.assert_close(ours, theirs)
            else:
                assert torch.equal(ours, theirs)


def negated(tensor):
    """Return these numbers in memory that holds their negatives."""
    return torch._neg_view(-tensor)


def strided(tensor):
    return torch.stack([tensor, tensor], -1)[..., 0]


UNUSUAL = {
    "one sample alone": lambda x, w, t, b, n: (x[0], w, t, b, n),
    "more dimensions": lambda x, w, t, b, n: (x[None], w, t, b, n),
    "strided input": lambda x, w, t, b, n: (strided(x), w, t, b, n),
    "strided weight": lambda x, w, t, b, n: (x, strided(w), t, b, n),
    "strided bias": lambda x, w, t, b, n: (x, w, t, strided(b), n),
    "other input type": lambda x, w, t, b, n: (x.double(), w, t, b, n),
    "other bias type": lambda x, w, t, b, n: (x, w, t, b.double(), n),
    "integers": lambda x, w, t, b, n: (x.long(), w.long(), t, b.long(), n),
    "complex": lambda x, w, t, b, n: (x.cfloat(), w.cfloat(), t, b.cfloat(), n),
    "features missing": lambda x, w, t, b, n: (x[:, 1:].clone(), w, t, b, n),
    "weights missing": lambda x, w, t, b, n: (x, w[1:], t, b, n),
    "matrix of weights": lambda x, w, t, b, n: (x, w[:, None], t, b, n),
    "biases missing": lambda x, w, t, b, n: (x, w, t, b[1:], n),
    "negated input": lambda x, w, t, b, n: (negated(x), w, t, b, n),
    "negated weight": lambda x, w, t, b, n: (x, negated(w), t, b, n),
    "negated bias": lambda x, w, t, b, n: (x, w, t, negated(b), n),
    "zeros without memory": lambda x, w, t, b, n: (torch._efficientzerotensor(2, 13), w, t, b, n),
    "subclass of input": lambda x, w, t, b, n: (x.as_subclass(Subclass), w, t, b, n),
    "subclass of weight": lambda x, w, t, b, n: (x, w.as_subclass(Subclass), t, b, n),
    "subclass of bias": lambda x, w, t, b, n: (x, w, t, b.as_subclass(Subclass), n),
    "sparse input": lambda x, w, t, b, n: (x.to_sparse(), w, t, b, n),
    "nested input": lambda x, w, t, b, n: (torch.nested.nested_tensor([x, x]), w, t, b, n),
    "on meta": lambda x, w, t, b, n: (x.to("meta"), w.to("meta"), t, b.to("meta"), n),
    "list for a bias": lambda x, w, t, b, n: (x, w, t, [0.0] * 7, n),
    "no tensor": lambda x, w, t, b, n: (x.tolist(), w, t, b, n),
    "no topology": lambda x, w, t, b, n: (x, w, PROBLEM.edge_index, b, n),
    "other backend": lambda x, w, t, b, n: (x, w, t, b, "torch_csr"),
    "no backend": lambda x, w, t, b, n: (x, w, t, b, "cuda"),
}


@pytest.mark.parametrize("change", UNUSUAL)
def test_unusual_calls_are_left_alone(change):
    assert direct.edge_linear(*UNUSUAL[change](*arguments())) is None


@pytest.mark.parametrize(
    "watcher",
    [
        lambda: torch.autocast("cpu", dtype=torch.bfloat16),
        FakeTensorMode,
        lambda: FlopCounterMode(display=False),
        torch.profiler.profile,
        torch.autograd.forward_ad.dual_level,
    ],
    ids=["autocast", "fake tensors", "flops", "profiler", "forward mode"],
)
def test_what_watches_sees_the_call(watcher):
    call = arguments()
    with watcher():
        assert direct.edge_linear(*call) is None
    assert direct.edge_linear(*call) is not None


def test_what_watches_sees_the_derivative():
    leaves, required = leaves_of(PROBLEM.x(), PROBLEM.weight(), random(7, seed=5))
    y = direct.edge_linear(leaves["x"], leaves["weight"], TOPOLOGY, leaves["bias"], "auto")
    with FlopCounterMode(display=False) as counter:
        torch.autograd.grad(y.sum(), required)
    assert counter.get_total_flops() == 2 * 2 * 40 * len(y)


def test_transforms_tracers_and_exports_see_the_call():
    x, weight, topology, bias, backend = arguments()
    seen = []

    def function(x):
        seen.append(direct.edge_linear(x, weight, topology, bias, backend))
        return checked_edge_linear(x, weight, topology, bias, -1, backend)

    torch.func.vmap(function)(x[None])
    torch.func.jvp(function, (x,), (x,))
    torch.func.vjp(function, x)
    torch.jit.trace(function, x, check_trace=False)
    torch.fx.experimental.proxy_tensor.make_fx(function)(x)
    torch.fx.experimental.proxy_tensor.make_fx(function, pre_dispatch=True)(x)
    assert seen == [None] * len(seen)


@pytest.mark.parametrize(
    ("pack", "unpack"),
    [
        (lambda t: t.double(), lambda t: t.float()),
        (lambda t: t, strided),
        (lambda t: t, lambda t: t.as_subclass(Subclass)),
    ],
    ids=["other type", "other strides", "subclass"],
)
def test_what_was_saved_may_come_back_otherwise(pack, unpack):
    x, weight, topology, bias, backend = arguments()
    results = []
    for hooks in (torch.autograd.graph.saved_tensors_hooks(pack, unpack), nullcontext()):
        leaves, required = leaves_of(x, weight, bias)
        with hooks:
            y = direct.edge_linear(leaves["x"], leaves["weight"], topology, leaves["bias"], backend)
        results.append(torch.autograd.grad(y.square().sum(), required))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_gradients_of_many_gradients_at_once_equal_a_loop():
    leaves, required = leaves_of(PROBLEM.x(), PROBLEM.weight(), random(7, seed=5))
    y = direct.edge_linear(leaves["x"], leaves["weight"], TOPOLOGY, leaves["bias"], "auto")
    grads = random(3, *y.shape, seed=8)
    many = torch.autograd.grad(y, required, grads, is_grads_batched=True, retain_graph=True)
    loop = [torch.autograd.grad(y, required, grad, retain_graph=True) for grad in grads]
    for ours, theirs in zip(many, zip(*loop, strict=True), strict=True):
        torch.testing.assert_close(ours, torch.stack(theirs))


def test_second_derivatives_are_those_of_the_checked_way():
    results = []
    for function in (direct.edge_linear, lambda *a: checked_edge_linear(*a[:4], -1, a[4])):
        leaves, required = leaves_of(PROBLEM.x(), PROBLEM.weight(), random(7, seed=5))
        y = function(leaves["x"], leaves["weight"], TOPOLOGY, leaves["bias"], "auto")
        first = torch.autograd.grad(y.pow(3).sum(), required, create_graph=True)
        results.append(torch.autograd.grad(sum(g.square().sum() for g in first), required))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_an_input_exchanged_before_backward_is_refused():
    leaves, required = leaves_of(PROBLEM.x(), PROBLEM.weight(), random(7, seed=5))
    y = direct.edge_linear(leaves["x"], leaves["weight"], TOPOLOGY, leaves["bias"], "auto")
    leaves["x"].data = leaves["x"].data[:1]
    with pytest.raises(ValueError, match=r"a matrix of shape \(\d, 13\) is needed, got \(1, 13\)"):
        torch.autograd.grad(y.sum(), required)


def test_a_weight_exchanged_for_an_empty_matrix_is_refused():
    leaves, required = leaves_of(PROBLEM.x(), PROBLEM.weight(), random(7, seed=5))
    y = direct.edge_linear(leaves["x"], leaves["weight"], TOPOLOGY, leaves["bias"], "auto")
    leaves["weight"].data = torch.empty(40, 0)
    with pytest.raises(
        ValueError, match=r"40 edges are needed, got shapes \(\d, 7\) and \(40, 0\)"
    ):
        torch.autograd.grad(y.sum(), required)


@pytest.mark.parametrize("name", ["x", "weight"])
def test_what_changes_before_backward_is_refused(name):
    leaves, required = leaves_of(PROBLEM.x(), PROBLEM.weight(), random(7, seed=5))
    y = direct.edge_linear(leaves["x"], leaves["weight"], TOPOLOGY, leaves["bias"], "auto")
    with torch.no_grad():
        leaves[name].mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.autograd.grad(y.sum(), required)


def large_problem(*, by_source):
    """Return a layer whose products by the other end are added up edge by edge."""
    generator = torch.Generator().manual_seed(0)
    topology = el.generators.erdos_renyi(4000, 4000, num_edges=140_000, generator=generator)
    topology = topology.sorted()[0]
    if by_source:
        topology = el.Topology(4000, 4000, topology.edge_index.flip(0))
    view = topology._source_view if by_source else topology._target_view
    assert view.bands is not None
    return topology


@pytest.fixture(scope="module", params=["small", "by target", "by source"])
def step(request):
    """Return a topology, the input, weights and gradient of a step, and its results."""
    topology = TOPOLOGY
    if request.param != "small":
        topology = large_problem(by_source=request.param == "by source")
    tensors = (
        random(5, topology.in_features, seed=1).requires_grad_(),
        random(topology.num_edges, seed=2).requires_grad_(),
    )
    grad = random(5, topology.out_features, seed=3)
    return topology, *tensors, grad, results_of(el.edge_linear, topology, *tensors, grad)


def results_of(function, topology, x, weight, grad):
    y = function(x, weight, topology)
    return y.detach(), *torch.autograd.grad(y, (x, weight), grad)


def by_vjp(topology, x, weight, grad):
    y, gradients = torch.func.vjp(lambda x, w: el.edge_linear(x, w, topology), x, weight)
    return y, *gradients(grad)


def feature_major(topology, x, weight, grad):
    def function(x, weight, topology):
        return el.edge_linear(x.t().contiguous(), weight, topology, dim=0).t()

    return results_of(function, topology, x, weight, grad)


def profiled(*step):
    with torch.profiler.profile():
        return results_of(el.edge_linear, *step)


def compiled(topology, *tensors):
    def function(x, weight, _):
        return el.edge_linear(x, weight, topology)

    return results_of(torch.compile(function, backend="aot_eager"), topology, *tensors)


def among_others(topology, x, weight, grad):
    """Compute the same samples in a larger batch, without the gradient of the weight."""
    x, grad = (torch.cat([random(70, t.shape[1], seed=9), t]) for t in (x, grad))
    y = el.edge_linear(x.requires_grad_(), weight, topology)
    (grad_x,) = torch.autograd.grad(y, x, grad)
    return y[70:], grad_x[70:]


@pytest.mark.parametrize(
    "way", [by_vjp, feature_major, profiled, compiled, among_others], ids=lambda way: way.__name__
)
def test_every_way_in_has_the_same_bits(step, way):
    *arguments, expected = step
    for ours, theirs in zip(way(*arguments), expected, strict=False):  # one has no weight's
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("threads", [2, 3, 8, 64])
def test_any_number_of_threads_has_the_same_bits(step, threads):
    *arguments, expected = step
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        results = results_of(el.edge_linear, *arguments)
    finally:
        torch.set_num_threads(before)
    for ours, theirs in zip(results, expected, strict=True):
        assert torch.equal(ours, theirs)
