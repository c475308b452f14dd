"""The ways into an operator: at once, or through the dispatcher where somebody looks on."""

import pytest
import torch
from problems import PROBLEMS, dense
from torch.fx.experimental.proxy_tensor import make_fx
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

import edgelinear as el
from edgelinear import ops

PROBLEM = PROBLEMS["unsorted"]


def make_layer():
    return PROBLEM.layer(weight=PROBLEM.weight())


float64 = torch.float64


def expected(layer, x):
    return x @ dense(layer.weight, PROBLEM).T + layer.bias


@pytest.fixture
def dispatched(monkeypatch):
    """Record the calls that go through the dispatcher."""
    calls = []

    def record(operator):
        def call(*args):
            calls.append(operator)
            return operator(*args)

        return call

    monkeypatch.setattr(ops, "_spmm_op", record(ops._spmm_op))
    monkeypatch.setattr(ops, "_sddmm_op", record(ops._sddmm_op))
    monkeypatch.setattr(ops, "_gradients_op", record(ops._gradients_op))
    return calls


def test_eager_step_needs_no_dispatcher(dispatched):
    layer, x = make_layer(), PROBLEM.x().requires_grad_()
    layer(x).sum().backward()
    with torch.no_grad():
        layer(x)
    assert not dispatched


def test_profiler_sees_the_operators():
    layer, x = make_layer(), PROBLEM.x().requires_grad_()
    with torch.profiler.profile() as profile:
        layer(x).sum().backward()
    names = {event.name for event in profile.events()}
    assert {"edgelinear::spmm", "edgelinear::gradients"} <= names


def test_modes_see_the_operators():
    layer, x = make_layer(), PROBLEM.x().requires_grad_()
    with FlopCounterMode(display=False) as counter:
        layer(x).sum().backward()
    assert counter.get_total_flops() == 3 * 2 * layer.num_edges * len(x)


def test_fake_tensors_take_no_memory_for_data():
    layer = make_layer()
    with torch._subclasses.FakeTensorMode(allow_non_fake_inputs=True) as mode:
        y = layer(mode.from_tensor(PROBLEM.x()))
    assert type(y) is torch._subclasses.FakeTensor and y.shape == (5, 7)


def test_traced_graph_computes_anew():
    layer, x = make_layer(), PROBLEM.x()
    graph = make_fx(lambda x: layer(x))(torch.zeros_like(x))
    assert_close(graph(x), expected(layer, x))


def test_trace_before_dispatch_computes_anew():
    layer, x = make_layer(), PROBLEM.x()
    graph = make_fx(lambda x: layer(x), pre_dispatch=True)(torch.zeros_like(x))
    assert_close(graph(x), expected(layer, x))


def test_negated_view_is_read_with_its_sign():
    topology, weight = PROBLEM.topology(), PROBLEM.weight()
    x = torch.complex(PROBLEM.x(), PROBLEM.x()).conj().imag
    assert x.is_neg()
    assert_close(ops.spmm(weight, x, topology), -ops.spmm(weight, PROBLEM.x(), topology))


@pytest.mark.parametrize("place", [0, 1, 2], ids=["weight", "x", "bias"])
def test_tensor_without_memory_is_refused(place):
    topology = PROBLEM.topology()
    arguments = [PROBLEM.weight(), PROBLEM.x(), torch.ones(7, dtype=float64)]
    arguments[place] = arguments[place].to("meta")
    weight, x, bias = arguments
    with pytest.raises(ValueError, match="on meta"):
        el.edge_linear(x, weight, topology, bias)


def test_jit_trace_computes_anew():
    layer, x = make_layer(), PROBLEM.x()
    traced = torch.jit.trace(layer, (torch.zeros_like(x),), check_trace=False)
    assert_close(traced(x), expected(layer, x))


def test_default_device_does_not_matter():
    layer, x = make_layer(), PROBLEM.x()
    with torch.device("meta"):
        y = layer(x)
    assert_close(y, expected(layer, x))


def test_subclass_keeps_its_type():
    class Marked(torch.Tensor):
        pass

    layer, x = make_layer(), PROBLEM.x()
    y = layer(x.as_subclass(Marked))
    assert type(y) is Marked
    assert_close(y.as_subclass(torch.Tensor), expected(layer, x))


def test_change_of_a_saved_tensor_is_noticed():
    layer, x = make_layer(), PROBLEM.x().requires_grad_()
    y = layer(x)
    with torch.no_grad():
        layer.weight.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@pytest.mark.parametrize("backend", ["auto", "reference", "torch_csr"])
def test_feature_major_equals_batch_major(backend):
    topology, weight, x = PROBLEM.topology(), PROBLEM.weight(), PROBLEM.x()
    bias = torch.arange(7, dtype=float64)
    y = ops.spmm(weight, x.t().contiguous(), topology, backend, bias=bias, feature_major=True)
    assert y.shape == (7, 5) and y.is_contiguous()
    assert_close(y.t(), ops.spmm(weight, x, topology, backend, bias=bias))
    a = PROBLEM.grad()
    w = ops.sddmm(a.t(), x.t(), topology, backend=backend, feature_major=True)
    assert_close(w, ops.sddmm(a, x, topology, backend=backend))


def test_feature_major_stack_does_not_copy_its_input():
    topology = el.generators.fixed_fan_in(64, 64, fan_in=5)
    weight, x = torch.ones(topology.num_edges), torch.ones(64, 64)
    with torch.profiler.profile() as profile:
        h = el.edge_linear(x, weight, topology, dim=0)
        el.edge_linear(h, weight, topology, dim=0)
    names = {event.name for event in profile.events()}
    assert not names & {"aten::copy_", "aten::clone", "aten::contiguous"}


@pytest.mark.parametrize("feature_major", [False, True])
@pytest.mark.parametrize("in_dims", [(0, None, None), (None, 0, None), (0, 0, 0), (None, 2, 0)])
def test_vmap_over_any_argument_equals_a_loop(in_dims, feature_major):
    topology = PROBLEM.topology()
    shapes = [(topology.num_edges,), (13, 5) if feature_major else (5, 13), (7,)]
    arguments = [torch.randn(*shape, dtype=float64) for shape in shapes]
    batched = [
        a if dim is None else torch.stack([a * i for i in range(1, 4)], dim)
        for a, dim in zip(arguments, in_dims, strict=True)
    ]

    def call(weight, x, bias):
        return ops.spmm(weight, x, topology, bias=bias, feature_major=feature_major)

    def sample(i):
        picked = zip(batched, in_dims, strict=True)
        return [a if dim is None else a.select(dim, i) for a, dim in picked]

    y = torch.vmap(call, in_dims)(*batched)
    assert_close(y, torch.stack([call(*sample(i)) for i in range(3)]))
