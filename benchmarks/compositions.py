"""What people write by hand instead of `EdgeNetwork` and `EdgeRNN`, with the same parameters.

Each is a module with a `forward` of the same shapes.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

import edgelinear as el

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": torch.relu, "tanh": torch.tanh}


def with_zero_bias(layer: el.EdgeLinear) -> el.EdgeLinear:
    """Return the layer with the bias that networks start at."""
    nn.init.zeros_(layer.bias)
    return layer


class Yard(nn.Module):
    """All edges at once, in one `edge_linear`, as often as there are steps: no network at all."""

    def __init__(self, net: el.EdgeNetwork | el.EdgeRNN) -> None:
        super().__init__()
        topology, order = el.Topology(net.num_nodes, net.num_nodes, net.edge_index).sorted()
        self.layer = el.EdgeLinear.from_topology(topology, weight=net.weight.detach()[order])

    def forward(self, x: Tensor) -> Tensor:  # (*, num_nodes)
        return self.layer(x)


def _levels(net: el.EdgeNetwork) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield each level's edges, their sources and their targets, with nodes numbered by level.

    The targets of a level are numbered from 0.
    """
    place, bounds = _order(net)
    src, dst = place[net.edge_index.numpy()]
    by_target = np.argsort(dst, kind="stable")
    of_level = np.searchsorted(dst[by_target], bounds)
    for level, (first, last) in enumerate(pairwise(of_level)):
        if level:
            edges = by_target[first:last]
            yield edges, src[edges], dst[edges] - bounds[level]


def _order(net: el.EdgeNetwork) -> tuple[np.ndarray, np.ndarray]:
    """Return the place of each node, inputs first and as given, and where each level begins."""
    level = net.level.numpy()
    position = np.arange(net.num_nodes)
    position[net.inputs.numpy()] = np.arange(net.in_features) - net.in_features
    order = np.lexsort((position, level))
    place = np.empty_like(order)
    place[order] = np.arange(order.size)
    return place, np.searchsorted(level[order], np.arange(net.num_levels + 1))


class Concatenated(nn.Module):
    """A layer for each level, from all values so far, which are joined by `cat`."""

    def __init__(self, net: el.EdgeNetwork, activation: str) -> None:
        super().__init__()
        place, bounds = _order(net)
        self.function = FUNCTIONS[activation]
        self.outputs = torch.from_numpy(place[net.outputs.numpy()])
        self.is_output = [
            torch.from_numpy(np.isin(np.arange(*ends), self.outputs)) for ends in pairwise(bounds)
        ][1:]
        self.layers = nn.ModuleList(
            self.layer(edges, src, dst, *ends, net)
            for (edges, src, dst), ends in zip(_levels(net), pairwise(bounds[1:]), strict=True)
        )

    def layer(
        self,
        edges: np.ndarray,
        src: np.ndarray,
        dst: np.ndarray,
        start: int,
        stop: int,
        net: el.EdgeNetwork,
    ) -> nn.Module:
        weight = net.weight.detach()[torch.from_numpy(edges)]
        return with_zero_bias(
            el.EdgeLinear(start, stop - start, np.stack([src, dst]), weight=weight)
        )

    def forward(self, x: Tensor) -> Tensor:
        values = x
        for layer, is_output in zip(self.layers, self.is_output, strict=True):
            z = layer(values)
            values = torch.cat([values, torch.where(is_output, z, self.function(z))], -1)
        return values.index_select(-1, self.outputs)


class Masked(Concatenated):
    """The same with a dense matrix and its mask, from the values that a level reads."""

    def layer(
        self,
        edges: np.ndarray,
        src: np.ndarray,
        dst: np.ndarray,
        start: int,
        stop: int,
        net: el.EdgeNetwork,
    ) -> nn.Module:
        sources, columns = np.unique(src, return_inverse=True)
        layer = super().layer(edges, columns, dst, sources.size, sources.size + stop - start, net)
        return Reading(torch.from_numpy(sources), layer.to_masked_linear())

    @staticmethod
    def elements(net: el.EdgeNetwork) -> int:
        """Return how many elements all matrices have."""
        sizes = np.diff(_order(net)[1])[1:]
        read = (np.unique(src).size for _, src, _ in _levels(net))
        return sum(size * number for size, number in zip(sizes.tolist(), read, strict=True))


class Reading(nn.Module):
    """A layer of some of the values."""

    def __init__(self, sources: Tensor, layer: nn.Module) -> None:
        super().__init__()
        self.sources, self.layer = sources, layer

    def forward(self, values: Tensor) -> Tensor:
        return self.layer(values.index_select(-1, self.sources))


class Loop(nn.Module):
    """A recurrent network by hand: an `EdgeLinear` for each step, and torch for the rest."""

    def __init__(self, net: el.EdgeRNN, activation: str) -> None:
        super().__init__()
        self.function, self.leak = FUNCTIONS[activation], net.leak
        self.inputs, self.outputs = net.inputs, net.outputs
        self.layer = self.make(net)

    def make(self, net: el.EdgeRNN) -> nn.Module:
        nodes = net.num_nodes
        return with_zero_bias(
            el.EdgeLinear(nodes, nodes, net.edge_index, weight=net.weight.detach())
        )

    def forward(self, x: Tensor) -> Tensor:  # (batch, time, inputs)
        h = x.new_zeros(x.shape[0], self.layer.bias.numel())
        y = []
        for step in x.unbind(1):
            z = self.layer(h).index_add(1, self.inputs, step)
            h = h + self.leak * (self.function(z) - h)
            y.append(h.index_select(1, self.outputs))
        return torch.stack(y, 1)


class Gathered(Loop):
    """The same as the papers on these networks write it: gather, multiply and scatter."""

    def make(self, net: el.EdgeRNN) -> nn.Module:
        return GatherScatter(net)


class GatherScatter(nn.Module):
    def __init__(self, net: el.EdgeRNN) -> None:
        super().__init__()
        self.src, self.dst = net.edge_index
        self.weight = nn.Parameter(net.weight.detach().clone())
        self.bias = nn.Parameter(torch.zeros_like(net.bias))

    def forward(self, h: Tensor) -> Tensor:
        messages = h.index_select(1, self.src) * self.weight
        return self.bias + torch.zeros_like(h).index_add(1, self.dst, messages)


class DenseRecurrent(Loop):
    """The same with a dense matrix and its mask."""

    def make(self, net: el.EdgeRNN) -> nn.Module:
        return super().make(net).to_masked_linear()
