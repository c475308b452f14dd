"""The steps of a recurrent network in calls of the compiled kernels.

A history is (steps, num_nodes, batch), by place: a step gathers from one matrix of it and writes
the next, so that one call computes all of them.
"""

import torch
from torch import Tensor

from edgelinear.backends import cpp, library
from edgelinear.networks.plan import Plan

# Samples of a part of the steps, for which the gradient of the weight is one product. More read the
# edges less often, but what they gather must stay in the cache: it has about so many numbers.
_SAMPLES, _FEWEST_SAMPLES, _NUMBERS = 256, 32, 1 << 20
_ROWS = 1 << 15  # rows up to which those of all steps are copied in one call


def forward(
    weight: Tensor,  # (num_edges,), in the order of positions by target
    bias: Tensor | None,  # (num_nodes,), by place
    leak: Tensor | None,  # (num_nodes,), by place
    x: Tensor,  # (batch, steps, inputs)
    state: Tensor | None,  # (batch, num_nodes)
    noise: Tensor | None,  # (steps, num_nodes, batch), by place; overwritten
    plan: Plan,
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return outputs, the last state, and what activations gave at all steps if it is to be kept.

    They are (batch, steps, outputs), (batch, num_nodes) and (steps, num_nodes, batch).
    """
    kernels = cpp.kernels()
    batch, steps, _ = x.shape
    nodes = plan.num_nodes
    one = nodes * batch
    bias, leak = (None if t is None else t.contiguous() for t in (bias, leak))
    size = steps if keep else _part(nodes, batch, steps)
    states = kernels.state(x, size + 1, nodes, batch)
    values = states[1:]
    if leak is not None:
        values = kernels.state(x, size if keep else 1, nodes, batch)
    _first_state(state, states[0], plan)
    y = x.new_empty(batch, steps, len(plan.outputs))
    for start in range(0, steps, size):
        count = min(size, steps - start)
        if start:
            states[0].copy_(states[size])
        added = _added(x[:, start : start + count], noise, start)
        kernels.run_pass(
            plan.table,
            plan.topology._target_view,
            weight,
            values[0],
            gathered=states[0],
            bias=bias,
            added=added[0],
            leak=leak,
            previous=states[0],
            mixed=states[1],
            steps=count,
            moves=(one, one if leak is None or keep else 0, 0, added[0].numel(), one, one),
        )
        _take(states[1 : count + 1], plan.outputs, y, start)
    last = x.new_empty(batch, nodes)
    _copy(states[count].t(), last, plan.place)
    return y, last, values if keep else None


def _added(x: Tensor, noise: Tensor | None, start: int) -> Tensor:
    """Return what is added to the sums of the first places at each step: (steps, rows, batch)."""
    batch, steps, inputs = x.shape
    if batch == 1:  # where nothing is transposed
        rows = x.reshape(steps, inputs, 1)
    elif x.is_contiguous():
        rows = x.new_empty(steps, inputs, batch)
        cpp.kernels().copy(x.view(batch, steps * inputs), rows.view(steps * inputs, batch).t())
    else:
        rows = x.permute(1, 2, 0).contiguous()
    if noise is None:
        return rows
    noise = noise[start : start + steps]
    noise[:, :inputs] += rows
    return noise


def _first_state(state: Tensor | None, to: Tensor, plan: Plan) -> None:
    if state is None:
        to.zero_()
    else:
        _copy(library.unit_stride(state), to.t(), plan.order)


def _copy(source: Tensor, to: Tensor, rows: Tensor) -> None:
    """Copy some features of (batch, features) to another."""
    if len(to) == 1:
        torch.index_select(source[0], 0, rows, out=to[0])
    else:
        cpp.kernels().copy(source, to, rows)


def _take(history: Tensor, places: Tensor, to: Tensor, start: int) -> None:
    """Copy some places of all steps to (batch, all_steps, places), from step `start` on."""
    steps, nodes, batch = history.shape
    number = len(places)
    flat = to.view(batch, -1)[:, start * number : (start + steps) * number]
    if steps * number > _ROWS:
        for step in range(steps):
            _copy(history[step].t(), flat[:, step * number : (step + 1) * number], places)
    else:
        rows = (torch.arange(steps)[:, None] * nodes + places).view(-1)
        _copy(history.view(steps * nodes, batch).t(), flat, rows)


def _part(nodes: int, batch: int, steps: int) -> int:
    """Return how many steps a part has."""
    samples = min(_SAMPLES, max(_FEWEST_SAMPLES, _NUMBERS // nodes))
    return min(steps, max(1, samples // batch))


class Pull:
    """The gradients of `forward`, from the last step to the first, part by part."""

    def __init__(
        self,
        needs: tuple,  # of weight, bias, leak, x and state
        weight: Tensor,  # (num_edges,)
        ordered: Tensor,  # the same in the order of positions by source
        leak: Tensor | None,
        state: Tensor | None,
        values: Tensor,  # (steps, num_nodes, batch): what `forward` kept
        plan: Plan,
    ) -> None:
        leak = None if leak is None else leak.contiguous()
        self.needs, self.weight, self.ordered, self.leak = needs, weight, ordered, leak
        self.values, self.plan = values, plan
        steps, nodes, batch = values.shape
        self.size = _part(nodes, batch, steps)
        kernels = cpp.kernels()
        self.first = values.new_empty(nodes, batch)
        _first_state(state, self.first, plan)
        self.states = values if leak is None else _mixed(self.first, values, leak)
        self.gradient = kernels.state(values, self.size + 1, nodes, batch)  # by sums
        self.carry: Tensor | None = None  # by states, of which a fixed leak needs the last alone
        if leak is not None:
            self.carry = values.new_zeros(self.size + 1 if needs[2] else 1, nodes, batch)

    def __call__(self, grad_y: Tensor | None, grad_last: Tensor | None, inputs: int) -> tuple:
        steps, nodes, batch = self.values.shape
        kernels, plan, needs = cpp.kernels(), self.plan, self.needs
        outputs = len(plan.outputs)
        added = None
        if grad_y is not None:
            added = kernels.empty(self.values, steps, outputs, batch)
            flat = grad_y.reshape(batch, steps * outputs)
            kernels.copy(library.unit_stride(flat), added.view(steps * outputs, batch).t())
        new = self.values.new_zeros
        grad_weight = new(len(self.weight)) if needs[0] else None
        grad_bias = new(nodes) if needs[1] else None
        grad_leak = new(nodes) if needs[2] else None
        grad_x = self.values.new_empty(batch, steps, inputs) if needs[3] else None
        if needs[0]:
            self.pair = [kernels.empty(self.values, nodes, self.size * batch) for _ in range(2)]
        stop = steps
        while stop > 0:
            count = min(self.size, stop)
            start = stop - count
            if stop < steps:
                self.gradient[count].copy_(self.gradient[0])
                if self.carry is not None and needs[2]:
                    self.carry[count].copy_(self.carry[0])
                self._back(stop - 1, count, count, added)
            elif grad_last is None:
                self._back(stop - 1, count, count, added, is_last=True)
            else:
                self._last(grad_last, added, count)
                self._back(stop - 2, count - 1, count - 1, added)
            if grad_weight is not None:
                grad_weight += self._products(start, count)
            if grad_bias is not None:
                grad_bias += self.gradient[:count].sum(0).sum(1)
            if grad_leak is not None:
                assert self.carry is not None
                by_leak = self.values[start:stop] - self._before(start, count)
                grad_leak += by_leak.mul_(self.carry[:count]).sum(0).sum(1)
            if grad_x is not None:
                _take(self.gradient[:count], torch.arange(inputs), grad_x, start)
            stop = start
        return grad_weight, grad_bias, grad_leak, grad_x, self._by_first() if needs[4] else None

    def _back(
        self,
        step: int,
        count: int,
        slot: int,
        added: Tensor | None,
        *,
        pairs: bool = True,
        is_last: bool = False,
    ) -> None:
        """Go back `count` steps from `step`, from the gradient in `slot` into those below it."""
        if count == 0:
            return
        one = self.first.numel()
        every, previous, mixed = False, None, None
        if self.carry is not None:
            every = len(self.carry) > 1
            previous, mixed = (self.carry[i * every] for i in (slot, slot - 1))
        rows = None if added is None else added[step] if pairs else added
        cpp.kernels().run_pass(
            self.plan.table,
            self.plan.topology._source_view,
            self.ordered,
            self.gradient[slot - 1],
            gathered=self.gradient[slot],
            mode=library.DERIVE,
            reverse=True,
            state=self.values[step],
            added=rows,
            pairs=self.plan.pairs if pairs and added is not None else None,
            leak=self.leak,
            previous=previous,
            mixed=mixed,
            steps=count,
            moves=(*[-one] * 3, 0 if rows is None else -rows.numel(), *[-one * every] * 2),
            starts_empty=is_last,
        )

    def _last(self, grad_last: Tensor, added: Tensor | None, slot: int) -> None:
        """Start from the gradient by all nodes of the last state."""
        rows = torch.empty_like(self.first)
        cpp.kernels().copy(library.unit_stride(grad_last), rows.t(), self.plan.order)
        if added is not None:
            rows.index_add_(0, self.plan.outputs, added[-1])
        self._back(len(self.values) - 1, 1, slot, rows, pairs=False, is_last=True)

    def _before(self, start: int, count: int) -> Tensor:
        """Return the states before each of these steps; the first has one of its own."""
        if start:
            return self.states[start - 1 : start - 1 + count]
        return torch.cat([self.first[None], self.states[: count - 1]])

    def _products(self, start: int, count: int) -> Tensor:
        """Return the gradient of the weight by some steps, as one `sddmm` of all their samples."""
        _, nodes, batch = self.values.shape
        by_sum, before = (
            matrix.view(-1)[: nodes * count * batch].view(nodes, count, batch)
            for matrix in self.pair
        )
        by_sum.copy_(self.gradient[:count].transpose(0, 1))
        if start:
            before.copy_(self.states[start - 1 : start - 1 + count].transpose(0, 1))
        else:
            before[:, 0] = self.first
            before[:, 1:] = self.states[: count - 1].transpose(0, 1)
        by_sum, before = (matrix.view(nodes, count * batch).t() for matrix in (by_sum, before))
        return cpp.sddmm(by_sum, before, self.plan.topology, self.values.dtype)

    def _by_first(self) -> Tensor:  # (batch, num_nodes)
        grad = cpp.spmm(self.weight, self.gradient[0].t(), self.plan.topology.T)
        if self.carry is not None:
            assert self.leak is not None
            grad = grad + ((1 - self.leak[:, None]) * self.carry[0]).t()
        return grad.index_select(1, self.plan.place)


def _mixed(first: Tensor, values: Tensor, leak: Tensor) -> Tensor:
    """Return the states that leaky integration made of the values."""
    states = torch.empty_like(values)
    before, leak = first, leak[:, None]
    for value, state in zip(values, states, strict=True):
        torch.sub(value, before, out=state)
        torch.addcmul(before, leak, state, out=state)
        before = state
    return states
