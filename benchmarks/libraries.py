"""Libraries that people use for whole networks. Each is imported where it is installed.

neat-python computes the same network, and is checked. The others are models of their own on the
same graph, whose results cannot be compared: edge2torch has no activations, ncps integrates an
equation with four parameters an edge, reservoirpy does not train its weights and computes in
float64.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

import edgelinear as el


def neat_python(net: el.EdgeNetwork) -> Callable[[Tensor], Tensor]:
    """Return its own pass through the network, sample by sample."""
    from neat.nn import FeedForwardNetwork

    incoming: list[list] = [[] for _ in range(net.num_nodes)]
    for source, target, weight in zip(*net.edge_index.tolist(), net.weight.tolist(), strict=True):
        incoming[target].append((source, weight))
    inputs, outputs = net.inputs.tolist(), net.outputs.tolist()
    functions = {"tanh": math.tanh, "identity": lambda z: z}
    nodes = [
        (node, functions[net.activations[node]], sum, 0.0, 1.0, incoming[node])
        for node in torch.argsort(net.level, stable=True).tolist()
        if node not in inputs
    ]
    network = FeedForwardNetwork(inputs, outputs, nodes)
    return lambda x: torch.tensor([network.activate(sample) for sample in x.tolist()])


def edge2torch(net: el.EdgeNetwork) -> nn.Module:
    """Return as many steps of all nodes as there are levels.

    Its feed-forward networks need all outputs at one depth, which these graphs do not have.
    """
    import pandas
    from edge2torch import compile_graph

    src, dst = net.edge_index.numpy().astype(str)
    frame = pandas.DataFrame({"source": src, "target": dst})
    model, found = compile_graph(frame, backend="state_update", steps=net.num_levels - 1)
    return _Chosen(model, [int(name) for name in found.input_nodes], net.inputs.tolist())


class _Chosen(nn.Module):
    """A model whose inputs are all nodes that nothing feeds, at 0 where they are none of ours."""

    def __init__(self, model: nn.Module, theirs: list[int], ours: list[int]) -> None:
        super().__init__()
        self.model = model
        self.columns = torch.tensor([ours.index(node) if node in ours else -1 for node in theirs])

    def forward(self, x: Tensor) -> Tensor:
        return self.model(torch.where(self.columns < 0, 0.0, x[:, self.columns]))


def ncps(net: el.EdgeRNN) -> nn.Module:
    """Return a liquid time-constant network with one step of its solver for each input."""
    from ncps.torch import LTC
    from ncps.wirings import Wiring

    class Given(Wiring):
        def __init__(self) -> None:
            super().__init__(net.num_nodes)
            self.set_output_dim(net.out_features)
            for source, target in net.edge_index.t().tolist():
                self.add_synapse(source, target, 1)

        def build(self, input_dim: int) -> None:
            super().build(input_dim)
            for at, node in enumerate(net.inputs.tolist()):
                self.add_sensory_synapse(at, node, 1)

    return LTC(net.in_features, Given(), ode_unfolds=1)


def reservoirpy(net: el.EdgeRNN) -> Callable[[Tensor], Tensor]:
    """Return the states of a reservoir, sequence by sequence."""
    import scipy.sparse
    from reservoirpy.nodes import Reservoir

    src, dst = net.edge_index.numpy()
    shape = net.num_nodes, net.num_nodes
    matrix = scipy.sparse.csr_array((net.weight.detach().double().numpy(), (dst, src)), shape)
    ends = net.inputs.numpy(), np.arange(net.in_features)
    into = scipy.sparse.csr_array(
        (np.ones(net.in_features), ends), (net.num_nodes, net.in_features)
    )
    node = Reservoir(W=matrix, Win=into, lr=net.leak, input_dim=net.in_features)
    outputs = net.outputs.numpy()

    def run(x: Tensor) -> Tensor:
        states = []
        for sequence in x.double().numpy():
            if node.initialized:
                node.reset()
            states.append(node.run(sequence)[:, outputs])
        return torch.from_numpy(np.stack(states))

    return run
