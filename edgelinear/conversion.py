"""Whole models from sparse layers to dense ones."""

import copy

from torch import nn

from edgelinear.layers import EdgeLinear


def densify(model: nn.Module) -> nn.Module:
    """Return a copy of a model with an `nn.Linear` of the same function for each `EdgeLinear`.

    For runtimes that know dense products alone, or run them faster: onnxruntime does so above some
    10 % of the connections. It takes in_features * out_features memory a layer, spreads an inf or
    NaN to every output, and trains the zeros too. A layer used twice is one layer in the copy.

    Example:
        >>> model = nn.Sequential(EdgeLinear(4, 3, [(0, 0), (3, 2)]), nn.ReLU())
        >>> densify(model)
        Sequential(
          (0): Linear(in_features=4, out_features=3, bias=True)
          (1): ReLU()
        )
    """
    twins = {id(m): _twin(m) for m in model.modules() if isinstance(m, EdgeLinear)}
    return copy.deepcopy(model, twins)  # what it finds there it takes for copied already


def _twin(layer: EdgeLinear) -> nn.Linear:
    twin = layer.to_linear().train(layer.training)
    twin.weight.requires_grad_(any(p.requires_grad for p in layer.edge_parameters()))
    if layer.bias is not None:
        twin.bias.requires_grad_(layer.bias.requires_grad)
    return twin
