"""What `compare` measures: a layer, or a network, and what it is held against."""

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor

from edgelinear.comparison import contenders, measure, truths
from edgelinear.comparison.composed import cells_of_levels, composed
from edgelinear.comparison.contenders import (
    COMPOSED,
    COMPOSED_MASKED,
    LINEAR,
    MASKED,
    Contender,
    parameters_of,
)
from edgelinear.comparison.measure import Truth
from edgelinear.layers import EdgeLinear, EdgeNetwork, EdgeRNN

STEPS = 20  # of the sequences of a recurrent network, unless others are asked for


class Subject(NamedTuple):
    """A module, the shapes of its input and output, and who computes the same."""

    input: tuple[int, ...]
    output: tuple[int, ...]
    truth: Callable[[Tensor, Tensor], Truth]  # of the input and the gradient of the output
    contender: Callable[[str], Contender]  # on a backend
    others: list[Callable[[], Contender]]
    left_out: dict[str, str]
    depth: int  # levels, or steps, through which rounding errors go
    graph: str  # a network in words


def subject_of(layer: Any, batch: int, steps: int | None) -> Subject:
    """Return what is to be measured.

    Raises:
        ValueError: if steps are given for what has none, or a network does not sum.
    """
    if isinstance(layer, EdgeRNN):
        return _of_recurrent(layer, batch, STEPS if steps is None else steps)
    if steps is not None:
        raise ValueError(f"`steps` is for an EdgeRNN, got {type(layer).__name__}: leave it out.")
    return _of_network(layer, batch) if isinstance(layer, EdgeNetwork) else _of_layer(layer, batch)


def _of_layer(layer: EdgeLinear, batch: int) -> Subject:
    too_large = contenders.too_large(layer)
    truth = measure.sparse_truth if too_large else measure.dense_truth
    dense = [] if too_large else contenders.dense_contenders(layer)
    return Subject(
        (batch, layer.in_features),
        (batch, layer.out_features),
        lambda x, grad: truth(x, layer.weight, layer.bias, grad, layer.topology),
        lambda name: contenders.edge_contender(layer, name),
        [lambda twin=twin: twin for twin in dense],  # type: ignore[misc]
        dict.fromkeys((MASKED, LINEAR), too_large) if too_large else {},
        1,
        "",
    )


def _of_network(net: EdgeNetwork, batch: int) -> Subject:
    _check_sums(net)

    def contender(name: str) -> Contender:
        twin = _twin(net, name)
        return _own(net, twin, twin.forward)

    others, left_out = _compositions(net, cells_of_levels(net), "the matrices of all levels")
    return Subject(
        (batch, net.in_features),
        (batch, net.out_features),
        lambda x, grad: truths.network_truth(net, x, grad),
        contender,
        others,
        left_out,
        net.num_levels - 1,
        f"{_sizes(net)}, {net.num_levels} levels",
    )


def _of_recurrent(net: EdgeRNN, batch: int, steps: int) -> Subject:
    _check_sums(net)

    def contender(name: str) -> Contender:
        twin = _twin(
            net,
            name,
            leak=net.leak.detach() if isinstance(net.leak, Tensor) else net.leak,
            input_weight=None if net.input_weight is None else net.input_weight.detach(),
            equation=net.equation,
            clamp_inputs=net.clamp_inputs,
            steps_per_input=net.steps_per_input,
        )
        return _own(net, twin, lambda x: twin(x)[0])

    others, left_out = _compositions(net, net.num_nodes**2, "the dense matrix")
    return Subject(
        (batch, steps, net.in_features),
        (batch, steps, net.out_features),
        lambda x, grad: truths.recurrent_truth(net, x, grad),
        contender,
        others,
        left_out,
        steps * net.steps_per_input,
        f"{_sizes(net)}, {steps} steps",
    )


def _check_sums(net: EdgeNetwork | EdgeRNN) -> None:
    wrong = {*net._aggregations} - {"sum", "mean"}
    if wrong:
        raise ValueError(
            "nodes must take sums or means to be compared with layers, which take no other "
            f"aggregation, got {sorted(wrong)[0]!r}."
        )


def _twin(net: EdgeNetwork | EdgeRNN, backend: str, **options: Any) -> Any:
    """Return a network like this one on a backend, with biases at 0."""
    weight = net.weight.detach()
    return type(net)(
        net.num_nodes,
        net.topology,
        net.inputs,
        net.outputs,
        activation=net.activations,
        bias=net.bias is not None,
        weight=weight,
        response=net.response,
        aggregation=net._aggregations,
        backend=backend,
        device=weight.device,
        dtype=weight.dtype,
        **options,
    )


def _own(
    net: EdgeNetwork | EdgeRNN, twin: EdgeNetwork | EdgeRNN, forward: Callable[[Tensor], Tensor]
) -> Contender:
    if net.bias is not None:
        twin.bias.data.copy_(net.bias)  # type: ignore[union-attr]
    plan = twin._plan
    fixed = (*plan.topology._tensors, *twin.topology._tensors, plan.order, plan.place)
    parameters = parameters_of(twin.weight, twin.bias, twin.response)
    return Contender(twin.backend, forward, parameters, fixed, lambda grad, *_: grad)


def _compositions(
    net: EdgeNetwork | EdgeRNN, cells: int, what: str
) -> tuple[list[Callable[[], Contender]], dict[str, str]]:
    weight = net.weight
    # A weight, its gradient, a mask, their product, its gradient, and what makes the twin.
    needed = cells * (6 * weight.element_size() + 1)
    too_large = contenders.more_than_a_quarter(what, needed, weight.device)
    names = [COMPOSED] if too_large else [COMPOSED, COMPOSED_MASKED]
    left_out = {COMPOSED_MASKED: too_large} if too_large else {}
    return [lambda name=name: composed(net, name) for name in names], left_out  # type: ignore[misc]


def _sizes(net: EdgeNetwork | EdgeRNN) -> str:
    return (
        f"{net.in_features:,} -> {net.out_features:,} of {net.num_nodes:,} nodes, "
        f"{net.num_edges:,} edges"
    )


def input_of_backends(layer: Any, x: Tensor) -> Tensor:
    """Return an input of the shape that a backend would be given."""
    if isinstance(layer, EdgeLinear):
        return x
    return x.detach().new_empty(1).expand(len(x), layer.num_nodes)
