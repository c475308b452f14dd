"""`EdgeRNN`: a recurrent network on any graph."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from edgelinear.functional.export import take
from edgelinear.init import sharded_like
from edgelinear.layers import clamped, nodes
from edgelinear.layers.dynamics import (
    as_input_weight,
    as_leak,
    as_noise,
    check_count,
    check_equation,
    check_state,
)
from edgelinear.layers.evolved import Evolved
from edgelinear.layers.radius import check_radius, radius_of, scale_radius
from edgelinear.layers.sequences import Masked, Ragged, as_lengths, in_parts, pack, unpack
from edgelinear.networks.activations import Scaled
from edgelinear.networks.plan import Plan
from edgelinear.networks.steps import Recurrence, step, steps
from edgelinear.topology import Topology
from edgelinear.topology.checks import check_switch

_ADDS = ": a step of an EdgeRNN is one product with the weights, which gives no others"


class EdgeRNN(Evolved):
    """Compute a recurrent network on any graph: all nodes at once, from their last values.

        h[t] = (1 - leak) * h[t-1] + leak * f(W h[t-1] + P x[t] + bias)

    or, with `equation="potential"`, where nodes send on the activations of their potentials h,

        h[t] = (1 - leak) * h[t-1] + leak * (W f(h[t-1]) + P x[t] + bias)

    `W[dst[e], src[e]] = weight[e]`, and P adds the inputs to the sums of their nodes. Row 0 of
    `edge_index` is the source, row 1 the target. Cycles and self-loops are legal, edges may lead
    into inputs, and an input may be an output. A sequence is one call of the kernels, and its
    backward pass keeps one value for each step and node. The weight, and the rules that it follows,
    are computed once a sequence.

    Weights start uniform with a variance of `1 / fan_in` of their target, which gives a random
    graph a spectral radius of about 1; biases start at 0.

    Args:
        num_nodes: number of nodes, inputs and outputs included.
        edge_index: (2, num_edges) integers: a tensor, an array, a list of (source, target) tuples,
            or a square `Topology`.
        inputs: the nodes that take a value: by name where there are `node_names`, else by number.
        outputs: the nodes whose values are returned, likewise.
        activation: a name of `edgelinear.networks.activations`, an elementwise function, a list
            with one for each node, or a dict of some nodes, the others being "tanh". "identity",
            "relu", "tanh" and "sigmoid" are computed in the kernels: bits then depend neither on
            threads nor on the batch. Others are computed step by step, by torch.
        equation: "rate", where h are what nodes send on, as the firing rates of neurons; or
            "potential", where h are membrane potentials, whose differential equation is taken by
            steps of Euler: `leak` is the step over the time constant. Outputs and states are h in
            both: the rates of potentials are `f(y)`.
        leak: how far a step goes from the last value to the new one, from 0 to 1: one number, or
            one for each node.
        learn_leak: whether `leak` is a parameter, as it also is if an `nn.Parameter` is given.
            Nothing keeps it between 0 and 1 then.
        bias: whether to learn an offset for each node.
        weight: (num_edges,) initial values, in the order of the edges given; copied.
        input_weight: factors of the inputs: (in_features,) numbers, which stay, or are learned if
            they are an `nn.Parameter`; or "learn", for a parameter that starts at 1.
        clamp_inputs: whether the nodes of inputs are x[t] itself, in step t already, as in NEAT:
            `h[t-1]` has x[t] in their place. Nothing may lead into them then, and what they compute
            has no say: they send x itself, under either equation. Without it, a node that an input
            feeds by an edge gets it one step later.
        response: (num_nodes,) initial values of learnable factors of the sums of W.
        aggregation: "sum" or "mean" of what comes in; one, a list, or a dict of some nodes.
        steps_per_input: how many steps are made with each input; the last of them is returned.
        noise: standard deviation of normal noise that is added to all sums; in training alone.
        duplicates: what to do with an edge given twice: see `EdgeLinear`.
        node_names: (num_nodes,) strings or whole numbers.
        backend: "auto", or a name in `edgelinear.backends.BACKENDS`.

    Shape: `(*, time, len(inputs)) -> (*, time, len(outputs))`, and the state `(*, num_nodes)`.

    Example:
        >>> net = EdgeRNN(4, [(0, 1), (1, 2), (2, 1), (2, 2), (2, 3)], inputs=[0], outputs=[3])
        >>> y, state = net(torch.randn(8, 20, 1))
        >>> y.shape, state.shape
        (torch.Size([8, 20, 1]), torch.Size([8, 4]))

        Truncated backpropagation through time goes on from a state without its past:

        >>> for chunk in torch.randn(8, 20, 1).split(5, dim=1):
        ...     y, state = net(chunk, state.detach())
        ...     y.square().mean().backward()
    """

    equation: str = "rate"
    leak: Any  # a number, a buffer or a parameter
    input_weight: Tensor | None
    steps_per_input: int
    noise: float
    _derived = ("_plan", "_recurrence", "_echoes", "_factor", "_scale", "_is_other")
    _of_graph = (*Evolved._of_graph, "_aggregations")
    _is_recurrent = True
    _as_neat = {"clamp_inputs": True}

    def __init__(
        self,
        num_nodes: int,
        edge_index: Any,  # (2, num_edges)
        inputs: Any,
        outputs: Any,
        *,
        activation: Any = "tanh",
        equation: str = "rate",
        leak: Any = 1.0,  # or (num_nodes,)
        learn_leak: bool = False,
        bias: bool = True,
        weight: Any = None,  # (num_edges,)
        input_weight: Any = None,  # (in_features,)
        clamp_inputs: bool = False,
        response: Any = None,  # (num_nodes,)
        aggregation: Any = "sum",
        steps_per_input: int = 1,
        noise: float = 0.0,
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
        self.equation = check_equation(equation)
        number = self.num_nodes
        self._starts: dict[str, Tensor] = {}
        self._activations = nodes.activations_of(
            activation, None, number, np.zeros(0, np.int64), self.node_names, "tanh"
        )
        self.clamp_inputs = check_switch("clamp_inputs", clamp_inputs)
        self._check_edges(self._topology)
        aggregation = self._set_aggregations(aggregation, ("sum", "mean"), _ADDS)
        # As they were given: to nodes of another graph they may say something else.
        self._given = tuple(map(nodes.kept, (activation, aggregation)))
        self._set_plan()
        self._set_response(response)
        values = as_leak(leak, number)
        is_learned = check_switch("learn_leak", learn_leak) or isinstance(leak, nn.Parameter)
        if is_learned or values.dim():
            self._hold("leak", values, is_learned)
        else:
            self.leak = float(values)
        if input_weight is None:
            self.register_parameter("input_weight", None)
        else:
            learn = isinstance(input_weight, (str, nn.Parameter))
            self._hold("input_weight", as_input_weight(input_weight, self.in_features), learn)
        self.steps_per_input = check_count("steps_per_input", steps_per_input)
        self.noise = as_noise(noise)
        self.reset_parameters()
        if weight is not None and not self.weight.is_meta:
            self.set_weight(weight)

    def _check_edges(self, topology: Topology) -> None:
        if self.clamp_inputs:
            cure = "leave out `clamp_inputs`"
            nodes.check_inputs(topology, self._inputs, self.node_names, cure)

    def _set_plan(self) -> None:
        if self.equation == "potential" and any(isinstance(a, Scaled) for a in self._activations):
            raise ValueError(
                '`activation` must not scale its sums where equation="potential", as what nodes '
                "send on is no function of one sum: pass a function that scales what it takes."
            )
        functions = self._set_factors(self._inputs if self.clamp_inputs else None)
        self._echoes = self.clamp_inputs and bool(np.isin(self._outputs, self._inputs).any())
        self._plan = Plan.of(self._topology, self._inputs, self._outputs, functions, levels=False)
        self._recurrence = Recurrence.of(self._plan, self.equation == "potential")

    def _place_topology(self) -> None:
        before = self.__dict__.get("_plan")
        super()._place_topology()
        if before is not None and before is not self._plan:  # on another device
            self._recurrence = Recurrence.of(self._plan, self.equation == "potential")
            self._move_factors()

    def _twin(self, topology: Topology, inputs: list, outputs: list, names: Any) -> "EdgeRNN":
        activation, aggregation = self._given
        return EdgeRNN(
            topology.in_features,
            topology,
            inputs,
            outputs,
            activation=activation,
            aggregation=aggregation,
            equation=self.equation,
            clamp_inputs=self.clamp_inputs,
            node_names=names,
            device="meta",
        )

    @classmethod
    def _saved_options(cls, state: Mapping[str, Tensor], prefix: str) -> dict[str, Any]:
        options = super()._saved_options(state, prefix)
        for name in ("leak", "input_weight"):
            if prefix + name in state:
                options[name] = torch.ones(state[prefix + name].shape, device="cpu")
        if "leak" in options and options["leak"].dim() == 0:  # a fixed one is no tensor
            options["learn_leak"] = True
        return options

    def _hold(self, name: str, values: Tensor, learn: bool) -> None:
        """Make these values a parameter or a buffer, to which `reset_parameters` returns."""
        self._starts[name] = values.clone()
        held = values.to(self.weight, copy=True)
        if learn:
            self.register_parameter(name, nn.Parameter(held))
        else:
            self.register_buffer(name, held)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw weights anew, by the fan-in of their target; biases are 0, others as given."""
        super().reset_parameters()
        for name, start in self._starts.items():
            held = {**self._parameters, **self._buffers}.get(name)
            if held is not None and not held.is_meta:
                held.copy_(sharded_like(held, start.to(held)))

    def _variances(self, topology: Topology) -> Tensor:  # (num_edges,)
        fan_in = topology.fan_in.cpu().double().clamp(min=1)
        return 1 / fan_in[topology.dst.cpu().long()]

    def forward(
        self,
        input: Any,  # (*, time, in_features)
        state: Tensor | None = None,  # (*, num_nodes)
        *,
        lengths: Any = None,  # (*)
        checkpoint_every: int | None = None,
    ) -> tuple[Any, Tensor]:  # (*, time, out_features), (*, num_nodes)
        """Return the outputs after each input, and the state after the last one.

        Args:
            input: sequences, as those of `nn.RNN` with `batch_first=True`; or a `PackedSequence`,
                for which one is returned.
            state: the values of all nodes before the first step, 0 by default.
            lengths: how many steps each sequence has, from 1 on; compilers do not check them.
                Outputs beyond are 0, inputs beyond do not count, and the state is that after the
                last step.
            checkpoint_every: compute again in the backward pass what lies between every so many
                inputs, instead of keeping it: of `time` values of each node, `checkpoint_every`
                and one for each part are then kept.

        The state is float32 at least, as sums are, under autocast too.

        Raises:
            TypeError, ValueError: if something does not fit; the message says what would.

        Example:
            >>> edges = [(0, 1), (1, 1)]
            >>> net = EdgeRNN(2, edges, [0], [1], activation="identity", weight=[1.0, 0.5])
            >>> net(torch.tensor([[1.0], [0.0], [0.0], [0.0]]))[0][:, 0].tolist()
            [0.0, 1.0, 0.5, 0.25]
        """
        if isinstance(input, PackedSequence):
            if lengths is not None:
                raise ValueError("`lengths` must be None, as a PackedSequence has its own.")
            padded, lengths = unpack(input)
            if state is not None and input.sorted_indices is not None:
                check_state(state, padded.shape[:1], self.num_nodes, self._topology.device)
                state = state.index_select(0, input.sorted_indices)
            y, state = self.forward(
                padded, state, lengths=lengths, checkpoint_every=checkpoint_every
            )
            if input.unsorted_indices is not None:
                state = state.index_select(0, input.unsorted_indices)
            return pack(y, lengths, input), state
        weight = self._current_weight()
        if isinstance(input, Tensor) and input.dim() < 2:
            raise ValueError(
                f"`input` must be (*, time, {self.in_features}), got shape {tuple(input.shape)}: "
                "one step is `step`."
            )
        self._check_input(input, weight, 2)
        *batch, time, _ = input.shape
        if time == 0:
            raise ValueError(
                f"`input` must have at least one step, got shape {tuple(input.shape)}."
            )
        if checkpoint_every is not None:
            check_count("checkpoint_every", checkpoint_every)
        ragged: Ragged | Masked | None = None
        if lengths is not None:
            given = as_lengths(lengths, input.shape[:-2])
            is_known = not torch.compiler.is_compiling()
            ragged = Ragged.of(given, time, input.device) if is_known else Masked(given)
        return self._sequence(input, state, weight, ragged, checkpoint_every)

    def step(
        self,
        input: Tensor,  # (*, in_features)
        state: Tensor | None = None,  # (*, num_nodes)
    ) -> Tensor:  # (*, num_nodes)
        """Return the state after one input; `state[..., net.outputs]` are the outputs.

        Example:
            >>> net = EdgeRNN(2, [(0, 1), (1, 1)], [0], [1], activation="identity", weight=[1, 0.5])
            >>> net.step(torch.tensor([3.0]), torch.tensor([1.0, 2.0])).tolist()
            [3.0, 2.0]
        """
        weight = self._current_weight()
        self._check_input(input, weight)
        is_plain = self.steps_per_input == 1 and not self.clamp_inputs
        if torch.is_grad_enabled() or not is_plain or (self.noise and self.training):
            return self._sequence(input.unsqueeze(-2), state, weight, None, None)[1]
        x, _ = self._in_and_out(input)
        *batch, inputs = x.shape
        x, state = x.reshape(-1, inputs), self._flat_state(state, input.shape[:-1], x)
        if self.input_weight is not None:
            x = x * self.input_weight.to(x.dtype)
        last = step(*self._by_place(weight, x), x, state, self._recurrence, self.backend)
        return last if len(batch) == 1 else last.reshape(*batch, self.num_nodes)

    def _flat_state(self, state: Tensor | None, batch: torch.Size, x: Tensor) -> Tensor | None:
        if state is None:
            return None
        check_state(state, batch, self.num_nodes, self._topology.device)
        return state.to(x.dtype).reshape(math.prod(batch), self.num_nodes)

    def _sequence(
        self,
        input: Tensor,
        state: Tensor | None,
        weight: Tensor,
        ragged: Ragged | Masked | None,
        checkpoint_every: int | None,
    ) -> tuple[Tensor, Tensor]:
        x, dtype = self._in_and_out(input)
        *batch, time, _ = x.shape
        state = self._flat_state(state, input.shape[:-2], x)
        x = x.reshape(math.prod(batch), time, self.in_features)
        advance = partial(self._advance, *self._by_place(weight, x))
        if ragged is not None:
            y, state = ragged.run(advance, x, state, checkpoint_every)
        elif checkpoint_every is not None:
            y, state = in_parts(advance, x, state, range(0, time, checkpoint_every), True)
        else:
            y, state = advance(x, state, None)
        y = y.to(dtype)
        if len(batch) != 1:
            y = y.reshape(*batch, time, self.out_features)
            state = state.reshape(*batch, self.num_nodes)
        return y, state

    def _by_place(self, weight: Tensor, x: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Return the weight, and biases and leaks of the places of a plan, all in the type of x."""
        order, dtype = self._plan.order, x.dtype
        bias = self._scaled_bias(dtype)
        bias = None if bias is None else take(bias, 0, order)
        leak: Tensor | None = None
        if isinstance(self.leak, Tensor):
            leak = self.leak.to(dtype)
            leak = leak.expand(self.num_nodes) if leak.dim() == 0 else take(leak, 0, order)
        elif self.leak != 1.0 or self._recurrence.is_potential:
            leak = x.new_full((self.num_nodes,), self.leak)
        return self._scaled(weight.to(dtype))[0], bias, leak

    def _advance(
        self,
        weight: Tensor,
        bias: Tensor | None,
        leak: Tensor | None,
        x: Tensor,  # (batch, time, in_features)
        state: Tensor | None,  # (batch, num_nodes)
        going: Tensor | None,  # (batch, time)
    ) -> tuple[Tensor, Tensor]:
        inner = self.steps_per_input
        if self.input_weight is not None:  # not before: what follows a sequence may be NaN
            x = x * self.input_weight.to(x.dtype)
        if inner > 1:
            x = x.repeat_interleave(inner, 1)
            going = None if going is None else going.repeat_interleave(inner, 1)
        noise = None
        if self.noise and self.training:
            shape = x.shape[1], self.num_nodes, x.shape[0]
            noise = self.noise * torch.randn(shape, dtype=x.dtype, device=x.device)
            if self._scale is not None:
                noise = noise * self._scale.to(x.dtype)[self._plan.order, None]
        brought = x
        if self.clamp_inputs:
            brought, state = clamped.ahead(x, state, going, self._plan)
            leak = clamped.whole(leak, self.in_features)
        rest = noise, going, self._recurrence, self.backend
        y, state = steps(weight, bias, leak, brought, state, *rest)
        if self._echoes:
            y = clamped.behind(y, x, self._plan)
        return (y if inner == 1 else y[:, inner - 1 :: inner]), state

    def spectral_radius(self) -> float:
        """Return the largest absolute eigenvalue of W as its rules make it, and 0 without a cycle.

        Eigenvalues are those of strongly connected parts, by LAPACK or, above 500 nodes, by ARPACK.
        They know nothing of `leak` or of slopes of activations.

        Raises:
            ValueError: if a weight is not finite, or rounding decides the eigenvalue.

        Example:
            >>> EdgeRNN(2, [(0, 1), (1, 0)], [0], [1], weight=[2.0, 8.0]).spectral_radius()
            4.0
        """
        return radius_of(self)

    def scale_spectral_radius_(self, radius: float) -> Self:
        """Scale all weights by one factor, so that the spectral radius is this; return the network.

        See `el.rules.scale_spectral_radius`, which does the same.

        Example:
            >>> net = EdgeRNN(2, [(0, 1), (1, 0)], [0], [1], weight=[2.0, 8.0])
            >>> net.scale_spectral_radius_(1.0).weight.tolist()
            [0.5, 2.0]
        """
        check_radius(radius)
        scale_radius(self, radius)
        return self

    def extra_repr(self) -> str:
        if isinstance(self.leak, float):
            leak = f"{self.leak:g}"
        else:
            learned = "learned, " if isinstance(self.leak, nn.Parameter) else ""
            leak = f"({learned}{'one' if self.leak.dim() == 0 else 'one a node'})"
        loops = int((self._topology.src == self._topology.dst).sum())
        return (
            f"nodes={self.num_nodes}, edges={self.num_edges}, inputs={self.in_features}, "
            f"outputs={self.out_features}, self_loops={loops}, "
            f"equation={self.equation}, leak={leak}, "
            f"steps_per_input={self.steps_per_input}, noise={self.noise:g}, "
            f"bias={self.bias is not None}, backend={self.backend}"
        )
