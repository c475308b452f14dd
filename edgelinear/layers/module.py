"""`EdgeModule`: what every module with a weight for each edge shares."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from edgelinear import backends
from edgelinear.backends import cpp
from edgelinear.backends.library import warn_if_not_built
from edgelinear.init import sharded_like
from edgelinear.layers import assignment, checkpoint
from edgelinear.layers.entries import Comparison, HasEntries
from edgelinear.layers.names import NAMES, Names, names_as_bytes, saved_names
from edgelinear.layers.parametrizations import Rule
from edgelinear.reach import Called
from edgelinear.topology import EdgeMap, Topology, Wiring
from edgelinear.topology.checks import check_switch
from edgelinear.topology.wiring import as_names


def check_options(backend: str, dtype: Any, bias: Any) -> None:
    """Refuse a backend that is none, types that weights cannot have, and biases with values.

    Warns of an install without kernels: a layer is made before it is waited for.
    """
    check_switch("bias", bias, ": values are copied to the parameter that True makes")
    if dtype is not None and not getattr(dtype, "is_floating_point", False):
        raise TypeError(f"`dtype` must be a real floating type of torch, got {dtype!r}.")
    backends.check_name(backend)
    if backend == "auto":
        warn_if_not_built()


class EdgeModule(Called, HasEntries):
    """A module with a 1-D `weight` in the order of the edges of its `topology`.

    It keeps the wiring where the weight is, gives nodes their names, and has state dicts hold the
    wiring, compare it, and never load another one. A subclass calls `_set_wiring` when it is made.

    The wiring is no buffer: DDP would broadcast it at every step, `to_empty()` would leave garbage
    indices, and `load_state_dict` would take any wiring unasked.
    """

    backend: str
    _topology: Topology
    weight: nn.Parameter
    bias: nn.Parameter | None
    _drawn: Tensor | None = None  # what tells the weights that were drawn at random, if they were

    def _set_wiring(
        self,
        topology: Topology,
        weight: nn.Parameter,
        in_names: Sequence[str | int] | None,
        out_names: Sequence[str | int] | None,
    ) -> None:
        self._topology = topology
        self.weight = weight
        self._place_topology()
        self._in_names = as_names("in_names", in_names, topology.in_features)
        self._out_names = as_names("out_names", out_names, topology.out_features)

    @property
    def topology(self) -> Topology:
        """The wiring, where the weight is. It may be set to an equal one, to share that."""
        return self._topology

    @topology.setter
    def topology(self, topology: Topology) -> None:
        if not isinstance(topology, Topology):
            hint = ": use its `.topology`" if hasattr(topology, "topology") else ""
            raise TypeError(f"`topology` must be a Topology, got {type(topology).__name__}{hint}.")
        what = checkpoint.difference(self.topology, topology)
        if what is not None:
            raise ValueError(
                f"`topology` is another wiring ({what}), and weights, names and rules belong to "
                "the edges here: make another layer, by `EdgeLinear.from_topology`."
            )
        self._topology = topology
        self._place_topology()

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
        return None if self._in_names is None else Names(self._in_names)

    @in_names.setter
    def in_names(self, in_names: Sequence[str | int] | None) -> None:
        self._in_names = as_names("in_names", in_names, self.in_features)

    @property
    def out_names(self) -> Any:
        """Names of the outputs, likewise."""
        return None if self._out_names is None else Names(self._out_names)

    @out_names.setter
    def out_names(self, out_names: Sequence[str | int] | None) -> None:
        self._out_names = as_names("out_names", out_names, self.out_features)

    @property
    def num_edges(self) -> int:
        """Number of edges, which is that of weights."""
        return self.topology.num_edges

    def _named(self, src: int, dst: int) -> str:
        """Return an edge as messages show it, by names where there are some."""
        ends = zip((src, dst), (self._in_names, self._out_names), strict=True)
        return " -> ".join(str(at) if names is None else repr(names[at]) for at, names in ends)

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
        self._check_norm()
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
        """Yield the parameters that the weight follows: itself, without rules.

        `torch.nn.utils.prune` and `weight_norm` put others in its place.
        """
        if self.rules:
            yield from self.parametrizations["weight"].parameters()  # type: ignore[index,union-attr]
            return
        own = {name: p for name, p in self._parameters.items() if checkpoint.is_edge_weight(name)}
        yield from (p for p in own.values() if p is not None)

    def _in_sums(self) -> Tensor:
        """Return the weights as sums have them."""
        return self.weight

    def _stand_in(self) -> str | None:
        """Return the name of the parameter that a hook of torch has put in place of `weight`."""
        if "weight" in self._parameters or self.rules:
            return None
        return next(filter(checkpoint.is_edge_weight, self._parameters), None)

    def _check_no_stand_in(self) -> None:
        """Refuse to draw weights that a hook of torch computes."""
        stand_in = self._stand_in()
        if stand_in is not None:
            raise RuntimeError(
                f"`weight` is computed from `{stand_in}`, as by `torch.nn.utils.prune` or "
                "`weight_norm`: remove these first, then draw weights anew."
            )

    @torch.no_grad()
    def _projected(self, weight: Tensor) -> Tensor:
        """Return weights that follow the rules, near to those given."""
        for rule in reversed(self.rules):
            weight = rule.project(weight) if isinstance(rule, Rule) else weight
        return weight

    def _check_norm(self) -> None:
        """Refuse torch's `spectral_norm`, which takes the weights for a matrix of one column."""
        for norm in (*self._forward_pre_hooks.values(), *self.rules):
            if type(norm).__name__ in ("SpectralNorm", "_SpectralNorm"):
                raise RuntimeError(
                    "`spectral_norm` must not be used here: it divides by the norm of the 1-D "
                    "`weight`, which is not that of the matrix. Make the layer without it, and "
                    "divide its weights by `torch.linalg.matrix_norm(layer.to_dense(), 2)`."
                )

    @torch.no_grad()
    def set_weight(self, values: Any) -> None:
        """Set the weight of each edge, with rules and without, by copying into what is there.

        Args:
            values: (num_edges,) numbers in the order of the edges.

        Raises:
            TypeError: if they are no real numbers.
            ValueError: if they have another shape, do not fit into the type of the weights, or do
                not follow the rules; the message names the edge. Nothing changes then.

        Example:
            >>> layer = el.rules.fix_nonnegative(EdgeLinear(2, 1, [(0, 0), (1, 0)]))
            >>> layer.set_weight([0.5, 2.0])
            >>> layer.weight.tolist()
            [0.5, 2.0]
        """
        rules = self.rules
        if self._stand_in() is not None:
            found = filter(checkpoint.is_edge_weight, self._parameters)
            raise ValueError(
                f"`weight` of this layer is computed from {' and '.join(found)}: set these, or "
                "take off what computes it, as by `torch.nn.utils.prune.remove`."
            )
        targets = [*self.parametrizations["weight"].parameters(recurse=False)] if rules else []  # type: ignore[index,union-attr]
        targets = targets or [self.weight]
        if targets[0].is_meta:
            raise ValueError(
                "the weights are on the meta device, where no values are: use `to_empty` first."
            )
        weight = assignment.as_weight(values, self.num_edges, targets[0])
        for target, value in zip(targets, assignment.origins(rules, weight), strict=True):
            target.copy_(sharded_like(target, value))

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        raise NotImplementedError

    def _mark_drawn(self) -> None:
        """Remember the weights as they are now as numbers drawn at random."""
        self._drawn = assignment.summary(self.weight)

    @property
    def _is_drawn(self) -> bool:
        """Whether the weights are still those that were drawn, and not data, whatever wrote it."""
        return assignment.is_of(self.weight, self._drawn)

    def __prepare_scriptable__(self) -> NoReturn:
        twin = ""
        if hasattr(self, "to_linear"):
            twin = ", or a dense layer of the same function, as `layer.to_linear()`"
        raise TypeError(
            f"`torch.jit.script` cannot take {type(self).__name__}: use `torch.jit.trace` or "
            f"`torch.export`{twin}."
        )

    def _place_topology(self) -> None:
        """Have the wiring where the weight is, and a large weight in huge pages.

        To be called whenever the weight may have come into other memory.
        """
        # Not `self.weight`: rules would have to compute it, which they cannot from the shards that
        # `fully_shard` leaves.
        weight = next(self.edge_parameters(), None)
        device = (self.weight if weight is None else weight).device
        if device.type != "meta":
            self._topology = self.topology.to(device)
        if self.backend in ("auto", "cpp"):
            for parameter in self.edge_parameters():
                cpp.move_to_huge_pages(parameter)

    def _apply(self, fn: Any, recurse: bool = True) -> "EdgeModule":
        super()._apply(fn, recurse)
        self._place_topology()
        return self

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in checkpoint.KEYS:
            super().__setattr__(name, value)
        elif isinstance(value, Tensor) and (name not in NAMES or value.dtype == torch.uint8):
            # A loader sets what a state dict holds: names are bytes there.
            self._take_entry(name, value.detach())
        else:
            object.__setattr__(self, name, value)

    def __setstate__(self, state: dict) -> None:
        if "topology" in state:  # as layers were pickled before, with its sizes beside it
            state = {"_topology" if key == "topology" else key: v for key, v in state.items()}
            state = {k: v for k, v in state.items() if k not in ("in_features", "out_features")}
        super().__setstate__(state)
        self._place_topology()

    def _saved_graph(self, state: Mapping[str, Tensor], prefix: str) -> Any:
        """Return what of a state dict `_rewire` takes, or None where it is what is here.

        Raises:
            ValueError: if it is missing or corrupt.
        """
        topology = checkpoint.saved_topology(state, prefix)
        return None if topology == self.topology.to("cpu") else topology

    @torch.no_grad()
    def _rewire(self, graph: Any) -> None:
        """Take another wiring, with new parameters: edges that stay keep their weights."""
        weight, before = self.weight, self._topology
        self._set_graph_anew(graph)
        edges = EdgeMap.between(before, self._topology)
        self.weight = resized(weight, edges.num_edges)
        self._place_topology()
        self.reset_parameters()
        if not weight.is_meta:
            self.weight.copy_(edges.follow(weight, fill=self.weight))

    def _take_topology(self, topology: Topology) -> None:
        """Take another wiring of the same nodes; its weights are the caller's.

        Raises:
            ValueError: if it cannot be one of this module, which then stays as it is.
        """
        self._topology = topology.to(self._topology.device)

    def _init_bound(self, topology: Topology) -> Tensor:  # (num_edges,)
        """Return within which bounds the weights of this wiring would be drawn; on the CPU."""
        raise NotImplementedError

    def _set_graph_anew(self, graph: Any) -> None:
        """Take the wiring, and parameters of its size for all but the edges."""
        self._topology = graph
        if self.bias is not None:
            self.bias = resized(self.bias, graph.out_features)

    def _known_names(
        self, graph: Any, state: Mapping[str, Tensor], prefix: str
    ) -> list[list[str | int] | None]:
        """Return the names of both sides that are saved, or else those here, if they fit."""
        topology = self._topology if graph is None else graph
        known = []
        for key, size in zip(NAMES, (topology.in_features, topology.out_features), strict=True):
            saved, ours = saved_names(state, prefix + key, size), getattr(self, f"_{key}")
            known.append(list(ours) if saved is None and ours and len(ours) == size else saved)
        return known

    def _entry_names(self) -> list[str]:
        named = [key for key in NAMES if self.__dict__.get(f"_{key}") is not None]
        return [*checkpoint.WIRING, *named]

    def _is_entry(self, name: str) -> bool:
        return name in checkpoint.KEYS

    def _entry(self, name: str) -> Tensor:
        if name == "edge_index":
            return self._edges_to_save()
        entry = getattr(self, name)
        return names_as_bytes(entry) if name in NAMES else entry

    def _edges_to_save(self) -> Tensor:
        src, dst = self.topology.src, self.topology.dst
        if src.is_cuda:  # nothing computes with them there, and int64 edges would crowd it
            src, dst = src.cpu(), dst.cpu()
        return torch.stack([src, dst]).long()

    def _compare(self, state: Mapping[str, Tensor], prefix: str, assign: bool) -> Comparison:
        # transformers 4 loads into a module on meta one entry after the other, and says what is
        # missing.
        alone = assign and list(state) == ["weight"] and self.weight.is_meta
        wiring = self._wiring_alone()
        return checkpoint.compare(wiring, self.rules, state, prefix, alone=alone)

    def _accept(self, compared: Comparison) -> None:
        for key, names in compared.names.items():
            setattr(self, key, names)

    def _load_from_state_dict(self, *arguments: Any) -> None:
        super()._load_from_state_dict(*arguments)
        self._place_topology()  # `assign=True` may have brought a weight from another device


def resized(parameter: nn.Parameter, size: int) -> nn.Parameter:
    """Return a new parameter like another one, without values as yet."""
    return nn.Parameter(parameter.new_empty(size), requires_grad=parameter.requires_grad)


def refill(parameter: nn.Parameter, values: Tensor) -> None:
    """Give a parameter other values, of any number, in place; its gradient is dropped."""
    parameter.grad = None
    if values.shape != parameter.shape:
        # A graph made before keeps what accumulates gradients, of the old size: torch makes it anew
        # where the type changes, and not where the shape does.
        narrow = torch.bfloat16 if values.dtype != torch.bfloat16 else torch.float32
        parameter.data = torch.empty_like(values, dtype=narrow)
        parameter.data = torch.empty_like(values)
    parameter.copy_(values)  # which such a graph notices, when it is gone through after all
