"""What nodes aggregate otherwise than by sums, and the gradients of that, in float64."""

import torch
from calls import right
from torch import Tensor

from edgelinear.backends.library import Aggregates
from edgelinear.networks.aggregated import KINDS

# Of the messages to a node, which are (edges, batch).
AGGREGATIONS = {
    "product": lambda m: m.prod(0),
    "max": lambda m: m.max(0).values,
    "min": lambda m: m.min(0).values,
    "median": lambda m: m.sort(0).values[[(len(m) - 1) // 2, len(m) // 2]].mean(0),
    "maxabs": lambda m: m.gather(0, m.abs().argmax(0, keepdim=True))[0],
}


def aggregated(of: Aggregates, n: int, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return what node n aggregates times its response, its size, and its slopes by messages."""
    (_, kind, begin), (_, _, end) = of.nodes[n : n + 2].tolist()
    is_product, response = KINDS[kind] == "product", response_of(of, n)
    if end == begin:
        value = torch.full_like(values[0], response if is_product else 0.0)
        return value, value.abs(), torch.zeros(0, len(value))
    kept = values.to(of.weight.dtype)  # messages are rounded before they are compared
    messages = of.weight[begin:end, None] * kept[of.sources[begin:end]]
    messages = messages.double().requires_grad_()
    value = AGGREGATIONS[KINDS[kind]](messages)
    (slopes,) = torch.autograd.grad(value.sum(), messages)
    value, largest = value.detach(), messages.detach().abs().amax(0)
    size = (value.abs() if is_product else largest) * len(slopes)
    return response * value, abs(response) * size, slopes


def response_of(of: Aggregates, n: int) -> float:
    return 1.0 if of.response is None else float(of.response[n])


def right_gradients(
    of: Aggregates,
    by_sum: Tensor,  # (rows, batch): the gradients that came to nodes
    given: Tensor,  # (rows, batch): the gradients of sources to which the pass adds
    *found: Tensor,  # what they became, and the gradients of weights and, if any, of responses
) -> int:
    """Return how many numbers these gradients have, all of which are right."""
    values, weight = of.values.double(), of.weight.double()
    by_source, source_size = given.double().clone(), given.double().abs()
    by_weight, weight_size = torch.zeros_like(weight), torch.zeros_like(weight)
    by_response, response_size = torch.zeros(2, len(of.nodes) - 1, dtype=torch.float64)
    for n, (row, _, begin) in enumerate(of.nodes[:-1].tolist()):
        value, size, slopes = aggregated(of, n, values)
        edges = slice(begin, begin + len(slopes))
        sources = of.sources[edges]
        by_message = response_of(of, n) * by_sum[row] * slopes
        to_source, to_weight = weight[edges, None] * by_message, values[sources] * by_message
        by_source.index_add_(0, sources, to_source)
        source_size.index_add_(0, sources, to_source.abs() * len(slopes))
        by_weight[edges] = to_weight.sum(1)
        weight_size[edges] = to_weight.abs().sum(1) * len(slopes)
        by_response[n] = (by_sum[row] * value).sum() / response_of(of, n)
        response_size[n] = (by_sum[row] * size).abs().sum() / abs(response_of(of, n))
    truths = (by_source, source_size), (by_weight, weight_size), (by_response, response_size)
    return sum(right(t, *truth) for t, truth in zip(found, truths, strict=False))
