"""`EdgeLinear.from_topology`, `from_wiring`, `from_adjacency` and its other ways to come to be."""

from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from edgelinear import convert
from edgelinear.layers import assignment, checkpoint, dense
from edgelinear.layers.module import EdgeModule
from edgelinear.topology import Topology, Wiring


class Constructors(EdgeModule):
    """Ways to make a layer: in the end by `cls(in_features, out_features, edge_index, ...)`."""

    bias: nn.Parameter | None

    if TYPE_CHECKING:

        def __init__(self, *sizes_and_edges: Any, **options: Any) -> None: ...

    @classmethod
    def from_topology(cls, topology: Topology, **options: Any) -> Self:
        """Return a layer on a topology, which layers may share. `options` are those of the class.

        Example:
            >>> EdgeLinear.from_topology(Topology(3, 2, [(0, 0), (2, 1)]), weight=[1.0, 2.0]).weight
            Parameter containing:
            tensor([1., 2.], requires_grad=True)
        """
        if isinstance(topology, Wiring):
            raise TypeError("`topology` must be a Topology, got a Wiring: use `from_wiring`.")
        if not isinstance(topology, Topology):
            raise TypeError(f"`topology` must be a Topology, got {type(topology).__name__}.")
        for name in ("in_features", "out_features", "edge_index"):
            if name in options:
                raise TypeError(f"`{name}` is that of the topology: leave it out.")
        return cls(topology.in_features, topology.out_features, topology, **options)

    @classmethod
    def from_wiring(cls, wiring: Wiring, *, values: str = "ignore", **options: Any) -> Self:
        """Return a layer on what an importer of `el.convert` found, with its names.

        `values="weight"` starts the weights at the values of the data, `weight` at other ones.
        `options` are those of `from_topology`.

        Raises:
            TypeError: if names are neither strings nor whole numbers.
            ValueError: if values are asked for and the data has none, or `weight` is given as well.

        Example:
            >>> wiring = convert.from_edges(3, 2, [(0, 0), (2, 1)], weight=[0.5, -1.0])
            >>> EdgeLinear.from_wiring(wiring, values="weight").weight.tolist()
            [0.5, -1.0]
        """
        if not isinstance(wiring, Wiring):
            hint = ": use `from_topology`" if isinstance(wiring, Topology) else ""
            raise TypeError(f"`wiring` must be a Wiring, got {type(wiring).__name__}{hint}.")
        weight = assignment.values_of(wiring, values, options.get("weight"))
        data = dict(in_names=wiring.in_names, out_names=wiring.out_names)
        if weight is not None:
            options = options | dict(weight=weight)
        return cls.from_topology(wiring.topology, **(data | options))

    @classmethod
    def from_adjacency(
        cls, adjacency: Any, *, values: str = "ignore", duplicates: str = "error", **options: Any
    ) -> Self:
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
    def from_weight_mask(cls, mask: Any, **options: Any) -> Self:
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
    ) -> Self:
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
        bias = dense.bias_of(linear)
        layer = cls.from_topology(
            wiring.topology,
            weight=wiring.weight,
            bias=bias is not None,
            backend=backend,
            device=device or linear.weight.device,
            dtype=dtype or linear.weight.dtype,
        )
        if bias is not None:
            with torch.no_grad():
                layer.bias.copy_(bias)  # type: ignore[union-attr]
        return layer

    @classmethod
    def from_state_dict(
        cls, state: dict[str, Tensor], prefix: str = "", *, backend: str = "auto"
    ) -> Self:
        """Return the layer that a state dict describes, wiring included.

        Of an `nn.Linear`, as a dense or a pruned model has it, that is `from_linear`: its non-zero
        weights, or the mask of `torch.nn.utils.prune`.

        Args:
            prefix: where the layer stands in the state dict of a larger model, as "encoder.0.".

        Raises:
            ValueError: if an entry is missing, shapes or indices do not fit, a matrix is not
                finite, or weights had rules: then build the layer, apply its rules, and use
                `load_state_dict`.

        Example:
            >>> layer = EdgeLinear(3, 2, [(0, 0), (2, 1)])
            >>> EdgeLinear.from_state_dict(layer.state_dict()).topology == layer.topology
            True
            >>> EdgeLinear.from_state_dict(layer.to_linear().state_dict()).num_edges
            2
        """
        linear = dense.saved_linear(state, prefix)
        if linear is not None:
            return cls.from_linear(linear, backend=backend)
        topology = checkpoint.saved_topology(state, prefix)
        weight = checkpoint.saved_weight(state, prefix, "build the layer with `from_topology`")
        layer = cls.from_topology(
            topology,
            bias=prefix + "bias" in state,
            backend=backend,
            device=weight.device,
            dtype=weight.dtype,
        )
        keys = (*dict(layer.named_parameters()), *checkpoint.KEYS)
        entries = {key: prefix + key for key in keys}
        layer.load_state_dict({k: state[v] for k, v in entries.items() if v in state})
        return layer
