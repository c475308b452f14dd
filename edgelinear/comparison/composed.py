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
        weight, bias = in_layers(net)
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
        self.is_potential, self.is_clamped = net.equation == "potential", net.clamp_inputs
        weight, bias = in_layers(net)
        leak = (
            torch.as_tensor(net.leak, dtype=torch.float64).detach().to(weight).expand(net.num_nodes)
        )
        factor = net.input_weight
        ones = weight.new_ones(net.in_features)
        self.register_buffer("outputs", plan.outputs)
        self.register_buffer("leak", leak[plan.order])
        self.register_buffer("factor", ones if factor is None else factor.detach().to(ones))
        self.layer = make(plan.topology, weight, None if bias is None else bias[plan.order])
        self.layers, self.topologies = [self.layer], [plan.topology]
        self.edges = [torch.arange(net.num_edges)]

    def forward(self, x: Tensor) -> Tensor:
        sums, inputs, nodes = self._sums(), x.shape[-1], len(self.leak)
        x = x * self.factor
        brought = torch.zeros_like(x) if self.is_clamped else x
        brought = F.pad(brought, (0, nodes - inputs))  # inputs stand first
        h, found = x.new_zeros(len(x), nodes), []
        for now, added in zip(x.unbind(1), brought.unbind(1), strict=True):
            for _ in range(self.inner):
                h = self._clamped(h, now)
                h = self._clamped(h + self.leak * (self._new(sums, h, added) - h), now)
            found.append(h[:, self.outputs])
        return torch.stack(found, 1)

    def _new(self, sums: Callable[[Tensor], Tensor], h: Tensor, added: Tensor) -> Tensor:
        if self.is_potential:
            return sums(activated(self.plan, h, 0, h.shape[-1])) + added
        return activated(self.plan, sums(h) + added, 0, h.shape[-1])

    def _clamped(self, h: Tensor, now: Tensor) -> Tensor:
        return torch.cat([now, h[:, now.shape[-1] :]], -1) if self.is_clamped else h

    def _sums(self) -> Callable[[Tensor], Tensor]:
        if isinstance(self.layer, EdgeLinear):
            return self.layer
        weight = self.layer.weight * self.layer.mask  # once a sequence
        return partial(F.linear, weight=weight, bias=self.layer.bias)


@torch.no_grad()
def in_layers(net: EdgeNetwork | EdgeRNN) -> tuple[Tensor, Tensor | None]:
    """Return weights and biases with which layers compute the same, factors of nodes in them."""
    return net._scaled(net.weight)[0].clone(), net._scaled_bias(net.weight.dtype)


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
    twin = Levels(net, make) if isinstance(net, EdgeNetwork) else Steps(net, make)
    factor = net._scaled(torch.ones_like(weight))[0].detach()
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
