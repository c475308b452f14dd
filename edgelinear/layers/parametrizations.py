"""Parametrizations of weights, as `torch.nn.utils.parametrize` takes them: what a rule computes."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from edgelinear.layers.entries import Comparison, HasEntries, same_numbers


class Rule(HasEntries):
    """A parametrization with tensors that are part of the rule: no parameters, and no buffers.

    As for wirings, a state dict holds them, and the layer compares them before anything is loaded.
    """

    fixed: tuple[str, ...]  # the attributes that hold them

    def project(self, weight: Tensor) -> Tensor:
        """Return weights that follow the rule, near to those given."""
        raise NotImplementedError

    def right_inverse(self, weight: Tensor) -> Tensor:
        """Return the parameter that gives these weights.

        Raises:
            ValueError: if they do not follow the rule.
        """
        raise NotImplementedError

    def note(self, edge: int) -> str:
        """Return what the rule says of an edge, in a word or two."""
        raise NotImplementedError

    def refuse(self, state: Mapping[str, Tensor], prefix: str) -> str | None:
        """Return None if the saved rule is this one, or a sentence that says that it is not."""
        for name in self.fixed:
            if prefix + name not in state:
                return f"the state dict holds no `{prefix}{name}`, which the rule of weights needs."
        refused = self._compare(state, prefix, False).refused
        return refused[0] if refused else None

    def _compare(self, state: Mapping[str, Tensor], prefix: str, assign: bool) -> Comparison:
        refused = [
            f"`{prefix}{name}` in this checkpoint is that of another rule."
            for name in self.fixed
            if prefix + name in state
            and not same_numbers(getattr(self, name).cpu(), state[prefix + name])
        ]
        return Comparison(refused)

    def _entry_names(self) -> list[str]:
        return [name for name in self.fixed if name in self.__dict__]

    def _is_entry(self, name: str) -> bool:
        return name in self.fixed

    def _entry(self, name: str) -> Tensor:
        return getattr(self, name).clone()

    def _apply(self, fn: Any, recurse: bool = True) -> "Rule":
        super()._apply(fn, recurse)
        # `fn` says on which device they belong, and nothing else: that of `to_empty` would lose
        # their numbers, and that of `half` would round a scale or make an index useless.
        for name in self.fixed:
            tensor = getattr(self, name)
            device = fn(tensor.new_empty(0)).device
            if device.type != "meta":
                self.__dict__[name] = tensor.to(device)
        return self


def register(module: nn.Module, rule: Rule) -> None:
    """Have the weight of a module follow one more rule, computed anew each time that it is read.

    torch's own property would keep it throughout `parametrize.cached()`: when an optimizer has
    stepped, when a backward has freed its graph, when `checkpoint` needs it computed once more,
    without a graph where it was first read without one, and for copies of the module, which would
    all have the weight of the first.
    """
    parametrize.register_parametrization(module, "weight", rule)
    kind: Any = type(module)  # which torch made for this module and its copies
    kind.weight = property(_compute, kind.set_weight)  # torch would take the memory of the values


def _compute(module: Any) -> Tensor:
    return module.parametrizations["weight"]()


class Tied(Rule):
    fixed = ("index", "scale", "nonnegative")

    def __init__(self, index: Tensor, scale: Tensor, nonnegative: Tensor) -> None:
        super().__init__()
        self.index = index
        self.scale = scale
        self.nonnegative = nonnegative
        self.takes_absolute = bool(nonnegative)
        self.number = int(index.max()) + 1 if index.numel() else 0

    def forward(self, values: Tensor) -> Tensor:
        values = values.abs() if self.takes_absolute else values
        # Inductor fails on the derivative of `values[index]`.
        return (values.gather(0, self.index) * self.scale).to(values.dtype)

    def project(self, weight: Tensor) -> Tensor:
        exact, scale = weight.double(), self.scale.double()
        squares = self._total(exact.square()) / self._total(scale.square()).clamp(min=1e-300)
        sign = torch.where(self._total(exact * scale) < 0, -1.0, 1.0)
        return self.forward((squares.sqrt() * sign).to(weight))

    def right_inverse(self, weight: Tensor) -> Tensor:
        wrong = weight * self.scale < 0
        if self.takes_absolute and wrong.any():
            edge = int(wrong.nonzero()[0])
            raise ValueError(
                "`weight` must have the signs of the scale, as absolute values of parameters count "
                f"(nonnegative=True), got {weight[edge]:.6g} for edge {edge}, whose scale is "
                f"{self.scale[edge]:.6g}."
            )
        count = torch.bincount(self.index, minlength=self.number).clamp(min=1)
        values = (self._total(weight.double() / self.scale) / count).to(weight)
        follows = self.forward(values)
        tolerance = max(1e-5, 4 * torch.finfo(weight.dtype).eps)
        close = torch.isclose(follows, weight, rtol=tolerance, atol=0.0, equal_nan=True)
        if not close.all():
            edge = int((~close).nonzero()[0])
            raise ValueError(
                f"`weight` must hold one number times the scale for all edges of an index, got "
                f"{weight[edge]:.6g} for edge {edge}, where the others of index "
                f"{int(self.index[edge])} ask for {follows[edge]:.6g}."
            )
        return values

    def note(self, edge: int) -> str:
        return f"shares parameter {int(self.index[edge])}"

    def _total(self, values: Tensor) -> Tensor:
        return values.new_zeros(self.number).index_add(0, self.index, values)


class Signed(Rule):
    fixed = ("signs",)

    def __init__(self, signs: Tensor) -> None:
        super().__init__()
        self.signs = signs

    def forward(self, values: Tensor) -> Tensor:
        return (values.abs() * self.signs).to(values.dtype)

    def project(self, weight: Tensor) -> Tensor:
        return self.forward(weight)

    def right_inverse(self, weight: Tensor) -> Tensor:
        wrong = weight * self.signs < 0
        if wrong.any():
            edge = int(wrong.nonzero()[0])
            raise ValueError(
                f"`weight` must keep its signs, got {weight[edge]:.6g} for edge {edge}, whose sign "
                f"is {int(self.signs[edge]):+d}."
            )
        return weight

    def note(self, edge: int) -> str:
        return "keeps its sign"


class Frozen(Rule):
    fixed = ("moving", "still")
    frozen: Tensor

    def __init__(self, mask: Tensor, weight: Tensor) -> None:
        super().__init__()
        self.moving = (~mask).nonzero()[:, 0]
        self.still = mask.nonzero()[:, 0]
        # A buffer, so that DDP gives the values of rank 0 to processes that drew others.
        self.register_buffer("frozen", weight[mask])

    def _apply(self, fn: Any, recurse: bool = True) -> "Frozen":
        before = self.frozen
        super()._apply(fn, recurse)
        if "meta" not in (before.device.type, self.frozen.device.type):
            self.frozen.copy_(before)  # which `to_empty` drops
        return self

    def forward(self, values: Tensor) -> Tensor:
        frozen = self.frozen.to(values.dtype)
        weight = values.new_empty(len(self.still) + len(self.moving))
        return weight.scatter(0, self.still, frozen).scatter(0, self.moving, values)

    def project(self, weight: Tensor) -> Tensor:
        return self.forward(weight[self.moving])

    def right_inverse(self, weight: Tensor) -> Tensor:
        asked = weight[self.still]
        moved = (asked != self.frozen) & ~(asked.isnan() & self.frozen.isnan())
        if moved.any():
            first = int(moved.nonzero()[0])
            raise ValueError(
                f"`weight` must leave frozen edges as they are, got {asked[first]:.6g} for edge "
                f"{int(self.still[first])}, which is frozen at {self.frozen[first]:.6g}."
            )
        return weight[self.moving]

    def note(self, edge: int) -> str:
        return "frozen" if bool((self.still == edge).any()) else ""
