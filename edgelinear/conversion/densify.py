"""`densify`: whole models from sparse layers to dense ones."""

import copy
from collections import OrderedDict
from typing import Any

from torch import nn

from edgelinear.conversion import hooks
from edgelinear.layers import EdgeLinear, EdgeNetwork, EdgeRNN


def densify(model: nn.Module) -> nn.Module:
    """Return a copy of a model with an `nn.Linear` of the same function for each `EdgeLinear`.

    For runtimes that know dense products alone, or run them faster: onnxruntime does so above some
    10 % of the connections. It takes in_features * out_features memory a layer, spreads an inf or
    NaN to every output, and trains the zeros too. A layer used twice is one layer in the copy, and
    forward hooks, shared biases, and weights shared by layers of the same wiring stay.

    Raises:
        TypeError: if a layer is of a subclass with a `forward` of its own, or is an EdgeNetwork or
            an EdgeRNN, which no dense layer computes.

    Example:
        >>> model = nn.Sequential(EdgeLinear(4, 3, [(0, 0), (3, 2)]), nn.ReLU())
        >>> densify(model)
        Sequential(
          (0): Linear(in_features=4, out_features=3, bias=True)
          (1): ReLU()
        )
    """
    for path, network in model.named_modules():
        if isinstance(network, EdgeNetwork):
            raise TypeError(
                f"`{path or 'model'}` is an EdgeNetwork, whose levels no dense layer computes: "
                "densify what is beside it, or run the network through `torch.onnx.export`, which "
                "it enters level by level."
            )
        if isinstance(network, EdgeRNN):
            raise TypeError(
                f"`{path or 'model'}` is an EdgeRNN, whose steps no dense layer computes: densify "
                "what is beside it, or write its loop over an `nn.Linear` of its `wiring`, by "
                "`EdgeLinear.from_wiring(...).to_linear()`."
            )
    layers = {path: m for path, m in model.named_modules() if isinstance(m, EdgeLinear)}
    for path, layer in layers.items():
        if type(layer).forward is not EdgeLinear.forward:
            raise TypeError(
                f"`{path or 'model'}` must compute what an EdgeLinear does to have a dense twin, "
                f"got {type(layer).__name__}, which has a `forward` of its own: put the EdgeLinear "
                "inside of a module that does the rest."
            )
    memo: dict[int, Any] = {}  # what a copy finds there it takes for copied already
    weights: dict[tuple, Any] = {}
    for layer in layers.values():
        twin = memo[id(layer)] = _twin(layer)
        weight, bias = layer._parameters.get("weight"), layer._parameters.get("bias")
        if weight is not None:
            twin.weight = weights.setdefault((id(weight), layer.topology), twin.weight)
        if bias is not None:
            twin.bias = memo.setdefault(id(bias), twin.bias)
    twins = [(layer, memo[id(layer)]) for layer in layers.values()]
    dense = copy.deepcopy(model, memo)
    for layer, twin in twins:
        for names in hooks.FORWARD:
            _copy_hooks(layer, twin, names, memo)
    return dense


def _twin(layer: EdgeLinear) -> nn.Linear:
    twin = layer.to_linear().train(layer.training)
    twin.weight.requires_grad_(any(p.requires_grad for p in layer.edge_parameters()))
    if layer.bias is not None:
        twin.bias.requires_grad_(layer.bias.requires_grad)
    return twin


def _copy_hooks(
    layer: nn.Module, twin: nn.Module, names: tuple[str, ...], memo: dict[int, Any]
) -> None:
    """Give the twin copies of hooks, as a copy of the layer would have them."""
    kept = [key for key, hook in getattr(layer, names[0]).items() if not hooks.is_of_layer(hook)]
    for name in names:
        found = getattr(layer, name)
        copied = OrderedDict((key, found[key]) for key in kept if key in found)
        setattr(twin, name, copy.deepcopy(copied, memo))
