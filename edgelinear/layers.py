"""`EdgeLinear`: a linear layer whose connections are any edge list."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from edgelinear import backends, checkpoint, convert, names
from edgelinear.baselines import MaskedLinear
from edgelinear.edges import check_weight
from edgelinear.functional import edge_linear
from edgelinear.init import init_by_fan_in
from edgelinear.topology import Topology, topology_with_weight

_RULES = "parametrizations.weight."  # what stands in a state dict where weights have rules


class EdgeLinear(nn.Module):
    """Apply `y = x W.T + bias`, where W has one learnable number an edge and nothing elsewhere.

    Row 0 of `edge_index` is the source (an input), row 1 the target (an output), as in PyG:
    `weight[e]` multiplies input `edge_index[0, e]` into output `edge_index[1, e]`. Equals
    `F.linear(x, layer.to_dense(), layer.bias)`, with memory that follows the edges.

    Weights start uniform in +-1/sqrt(fan_in) of their target, biases likewise (0 where nothing
    comes in), so that outputs start at the same scale whatever the degrees.

    Args:
        in_features: number of inputs.
        out_features: number of outputs.
        edge_index: (2, num_edges) integers: a tensor, an array, a PyG `EdgeIndex`, a list of
            (source, target) tuples, or a `Topology`, which layers may share, as it is.
        bias: whether to learn an offset for each output.
        weight: (num_edges,) initial values, one an edge in the order given; copied.
        duplicates: "error" refuses an edge given twice, "keep" gives each its own weight, "merge"
            makes one edge of them and adds their `weight`.
        backend: "auto", or a name in `edgelinear.backends.BACKENDS`, which then runs or raises.
        in_names: (in_features,) strings or whole numbers, which name the inputs in tables, graphs
            and checkpoints.
        out_names: (out_features,), likewise.

    Shape: (*, in_features) -> (*, out_features).

    Raises:
        TypeError, ValueError: if the edges are malformed; the message names the edge and the cure.

    Example:
        >>> layer = EdgeLinear(4, 2, [(0, 0), (1, 0), (2, 1), (3, 1)])
        >>> layer(torch.randn(8, 4)).shape
        torch.Size([8, 2])
    """

    in_features: int
    out_features: int
    topology: Topology
    weight: nn.Parameter
    bias: nn.Parameter | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        edge_index: Any,  # (2, num_edges)
        *,
        bias: bool = True,
        weight: Any = None,  # (num_edges,)
        duplicates: str = "error",
        backend: str = "auto",
        in_names: Sequence[str | int] | None = None,  # (in_features,)
        out_names: Sequence[str | int] | None = None,  # (out_features,)
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if dtype is not None and not getattr(dtype, "is_floating_point", False):
            raise TypeError(f"`dtype` must be a real floating type of torch, got {dtype!r}.")
        topology, weight = topology_with_weight(
            in_features, out_features, edge_index, weight, duplicates=duplicates
        )
        self._set_up(topology, weight, bias, backend, device, dtype)
        self._set_names(in_names, out_names)

    def _set_up(
        self,
        topology: Topology,
        weight: Any,
        bias: bool,
        backend: str,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> None:
        backends.check_name(backend)
        self.backend = backend
        self.topology = topology
        self.in_features, self.out_features = topology.in_features, topology.out_features
        self.weight = nn.Parameter(torch.empty(topology.num_edges, device=device, dtype=dtype))
        if bias:
            self.bias = nn.Parameter(torch.empty(self.out_features, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self._place_topology()
        self.reset_parameters()
        if weight is not None:
            with torch.no_grad():
                self.weight.copy_(check_weight(weight, topology.num_edges))

    def _rewire(self, topology: Topology) -> None:
        weight, bias = self.weight, self.bias
        self._set_up(topology, None, bias is not None, self.backend, weight.device, weight.dtype)
        self.weight.requires_grad_(weight.requires_grad)
        if self.bias is not None and bias is not None:
            self.bias.requires_grad_(bias.requires_grad)

    def _set_names(
        self, in_names: Sequence[str | int] | None, out_names: Sequence[str | int] | None
    ) -> None:
        self.in_names = in_names
        self.out_names = out_names

    @property
    def in_names(self) -> Any:
        """Names of the inputs, strings or whole numbers, or None. A copy; it may be set."""
        return None if self._in_names is None else [*self._in_names]

    @in_names.setter
    def in_names(self, in_names: Sequence[str | int] | None) -> None:
        self._in_names = names.as_names("in_names", in_names, self.in_features)

    @property
    def out_names(self) -> Any:
        """Names of the outputs, likewise."""
        return None if self._out_names is None else [*self._out_names]

    @out_names.setter
    def out_names(self, out_names: Sequence[str | int] | None) -> None:
        self._out_names = names.as_names("out_names", out_names, self.out_features)

    @classmethod
    def from_topology(cls, topology: Topology, **options: Any) -> "EdgeLinear":
        """Return a layer on a topology, which layers may share. `options` are those of the class.

        Example:
            >>> EdgeLinear.from_topology(Topology(3, 2, [(0, 0), (2, 1)]), weight=[1.0, 2.0]).weight
            Parameter containing:
            tensor([1., 2.], requires_grad=True)
        """
        if isinstance(topology, convert.Wiring):
            raise TypeError("`topology` must be a Topology, got a Wiring: use `from_wiring`.")
        if not isinstance(topology, Topology):
            raise TypeError(f"`topology` must be a Topology, got {type(topology).__name__}.")
        return cls(topology.in_features, topology.out_features, topology, **options)

    @classmethod
    def from_wiring(
        cls, wiring: convert.Wiring, *, values: str = "ignore", **options: Any
    ) -> "EdgeLinear":
        """Return a layer on what an importer of `el.convert` found, with its names.

        `values="weight"` starts the weights at the values of the data. `options` are those of
        `from_topology`.

        Raises:
            TypeError: if names are neither strings nor whole numbers.
            ValueError: if values are asked for, and the data has none.

        Example:
            >>> wiring = convert.from_edges(3, 2, [(0, 0), (2, 1)], weight=[0.5, -1.0])
            >>> EdgeLinear.from_wiring(wiring, values="weight").weight.tolist()
            [0.5, -1.0]
        """
        if values not in ("ignore", "weight"):
            raise ValueError(f'`values` must be "ignore" or "weight", got {values!r}.')
        if not isinstance(wiring, convert.Wiring):
            hint = ": use `from_topology`" if isinstance(wiring, Topology) else ""
            raise TypeError(f"`wiring` must be a Wiring, got {type(wiring).__name__}{hint}.")
        if values == "weight" and wiring.weight is None:
            raise ValueError('values="weight" asks for the values of the data, which has none.')
        options = dict(in_names=wiring.in_names, out_names=wiring.out_names) | options
        weight = wiring.weight if values == "weight" else None
        return cls.from_topology(wiring.topology, weight=weight, **options)

    @classmethod
    def from_adjacency(
        cls, adjacency: Any, *, values: str = "ignore", duplicates: str = "error", **options: Any
    ) -> "EdgeLinear":
        """Return a layer with an edge i -> j for each non-zero `adjacency[i, j]`, shape (in, out).

        Takes a dense or sparse torch tensor, a NumPy array, or any scipy sparse matrix, whose
        stored zeros are edges too. `values="weight"` starts the weights at the entries. For the
        layout of `nn.Linear.weight`, (out, in), use `from_weight_mask`. `options` are those of
        `from_topology`.

        Example:
            >>> EdgeLinear.from_adjacency([[0.0, 2.0], [0.0, 0.0], [3.0, 0.0]]).edge_index
            tensor([[2, 0],
                    [0, 1]])
        """
        wiring = convert.from_adjacency(adjacency, duplicates=duplicates)
        return cls.from_wiring(wiring, values=values, **options)

    @classmethod
    def from_weight_mask(cls, mask: Any, **options: Any) -> "EdgeLinear":
        """Return a layer with an edge i -> j for each true `mask[j, i]`, of shape (out, in).

        The layout of `nn.Linear.weight`. `options` are those of `from_topology`.

        Example:
            >>> EdgeLinear.from_weight_mask(torch.tensor([[1, 0, 1], [0, 1, 0]])).edge_index
            tensor([[0, 2, 1],
                    [0, 0, 1]])
        """
        return cls.from_wiring(convert.from_weight_mask(mask), **options)

    @classmethod
    def from_linear(
        cls,
        linear: nn.Linear,
        *,
        backend: str = "auto",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> "EdgeLinear":
        """Return a layer with the non-zero weights of an `nn.Linear`, and its bias.

        A layer pruned by `torch.nn.utils.prune` keeps its whole mask, zeros inside it included.
        Device and type are those of `linear` unless given.

        Example:
            >>> linear = nn.Linear(3, 2)
            >>> x = torch.randn(5, 3)
            >>> torch.allclose(EdgeLinear.from_linear(linear)(x), linear(x), atol=1e-6)
            True
        """
        wiring = convert.from_linear(linear)
        layer = cls.from_topology(
            wiring.topology,
            weight=wiring.weight,
            bias=linear.bias is not None,
            backend=backend,
            device=device or linear.weight.device,
            dtype=dtype or linear.weight.dtype,
        )
        if layer.bias is not None:
            bias, mask = linear.bias, getattr(linear, "bias_mask", None)
            if mask is not None:  # pruned: `linear.bias` is stale until the next forward
                bias = mask * linear.bias_orig
            with torch.no_grad():
                layer.bias.copy_(bias)
        return layer

    @classmethod
    def from_state_dict(
        cls, state: dict[str, Tensor], prefix: str = "", *, backend: str = "auto"
    ) -> "EdgeLinear":
        """Return the layer that a state dict describes, wiring included.

        Args:
            prefix: where the layer stands in the state dict of a larger model, as "encoder.0.".

        Raises:
            ValueError: if an entry is missing, the indices do not fit the saved shape, or weights
                had rules: then build the layer, apply its rules, and use `load_state_dict`.

        Example:
            >>> layer = EdgeLinear(3, 2, [(0, 0), (2, 1)])
            >>> EdgeLinear.from_state_dict(layer.state_dict()).topology == layer.topology
            True
        """
        topology = checkpoint.saved_topology(state, prefix)
        if any(key.startswith(prefix + _RULES) for key in state):
            raise ValueError(
                f"`{prefix}weight` in this checkpoint has rules: build the layer with "
                "`from_topology`, apply the same rules, and use `load_state_dict`."
            )
        if prefix + "weight" not in state:
            raise ValueError(f"the state dict holds no `{prefix}weight`.")
        weight = state[prefix + "weight"]
        layer = cls.from_topology(
            topology,
            bias=prefix + "bias" in state,
            backend=backend,
            device=weight.device,
            dtype=weight.dtype,
        )
        keys = (*layer._parameters, *checkpoint.WIRING, *names.NAMES)
        entries = {key: prefix + key for key in keys}
        layer.load_state_dict({k: state[v] for k, v in entries.items() if v in state})
        return layer

    @property
    def _sizes(self) -> tuple[int, int]:
        return self.in_features, self.out_features

    @property
    def rules(self) -> list[Any]:
        """The parametrizations that the weight follows, as those of `el.rules`, first to last."""
        if not parametrize.is_parametrized(self, "weight"):
            return []
        return [*self.parametrizations["weight"]]  # type: ignore[index,misc]

    def _weights(self) -> list[nn.Parameter]:
        """Return the parameters that the weight follows: itself, without rules."""
        if not self.rules:
            return [self.weight]
        return [*self.parametrizations["weight"].parameters()]  # type: ignore[index,union-attr]

    @property
    def num_edges(self) -> int:
        return self.topology.num_edges

    @property
    def density(self) -> float:
        return self.topology.density

    @property
    def edge_index(self) -> Tensor:
        """The edges, (2, num_edges) int64: row 0 the source, row 1 the target. A copy."""
        return self.topology.edge_index

    @property
    def shape(self) -> Tensor:
        """(in_features, out_features) as a tensor: the entry of this name in a state dict."""
        return torch.tensor(self._sizes, device="cpu")

    def forward(self, input: Tensor) -> Tensor:
        return edge_linear(input, self.weight, self.topology, self.bias, backend=self.backend)

    def reset_parameters(self) -> None:
        """Draw weight and bias anew, uniform in +-1/sqrt(fan_in) of their target."""
        topology = self.topology
        if self.rules:  # `self.weight` is computed: set it
            weight = torch.empty_like(self.weight)
            init_by_fan_in(weight, topology.fan_in, topology.dst)
            with torch.no_grad():
                for rule in reversed(self.rules):
                    weight = rule.project(weight) if hasattr(rule, "project") else weight
            self.weight = weight  # type: ignore[assignment]
        else:
            init_by_fan_in(self.weight, topology.fan_in, topology.dst)
        if self.bias is not None:
            init_by_fan_in(self.bias, topology.fan_in)

    def backend_for(self, x: Tensor) -> str:
        """Return the name of the backend that would run this input, of shape (*, in_features)."""
        x = x.reshape(-1, x.shape[-1]) if x.numel() else x.new_empty(0, self.in_features)
        backend = backends.select(self.backend, x, self.weight, self.topology)
        return backend.__name__.rpartition(".")[2]

    def to_dense(self) -> Tensor:
        """Return W, (out_features, in_features), differentiable; parallel edges add up."""
        dense = self.weight.new_zeros(self.out_features, self.in_features)
        return dense.index_put((self.topology.dst, self.topology.src), self.weight, accumulate=True)

    def to_linear(self) -> nn.Linear:
        """Return an `nn.Linear` of the same function, in_features * out_features in size."""
        return self._dense_twin(nn.Linear(self.in_features, self.out_features, **self._like()))

    def to_masked_linear(self) -> MaskedLinear:
        """Return the dense layer whose weight is masked to these edges, with the same function."""
        mask = torch.zeros(self.out_features, self.in_features, dtype=torch.bool)
        mask[self.topology.dst.cpu(), self.topology.src.cpu()] = True
        return self._dense_twin(
            MaskedLinear(self.in_features, self.out_features, mask, **self._like())
        )

    def _like(self) -> dict[str, Any]:
        return dict(bias=self.bias is not None, device=self.weight.device, dtype=self.weight.dtype)

    @torch.no_grad()
    def _dense_twin(self, twin: Any) -> Any:
        twin.weight.copy_(self.to_dense())
        if self.bias is not None:
            twin.bias.copy_(self.bias)
        return twin

    def extra_repr(self) -> str:
        fan_in = self.topology.fan_in.cpu()
        spread = "-"
        if len(fan_in):
            spread = f"{fan_in.min()}/{fan_in.median()}/{fan_in.max()}"
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"edges={self.num_edges}, density={self.density:.3%}, fan_in={spread}, "
            f"sorted={self.topology.is_sorted}, bias={self.bias is not None}, "
            f"backend={self.backend}"
        )

    # The wiring is no buffer: DDP would broadcast it at every step, `to_empty()` would leave
    # garbage indices, and `load_state_dict` would take any wiring unasked. It follows the weight.

    def _place_topology(self) -> None:
        # Not `self.weight`, which rules compute, and cannot from the shards of `fully_shard`.
        device = self._weights()[0].device
        if device.type != "meta":
            self.topology = self.topology.to(device)

    def _apply(self, fn: Any, recurse: bool = True) -> "EdgeLinear":
        super()._apply(fn, recurse)
        self._place_topology()
        return self

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        for key in checkpoint.WIRING:
            destination[prefix + key] = getattr(self, key)
        for key in names.NAMES:
            if getattr(self, key) is not None:
                destination[prefix + key] = names.to_tensor(getattr(self, key))

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
        own = {prefix + key for key in (*checkpoint.WIRING, *names.NAMES)}
        rest = {k: v for k, v in state_dict.items() if k not in own}
        refused, saved_names = self._compare(state_dict, prefix)
        if refused:
            error_msgs += refused
            # Nothing is loaded then: what is below this layer finds the values that it has.
            ours = (*self.named_parameters(), *self.named_buffers())
            state_dict |= {prefix + name: tensor for name, tensor in ours}
            return
        for key, saved in saved_names.items():
            if saved is not None:
                setattr(self, key, saved)
        super()._load_from_state_dict(
            rest, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )
        self._place_topology()  # `assign=True` may have brought a weight from another device

    def _compare(self, state: dict[str, Tensor], prefix: str) -> tuple[list[str], dict[str, Any]]:
        """Return why a state dict is not one of this layer, if so, and the names in it by key."""
        found: list[str | None] = []
        saved_names: dict[str, Any] = {}
        rules = prefix + _RULES
        saved_rules = [value for key, value in state.items() if key.startswith(rules)]
        parameters = saved_rules if self.rules else [state.get(prefix + "weight")]
        if not checkpoint.rank_0_compares(parameters, state, prefix):
            another = checkpoint.difference(self.topology, state, prefix)
            if another is not None:
                return [another], {}
            if saved_rules and not self.rules:
                found.append(
                    f"`{prefix}weight` in this checkpoint has rules: apply the same ones first."
                )
            for i, rule in enumerate(self.rules):
                if saved_rules and hasattr(rule, "difference"):
                    found.append(rule.difference(state, f"{rules}{i}."))
        for key, size in zip(names.NAMES, self._sizes, strict=True):
            try:
                saved_names[key] = names.from_state(state, prefix + key, size)
            except ValueError as error:
                found.append(str(error))
            else:
                found.append(names.difference(getattr(self, key), saved_names[key], prefix + key))
        return [sentence for sentence in found if sentence is not None], saved_names
