"""`SavedGraph`: a whole graph in a state dict, compared, made of one, or taken from another."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from edgelinear.layers import checkpoint
from edgelinear.layers.entries import Comparison, same_numbers
from edgelinear.layers.module import EdgeModule
from edgelinear.layers.names import NAMES, names_as_bytes, saved_names
from edgelinear.topology import EdgeMap, Topology

_ENDS = ("inputs", "outputs")  # entries of a state dict, beside those of the wiring


class SavedGraph(EdgeModule):
    """A module whose state dicts say which nodes are its inputs and outputs."""

    bias: nn.Parameter | None
    _inputs: np.ndarray
    _outputs: np.ndarray
    _starts: dict[
        str, Tensor
    ] = {}  # values of parameters and buffers to which drawing anew returns
    _of_graph: tuple[str, ...] = ("_topology", "_inputs", "_outputs", "_sizes", "_activations")

    if TYPE_CHECKING:
        node_names: Any

        def __init__(self, *graph: Any, **options: Any) -> None: ...

    def _set_plan(self) -> None:
        """Set `_plan`, and whatever else follows from the graph alone."""
        raise NotImplementedError

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Tensor], prefix: str = "", **options: Any) -> Self:
        """Return the module that a state dict describes: its graph, its names and its parameters.

        Args:
            prefix: where the module stands in the state dict of a larger model, as "brain.0.".
            options: those of the class, which a state dict does not hold and nothing compares:
                `activation`, `output_activation`, `aggregation`, `equation`, `clamp_inputs`,
                `steps_per_input`, `noise`, a `leak` that is one fixed number, and whether leaks
                and factors of inputs are learned, unless they are the defaults.

        Raises:
            ValueError: if an entry is missing or corrupt, or weights had rules: then build the
                module, apply its rules, and use `load_state_dict`.

        Example:
            >>> net = EdgeNetwork(3, [(0, 1), (1, 2)], [0], [2], activation="tanh")
            >>> twin = EdgeNetwork.from_state_dict(net.state_dict(), activation="tanh")
            >>> x = torch.randn(5, 1)
            >>> bool((twin(x) == net(x)).all())
            True
        """
        topology = checkpoint.saved_topology(state, prefix)
        ends = saved_ends(state, prefix)
        weight = checkpoint.saved_weight(state, prefix, "build the module of its edges")
        names = saved_names(state, prefix + NAMES[0], topology.in_features)
        if names is not None:
            ends = _by_name(names, ends)
        given = cls._saved_options(state, prefix) | options
        net = cls(
            topology.in_features,
            topology,
            *ends,
            **{"bias": prefix + "bias" in state, "node_names": names} | given,
            device=weight.device,
            dtype=weight.dtype,
        )
        entries = {key: prefix + key for key in net.state_dict()}
        net.load_state_dict({k: state[v] for k, v in entries.items() if v in state})
        for name in net._starts:
            net._starts[name] = torch.as_tensor(state[prefix + name]).detach().cpu().double()
        return net

    @classmethod
    def _saved_options(cls, state: Mapping[str, Tensor], prefix: str) -> dict[str, Any]:
        """Return the options for parameters that a state dict holds, whose values it brings."""
        return {}

    def _entry_names(self) -> list[str]:
        return [*super()._entry_names(), *_ENDS]

    def _is_entry(self, name: str) -> bool:
        return name in _ENDS or super()._is_entry(name)

    def _entry(self, name: str) -> Tensor:
        return names_as_bytes(self.node_names) if name in NAMES else super()._entry(name)

    def _compare(self, state: Mapping[str, Tensor], prefix: str, assign: bool) -> Comparison:
        compared = super()._compare(state, prefix, assign)
        weights = [
            value
            for key, value in state.items()
            if key.startswith(prefix) and checkpoint.is_edge_weight(key[len(prefix) :])
        ]
        needed = len(state) > 1 and weights and not checkpoint.is_compared_by_rank_0(weights)
        for name in _ENDS:
            if prefix + name not in state:
                if needed and not compared.refused:
                    compared.missing.append(prefix + name)
            elif not same_numbers(getattr(self, name), torch.as_tensor(state[prefix + name])):
                compared.refused.append(
                    f"`{prefix}{name}` in this checkpoint is not the list of {name} here. "
                    "Use el.adopt_wiring to take it."
                )
        return compared

    def _saved_graph(self, state: Mapping[str, Tensor], prefix: str) -> Any:
        topology = checkpoint.saved_topology(state, prefix)
        inputs, outputs = saved_ends(state, prefix)
        same = topology == self._topology.to("cpu")
        if same and inputs == self._inputs.tolist() and outputs == self._outputs.tolist():
            return None
        names = self._names_for(topology, state, prefix)
        if names is not None:
            inputs, outputs = _by_name(names, (inputs, outputs))
        try:
            return self._twin(topology, inputs, outputs, names)
        except ValueError as error:
            where = f" under `{prefix}`" if prefix else ""
            raise ValueError(
                f"the network{where} in this checkpoint cannot be taken: {error}"
            ) from error

    def _twin(self, topology: Topology, inputs: list, outputs: list, names: Any) -> "SavedGraph":
        """Return a module like this one of another graph, on the meta device."""
        raise NotImplementedError

    def _set_graph_anew(self, graph: "SavedGraph") -> None:
        before = self._numbers()
        for name in self._of_graph:
            self.__dict__[name] = graph.__dict__[name]
        self._in_names = self._out_names = graph._in_names
        after = self._numbers()
        for name, (old, new) in {
            **dict.fromkeys(("bias", "response", "leak"), (before[0], after[0])),
            "input_weight": (before[1], after[1]),
        }.items():
            self._follow(name, old, new)
        self._set_plan()

    def _numbers(self) -> tuple[dict, dict]:
        """Return the position of each node among all, and among the inputs, by its name."""
        names = range(self._topology.in_features) if self._in_names is None else self._in_names
        inputs = [names[node] for node in self._inputs.tolist()]
        nodes, ends = ({name: i for i, name in enumerate(some)} for some in (names, inputs))
        return nodes, ends

    def _follow(self, name: str, before: dict, after: dict) -> None:
        """Have what there is of one a node or an input follow them: new ones get 1, or bias 0."""
        held = {**self._parameters, **self._buffers}.get(name)
        if held is None or held.dim() == 0:
            return
        places = EdgeMap(torch.tensor([before.get(node, -1) for node in after]))
        if name in self._starts:
            self._starts[name] = places.follow(self._starts[name], fill=1.0)
        if held.is_meta:
            values = held.new_empty(len(after))
        else:
            values = places.follow(held.detach(), fill=float(name != "bias")).to(held)
        if held.shape == values.shape and torch.equal(held, values):
            return  # the same object
        if isinstance(held, nn.Parameter):
            values = nn.Parameter(values, requires_grad=held.requires_grad)
            self.register_parameter(name, values)
        else:
            self._buffers[name] = values

    def _known_names(
        self, graph: Any, state: Mapping[str, Tensor], prefix: str
    ) -> list[list[str | int] | None]:
        topology = self._topology if graph is None else graph._topology
        return [self._names_for(topology, state, prefix)] * 2

    def _names_for(
        self, topology: Topology, state: Mapping[str, Tensor], prefix: str
    ) -> list[str | int] | None:
        size = topology.in_features
        saved = saved_names(state, prefix + NAMES[0], size)
        ours = self._in_names
        return list(ours) if saved is None and ours and len(ours) == size else saved

    def _accept(self, compared: Comparison) -> None:
        for names in compared.names.values():
            self.node_names = list(names)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _ENDS and isinstance(value, Tensor):  # of a loader that sets entries
            self._take_entry(name, value.detach())
        else:
            super().__setattr__(name, value)


def saved_ends(state: Mapping[str, Tensor], prefix: str) -> tuple[list[int], list[int]]:
    """Return the inputs and the outputs that a state dict holds.

    Raises:
        ValueError: if they are missing, or no list of whole numbers.
    """
    found = []
    for name in _ENDS:
        if prefix + name not in state:
            raise ValueError(
                f"the state dict holds no `{prefix}{name}`: was it saved from an EdgeNetwork?"
            )
        ends = torch.as_tensor(state[prefix + name])
        if ends.dim() != 1 or ends.is_floating_point() or ends.is_complex() or ends.is_meta:
            raise ValueError(
                f"`{prefix}{name}` in this checkpoint is corrupt: it must be a list of nodes, got "
                f"{ends.dtype} of shape {tuple(ends.shape)}."
            )
        found.append(ends.tolist())
    return found[0], found[1]


def _by_name(names: list, ends: tuple[list[int], list[int]]) -> tuple[list, list]:
    first, second = ([_at(names, node) for node in end] for end in ends)
    return first, second


def _at(names: list, node: int) -> Any:
    if not 0 <= node < len(names):
        raise ValueError(
            f"the list of ends in this checkpoint is corrupt: it has node {node} of {len(names)}."
        )
    return names[node]
