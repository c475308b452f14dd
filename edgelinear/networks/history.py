"""The steps of a recurrent network in calls of the compiled kernels.

A history is (steps, num_nodes, batch), by place: a step gathers from one matrix of it and writes
the next, so that one call computes all of them. Where nodes send on what activations make of their
potentials, these rates are what is gathered, and potentials are a history beside them.
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
    is_potential: bool,  # whether activations are of what is gathered; there is a leak then
    keep: bool,
    keep_drive: bool = False,
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Return outputs, the last state, and what is to be kept of all steps.

    They are (batch, steps, outputs) and (batch, num_nodes). (steps, num_nodes, batch) may be kept:
    what activations gave, and the drive of potentials, to which the leak moves them.
    """
    kernels = cpp.kernels()
    batch, steps, _ = x.shape
    nodes = plan.num_nodes
    one = nodes * batch
    bias, leak = (None if t is None else t.contiguous() for t in (bias, leak))
    size = steps if keep and not is_potential else part_of(nodes, batch, steps)
    states = sent = kernels.state(x, size + 1, nodes, batch)
    first_state(state, states[0], plan)
    drive = None
    if is_potential:
        sent = kernels.state(x, (steps if keep else size) + 1, nodes, batch)
        activate(states[0], sent[0], plan)
        drive = x.new_empty(steps, nodes, batch) if keep_drive else None
    values = sent[1:]
    if leak is not None and not is_potential:
        values = kernels.state(x, steps if keep else 1, nodes, batch)
    y = x.new_empty(batch, steps, len(plan.outputs))
    sums_move = one if leak is None or keep or is_potential else 0
    for start in range(0, steps, size):
        count = min(size, steps - start)
        if start:
            states[0].copy_(states[size])
            if is_potential and not keep:
                sent[0].copy_(sent[size])
        at = start if keep else 0
        added = _added(x[:, start : start + count], noise, start)
        kernels.run_pass(
            plan.table,
            plan.topology._target_view,
            weight,
            values[at],
            gathered=sent[at],
            mode=library.INTEGRATE if is_potential else library.ACTIVATE,
            bias=bias,
            added=added[0],
            leak=leak,
            previous=states[0],
            mixed=states[1],
            drive=None if drive is None else drive[start],
            steps=count,
            moves=(one, sums_move, 0, added[0].numel(), one, one, one),
        )
        take(states[1 : count + 1], plan.outputs, y, start)
    last = x.new_empty(batch, nodes)
    cpp.kernels().copy(states[count].t(), last, plan.place)
    return y, last, values if keep else None, drive


def step(
    weight: Tensor,  # (num_edges,), in the order of positions by target
    bias: Tensor | None,  # (num_nodes,), by place
    leak: Tensor | None,  # (num_nodes,), by place
    x: Tensor,  # (batch, inputs)
    state: Tensor | None,  # (batch, num_nodes)
    plan: Plan,
    is_potential: bool,
) -> Tensor:  # (batch, num_nodes)
    """Return the state after one step, as `forward` does."""
    kernels = cpp.kernels()
    batch, nodes = x.shape[0], plan.num_nodes
    leak = None if leak is None else leak.contiguous()
    before = sent = kernels.state(x, nodes, batch)
    first_state(state, before, plan)
    if is_potential:
        sent = kernels.state(x, nodes, batch)
        activate(before, sent, plan)
    values = x.new_empty(nodes, batch)
    after = values if leak is None else x.new_empty(nodes, batch)
    kernels.run_pass(
        plan.table,
        plan.topology._target_view,
        weight,
        values,
        gathered=sent,
        mode=library.INTEGRATE if is_potential else library.ACTIVATE,
        bias=bias,
        added=x.reshape(-1, 1) if batch == 1 else x.t().contiguous(),
        leak=leak,
        previous=before,
        mixed=after,
    )
    last = x.new_empty(batch, nodes)
    cpp.kernels().copy(after.t(), last, plan.place)
    return last


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


def first_state(state: Tensor | None, to: Tensor, plan: Plan) -> None:
    if state is None:
        to.zero_()
    else:
        cpp.kernels().copy(library.unit_stride(state), to.t(), plan.order)


def activate(states: Tensor, to: Tensor, plan: Plan) -> None:
    """Apply the activation of each node, with the bits of the kernels, as sums of no edges do."""
    view = plan.topology._target_view
    cpp.kernels().run_pass(plan.table, view, to, to, added=states, starts_empty=True)


def take(history: Tensor, places: Tensor, to: Tensor, start: int) -> None:
    """Copy some places of all steps to (batch, all_steps, places), from step `start` on."""
    steps, nodes, batch = history.shape
    number = len(places)
    flat = to.view(batch, -1)[:, start * number : (start + steps) * number]
    if steps * number > _ROWS:
        for step in range(steps):
            cpp.kernels().copy(
                history[step].t(), flat[:, step * number : (step + 1) * number], places
            )
    else:
        rows = (torch.arange(steps)[:, None] * nodes + places).view(-1)
        cpp.kernels().copy(history.view(steps * nodes, batch).t(), flat, rows)


def part_of(nodes: int, batch: int, steps: int) -> int:
    """Return how many steps a part has."""
    samples = min(_SAMPLES, max(_FEWEST_SAMPLES, _NUMBERS // nodes))
    return min(steps, max(1, samples // batch))
