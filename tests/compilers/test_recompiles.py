"""How often torch.compile compiles, what it can trace of a Topology, and compiled autograd."""

import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend
from torch.testing import assert_close

import edgelinear as el

BATCHES = (4, 8, 16)


@pytest.fixture(autouse=True)
def fresh():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


class Block(nn.Module):
    def __init__(self, linear):
        super().__init__()
        self.linear = linear
        self.norm = nn.LayerNorm(32)

    def forward(self, x):
        return x + self.linear(self.norm(x)).relu()


def sparse(i, shuffled=False):
    """Return one of many layers of the same sizes, each with other edges, and more of them."""
    generator = torch.Generator().manual_seed(i)
    topology = el.generators.erdos_renyi(32, 32, num_edges=100 + 3 * i, generator=generator)
    if shuffled:
        order = torch.randperm(topology.num_edges, generator=generator)
        topology = el.Topology(32, 32, topology.edge_index[:, order])
    return el.EdgeLinear.from_topology(topology)


def shuffled(i):
    return sparse(i, shuffled=True)


def dense(i):
    return nn.Linear(32, 32)


def graphs_of(make, number=16, compiler="aot_eager"):
    """Compile blocks one by one, as is usual; check them, and return how many graphs there are."""
    blocks = [Block(make(i)) for i in range(number)]
    model = nn.Sequential(*blocks)

    def values_and_gradients(x):
        y = model(x)
        return y, torch.autograd.grad(y.sum(), [x, *model.parameters()])

    inputs = [torch.randn(batch, 32, requires_grad=True) for batch in BATCHES]
    expected = [values_and_gradients(x) for x in inputs]
    calls, counter = [], CompileCounterWithBackend(compiler)

    def counted(graph, example_inputs):
        run = counter(graph, example_inputs)
        return lambda *arguments: (calls.append(graph), run(*arguments))[1]

    for block in blocks:
        block.compile(backend=counted)
    for x, truth in zip(inputs, expected, strict=True):
        assert_close(values_and_gradients(x), truth)
    assert len(calls) == number * len(BATCHES)  # none ran eagerly
    return counter.frame_count


@pytest.mark.parametrize("make", [sparse, shuffled])
def test_blocks_of_many_wirings_compile_once_more_than_dense_ones(make):
    with torch._dynamo.config.patch(force_parameter_static_shapes=False):
        assert graphs_of(dense) == 2
        torch.compiler.reset()
        assert graphs_of(make) <= 3


@pytest.mark.slow
@pytest.mark.parametrize("make", [sparse, shuffled])
def test_blocks_of_many_wirings_are_right_under_inductor(make):
    with torch._dynamo.config.patch(force_parameter_static_shapes=False):
        assert graphs_of(make, number=4, compiler="inductor") <= 3


def test_blocks_of_one_wiring_compile_as_often_as_dense_ones():
    topology = sparse(0).topology
    assert graphs_of(lambda i: el.EdgeLinear.from_topology(topology)) == 2
    torch.compiler.reset()
    assert graphs_of(dense) == 2


def test_model_that_is_compiled_whole_compiles_as_often_as_a_dense_one():
    for make in (sparse, dense):
        torch.compiler.reset()
        model = nn.Sequential(*map(Block, map(make, range(4))))
        counter = CompileCounterWithBackend("aot_eager")
        compiled = torch.compile(model, backend=counter, fullgraph=True)
        for batch in BATCHES:
            x = torch.randn(batch, 32)
            assert_close(compiled(x), model(x))
        assert counter.frame_count == 2


# What a compiled function may ask of a Topology


class Both(nn.Module):
    """There and back again, over the same edges."""

    def __init__(self):
        super().__init__()
        edges = [(3, 2), (0, 0), (1, 2), (3, 1)]  # new, so that no transpose is there yet
        self.layer = el.EdgeLinear(5, 4, edges, bias=False)

    def forward(self, x):
        return el.edge_linear(self.layer(x), self.layer.weight, self.layer.topology.T)

    def dense(self, x):
        matrix = self.layer.to_dense()
        return x @ matrix.T @ matrix


@pytest.mark.parametrize("asked", [False, True], ids=["first use", "later use"])
def test_transpose_in_a_compiled_function_equals_dense(asked):
    model, x = Both(), torch.randn(3, 5)
    if asked:
        assert model.layer.topology.T is not None
    y = torch.compile(model, fullgraph=True, backend="aot_eager")(x)
    assert_close(y, model.dense(x))
    assert_close(model(x), model.dense(x))  # what the compiler kept is no tracer's


@pytest.mark.parametrize("strict", [True, False], ids=["strict", "non-strict"])
def test_transpose_in_an_exported_module_equals_dense(strict):
    model, x = Both(), torch.randn(3, 5)
    program = torch.export.export(model, (x,), strict=strict)
    assert_close(program.module()(x), model.dense(x))
    assert_close(model(x), model.dense(x))


def test_compiled_autograd_gives_the_gradients():
    model, x = Both(), torch.randn(3, 5, requires_grad=True)
    expected = torch.autograd.grad(model.dense(x).sin().sum(), [x, model.layer.weight])

    def step():
        model(x).sin().sum().backward()

    with torch._dynamo.config.patch(compiled_autograd=True):
        torch.compile(step, backend="aot_eager")()
    assert_close((x.grad, model.layer.weight.grad), expected)


@pytest.mark.parametrize(
    "ask",
    [
        lambda t: t.edge_index,
        lambda t: t.fan_in,
        lambda t: t.T.fan_out,
        lambda t: t.to("cpu").src,
        lambda t: torch.tensor([t.num_edges, t.density, t.is_sorted, t == t.T]),
    ],
    ids=["edge_index", "fan_in", "T", "to", "numbers"],
)
def test_compiled_function_asks_a_topology(ask):
    topology = el.Topology(5, 4, [(3, 2), (0, 0), (1, 2), (3, 1)])
    compiled = torch.compile(lambda x: x + ask(topology).sum(), fullgraph=True, backend="aot_eager")
    x = torch.zeros(1)
    assert_close(compiled(x), x + ask(topology).sum())


def test_compiled_function_reads_a_digest_that_is_known():
    topology = el.Topology(5, 4, [(3, 2), (0, 0)])
    known = {topology.digest: 2.0}
    compiled = torch.compile(
        lambda x: x * known[topology.digest], fullgraph=True, backend="aot_eager"
    )
    assert_close(compiled(torch.ones(1)), torch.full((1,), 2.0))
