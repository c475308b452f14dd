"""What networks compute, and its gradients, in float64: by scipy, node by node of a level."""

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from edgelinear.comparison.measure import Truth, per_edge
from edgelinear.layers import EdgeNetwork, EdgeRNN
from edgelinear.networks.activations import ACTIVATIONS, Function, derivative


class Nodes:
    """The sums and the activations of a network's nodes."""

    def __init__(self, net: EdgeNetwork | EdgeRNN) -> None:
        self.src, self.dst = net.edge_index.cpu().numpy()
        self.number = net.num_nodes
        self.inputs, self.outputs = net.inputs.numpy(), net.outputs.numpy()
        self.factor = factors(net)[self.dst]  # of edges
        values = _double(net.weight) * self.factor
        shape = (net.num_nodes, net.num_nodes)
        self.matrix = scipy.sparse.csr_array((values, (self.dst, self.src)), shape=shape)
        self.back = self.matrix.T.tocsr()
        zeros = np.zeros(net.num_nodes)
        self.bias = (zeros if net.bias is None else _double(net.bias))[:, None]
        codes: dict[Function, int] = {}
        functions = [ACTIVATIONS[a].function if isinstance(a, str) else a for a in net.activations]
        if isinstance(net, EdgeRNN) and net.clamp_inputs:  # whose own activations have no say
            for node in self.inputs:
                functions[node] = ACTIVATIONS["identity"].function
        self.codes = np.array([codes.setdefault(f, len(codes)) for f in functions])
        self.functions = [*codes]

    def activated(self, rows: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what the activations of some nodes give, and their slopes there."""
        h, slope = np.empty_like(z), np.empty_like(z)
        for code in np.unique(self.codes[rows]):
            some = self.codes[rows] == code
            at = torch.from_numpy(z[some])
            h[some] = self.functions[code](at).numpy()
            slope[some] = derivative(self.functions[code], at).numpy()
        return h, slope

    def weight_grad(self, d: np.ndarray, h: np.ndarray) -> np.ndarray:
        return per_edge(d, h, self.src, self.dst) * self.factor


def factors(net: EdgeNetwork | EdgeRNN) -> np.ndarray:  # (num_nodes,)
    """Return what each node multiplies the sum of what comes in by."""
    found = np.ones(net.num_nodes)
    fan_in = np.maximum(net.topology.fan_in.cpu().numpy(), 1)
    means = [a == "mean" for a in net._aggregations]
    found[means] = 1 / fan_in[means]
    return found if net.response is None else found * _double(net.response)


def network_truth(net: EdgeNetwork, x: Tensor, grad: Tensor) -> Truth:
    """Return output and gradients of a network: levels up, and down again."""
    nodes, level = Nodes(net), net.level.numpy()
    levels = [np.flatnonzero(level == i) for i in range(1, net.num_levels)]
    h = np.zeros((nodes.number, len(x)))
    h[nodes.inputs] = _double(x).T
    slope, d, g = np.ones_like(h), np.zeros_like(h), np.zeros_like(h)
    for rows in levels:
        z = nodes.matrix[rows] @ h + nodes.bias[rows]
        h[rows], slope[rows] = nodes.activated(rows, z)
    g[nodes.outputs] = _double(grad).T
    for rows in [*levels[::-1], nodes.inputs]:
        d[rows] = (g[rows] + nodes.back[rows] @ d) * slope[rows]
    return _truth(x, h[nodes.outputs].T, d[nodes.inputs].T, nodes.weight_grad(d, h))


def recurrent_truth(net: EdgeRNN, x: Tensor, grad: Tensor) -> Truth:
    """Return output and gradients of a recurrent network: steps forth, and back again."""
    nodes, every = Nodes(net), np.arange(net.num_nodes)
    leak = np.broadcast_to(
        _double(torch.as_tensor(net.leak, dtype=torch.float64)), (net.num_nodes,)
    )[:, None]
    factor = 1.0 if net.input_weight is None else _double(net.input_weight)[:, None]
    inputs, grads = (_double(of).transpose(1, 2, 0) for of in (x, grad))  # (time, nodes, batch)
    is_potential = net.equation == "potential"
    clamped = nodes.inputs if net.clamp_inputs else nodes.inputs[:0]
    h, outputs = np.zeros((nodes.number, len(x))), []
    sent, slopes = [], []
    for now in inputs:
        for _ in range(net.steps_per_input):
            h[clamped] = factor * now if len(clamped) else 0.0
            if is_potential:
                f, slope = nodes.activated(every, h)
                new = nodes.matrix @ f + nodes.bias
            else:
                f, new = h, nodes.matrix @ h + nodes.bias
            if not len(clamped):
                new[nodes.inputs] += factor * now
            if not is_potential:
                new, slope = nodes.activated(every, new)
            sent.append(f)
            slopes.append(slope)
            h = (1 - leak) * h + leak * new
            h[clamped] = factor * now if len(clamped) else 0.0
        outputs.append(h[nodes.outputs])
    g, input_grad = np.zeros_like(h), np.zeros_like(inputs)
    weight_grad = np.zeros(net.num_edges)
    for t in reversed(range(len(sent))):
        i, inner = divmod(t, net.steps_per_input)
        if inner == net.steps_per_input - 1:
            g[nodes.outputs] += grads[i]
        to_clamped = g[clamped].copy()
        g[clamped] = 0.0
        d = g * leak if is_potential else g * leak * slopes[t]
        weight_grad += nodes.weight_grad(d, sent[t])
        if len(clamped):
            d[clamped] = 0.0
        else:
            input_grad[i] += factor * d[nodes.inputs]
        back = nodes.back @ d
        g = (1 - leak) * g + (back * slopes[t] if is_potential else back)
        if len(clamped):
            input_grad[i] += factor * (to_clamped + g[clamped])
            g[clamped] = 0.0
    y = np.stack(outputs).transpose(2, 0, 1)
    return _truth(x, y, input_grad.transpose(2, 0, 1), weight_grad)


def _truth(x: Tensor, *parts: np.ndarray) -> Truth:
    return Truth(*(torch.from_numpy(np.ascontiguousarray(part)).to(x.device) for part in parts))


def _double(values: Tensor) -> np.ndarray:
    return values.detach().double().cpu().numpy()
