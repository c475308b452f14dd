"""Which `nn.Linear` a model has, what their weights are, and why one must stay."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from edgelinear import reach
from edgelinear._torch import has_hooks, is_compiled
from edgelinear.layers import EdgeLinear
from edgelinear.layers.module import EdgeModule

_OWN = {
    *("weight", "weight_orig", "weight_mask", "bias", "bias_orig", "bias_mask", "parametrizations")
}


@dataclass(eq=False)
class Found:
    """An `nn.Linear`, and what is found out about it."""

    linear: nn.Linear
    names: list[str]
    places: list[tuple[nn.Module, str]]  # each parent, and the name that it has there
    reason: str = ""  # why it stays as it is; empty as long as nothing is known
    # What its weight is by: a Parameter, and the mask that it is multiplied by, if there is one.
    weight: nn.Parameter | None = None
    mask: Tensor | None = None
    calls: Counter = field(default_factory=Counter)  # how often a `Call` was made
    is_masked: bool = False  # by `amount`
    twin: EdgeLinear | None = None
    ms: tuple[float, float] | None = None  # of all calls: before, and after
    steady: bool = True  # whether these held still

    @property
    def name(self) -> str:
        return " = ".join(self.names)

    @property
    def matrix(self) -> Tensor | None:
        """The weight as the layer multiplies by it, (out_features, in_features)."""
        if self.weight is None:
            return None
        weight = self.weight.detach()
        return weight if self.mask is None else weight * self.mask

    @property
    def num_edges(self) -> int | None:
        """How many entries are wired: those of the mask, or the weights other than 0."""
        if self.weight is None:
            return None
        return int((self.weight if self.mask is None else self.mask).count_nonzero())

    @property
    def density(self) -> float | None:
        """The share of entries that are wired."""
        number = self.num_edges
        if self.weight is None or number is None:
            return None
        return number / max(1, self.weight.numel())


def find(model: nn.Module) -> list[Found]:
    """Return the layers in the order of their names, each once, wherever it is used."""
    found: dict[int, Found] = {}
    for path, module in model.named_modules(remove_duplicate=False):
        if not isinstance(module, nn.Linear):
            continue
        entry = found.setdefault(id(module), Found(module, [], []))
        entry.names.append(path or "model")
        if path:
            parent, _, name = path.rpartition(".")
            place = (model.get_submodule(parent), name)
            if place not in entry.places:
                entry.places.append(place)
    return [*found.values()]


def other_matrices(model: nn.Module) -> dict[str, int]:
    """Return how many modules of each kind have matrices, or larger arrays, and are no layers."""
    layers = [m for m in model.modules() if isinstance(m, (nn.Linear, EdgeModule))]
    inside = {id(module) for layer in layers for module in layer.modules()}
    kinds = Counter(
        _kind(module)
        for module in model.modules()
        if id(module) not in inside and any(_is_matrix(p) for p in module._parameters.values())
    )
    return dict(kinds.most_common())


def _kind(module: nn.Module) -> str:
    if isinstance(module, torch.jit.ScriptModule):
        return f"scripted {module.original_name}"
    return type(module).__name__


def _is_matrix(parameter: nn.Parameter | None) -> bool:
    lazy = isinstance(parameter, nn.UninitializedParameter)
    return parameter is not None and not lazy and parameter.dim() > 1


def listed(kinds: Mapping[str, int]) -> str:
    """Return how many there are of each kind, in words."""
    return ", ".join(f"{number} {kind}" for kind, number in kinds.items())


def check_there(found: Iterable[Found]) -> None:
    """Refuse weights that have no values."""
    for entry in found:
        for parameter in entry.linear.parameters(recurse=False):
            if isinstance(parameter, nn.UninitializedParameter):
                raise ValueError(
                    f"`{entry.name}` is a lazy layer that was never run and has no weight yet: run "
                    "the model once, then sparsify it."
                )
            if parameter.is_meta:
                raise ValueError(
                    f"`{entry.name}` is on the meta device, where there are no weights to look at: "
                    "load the model first, by `to_empty` and `load_state_dict`."
                )


def look_at(model: nn.Module, found: list[Found]) -> None:
    """Note of each layer what its weight is by, or why it stays as it is."""
    for entry in found:
        entry.weight, entry.mask, why_not = _weight_of(entry.linear)
        why_not = _why_not_layer(entry) or why_not or _held(entry.linear) or _not_begun(entry)
        entry.reason = entry.reason or why_not or ""
    for group in groups(found):
        _look_at_sharing(model, group)


def groups(found: Iterable[Found]) -> list[list[Found]]:
    """Return the layers whose weight is the same Parameter, together."""
    by_weight: dict[int, list[Found]] = {}
    for entry in found:
        if entry.weight is not None:
            by_weight.setdefault(id(entry.weight), []).append(entry)
    return [*by_weight.values()]


def _why_not_layer(entry: Found) -> str | None:
    linear = entry.linear
    if type(linear).forward is not nn.Linear.forward or "forward" in vars(linear):
        return f"{type(linear).__name__} has a `forward` of its own"
    if any(reach.multiplies_itself(parent) for parent, _ in entry.places):
        return "nn.MultiheadAttention multiplies by its weight without a call of it"
    if is_compiled(linear) or any(path.endswith("_orig_mod") for path in entry.names):
        return "it is compiled alone: sparsify the model first, and compile it then"
    if parametrize.is_parametrized(linear, "bias"):
        return "its bias is parametrized"
    return None


def _held(linear: nn.Linear) -> str | None:
    """Return that a layer holds what the one in its place would not."""
    held = {*linear._parameters, *linear._buffers, *linear._modules} - _OWN
    return f"it holds `{min(held)}` beside its weight and bias" if held else None


def _not_begun(entry: Found) -> str | None:
    """Return that weights are zeros to learn from, as those of adapters, and none that were pruned.

    On no edges they would stay zero.
    """
    weight = entry.weight
    if weight is None or entry.mask is not None or not weight.requires_grad:
        return None
    if weight.numel() and not weight.any():
        return "all its weights are 0 and are to be trained: a mask would say that they are pruned"
    return None


def _weight_of(linear: nn.Linear) -> tuple[nn.Parameter | None, Tensor | None, str | None]:
    """Return the Parameter and the mask that make the weight, or a reason."""
    mask: Tensor | None = None
    if parametrize.is_parametrized(linear, "weight"):
        steps = [*linear.parametrizations["weight"]]  # type: ignore[index,misc]
        kinds = [type(step).__name__ for step in steps]
        if kinds != ["FakeSparsity"]:  # of torch.ao.pruning and torchao: a mask
            return None, None, f"its weight is parametrized, by {' and '.join(kinds)}"
        weight, mask = linear.parametrizations["weight"].original, steps[0].mask  # type: ignore
    elif "weight_orig" in linear._parameters and "weight_mask" in linear._buffers:
        weight, mask = linear._parameters["weight_orig"], linear._buffers["weight_mask"]
    else:
        weight = linear._parameters.get("weight")
    if weight is None:
        others = " and ".join(f"`{name}`" for name in linear._parameters if name != "bias")
        return None, None, f"its weight is computed{f' from {others}' if others else ''}"
    if type(weight) is not nn.Parameter:
        kind = type(weight).__name__
        return None, None, f"its weight is a {kind}, as of quantized or sharded layers"
    if not weight.is_floating_point():
        return None, None, f"its weight is of {weight.dtype}, no real floating type"
    if weight.layout != torch.strided:
        return None, None, "its weight is a sparse tensor: `EdgeLinear.from_linear` reads it"
    if has_hooks(weight):
        return weight, mask, "its weight has hooks, which expect a matrix"
    return weight, mask, None


def _look_at_sharing(model: nn.Module, group: list[Found]) -> None:
    """Note where the weight is that of another module too, which needs it as a matrix."""
    weight, inside = group[0].weight, {id(m) for entry in group for m in entry.linear.modules()}
    others = [
        ".".join(filter(None, [path, name]))
        for path, module in model.named_modules()
        for name, parameter in module._parameters.items()
        if parameter is weight and id(module) not in inside
    ]
    if others:
        why = f"its weight is that of `{others[0]}` too"
    elif any(not _same_mask(group[0].mask, entry.mask) for entry in group):
        why = "its weight is that of another layer too, which has another mask"
    else:
        return
    for entry in group:
        entry.reason = entry.reason or why


def settle(found: Iterable[Found]) -> None:
    """Let layers that share a weight stay together, where one of them must stay."""
    for group in groups(found):
        stays = [entry for entry in group if entry.reason]
        for entry in group:
            if stays and not entry.reason:
                entry.reason = f"its weight is that of `{stays[0].name}` too, which stays"


def _same_mask(a: Tensor | None, b: Tensor | None) -> bool:
    if a is None or b is None:
        return a is b
    return a is b or torch.equal(a, b)
