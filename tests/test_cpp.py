"""The compiled kernels: every instruction set, tile and layout, their bits, and how they load."""

import ctypes
import os
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from problems import (
    PROBLEMS,
    WITHOUT_KERNELS,
    Problem,
    assert_rounded,
    dense_step,
    hub_edges,
    random,
    random_edges,
)
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.testing import assert_close

import edgelinear as el
from edgelinear import _torch, ops
from edgelinear.backends import cpp, library, reference
from edgelinear.topology.schedules import GROUP_ROWS

HALF = (torch.float16, torch.bfloat16)
# A row of 5,000 edges, so that three cuts fall into it, and rows of all lengths around it.
LONG = Problem(6000, 40, hub_edges(5000, 40), batch=19)
CUT = Problem(
    90, 80, torch.cat([random_edges(90, 80, 7000), random_edges(90, 80, 3000, seed=1)], 1)
)


def dense_edges(rows, columns):
    """Return edges in order: of empty, sparse and dense rows, an empty group of them, and repeats.

    Runs are made of them in both directions: some are longer than what is summed at a time.
    """
    generator = torch.Generator().manual_seed(0)
    density = torch.tensor([0.0, 0.05, 0.9, 0.3]).repeat(rows)[:rows, None]
    density[64:128] = 0.0
    copies = (torch.rand(rows, columns, generator=generator) < density).long()
    copies += copies * (torch.rand(rows, columns, generator=generator) < 0.01)
    dst, src = copies.nonzero().T
    return torch.stack([src, dst]).repeat_interleave(copies[dst, src], dim=1)


DENSE = Problem(1050, 1100, dense_edges(1100, 1050), batch=19)
# In the order of targets, and so many that the walk to their sources has bands.
BANDED = Problem(1600, 1500, random_edges(1600, 1500, 133_000), batch=19)
BANDED = BANDED._replace(edge_index=BANDED.topology().sorted()[0].edge_index)

cpp._first_use()
pytestmark = pytest.mark.skipif(
    type(cpp._kernels) is str and "EDGELINEAR_REQUIRE_KERNELS" not in os.environ,
    reason=str(cpp._kernels),
)


@pytest.fixture(params=getattr(cpp._kernels, "supported", ["none"]))
def instruction_set(request, monkeypatch):
    monkeypatch.setattr(cpp._kernels, "_set", library.INSTRUCTION_SETS.index(request.param))
    return request.param


@pytest.fixture(params=[1, 4, 8, 16, 32, 48, 64])
def width(request, monkeypatch):
    """Make every call cut the batch into tiles of this many samples, or what comes closest."""
    monkeypatch.setattr(cpp._kernels, "width", request.param)
    return request.param


def step(problem, dtype, weight_dtype=None, feature_major=False):
    """Return y, dx and dw of the kernels, of a dense matmul in float64, and sums of magnitudes."""
    weight_dtype = weight_dtype or dtype
    topology, weight, x = problem.topology(), problem.weight(weight_dtype), problem.x(dtype)
    grad, bias = problem.grad(dtype), random(problem.out_features, dtype=dtype, seed=4)
    if feature_major:
        x, grad = (m.t().contiguous().t() for m in (x, grad))
    ours = (
        cpp.spmm(weight, x, topology, bias),
        cpp.spmm(weight, grad, topology.T),
        cpp.sddmm(grad, x, topology, weight_dtype),
    )
    factors = [t.double() for t in (weight, x, grad, bias)]
    return ours, dense_step(problem, *factors), dense_step(problem, *[t.abs() for t in factors])


@pytest.mark.parametrize("feature_major", [False, True], ids=["batch-major", "feature-major"])
@pytest.mark.parametrize(
    "problem",
    [LONG, CUT, DENSE, BANDED, PROBLEMS["batch_many"]],
    ids=["long", "cut", "dense", "banded", "short"],
)
def test_every_tile_equals_dense_matmul(instruction_set, width, problem, feature_major):
    results = step(problem, torch.float64, feature_major=feature_major)
    for ours, truth, _ in zip(*results, strict=True):
        assert_close(ours, truth)


def test_dense_rows_have_runs():
    topology = DENSE.topology()
    assert topology._target_view.runs is not None and topology._source_view.runs is not None


def test_bands_share_out_the_edges():
    topology = BANDED.topology()
    bands, fan_out = topology._target_view.bands, torch.bincount(topology.src.long())
    assert bands[0] == 0 and bands[-1] == topology.in_features
    counts = torch.stack([fan_out[a:b].sum() for a, b in zip(bands[:-1], bands[1:], strict=True)])
    assert counts.sum() == topology.num_edges
    assert counts.max() - counts.min() <= 2 * fan_out.max()


@pytest.mark.parametrize("order", ["by source", "none", "of one source"])
def test_other_orders_and_hubs_have_no_bands_by_target(order):
    edges, n = BANDED.edge_index, 1600
    if order == "by source":
        edges = edges[:, (edges[0] * n + edges[1]).argsort()]
    elif order == "none":
        edges = edges.flip(1)
    else:  # a source of more edges than a thread should have
        hub = torch.stack([torch.zeros(3000, dtype=torch.long), torch.arange(3000)])
        edges = torch.cat([edges, hub], 1).unique(dim=1)
        edges = edges[:, (edges[1] * n + edges[0]).argsort()]
    assert el.Topology(n, 3000, edges)._target_view.bands is None


@pytest.mark.parametrize("name", [*PROBLEMS, "dense", "banded"])
@pytest.mark.parametrize(
    "dtype, weight_dtype",
    [(d, d) for d in (torch.float64, torch.float32, *HALF)] + [(d, torch.float32) for d in HALF],
    ids=str,
)
def test_every_type_equals_dense_matmul(instruction_set, name, dtype, weight_dtype):
    problem = {**PROBLEMS, "dense": DENSE, "banded": BANDED}[name]
    for ours, truth, magnitude in zip(*step(problem, dtype, weight_dtype), strict=True):
        assert_rounded(ours, truth, magnitude)


@pytest.mark.parametrize("dtype", HALF, ids=str)
def test_half_types_convert_as_in_torch(instruction_set, dtype):
    n = 2**16
    topology = el.Topology(n, n, torch.arange(n).expand(2, n))
    x = torch.arange(n).to(torch.uint16).view(dtype)[None]
    # Multiplied by numbers that make every half round, up and down, under- and overflow.
    for factor in (1.0, 1 + 2**-9, 0.75, 1 / 3, 3.0e-5, 7.0e3):
        weight = torch.full((n,), factor)
        for batch in (1, 3, 40):
            y = cpp.spmm(weight, x.expand(batch, n), topology)
            expected = (x.float() * factor).to(dtype).expand(batch, n)
            assert_close(y, expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, *HALF], ids=str)
@pytest.mark.parametrize("other", [torch.float64, torch.float32, *HALF], ids=str)
def test_types_may_differ(dtype, other):
    problem = PROBLEMS["unsorted"]
    topology, weight, x = problem.topology(), problem.weight(other), problem.x(dtype)
    y = cpp.spmm(weight, x, topology)
    assert y.dtype == dtype
    assert_close(y, reference.spmm(weight, x, topology))
    a = problem.grad(other)
    for result in (dtype, other):
        w = cpp.sddmm(a, x, topology, result)
        assert w.dtype == result
        truth = reference.sddmm(a.double(), x.double(), topology, torch.float64)
        magnitude = reference.sddmm(a.double().abs(), x.double().abs(), topology, torch.float64)
        assert_rounded(w, truth, magnitude)


def test_default_type_does_not_matter_at_first_use():
    code = "import torch; torch.set_default_dtype(torch.float64)\n"
    code += "from edgelinear.backends import cpp; print(type(cpp._first_use()) is str)"
    assert run_python(code) == "False"


def test_every_thread_may_be_the_first_to_call():
    x = torch.ones(1, 300)
    for _ in range(20):
        topology = el.Topology(300, 300, random_edges(300, 300, 900))
        with ThreadPoolExecutor(8) as pool:
            futures = [pool.submit(cpp.spmm, torch.ones(900), x, topology) for _ in range(8)]
        assert all(torch.equal(f.result()[0], topology.fan_in.float()) for f in futures)


# Bits.


@pytest.mark.parametrize(
    "problem",
    [LONG, CUT, DENSE, BANDED, PROBLEMS["unsorted"]],
    ids=["long", "cut", "dense", "banded", "short"],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_sample_has_the_same_bits_alone_and_in_any_batch(instruction_set, problem, dtype):
    topology, weight = problem.topology(), problem.weight(dtype)
    topology = topology.T if problem is BANDED else topology
    x = random(130, topology.in_features, dtype=dtype)
    bias = random(topology.out_features, dtype=dtype)
    alone = torch.cat([cpp.spmm(weight, sample[None], topology, bias) for sample in x])
    for batch in (2, 4, 5, 8, 9, 16, 33, 48, 64, 65, 130):
        y = cpp.spmm(weight, x[:batch], topology, bias)
        assert torch.equal(y, alone[:batch])
        by_feature = cpp.spmm(weight, x[:batch].t().contiguous().t(), topology, bias)
        assert torch.equal(by_feature, alone[:batch])


@pytest.mark.parametrize("feature_major", [False, True], ids=["batch-major", "feature-major"])
@pytest.mark.parametrize(
    "problem", [LONG, CUT, DENSE, PROBLEMS["unsorted"]], ids=["long", "cut", "dense", "short"]
)
@pytest.mark.parametrize(
    "dtype, weight_dtype",
    [
        (torch.float32, torch.float32),
        (torch.bfloat16, torch.bfloat16),
        (torch.float16, torch.float32),
    ],
    ids=str,
)
def test_one_walk_for_both_gradients_has_the_bits_of_two(
    monkeypatch, instruction_set, width, problem, feature_major, dtype, weight_dtype
):
    topology, weight = problem.topology(), problem.weight(weight_dtype)
    x, grad = problem.x(dtype), problem.grad(dtype)
    if feature_major:
        x, grad = x.t().contiguous(), grad.t().contiguous()
    gradients = []
    for one_walk in (True, False):
        monkeypatch.setattr(cpp, "_one_walk", lambda *_, answer=one_walk: answer)
        inputs = (weight.clone().requires_grad_(), x.clone().requires_grad_())
        y = ops.spmm(*inputs, topology, "cpp", feature_major=feature_major)
        gradients.append(torch.autograd.grad(y, inputs, grad))
    for one, two in zip(*gradients, strict=True):
        assert one.dtype == two.dtype and one.stride() == two.stride()
        assert torch.equal(one, two)


@pytest.mark.parametrize(
    "size, order, batch, dtype, one_walk",
    [
        ((100, 100, 3000), "by target", 64, torch.float32, True),  # few edges
        ((100, 100, 3000), "by target", 65, torch.float32, False),
        ((100, 100, 3000), "by target", 32, torch.float64, True),
        ((100, 100, 3000), "by target", 33, torch.float64, False),
        ((100, 100, 3000), "by target", 8, torch.bfloat16, False),
        ((400, 400, 12_000), "by target", 8, torch.float32, False),
        ((400, 400, 12_000), "by source", 8, torch.float32, True),
        ((400, 400, 12_000), "none", 32, torch.float32, True),
        ((400, 400, 12_000), "none", 33, torch.float32, False),
        ((4000, 400, 12_000), "by target", 8, torch.float32, True),  # few edges for the inputs
    ],
)
def test_one_walk_is_taken_where_it_pays(monkeypatch, size, order, batch, dtype, one_walk):
    topology, products = el.Topology(*size[:2], random_edges(*size)), []
    if order == "by target":
        topology, _ = topology.sorted()
    elif order == "by source":
        topology = topology.T.sorted()[0].T
    run = cpp._kernels.run
    monkeypatch.setattr(cpp._kernels, "run", lambda *a, **k: (products.append(a[0]), run(*a, **k)))
    weight = torch.ones(topology.num_edges, dtype=dtype, requires_grad=True)
    x = torch.ones(batch, topology.in_features, dtype=dtype, requires_grad=True)
    ops.spmm(weight, x, topology, "cpp").sum().backward()
    assert products == (
        [library.SUMS, library.BOTH] if one_walk else [library.SUMS, library.DOTS, library.SUMS]
    )


def wide_problem(batch):
    n = 3000
    edges = torch.cat([random_edges(n, n, 60_000), hub_edges(n, n)], 1).unique(dim=1)
    return Problem(n, n, edges[:, torch.randperm(edges.shape[1])], batch)


@pytest.mark.parametrize("batch", [1, 4, 64, 200])
@pytest.mark.parametrize("kind", ["hub", "dense", "banded"])
def test_bits_are_the_same_for_any_number_of_threads(monkeypatch, instruction_set, batch, kind):
    monkeypatch.setattr(cpp, "_one_walk", lambda *_: kind != "banded")
    problems = {"hub": wide_problem(batch), "dense": DENSE, "banded": BANDED}
    problem = problems[kind]._replace(batch=batch)
    topology, weight = problem.topology(), problem.weight(torch.float32)
    x, grad = problem.x(torch.float32), problem.grad(torch.float32)
    threads, results = torch.get_num_threads(), []
    for number in (1, 2, 3, 7, 7):
        torch.set_num_threads(number)
        y, dx = cpp.spmm(weight, x, topology), cpp.spmm(weight, grad, topology.T)
        dw = cpp.sddmm(grad, x, topology, x.dtype)
        both = cpp.gradients(grad, weight, x, topology, x.dtype) or ()
        results.append((y, dx, dw, *both))
    torch.set_num_threads(threads)
    for result in results[1:]:
        assert all(map(torch.equal, result, results[0]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_walk_is_by_the_order_of_weights_where_there_are_bands(monkeypatch, dtype):
    topology, products = BANDED.topology(), []
    run = cpp._kernels.run
    monkeypatch.setattr(cpp._kernels, "run", lambda *a, **k: (products.append(a[0]), run(*a, **k)))
    for wiring in (topology, topology.T):
        cpp.spmm(BANDED.weight(dtype), torch.ones(2, wiring.in_features, dtype=dtype), wiring)
    half = dtype == torch.bfloat16  # such weights are put in order in any case
    assert products == [library.SUMS, library.SUMS if half else library.SPREAD]


def test_million_edges_into_one_target_add_up_exactly():
    n = 10**6
    topology = el.Topology(n, 1, torch.stack([torch.arange(n), torch.zeros(n, dtype=torch.long)]))
    x = torch.ones(2, n)
    assert cpp.spmm(torch.ones(n), x, topology).tolist() == [[n], [n]]
    assert cpp.spmm(torch.ones(n), torch.ones(2, 1), topology.T).sum() == 2 * n


def test_bits_are_the_same_for_int64_indices():
    topology, weight, x = DENSE.topology(), DENSE.weight(torch.float32), DENSE.x(torch.float32)
    wide = el.Topology._from_tensors(tuple(v if v is None else v.long() for v in topology._tensors))
    grad = DENSE.grad(torch.float32)
    assert torch.equal(cpp.spmm(weight, x, wide), cpp.spmm(weight, x, topology))
    w = cpp.sddmm(grad, x, topology, torch.float32)
    assert torch.equal(cpp.sddmm(grad, x, wide, torch.float32), w)


# Sizes.


def test_more_than_32_bits_of_products():
    side, batch = 64, 2**20  # 2^32 products, of factors that take no memory
    topology = el.Topology(side, side, random_edges(side, side, side * side))
    x, grad = torch.ones(side).expand(batch, side), torch.arange(1.0, side + 1).expand(batch, side)
    w = cpp.sddmm(grad, x, topology, torch.float32)
    assert torch.equal(w, batch * (topology.dst + 1.0))


@pytest.mark.slow
def test_more_than_32_bits_of_input():
    features, batch = 2**16, 2**15 + 64  # more than 2^31 numbers, all the same row
    row = torch.zeros(features)
    row[-1] = 3.0
    topology = el.Topology(features, 1, [(features - 1, 0)])
    y = cpp.spmm(torch.tensor([2.0]), row.expand(batch, features), topology)
    assert torch.equal(y, torch.full((batch, 1), 6.0))
    tall = row.expand(batch, features).t()  # the same, feature-major, with a stride of 0
    w = cpp.sddmm(torch.ones(batch, 1), tall.t(), topology, torch.float32)
    assert w.tolist() == [3.0 * batch]


@pytest.mark.parametrize("batch", [1, 32, 200])
@pytest.mark.parametrize("dense", [False, True], ids=["rows", "runs"])
def test_scratch_is_at_most_8_bytes_an_edge(monkeypatch, batch, dense):
    monkeypatch.setattr(cpp, "_one_walk", lambda *_: True)
    problem = Problem(300, 300, random_edges(300, 300, 60_000), batch)
    problem = DENSE._replace(batch=batch) if dense else problem
    topology, weight = problem.topology(), problem.weight(torch.bfloat16)
    x, grad = problem.x(torch.bfloat16), problem.grad(torch.bfloat16)
    taken = []
    run = cpp._kernels._run

    def record(instruction_set, call):
        taken.append(run(instruction_set, call))
        return taken[-1]

    monkeypatch.setattr(cpp._kernels, "_run", record)
    for product in (
        lambda: cpp.spmm(weight, x, topology),
        lambda: cpp.spmm(weight, grad, topology.T),
        lambda: cpp.sddmm(grad, x, topology, torch.bfloat16),
        lambda: cpp.gradients(grad[:64], weight.float(), x[:64], topology, torch.float32),
    ):
        taken.clear()
        assert product() is not None and taken
        packed = 4 * max(problem.in_features, problem.out_features) * (batch + 64)
        assert sum(taken) <= packed + 8 * topology.num_edges


def test_nothing_but_x_and_the_weight_is_kept_for_backward():
    topology = PROBLEMS["unsorted"].topology()
    weight = torch.randn(topology.num_edges, requires_grad=True)
    x = torch.randn(5, topology.in_features, requires_grad=True)
    bias = torch.randn(topology.out_features, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.data_ptr()), lambda t: t):
        ops.spmm(weight, x, topology, "cpp", bias=bias)
    assert set(kept) == {weight.data_ptr(), x.data_ptr()}


# Threads and loading, each in a process of its own.


def run_python(code, **environment):
    command = [sys.executable, "-c", code]
    environment = {**os.environ, **environment}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


STEP = """
import torch, edgelinear as el
topology = el.generators.erdos_renyi(2000, 2000, num_edges=200_000)
layer = el.EdgeLinear.from_topology(topology, backend="cpp")
layer(torch.randn(64, 2000)).sum().backward()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_second_openmp_runtime_is_loaded():
    code = STEP + (
        "maps = {line.split()[-1] for line in open('/proc/self/maps') if '/' in line}\n"
        "print(*[m for m in maps if 'gomp' in m or 'omp5' in m or 'iomp' in m], sep=chr(10))"
    )
    assert len(run_python(code).splitlines()) <= 1


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("threads", [1, 3])
def test_threads_are_those_that_torch_has(threads):
    code = f"""
import os, time, torch, edgelinear as el
from edgelinear.backends import cpp
cpp.instruction_set()  # loads the library, and tests it in a thread that ends
def count():
    time.sleep(0.2)  # until threads that ended are gone
    return len(os.listdir("/proc/self/task"))
topology = el.generators.erdos_renyi(2000, 2000, num_edges=200_000)
weight, x = torch.ones(200_000), torch.ones(64, 2000)
torch.set_num_threads({threads})
before = count()
cpp.spmm(weight, x, topology)
ours = count() - before
torch.ones(2000, 2000).exp()
print(ours, count() - before)
"""
    ours, torch_too = map(int, run_python(code).split())
    assert ours == torch_too >= threads - 2  # some of them may stand from before


@pytest.mark.parametrize("name", library.INSTRUCTION_SETS)
def test_instruction_set_can_be_chosen(name):
    code = "from edgelinear.backends import cpp; k = cpp._first_use()\n"
    code += "print(k if type(k) is str else k.instruction_set)"
    said = run_python(code, EDGELINEAR_INSTRUCTION_SET=name)
    if name in cpp._kernels.supported:
        assert said == name
    else:
        assert "EDGELINEAR_INSTRUCTION_SET must be one of" in said


def refusal(**environment):
    return run_python(
        "import torch, edgelinear as el\n"
        "layer = el.EdgeLinear(2, 2, [(0, 1)], backend='cpp')\n"
        "try: layer(torch.ones(1, 2))\n"
        "except RuntimeError as error: print(error)\n"
        "print(el.EdgeLinear(2, 2, [(0, 1)]).backend_for(torch.ones(1, 2)))",
        **environment,
    ).splitlines()


def test_install_without_kernels_says_so_and_works(tmp_path):
    message, fallback = refusal(EDGELINEAR_LIBRARY=str(tmp_path / "none.so"))
    assert message.startswith("backend='cpp' cannot be used: the compiled kernels were not built")
    assert "install a wheel for this system" in message
    assert fallback == WITHOUT_KERNELS


def warnings_of(code, library):
    """Return how many warnings there are, where the first is and what it says."""
    code = (
        "import warnings, torch, edgelinear as el\n"
        "with warnings.catch_warnings(record=True) as caught:\n"
        "    warnings.simplefilter('always')\n"
        f"    {code}\n"
        "print(len(caught), *[w.filename for w in caught], *[w.message for w in caught])"
    )
    return run_python(code, EDGELINEAR_LIBRARY=str(library))


ONE_OF_FOUR = "el.Topology(2, 2, [(0, 1)])"


@pytest.mark.parametrize(
    "made",
    [
        "el.EdgeLinear(2, 2, [(0, 1)])",
        f"el.EdgeLinear.from_topology({ONE_OF_FOUR})",
        "el.EdgeNetwork(2, [(0, 1)], inputs=[0], outputs=[1])",
        f"el.edge_linear(torch.ones(1, 2), torch.ones(1), {ONE_OF_FOUR})",
    ],
)
def test_install_without_kernels_warns_once_where_it_is_used(made, tmp_path):
    said = warnings_of(f"for _ in range(2): {made}", tmp_path / "none.so")
    assert said.startswith("1 <string> the compiled kernels were not built with this install: ")
    assert said.endswith("Layers on a CPU take slower ones.")


def test_backend_with_a_name_is_not_warned_about(tmp_path):
    said = warnings_of(
        "el.EdgeLinear(2, 2, [(0, 1)], backend='reference')(torch.ones(1, 2))",
        tmp_path / "none.so",
    )
    assert said == "0"


def test_library_that_cannot_be_loaded_is_warned_about(tmp_path):
    (tmp_path / "broken.so").write_text("this is no library")
    said = warnings_of("el.EdgeLinear(2, 2, [(0, 1)])(torch.ones(1, 2))", tmp_path / "broken.so")
    assert said.startswith("1 <string> the compiled kernels cannot be loaded: ")


def test_library_is_looked_for_in_all_folders_of_the_package(tmp_path, monkeypatch):
    monkeypatch.delenv("EDGELINEAR_LIBRARY", raising=False)
    monkeypatch.setattr(el, "__path__", [str(tmp_path / "sources"), str(tmp_path / "built")])
    assert library.library_path() is None
    (tmp_path / "built").mkdir()
    (tmp_path / "built" / "libedgelinear.so").touch()
    assert library.library_path() == str(tmp_path / "built" / "libedgelinear.so")


def test_broken_library_says_so_and_torch_runs(tmp_path):
    (tmp_path / "broken.so").write_text("this is no library")
    message, fallback = refusal(EDGELINEAR_LIBRARY=str(tmp_path / "broken.so"))
    assert "cannot be used: the compiled kernels cannot be loaded: " in message
    assert "broken.so" in message
    assert fallback == WITHOUT_KERNELS


def test_failing_threads_raise(monkeypatch):
    nothing = ctypes.CFUNCTYPE(ctypes.c_int32)(lambda: 1)
    monkeypatch.setattr(cpp._kernels, "parallel_for", ctypes.cast(nothing, ctypes.c_void_p).value)
    problem = wide_problem(64)
    with pytest.raises(RuntimeError, match="torch's threads failed"):
        cpp.spmm(problem.weight(), problem.x(), problem.topology())


@pytest.mark.parametrize("wrong", ["sums", "dots"])
def test_self_test_finds_a_wrong_sum(monkeypatch, wrong):
    assert library._self_test(cpp._kernels) is None
    right = cpp._kernels.run

    def run(*args, **results):
        right(*args, **results)
        if wrong in results:
            results[wrong][-1] += 1

    monkeypatch.setattr(cpp._kernels, "run", run)
    assert "self-test" in library._self_test(cpp._kernels)


def test_kernels_that_fail_their_self_test_are_not_used(monkeypatch):
    topology, x = el.Topology(2, 2, [(0, 1)]), torch.ones(1, 2)
    monkeypatch.setattr(cpp, "_kernels", None)
    monkeypatch.setattr(library, "_self_test", lambda kernels: "they fail")
    assert el.backends.why_not("cpp", x, torch.ones(1), topology) == "they fail"
    assert el.backends.select("auto", x, torch.ones(1), topology).__name__.endswith(WITHOUT_KERNELS)


# First use.


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_import_does_not_load_the_library():
    code = """
import os, torch
before = len(os.listdir("/proc/self/task"))
import edgelinear as el
is_loaded = lambda: "libedgelinear" in open("/proc/self/maps").read()
print(is_loaded(), len(os.listdir("/proc/self/task")) - before)
el.EdgeLinear(2, 2, [(0, 1)], backend="cpp")(torch.ones(1, 2))
print(is_loaded())
"""
    assert run_python(code).splitlines() == ["False 0", "True"]


def freed(name):
    """Return a layer and its input, where one of them begins within memory that was freed."""
    layer, x = el.EdgeLinear(9, 7, random_edges(9, 7, 20)), torch.rand(4, 9)
    tensor = x if name == "x" else getattr(layer, name)
    tensor.data = torch.cat([torch.ones(3, *tensor.shape[1:]), tensor.detach()])[3:]
    return layer, x, tensor.untyped_storage()


@pytest.mark.parametrize("name", ["weight", "bias", "x"])
@pytest.mark.parametrize("grad", [True, False])
def test_freed_memory_is_refused(name, grad):
    layer, x, storage = freed(name)
    storage.resize_(0)
    with torch.set_grad_enabled(grad), pytest.raises(RuntimeError, match="memory .* was freed"):
        layer(x)


@pytest.mark.parametrize("name", ["weight", "x"])
@pytest.mark.parametrize("both", [True, False])
def test_memory_freed_before_backward_is_refused(name, both):
    layer, x, storage = freed(name)
    x.requires_grad_(both or name == "weight")
    layer.weight.requires_grad_(both or name == "x")
    loss = layer(x).sum()
    storage.resize_(0)
    with pytest.raises(RuntimeError, match="memory .* was freed"):
        loss.backward()


def test_tensors_without_numbers_are_no_freed_ones():
    layer = el.EdgeLinear(3, 2, [], weight=[])
    assert_close(layer(torch.empty(0, 3)), torch.empty(0, 2))
    assert_close(layer(torch.ones(1, 3)), layer.bias[None])


@pytest.mark.parametrize("shapes", [((1,), (1, 3)), ((2,), (1, 1)), ((3,), (1, 3)), ((2,), (1, 4))])
def test_operand_of_another_size_is_refused(shapes):
    """Here memory beyond it would be read: only `edge_linear` checks what reaches the operators."""
    topology = el.Topology(3, 2, [(0, 0), (1, 1)])
    weight, x = (torch.ones(shape) for shape in shapes)
    for call in (
        lambda: ops.spmm(weight, x, topology, "cpp"),
        lambda: torch.ops.edgelinear.spmm(weight, x, None, *topology._tensors, False, "cpp"),
    ):
        with pytest.raises(ValueError, match="a matrix of 3 features and 2 edges are needed"):
            call()


EDGES = torch.tensor([[0, 2, 1, 1], [1, 0, 0, 1]])
FACTORS = torch.tensor([2.0, 3.0, 5.0, 7.0])


def first_use_plain(topology, x):
    return el.edge_linear(x, FACTORS, topology, backend="cpp")


def first_use_in_inference_mode(topology, x):
    with torch.inference_mode():
        return el.edge_linear(x, FACTORS, topology, backend="cpp").clone()


def first_use_under_autocast(topology, x):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return el.edge_linear(x, FACTORS, topology, backend="cpp").float()


def first_use_among_fake_tensors(topology, x):
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        fake = mode.from_tensor(x)
        assert el.backends.why_not("cpp", fake, mode.from_tensor(FACTORS), topology) is None
        y = el.edge_linear(fake, mode.from_tensor(FACTORS), topology, backend="cpp")
    assert y.shape == (x.shape[0], topology.out_features)
    return first_use_plain(topology, x)


def first_use_on_another_default_device(topology, x):
    with torch.device("meta"):
        return el.edge_linear(x, FACTORS, topology, backend="cpp")


def first_use_under_vmap(topology, x):
    apply = torch.vmap(lambda sample: el.edge_linear(sample, FACTORS, topology, backend="cpp"))
    return apply(x)


def first_use_under_func_grad(topology, x):
    def loss(weight):
        y = el.edge_linear(x, weight, topology, backend="cpp")
        return y.sum(), y

    _, y = torch.func.grad(loss, has_aux=True)(FACTORS)
    return y


def first_use_in_forward_mode(topology, x):
    return torch.func.jvp(
        lambda x: el.edge_linear(x, FACTORS, topology, backend="cpp"), (x,), (torch.ones_like(x),)
    )[0]


def first_use_compiled(topology, x):
    apply = torch.compile(
        lambda x: el.edge_linear(x, FACTORS, topology, backend="cpp"), backend="aot_eager"
    )
    return apply(x)


def first_use_in_a_compiled_question(topology, x):
    def ask(x):
        return x if el.backends.why_not("cpp", x, FACTORS, topology) is None else -x

    torch.compile(ask, backend="eager")(x)
    return first_use_plain(topology, x)


def first_use_while_make_fx_traces(topology, x):
    traced = make_fx(lambda x: el.edge_linear(x, FACTORS, topology, backend="cpp"))(x)
    return traced(x)


@pytest.mark.parametrize(
    "use",
    [
        first_use_plain,
        first_use_in_inference_mode,
        first_use_under_autocast,
        first_use_among_fake_tensors,
        first_use_on_another_default_device,
        first_use_under_vmap,
        first_use_under_func_grad,
        first_use_in_forward_mode,
        first_use_compiled,
        first_use_in_a_compiled_question,
        first_use_while_make_fx_traces,
    ],
)
def test_first_use_tests_the_kernels_in_any_mode(monkeypatch, use):
    test, said = library._self_test, []
    monkeypatch.setattr(library, "_self_test", lambda kernels: said.append(test(kernels)))
    monkeypatch.setattr(cpp, "_kernels", None)
    x = torch.arange(6.0).view(2, 3)
    y = use(el.Topology(3, 2, EDGES), x)
    expected = torch.stack([3 * x[:, 2] + 5 * x[:, 1], 2 * x[:, 0] + 7 * x[:, 1]], 1)
    assert torch.equal(y, expected)
    assert said == [None]
    assert type(cpp._kernels) is library.Kernels


def test_threads_may_all_come_first(monkeypatch):
    topology, x = el.Topology(300, 300, random_edges(300, 300, 900)), torch.ones(1, 300)
    weight = torch.ones(900)
    for _ in range(20):
        monkeypatch.setattr(cpp, "_kernels", None)
        gate = threading.Barrier(8)

        def step(gate=gate):
            gate.wait()
            return el.edge_linear(x, weight, topology, backend="cpp")[0]

        with ThreadPoolExecutor(8) as pool:
            results = [pool.submit(step) for _ in range(8)]
        assert all(torch.equal(y.result(), topology.fan_in.float()) for y in results)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("batch", [1, 2, 64, 1000])
def test_columns_are_summed_in_the_order_of_samples(batch, dtype):
    topology = PROBLEMS["unsorted"].topology()
    grad, x = random(batch, 7, dtype=dtype), random(batch, 13, dtype=dtype)
    weight, expected = random(40, dtype=dtype), torch.zeros(7, dtype=dtype)
    for sample in grad:
        expected += sample
    for g in (grad, grad.t().contiguous().t()):
        sums, dots, columns = (torch.empty(n, dtype=dtype) for n in (batch * 13, 40, 7))
        sums = sums.view(batch, 13)
        kernels = cpp.kernels()
        kernels.run(library.BOTH, topology.T, g, x, sums, weight, dots, column_sums=columns)
        assert torch.equal(columns, expected)


# The interface to the library.


HEADER = Path(el.__file__).parent / "kernels" / "kernels.h"


def header():
    """Return the structs of kernels.h as {struct: [(type, field)]}, and its constants."""
    text = re.sub(r"//.*", "", HEADER.read_text())
    constants = dict(re.findall(r"constexpr \w+ (\w+) = (\d+);", text))
    structs = {}
    for name, body in re.findall(r"struct (\w+) \{(.*?)\};", text, re.DOTALL):
        fields = structs[name] = []
        for kind, names in re.findall(r"([\w ]+\*?) +([\w, ]+);", body):
            fields += [(kind.strip(), field.strip()) for field in names.split(",")]
    return structs, constants


@pytest.mark.skipif(not HEADER.exists(), reason="a wheel has no sources of the kernels")
def test_fields_are_those_of_the_header():
    structs, constants = header()
    codes = {"int32_t": "i", "int64_t": "q", "ParallelFor": "P"}

    def flat(struct, prefix):
        for kind, field in structs[struct]:
            if kind in structs:
                yield from flat(kind, f"{prefix}{field}.")
            else:
                yield "P" if kind.endswith("*") else codes[kind], prefix + field

    for struct, fields in (
        ("Call", library._CALL_FIELDS),
        ("Pass", library._PASS_FIELDS),
        ("Copy", library._COPY_FIELDS),
    ):
        ours = []
        for kinds, *names in fields:
            kinds = re.sub(r"(\d+)(\w)", lambda m: int(m[1]) * m[2], kinds).replace("x", "")
            ours += zip(kinds, names, strict=True)
        assert ours == list(flat(struct, ""))
    assert int(constants["INTERFACE"]) == library._INTERFACE
    assert int(constants["GROUP_ROWS"]) == GROUP_ROWS


def test_fields_are_packed_under_their_names(monkeypatch):
    calls = []
    monkeypatch.setattr(cpp._kernels, "_run", lambda set, call: calls.append(call) or 0)
    topology = el.Topology(3, 2, [(2, 1), (0, 0), (2, 0), (1, 1)])
    weight, dots, bias = torch.ones(4), torch.ones(4).bfloat16(), torch.ones(2)
    x, grad, y, columns = torch.ones(5, 3), torch.ones(2, 5).t(), torch.ones(5, 2), torch.ones(3)
    cpp._kernels.run(library.BOTH, topology, x, grad, y, weight, dots, bias, columns)
    names = [name for _, *names in library._CALL_FIELDS for name in names]
    call = dict(zip(names, library._CALL.unpack(calls[0]), strict=True))
    view = topology._target_view
    assert call == {
        "view.indptr": view.indptr.data_ptr(),
        "view.indices": view.indices.data_ptr(),
        "view.edge_ids": view.edge_ids.data_ptr(),
        "view.runs": 0,
        "view.bands": 0,
        "view.rows": 2,
        "view.columns": 3,
        "view.edges": 4,
        "view.num_runs": 0,
        "view.num_bands": 0,
        "view.index_bytes": 4,
        "batch": 5,
        "product": 2,
        "dtype": 0,
        "edge_dtype": 0,
        "width": 0,
        "threads": torch.get_num_threads(),
        "gathered.data": x.data_ptr(),
        "gathered.feature_stride": 1,
        "gathered.sample_stride": 3,
        "rowwise.data": grad.data_ptr(),
        "rowwise.feature_stride": 5,
        "rowwise.sample_stride": 1,
        "sums.data": y.data_ptr(),
        "sums.feature_stride": 1,
        "sums.sample_stride": 2,
        "weight": weight.data_ptr(),
        "dots": dots.data_ptr(),
        "bias": bias.data_ptr(),
        "scratch": 0,
        "parallel_for": cpp._kernels.parallel_for,
        "finish": 0,
        "may_read_beyond": 0,
        "column_sums": columns.data_ptr(),
    }


@pytest.mark.parametrize(
    "name", [name for name in PROBLEMS if name not in ("no_inputs", "no_outputs")]
)
def test_sums_are_packed_as_by_run(name, monkeypatch):
    calls, problem = [], PROBLEMS[name]
    monkeypatch.setattr(cpp._kernels, "_run", lambda set, call: calls.append(call) or 0)
    topology, x, weight = problem.topology(), problem.x(), problem.weight()
    for bias in (random(problem.out_features), None):
        y = cpp._kernels.sums(topology, x, weight, bias)
        cpp._kernels.run(library.SUMS, topology, x, sums=y, weight=weight, bias=bias)
        assert calls[-2] == calls[-1]


def test_library_of_another_version_is_refused(monkeypatch):
    message = (
        "the compiled kernels cannot be loaded: they are of another version: "
        "install edgelinear again"
    )
    monkeypatch.setattr(library, "_INTERFACE", library._INTERFACE + 1)
    assert library.load() == message
    monkeypatch.undo()
    monkeypatch.setenv("EDGELINEAR_LIBRARY", torch._C.__file__)  # it exports no number at all
    assert library.load() == message


def test_torch_without_a_parallel_loop_is_refused(monkeypatch):
    monkeypatch.setattr(_torch, "thread_pool", lambda: None)
    assert "torch exports since 2.10" in library.load()


def test_float8_is_refused():
    x = torch.ones(1, 2).to(torch.float8_e5m2)
    reason = el.backends.why_not("cpp", x, x, el.Topology(2, 2, [(0, 1)]))
    assert reason == "it has no kernels for torch.float8_e5m2"
