"""`EdgeNetwork`: a whole directed acyclic graph as one module."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from edgelinear import _torch, backends, reach
from edgelinear.functional.export import take
from edgelinear.layers import nodes
from edgelinear.layers.evolved import Evolved
from edgelinear.layers.graph import GraphModule
from edgelinear.layers.module import refill
from edgelinear.networks import aggregated, passes
from edgelinear.networks.aggregated import Split
from edgelinear.networks.formula import Formula
from edgelinear.networks.plan import FIRST, LEVEL, Plan
from edgelinear.topology import EdgeMap, Topology


class EdgeNetwork(Evolved):
    """Compute a directed acyclic graph: each node is `f(bias + sum of weight[e] * source)`.

    Row 0 of `edge_index` is the source, row 1 the target, as in PyG; both are nodes of one graph.
    Edges may skip any number of levels, an output may feed other nodes, and an input may be an
    output. All edges are one `weight`, whatever the depth, and a pass costs about as much as one
    `edge_linear` over all of them. Nothing is kept for the backward pass but the values of nodes.

    Weights start uniform with a variance of `g**2 / fan_in`, by the true fan-in of their target and
    the gain g of their source's activation, so that values keep their scale through any depth;
    biases start at 0.

    Args:
        num_nodes: number of nodes, inputs and outputs included.
        edge_index: (2, num_edges) integers: a tensor, an array, a list of (source, target) tuples,
            or a square `Topology`.
        inputs: the nodes that take a value: by name where there are `node_names`, else by number.
        outputs: the nodes whose values are returned, likewise.
        activation: a name of `edgelinear.networks.activations`, an elementwise function, a list
            with one for each node, or a dict of some nodes, the others being "relu".
        output_activation: that of the outputs, which are the identity unless `activation` is a list
            or a dict that names them.
        bias: whether to learn an offset for each node.
        weight: (num_edges,) initial values, in the order of the edges given; copied.
        response: (num_nodes,) initial values of learnable factors of what nodes aggregate, as NEAT
            has them.
        aggregation: "sum", "mean", "product", "max", "min", "median" or "maxabs" of what comes in;
            one, a list, or a dict of some nodes. Others than sums and means hold batch * edges
            products where the compiled kernels do not compute them: under compilers and transforms,
            in derivatives of derivatives, and by other backends.
        duplicates: what to do with an edge given twice: see `EdgeLinear`.
        node_names: (num_nodes,) strings or whole numbers.
        backend: "auto", or a name in `edgelinear.backends.BACKENDS`.

    Shape: `(*, len(inputs)) -> (*, len(outputs))`.

    Raises:
        ValueError: if there is a cycle, whose nodes the message names, or an edge into an input.

    Example:
        >>> net = EdgeNetwork(5, [(0, 2), (1, 2), (2, 3), (0, 3), (3, 4)], [0, 1], [4])
        >>> net(torch.randn(8, 2)).shape
        torch.Size([8, 1])
        >>> net.level.tolist()
        [0, 0, 1, 2, 3]
    """

    _derived = ("_plan", "_factor", "_scale", "_is_other", "_formula", "_split")
    _of_graph = (*GraphModule._of_graph, "_aggregations")
    _given: tuple

    def __init__(
        self,
        num_nodes: int,
        edge_index: Any,  # (2, num_edges)
        inputs: Any,
        outputs: Any,
        *,
        activation: Any = "relu",
        output_activation: Any = None,
        bias: bool = True,
        weight: Any = None,  # (num_edges,)
        response: Any = None,  # (num_nodes,)
        aggregation: Any = "sum",
        duplicates: str = "error",
        node_names: Sequence[str | int] | None = None,
        backend: str = "auto",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        weight = self._set_graph(
            num_nodes,
            edge_index,
            inputs,
            outputs,
            bias=bias,
            weight=weight,
            duplicates=duplicates,
            node_names=node_names,
            backend=backend,
            device=device,
            dtype=dtype,
        )
        self._check_edges(self._topology)
        self._activations = nodes.activations_of(
            activation, output_activation, self.num_nodes, self._outputs, self.node_names, "relu"
        )
        aggregation = self._set_aggregations(aggregation)
        # As they were given: to nodes of another graph they may say something else.
        self._given = tuple(map(nodes.kept, (activation, output_activation, aggregation)))
        self._set_plan()
        self._set_response(response)
        self.reset_parameters()
        if weight is not None and not self.weight.is_meta:
            self.set_weight(weight)

    def _set_plan(self) -> None:
        functions = self._set_factors()
        self._plan = Plan.of(
            self._topology, self._inputs, self._outputs, functions, names=self._in_names
        )
        self._set_forms()

    def _set_forms(self) -> None:
        """Set the other forms of the plan, which are made when they are first needed."""
        self._formula = Formula(self._plan, self._aggregations)
        self._split: Split | None = None

    def _check_edges(self, topology: Topology) -> None:
        nodes.check_inputs(topology, self._inputs, self.node_names)

    def _twin(self, topology: Topology, inputs: list, outputs: list, names: Any) -> "EdgeNetwork":
        activation, output_activation, aggregation = self._given
        return EdgeNetwork(
            topology.in_features,
            topology,
            inputs,
            outputs,
            activation=activation,
            output_activation=output_activation,
            aggregation=aggregation,
            node_names=names,
            device="meta",
        )

    def _place_topology(self) -> None:
        before = self.__dict__.get("_plan")
        super()._place_topology()
        if before is not None and before is not self._plan:  # on another device
            self._move_factors()
            self._set_forms()

    @property
    def level(self) -> Tensor:
        """The level of each node, (num_nodes,): 0 for inputs, and above that of every source."""
        table = self._plan.table
        of_place = torch.repeat_interleave(table[:-1, LEVEL], table[:, FIRST].diff())
        return of_place[self._plan.place.cpu()]

    @property
    def num_levels(self) -> int:
        """Number of levels, that of the inputs included."""
        return self._plan.rows[-1][LEVEL]

    @property
    def unreached(self) -> Tensor:
        """The nodes that no input reaches: their values are constants."""
        return torch.from_numpy(self._dead()[0])

    @property
    def dead_ends(self) -> Tensor:
        """The nodes that reach no output."""
        return torch.from_numpy(self._dead()[1])

    @torch.no_grad()
    def prune_dead(self) -> EdgeMap:
        """Take away the nodes that no input reaches or that reach no output; return what edges are.

        Inputs and outputs stay. What a constant node sends to a node that stays is added to the
        bias of that node, so that outputs stay as they are; where there is no bias, or the node
        takes no sum, the constant stays. Parameters stay the same objects with fewer numbers:
        gradients are dropped, and an optimizer with a state needs to be made anew.

        Raises:
            ValueError: if weights have rules or are pruned. Nothing changes then.

        Example:
            >>> net = EdgeNetwork(5, [(0, 1), (1, 2), (0, 3), (4, 2)], [0], [2])
            >>> net.prune_dead().old
            tensor([0, 1])
            >>> net
            EdgeNetwork(nodes=3, edges=2, inputs=1, outputs=1, levels=3, ..., dead_ends=0, ...)
        """
        if self.rules or self._stand_in() is not None or self.weight.is_meta:
            raise ValueError(
                "`prune_dead` needs weights that are parameters with values, and these follow "
                "rules, or are pruned, or on the meta device: use it first, and apply rules then."
            )
        gone = np.zeros(self.num_nodes, dtype=bool)
        gone[np.concatenate(self._dead())] = True
        gone[self._inputs] = gone[self._outputs] = False
        src, dst = self.edge_index.cpu().numpy()
        takes = np.array([kind == "sum" for kind in self._aggregations]) & (self.bias is not None)
        while (needed := gone[src] & ~gone[dst] & ~takes[dst]).any():
            gone[src[needed]] = False
        folded = np.flatnonzero(gone[src] & ~gone[dst])
        drawn = self._is_drawn
        if self.bias is not None and folded.size:
            device, wide = self.weight.device, torch.float64
            x = self.weight.new_zeros(1, self.in_features)
            # The values of these nodes do not depend on x.
            constants = self.nodes(x)[0].to(wide)
            source, target = (torch.from_numpy(end[folded]).to(device) for end in (src, dst))
            sent = self.weight[torch.from_numpy(folded).to(device)].to(wide) * constants[source]
            if self.response is not None:
                sent = sent * self.response[target].to(wide)
            bias = self.bias.to(wide).index_add(0, target, sent)
            self.bias.copy_(bias)
        edges = EdgeMap(torch.from_numpy(np.flatnonzero(~gone[src] & ~gone[dst])))
        self._keep(np.flatnonzero(~gone), edges)
        if drawn:
            self._mark_drawn()
        return edges

    def _keep(self, kept: np.ndarray, edges: EdgeMap) -> None:
        """Keep some nodes and edges, under new numbers, in parameters that stay."""
        number = np.full(self.num_nodes, -1)
        number[kept] = np.arange(kept.size)
        ends = number[self.edge_index.cpu().numpy()[:, edges.old.numpy()]]
        topology = Topology(kept.size, kept.size, ends, duplicates="keep")
        nodes_kept = EdgeMap(torch.from_numpy(kept))
        for parameter, follow in (
            (self.weight, edges),
            (self.bias, nodes_kept),
            (self.response, nodes_kept),
        ):
            if parameter is not None:
                refill(parameter, follow.follow(parameter.data))
        names = self.node_names
        self._topology = topology.to(self._topology.device)
        self._inputs, self._outputs = number[self._inputs], number[self._outputs]
        self._activations = [self._activations[node] for node in kept]
        self._aggregations = [self._aggregations[node] for node in kept]
        self._given = (list(self._activations), None, list(self._aggregations))
        self.node_names = None if names is None else [names[node] for node in kept]
        self._set_plan()

    def _dead(self) -> tuple[np.ndarray, np.ndarray]:
        return nodes.dead_nodes(self._topology, self._inputs, self._outputs)

    def backend_for(self, x: Tensor) -> str:
        """Return the name of the backend that would run this input, of shape `(*, in_features)`."""
        x = x.new_empty(1).expand(math.prod(x.shape[:-1]), self.num_nodes)
        backend = backends.select(self.backend, x, self.weight, self._topology)
        return backend.__name__.rpartition(".")[2]

    def forward(self, input: Tensor) -> Tensor:  # (*, in_features) -> (*, out_features)
        """Return the values of the outputs.

        Raises:
            TypeError, ValueError: if the input does not fit; the message says what would.

        Example:
            >>> net = EdgeNetwork(3, [(0, 1), (1, 2), (0, 2)], [0], [2], weight=[2.0, 3.0, 1.0])
            >>> net(torch.tensor([[1.0], [-1.0]])).tolist()
            [[7.0], [-1.0]]
        """
        if isinstance(input, fx.Proxy):
            return reach.leaf(self, input, EdgeNetwork.forward)
        return self._values(input, True)

    def nodes(self, input: Tensor) -> Tensor:  # (*, in_features) -> (*, num_nodes)
        """Return the values of all nodes.

        Example:
            >>> net = EdgeNetwork(3, [(0, 1), (1, 2), (0, 2)], [0], [2], weight=[2.0, 3.0, 1.0])
            >>> net.nodes(torch.tensor([[1.0]])).tolist()
            [[1.0, 2.0, 7.0]]
        """
        return self._values(input, False)

    def _values(self, input: Tensor, of_outputs: bool) -> Tensor:
        weight = self._current_weight()
        self._check_input(input, weight)
        x, dtype = self._in_and_out(input)
        batch = x.shape[:-1]
        if len(batch) != 1:
            x = x.reshape(math.prod(batch), self.in_features)
        plan = self._plan
        weight, response = self._scaled(weight if weight.dtype == x.dtype else weight.to(x.dtype))
        bias = self._scaled_bias(x.dtype)
        if self._is_other is None and not self._needs_formula():
            y, h = passes.levels(weight, bias, x, plan, self.backend)
            if not of_outputs:
                y = take(h, 0, plan.place).t().contiguous()
        else:
            wanted = plan.outputs if of_outputs else plan.place
            offset = None if bias is None else take(bias, 0, plan.order)
            terms = weight, offset, response, x
            if aggregated.is_fast(*terms, plan, self.backend):
                if self._split is None:
                    self._split = Split.of(plan, self._aggregations)
                h = aggregated.levels(*terms, self._split, self._formula, self.backend)
                y = h.index_select(0, wanted).t().contiguous()
            else:
                y = take(self._formula(*terms, self.backend), 1, wanted)
        y = y if y.dtype == dtype else y.to(dtype)
        return y if len(batch) == 1 else y.view(*batch, y.shape[1])

    def _needs_formula(self) -> bool:
        if torch.compiler.is_compiling() or torch.jit.is_tracing():
            if torch.onnx.is_in_onnx_export() or not self._plan.is_named:
                return True
            return torch.compiler.is_dynamo_compiling() and _torch.is_compiled_transform()
        return False

    def extra_repr(self) -> str:
        level = self.level
        widths: list[Any] = torch.bincount(level, minlength=self.num_levels).tolist()
        if len(widths) > 12:
            widths = [*widths[:6], "...", *widths[-5:]]
        shown = "-".join(map(str, widths))
        src, dst = self._topology.src.cpu().long(), self._topology.dst.cpu().long()
        skips = int((level[dst] - level[src] > 1).sum())
        unreached, dead_ends = (len(found) for found in self._dead())
        return (
            f"nodes={self.num_nodes}, edges={self.num_edges}, inputs={self.in_features}, "
            f"outputs={self.out_features}, levels={self.num_levels}, widths={shown}, "
            f"skips={skips}, unreached={unreached}, dead_ends={dead_ends}, "
            f"bias={self.bias is not None}, backend={self.backend}"
        )
