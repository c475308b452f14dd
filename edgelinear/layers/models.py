"""What concerns all layers with edges: the wiring of a checkpoint, and optimizer groups."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from edgelinear.layers.module import EdgeModule


def adopt_wiring(module: nn.Module, state: dict[str, Tensor]) -> None:
    """Rewire all layers with edges in `module` as `state` says, so that `load_state_dict` takes it.

    Where the wiring changes, weights become new parameters of the new size. Edges that stay keep
    theirs, others are drawn anew: rebuild any optimizer that held the old ones. An EdgeNetwork also
    takes the inputs and outputs, and its nodes have the activations that it was made with.

    Raises:
        ValueError: if the state dict lacks the wiring of one of the layers, it is corrupt, or
            weights whose wiring would change have rules, or are pruned, or a network would have a
            cycle. Nothing is changed then.

    Example:
        >>> saved = nn.Sequential(EdgeLinear(3, 2, [(0, 0), (2, 1)])).state_dict()
        >>> model = nn.Sequential(EdgeLinear(3, 2, [(1, 1)]))
        >>> adopt_wiring(model, saved)
        >>> model.load_state_dict(saved)
        <All keys matched successfully>
    """
    plan = []  # all is read first: where something is wrong, nothing must change
    for name, layer in module.named_modules():
        if not isinstance(layer, EdgeModule):
            continue
        prefix = f"{name}." if name else ""
        graph = layer._saved_graph(state, prefix)
        if graph is not None and layer.rules:
            raise ValueError(
                f"the weights of `{name or 'this layer'}` have rules made for its edges: take "
                "another wiring first, and apply rules then."
            )
        stand_in = layer._stand_in()
        if graph is not None and stand_in is not None:
            raise ValueError(
                f"the weights of `{name or 'this layer'}` are computed from `{stand_in}`, as by "
                "`torch.nn.utils.prune` or `weight_norm`: take another wiring first, and apply "
                "these then."
            )
        plan.append((layer, graph, layer._known_names(graph, state, prefix)))
    shared: dict[tuple, nn.Parameter] = {}  # new weights of layers that had one in common
    biases = {  # likewise, of layers that stay as well
        (layer.bias, layer.topology.out_features): layer.bias
        for layer, graph, _ in plan
        if graph is None and layer.bias is not None
    }
    for layer, graph, known in plan:
        if graph is not None:
            before, bias = layer.weight, layer.bias
            layer._rewire(graph)
            topology = layer.topology
            layer.weight = shared.setdefault((before, topology), layer.weight)
            if bias is not None and layer.bias is not None:
                layer.bias = biases.setdefault((bias, topology.out_features), layer.bias)
        layer._in_names, layer._out_names = known


def param_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return two optimizer groups: matrices and edge weights, which decay, and all the rest.

    The usual rule, decay where `p.dim() >= 2`, would skip the 1-D weight of an EdgeLinear.

    Example:
        >>> model = nn.Sequential(EdgeLinear(3, 2, [(0, 0), (2, 1)]), nn.Linear(2, 1))
        >>> groups = param_groups(model, weight_decay=0.01)
        >>> [(group["weight_decay"], len(group["params"])) for group in groups]
        [(0.01, 2), (0.0, 2)]
        >>> optimizer = torch.optim.AdamW(groups, lr=1e-3)
    """
    layers = [m for m in module.modules() if isinstance(m, EdgeModule)]
    edge_weights = {id(p) for layer in layers for p in layer.edge_parameters()}
    parameters = [p for p in module.parameters() if p.requires_grad]

    def group(decay: float, members: Iterable[nn.Parameter]) -> dict[str, Any]:
        return {"params": list(members), "weight_decay": decay}

    def decays(p: nn.Parameter) -> bool:
        return p.dim() >= 2 or id(p) in edge_weights

    return [
        group(weight_decay, (p for p in parameters if decays(p))),
        group(0.0, (p for p in parameters if not decays(p))),
    ]
