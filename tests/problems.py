"""The table of graphs that every backend is tested on, and the dense truth to test against."""

import io
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import edgelinear as el

# What `auto` takes on a CPU without the compiled kernels: torch's own, which need MKL.
WITHOUT_KERNELS = "torch_csr" if torch.backends.mkl.is_available() else "reference"


class Problem(NamedTuple):
    in_features: int
    out_features: int
    edge_index: Tensor  # (2, num_edges): row 0 the source, row 1 the target
    batch: int = 5

    def topology(self) -> el.Topology:
        return el.Topology(self.in_features, self.out_features, self.edge_index, duplicates="keep")

    def weight(self, dtype: torch.dtype = torch.float64) -> Tensor:
        return random(self.edge_index.shape[1], dtype=dtype, seed=1)

    def x(self, dtype: torch.dtype = torch.float64) -> Tensor:
        return random(self.batch, self.in_features, dtype=dtype, seed=2)

    def grad(self, dtype: torch.dtype = torch.float64) -> Tensor:
        return random(self.batch, self.out_features, dtype=dtype, seed=3)

    def layer(
        self, dtype: torch.dtype = torch.float64, backend: str = "auto", **options: Any
    ) -> el.EdgeLinear:
        """Return a layer of this wiring; skip the test where its backend cannot run."""
        topology = self.topology()
        layer = el.EdgeLinear.from_topology(topology, backend=backend, dtype=dtype, **options)
        if backend != "auto":
            skip_unless_usable(backend, self.x(dtype), layer.weight, topology)
        return layer


def random(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


def random_edges(in_features: int, out_features: int, num_edges: int, seed: int = 0) -> Tensor:
    """Return distinct edges in random order."""
    generator = torch.Generator().manual_seed(seed)
    cells = torch.randperm(in_features * out_features, generator=generator)[:num_edges]
    return torch.stack([cells % in_features, cells // in_features])


def dense(weight: Tensor, problem) -> Tensor:
    """Return W, (out_features, in_features), by a plain accumulation: differentiable."""
    src, dst = problem.edge_index
    empty = weight.new_zeros(problem.out_features, problem.in_features)
    return empty.index_put((dst, src), weight, accumulate=True)


def by_dense(layer: el.EdgeLinear, x: Tensor) -> Tensor:
    """Return the output of a layer by a dense product: differentiable."""
    return F.linear(x, dense(layer.weight, layer), layer.bias)


def dense_step(problem, weight: Tensor, x: Tensor, grad: Tensor, bias: Tensor) -> tuple:
    """Return y, dx and dw by dense products."""
    matrix = dense(weight, problem)
    src, dst = problem.edge_index
    return x @ matrix.T + bias, grad @ matrix, (grad.T @ x)[dst, src]


def assert_rounded(ours: Tensor, truth: Tensor, magnitude: Tensor) -> None:
    """Assert that a result is near its float64 truth; `magnitude` is the sum of absolute terms."""
    if ours.dtype == torch.float64:
        torch.testing.assert_close(ours, truth)
    else:  # a few roundings in float32 of sums this large, and one of the result
        sums = 4 * torch.finfo(torch.float32).eps * magnitude
        result = torch.finfo(ours.dtype)
        rounding = result.eps * truth.abs().clamp(min=result.smallest_normal)
        assert ((ours.double() - truth).abs() <= sums + rounding).all()


def with_int64(topology: el.Topology) -> el.Topology:
    """Return the same topology with the indices that one too large for int32 has."""
    return el.Topology._from_tensors(tuple(v if v is None else v.long() for v in topology._tensors))


def through_a_file(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return what `torch.load` makes of a state dict that was saved."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


def in_target_order(edges: Tensor) -> Tensor:
    src, dst = edges
    return edges[:, torch.argsort(dst * (int(src.max()) + 1) + src)]


def skewed_edges(in_features: int, out_features: int, seed: int = 0) -> Tensor:
    """Return edges whose fan-in falls as a power of the target's rank: one hub, many leaves."""
    generator = torch.Generator().manual_seed(seed)
    targets = []
    for target in range(out_features):
        fan_in = max(1, int(in_features / (target + 1) ** 1.5))
        src = torch.randperm(in_features, generator=generator)[:fan_in]
        targets.append(torch.stack([src, torch.full_like(src, target)]))
    return torch.cat(targets, 1)


def hub_edges(in_features: int, out_features: int) -> Tensor:
    """Return a target that every input feeds, and a source that feeds every output."""
    into = torch.stack([torch.arange(in_features), torch.full((in_features,), 2)])
    out = torch.stack([torch.full((out_features,), 3), torch.arange(out_features)])
    return torch.cat([into, out], 1).unique(dim=1)


_shuffled = random_edges(13, 7, 40)
_parallel = torch.cat([_shuffled[:, :20], _shuffled[:, 5:15], _shuffled[:, 9:12]], 1)

PROBLEMS = {
    "no_edges": Problem(4, 3, torch.empty(2, 0, dtype=torch.long)),
    "no_inputs": Problem(0, 3, torch.empty(2, 0, dtype=torch.long)),
    "no_outputs": Problem(4, 0, torch.empty(2, 0, dtype=torch.long)),
    "one_edge": Problem(4, 3, torch.tensor([[3], [1]])),
    "one_by_one": Problem(1, 1, torch.tensor([[0], [0]])),
    "sorted": Problem(13, 7, in_target_order(_shuffled)),
    "unsorted": Problem(13, 7, _shuffled),
    "batch_zero": Problem(13, 7, _shuffled, batch=0),
    "batch_one": Problem(13, 7, _shuffled, batch=1),
    "batch_many": Problem(13, 7, _shuffled, batch=77),
    "empty_rows_and_columns": Problem(20, 16, 2 * random_edges(8, 6, 12) + 1),
    "full": Problem(6, 5, random_edges(6, 5, 30)),
    "wide": Problem(300, 2, random_edges(300, 2, 200)),
    "tall": Problem(2, 300, random_edges(2, 300, 200)),
    "skewed": Problem(60, 40, skewed_edges(60, 40)),
    "hub": Problem(50, 30, hub_edges(50, 30)),
    "self_loops": Problem(5, 5, torch.tensor([[0, 1, 2, 4, 0], [0, 1, 2, 4, 3]])),
    "duplicates": Problem(13, 7, _parallel),
    "more_edges_than_cells": Problem(2, 2, torch.tensor([[0, 1, 0, 0, 1, 0], [0, 1, 0, 1, 1, 0]])),
}

# 5 -> 4, unsorted. Nothing leaves source 2, nothing reaches target 3, and 3 -> 2 is there twice.
SMALL = Problem(5, 4, torch.tensor([[3, 0, 1, 3, 0, 4, 3], [2, 0, 2, 1, 2, 0, 2]]))


def backend_params(*names: str) -> list:
    """Return these backends, or all, as parameters: those of a lane of their own have its mark."""
    lanes = {"torch_sparse": "pyg", "torch_scatter": "pyg", "triton": "triton"}
    return [
        pytest.param(name, marks=getattr(pytest.mark, lanes[name]) if name in lanes else ())
        for name in names or el.backends.BACKENDS
    ]


def skip_unless_usable(backend: str, x: Tensor, weight: Tensor, topology: el.Topology) -> None:
    reason = el.backends.why_not(backend, x, weight, topology)
    if reason is not None:
        pytest.skip(f"backend={backend!r} cannot be used: {reason}")
