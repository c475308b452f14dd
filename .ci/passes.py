"""Random passes of the compiled kernels over levels and steps, and what they must give.

The truth is what kernels.h says, in float64 and a step at a time. Rows are computed from what the
pass itself gave for others, so that the order of levels must be right and errors do not add up.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from aggregates import AGGREGATIONS, aggregated, right_gradients
from calls import BATCHES, Call, Recorder, Result, right
from torch import Tensor

import edgelinear as el
from edgelinear.backends.library import (
    ACTIVATE,
    DERIVE,
    DERIVE_SUM,
    INTEGRATE,
    SCALE,
    Aggregates,
)
from edgelinear.networks.aggregated import Split
from edgelinear.networks.plan import Plan
from edgelinear.topology.views import View

# Activations by their codes, with their derivatives by what they give.
ACTIVATIONS = {
    "identity": (lambda z: z, torch.ones_like),
    "relu": (torch.relu, lambda h: (h > 0).double()),
    "tanh": (torch.tanh, lambda h: 1 - h * h),
    "sigmoid": (torch.sigmoid, lambda h: h * (1 - h)),
}


class Pass(NamedTuple):
    """A pass. Matrices are (steps, rows, batch), and NaN where it writes."""

    plan: Plan
    view: View
    weight: Tensor
    mode: int
    reverse: bool
    history: Tensor  # of sums: by steps, one more; by levels, one in all
    first: int  # the row from which on they are computed
    starts_empty: bool
    bias: Tensor | None
    state: Tensor | None
    added: Tensor | None
    pairs: Tensor | None
    leak: Tensor | None
    mixed: Tensor | None  # one more step
    drive: Tensor | None
    aggregates: Aggregates | None

    def results(self) -> list[Result]:
        """Return what it writes, in the order in which `check` takes it."""
        found = [Result(t, 2) for t in (self.history, self.mixed, self.drive) if t is not None]
        if self.aggregates is not None and self.reverse:
            found.append(Result(self.added, 2))
            by_edge = self.aggregates.grad_weight, self.aggregates.grad_response
            found += [Result(t, None) for t in by_edge if t is not None]
        return found

    def call(self, recorder: Recorder, threads: int) -> Call:
        steps = max(1, len(self.history) - 1)
        one, added = self.history[0].numel(), 0 if self.added is None else self.added[0].numel()
        return recorder.call(
            recorder.run_pass,
            self.plan.table if self.first == 0 else self.plan.table_of_others,
            self.view,
            self.weight,
            self.history[-steps],
            gathered=self.history[0],
            bias=self.bias,
            mode=self.mode,
            reverse=self.reverse,
            state=self.state,
            pairs=self.pairs,
            added=None if self.added is None else self.added[0],
            leak=self.leak,
            previous=None if self.mixed is None else self.mixed[0],
            mixed=None if self.mixed is None else self.mixed[1],
            drive=self.drive,
            steps=steps,
            moves=(one, one, one, added, one, one, one),
            starts_empty=self.starts_empty,
            aggregates=self.aggregates,
            results=self.results(),
            check=self.check,
            threads=threads,
        )

    def check(self, history: Tensor, *others: Tensor) -> int:
        """Return how many numbers the results have, all of which are right."""
        rest = list(others)
        mixed = None if self.mixed is None else rest.pop(0)
        drive = None if self.drive is None else rest.pop(0)
        added = None if self.added is None else self.added.double()
        number = 0
        if self.aggregates is not None and self.reverse:
            number += right_gradients(self.aggregates, history[0].double(), self.added[0], *rest)
            added = rest[0].double()
        for step in range(max(1, len(history) - 1)):
            sums, size = self.sums(history[step].double(), self.starts_empty and step == 0)
            more = torch.zeros_like(sums)
            if added is not None:
                rows = torch.arange(added.shape[1])[:, None].expand(-1, 2)
                to, of = (rows if self.pairs is None else self.pairs).t()
                more[to] = added[step][of]
            before = None if mixed is None else mixed[step].double()
            truths = self.finished(sums, more, before, step)
            size = size + more.abs() + (0 if before is None else before.abs())
            found = (
                history[0] if len(history) == 1 else history[step + 1],
                None if mixed is None else mixed[step + 1],
                None if drive is None else drive[step],
            )
            for matrix, truth in zip(found, truths, strict=True):
                if matrix is not None and truth is not None:
                    near = (t[self.first :] for t in (matrix, truth, size + truth.abs()))
                    number += right(*near)
        return number

    def sums(self, x: Tensor, empty: bool) -> tuple[Tensor, Tensor]:
        """Return the sums of rows, or what else they aggregate, and how large their terms are."""
        rows = torch.arange(len(x)).repeat_interleave(self.view.indptr.diff().long())
        dense = torch.zeros(len(x), len(x), dtype=torch.float64)
        dense[rows, self.view.indices.long()] = 0 if empty else self.weight.double()
        sums, size = dense @ x, dense.abs() @ x.abs()
        if self.aggregates is not None and not self.reverse:
            for n, (row, _, _) in enumerate(self.aggregates.nodes[:-1].tolist()):
                sums[row], size[row], _ = aggregated(self.aggregates, n, x)
        if self.bias is not None:
            bias = self.bias.double()[:, None]
            sums, size = sums + bias, size + bias.abs()
        return sums, size

    def finished(
        self, sums: Tensor, added: Tensor, before: Tensor | None, step: int
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Return what becomes of sums, as `Mode` of kernels.h has it; what is mixed; the drive."""
        state = None if self.state is None else self.state[step].double()
        factor = torch.ones_like(sums)
        if self.mode in (DERIVE, DERIVE_SUM):
            factor = self.activated(1, state)
        if self.mode == SCALE:
            factor = state
        if self.mode == DERIVE_SUM:
            sums, factor = sums * factor, torch.ones_like(sums)
        drive = sums + added
        value = self.activated(0, drive) if self.mode == ACTIVATE else drive
        if before is None:
            return value * factor, None, None
        leak = self.leak.double()[:, None]
        if self.mode in (ACTIVATE, INTEGRATE):
            mixed = before + leak * (value - before)
            return value if self.mode == ACTIVATE else self.activated(0, mixed), mixed, value
        mixed = value + (1 - leak) * before
        return mixed * leak * factor, mixed, value

    def activated(self, which: int, matrix: Tensor) -> Tensor:
        """Return each row's activation, or what derivative follows from what it gave."""
        functions = list(ACTIVATIONS.values())
        return torch.cat(
            [
                functions[row[2]][which](matrix[row[0] : end[0]])
                for row, end in pairwise(self.plan.rows)
            ]
        )


def passed(recorder: Recorder, seed: int, alone: bool) -> Call:
    """Return a random pass over levels, with or without other aggregations, or over steps.

    If `alone`, it is that of the first sample.
    """
    random, draws = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    kind, mode, reverse = seed % 3, int(random.integers(5)), bool(seed & 1)
    by_steps, aggregates = kind == 0, kind == 1
    dtype = torch.float64 if seed % 4 == 1 else torch.float32
    nodes, inputs, batch = int(random.integers(30, 200)), 10, int(random.choice(BATCHES))
    if by_steps and seed % 4 == 0:  # large and dense enough for runs
        nodes = 1100
    if aggregates and reverse:
        mode = int(random.choice([DERIVE, SCALE]))

    def values(*shape: int) -> Tensor:
        return torch.from_numpy(random.uniform(-1, 1, shape)).to(dtype)

    def matrices(steps: int, rows: int = nodes, given: int | None = None) -> Tensor:
        """Return matrices of which so many are given, the others NaN."""
        drawn = values(steps, rows, batch)
        drawn[steps if given is None else given :] = torch.nan
        return drawn[..., :1].contiguous() if alone else drawn

    def maybe() -> bool:
        return random.random() < 0.5

    topology = el.generators.erdos_renyi(nodes, nodes, density=0.08, generator=draws)
    src, dst = topology.edge_index
    if not by_steps:
        topology = el.Topology(nodes, nodes, topology.edge_index[:, (src < dst) & (dst >= inputs)])
    activations = random.choice(list(ACTIVATIONS), nodes).tolist()
    ends = np.arange(inputs), random.permutation(nodes)[:20]
    plan = Plan.of(topology, *ends, activations, levels=not by_steps)
    others = None
    if aggregates:
        split = Split.of(plan, random.choice(["sum", *AGGREGATIONS], nodes).tolist())
        plan = split.plan
        response = values(nodes) if maybe() else None
        others = split.aggregates(values(topology.num_edges), response)
        if reverse:
            nan = torch.full((2, topology.num_edges), torch.nan, dtype=dtype)
            by_weight, by_response = nan[0, : len(others.sources)], nan[1, : len(others.nodes) - 1]
            others = others._replace(
                values=matrices(1)[0],
                grad_weight=by_weight.clone(),
                grad_response=None if response is None else by_response.clone(),
            )
    view = plan.topology._source_view if reverse else plan.topology._target_view
    steps = 3 if by_steps else 1
    first = plan.num_inputs if not by_steps and maybe() else 0
    history = matrices(steps + by_steps, given=1)
    if not by_steps:
        history[:, first:] = torch.nan
    starts_empty = by_steps and maybe()
    leaky = mode == INTEGRATE or maybe()
    added = pairs = None
    if aggregates and reverse:
        added = matrices(1)
    elif maybe():
        added = matrices(steps, rows=20)
        if maybe():
            rows = np.sort(random.permutation(nodes)[:20])
            pairs = torch.from_numpy(np.stack([rows, random.permutation(20)], 1))
    problem = Pass(
        plan,
        view,
        values(len(view.indices)),
        mode,
        reverse,
        history,
        first,
        starts_empty,
        bias=None if starts_empty or maybe() else values(nodes),
        state=matrices(steps) if mode in (DERIVE, SCALE, DERIVE_SUM) else None,
        added=added,
        pairs=pairs,
        leak=values(nodes).abs() if leaky else None,
        mixed=matrices(steps + 1, given=1) if leaky else None,
        drive=matrices(steps, given=0) if leaky and maybe() else None,
        aggregates=others,
    )
    return problem.call(recorder, threads=int(random.integers(1, 4)))
