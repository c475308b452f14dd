"""`from_neat` and `to_neat` of networks: genomes that evolved elsewhere, in and out."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch

from edgelinear import convert
from edgelinear.layers.factors import Factored
from edgelinear.networks.activations import Function


class Evolved(Factored):
    """A module of a whole graph that NEAT may have evolved."""

    _is_recurrent = False  # whether nodes take values of the step before
    _as_neat: ClassVar[dict[str, Any]] = {}  # options with which it computes what neat-python does

    @classmethod
    def from_neat(
        cls,
        genome: Any,
        config: Any = None,
        *,
        activations: Mapping[str, str | Function] | None = None,
        dtype: torch.dtype = torch.float64,
        **options: Any,
    ) -> Self:
        """Return a module that computes what neat-python computes of a genome, for any batch.

        Weights, biases and responses are learnable, and `to_neat` writes them back. The names of
        nodes are their keys. Nodes that no output needs are left out. See `convert.from_neat` for
        what `genome`, `config` and `activations` may be; `options` are those of the class.

        An EdgeNetwork is a feed-forward genome; an EdgeRNN a recurrent one, whose sequences are
        the calls of neat-python's `activate` after `reset`.

        Raises:
            TypeError, ValueError: if it is no genome, has a cycle or a number that is not finite;
                the message names the gene.

        Example:
            >>> name = {"name": "sigmoid", "custom": False}, {"name": "sum", "custom": False}
            >>> node = {"id": 0, "bias": 0.0, "response": 1.0, "activation": name[0]}
            >>> net = EdgeNetwork.from_neat(
            ...     {
            ...         "network_type": "feedforward",
            ...         "topology": {"input_keys": [-1], "output_keys": [0]},
            ...         "nodes": [node | {"aggregation": name[1]}],
            ...         "connections": [{"from": -1, "to": 0, "weight": 3.0}],
            ...     }
            ... )
            >>> net(torch.tensor([[0.0], [1.0]], dtype=torch.float64)).round(decimals=4).tolist()
            [[0.5], [1.0]]
        """
        found = convert.from_neat(
            genome, config, recurrent=cls._is_recurrent, activations=activations
        )
        net = cls(**found.arguments(), **cls._as_neat, bias=True, dtype=dtype, **options)
        assert net.bias is not None
        with torch.no_grad():
            net.bias.copy_(found.bias)
        return net

    def to_neat(self, genome: Any) -> Any:
        """Write weights, biases and responses into a genome of neat-python, and return it.

        The genome is the one that this came from, or a copy; nodes and connections are found by
        their keys, and others stay as they are. Of JSON, a copy with the numbers comes back: see
        `convert.to_neat`.

        Raises:
            ValueError: if nodes have no keys for names, or the genome lacks one of them or a
                connection.

        Example:
            >>> name = {"name": "identity", "custom": False}, {"name": "sum", "custom": False}
            >>> node = {"id": 0, "bias": 0.0, "response": 1.0, "activation": name[0]}
            >>> data = {
            ...     "network_type": "feedforward",
            ...     "topology": {"input_keys": [-1], "output_keys": [0]},
            ...     "nodes": [node | {"aggregation": name[1]}],
            ...     "connections": [{"from": -1, "to": 0, "weight": 3.0}],
            ... }
            >>> net = EdgeNetwork.from_neat(data)
            >>> net.set_weight([5.0])
            >>> net.to_neat(data)["connections"]
            [{'from': -1, 'to': 0, 'weight': 5.0}]
        """
        names = self.node_names
        if names is None:
            raise ValueError("`node_names` must be the keys of nodes for `to_neat`, got none.")
        ones = torch.ones(self.num_nodes)
        values = convert.Genome(
            self._topology.edge_index.cpu(),
            self.weight.detach().cpu(),
            (torch.zeros_like(ones) if self.bias is None else self.bias).detach().cpu(),
            (ones if self.response is None else self.response).detach().cpu(),
            self.activations,
            self._aggregations,
            self.in_names,
            self.out_names,
            list(names),
            self._is_recurrent,
        )
        return convert.to_neat(values, genome)
