"""`torch.compile` and `torch.export`: the operator stays whole, the values are the dense ones."""

import copy

import pytest
import torch
import torch.nn.functional as F
from problems import SMALL, backend_params, random
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend
from torch.export import Dim
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

import edgelinear as el

PROBLEM = SMALL
backends = pytest.mark.parametrize("backend", backend_params())
STRICT = pytest.mark.parametrize("strict", [True, False], ids=["strict", "non-strict"])
COMPILER = pytest.mark.parametrize(
    "compiler", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)]
)


def make_layer(backend="auto", dtype=torch.float64):
    return PROBLEM.layer(dtype, backend)


def make_model(backend="auto"):
    return nn.Sequential(make_layer(backend), nn.Tanh(), nn.Linear(4, 2, dtype=torch.float64))


def compiled(function, compiler="aot_eager", fullgraph=True, **options):
    torch.compiler.reset()
    return torch.compile(function, fullgraph=fullgraph, backend=compiler, **options)


def dense_values_and_gradients(layer, x):
    """Return the output, and the gradients of its squared sum by the parameters and the input."""
    x = x.clone().requires_grad_()
    y = F.linear(x, layer.to_dense(), layer.bias)
    return y, torch.autograd.grad(y.pow(2).sum(), [*layer.parameters(), x])


def values_and_gradients(function, layer, x):
    x = x.clone().requires_grad_()
    y = function(x)
    return y, torch.autograd.grad(y.pow(2).sum(), [*layer.parameters(), x])


def train(model, steps=3):
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    for step in range(steps):
        optimizer.zero_grad()
        model(random(4 + step, 5, seed=step)).pow(2).sum().backward()
        optimizer.step()
    return [p.detach() for p in model.parameters()]


def operators(graph):
    return [str(node.target) for node in graph.nodes if node.op == "call_function"]


# torch.compile


@COMPILER
@backends
def test_compiled_layer_equals_dense(backend, compiler):
    layer, x = make_layer(backend), PROBLEM.x()
    got = values_and_gradients(compiled(layer, compiler), layer, x)
    assert_close(got, dense_values_and_gradients(layer, x))


def test_compiled_graph_holds_the_operator():
    counter = CompileCounterWithBackend("aot_eager")
    compiled(make_layer(), counter)(PROBLEM.x())
    assert "edgelinear.spmm.default" in operators(counter.graphs[0].graph)


@pytest.mark.slow
def test_backward_compiled_by_inductor_takes_both_gradients_at_once():
    from torch._inductor.utils import run_and_get_code

    layer = make_layer()
    x = PROBLEM.x().requires_grad_()
    f = compiled(layer, "inductor")
    _, sources = run_and_get_code(lambda: f(x).sum().backward())
    code = "\n".join(sources)
    assert "edgelinear.spmm" in code and "edgelinear.gradients" in code
    assert "edgelinear.sddmm" not in code


@COMPILER
def test_compiled_model_trains_to_the_weights_of_the_eager_one(compiler):
    model = make_model()
    twin = copy.deepcopy(model)
    assert_close(train(compiled(model, compiler)), train(twin))


def test_compiled_layer_breaks_no_graph():
    torch.compiler.reset()
    assert torch._dynamo.explain(make_model())(PROBLEM.x()).graph_break_count == 0


def test_compiled_layer_compiles_twice_at_most_for_many_batch_sizes():
    layer, counter = make_layer(), CompileCounterWithBackend("aot_eager")
    f = compiled(layer, counter)
    for batch in (3, 5, 2, 9, 40):
        x = random(batch, 5)
        assert_close(values_and_gradients(f, layer, x), dense_values_and_gradients(layer, x))
    assert counter.frame_count <= 2


def test_compiled_layer_with_dynamic_shapes_compiles_once():
    layer, counter = make_layer(), CompileCounterWithBackend("aot_eager")
    f = compiled(layer, counter, dynamic=True)
    for batch in (3, 5, 2, 9, 40):
        x = random(batch, 5)
        assert_close(values_and_gradients(f, layer, x), dense_values_and_gradients(layer, x))
    assert counter.frame_count == 1


@COMPILER
@pytest.mark.parametrize("shape", [(0, 5), (1, 5), (5,), (2, 3, 5)])
def test_compiled_layer_takes_any_leading_shape(shape, compiler):
    layer, x = make_layer(), random(*shape)
    f = compiled(layer, compiler, dynamic=True)
    assert_close(values_and_gradients(f, layer, x), dense_values_and_gradients(layer, x))


@COMPILER
def test_compiled_layer_takes_a_transposed_input(compiler):
    layer, x = make_layer(), random(5, 6).t()
    got = values_and_gradients(compiled(layer, compiler), layer, x)
    assert_close(got, dense_values_and_gradients(layer, x))


@COMPILER
@pytest.mark.parametrize("dim", [-2, 0])
def test_compiled_function_equals_dense_on_another_axis(dim, compiler):
    layer, x = make_layer(), random(5, 3)
    f = compiled(lambda x: el.edge_linear(x, layer.weight, layer.topology, dim=dim), compiler)
    assert_close(f(x), layer.to_dense() @ x)


@COMPILER
def test_compiled_layer_without_edges_gives_its_bias(compiler):
    layer = el.EdgeLinear(5, 4, torch.empty(2, 0, dtype=torch.long), dtype=torch.float64)
    with torch.no_grad():
        layer.bias.copy_(random(4))
    assert_close(compiled(layer, compiler)(random(3, 5)), layer.bias.expand(3, 4))


@pytest.mark.parametrize(
    "x, error, message",
    [
        (random(3, 4), ValueError, r"must have 5 features .* got shape \(3, 4\)"),
        (random(3, 5, dtype=torch.float32), TypeError, r"use `input.to\(torch.float64\)`"),
        (random(3, 5).to(torch.complex128), TypeError, "must be real"),
        (torch.zeros(3, 5, dtype=torch.long), TypeError, "must be floating point"),
    ],
    ids=["features", "type", "complex", "integer"],
)
def test_compiled_layer_still_refuses_a_wrong_input(x, error, message):
    torch.compiler.reset()
    with pytest.raises(error, match=message):
        torch.compile(make_layer(), backend="aot_eager")(x)


def test_compiled_layer_still_refuses_a_wrong_input_with_fullgraph():
    with pytest.raises(RuntimeError, match="must have 5 features"):
        compiled(make_layer())(random(3, 4))


@COMPILER
@pytest.mark.parametrize("inside", [True, False])
def test_compiled_layer_under_autocast_is_within_twice_the_error_of_dense(inside, compiler):
    layer, x = make_layer(dtype=torch.float32), random(64, 5, dtype=torch.float32)

    def under_autocast(f):
        def call(x):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                return f(x)

        return call

    def plain(x):
        return F.linear(x, layer.to_dense(), layer.bias)

    if inside:
        f = compiled(under_autocast(layer), compiler)
    else:
        f = under_autocast(compiled(layer, compiler))
    y, got = values_and_gradients(f, layer, x)
    dense_y, dense = values_and_gradients(under_autocast(plain), layer, x)
    exact_y, exact = dense_values_and_gradients(copy.deepcopy(layer).double(), x.double())
    assert y.dtype == torch.bfloat16
    for ours, plain, truth in zip((y, *got), (dense_y, *dense), (exact_y, *exact), strict=True):
        assert (ours - truth).abs().max() <= 2 * (plain - truth).abs().max()


@pytest.mark.parametrize(
    ("fullgraph", "error"),
    # By the operator, which has no jvp, or from torch 2.14 on by Dynamo, where graphs are whole.
    [(True, NotImplementedError if torch.__version__ < "2.14" else RuntimeError)]
    + [(False, NotImplementedError)],
)
def test_forward_mode_through_a_compiled_layer_is_refused_not_wrong(fullgraph, error):
    import torch.autograd.forward_ad as fwAD

    layer, x = make_layer(), PROBLEM.x()
    with fwAD.dual_level(), pytest.raises(error, match="jvp|forward-mode AD tangent"):
        compiled(layer, fullgraph=fullgraph)(fwAD.make_dual(x, torch.ones_like(x)))


# torch.export


def export(model, strict):
    torch.compiler.reset()
    shapes = ({0: Dim("batch")},)
    return torch.export.export(model, (PROBLEM.x(),), dynamic_shapes=shapes, strict=strict)


@STRICT
def test_exported_program_holds_the_operator(strict):
    assert "edgelinear.spmm.default" in operators(export(make_model(), strict).graph)


@STRICT
def test_exported_module_takes_another_batch_size(strict):
    model = make_model()
    module = export(model, strict).module()
    x = random(17, 5)
    assert_close(module(x), model(x))


@pytest.mark.slow
@STRICT
@backends
def test_exported_module_equals_dense_at_any_batch_size(backend, strict):
    model = make_model(backend)
    module = export(model, strict).module()
    for batch in (2, 3, 17):
        x = random(batch, 5)
        assert_close(module(x), model[1:](F.linear(x, model[0].to_dense(), model[0].bias)))


@pytest.mark.slow
@STRICT
@backends
def test_exported_module_trains_to_the_same_weights(backend, strict):
    model = make_model(backend)
    module = export(model, strict).module()
    assert_close(train(module), train(model))


@pytest.mark.slow
@STRICT
def test_decomposed_program_equals_eager(strict):
    model = make_model()
    program = export(model, strict).run_decompositions()
    x = random(3, 5)
    assert_close(program.module()(x), model(x))


@STRICT
def test_decomposed_program_keeps_the_operator(strict):
    program = export(make_model(), strict).run_decompositions()
    assert "edgelinear.spmm.default" in operators(program.graph)


@pytest.mark.slow
@STRICT
def test_exported_program_passes_through_a_file(strict, tmp_path):
    model = make_model()
    torch.export.save(export(model, strict), tmp_path / "model.pt2")
    loaded = torch.export.load(tmp_path / "model.pt2").module()
    x = random(3, 5)
    assert_close(loaded(x), model(x))


@pytest.mark.slow
@STRICT
def test_exported_program_holds_no_dense_matrix(strict):
    program = export(make_model(), strict)
    sizes = [c.numel() for c in program.constants.values()]
    assert sum(sizes) <= 6 * PROBLEM.edge_index.shape[1] + 2 * (5 + 4) + 2


# Floating point operations


def test_flop_counter_counts_two_an_edge_and_sample_forward():
    layer = make_layer()
    with FlopCounterMode(display=False) as counter:
        layer(random(6, 5))
    assert counter.get_total_flops() == 2 * 7 * 6


@backends
def test_flop_counter_counts_six_an_edge_and_sample_for_a_step(backend):
    layer = make_layer(backend)
    with FlopCounterMode(display=False) as counter:
        layer(random(6, 5).requires_grad_()).sum().backward()
    assert counter.get_total_flops() == 6 * 7 * 6


def test_flop_counter_counts_four_where_the_input_needs_no_gradient():
    layer = make_layer()
    with FlopCounterMode(display=False) as counter:
        layer(random(6, 5)).sum().backward()
    assert counter.get_total_flops() == 4 * 7 * 6
