"""What torch asks of a module, by value: derivatives, transforms, types, copies, bad input."""

import copy
import multiprocessing
import pickle

import pytest
import torch
from graphs import node_by_node
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import COMPILED, MIXED, drawn, small
from problems import WITHOUT_KERNELS
from torch import nn
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, stack_module_state, vmap
from torch.testing import assert_close
from torch.utils.checkpoint import checkpoint

import edgelinear as el

OTHERS = {20: "maxabs", 25: "max", 26: "median", 27: "product", 28: "mean"}
BACKENDS = ("cpp", "torch_csr", "reference")
KINDS = {
    "compiled": dict(activations=COMPILED),
    "mixed": dict(activations=MIXED),
    "own": dict(activations=["tanh", lambda z: torch.sin(2 * z)]),
    "no bias": dict(activations=["sigmoid", "sin"], bias=False),
    "response": dict(activations=["tanh"], response=torch.linspace(0.5, 1.5, 30)),
    "aggregations": dict(activations=["tanh"], aggregation=OTHERS),
}
kinds = pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
SMOOTH = ["tanh", "sigmoid", "sin", "softplus"]


def x_of(*batch, **options):
    return torch.randn(*batch, 4, **{"dtype": torch.float64} | options)


def called(net, w, x):
    return functional_call(net, {"weight": w}, (x,))


@pytest.mark.parametrize("backend", BACKENDS)
def test_operators_pass_opcheck(backend):
    plan = drawn(SMOOTH)[0]._plan
    size = plan.topology.num_edges

    def random(*shape):
        return torch.randn(*shape, dtype=torch.float64, requires_grad=True)

    tensors = plan.topology._tensors
    for bias in (None, random(30)):
        sample = (random(size), bias, random(3, 4), *tensors, plan.groups, backend)
        torch.library.opcheck(torch.ops.edgelinear.levels.default, sample)
    for transposed in (False, True):
        states = random(30, 3), random(30, 3)
        sample = (random(size), *states, *tensors, plan.groups, transposed, backend)
        torch.library.opcheck(torch.ops.edgelinear.solve.default, sample)


@pytest.mark.parametrize("backend", BACKENDS)
def test_derivatives_of_every_order(backend):
    net, _ = drawn(SMOOTH, nodes=9, edges=15, inputs=4, outputs=(8, 7), backend=backend)
    inputs = (net.weight, net.bias, x_of(2).requires_grad_())

    def run(weight, bias, x):
        return functional_call(net, {"weight": weight, "bias": bias}, (x,))

    assert torch.autograd.gradcheck(run, inputs, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(run, inputs, check_fwd_over_rev=True)


def test_hessians_and_third_derivatives_are_those_of_a_loop():
    net, ends = drawn(SMOOTH, nodes=9, edges=15, inputs=4, outputs=(8, 7))
    x, w, inputs = x_of(2), net.weight.detach(), net.inputs.tolist()

    def ours(w):
        return called(net, w, x).square().sum()

    def truth(w):
        every = node_by_node(ends, inputs, w, net.bias.detach(), net.activations, x)
        return every[:, net.outputs].square().sum()

    assert_close(hessian(ours)(w), hessian(truth)(w))
    assert_close(jacfwd(jacrev(jacrev(ours)))(w), jacfwd(jacrev(jacrev(truth)))(w))


@kinds
def test_vmap_over_samples_and_weights(options):
    net, _ = drawn(**options)
    x, w = x_of(3, 2), torch.stack([net.weight.detach() * k for k in (1.0, 0.5, -1.0)])
    assert_close(vmap(net)(x), torch.stack([net(each) for each in x]))
    assert_close(vmap(net, in_dims=1)(x), torch.stack([net(each) for each in x.unbind(1)]))
    each = torch.stack([called(net, one, x[0]) for one in w])
    assert_close(vmap(lambda one: called(net, one, x[0]))(w), each)


@kinds
def test_ensembles_and_gradients_of_each_sample(options):
    nets = [drawn(**options)[0] for _ in range(3)]
    parameters, buffers = stack_module_state(nets)
    base, x = copy.deepcopy(nets[0]), x_of(5)
    found = vmap(lambda p, b: functional_call(base, (p, b), (x,)))(parameters, buffers)
    assert_close(found, torch.stack([net(x) for net in nets]))

    def loss(w, sample):
        return called(base, w, sample).square().sum()

    w = base.weight.detach()
    each = vmap(grad(loss), in_dims=(None, 0))(w, x)
    assert_close(each, torch.stack([grad(loss)(w, sample) for sample in x]))


@kinds
def test_tangents_agree_with_gradients(options):
    net, _ = drawn(**options)
    x, w = x_of(5), net.weight.detach()
    v, u = torch.randn_like(w), torch.randn_like(x)
    y, tangent = jvp(lambda w, x: called(net, w, x), (w, x), (v, u))
    g = torch.randn_like(y)
    by_w, by_x = grad(lambda w, x: (called(net, w, x) * g).sum(), argnums=(0, 1))(w, x)
    assert_close((tangent * g).sum(), (by_w * v).sum() + (by_x * u).sum())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_types_are_near(dtype):
    net, _ = drawn(COMPILED, dtype=torch.float32)
    x = x_of(6, dtype=torch.float32)
    exact = net(x)
    with torch.autocast("cpu", dtype=dtype):
        y = net(x)
    assert y.dtype == dtype
    # States are float32: what is rounded is the input, and the result.
    assert_close(y.float(), exact, rtol=0.02, atol=0.05)
    half = copy.deepcopy(net).to(dtype)
    y = half(x.to(dtype))
    assert y.dtype == dtype
    assert_close(y.float(), exact, rtol=0.05, atol=0.1)
    y.sum().backward()
    assert half.weight.grad.dtype == dtype


def _in_another_process(data, queue):
    net = pickle.loads(data)
    queue.put(net(torch.ones(2, 2, dtype=torch.float64)).tolist())


def test_pickle_to_a_spawned_process():
    net, context = small(), multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_in_another_process, args=(pickle.dumps(net), queue))
    process.start()
    got = queue.get(timeout=120)
    process.join()
    assert got == net(torch.ones(2, 2, dtype=torch.float64)).tolist()


def test_safetensors_and_partial_states(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    net, other = small(), small()
    safetensors.save_file(net.state_dict(), tmp_path / "net.safetensors")
    other.load_state_dict(safetensors.load_file(tmp_path / "net.safetensors"))
    assert torch.equal(other.weight, net.weight)
    third = small()
    missing = third.load_state_dict({"bias": net.bias.detach()}, strict=False).missing_keys
    assert torch.equal(third.bias, net.bias)
    assert {"weight", "edge_index", "shape"} <= {*missing}


def test_meta_device_and_to_empty():
    net, other = small(), small(device="meta")
    other.to_empty(device="cpu").load_state_dict(net.state_dict())
    x = torch.randn(3, 2, dtype=torch.float64)
    assert torch.equal(other(x), net(x))


def test_checkpointed_and_shared_and_inferred():
    net, x = small().share_memory(), torch.randn(3, 2, dtype=torch.float64)
    y = checkpoint(net, x, use_reentrant=False)
    assert_close(
        torch.autograd.grad(y.sum(), net.weight), torch.autograd.grad(net(x).sum(), net.weight)
    )
    assert net.weight.is_shared()
    with torch.inference_mode():
        inferred = net(x)
    assert torch.equal(inferred, net(x).detach())
    net(x).sum().backward()


@kinds
def test_shapes_of_batches(options):
    net, _ = drawn(**options)
    x = x_of(2, 3, 5)
    y = net(x)
    assert_close(y, net(x.reshape(-1, 4)).view(2, 3, 5, -1))
    assert net(x[:, :0]).shape == (2, 0, 5, 3)
    assert_close(net(x[0, 0, 0]), y[0, 0, 0])
    assert_close(net(x.transpose(0, 2)), y.transpose(0, 2))
    assert_close(net(x_of(5).expand(3, 5, 4)).shape, torch.Size([3, 5, 3]))
    net(x[:, :0]).sum().backward()
    assert net.weight.grad.abs().sum() == 0


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_not_finite_travels_along_edges_alone(value, backend):
    net = small(edges=[(0, 2), (1, 3), (2, 4), (3, 5)], activation="identity", backend=backend)
    net.set_weight([1.0, 1.0, 1.0, 1.0])
    x = torch.tensor([[value, 1.0]], dtype=torch.float64, requires_grad=True)
    every = net.nodes(x)
    assert every.isfinite()[0].tolist() == [False, True, False, True, False, True]


@pytest.mark.parametrize("backend", BACKENDS)
def test_networks_of_few_edges(backend):
    alone = el.EdgeNetwork(2, [], [1, 0], [0, 1], backend=backend)
    x = torch.randn(3, 2)
    assert torch.equal(alone(x), x.flip(1))
    fed = el.EdgeNetwork(4, [(0, 1), (1, 2)], [0], [0, 1, 2, 3], weight=[2.0, 3.0], backend=backend)
    nn.init.constant_(fed.bias, 1.0)
    x = torch.tensor([[1.0], [0.0]])
    assert fed(x).tolist() == [[1.0, 3.0, 10.0, 1.0], [0.0, 1.0, 4.0, 1.0]]


class Twice(nn.Module):
    def forward(self, z):
        return 2 * z


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, z):
        return self.scale * z


@pytest.mark.parametrize(
    ("activation", "kind", "message"),
    [
        (lambda z: z.sum(-1), ValueError, "keep the shape"),
        (lambda z: z + torch.rand_like(z), ValueError, "draws at random"),
        (lambda z: z.softmax(-1), ValueError, "must be elementwise"),
        (Scaled(), TypeError, "no parameters of its own"),
        (lambda z: z.detach(), ValueError, "must be differentiable"),
        ("tahn", ValueError, "must be one of"),
        (3, TypeError, "a name or a function"),
    ],
)
def test_activations_that_cannot_be_are_refused(activation, kind, message):
    with pytest.raises(kind, match=message):
        small(activation=activation)
    with pytest.raises(kind, match=message):
        small(activation={"c": activation})


def test_activations_may_be_modules_and_differ():
    net = small(activation={"c": Twice(), "d": nn.Tanh(), "f": "sin"})
    x = torch.randn(3, 2, dtype=torch.float64)
    edges = net.edge_index.numpy()
    every = node_by_node(edges, [0, 1], net.weight, net.bias, net.activations, x)
    assert_close(net.nodes(x), every)
    assert net.activations[3] == "tanh"


@st.composite
def graphs(draw):
    number = draw(st.integers(2, 12))
    inputs = draw(st.integers(1, number - 1))
    pairs = [(s, t) for t in range(inputs, number) for s in range(t)]
    edges = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=30))
    outputs = draw(st.lists(st.integers(0, number - 1), unique=True, min_size=1))
    names = st.sampled_from(["identity", "relu", "tanh", "sigmoid", "gelu", "sin"])
    activations = draw(st.lists(names, min_size=number, max_size=number))
    return number, edges, inputs, outputs, activations, draw(st.booleans())


@settings(max_examples=60)
@given(graphs(), st.sampled_from(["cpp", WITHOUT_KERNELS, "reference"]), st.integers(0, 17))
def test_drawn_graphs_equal_a_loop_over_nodes(graph, backend, batch):
    number, edges, inputs, outputs, activations, bias = graph
    net = el.EdgeNetwork(
        number, edges, range(inputs), outputs, activation=activations, bias=bias, backend=backend,
        dtype=torch.float64,
    )  # fmt: skip
    if bias:
        nn.init.normal_(net.bias)
    x = torch.randn(batch, inputs, dtype=torch.float64, requires_grad=True)
    ends = net.edge_index.numpy()
    every = node_by_node(ends, range(inputs), net.weight, net.bias, net.activations, x)
    y, expected = net(x), every[:, outputs]
    assert_close(y, expected)
    wanted = [x, *net.parameters()]
    g = torch.randn_like(y)
    expected = torch.autograd.grad(expected, wanted, g, allow_unused=True, materialize_grads=True)
    assert_close(torch.autograd.grad(y, wanted, g), expected)
