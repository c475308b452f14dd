"""Private names of torch: without any of them everything still works, only slower."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import edgelinear as el
from edgelinear import _torch

SOURCE = Path(_torch.__file__)
NAMES = re.findall(r'_find\("([^"]+)"\)', SOURCE.read_text())

# Hides a name while edgelinear is imported, and not later: torch itself needs most of them.
HIDE = """
import operator, sys
import torch

attrgetter = operator.attrgetter

def hiding(path):
    if path == sys.argv[1]:
        raise AttributeError(path)
    return attrgetter(path)

operator.attrgetter = hiding
import edgelinear as el
operator.attrgetter = attrgetter
"""

USE = """
import torch.nn.functional as F
sys.path.insert(0, sys.argv[2])
from problems import PROBLEMS, dense
from torch.testing import assert_close

for problem in PROBLEMS.values():
    topology, weight, x = problem.topology(), problem.weight(), problem.x()
    def ours(weight, x):
        return el.edge_linear(x, weight, topology)
    def truth(weight, x):
        return F.linear(x, dense(weight, problem))
    assert_close(ours(weight, x), truth(weight, x))
    results = []
    for function in (ours, truth):
        leaves = [weight.clone().requires_grad_(), x.clone().requires_grad_()]
        y = function(*leaves)
        first = torch.autograd.grad(y.square().sum(), leaves, create_graph=True)
        second = torch.autograd.grad(sum(g.square().sum() for g in first), leaves)
        dual = torch.func.jvp(function, (weight, x), (torch.ones_like(weight), torch.ones_like(x)))
        loss = lambda weight, x: function(weight, x).square().sum()
        by_weight = torch.func.grad(loss)(weight, x)
        mapped = torch.func.vmap(function, (None, 0))(weight, torch.stack([x, 2 * x]))
        results.append((*first, *second, *dual, by_weight, mapped))
    assert_close(*results)

problem = PROBLEMS["unsorted"]
topology, weight, x = problem.topology(), problem.weight(), problem.x()
layer = el.EdgeLinear.from_topology(topology, weight=weight, bias=False, dtype=torch.float64)
compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
compiled(x).sum().backward()
found = layer.weight.grad.clone()
layer.zero_grad()
layer(x).sum().backward()
assert_close(found, layer.weight.grad)
loss = lambda weight: el.edge_linear(x, weight, topology).square().sum()
twice = torch.compile(torch.func.grad(loss), backend="aot_eager", fullgraph=True)(weight)
assert_close(twice, torch.func.grad(loss)(weight))
with torch.autocast("cpu", dtype=torch.bfloat16):
    assert layer.float()(x.float()).dtype == torch.bfloat16
matrix = torch.sparse_coo_tensor(problem.edge_index, weight, (13, 7)).coalesce()
assert el.convert.from_torch(matrix).topology.num_edges == 40
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_everything_works_without_a_private_name(name):
    program = HIDE + USE
    arguments = [sys.executable, "-c", program, name, str(Path(__file__).parent)]
    subprocess.run(arguments, check=True, timeout=600)


def test_every_private_name_is_looked_up_in_one_module():
    """Names after `torch.` that begin with an underscore, or lie in a module that does."""
    private = re.compile(
        r"\btorch\.(?:\w+\.)*_[a-zA-Z]\w*|from torch\S*\._\S* import|import torch\._"
    )
    found = {
        str(path)
        for path in SOURCE.parent.rglob("*.py")
        if path != SOURCE and private.search(path.read_text())
    }
    assert not found


def test_torch_has_every_private_name_today():
    assert NAMES and all(_torch._find(name) is not None for name in NAMES)
    assert _torch.thread_pool() is not None


def test_tensor_that_a_transform_left_behind_is_unwrapped():
    """The case that `unwrap_dead_wrappers` of torch guards, and that the quick way skips."""
    layer = el.EdgeLinear(3, 2, [(0, 0), (2, 0), (1, 1)], dtype=torch.float64)
    left = []

    def leaking(x):
        left.append(x * 2)
        return x.square().sum()

    x = torch.randn(4, 3, dtype=torch.float64)
    torch.func.grad(leaking)(x)
    dead = left[0]
    expected = layer(2 * x)
    for _ in range(2):
        torch.testing.assert_close(layer(dead), expected)
    with torch.no_grad():
        torch.testing.assert_close(layer(dead), expected)
    (found,) = torch.autograd.grad(layer(dead).sum(), layer.weight)
    torch.testing.assert_close(found, torch.autograd.grad(expected.sum(), layer.weight)[0])


@pytest.mark.parametrize(
    ("platform", "asked"),
    [("linux", torch._C.__file__), ("darwin", torch._C.__file__), ("win32", "torch_cpu.dll")],
)
def test_parallel_loop_is_looked_up_where_the_system_finds_it(platform, asked, monkeypatch):
    libraries = []
    load = _torch.ctypes.CDLL
    monkeypatch.setattr(_torch.sys, "platform", platform)
    monkeypatch.setattr(
        _torch.ctypes, "CDLL", lambda name: libraries.append(name) or load(torch._C.__file__)
    )
    assert _torch.thread_pool() is not None
    assert libraries == [asked]
