"""`Factored`: what nodes multiply their sums by, which is put into the weights."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgelinear.functional.export import take
from edgelinear.layers import nodes
from edgelinear.layers.graph import GraphModule
from edgelinear.networks.activations import Function, Scaled
from edgelinear.networks.formula import AGGREGATIONS
from edgelinear.topology.numbers import as_numbers


class Factored(GraphModule):
    """A module of a whole graph whose nodes have responses, aggregations and scaled activations.

    A response, a mean and the factor of a `Scaled` activation multiply the sum of a node, and so
    the weights of the edges into it. Of other aggregations they are factors on their own.
    """

    response: nn.Parameter | None
    _aggregations: list[str]
    _factor: Tensor | None  # (num_nodes,): of the sums, but for responses
    _scale: Tensor | None  # (num_nodes,): that part of it which is of activations
    _is_other: Tensor | None  # (num_nodes,): whether nodes have aggregations of other kinds

    def _set_aggregations(
        self, aggregation: Any, allowed: Sequence[str] = AGGREGATIONS, cure: str = ""
    ) -> Any:
        """Take the aggregation of each node, and return what was given, to be kept."""
        if not isinstance(aggregation, (str, Mapping)):
            if isinstance(aggregation, Tensor) or not isinstance(aggregation, Iterable):
                raise TypeError(
                    "`aggregation` must be a name, a list with one for each node, or a dict of "
                    f"some, got {type(aggregation).__name__}."
                )
            aggregation = list(aggregation)
        number, names = self.num_nodes, self.node_names
        self._aggregations = nodes.per_node(
            "aggregation", aggregation, number, names, allowed, "sum", cure
        )
        return aggregation

    def _set_response(self, response: Any) -> None:
        self.register_parameter("response", None)
        if response is None:
            return
        values = as_numbers("`response`", response).detach()
        if values.shape != (self.num_nodes,):
            raise ValueError(
                f"`response` must hold one number for each of the {self.num_nodes} nodes, "
                f"got shape {tuple(values.shape)}."
            )
        self.response = nn.Parameter(values.to(self.weight, copy=True))

    @classmethod
    def _saved_options(cls, state: Mapping[str, Tensor], prefix: str) -> dict[str, Any]:
        key = prefix + "response"
        return {"response": torch.ones(state[key].shape, device="cpu")} if key in state else {}

    def _set_factors(self, silent: np.ndarray | None = None) -> list[str | Function]:
        """Set the factors, and return the activation of each node without its own.

        `silent` nodes are the identity of nothing: no sum and no bias reaches them.
        """
        scales = [a.factor if isinstance(a, Scaled) else 1.0 for a in self._activations]
        functions = [a.name if isinstance(a, Scaled) else a for a in self._activations]
        for node in [] if silent is None else silent.tolist():
            scales[node], functions[node] = 0.0, "identity"
        fan_in = self._topology.fan_in
        others = [a not in ("sum", "mean") for a in self._aggregations]
        means = [a == "mean" for a in self._aggregations]
        with torch.inference_mode(False):
            self._factor = self._scale = None
            if any(scale != 1.0 for scale in scales):
                scale = torch.tensor(scales, dtype=torch.float64, device=fan_in.device)
                self._factor = self._scale = scale
            if any(means):
                mean = torch.tensor(means, device=fan_in.device)
                mean = torch.where(mean, 1.0 / fan_in.clamp(min=1).double(), 1.0)
                self._factor = mean if self._factor is None else self._factor * mean
            self._is_other = torch.tensor(others, device=fan_in.device) if any(others) else None
        return functions

    def _move_factors(self) -> None:
        device = self._topology.device
        for name in ("_factor", "_scale", "_is_other"):
            tensor = self.__dict__[name]
            self.__dict__[name] = None if tensor is None else tensor.to(device)

    def _scaled(self, weight: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the weight times its target's factors, and those that go to other aggregations."""
        factor = None if self._factor is None else self._factor.to(weight.dtype)
        others = None
        if self.response is not None:
            response = self.response.to(weight.dtype)
            factor = response if factor is None else factor * response
        if factor is None:
            return weight, None
        if self._is_other is not None:
            others = take(torch.where(self._is_other, factor, 1.0), 0, self._plan.order)
            factor = torch.where(self._is_other, 1.0, factor)
        # Inductor fails on the derivative of `factor[dst]`: see `take`.
        return weight * factor.gather(0, self._topology.dst.long()), others

    def _in_sums(self) -> Tensor:
        weight, dst = self.weight.double(), self._topology.dst.long()
        if self.response is not None:
            weight = weight * self.response[dst]
        means = torch.tensor([a == "mean" for a in self._aggregations], device=dst.device)
        return weight / torch.where(means, self._topology.fan_in, 1)[dst]

    def _scaled_bias(self, dtype: torch.dtype) -> Tensor | None:  # (num_nodes,)
        bias: Tensor | None = self.bias
        if bias is not None and bias.dtype != dtype:
            bias = bias.to(dtype)
        if bias is not None and self._scale is not None:
            bias = bias * self._scale.to(dtype)
        return bias
