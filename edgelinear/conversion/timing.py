"""Times of layers and of the whole model, before and after."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgelinear.comparison import measure
from edgelinear.comparison.contenders import Contender, parameters_of
from edgelinear.conversion.found import Found, groups
from edgelinear.conversion.running import Call, tensors_in
from edgelinear.functional import edge_linear

BEFORE, AFTER = "before", "after"


class Taken(NamedTuple):
    """The least milliseconds before and after, and whether times held still."""

    before: float
    after: float
    steady: bool = True


class _Problem(NamedTuple):
    """What decides how long a call takes: what is equal here is measured once."""

    shape: torch.Size
    density: str  # in two digits
    masked: bool
    bias: bool
    dtype: torch.dtype
    device: torch.device
    call: Call
    requires_grad: tuple[bool, ...]


def time_layers(
    found: Iterable[Found], training: bool, deadline: float, track: Callable[[list], Iterable]
) -> None:
    """Note how long the calls of each layer take, as it is, and as its twin."""
    problems: dict[_Problem, Found] = {}
    for entry in found:
        problems.update((_problem(entry, call), entry) for call in entry.calls)
    times: dict[_Problem, Taken] = {}
    for problem, entry in track([*problems.items()]):  # equal ones once
        now = time.perf_counter()
        share = (deadline - now) / (len(problems) - len(times))
        times[problem] = Taken(*_times(entry, problem.call, training, now + max(0.0, share)))
    for entry in found:
        if not entry.calls:
            continue
        taken = [(times[_problem(entry, call)], n) for call, n in entry.calls.items()]
        before, after = (sum(t[i] * n for t, n in taken) for i in (0, 1))
        entry.ms, entry.steady = (before, after), all(t.steady for t, _ in taken)


def _problem(entry: Found, call: Call) -> _Problem:
    assert entry.weight is not None
    weight, bias = entry.weight, entry.linear.bias
    needed = (weight.requires_grad, bias is not None and bias.requires_grad)
    return _Problem(
        weight.shape,
        f"{entry.density:.1e}",
        entry.mask is not None,
        bias is not None,
        weight.dtype,
        weight.device,
        call,
        needed,
    )


def _times(entry: Found, call: Call, training: bool, deadline: float) -> Taken:
    """Return the times of one call of the layer, and of its twin."""
    contenders = _contenders(entry, training)
    weight = contenders[0].parameters[0]
    shape = (call.rows, entry.linear.in_features)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator).to(weight.device, call.dtype)
    x.requires_grad_(training and call.requires_grad)
    with torch.set_grad_enabled(training):
        y = contenders[0].forward(x)
    grad = torch.ones_like(y)

    def run(contender: Contender) -> object:
        y = contender.forward(x)
        wanted = [t for t in (x, *contender.parameters) if t.requires_grad]
        return torch.autograd.grad(y, wanted, grad) if wanted else y

    with torch.set_grad_enabled(training):
        return _taken(measure.rounds(contenders, run, deadline))


def _taken(times: Sequence[measure.Times]) -> Taken:
    before, after = times
    steady = min(before.rounds, after.rounds) > 1 and all(
        measure.hold_still(t.least, t.high, t.disturbed) for t in times
    )
    return Taken(before.least, after.least, steady)


def _contenders(entry: Found, training: bool) -> list[Contender]:
    """Return the layer and its twin on tensors of their own, without what hooks do."""
    weight, twin, matrix = entry.weight, entry.twin, entry.matrix
    assert weight is not None and twin is not None and matrix is not None

    def copy(tensor: Tensor | None, like: Tensor | None) -> Tensor | None:
        if tensor is None or like is None:
            return None
        return tensor.detach().requires_grad_(training and like.requires_grad)

    # Nobody multiplies by the mask anew who does not train.
    mask = entry.mask if training else None
    bias = copy(entry.linear.bias, entry.linear.bias)
    dense = copy(matrix if mask is None else weight, weight)
    edges, topology = copy(twin.weight, weight), twin.topology
    assert dense is not None and edges is not None

    def before(x: Tensor) -> Tensor:
        return F.linear(x, dense if mask is None else dense * mask, bias)

    def after(x: Tensor) -> Tensor:
        return edge_linear(x, edges, topology, bias)

    return [
        Contender(name, forward, parameters_of(w, bias), (), lambda grad, *_: grad)
        for name, forward, w in ((BEFORE, before, dense), (AFTER, after, edges))
    ]


class Swap:
    """Layers and their twins in the places of a model, one or the other."""

    def __init__(self, found: Iterable[Found]) -> None:
        self.found = [entry for entry in found if entry.twin is not None]

    @property
    def weights(self) -> list[tuple[str, nn.Parameter]]:
        """The weights of the layers, with their names."""
        return [(entry.name, entry.weight) for entry in self.found if entry.weight is not None]

    def to(self, state: str) -> None:
        for entry in self.found:
            module = entry.linear if state == BEFORE else entry.twin
            for parent, name in entry.places:
                setattr(parent, name, module)


def decide(found: Iterable[Found], when: str) -> None:
    """Let layers stay that are faster as they are, together with those of the same weight."""
    for group in groups(entry for entry in found if entry.twin is not None):
        timed = [entry.ms for entry in group if entry.calls and entry.ms is not None]
        before, after = (sum(ms[i] for ms in timed) for i in (0, 1))
        if when == "faster" and not (timed and after < before):
            for entry in group:
                entry.twin = None
                entry.reason = "faster as it is" if timed else "the example never reaches it"


def time_model(
    model: nn.Module, call: Callable[[], Any], swap: Swap, training: bool, deadline: float
) -> Taken:
    """Return the times that the model takes, before and after."""
    generator = torch.Generator().manual_seed(0)
    grads: list[Tensor] = []

    def step(_: Any) -> Any:
        outputs = call()
        if not training:
            return outputs
        graphs = [t for t in tensors_in(outputs) if t.requires_grad]
        if not grads:
            grads.extend(torch.randn(t.shape, generator=generator).to(t) for t in graphs)
        wanted = [p for p in model.parameters() if p.requires_grad]
        return torch.autograd.grad(graphs, wanted, grads, allow_unused=True)

    def run(contender: Contender) -> object:
        swap.to(contender.name)
        return contender.forward(None)  # type: ignore[arg-type]

    some = next(model.parameters())
    contenders = [
        Contender(name, step, (some,), (), lambda grad, *_: grad) for name in (BEFORE, AFTER)
    ]
    with torch.set_grad_enabled(training):
        return _taken(measure.rounds(contenders, run, deadline))
