"""`EdgeRNN`: a recurrent network on any graph."""

import math
from collections.abc import Sequence
from functools import partial
from numbers import Real
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from edgelinear.layers import nodes
from edgelinear.layers.graph import GraphModule
from edgelinear.layers.radius import check_radius, radius_of, scale_radius
from edgelinear.layers.sequences import Ragged, in_parts, pack, unpack
from edgelinear.networks.plan import Plan
from edgelinear.networks.steps import Recurrence, steps
from edgelinear.topology import Topology
from edgelinear.topology.numbers import as_numbers


class EdgeRNN(GraphModule):
    """Compute a recurrent network on any graph: all nodes at once, from their last values.

        h[t] = (1 - leak) * h[t-1] + leak * f(W h[t-1] + P x[t] + bias)

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
        inputs: the nodes that take a value, by number, or by name if there are `node_names`.
        outputs: the nodes whose values are returned, likewise.
        activation: a name of `edgelinear.networks.activations`, an elementwise function, a list
            with one for each node, or a dict of some nodes, the others being "tanh". "identity",
            "relu", "tanh" and "sigmoid" are computed in the kernels: bits then depend neither on
            threads nor on the batch. Others are computed step by step, by torch.
        leak: how far a step goes from the last value to the new one, from 0 to 1: one number, or
            one for each node.
        learn_leak: whether `leak` is a parameter, as it also is if an `nn.Parameter` is given.
            Nothing keeps it between 0 and 1 then.
        bias: whether to learn an offset for each node.
        weight: (num_edges,) initial values, in the order of the edges given; copied.
        input_weight: factors of the inputs: (in_features,) numbers, which stay, or are learned if
            they are an `nn.Parameter`; or "learn", for a parameter that starts at 1.
        steps_per_input: how many steps are made with each input; the last of them is returned.
        noise: standard deviation of normal noise that is added to all sums; in training alone.
        duplicates: what to do with an edge given twice: see `EdgeLinear`.
        node_names: (num_nodes,) strings or whole numbers.
        backend: "auto", or a name in `edgelinear.backends.BACKENDS`.

    Shape: (*, time, len(inputs)) -> (*, time, len(outputs)), and the state (*, num_nodes).

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

    leak: Any  # a number, a buffer or a parameter
    input_weight: Tensor | None
    steps_per_input: int
    noise: float
    _derived = ("_plan", "_recurrence")

    def __init__(
        self,
        num_nodes: int,
        edge_index: Any,  # (2, num_edges)
        inputs: Any,
        outputs: Any,
        *,
        activation: Any = "tanh",
        leak: Any = 1.0,  # or (num_nodes,)
        learn_leak: bool = False,
        bias: bool = True,
        weight: Any = None,  # (num_edges,)
        input_weight: Any = None,  # (in_features,)
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
        number = self.num_nodes
        self._starts: dict[str, Tensor] = {}
        self._activations = nodes.activations_of(
            activation, None, number, np.zeros(0, np.int64), self.node_names, "tanh"
        )
        self._set_plan()
        self._set_leak(leak, learn_leak)
        self._set_input_weight(input_weight)
        check_count("steps_per_input", steps_per_input)
        if isinstance(noise, bool) or not isinstance(noise, Real):
            raise TypeError(f"`noise` must be a number, got {noise!r}.")
        if not 0 <= float(noise) < math.inf:
            raise ValueError(f"`noise` must be 0 or a finite number above it, got {noise}.")
        self.steps_per_input = steps_per_input
        self.noise = float(noise)
        self.reset_parameters()
        if weight is not None and not self.weight.is_meta:
            self.set_weight(weight)

    def _set_plan(self) -> None:
        self._plan = Plan.of(
            self._topology, self._inputs, self._outputs, self._activations, levels=False
        )
        self._recurrence = Recurrence.of(self._plan)

    def _place_topology(self) -> None:
        before = self.__dict__.get("_plan")
        super()._place_topology()
        if before is not None and before is not self._plan:  # on another device
            self._recurrence = Recurrence.of(self._plan)

    def _set_leak(self, leak: Any, learn: bool) -> None:
        if isinstance(leak, Real) and not isinstance(leak, bool):
            values = torch.tensor(float(leak), dtype=torch.float64, device="cpu")
        else:
            values = as_numbers("`leak`", leak).detach().double()
            if values.shape not in ((), (self.num_nodes,)):
                raise ValueError(
                    f"`leak` must be one number, or one for each of the {self.num_nodes} nodes, "
                    f"got shape {tuple(values.shape)}."
                )
        wrong = ~((values >= 0) & (values <= 1))
        if wrong.any():
            at = "" if values.dim() == 0 else f" for node {int(wrong.nonzero()[0])}"
            raise ValueError(
                f"`leak` must be from 0 to 1, got {values[wrong].ravel()[0].item():g}{at}."
            )
        learn = learn or isinstance(leak, nn.Parameter)
        if learn or values.dim():
            self._hold("leak", values, learn)
        else:
            self.leak = float(values)

    def _hold(self, name: str, values: Tensor, learn: bool) -> None:
        """Make these values a parameter or a buffer, to which `reset_parameters` returns."""
        self._starts[name] = values.clone()
        held = values.to(self.weight, copy=True)
        if learn:
            self.register_parameter(name, nn.Parameter(held))
        else:
            self.register_buffer(name, held)

    def _set_input_weight(self, given: Any) -> None:
        if given is None:
            self.register_parameter("input_weight", None)
            return
        if isinstance(given, str):
            if given != "learn":
                raise ValueError(f'`input_weight` must be numbers or "learn", got {given!r}.')
            values = torch.ones(self.in_features)
        else:
            values = as_numbers("`input_weight`", given).detach()
        if values.shape != (self.in_features,):
            raise ValueError(
                f"`input_weight` must hold one number for each of the {self.in_features} inputs, "
                f"got shape {tuple(values.shape)}."
            )
        self._hold("input_weight", values, isinstance(given, (str, nn.Parameter)))

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw weights anew, by the fan-in of their target; biases are 0, others as given."""
        super().reset_parameters()
        for name, start in self._starts.items():
            held = {**self._parameters, **self._buffers}.get(name)
            if held is not None and not held.is_meta:
                held.copy_(start)

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
            lengths: how many steps each sequence has. Outputs beyond are 0, inputs beyond are not
                read, and the state is that after its last step.
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
                self._check_state(state, padded.shape[:1])
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
        ragged = None
        if lengths is not None:
            ragged = Ragged.of(lengths, input.shape[:-2], time, input.device)
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
        return self._sequence(input.unsqueeze(-2), state, weight, None, None)[1]

    def _check_state(self, state: Any, batch: torch.Size) -> None:
        if not isinstance(state, Tensor):
            raise TypeError(f"`state` must be a tensor, got {type(state).__name__}.")
        if not state.is_floating_point():
            raise TypeError(f"`state` must be real floating point, got {state.dtype}.")
        if state.shape != (*batch, self.num_nodes):
            raise ValueError(
                f"`state` must have shape {(*batch, self.num_nodes)}, one value for each node of "
                f"each sequence, got {tuple(state.shape)}."
            )
        if state.device != self._topology.device:
            raise ValueError(
                f"`state` is on {state.device} and the network on {self._topology.device}: "
                f"use `state.to({str(self._topology.device)!r})`."
            )

    def _sequence(
        self,
        input: Tensor,
        state: Tensor | None,
        weight: Tensor,
        ragged: Ragged | None,
        checkpoint_every: int | None,
    ) -> tuple[Tensor, Tensor]:
        x, dtype = self._in_and_out(input)
        *batch, time, _ = x.shape
        number = math.prod(batch)
        if state is not None:
            self._check_state(state, input.shape[:-2])
            state = state.to(x.dtype).reshape(number, self.num_nodes)
        x = x.reshape(number, time, self.in_features)
        order = self._plan.order
        bias = None if self.bias is None else self.bias.to(x.dtype)[order]
        advance = partial(self._advance, weight.to(x.dtype), bias, self._leak_by_place(x))
        if ragged is not None:
            y, state = ragged.run(advance, x, state, checkpoint_every)
        elif checkpoint_every is not None:
            y, state = in_parts(advance, x, state, range(0, time, checkpoint_every), True)
        else:
            y, state = advance(x, state)
        y = y.to(dtype)
        if len(batch) != 1:
            y = y.reshape(*batch, time, self.out_features)
            state = state.reshape(*batch, self.num_nodes)
        return y, state

    def _leak_by_place(self, x: Tensor) -> Tensor | None:
        if isinstance(self.leak, float):
            return None if self.leak == 1.0 else x.new_full((self.num_nodes,), self.leak)
        leak = self.leak.to(x.dtype)
        return leak.expand(self.num_nodes) if leak.dim() == 0 else leak[self._plan.order]

    def _advance(
        self,
        weight: Tensor,
        bias: Tensor | None,
        leak: Tensor | None,
        x: Tensor,  # (batch, time, in_features)
        state: Tensor | None,  # (batch, num_nodes)
    ) -> tuple[Tensor, Tensor]:
        inner = self.steps_per_input
        if self.input_weight is not None:  # not before: what follows a sequence may be NaN
            x = x * self.input_weight.to(x.dtype)
        if inner > 1:
            x = x.repeat_interleave(inner, 1)
        noise = None
        if self.noise and self.training:
            shape = x.shape[1], self.num_nodes, x.shape[0]
            noise = self.noise * torch.randn(shape, dtype=x.dtype, device=x.device)
        y, state = steps(weight, bias, leak, x, state, noise, self._recurrence, self.backend)
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
            f"outputs={self.out_features}, self_loops={loops}, leak={leak}, "
            f"steps_per_input={self.steps_per_input}, noise={self.noise:g}, "
            f"bias={self.bias is not None}, backend={self.backend}"
        )


def check_count(name: str, count: Any) -> None:
    """Refuse what is no whole number from 1 on."""
    if isinstance(count, bool) or not isinstance(count, int):
        raise TypeError(f"`{name}` must be a whole number, got {count!r}.")
    if count < 1:
        raise ValueError(f"`{name}` must be at least 1, got {count}.")
