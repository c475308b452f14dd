"""`EdgeModule`: what every module with a weight for each edge shares."""

from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from torch import Tensor, nn
from torch.nn.utils import parametrize

from edgelinear.layers import checkpoint
from edgelinear.layers.parametrizations import Rule
from edgelinear.reach import Called
from edgelinear.topology import Topology, Wiring
from edgelinear.topology.wiring import as_names


class EdgeModule(Called):
    """A module with a 1-D `weight` in the order of the edges of its `topology`.

    It keeps the wiring where the weight is, gives nodes their names, and has state dicts hold the
    wiring, compare it, and never load another one. A subclass calls `_set_wiring` when it is made.

    The wiring is no buffer: DDP would broadcast it at every step, `to_empty()` would leave garbage
    indices, and `load_state_dict` would take any wiring unasked.
    """

    topology: Topology
    weight: nn.Parameter

    def _set_wiring(
        self,
        topology: Topology,
        weight: nn.Parameter,
        in_names: Sequence[str | int] | None,
        out_names: Sequence[str | int] | None,
    ) -> None:
        self.topology = topology
        self.weight = weight
        self._place_topology()
        self.in_names = in_names
        self.out_names = out_names

    @property
    def in_features(self) -> int:
        """Number of inputs."""
        return self.topology.in_features

    @property
    def out_features(self) -> int:
        """Number of outputs."""
        return self.topology.out_features

    @property
    def in_names(self) -> Any:
        """Names of the inputs, strings or whole numbers, or None. A copy; it may be set."""
        return None if self._in_names is None else [*self._in_names]

    @in_names.setter
    def in_names(self, in_names: Sequence[str | int] | None) -> None:
        self._in_names = as_names("in_names", in_names, self.in_features)

    @property
    def out_names(self) -> Any:
        """Names of the outputs, likewise."""
        return None if self._out_names is None else [*self._out_names]

    @out_names.setter
    def out_names(self, out_names: Sequence[str | int] | None) -> None:
        self._out_names = as_names("out_names", out_names, self.out_features)

    @property
    def num_edges(self) -> int:
        """Number of edges, which is that of weights."""
        return self.topology.num_edges

    @property
    def density(self) -> float:
        """Edges over possible edges, and 0 where there are no inputs or no outputs."""
        return self.topology.density

    @property
    def edge_index(self) -> Tensor:
        """The edges, (2, num_edges) int64: row 0 the source, row 1 the target. A copy."""
        return self.topology.edge_index

    @property
    def shape(self) -> Tensor:
        """(in_features, out_features) as a tensor: the entry of this name in a state dict."""
        return checkpoint.shape_of(self.topology)

    @property
    def wiring(self) -> Wiring:
        """Edges, names, rules, and the weights as they are now, a copy."""
        return self._wiring_alone()._replace(weight=self.weight.detach().clone())

    def _wiring_alone(self) -> Wiring:
        """Return the wiring without the weights, which rules would have to compute."""
        rules = [rule for rule in self.rules if isinstance(rule, Rule)]
        return Wiring(self.topology, None, self.in_names, self.out_names, rules=rules)

    @property
    def rules(self) -> list[nn.Module]:
        """The parametrizations that the weight follows, as those of `el.rules`, first to last."""
        if not parametrize.is_parametrized(self, "weight"):
            return []
        return [*self.parametrizations["weight"]]  # type: ignore[index,misc]

    def edge_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the parameters that the weight follows: itself, without rules."""
        if self.rules:
            yield from self.parametrizations["weight"].parameters()  # type: ignore[index,union-attr]
        else:
            yield self.weight

    def __prepare_scriptable__(self) -> NoReturn:
        raise TypeError(
            f"`torch.jit.script` cannot take {type(self).__name__}: use `torch.jit.trace`, "
            "`torch.export`, or a dense layer of the same function, as `layer.to_linear()`."
        )

    def _place_topology(self) -> None:
        # Not `self.weight`: rules would have to compute it, which they cannot from the shards that
        # `fully_shard` leaves.
        device = next(self.edge_parameters()).device
        if device.type != "meta":
            self.topology = self.topology.to(device)

    def _apply(self, fn: Any, recurse: bool = True) -> "EdgeModule":
        super()._apply(fn, recurse)
        self._place_topology()
        return self

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination.update(checkpoint.entries_of(self._wiring_alone(), prefix))

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, local_metadata: dict, strict: bool, *reports: Any
    ) -> None:
        wiring = self._wiring_alone()
        refused, names = checkpoint.compare(wiring, self.rules, state_dict, prefix)
        if refused:
            *_, errors = reports
            errors += refused
            # Nothing is loaded then: modules below this one are handed the values that they have.
            ours = (*self.named_parameters(), *self.named_buffers())
            state_dict |= {prefix + name: tensor for name, tensor in ours}
            return
        for key, saved in names.items():
            setattr(self, key, saved)
        own = {prefix + key for key in checkpoint.KEYS}
        rest = {key: value for key, value in state_dict.items() if key not in own}
        super()._load_from_state_dict(rest, prefix, local_metadata, strict, *reports)
        self._place_topology()  # `assign=True` may have brought a weight from another device
