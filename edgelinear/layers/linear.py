"""`EdgeLinear`: a linear layer whose connections are any edge list."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from edgelinear import backends, reach
from edgelinear.baselines import MaskedLinear
from edgelinear.functional import direct
from edgelinear.functional.linear import checked_edge_linear
from edgelinear.init import bound_by_fan_in, init_by_fan_in
from edgelinear.layers import dense
from edgelinear.layers.constructors import Constructors
from edgelinear.layers.module import check_options
from edgelinear.topology import Topology
from edgelinear.topology.build import build


class EdgeLinear(Constructors):
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
        weight: (num_edges,) initial values, one an edge in the order given, whatever holds them (an
            index of pandas has no say); copied.
        duplicates: "error" refuses an edge given twice, "keep" gives each its own weight, "merge"
            makes one edge of them and adds their `weight`; "mean", "max" and "min" likewise take
            the mean, the largest or the smallest of it.
        backend: "auto", or a name in `edgelinear.backends.BACKENDS`, which then runs or raises.
        in_names: (in_features,) strings or whole numbers, which name the inputs in tables, graphs
            and checkpoints.
        out_names: (out_features,), likewise.

    Shape: `(*, in_features) -> (*, out_features)`.

    Raises:
        TypeError, ValueError: if the edges are malformed; the message names the edge and the cure.

    Example:
        >>> layer = EdgeLinear(4, 2, [(0, 0), (1, 0), (2, 1), (3, 1)])
        >>> layer(torch.randn(8, 4)).shape
        torch.Size([8, 2])
    """

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
        check_options(backend, dtype, bias)
        topology, weight, _ = build(
            in_features, out_features, edge_index, weight, duplicates=duplicates
        )
        self.backend = backend
        self._set_wiring(topology, _empty(topology.num_edges, device, dtype), in_names, out_names)
        offset = _empty(topology.out_features, device, dtype) if bias else None
        self.register_parameter("bias", offset)
        self.reset_parameters()
        if weight is not None and not self.weight.is_meta:
            self.set_weight(weight)

    def forward(self, input: Tensor) -> Tensor:  # (*, in_features) -> (*, out_features)
        """Return `F.linear(input, layer.to_dense(), layer.bias)`, computed along the edges alone.

        Raises:
            TypeError, ValueError, RuntimeError: as `edge_linear` does.

        Example:
            >>> EdgeLinear(3, 2, [(0, 0), (2, 1)], weight=[2.0, 3.0], bias=False)(torch.ones(1, 3))
            tensor([[2., 3.]], grad_fn=<...>)
        """
        if isinstance(input, fx.Proxy):
            return reach.leaf(self, input, EdgeLinear.forward)
        # Not `self.weight`, for which Python searches much of what a module has.
        weight, bias = self._parameters.get("weight"), self._parameters.get("bias")
        if weight is None:  # rules, or a hook of torch, compute it
            self._check_norm()
            weight = self.weight
        if bias is None and "bias" not in self._parameters:  # torch's `prune` computes it
            bias = self.bias
        y = direct.edge_linear(input, weight, self._topology, bias, self.backend)
        if y is not None:
            return y
        if weight.device != self._topology.device:  # accelerate moves weights alone
            self._place_topology()
        return checked_edge_linear(input, weight, self._topology, bias, -1, self.backend)

    def reset_parameters(self) -> None:
        """Draw weight and bias anew, uniform in +-1/sqrt(fan_in) of their target."""
        self._check_no_stand_in()
        topology = self.topology
        if self.rules:  # `self.weight` is computed: set it
            weight = torch.empty_like(self.weight)
            init_by_fan_in(weight, topology.fan_in, topology.dst)
            self.set_weight(self._projected(weight))
        else:
            init_by_fan_in(self.weight, topology.fan_in, topology.dst)
        self._mark_drawn()
        if self.bias is not None:
            init_by_fan_in(self.bias, topology.fan_in)

    def _init_bound(self, topology: Topology) -> Tensor:
        return bound_by_fan_in(topology.fan_in, topology.dst.long()).cpu()

    def backend_for(self, x: Tensor) -> str:
        """Return the name of the backend that would run this input, of shape `(*, in_features)`."""
        x = x.reshape(-1, x.shape[-1]) if x.numel() else x.new_empty(0, self.in_features)
        backend = backends.select(self.backend, x, self.weight, self.topology)
        return backend.__name__.rpartition(".")[2]

    def to_dense(self) -> Tensor:
        """Return W, (out_features, in_features), differentiable; parallel edges add up."""
        self._check_norm()
        return dense.matrix(self.weight, self.topology)

    def to_linear(self) -> nn.Linear:
        """Return an `nn.Linear` of the same function, in_features * out_features in size."""
        self._check_norm()
        return dense.linear_twin(self.weight, self.bias, self.topology)

    def to_masked_linear(self) -> MaskedLinear:
        """Return the dense layer whose weight is masked to these edges, with the same function."""
        self._check_norm()
        return dense.masked_twin(self.weight, self.bias, self.topology)

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


def _empty(size: int, device: Any, dtype: torch.dtype | None) -> nn.Parameter:
    return nn.Parameter(torch.empty(size, device=device, dtype=dtype))
