"""Inputs that are tensors of tensors: nested and distributed ones work, sparse ones are refused."""

import copy

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F
from problems import random
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import (
    DTensor,
    Partial,
    Replicate,
    Shard,
    distribute_module,
    distribute_tensor,
)
from torch.testing import assert_close

import edgelinear as el

# 5 -> 4. Nothing leaves source 2, nothing reaches target 3, and 3 -> 2 is there twice.
EDGES = torch.tensor([[3, 0, 1, 3, 0, 4, 3], [2, 0, 2, 1, 2, 0, 2]])


def make_layer(seed=0):
    torch.manual_seed(seed)
    return el.EdgeLinear(5, 4, EDGES, duplicates="keep", dtype=torch.float64)


def dense(layer, x):
    return F.linear(x, layer.to_dense(), layer.bias)


# Nested tensors


def parts(seed=0):
    return [random(n, 5, seed=seed + n) for n in (3, 1, 6)]


LAYOUTS = pytest.mark.parametrize("layout", [torch.jagged, torch.strided], ids=str)


@LAYOUTS
def test_nested_input_gives_what_its_parts_give(layout):
    layer = make_layer()
    nested = layer(torch.nested.nested_tensor(parts(), layout=layout))
    assert nested.is_nested and nested.layout == layout
    assert_close(nested.unbind(), [dense(layer, part) for part in parts()])


@LAYOUTS
def test_derivatives_through_a_nested_input_are_those_of_its_parts(layout):
    layer = make_layer()

    def gradients(function):
        leaves = [part.requires_grad_() for part in parts()]
        loss = sum(y.sin().sum() for y in function(leaves))
        return torch.autograd.grad(loss, [*layer.parameters(), *leaves])

    got = gradients(
        lambda leaves: layer(torch.nested.as_nested_tensor(leaves, layout=layout)).unbind()
    )
    assert_close(got, gradients(lambda leaves: [dense(layer, part) for part in leaves]))


def test_jagged_result_adds_to_the_input_that_it_came_from():
    layer = el.EdgeLinear(5, 5, EDGES, duplicates="keep", dtype=torch.float64)
    x = torch.nested.nested_tensor(parts(), layout=torch.jagged)
    assert_close((x + layer(x)).unbind(), [part + dense(layer, part) for part in parts()])


def test_jagged_input_of_more_dimensions_may_be_transposed():
    layer = make_layer()
    x = torch.nested.nested_tensor(
        [random(n, 2, 5, seed=n) for n in (3, 1, 6)], layout=torch.jagged
    )
    for got, part in zip(layer(x.transpose(1, 2)).unbind(), x.unbind(), strict=True):
        assert_close(got, dense(layer, part.transpose(0, 1)))


def test_model_on_a_jagged_input_compiles():
    torch.compiler.reset()
    layer = el.EdgeLinear(5, 5, EDGES, duplicates="keep", dtype=torch.float64)
    f = torch.compile(lambda x: x + layer(x).sin(), fullgraph=True, backend="aot_eager")
    x = torch.nested.nested_tensor(parts(), layout=torch.jagged)
    assert_close(f(x).unbind(), [part + dense(layer, part).sin() for part in parts()])


def test_strided_nested_input_may_have_parts_of_any_shape():
    layer = make_layer()
    pieces = [random(2, 3, 5), random(1, 4, 5)]
    nested = layer(torch.nested.nested_tensor(pieces))
    assert_close(nested.unbind(), [dense(layer, piece) for piece in pieces])
    rows = [random(5), random(5, seed=1)]
    assert_close(layer(torch.nested.nested_tensor(rows)).unbind(), [dense(layer, r) for r in rows])


@LAYOUTS
def test_nested_input_may_have_empty_sequences(layout):
    layer = make_layer()
    for pieces in ([random(2, 5), random(0, 5)], [random(0, 5), random(0, 5)]):
        nested = layer(torch.nested.nested_tensor(pieces, layout=layout))
        assert_close(nested.unbind(), [dense(layer, piece) for piece in pieces])


def test_nested_input_may_have_no_features():
    layer = el.EdgeLinear(0, 2, [], dtype=torch.float64)
    nested = layer(torch.nested.nested_tensor([random(3, 0), random(1, 0)]))
    assert_close(nested.unbind(), [layer.bias.expand(3, 2), layer.bias.expand(1, 2)])


def test_nested_input_of_other_features_is_refused():
    layer, wrong = make_layer(), [random(3, 4), random(2, 4)]
    for layout in (torch.jagged, torch.strided):
        with pytest.raises(ValueError, match="must have 5 features"):
            layer(torch.nested.nested_tensor(wrong, layout=layout))
    with pytest.raises(ValueError, match="ragged"):
        layer(torch.nested.nested_tensor(parts(), layout=torch.jagged).transpose(1, 2))


def test_nested_input_along_another_axis_is_refused():
    layer = make_layer()
    x = torch.nested.nested_tensor(parts(), layout=torch.jagged)
    with pytest.raises(ValueError, match="`dim` must be -1 for an input of NestedTensor, got 0"):
        el.edge_linear(x, layer.weight, layer.topology, dim=0)


# Sparse tensors


@pytest.mark.parametrize(
    "name", ["to_sparse", "to_sparse_csr", "to_sparse_csc", "to_mkldnn", "batched"]
)
def test_input_of_another_layout_is_refused_with_the_cure(name):
    layer, x = make_layer(), random(6, 5)
    if name == "to_mkldnn":
        layer, x = layer.float(), x.float()
    other = random(2, 6, 5).to_sparse() if name == "batched" else getattr(x, name)()
    with pytest.raises(TypeError, match=r"`input` must be dense, got torch.*: use `input.to_dense"):
        layer(other)
    assert layer(other.to_dense()).shape == (*other.shape[:-1], 4)


# Distributed tensors


@pytest.fixture
def mesh():
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    dist.destroy_process_group()


def test_plain_and_distributed_tensors_do_not_mix(mesh):
    layer, x = make_layer(), random(6, 5)
    placed = distribute_module(copy.deepcopy(layer), mesh)
    with pytest.raises(TypeError, match="`input` must be a DTensor .*`distribute_tensor`"):
        placed(x)
    with pytest.raises(TypeError, match="`weight` must be a DTensor .*`distribute_module`"):
        layer(distribute_tensor(x, mesh, [Replicate()]))


def test_distributed_input_of_other_features_is_refused(mesh):
    layer = distribute_module(make_layer(), mesh)
    with pytest.raises(ValueError, match="must have 5 features"):
        layer(distribute_tensor(random(6, 4), mesh, [Replicate()]))


def test_distributed_layer_compiles(mesh):
    torch.compiler.reset()
    layer, x = make_layer(), random(6, 5)
    expected = dense(layer, x)
    placed = torch.compile(distribute_module(layer, mesh), backend="aot_eager")
    got = placed(distribute_tensor(x, mesh, [Shard(0)]))
    assert_close(got.full_tensor(), expected)


INPUTS = {"whole": Replicate(), "rows": Shard(0), "features": Shard(1), "sums": Partial()}


def values_and_gradients(layer, x, full=lambda tensor: tensor):
    y = layer(x)
    full(y).sin().sum().backward()
    return [full(t).detach() for t in (y, x.grad, layer.weight.grad, layer.bias.grad)]


def in_processes(rank, path):
    dist.init_process_group("gloo", init_method=f"file://{path}/store", rank=rank, world_size=2)
    mesh, results = init_device_mesh("cpu", (2,)), {}
    for name, placement in INPUTS.items():
        layer, x = distribute_module(make_layer(), mesh), random(7, 5)  # 4 rows and 3
        if isinstance(placement, Partial):  # what each process has is half of the sum
            x = DTensor.from_local(x / 2, mesh, [placement])
        else:
            x = distribute_tensor(x, mesh, [placement])
        results[name] = values_and_gradients(
            layer, x.detach().requires_grad_(), lambda t: t.full_tensor()
        )
    torch.save(results, f"{path}/results{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_distributed_input_gives_what_one_process_gives(tmp_path):
    mp.spawn(in_processes, (str(tmp_path),), nprocs=2)
    layer, x = make_layer(), random(7, 5).requires_grad_()
    twin = nn.Linear(5, 4, dtype=torch.float64)
    with torch.no_grad():
        twin.weight.copy_(layer.to_dense())
        twin.bias.copy_(layer.bias)
    y, grad_x, grad_weight, grad_bias = values_and_gradients(twin, x)
    expected = [y, grad_x, grad_weight[EDGES[1], EDGES[0]], grad_bias]
    for rank in range(2):
        results = torch.load(tmp_path / f"results{rank}.pt")
        assert results.keys() == INPUTS.keys()
        for name, got in results.items():
            assert_close(got, expected, msg=lambda m, name=name: f"{name}: {m}")
