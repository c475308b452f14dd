"""Edges with rules: weights that are tied, of one sign, or frozen.

Each rule is a parametrization of `torch.nn.utils.parametrize`: the optimizer sees what may move,
and `layer.weight` is what follows from it. So no optimizer, checkpoint or assignment can break the
rule, and kernels do not know of it. Make rules before the optimizer, as parameters change their
shape, and before `fully_shard`.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from edgelinear import checkpoint
from edgelinear.layers import EdgeLinear


def tie(layer: EdgeLinear, index: Any, *, scale: Any = None) -> EdgeLinear:
    """Make all edges of the same `index` share one parameter, and return the layer.

    `layer.weight[e]` is then `parameter[index[e]] * scale[e]`, and the gradient of a parameter the
    sum over its edges. It starts at the mean of what its edges ask for. An assignment to
    `layer.weight` must keep to the rule.

    Args:
        index: (num_edges,) whole numbers from 0 on: the parameter of each edge.
        scale: (num_edges,) fixed numbers other than zero, as counts of synapses; ones by default.

    Raises:
        TypeError: if `index` does not hold whole numbers.
        ValueError: if it has another shape or a negative number, a scale is zero, or the layer has
            a rule already.

    Example:
        >>> layer = tie(EdgeLinear(3, 2, [(0, 0), (1, 0), (2, 1)]), [0, 0, 1])
        >>> layer.parametrizations.weight.original.shape
        torch.Size([2])
        >>> bool(layer.weight[0] == layer.weight[1])
        True
    """
    _check_values(layer)
    index = _per_edge(layer, "index", index)
    if index.dtype == torch.bool or index.is_floating_point() or index.is_complex():
        raise TypeError(f"`index` must hold whole numbers, got {index.dtype}.")
    if index.numel() and int(index.min()) < 0:
        raise ValueError(f"`index` must not be negative, got {int(index.min())}.")
    scale = torch.ones(layer.num_edges) if scale is None else scale
    scale = _per_edge(layer, "scale", scale).to(layer.weight.dtype)
    if not scale.all():
        raise ValueError(f"`scale` must not be zero, as for edge {int((scale == 0).nonzero()[0])}.")
    _check_first(layer, "tie")
    return _register(layer, _Tied(index.long().clone(), scale.detach().clone()))


def fix_signs(layer: EdgeLinear, signs: Any) -> EdgeLinear:
    """Give all edges out of a source its sign, and return the layer: Dale's law.

    `layer.weight[e]` is then `signs[src(e)]` times the absolute value of a parameter. Weights keep
    their magnitudes at first. An assignment to `layer.weight` must respect the signs. A parameter
    that is exactly zero has no gradient, and stays.

    Args:
        signs: (in_features,) numbers, each 1 or -1.

    Raises:
        ValueError: if `signs` has another shape or other numbers, or does not agree with the rules
            that the layer has.

    Example:
        >>> layer = fix_signs(EdgeLinear(2, 2, [(0, 0), (0, 1), (1, 1)]), [1, -1])
        >>> layer.weight.sign().tolist()
        [1.0, 1.0, -1.0]
    """
    _check_values(layer)
    signs = torch.as_tensor(signs)
    if signs.shape != (layer.in_features,) or not bool((signs.abs() == 1).all()):
        raise ValueError(
            f"`signs` must hold 1 or -1 for each of the {layer.in_features} inputs, got "
            f"{signs.tolist() if signs.numel() < 10 else f'shape {tuple(signs.shape)}'}."
        )
    signs = signs.to(layer.weight.detach())
    return _register(layer, _Signed(signs[layer.topology.src.long()]))


def fix_nonnegative(layer: EdgeLinear) -> EdgeLinear:
    """Keep every weight from becoming negative, and return the layer: `fix_signs` with ones.

    Example:
        >>> layer = fix_nonnegative(EdgeLinear(2, 2, [(0, 0), (1, 1)]))
        >>> bool((layer.weight >= 0).all())
        True
    """
    return fix_signs(layer, torch.ones(layer.in_features))


@torch.no_grad()
def balance(layer: EdgeLinear) -> EdgeLinear:
    """Scale weights so that excitation and inhibition of each target cancel, and return the layer.

    Of the edges into a target, those above zero are scaled by one factor and those below by
    another, so that the sums of both are equal and the sum of squares stays. Outputs of equal
    inputs then start at the bias: Rajan and Abbott, "Eigenvalue spectra of random matrices for
    neural networks" (2006). Targets of one sign alone stay as they are.

    Example:
        >>> layer = EdgeLinear(3, 1, [(0, 0), (1, 0), (2, 0)], weight=[1.0, 1.0, -1.0])
        >>> torch.allclose(balance(layer).weight.sum(), torch.zeros(()), atol=1e-6)
        True
    """
    _check_values(layer)
    weight, dst = layer.weight.detach().double(), layer.topology.dst.long()

    def total(values: Tensor) -> Tensor:  # of each target
        return values.new_zeros(layer.out_features).index_add(0, dst, values)

    above, below = weight.clamp(min=0), weight.clamp(max=0)
    up, down = total(above), -total(below)
    mixed = (up > 0) & (down > 0)
    balanced = above / up.clamp(min=1e-300)[dst] + below / down.clamp(min=1e-300)[dst]
    scale = (total(weight.square()) / total(balanced.square()).clamp(min=1e-300)).sqrt()
    weight = torch.where(mixed[dst], balanced * scale[dst], weight).to(layer.weight.dtype)
    _assign(layer, weight)
    return layer


def freeze(layer: EdgeLinear, mask: Any) -> EdgeLinear:
    """Keep the weights of the edges in `mask` as they are, and return the layer.

    The other edges are the parameter, so that neither decay nor momentum moves a frozen one. Frozen
    weights stand beside it, as a parameter that requires no gradient.

    Args:
        mask: (num_edges,) truth values.

    Raises:
        TypeError: if `mask` does not hold truth values.
        ValueError: if it has another shape, or the layer has a rule already.

    Example:
        >>> layer = EdgeLinear(3, 2, [(0, 0), (1, 0), (2, 1)], weight=[1.0, 2.0, 3.0])
        >>> freeze(layer, [True, False, False]).parametrizations.weight.original.tolist()
        [2.0, 3.0]
        >>> layer.weight.tolist()
        [1.0, 2.0, 3.0]
    """
    _check_values(layer)
    mask = _per_edge(layer, "mask", mask)
    if mask.dtype != torch.bool:
        raise TypeError(f"`mask` must hold truth values, got {mask.dtype}.")
    _check_first(layer, "freeze")
    return _register(layer, _Frozen(mask, layer.weight.detach()))


class _Rule(nn.Module):
    """A parametrization with tensors that are part of the rule: no parameters, and no buffers.

    As for wirings, a state dict holds them, and another rule is refused when it is loaded.
    """

    fixed: tuple[str, ...]  # the attributes that hold them

    def project(self, weight: Tensor) -> Tensor:
        """Return weights that follow the rule, near to those given."""
        raise NotImplementedError

    def _apply(self, fn: Any, recurse: bool = True) -> "_Rule":
        super()._apply(fn, recurse)
        # As the topology does, they keep their numbers where `fn` is that of `to_empty`.
        for name in self.fixed:
            tensor = getattr(self, name)
            like = fn(tensor.new_empty(0))
            if like.device.type != "meta":
                setattr(self, name, tensor.to(like))
        return self

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        for name in self.fixed:
            destination[prefix + name] = getattr(self, name)

    def _load_from_state_dict(
        self,
        state_dict: dict,
        prefix: str,
        local_metadata: dict,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        keys = {prefix + name: getattr(self, name) for name in self.fixed}
        rest = {key: value for key, value in state_dict.items() if key not in keys}
        super()._load_from_state_dict(
            rest, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )
        if checkpoint.stay_on_rank_0(keys, state_dict):
            return
        for key, ours in keys.items():
            theirs = state_dict.get(key)
            if theirs is None:
                missing_keys.append(key)
            elif not torch.equal(ours.cpu(), theirs.cpu().to(ours.dtype)):
                error_msgs.append(f"`{key}` in this checkpoint is that of another rule.")


class _Tied(_Rule):
    fixed = ("index", "scale")

    def __init__(self, index: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.index = index
        self.scale = scale
        self.number = int(index.max()) + 1 if index.numel() else 0

    def forward(self, values: Tensor) -> Tensor:
        # Inductor fails on the derivative of `values[index]`.
        return values.gather(0, self.index) * self.scale

    def project(self, weight: Tensor) -> Tensor:
        return self(self.mean(weight))

    def mean(self, weight: Tensor) -> Tensor:
        index = self.index
        total = weight.new_zeros(self.number).index_add(0, index, weight / self.scale.to(weight))
        return total / torch.bincount(index, minlength=self.number).clamp(min=1)

    def right_inverse(self, weight: Tensor) -> Tensor:
        values = self.mean(weight.double()).to(weight)
        close = torch.isclose(self.forward(values), weight, rtol=1e-5, atol=1e-8)
        if not close.all():
            edge = int((~close).nonzero()[0])
            raise ValueError(
                f"`weight` must hold one number times the scale for all edges of an index, got "
                f"{weight[edge]:.6g} for edge {edge}, where the others of index "
                f"{int(self.index[edge])} ask for {self.forward(values)[edge]:.6g}."
            )
        return values


class _Signed(_Rule):
    fixed = ("signs",)

    def __init__(self, signs: Tensor) -> None:
        super().__init__()
        self.signs = signs

    def forward(self, values: Tensor) -> Tensor:
        return values.abs() * self.signs

    def project(self, weight: Tensor) -> Tensor:
        return self.forward(weight)

    def right_inverse(self, weight: Tensor) -> Tensor:
        wrong = weight * self.signs < 0
        if wrong.any():
            edge = int(wrong.nonzero()[0])
            raise ValueError(
                f"`weight` must have the signs of its sources, got {weight[edge]:.6g} for edge "
                f"{edge}, whose sign is {int(self.signs[edge]):+d}."
            )
        return weight


class _Frozen(_Rule):
    fixed = ("moving", "still")

    def __init__(self, mask: Tensor, weight: Tensor) -> None:
        super().__init__()
        self.moving = (~mask).nonzero()[:, 0]
        self.still = mask.nonzero()[:, 0]
        # A parameter, so that processes that drew other weights take those of rank 0.
        self.frozen = nn.Parameter(weight[mask], requires_grad=False)

    def _apply(self, fn: Any, recurse: bool = True) -> "_Frozen":
        before = self.frozen.detach()
        super()._apply(fn, recurse)
        if "meta" not in (before.device.type, self.frozen.device.type):
            with torch.no_grad():
                self.frozen.copy_(before)  # which `to_empty` drops
        return self

    def forward(self, values: Tensor) -> Tensor:
        # Detached, as `model.requires_grad_()` is meant for what may move.
        weight = values.new_empty(len(self.still) + len(self.moving))
        weight = weight.scatter(0, self.still, self.frozen.detach())
        return weight.scatter(0, self.moving, values)

    def project(self, weight: Tensor) -> Tensor:
        return self.forward(weight[self.moving])

    def right_inverse(self, weight: Tensor) -> Tensor:
        moved = self.project(weight) != weight
        if moved.any():
            edge = int(moved.nonzero()[0])
            raise ValueError(
                f"`weight` must leave frozen edges as they are, got {weight[edge]:.6g} for edge "
                f"{edge}, which is frozen at {self.project(weight)[edge]:.6g}."
            )
        return weight[self.moving]


def _per_edge(layer: EdgeLinear, name: str, values: Any) -> Tensor:
    values = torch.as_tensor(values, device=layer.weight.device)
    if values.shape != (layer.num_edges,):
        raise ValueError(
            f"`{name}` must have one entry for each of the {layer.num_edges} edges, "
            f"got shape {tuple(values.shape)}."
        )
    return values


def _check_values(layer: EdgeLinear) -> None:
    weight = layer.weight
    if weight.device.type == "meta" or hasattr(weight, "device_mesh"):
        where = "on the meta device" if weight.device.type == "meta" else "sharded"
        raise ValueError(
            f"rules need the values of the weights, and these are {where}: "
            "make rules on a device, and shard the layer afterwards."
        )


def _check_first(layer: EdgeLinear, name: str) -> None:
    if parametrize.is_parametrized(layer, "weight"):
        raise ValueError(
            f"`{name}` must be the first rule of a layer, as it changes the number of parameters: "
            "this one has a rule already."
        )


@torch.no_grad()
def _register(layer: EdgeLinear, rule: _Rule) -> EdgeLinear:
    # Rules made before refuse the weights if they disagree with this one.
    _assign(layer, rule.project(layer.weight))
    layer.weight.grad = None  # of another shape than the parameter will have
    parametrize.register_parametrization(layer, "weight", rule)
    return layer


def _assign(layer: EdgeLinear, weight: Tensor) -> None:
    if parametrize.is_parametrized(layer, "weight"):
        layer.weight = weight  # type: ignore[assignment]
    else:
        layer.weight.copy_(weight)
