"""Networks as they are written without `EdgeNetwork` and `EdgeRNN`: a layer a level, or a loop."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgelinear.baselines import MaskedLinear
from edgelinear.comparison.contenders import COMPOSED, Contender
from edgelinear.layers import EdgeLinear, EdgeNetwork, EdgeRNN
from edgelinear.networks.plan import LEVEL, Plan
from edgelinear.topology import Topology

Layer = EdgeLinear | MaskedLinear
Make = Callable[[Topology, Tensor, Tensor | None], Layer]


def edge_layer(topology: Topology, weight: Tensor, bias: Tensor | None) -> EdgeLinear:
    layer = EdgeLinear.from_topology(
        topology, weight=weight, bias=bias is not None, device=weight.device, dtype=weight.dtype
    )
    if bias is not None:
        layer.bias.data.copy_(bias)  # type: ignore[union-attr]
    return layer


def masked_layer(topology: Topology, weight: Tensor, bias: Tensor | None) -> MaskedLinear:
    return edge_layer(topology, weight, bias).to_masked_linear()


class Levels(nn.Module):
    """A layer for each level, on the values of all that came before: (*, inputs) -> (*, outputs).

    Nodes stand in the order of the network's plan.
    """

    outputs: Tensor

    def __init__(self, net: EdgeNetwork, make: Make) -> None:
        super().__init__()
        plan = self.plan = net._plan
        self.register_buffer("outputs", plan.outputs)
        weight = net._scaled(net.weight.detach())[0]
        bias = None if net.bias is None else net.bias.detach()
        if bias is not None and net._scale is not None:
            bias = bias * net._scale.to(bias.dtype)
        src, dst = plan.topology.edge_index
        self.layers = nn.ModuleList()
        self.topologies: list[Topology] = []
        self.edges: list[Tensor] = []  # of each layer, which of the network's they are
        for start, stop in levels_of(plan):
            edges = ((dst >= start) & (dst < stop)).nonzero()[:, 0]
            ends = torch.stack([src[edges], dst[edges] - start])
            topology = Topology(start, stop - start, ends, duplicates="keep")
            offset = None if bias is None else bias[plan.order[start:stop]]
            self.layers.append(make(topology, weight[edges], offset))
            self.topologies.append(topology)
            self.edges.append(edges)

    def forward(self, x: Tensor) -> Tensor:
        for layer, (start, stop) in zip(self.layers, levels_of(self.plan), strict=True):
            x = torch.cat([x, activated(self.plan, layer(x), start, stop)], -1)
        return x[:, self.outputs]


def levels_of(plan: Plan) -> list[tuple[int, int]]:
    """Return the first and the last place of each level but the inputs."""
    first: dict[int, int] = {}
    for row in plan.rows:
        first.setdefault(row[LEVEL], row[0])
    starts = [*first.values()]
    return list(zip(starts[1:-1], starts[2:], strict=True))


def cells_of_levels(net: EdgeNetwork) -> int:
    """Return how many cells the matrices of all levels have."""
    return sum(start * (stop - start) for start, stop in levels_of(net._plan))


class Steps(nn.Module):
    """A loop over a layer of all nodes: (*, time, inputs) -> (*, time, outputs)."""

    outputs: Tensor
    leak: Tensor
    factor: Tensor

    def __init__(self, net: EdgeRNN, make: Make) -> None:
        super().__init__()
        plan = self.plan = net._plan
        self.inner = net.steps_per_input
        weight = net.weight.detach()
        leak = torch.as_tensor(net.leak).detach().to(weight).expand(net.num_nodes)
        factor = net.input_weight
        ones = weight.new_ones(net.in_features)
        self.register_buffer("outputs", plan.outputs)
        self.register_buffer("leak", leak[plan.order])
        self.register_buffer("factor", ones if factor is None else factor.detach().to(ones))
        bias = None if net.bias is None else net.bias.detach()[plan.order]
        self.layer = make(plan.topology, weight, bias)
        self.layers, self.topologies = [self.layer], [plan.topology]
        self.edges = [torch.arange(net.num_edges)]

    def forward(self, x: Tensor) -> Tensor:
        sums = self._sums()
        x = F.pad(x * self.factor, (0, len(self.leak) - x.shape[-1]))  # inputs stand first
        h, found = torch.zeros_like(x[:, 0]), []
        for now in x.unbind(1):
            for _ in range(self.inner):
                f = activated(self.plan, sums(h) + now, 0, h.shape[-1])
                h = h + self.leak * (f - h)
            found.append(h[:, self.outputs])
        return torch.stack(found, 1)

    def _sums(self) -> Callable[[Tensor], Tensor]:
        if isinstance(self.layer, EdgeLinear):
            return self.layer
        weight = self.layer.weight * self.layer.mask  # once a sequence
        return partial(F.linear, weight=weight, bias=self.layer.bias)


def activated(plan: Plan, z: Tensor, start: int, stop: int) -> Tensor:
    """Return the activations of the places from `start` to `stop`."""
    parts = [
        plan.function_of(code)(z[..., first - start : last - start])
        for first, last, code in plan.activations(start, stop)
    ]
    return parts[0] if len(parts) == 1 else torch.cat(parts, -1)


def composed(net: EdgeNetwork | EdgeRNN, name: str) -> Contender:
    """Return the composition of this name, with parameters of its own."""
    make: Make = edge_layer if name == COMPOSED else masked_layer
    twin: Levels | Steps
    weight = net.weight.detach()
    if isinstance(net, EdgeNetwork):
        twin, factor = Levels(net, make), net._scaled(torch.ones_like(weight))[0]
    else:
        twin, factor = Steps(net, make), torch.ones_like(weight)
    layers = [*twin.layers]

    def at_edges(*gradients: Tensor) -> Tensor:
        found = torch.zeros_like(factor)
        for grad, topology, edges in zip(gradients, twin.topologies, twin.edges, strict=False):
            ends = topology.dst.long(), topology.src.long()
            found[edges.to(grad.device)] = grad if grad.dim() == 1 else grad[ends]
        return found * factor

    weights = [layer.weight for layer in layers]
    offsets = [layer.bias for layer in layers if layer.bias is not None]
    fixed: list[Tensor | None] = [*twin.buffers()]
    for layer in layers:
        fixed += layer.topology._tensors if isinstance(layer, EdgeLinear) else ()
    return Contender(name, twin, (*weights, *offsets), tuple(fixed), at_edges)
