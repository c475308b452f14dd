"""`GraphModule`: what modules of a whole graph share: its nodes, one weight and one bias."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from edgelinear import _torch
from edgelinear.layers import assignment, nodes
from edgelinear.layers.module import check_options
from edgelinear.layers.names import Names
from edgelinear.layers.parametrizations import Rule
from edgelinear.layers.saved import SavedGraph
from edgelinear.networks.activations import Function, gain
from edgelinear.networks.plan import Plan
from edgelinear.topology import Topology, Wiring
from edgelinear.topology.build import build
from edgelinear.topology.checks import as_size
from edgelinear.topology.wiring import as_names


class GraphModule(SavedGraph):
    """A module whose nodes are numbered, with edges among them, and some of them in- or outputs."""

    _sizes: tuple[int, int]  # of both ends: Dynamo's guards of arrays fail inside of transforms
    _activations: list[str | Function]
    _plan: Plan
    _derived: tuple[str, ...] = ("_plan",)  # what `_set_plan` sets

    def _set_graph(
        self,
        num_nodes: int,
        edge_index: Any,
        inputs: Any,
        outputs: Any,
        *,
        bias: bool,
        weight: Any,
        duplicates: str,
        node_names: Sequence[str | int] | None,
        backend: str,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> Tensor | None:
        """Take the graph, and return the values that its weights are to start at."""
        check_options(backend, dtype, bias)
        num_nodes = as_size("num_nodes", num_nodes)
        try:
            sizes = num_nodes, num_nodes
            topology, weight, _ = build(*sizes, edge_index, weight, duplicates=duplicates)
        except ValueError as error:  # which speaks of a layer with inputs and outputs
            said = str(error).replace("as in_features=", "as num_nodes=")
            raise ValueError(said.replace("as out_features=", "as num_nodes=")) from error
        self.backend = backend
        self._inputs = np.zeros(0, np.int64)
        self._outputs = np.zeros(0, np.int64)
        parameter = nn.Parameter(torch.empty(topology.num_edges, device=device, dtype=dtype))
        names = as_names("node_names", node_names, num_nodes)
        self._set_wiring(topology, parameter, names, names)
        self._inputs = nodes.as_nodes("inputs", inputs, topology.in_features, self.node_names)
        self._outputs = nodes.as_nodes("outputs", outputs, topology.in_features, self.node_names)
        self._sizes = self._inputs.size, self._outputs.size
        offset = nn.Parameter(torch.empty(topology.in_features, device=device, dtype=dtype))
        self.register_parameter("bias", offset if bias else None)
        return weight

    @classmethod
    def from_wiring(
        cls,
        wiring: Wiring,
        inputs: Any = None,
        outputs: Any = None,
        *,
        values: str = "ignore",
        **options: Any,
    ) -> Self:
        """Return a module on what an importer of `el.convert` found, with its names.

        A name that is both a source and a target is one node. Inputs are by default the nodes that
        nothing feeds, outputs those that feed nothing, where the wiring does not say which they
        are. `values="weight"` starts the weights at the values of the data. `options` are those of
        the class.

        Raises:
            ValueError: if the wiring has no names, and not as many sources as targets; or values
                are asked for and the data has none, or `weight` is given as well.

        Example:
            >>> import pandas
            >>> table = pandas.DataFrame({"source": ["x", "x", "h"], "target": ["h", "y", "y"]})
            >>> net = EdgeNetwork.from_wiring(el.convert.from_table(table), ["x"], ["y"])
            >>> net.node_names
            ['x', 'h', 'y']
        """
        if not isinstance(wiring, Wiring):
            raise TypeError(f"`wiring` must be a Wiring, got {type(wiring).__name__}.")
        weight = assignment.values_of(wiring, values, options.get("weight"))
        options = options if weight is None else options | {"weight": weight}
        topology, names = nodes.square(wiring)

        def ends(argument: str, given: Any, known: list | None, degree: Tensor) -> Any:
            if given is not None:
                return given
            found = (degree == 0).nonzero()[:, 0].tolist() if known is None else known
            if not found:
                has = "an edge into it" if argument == "inputs" else "an edge out of it"
                raise ValueError(
                    f"`{argument}` must be given, as every node of this wiring has {has}: "
                    f"pass `{argument}=[...]`, by name or number."
                )
            return found if names is None else [names[node] for node in found]

        return cls(
            topology.in_features,
            topology,
            ends("inputs", inputs, wiring.inputs, topology.fan_in),
            ends("outputs", outputs, wiring.outputs, topology.fan_out),
            **{"node_names": names} | options,
        )

    @property
    def num_nodes(self) -> int:
        """Number of nodes, inputs and outputs included."""
        return self._topology.in_features

    @property
    def in_features(self) -> int:
        """Number of inputs."""
        return self._sizes[0]

    @property
    def out_features(self) -> int:
        """Number of outputs."""
        return self._sizes[1]

    @property
    def inputs(self) -> Tensor:
        """The nodes that take a value, (in_features,) int64. A copy."""
        return torch.from_numpy(self._inputs.copy())

    @property
    def outputs(self) -> Tensor:
        """The nodes whose values are returned, (out_features,) int64. A copy."""
        return torch.from_numpy(self._outputs.copy())

    @property
    def node_names(self) -> Any:
        """Names of the nodes, strings or whole numbers, or None. A copy; it may be set."""
        return None if self._in_names is None else Names(self._in_names)

    @node_names.setter
    def node_names(self, node_names: Sequence[str | int] | None) -> None:
        self._in_names = as_names("node_names", node_names, self.num_nodes)
        self._out_names = self._in_names

    @property  # type: ignore[misc]
    def in_names(self) -> Any:
        """Names of the inputs, or None: see `node_names`."""
        return self._names_of(self._inputs)

    @property  # type: ignore[misc]
    def out_names(self) -> Any:
        """Names of the outputs, or None: see `node_names`."""
        return self._names_of(self._outputs)

    def _names_of(self, chosen: np.ndarray) -> list | None:
        if self._in_names is None:
            return None
        return Names([self._in_names[node] for node in chosen.tolist()])

    def _wiring_alone(self) -> Wiring:
        rules = [rule for rule in self.rules if isinstance(rule, Rule)]
        names, ends = self.node_names, (self._inputs.tolist(), self._outputs.tolist())
        return Wiring(
            self._topology, None, names, names, None, rules, inputs=ends[0], outputs=ends[1]
        )

    @property
    def activations(self) -> list[str | Function]:
        """The activation of each node, by name where it has one. A copy; inputs have no say."""
        return list(self._activations)

    def reset_parameters(self) -> None:
        """Draw weights anew, by the fan-in of their target and the gain of their source; bias 0."""
        self._check_no_stand_in()
        weight = self.weight
        if not weight.is_meta:
            values = torch.empty(weight.shape, dtype=weight.dtype, device=weight.device)
            bound = self._init_bound(self._topology).to(values)
            values.uniform_(-1.0, 1.0).mul_(bound)
            self.set_weight(self._projected(values))
            self._mark_drawn()
        if self.bias is not None and not self.bias.is_meta:
            nn.init.zeros_(self.bias)

    def _init_bound(self, topology: Topology) -> Tensor:
        return (3.0 * self._variances(topology)).sqrt().float()

    def _check_edges(self, topology: Topology) -> None:
        """Refuse edges that no module of this kind has."""

    def _take_topology(self, topology: Topology) -> None:
        self._check_edges(topology)
        before = {name: self.__dict__[name] for name in ("_topology", *self._derived)}
        super()._take_topology(topology)
        try:
            self._set_plan()
        except ValueError:
            self.__dict__.update(before)
            raise

    def _variances(self, topology: Topology) -> Tensor:  # (num_edges,)
        """Return the variance of each weight with which values keep their scale."""
        fan_in = topology.fan_in.cpu().double().clamp(min=1)
        gains = {activation: gain(activation) for activation in set(self._activations)}
        of_node = torch.tensor([gains[a] for a in self._activations], dtype=torch.float64)
        of_node[torch.from_numpy(self._inputs)] = 1.0
        src, dst = topology.src.cpu().long(), topology.dst.cpu().long()
        return of_node[src].square() / fan_in[dst]

    def _check_input(self, input: Any, weight: Tensor, rank: int = 1) -> None:
        if not isinstance(input, Tensor):
            raise TypeError(f"`input` must be a tensor, got {type(input).__name__}.")
        if input.dim() < rank or input.shape[-1] != self.in_features:
            raise ValueError(
                f"`input` must have {self.in_features} features in its last dimension, one for "
                f"each input, got shape {tuple(input.shape)}."
            )
        if input.is_complex() or not input.is_floating_point():
            raise TypeError(f"`input` must be real floating point, got {input.dtype}.")
        if input.device != weight.device:
            raise ValueError(
                f"`input` is on {input.device} and the weight on {weight.device}: "
                f"use `input.to({str(weight.device)!r})`."
            )
        if not self._autocasts(input) and input.dtype != weight.dtype:
            raise TypeError(
                f"`input` is {input.dtype} and the weight {weight.dtype}: "
                f"use `input.to({weight.dtype})` or `net.to({input.dtype})`."
            )

    @staticmethod
    def _autocasts(input: Tensor) -> bool:
        return _torch.is_any_autocast() and torch.is_autocast_enabled(input.device.type)

    def _in_and_out(self, input: Tensor) -> tuple[Tensor, torch.dtype]:
        """Return the input in the type of states, and the type of what is returned.

        States are float32 at least, under autocast too: half types would round at every level.
        """
        dtype = input.dtype
        if self._autocasts(input) and dtype != torch.float64:
            dtype = torch.get_autocast_dtype(input.device.type)
            input = input.to(dtype)
        return input.to(torch.promote_types(dtype, torch.float32)), dtype

    def _current_weight(self) -> Tensor:
        weight = self._parameters.get("weight")
        if weight is None:  # rules, or a hook of torch, compute it
            self._check_norm()
            weight = self.weight
        if weight.device != self._topology.device:  # accelerate moves weights alone
            self._place_topology()
        return weight

    def _set_plan(self) -> None:
        """Set `_plan`, and whatever else follows from the graph alone."""
        raise NotImplementedError

    def __getstate__(self) -> dict:
        return {key: v for key, v in self.__dict__.items() if key not in self._derived}

    def __setstate__(self, state: dict) -> None:
        super().__setstate__(state)
        self._set_plan()

    def _place_topology(self) -> None:
        super()._place_topology()
        if "_plan" in self.__dict__:
            self._plan = self._plan.to(self._topology.device)
