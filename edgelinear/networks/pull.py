"""The gradients of the steps of a recurrent network, in calls of the compiled kernels."""

import torch
from torch import Tensor

from edgelinear.backends import cpp, library
from edgelinear.networks import history
from edgelinear.networks.passes import _derivatives
from edgelinear.networks.plan import Plan


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
        drive: Tensor | None,
        plan: Plan,
        is_potential: bool,
    ) -> None:
        leak = None if leak is None else leak.contiguous()
        self.needs, self.weight, self.ordered, self.leak = needs, weight, ordered, leak
        self.values, self.plan, self.is_potential = values, plan, is_potential
        steps, nodes, batch = values.shape
        self.size = history.part_of(nodes, batch, steps)
        kernels = cpp.kernels()
        self.first = values.new_empty(nodes, batch)
        history.first_state(state, self.first, plan)
        self.goal = drive if is_potential else values  # where a leak goes
        self.states = values
        if leak is not None and self.goal is not None:
            self.states = _mixed(self.first, self.goal, leak)
        self.sent_first, self.sent = self.first, self.states
        if is_potential:
            self.sent_first, self.sent = torch.empty_like(self.first), values
            history.activate(self.first, self.sent_first, plan)
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
                assert self.goal is not None
                before = torch.cat(_before(self.first, self.states, start, count))
                by_leak = torch.sub(self.goal[start:stop], before, out=before)
                grad_leak += by_leak.mul_(self.carry[:count]).sum(0).sum(1)
            if grad_x is not None:
                history.take(self.gradient[:count], torch.arange(inputs), grad_x, start)
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
            mode=library.DERIVE_SUM if self.is_potential else library.DERIVE,
            reverse=True,
            state=self.values[step],
            added=rows,
            pairs=self.plan.pairs if pairs and added is not None else None,
            leak=self.leak,
            previous=previous,
            mixed=mixed,
            steps=count,
            moves=(*[-one] * 3, 0 if rows is None else -rows.numel(), *[-one * every] * 2, 0),
            starts_empty=is_last,
        )

    def _last(self, grad_last: Tensor, added: Tensor | None, slot: int) -> None:
        """Start from the gradient by all nodes of the last state."""
        rows = torch.empty_like(self.first)
        cpp.kernels().copy(library.unit_stride(grad_last), rows.t(), self.plan.order)
        if added is not None:
            rows.index_add_(0, self.plan.outputs, added[-1])
        self._back(len(self.values) - 1, 1, slot, rows, pairs=False, is_last=True)

    def _products(self, start: int, count: int) -> Tensor:
        """Return the gradient of the weight by some steps, as one `sddmm` of all their samples."""
        _, nodes, batch = self.values.shape
        by_sum, before = (
            matrix.view(-1)[: nodes * count * batch].view(nodes, count, batch)
            for matrix in self.pair
        )
        _turn(self.gradient[:count], by_sum)
        at = 0
        for some in _before(self.sent_first, self.sent, start, count):
            _turn(some, before[:, at : at + len(some)])
            at += len(some)
        by_sum, before = (matrix.view(nodes, count * batch).t() for matrix in (by_sum, before))
        return cpp.sddmm(by_sum, before, self.plan.topology, self.values.dtype)

    def _by_first(self) -> Tensor:  # (batch, num_nodes)
        grad = cpp.spmm(self.weight, self.gradient[0].t(), self.plan.topology.T)
        if self.carry is not None:
            assert self.leak is not None
            if self.is_potential:
                grad = grad * _derivatives(self.weight, None, self.sent_first, self.plan, "cpp").t()
            grad = grad + ((1 - self.leak[:, None]) * self.carry[0]).t()
        return grad.index_select(1, self.plan.place)


def _turn(steps_first: Tensor, nodes_first: Tensor) -> None:
    """Copy (steps, nodes, batch) to (nodes, steps, batch)."""
    if steps_first.shape[2] * steps_first.element_size() % 16 == 0:  # torch moves them faster so
        steps_first, nodes_first = (t.view(torch.complex128) for t in (steps_first, nodes_first))
    nodes_first.copy_(steps_first.transpose(0, 1))


def _before(first: Tensor, matrices: Tensor, start: int, count: int) -> list[Tensor]:
    """Return the matrices before each of these steps, in parts; the first has one of its own."""
    if start:
        return [matrices[start - 1 : start - 1 + count]]
    return [first[None], matrices[: count - 1]]


def _mixed(first: Tensor, values: Tensor, leak: Tensor) -> Tensor:
    """Return the states that leaky integration made of the values."""
    states = torch.empty_like(values)
    before, leak = first, leak[:, None]
    for value, state in zip(values, states, strict=True):
        torch.sub(value, before, out=state)
        torch.addcmul(before, leak, state, out=state)
        before = state
    return states
