"""Compare every backend with a dense matmul in float64 on random problems, for as long as told.

    python tests/fuzz.py [SECONDS] [--seed N] [--backend NAME ...]

Prints the problem that differs, and the seed that makes it again.
"""

import argparse
import random
import time

import torch

import edgelinear as el
from edgelinear.topology import schedules

DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("seconds", type=float, nargs="?", default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--backend", nargs="+", default=["cpp"], choices=el.backends.BACKENDS)
    arguments = parser.parse_args()
    stop, seed = time.monotonic() + arguments.seconds, arguments.seed
    while time.monotonic() < stop:
        for backend in arguments.backend:
            difference = check(seed, backend)
            if difference is not None:
                raise SystemExit(f"--seed {seed} --backend {backend}: {difference}")
        seed += 1
    print(f"{seed - arguments.seed} problems on {arguments.backend}, and no mismatch")


def check(seed: int, backend: str) -> str | None:
    """Return None, or how a step on the random problem of this seed differs from the truth."""
    draw = random.Random(seed)
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    sizes = [draw.choice((0, 1, 2, 7, 33, 100, 400, draw.randrange(1500))) for _ in range(2)]
    in_features, out_features = sizes
    most = min(in_features * out_features * 2, 30_000)
    num_edges = draw.choice((0, 1, most, draw.randrange(most + 1))) if most else 0
    src, dst = ends(draw, num_edges, in_features), ends(draw, num_edges, out_features)
    edges = torch.tensor([src, dst], dtype=torch.long).reshape(2, num_edges)
    schedules.BAND_EDGES, schedules.BAND_DEGREE = draw.choice(((1 << 17, 16), (0, 0)))
    topology = el.Topology(in_features, out_features, edges, duplicates="keep")
    if draw.random() < 0.3:
        topology = topology.sorted()[0]
    if draw.random() < 0.2:
        topology = el.Topology._from_tensors(
            tuple(v if v is None else v.long() for v in topology._tensors)
        )
    batch = draw.choice((0, 1, 2, 3, 4, 5, 8, 9, 16, 31, 33, 64, 65, draw.randrange(200)))
    dtype = draw.choice(DTYPES)
    half = dtype in (torch.bfloat16, torch.float16)
    weight_dtype = torch.float32 if half and draw.random() < 0.5 else dtype
    dim, with_bias = draw.choice((0, 1)), draw.random() < 0.7
    torch.set_num_threads(draw.choice((1, 2, 3)))
    described = (
        f"{topology}, batch={batch}, {dtype}, weight {weight_dtype}, dim={dim}, bias={with_bias}"
    )

    weight = normal(num_edges).to(weight_dtype).requires_grad_()
    bias = normal(out_features).to(dtype).requires_grad_() if with_bias else None
    x = (normal(in_features, batch) if dim == 0 else normal(batch, in_features)).to(dtype)
    grad = normal(out_features, batch) if dim == 0 else normal(batch, out_features)
    grad = grad.to(dtype)
    x, grad = strided(draw, x).requires_grad_(), strided(draw, grad)
    if weight_dtype == dtype:
        y = el.edge_linear(x, weight, topology, bias, dim=dim, backend=backend)
    else:
        with torch.autocast("cpu", dtype=dtype):
            y = el.edge_linear(x, weight, topology, bias, dim=dim, backend=backend)
    wanted = [t for t in (x, weight, bias) if t is not None]
    ours = [y, *torch.autograd.grad(y, wanted, grad)]

    def step(transform) -> list[torch.Tensor]:
        x_, grad_, weight_ = (transform(t.detach().double()) for t in (x, grad, weight))
        if dim == 0:
            x_, grad_ = x_.T, grad_.T
        matrix = torch.zeros(out_features, in_features, dtype=torch.float64)
        matrix.index_put_((topology.dst.long(), topology.src.long()), weight_, accumulate=True)
        y_, dx = x_ @ matrix.T, grad_ @ matrix
        dw = (grad_.T @ x_)[topology.dst.long(), topology.src.long()]
        if bias is None:
            return [y_.T if dim == 0 else y_, dx.T if dim == 0 else dx, dw]
        y_ = y_ + transform(bias.detach().double())
        return [y_.T if dim == 0 else y_, dx.T if dim == 0 else dx, dw, grad_.sum(0)]

    for name, our, exact, magnitude in zip(
        ("output", "input gradient", "weight gradient", "bias gradient"),
        ours,
        step(lambda t: t),
        step(torch.abs),
        strict=False,
    ):
        if our.shape != exact.shape:
            return f"{name} of shape {tuple(our.shape)}, on {described}"
        # Some roundings of sums as large as those of the magnitudes, and one of the result.
        sums = torch.promote_types(dtype, torch.float32)
        result = torch.finfo(our.dtype)
        # The truth is itself a sum in float64, which may err by a rounding for each of its terms.
        terms = max(batch, in_features, out_features)
        truth = terms * torch.finfo(torch.float64).eps
        bound = (16 * torch.finfo(sums).eps + truth) * magnitude
        bound = bound + result.eps * exact.abs().clamp(min=result.smallest_normal)
        error = (our.detach().double() - exact).abs()
        if not (error <= bound).all():
            return f"{name} off by {error.max():.3g}, on {described}"
    return None


def strided(draw: random.Random, matrix: torch.Tensor) -> torch.Tensor:
    """Return the same matrix, or one with a row repeated, in one of the ways to lie in memory."""
    kind = draw.choice(("contiguous", "contiguous", "transposed", "spaced", "expanded"))
    if kind == "transposed":
        return matrix.t().contiguous().t()
    if kind == "spaced":
        wide = torch.empty(matrix.shape[0] * 2, matrix.shape[1] * 3, dtype=matrix.dtype)
        return wide[::2, ::3].copy_(matrix)
    if kind == "expanded" and matrix.shape[0]:
        return matrix[:1].expand(matrix.shape)
    return matrix


def ends(draw: random.Random, number: int, size: int) -> list[int]:
    """Return random nodes: uniform, all one hub, or skewed towards the first."""
    kind = draw.choice(("uniform", "uniform", "hub", "skewed"))
    if kind == "hub":
        hub = draw.randrange(size) if size else 0
        return [hub if draw.random() < 0.9 else draw.randrange(size) for _ in range(number)]
    if kind == "skewed":
        return [int(size * draw.random() ** 4) for _ in range(number)]
    return [draw.randrange(size) for _ in range(number)]


if __name__ == "__main__":
    main()
