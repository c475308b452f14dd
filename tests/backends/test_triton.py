"""The Triton kernels: on a GPU where there is one, in Triton's interpreter otherwise.

The interpreter knows nothing of races, of layouts and of the compiler. So the kernels are compiled
for GPUs as well, which takes none, and read for what can be read in them.
"""

import os
import subprocess
import sys

import pytest
import torch
from problems import (
    PROBLEMS,
    Problem,
    assert_rounded,
    dense,
    dense_step,
    hub_edges,
    random,
    random_edges,
    with_int64,
)
from torch.testing import assert_close

import edgelinear as el
from edgelinear import ops
from edgelinear.backends import triton
from edgelinear.topology.views import View

pytestmark = pytest.mark.triton
HALF = (torch.float16, torch.bfloat16)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# Rows of 2,500 and of 1,025 edges, which are cut into pieces, between rows of all lengths; of the
# columns, one is as long.
CUT = Problem(
    2600,
    1030,
    torch.cat(
        [
            hub_edges(2500, 1030),
            torch.stack([torch.arange(1025), torch.full((1025,), 7)]),
            random_edges(2600, 1030, 300),
        ],
        dim=1,
    ).unique(dim=1),
    batch=5,
)
TABLE = {**PROBLEMS, "cut": CUT, "many": PROBLEMS["skewed"]._replace(batch=130)}


def on_device(problem, dtype=torch.float64, weight_dtype=None):
    """Return the topology, the weight, x, the gradient of y, and a bias."""
    tensors = (
        problem.weight(weight_dtype or dtype),
        problem.x(dtype),
        problem.grad(dtype),
        random(problem.out_features, dtype=dtype, seed=4),
    )
    return problem.topology().to(DEVICE), *(t.to(DEVICE) for t in tensors)


# The truth.


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize(
    "dtype, weight_dtype",
    [(d, d) for d in (torch.float64, torch.float32, *HALF)] + [(d, torch.float32) for d in HALF],
    ids=str,
)
def test_every_type_equals_dense_matmul(name, dtype, weight_dtype):
    problem = TABLE[name]
    topology, weight, x, grad, bias = on_device(problem, dtype, weight_dtype)
    ours = (
        triton.spmm(weight, x, topology, bias),
        triton.spmm(weight, grad, topology.T),
        triton.sddmm(grad, x, topology, weight_dtype),
    )

    factors = [t.double().cpu() for t in (weight, x, grad, bias)]
    truths = dense_step(problem, *factors)
    magnitudes = dense_step(problem, *[t.abs() for t in factors])
    for our, truth, magnitude in zip(ours, truths, magnitudes, strict=True):
        assert_rounded(our.cpu(), truth, magnitude)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, *HALF], ids=str)
@pytest.mark.parametrize("other", [torch.float64, torch.float32, *HALF], ids=str)
def test_types_may_differ(dtype, other):
    problem = PROBLEMS["unsorted"]
    topology, weight, x, _, bias = on_device(problem, dtype, other)
    y = triton.spmm(weight, x, topology, bias.to(other))
    assert y.dtype == dtype
    matrix = dense(weight.double().cpu(), problem)
    truth = x.double().cpu() @ matrix.T + bias.to(other).double().cpu()
    assert_close(y.cpu(), truth.to(dtype), rtol=0.02, atol=0.02)  # of the coarsest type


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
@pytest.mark.parametrize("batch", [1, 2, 70])
def test_inf_and_nan_travel_along_edges_only(value, batch):
    topology = el.Topology(3, 3, [(0, 0), (1, 0), (1, 1), (2, 2)]).to(DEVICE)
    x = torch.ones(batch, 3, device=DEVICE)
    x[0, 1] = value
    y = triton.spmm(torch.ones(4, device=DEVICE), x, topology)
    assert y[0].isfinite().tolist() == [False, False, True] and y[1:].isfinite().all()
    w = triton.sddmm(torch.ones_like(x), x, topology, x.dtype)
    assert w.isfinite().tolist() == [True, False, False, True]


def test_inf_in_a_weight_reaches_its_edge_alone():
    topology, _, x, _, bias = on_device(CUT, torch.float32)
    weight = torch.zeros(topology.num_edges, device=DEVICE)
    edge = int((topology.dst == 2).nonzero()[-1])
    weight[edge] = float("inf")
    y = triton.spmm(weight, x, topology, bias)
    assert not y[:, 2].isfinite().any()
    others = torch.arange(topology.out_features, device=DEVICE) != 2
    assert torch.equal(y[:, others], bias[others].expand(len(x), -1))


# The bits.


@pytest.mark.parametrize("name", ["cut", "unsorted", "skewed"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_sample_has_the_same_bits_alone_and_in_any_batch(name, dtype):
    topology, weight, _, _, bias = on_device(TABLE[name], dtype)
    x = random(70, topology.in_features, dtype=dtype).to(DEVICE)
    alone = torch.cat([triton.spmm(weight, sample[None], topology, bias) for sample in x[:3]])
    for batch in (2, 8, 33, 70):
        assert torch.equal(triton.spmm(weight, x[:batch], topology, bias)[:3], alone[:batch])
    by_feature = triton.spmm(weight, x[:5].t().contiguous().t(), topology, bias)
    assert torch.equal(by_feature[:3], alone)


def test_bits_are_the_same_from_run_to_run():
    topology, weight, x, grad, _ = on_device(CUT, torch.float32)

    def step():
        y, dx = triton.spmm(weight, x, topology), triton.spmm(weight, grad, topology.T)
        return y, dx, triton.sddmm(grad, x, topology, x.dtype)

    first = step()
    for _ in range(5 if DEVICE == "cuda" else 1):
        assert all(map(torch.equal, step(), first))


def test_bits_are_the_same_for_int64_indices():
    topology, weight, x, grad, _ = on_device(CUT, torch.float32)
    wide = with_int64(topology)
    assert torch.equal(triton.spmm(weight, x, wide), triton.spmm(weight, x, topology))
    w = triton.sddmm(grad, x, topology, x.dtype)
    assert torch.equal(triton.sddmm(grad, x, wide, x.dtype), w)


def spaced(m):
    return m.new_full((m.shape[0] * 2, m.shape[1] * 3), float("nan"))[::2, ::3].copy_(m)


def by_feature(m):
    return m.t().contiguous().t()


def padded(m):
    """Return features 16 bytes apart or more, with something else between them."""
    wide = m.new_full((m.shape[1], -(-m.shape[0] // 16) * 16 + 16), float("nan"))
    return wide[:, : m.shape[0]].copy_(m.t()).t()


def shifted(m):
    """Return the matrix by feature, and not where a load of 16 bytes could begin."""
    flat = m.new_empty(m.numel() + 1)[1:]
    return flat.view(m.shape[1], m.shape[0]).copy_(m.t()).t()


LAYOUTS = (spaced, by_feature, padded, shifted, lambda m: spaced(m.t()).t())


@pytest.mark.parametrize("batch", [1, 5, 16, 48, 100])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("small", [0, 1 << 20], ids=["copied", "as it lies"])
def test_any_strides_give_the_same_bits(batch, dtype, small, monkeypatch):
    monkeypatch.setattr(triton, "_SMALL", small)
    problem = PROBLEMS["skewed"]._replace(batch=batch)
    topology, weight, x, grad, _ = on_device(problem, dtype)
    y, w = triton.spmm(weight, x, topology), triton.sddmm(grad, x, topology, x.dtype)
    dw, dx = triton.gradients(grad, weight, x, topology, x.dtype)
    assert torch.equal(dw, w) and torch.equal(dx, triton.spmm(weight, grad, topology.T))
    for lay in LAYOUTS:
        assert torch.equal(triton.spmm(spaced(weight[None])[0], lay(x), topology), y)
        assert torch.equal(triton.sddmm(lay(grad), x, topology, x.dtype), w)
        assert torch.equal(triton.sddmm(grad, lay(x), topology, x.dtype), w)
        both = triton.gradients(lay(grad), weight, lay(x), topology, x.dtype)
        assert torch.equal(both[0], w) and torch.equal(both[1], dx)
    row = x[:1].expand(x.shape)
    assert torch.equal(triton.spmm(weight, row, topology), y[:1].expand(y.shape))


@pytest.mark.parametrize("batch", [16, 100])
def test_tiles_decide_no_bits(batch, monkeypatch):
    problem = PROBLEMS["skewed"]._replace(batch=batch)
    topology, weight, x, grad, _ = on_device(problem, torch.float32)
    y, w = triton.spmm(weight, x, topology), triton.sddmm(grad, x, topology, x.dtype)
    for tile in ((4, 16, 1), (1, 32, 2), (8, 8, 1)):
        monkeypatch.setattr(triton, "_tile", lambda *_, tile=tile: tile)
        assert torch.equal(triton.spmm(weight, x, topology), y)
    for row_edges in (0, 10**9):  # by row, and by edge
        monkeypatch.setattr(triton, "_ROW_EDGES", row_edges)
        assert torch.equal(triton.sddmm(grad, x, topology, x.dtype), w)


# Derivatives, and the ways in.


@pytest.mark.parametrize("name", ["unsorted", "duplicates", "empty_rows_and_columns"])
@pytest.mark.parametrize("feature_major", [False, True], ids=["batch-major", "feature-major"])
def test_gradients_of_every_order(name, feature_major):
    topology, weight, x, grad, bias = on_device(TABLE[name]._replace(batch=2))
    x, grad = (x.t(), grad.t()) if feature_major else (x, grad)
    inputs = [t.contiguous().requires_grad_() for t in (weight, x, bias)]

    def spmm(weight, x, bias):
        return ops.spmm(weight, x, topology, "triton", bias=bias, feature_major=feature_major)

    def sddmm(a, b):
        return ops.sddmm(a, b, topology, backend="triton", feature_major=feature_major)

    assert torch.autograd.gradcheck(spmm, inputs)
    assert torch.autograd.gradgradcheck(spmm, inputs)
    factors = [t.contiguous().requires_grad_() for t in (grad, x.detach())]
    assert torch.autograd.gradcheck(sddmm, factors)
    assert torch.autograd.gradgradcheck(sddmm, factors)


@pytest.mark.parametrize("name", ["unsorted", "cut"])
def test_operators_are_registered_right(name):
    topology, weight, x, grad, bias = on_device(TABLE[name], torch.float32)
    leaves = [t.requires_grad_() for t in (weight, x, bias)]
    torch.library.opcheck(ops._spmm_op, (*leaves, *topology._tensors, False, "triton"))
    factors = (grad.requires_grad_(), x)
    rest = (*topology._tensors, x.dtype, False, "triton")
    torch.library.opcheck(ops._sddmm_op, (*factors, *rest))
    torch.library.opcheck(ops._gradients_op, (grad, weight, x, *rest))


@pytest.mark.parametrize("feature_major", [False, True], ids=["batch-major", "feature-major"])
def test_gradients_together_have_the_bits_of_each_alone(feature_major):
    topology, weight, x, grad, _ = on_device(CUT, torch.float32)
    if feature_major:
        x, grad = x.t().contiguous().t(), grad.t().contiguous().t()
    dw, dx = triton.gradients(grad, weight, x, topology, torch.float32)
    assert torch.equal(dw, triton.sddmm(grad, x, topology, torch.float32))
    assert torch.equal(dx, triton.spmm(weight, grad, topology.T))
    assert dx.is_contiguous() is not feature_major


def test_gradients_of_a_wider_weight_have_the_bits_of_each_alone():
    topology, weight, x, grad, _ = on_device(PROBLEMS["skewed"], torch.float32, torch.float64)
    dw, dx = triton.gradients(grad, weight, x, topology, torch.float64)
    assert torch.equal(dw, triton.sddmm(grad, x, topology, torch.float64))
    assert torch.equal(dx, triton.spmm(weight, grad, topology.T))


@pytest.mark.parametrize("small", [0, 1 << 20], ids=["copied", "as it lies"])
@pytest.mark.parametrize("layout", ["by sample", "by feature"])
@pytest.mark.parametrize("batch", [3, 33, 50])
def test_inf_in_the_last_sample_reaches_its_gradients_alone(batch, layout, small, monkeypatch):
    topology, weight, x, grad, _ = on_device(
        PROBLEMS["skewed"]._replace(batch=batch), torch.float32
    )
    grad[-1, 4] = float("inf")
    lay = by_feature if layout == "by feature" else torch.clone
    monkeypatch.setattr(triton, "_SMALL", small)
    w = triton.sddmm(grad, x, topology, torch.float32)
    finite = topology.dst != 4
    assert torch.equal(w.isfinite(), finite) and not w.isnan().any()
    monkeypatch.setattr(triton, "_SMALL", 1 << 20)  # one walk, of whatever lies there
    dw, _ = triton.gradients(lay(grad), weight, lay(x), topology, torch.float32)
    assert torch.equal(dw, w)


def test_type_without_kernels_is_refused():
    topology, weight, x, *_ = on_device(PROBLEMS["sorted"])
    for pair in ((x, weight.to(torch.complex64)), (x.to(torch.float8_e4m3fn), weight)):
        assert "no kernels for" in el.backends.why_not("triton", *pair, topology)


def test_layer_runs_feature_major_inputs_as_they_lie(monkeypatch):
    topology, weight, x, _, bias = on_device(PROBLEMS["unsorted"]._replace(batch=16))
    y = el.edge_linear(x, weight, topology, bias, backend="triton")
    monkeypatch.setattr(triton, "_transposed", None)
    turned = el.edge_linear(x.t().contiguous(), weight, topology, bias, dim=0, backend="triton")
    assert torch.equal(turned, y.t()) and turned.is_contiguous()


@pytest.mark.cuda
@pytest.mark.parametrize("name", ["cut", "unsorted"])
def test_step_can_be_captured_into_a_graph(name):
    topology, weight, x, grad, bias = on_device(TABLE[name], torch.float32)
    leaves = [t.requires_grad_() for t in (weight, x, bias)]

    def step():
        y = ops.spmm(weight, x, topology, "triton", bias=bias)
        return y, *torch.autograd.grad(y, leaves, grad)

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        step()  # compiles the kernels
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step()
    with torch.no_grad():
        x.mul_(2.0)
    graph.replay()
    assert all(map(torch.equal, captured, step()))


@pytest.mark.cuda
@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
def test_compiled_layer_computes_the_same(mode):
    topology, weight, x, grad, _ = on_device(CUT, torch.float32)
    layer = el.EdgeLinear.from_topology(topology, weight=weight, backend="triton", device=DEVICE)
    torch._dynamo.reset()
    compiled = torch.compile(layer, fullgraph=True, mode=mode)
    for _ in range(3):  # the third replays what the second has captured
        layer.zero_grad()
        y = layer(x)
        y.backward(grad)
        expected = layer.weight.grad.clone()
        layer.zero_grad()
        torch.compiler.cudagraph_mark_step_begin()
        ours = compiled(x)
        ours.backward(grad)
        assert_close(ours, y)
        assert_close(layer.weight.grad, expected)


@pytest.mark.cuda
def test_streams_do_not_disturb_each_other():
    topology, weight, x, grad, bias = on_device(TABLE["many"], torch.float32)
    inputs = [x * scale for scale in range(1, 9)]
    expected = [
        (
            triton.spmm(weight, x, topology, bias),
            *triton.gradients(grad, weight, x, topology, x.dtype),
        )
        for x in inputs
    ]
    streams = [torch.cuda.Stream() for _ in inputs]
    torch.cuda.synchronize()
    results = []
    for x, stream in zip(inputs, streams, strict=True):
        with torch.cuda.stream(stream):
            y = triton.spmm(weight, x, topology, bias)
            results.append((y, *triton.gradients(grad, weight, x, topology, x.dtype)))
    torch.cuda.synchronize()
    for ours, truth in zip(results, expected, strict=True):
        assert all(map(torch.equal, ours, truth))


@pytest.mark.cuda
def test_kernels_run_where_their_tensors_are():
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two CUDA devices")
    topology, weight, x, grad, bias = (t.to("cuda:0") for t in on_device(CUT, torch.float32))
    y = triton.spmm(weight, x, topology, bias)
    there = [t.to("cuda:1") for t in (weight, x, bias)]
    assert torch.cuda.current_device() == 0
    ours = triton.spmm(*there[:2], topology.to("cuda:1"), there[2])
    assert ours.device == torch.device("cuda:1") and torch.equal(ours.to("cuda:0"), y)


@pytest.mark.cuda
def test_tied_weights_are_exact_where_that_is_asked_for():
    topology, _, x, grad, _ = on_device(CUT, torch.float32)
    layer = el.EdgeLinear.from_topology(topology, device=DEVICE)
    el.rules.tie(layer, torch.arange(topology.num_edges) % 7)
    values = layer.parametrizations.weight.original

    def gradient():
        (found,) = torch.autograd.grad(layer(x), values, grad)
        return found

    torch.use_deterministic_algorithms(True)
    try:
        first = gradient()
        assert all(torch.equal(gradient(), first) for _ in range(20))
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.cuda
def test_state_dict_holds_edges_on_the_cpu():
    layer = el.EdgeLinear.from_topology(CUT.topology(), device=DEVICE)
    state = layer.state_dict()
    assert state["weight"].is_cuda and state["edge_index"].device.type == "cpu"
    layer.load_state_dict(state)


@pytest.mark.parametrize("exact", [False, True])
def test_auto_takes_these_kernels_on_cuda(exact, monkeypatch):
    topology, weight, x, *_ = on_device(PROBLEMS["sorted"], torch.float32)
    monkeypatch.setattr(torch.Tensor, "is_cuda", True)
    monkeypatch.setattr(torch.Tensor, "is_cpu", False)
    monkeypatch.setattr(triton, "_capability", lambda device: (9, 0))
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: exact)
    assert el.backends.select("auto", x, weight, topology) is triton
    monkeypatch.setattr(triton, "why_not", lambda *_: "it is broken")
    chosen = el.backends.select("auto", x, weight, topology).__name__.rpartition(".")[2]
    assert chosen == ("reference" if exact else "torch_csr")


@pytest.mark.parametrize("batch, launches", [(4, 2), (300, 6)])
def test_step_launches_few_kernels(batch, launches, monkeypatch):
    monkeypatch.setattr(triton, "_SMALL", 1000)
    names, launch = [], triton._launch

    def counted(kinds, *rest):
        names.append(kinds[0])
        launch(kinds, *rest)

    monkeypatch.setattr(triton, "_launch", counted)
    problem = PROBLEMS["unsorted"]._replace(batch=batch)
    topology, weight, x, grad, bias = on_device(problem, torch.float32)
    leaves = [t.requires_grad_() for t in (weight, x, bias)]
    y = ops.spmm(weight, x, topology, "triton", bias=bias)
    torch.autograd.grad(y, leaves, grad)
    assert len(names) == launches, names


@pytest.mark.cuda
@pytest.mark.parametrize("name", ["many", "cut"])
def test_step_launches_at_most_three_kernels_more_than_cusparse(name):
    topology, weight, x, grad, bias = on_device(TABLE[name], torch.float32)
    leaves = [t.requires_grad_() for t in (weight, x, bias)]

    def launches(backend):
        def step():
            y = ops.spmm(weight, x, topology, backend, bias=bias)
            torch.autograd.grad(y, leaves, grad)
            torch.cuda.synchronize()

        step()
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as seen:
            step()
        return [e.name for e in seen.events() if e.device_type == torch.autograd.DeviceType.CUDA]

    ours, theirs = launches("triton"), launches("torch_csr")
    assert len(ours) <= len(theirs) + 3, (ours, theirs)


# Sizes: offsets of more than 32 bits, by memory where there is much, and by reading the kernels.


@pytest.mark.cuda
@pytest.mark.slow
def test_more_than_32_bits_of_input():
    features, batch = 2**16, 2**15 + 64  # more than 2^31 numbers
    x = torch.zeros(batch, features, dtype=torch.bfloat16, device=DEVICE)
    x[:, -1] = 3.0
    topology = el.Topology(features, 1, [(features - 1, 0)]).to(DEVICE)
    weight = torch.tensor([2.0], dtype=torch.bfloat16, device=DEVICE)
    y = triton.spmm(weight, x, topology)
    assert torch.equal(y, torch.full_like(y, 6.0))
    w = triton.sddmm(torch.ones_like(y), x, topology, torch.float32)
    assert w.tolist() == [3.0 * batch]
    dx = triton.spmm(weight, torch.ones_like(y), topology.T)  # as large an output
    assert dx.count_nonzero() == batch and (dx[:, -1] == 2.0).all()


def test_no_kernel_is_launched_with_wider_numbers_than_it_was_compiled_for(monkeypatch):
    seen = {}

    class Kernels:
        def get(self, key):
            def launch(*arguments):
                types = [a.bit_length() > 31 if type(a) is int else type(a) for a in arguments]
                assert seen.setdefault(key, types) == types

            grid = type("Kernel", (), {"__getitem__": lambda self, grid: launch})
            return grid(), []

    monkeypatch.setattr(triton, "_compiled", Kernels())
    many = 2**31 + 8  # of tensors without memory

    def meta(*shape, dtype=torch.int64):
        return torch.empty(shape, dtype=dtype, device="meta")

    for rows, edges in ((2, 3), (many, 3), (2, many)):
        ends = meta(edges)
        views = (View(ends, meta(size + 1), ends, None) for size in (rows, many))
        topology = el.Topology._from_views(*views)
        x, grad = meta(1, many, dtype=torch.float32), meta(1, rows, dtype=torch.float32)
        triton.spmm(meta(edges, dtype=torch.float32), x, topology)
        triton.sddmm(grad, x, topology, torch.float32)
    x = meta(4 * many, dtype=torch.float32)
    for strides in ((2, 2), (many, 2), (2, many), (many, many)):
        triton._transposed(x.as_strided((2, 2), strides), 2)
    assert {name for _, name, *_ in seen} == {"walk", "edge_dots", "transpose"}


# Compiles every kernel for a GPU, and reads the result.
COMPILE = """
import pathlib, re, subprocess, sys, tempfile
import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from edgelinear.backends import triton as backend, triton_kernels as kernels

READER = pathlib.Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
TYPES = {"fp32": (tl.float32, 4), "bf16": (tl.float32, 2), "fp64": (tl.float64, 8)}
VECTOR = "LDG.E.128"

def check(kernel, warps=1, **arguments):
    # Returns how many instructions and vector loads the first loop has.
    types = {name: value for name, value in arguments.items() if type(value) is str}
    signature = {name: types.get(name, "constexpr") for name in kernel.arg_names}
    constants = {name: arguments.get(name) for name in kernel.arg_names if name not in types}
    # As in a call whose tensors are aligned. Of numbers, nothing is known.
    aligned = [kernel.arg_names.index(name) for name in types if "*" in types[name]]
    attributes = {(place,): [["tt.divisibility", 16]] for place in aligned}
    made = compile(
        ASTSource(kernel, signature, constants, attributes),
        target=GPUTarget("cuda", int(sys.argv[1]), 32),
        options={"num_warps": warps, "enable_fp_fusion": False},
    )
    print(kernel.__name__)
    # Offsets of 32 bits would wrap around beyond 2^31 elements: none but constant ones.
    ttir = made.asm["ttir"]
    assert "atomic" not in ttir
    if not arguments.get("NARROW", False):
        known = re.findall(r"(%\\w+) = arith.constant", ttir)
        pointers = re.findall(r"tt.addptr %\\S+, (%\\w+) : (\\S+), (\\S+)", ttir)
        pointers = [p for p in pointers if "ptr<i" not in p[1] or re.search(r"<\\d+x\\d+x", p[1])]
        assert pointers
        for offset, _, kind in pointers:
            assert "i64" in kind or offset in known, (kernel.__name__, offset, kind)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(made.asm["cubin"])
        file.flush()
        def read(what):
            command = [READER, what, file.name]
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout
        usage, code = read("--dump-resource-usage"), read("--dump-sass")
    # Registers that do not suffice spill onto the stack.
    assert "STACK:0 " in usage and "LOCAL:0" in usage, (usage, arguments)
    lines = re.findall(r"/\\*([0-9a-f]{4,})\\*/\\s+([^;]+);", code)
    lines = [(int(at, 16), text) for at, text in lines]
    for at, text in lines:
        back = re.search(r"BRA\\S* .*?(0x[0-9a-f]+)", text)
        if back and int(back[1], 16) < at:
            loop = [text for place, text in lines if int(back[1], 16) <= place <= at]
            return len(loop), sum(VECTOR in text for text in loop)

def walk(data, index, tile, **others):
    rows, samples, warps = tile
    numbers, ids = f"*{data}", f"*{index}"
    common = dict(
        weight=numbers, indptr=ids, indices=ids, x=numbers, x_stride="i32", y=numbers,
        y_stride="i32", batch="i32", rows="i32", num_pieces=0, own_stride=0, LANES=16, LOG_LANES=4,
        ROWS=rows, SAMPLES=samples, LOG_SAMPLES=samples.bit_length() - 1, SUMS=TYPES[data][0],
        PIECE=1024, X_BY_FEATURE=True, OWN_BY_FEATURE=True, Y_BY_FEATURE=False, NARROW=True,
    )
    return check(kernels.walk, warps, **common | others)

def dots(kernel, data, samples, **others):
    numbers = f"*{data}"
    common = dict(
        a=numbers, a_stride="i32", b=numbers, b_stride="i32", w=numbers, batch="i32",
        EDGES=16 if samples > 16 else 64, SAMPLES=samples, LOG_SAMPLES=samples.bit_length() - 1,
        SUMS=TYPES[data][0], A_BY_FEATURE=True, B_BY_FEATURE=True, NARROW=True,
    )
    return check(kernel, **common | others)

for data, (sums, size) in TYPES.items():
    numbers = f"*{data}"
    for batch in (1, 8, 16, 64):
        tile = backend._tile(batch, size, batch != 64, False)
        walk(data, "i32", tile)
    for index in ("i32", "i64"):
        ids = f"*{index}"
        for batch in (1, 64):
            pieces = dict(pieces=ids, parts=f"*{sums.name}", num_pieces="i32")
            alike, ragged, small = (
                backend._tile(batch, size, alike, dotted) for alike, dotted in
                ((True, False), (False, False), (False, True))
            )
            walk(data, index, alike, bias=numbers, NARROW=False)
            ids_and_pieces = dict(edge_ids=ids, **pieces)
            walk(data, index, ragged, order=ids, NARROW=False, X_BY_FEATURE=False, **ids_and_pieces)
            own = dict(own=numbers, own_stride="i32", dots=numbers)
            walk(data, index, small, Y_BY_FEATURE=True, **own, **ids_and_pieces)
            dots(kernels.edge_dots, data, batch, src=ids, dst=ids, num_edges="i32", NARROW=False)
            row = dict(indptr=ids, indices=ids, shares="i32", PIECE=1024, num_pieces=0)
            dots(kernels.row_dots, data, 64, **row, NARROW=False)
            row |= dict(pieces=ids, num_pieces="i32", edge_ids=ids)
            dots(kernels.row_dots, data, 64, **row)
            check(
                kernels.join, indptr=ids, pieces=ids, parts=f"*{sums.name}", bias=numbers,
                y=numbers, y_stride="i32", batch="i32", num_pieces="i32", SAMPLES=batch, SUMS=sums,
                PIECE=1024, Y_BY_FEATURE=False,
            )
    check(
        kernels.transpose, 4, x=numbers, row_stride="i32", column_stride="i32", y=numbers,
        y_stride="i32", rows="i32", columns="i32", SIDE=32, UNIT=1,
    )

# What was won, of a loop over 16 edges of 64 samples in float32. Where the batch is taken as it is,
# `walk` has 477 instructions and 64 narrow loads if 16 does not divide it and 223 if it does, and
# `edge_dots` 284 and 118.
for samples, most, vectors in ((64, 112, 8), (32, 64, 4), (16, 48, 2)):
    length, loads = walk("fp32", "i32", (1, samples, 1))
    assert length / (loads / vectors) <= most and loads % vectors == 0, (samples, length, loads)
ends = dict(src="*i32", dst="*i32", num_edges="i32")
rows = dict(indptr="*i32", indices="*i32", num_pieces=0, shares="i32", PIECE=1024)
for kernel, most, vectors, others in (
    (kernels.edge_dots, 131, 16, ends), (kernels.row_dots, 92, 8, rows)
):
    length, loads = dots(kernel, "fp32", 64, **others)
    assert length <= most and loads >= vectors, (kernel.__name__, length, loads)
"""


# Asks Triton itself, of many calls, whether what it would compile anew for has other `kinds` too.
KINDS = """
import random
import torch
from triton.backends.compiler import GPUTarget
from triton.compiler import make_backend
from triton.runtime.jit import create_function_from_signature
import edgelinear as el
from edgelinear.backends import triton as backend, triton_kernels as kernels

TARGET = make_backend(GPUTarget("cuda", 90, 32))
TYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
seen = {}

def launch(kinds, programs, arguments, constants):
    kernel = getattr(kernels, kinds[0])
    ask = create_function_from_signature(kernel.signature, kernel.params, TARGET)
    named = constants()
    warps = named.pop("num_warps")
    told = str((warps, ask(*arguments, **named)[1], named))
    assert seen.setdefault(kinds, told) == told, (kinds, seen[kinds], told)

def lay(rows, columns, dtype):
    wide = torch.empty(2 * rows + 32, 2 * columns + 32, dtype=dtype)
    flat = wide.view(-1)[random.choice((0, 1)) :][: rows * columns]
    step = random.choice((1, 2))
    return random.choice((
        flat.view(rows, columns), flat.view(columns, rows).t(), wide[:1, :columns].expand(rows, -1),
        wide[:rows, 1 : columns + 1], wide[: step * rows : step, : step * columns : step],
    ))

backend._launch = launch
random.seed(0)
topologies = []
for sizes, edges in (((1, 1), 1), ((40, 3), 60), ((3000, 5), 6000), ((64, 64), 3000)):
    made = el.generators.erdos_renyi(*sizes, num_edges=edges)
    mixed = el.Topology(*sizes, made.edge_index[:, torch.randperm(edges)])
    wide = [None if t is None else t.long() for t in made._tensors]
    topologies += [made, made.T, mixed, el.Topology._from_tensors(tuple(wide))]
for _ in range(500):
    topology, dtype, other = random.choice(topologies), random.choice(TYPES), random.choice(TYPES)
    batch = random.choice((1, 2, 5, 8, 16, 17, 33, 48, 64, 100, 128))
    backend._SMALL = random.choice((0, 1 << 20))
    weight = lay(1, topology.num_edges, other)[0]
    bias = random.choice((None, lay(1, topology.out_features, random.choice(TYPES))[0]))
    x, grad = lay(batch, topology.in_features, dtype), lay(batch, topology.out_features, dtype)
    backend.spmm(weight, x, topology, bias)
    backend.sddmm(grad, x, topology, other)
    backend.gradients(grad, weight, x, topology, other)
print(*sorted({kinds[0] for kinds in seen}))
"""


def run_python(code, *arguments):
    """Run code in a process where nothing is interpreted, and return what it prints."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("capability", [80, 90])
def test_kernels_compile_without_atomics_and_with_wide_offsets(capability):
    said = run_python(COMPILE, str(capability)).splitlines()
    assert set(said) == {"walk", "join", "edge_dots", "row_dots", "transpose"}


def test_kinds_tell_apart_what_triton_does():
    assert run_python(KINDS).split() == ["edge_dots", "join", "row_dots", "transpose", "walk"]


def test_nothing_is_imported_for_a_tensor_on_the_cpu(monkeypatch):
    topology, x, weight = el.Topology(2, 2, [(0, 1)]), torch.ones(1, 2), torch.ones(1)
    monkeypatch.setitem(sys.modules, "triton", None)  # makes the import fail
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    reason = el.backends.why_not("triton", x, weight, topology)
    assert reason == "its kernels run on CUDA: the input is on cpu, the weight on cpu"
    with pytest.raises(RuntimeError, match="backend='triton' cannot be used: its kernels run on"):
        el.edge_linear(x, weight, topology, backend="triton")


def test_missing_triton_is_told(monkeypatch):
    topology, x, weight = el.Topology(2, 2, [(0, 1)]), torch.ones(1, 2), torch.ones(1)
    monkeypatch.setitem(sys.modules, "triton", None)
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    reason = el.backends.why_not("triton", x, weight, topology)
    assert reason is not None and "triton" in reason and "cannot be imported" in reason


def test_old_device_is_told(monkeypatch):
    topology, weight, x, *_ = on_device(PROBLEMS["sorted"], torch.float32)
    monkeypatch.setattr(torch.Tensor, "is_cuda", True)
    monkeypatch.setattr(triton, "_capability", lambda device: (6, 1))
    reason = el.backends.why_not("triton", x, weight, topology)
    assert reason == "Triton takes devices of compute capability 7.0 or more, and this one has 6.1"


def test_rocm_is_told(monkeypatch):
    topology, weight, x, *_ = on_device(PROBLEMS["sorted"], torch.float32)
    monkeypatch.setattr(torch.version, "hip", "7.1")
    reason = el.backends.why_not("triton", x, weight, topology)
    assert reason == "its kernels are for CUDA, and this build of torch is for ROCm"
