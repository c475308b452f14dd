"""Every backend on every graph, against a dense matmul in float64."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from problems import (
    PROBLEMS,
    WITHOUT_KERNELS,
    Problem,
    backend_params,
    dense,
    hub_edges,
    random,
    random_edges,
    skip_unless_usable,
    with_int64,
)
from torch.testing import assert_close

import edgelinear as el
from edgelinear import ops
from edgelinear.backends import cpp, reference, shared, torch_csr, torch_scatter, torch_sparse

backends = pytest.mark.parametrize("backend", backend_params())
problems = pytest.mark.parametrize("name", PROBLEMS)
HALF = (torch.float16, torch.bfloat16)
BACKENDS_FOLDER = Path(el.backends.__file__).parent


def setup(name, backend, dtype=torch.float64):
    problem = PROBLEMS[name]
    topology, weight, x = problem.topology(), problem.weight(dtype), problem.x(dtype)
    skip_unless_usable(backend, x, weight, topology)
    return problem, topology, weight, x


@backends
@problems
def test_spmm_equals_dense_matmul(name, backend):
    problem, topology, weight, x = setup(name, backend)
    y = ops.spmm(weight, x, topology, backend)
    assert_close(y, x @ dense(weight, problem).T)
    assert y.is_contiguous()


@backends
@problems
def test_sddmm_equals_dense_matmul_at_the_edges(name, backend):
    problem, topology, _, x = setup(name, backend)
    grad = problem.grad()
    w = ops.sddmm(grad, x, topology, backend=backend)
    src, dst = problem.edge_index
    assert_close(w, (grad.T @ x)[dst, src])


@backends
@problems
def test_transpose_equals_transposed_matmul(name, backend):
    problem, topology, weight, _ = setup(name, backend)
    dx = ops.spmm(weight, problem.grad(), topology.T, backend)
    assert_close(dx, problem.grad() @ dense(weight, problem))


@backends
@problems
@pytest.mark.parametrize("dtype", [torch.float32, *HALF], ids=str)
def test_step_errs_at_most_twice_as_much_as_dense_torch(name, backend, dtype):
    problem, topology, weight, x = setup(name, backend, dtype)
    grad = problem.grad(dtype)

    def step(weight, x, apply):
        weight, x = weight.clone().requires_grad_(), x.clone().requires_grad_()
        y = apply(weight, x)
        y.backward(grad.to(y.dtype))
        return [t.detach().double() for t in (y, x.grad, weight.grad)]

    def plain_torch(weight, x):
        if dtype in HALF:  # the dense product accumulates in float32, as we must
            matrix = dense(weight.float(), problem)  # parallel weights summed without rounding
            return F.linear(x.float(), matrix).to(dtype)
        src, dst = problem.edge_index
        y = x.new_zeros(x.shape[0], problem.out_features)
        return y.index_add(1, dst, x[:, src] * weight)

    truth = step(weight.double(), x.double(), lambda w, x: F.linear(x, dense(w, problem)))
    theirs = step(weight, x, plain_torch)
    ours = step(weight, x, lambda w, x: el.edge_linear(x, w, topology, backend=backend))
    for our, their, exact in zip(ours, theirs, truth, strict=True):
        if exact.numel() == 0:
            assert our.shape == exact.shape
            continue
        # Where plain torch happens to be exact, one rounding of the largest number is allowed.
        rounding = torch.finfo(dtype).eps * exact.abs().max()
        assert (our - exact).abs().max() <= 2 * (their - exact).abs().max() + rounding


@backends
@pytest.mark.parametrize("dtype", HALF, ids=str)
def test_half_hub_of_ten_thousand_ones_is_exact(backend, dtype):
    n = 10_000
    hub = Problem(n, 1, torch.stack([torch.arange(n), torch.zeros(n, dtype=torch.long)]))
    ones = torch.ones(n, dtype=dtype)
    skip_unless_usable(backend, ones[None], ones, hub.topology())
    expected = torch.tensor([[float(n)]], dtype=dtype)
    assert torch.equal(ops.spmm(ones, ones[None], hub.topology(), backend), expected)
    # The input gradient of the reversed graph sums the same ten thousand ones.
    x = torch.ones(1, 1, dtype=dtype, requires_grad=True)
    y = ops.spmm(ones, x, hub.topology().T, backend)
    y.backward(torch.ones_like(y))
    assert torch.equal(x.grad, expected)
    # So does the weight gradient of one edge over a batch.
    one = el.Topology(1, 1, [(0, 0)])
    column = torch.ones(n, 1, dtype=dtype)
    assert torch.equal(ops.sddmm(column, column, one, backend=backend), expected[0])


@backends
@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_inf_and_nan_travel_along_edges_only(backend, value):
    topology = el.Topology(3, 3, [(0, 0), (1, 0), (1, 1), (2, 2)])
    x = torch.tensor([[1.0, value, 1.0], [1.0, 1.0, 1.0]])
    weight = torch.ones(4)
    skip_unless_usable(backend, x, weight, topology)
    y = ops.spmm(weight, x, topology, backend)
    assert y.isfinite().tolist() == [[False, False, True], [True, True, True]]
    w = ops.sddmm(torch.ones(2, 3), x, topology, backend=backend)
    assert w.isfinite().tolist() == [True, False, False, True]


@backends
@pytest.mark.parametrize("name", ["sorted", "unsorted"])
def test_any_strides_give_the_same_bits(name, backend):
    problem, topology, weight, x = setup(name, backend)
    every_other = torch.empty(x.shape[0] * 2, x.shape[1] * 3, dtype=x.dtype)[::2, ::3]
    every_other.copy_(x)
    by_column = x.t().contiguous().t()
    expected = ops.spmm(weight, x, topology, backend)
    assert torch.equal(ops.spmm(weight, every_other, topology, backend), expected)
    assert torch.equal(ops.spmm(weight, by_column, topology, backend), expected)
    strided_weight = torch.stack([weight, weight], 1)[:, 0]
    assert torch.equal(ops.spmm(strided_weight, x, topology, backend), expected)
    expanded = torch.ones((), dtype=weight.dtype).expand(len(weight))
    ones = ops.spmm(torch.ones_like(weight), x, topology, backend)
    assert torch.equal(ops.spmm(expanded, x, topology, backend), ones)


@backends
def test_int64_indices_give_the_same_result(backend):
    problem, topology, weight, x = setup("unsorted", backend)
    wide = with_int64(topology)
    skip_unless_usable(backend, x, weight, wide)
    assert_close(ops.spmm(weight, x, wide, backend), ops.spmm(weight, x, topology, backend))
    grad = problem.grad()
    expected = ops.sddmm(grad, x, topology, backend=backend)
    assert_close(ops.sddmm(grad, x, wide, backend=backend), expected)


@pytest.mark.parametrize("backend", backend_params("reference", "torch_scatter", "torch_sparse"))
def test_slices_of_edges_add_up(backend, monkeypatch):
    monkeypatch.setattr(shared, "SLICE_ELEMENTS", 12)  # 2 or 3 edges at a time, rows cut
    test_spmm_equals_dense_matmul("hub", backend)
    test_spmm_equals_dense_matmul("empty_rows_and_columns", backend)
    test_sddmm_equals_dense_matmul_at_the_edges("unsorted", backend)


@backends
def test_memory_of_a_step_follows_edges(backend):
    n, num_edges, batch = 2000, 40_000, 256
    topology = el.Topology(n, n, random_edges(n, n, num_edges))
    weight = random(num_edges, dtype=torch.float32).requires_grad_()
    x = random(batch, n, dtype=torch.float32).requires_grad_()
    skip_unless_usable(backend, x, weight, topology)

    def step():
        el.edge_linear(x, weight, topology, backend=backend).sum().backward()

    step()
    weight.grad = x.grad = None
    with torch.profiler.profile(profile_memory=True) as profile:
        step()
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    features = 4 * batch * 2 * n  # bytes of x and y
    slices = 3 * 4 * shared.SLICE_ELEMENTS
    assert peak > features
    assert peak < 5 * features + 48 * num_edges + slices < 4 * batch * num_edges


def test_auto_takes_the_first_usable_backend(monkeypatch):
    topology, x, weight = el.Topology(2, 2, [(0, 1)]), torch.ones(1, 2), torch.ones(1)
    assert el.backends.select("auto", x, weight, topology).__name__.endswith("cpp")
    monkeypatch.setattr(cpp, "_kernels", "they were not built")
    assert el.backends.select("auto", x, weight, topology).__name__.endswith(WITHOUT_KERNELS)
    wide = with_int64(topology)
    assert el.backends.select("auto", x, weight, wide).__name__.endswith("reference")


@pytest.mark.skipif(
    "EDGELINEAR_REQUIRE_KERNELS" not in os.environ, reason="an install may be pure Python"
)
def test_kernels_are_built():
    assert cpp.why_not(torch.ones(1, 2), torch.ones(1), el.Topology(2, 2, [(0, 1)])) is None


def test_auto_never_picks_the_compiled_packages(monkeypatch):
    topology, x, weight = el.Topology(2, 2, [(0, 1)]), torch.ones(1, 2), torch.ones(1)
    for package in (torch_scatter, torch_sparse):
        monkeypatch.setattr(package, "why_not", lambda *arguments: None)
    for ours in (cpp, torch_csr):
        monkeypatch.setattr(ours, "why_not", lambda *arguments: "it is switched off")
    assert el.backends.select("auto", x, weight, topology) is reference


def test_unknown_backend_is_refused():
    with pytest.raises(
        ValueError, match="`backend` must be one of .*'torch_csr'.*, got 'cusparse'"
    ):
        el.EdgeLinear(2, 2, [(0, 1)], backend="cusparse")
    with pytest.raises(ValueError, match="got 'cusparse'"):
        el.edge_linear(
            torch.ones(2), torch.ones(1), el.Topology(2, 2, [(0, 1)]), backend="cusparse"
        )


@pytest.mark.parametrize("name", ["torch_scatter", "torch_sparse"])
def test_named_backend_that_is_not_installed_is_refused(name, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)  # makes the import fail
    layer = el.EdgeLinear(2, 2, [(0, 1)], backend=name)
    message = f"backend='{name}' cannot be used: {name.replace('_', '-')} is not installed .*pyg"
    with pytest.raises(RuntimeError, match=message):
        layer(torch.ones(1, 2))
    with pytest.raises(RuntimeError, match=message):
        layer.backend_for(torch.ones(1, 2))


@pytest.mark.parametrize("name", ["torch_scatter", "torch_sparse"])
def test_broken_install_is_told_from_a_missing_one(name, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / f"{name}.py").write_text("raise OSError('undefined symbol: _ZN5torch')")
    reason = el.backends.why_not(name, torch.ones(1, 2), torch.ones(1), el.Topology(2, 2, []))
    assert reason == f"{name} cannot be imported: undefined symbol: _ZN5torch"


@pytest.mark.pyg
@pytest.mark.parametrize("name", ["torch_scatter", "torch_sparse"])
def test_more_than_32_bit_offsets_are_refused(name):
    topology = el.Topology(2**16, 2**16, [(0, 0)])
    x = torch.empty(1, device="meta").expand(2**15, 2**16)
    reason = el.backends.why_not(name, x, torch.ones(1), topology)
    assert reason is not None and "2147483648" in reason
    assert el.backends.why_not(name, x[:-1], torch.ones(1), topology) is None


@backends
def test_hub_is_bit_equal_from_run_to_run(backend):
    hub = Problem(3000, 40, hub_edges(3000, 40), batch=9)
    topology, weight, x = hub.topology(), hub.weight(torch.float32), hub.x(torch.float32)
    skip_unless_usable(backend, x, weight, topology)
    first = ops.spmm(weight, x, topology, backend)
    assert all(torch.equal(ops.spmm(weight, x, topology, backend), first) for _ in range(5))


def test_no_backend_imports_another():
    for name in (*el.backends.BACKENDS, "shared", "library"):
        tree = ast.parse((BACKENDS_FOLDER / f"{name}.py").read_text())
        imported = {
            f"{node.module}.{alias.name}"
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        others = {f"edgelinear.backends.{other}" for other in el.backends.BACKENDS}
        assert not [i for i in imported for other in others if f"{i}.".startswith(f"{other}.")], (
            name
        )


# Whether torch warns that CSR tensors are in beta, which it does once in a process.
BUILD_CSR = "torch.sparse_csr_tensor([0, 0], [], [], (1, 1), check_invariants=False)\n"
USE_OURS = "el.EdgeLinear(2, 2, [(0, 1)], backend='torch_csr')(torch.ones(1, 2)).sum().backward()\n"
IMPORT = "import torch, warnings\nwarnings.simplefilter('always')\nimport edgelinear as el\n"


@pytest.mark.skipif(not torch.backends.mkl.is_available(), reason="torch's CSR kernels need MKL")
@pytest.mark.parametrize(
    "code, warns",
    [
        (USE_OURS, False),
        (BUILD_CSR, True),
        (USE_OURS.replace("torch_csr", "cpp") + BUILD_CSR, True),
        (BUILD_CSR + USE_OURS, True),
    ],
    ids=["ours", "the user's", "the user's after the kernels", "the user's before ours"],
)
def test_beta_warning_of_csr_tensors_is_the_users(code, warns):
    done = subprocess.run([sys.executable, "-c", IMPORT + code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert ("beta state" in done.stderr) is warns
    assert done.stderr.count("UserWarning") == warns


def test_other_warnings_of_csr_tensors_stay_the_users():
    build = BUILD_CSR.replace(", check_invariants=False", "")
    said = []
    for code in (IMPORT + build, IMPORT + USE_OURS + build):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        said.append("invariant checks are implicitly disabled" in done.stderr)
    assert said[0] == said[1] == (torch.__version__[:5] != "2.10.")  # which says nothing of them


def test_import_loads_no_extra():
    extras = (
        "click rich pandas networkx matplotlib sklearn onnx onnxscript safetensors "
        "torch_scatter torch_sparse"
    ).split()
    code = f"import sys, edgelinear; print([m for m in {extras!r} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    baseline = subprocess.run(
        [sys.executable, "-c", code.replace("edgelinear", "torch")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == "[]" == baseline.stdout.strip()


def test_reference_gives_the_same_bits_for_any_threads_and_any_batch():
    hub = Problem(3000, 40, hub_edges(3000, 40), batch=9)
    topology, weight, x = hub.topology(), hub.weight(torch.float32), hub.x(torch.float32)
    grad = hub.grad(torch.float32)
    threads = torch.get_num_threads()
    try:
        results = []
        for number in (1, 2):
            torch.set_num_threads(number)
            y = ops.spmm(weight, x, topology, "reference")
            results.append((y, ops.sddmm(grad, x, topology, backend="reference")))
    finally:
        torch.set_num_threads(threads)
    for one, two in zip(*results, strict=True):
        assert torch.equal(one, two)
    alone = torch.cat([ops.spmm(weight, sample[None], topology, "reference") for sample in x])
    assert torch.equal(alone, results[0][0])
