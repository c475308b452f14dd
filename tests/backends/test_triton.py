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


@pytest.mark.parametrize("name", ["cut", "unsorted"])
def test_any_strides_give_the_same_bits(name):
    topology, weight, x, grad, _ = on_device(TABLE[name], torch.float32)
    y, w = triton.spmm(weight, x, topology), triton.sddmm(grad, x, topology, x.dtype)

    def spaced(m):
        wide = m.new_empty(m.shape[0] * 2, m.shape[1] * 3)[::2, ::3]
        return wide.copy_(m)

    for lay in (spaced, lambda m: m.t().contiguous().t(), lambda m: spaced(m.t()).t()):
        assert torch.equal(triton.spmm(spaced(weight[None])[0], lay(x), topology), y)
        assert torch.equal(triton.sddmm(lay(grad), x, topology, x.dtype), w)
        assert torch.equal(triton.sddmm(grad, lay(x), topology, x.dtype), w)
    row = x[:1].expand(x.shape)
    assert torch.equal(triton.spmm(weight, row, topology), y[:1].expand(y.shape))


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
    torch.library.opcheck(ops._sddmm_op, (*factors, *topology._tensors, x.dtype, False, "triton"))


@pytest.mark.parametrize("feature_major", [False, True], ids=["batch-major", "feature-major"])
def test_gradients_together_have_the_bits_of_each_alone(feature_major):
    topology, weight, x, grad, _ = on_device(CUT, torch.float32)
    if feature_major:
        x, grad = x.t().contiguous().t(), grad.t().contiguous().t()
    dw, dx = triton.gradients(grad, weight, x, topology, torch.float32)
    assert torch.equal(dw, triton.sddmm(grad, x, topology, torch.float32))
    assert torch.equal(dx, triton.spmm(weight, grad, topology.T))
    assert dx.is_contiguous() is not feature_major


def test_type_without_kernels_is_refused():
    topology, weight, x, *_ = on_device(PROBLEMS["sorted"])
    for pair in ((x, weight.to(torch.complex64)), (x.to(torch.float8_e4m3fn), weight)):
        assert "no kernels for" in el.backends.why_not("triton", *pair, topology)


def test_layer_runs_feature_major_inputs_as_they_lie(monkeypatch):
    topology, weight, x, _, bias = on_device(PROBLEMS["unsorted"])
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


# Compiles every kernel for a GPU, and reads the result.
COMPILE = """
import pathlib, re, subprocess, sys, tempfile
import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from edgelinear.backends import triton_kernels as kernels

def check(kernel, warps=1, **arguments):
    types = {name: value for name, value in arguments.items() if type(value) is str}
    signature = {name: types.get(name, "constexpr") for name in kernel.arg_names}
    constants = {name: arguments.get(name) for name in kernel.arg_names if name not in types}
    # As in a call whose tensors are aligned, with a batch that is a multiple of 16.
    multiples = [name for name in types if "*" in types[name] or name in ("batch", "x_stride")]
    attributes = {
        (kernel.arg_names.index(name),): [["tt.divisibility", 16]]
        for name in (*multiples, *(name for name in types if name in ("a_stride", "b_stride")))
    }
    made = compile(
        ASTSource(kernel, signature, constants, attributes),
        target=GPUTarget("cuda", int(sys.argv[1]), 32),
        options={"num_warps": warps},
    )
    # Offsets of 32 bits would wrap around beyond 2^31 elements: none but that of the next element.
    ttir = made.asm["ttir"]
    ones = re.findall(r"(%\\w+) = arith.constant (?:dense<)?1", ttir)
    pointers = re.findall(r"tt.addptr %\\S+, (%\\w+) : \\S+, (\\S+)", ttir)
    assert pointers
    for offset, kind in pointers:
        assert "i64" in kind or offset in ones, (kernel.__name__, offset, kind)
    print(kernel.__name__)
    reader = pathlib.Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(made.asm["cubin"])
        file.flush()
        command = [reader, "--dump-resource-usage", file.name]
        usage = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    # Registers that do not suffice spill onto the stack.
    assert "STACK:0 " in usage and "LOCAL:0" in usage, (usage, arguments)

for data, sums in (("fp32", tl.float32), ("bf16", tl.float32), ("fp64", tl.float64)):
    for index in ("i32", "i64"):
        numbers, ids = f"*{data}", f"*{index}"
        parts = f"*{sums.name}"
        for samples in (1, 64):
            common = dict(
                weight=numbers, indptr=ids, indices=ids, x=numbers, x_stride="i32", batch="i32",
                num_parts="i32", ROWS=16 // samples or 1, LANES=16, LOG_LANES=4, SAMPLES=samples,
                SUMS=sums, PIECE=1024,
            )
            check(kernels.spmm, **common, out=numbers, bias=numbers)
            check(kernels.spmm, **common, out=parts, edge_ids=ids, pieces=ids)
            check(
                kernels.join, indptr=ids, pieces=ids, parts=parts, bias=numbers, y=numbers,
                batch="i32", num_pieces="i32", SAMPLES=samples, SUMS=sums, PIECE=1024,
            )
            check(
                kernels.sddmm, src=ids, dst=ids, a=numbers, a_stride="i32", b=numbers,
                b_stride="i32", w=numbers, batch="i32", num_edges="i32", SAMPLES=samples,
                EDGES=(256 if samples <= 16 else 1024) // samples, SUMS=sums,
            )
    check(
        kernels.transpose, warps=4, x=numbers, row_stride="i32", column_stride="i32", y=numbers,
        rows="i32", columns="i32", SIDE=32,
    )
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
    assert set(said) == {"spmm", "join", "sddmm", "transpose"}


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
