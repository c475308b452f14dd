"""Entries of a state dict that say what a module is: they are compared, and never loaded.

They are no buffers: DDP would broadcast them at every step, `to_empty()` would leave garbage, and
`load_state_dict` would take any others unasked. Whoever hands them over is answered the same:
`load_state_dict`, loaders that set one tensor of a model after the other (accelerate, transformers
5), and those that write into the tensors of a state dict (`torch.distributed.checkpoint`).
"""

import copy
import weakref
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from edgelinear._torch import without_overrides


def same_numbers(ours: Tensor, theirs: Tensor) -> bool:
    """Return whether the numbers are the same, up to what an average or a cast does to them."""
    return is_near(ours, theirs) and (ours.is_floating_point() or is_exact(theirs))


def is_exact(numbers: Tensor) -> bool:
    """Return whether whole numbers are small enough for their type to tell each from the next."""
    if not numbers.is_floating_point():
        return True
    return not bool((numbers.abs() > largest_exact(numbers.dtype)).any())


def largest_exact(dtype: torch.dtype) -> int:
    """Return up to where a floating type has every whole number: 2048 for float16."""
    return int(2 / torch.finfo(dtype).eps)


def is_near(ours: Tensor, theirs: Tensor) -> bool:
    """Return whether numbers differ by rounding alone.

    Floats may differ by the rounding of the coarser type, and by that of a weighted average.
    """
    theirs = theirs.to(ours.device)
    if not theirs.is_floating_point():
        return torch.equal(ours, theirs.to(ours.dtype))
    if ours.dtype == torch.bool:
        return torch.equal(ours, theirs != 0)
    if ours.shape != theirs.shape:
        return False
    coarse = [t.dtype for t in (ours, theirs) if t.is_floating_point()]
    exact, near = ours.double(), max(torch.finfo(dtype).eps for dtype in coarse)
    allowed = 4 * near * exact.abs()
    if not ours.is_floating_point():
        allowed = allowed.clamp(max=0.25)  # or one whole number could pass for another
    return bool(((theirs.double() - exact).abs() <= allowed).all())


class Entry(Tensor):
    """A tensor of a state dict, into which no other numbers can be copied.

    `torch.distributed.checkpoint` copies what it reads into the tensors of a state dict, among
    which the parameters are. It goes by the names of keys, others by their order: in both, this
    comes before the weights, which are then still there.
    """

    key: str

    @classmethod
    def of(cls, tensor: Any, key: str) -> Tensor:
        if without_overrides is None:
            return tensor
        if hasattr(tensor, "device_mesh"):  # many processes hold a part of it
            return with_local(tensor, cls.of(tensor.to_local(), key))
        entry = tensor.as_subclass(cls)
        entry.key = key
        return entry

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.copy_ and isinstance(args[0], cls):
            args[0]._refuse_others(*args[1:2], **(kwargs or {}))
        with without_overrides():
            result = func(*args, **(kwargs or {}))
        # What a loader takes of it to write into; all else that comes of it is a plain tensor.
        if func in (Tensor.detach, Tensor.narrow, Tensor.view_as) and isinstance(args[0], cls):
            return cls.of(result, args[0].key)
        return result

    def _refuse_others(self, src: Tensor, *_: Any, **__: Any) -> None:
        ours = self.as_subclass(Tensor)
        if not same_numbers(ours, torch.as_tensor(src).detach().expand_as(ours)):
            name = self.key.rpartition(".")[2]
            kinds = {"inputs": "list of nodes", "outputs": "list of nodes"}
            kinds |= {"edge_index": "wiring", "shape": "wiring"}
            kind = kinds.get(name, "rule or other names")
            raise RuntimeError(
                f"`{self.key}` in this checkpoint is another {kind} than that of the model, which "
                "may be half loaded now: load it again from its own checkpoint. To take another "
                "wiring, use el.adopt_wiring with a state dict that was read apart from the model."
            )

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.as_subclass(Tensor).__reduce_ex__(protocol)

    def __deepcopy__(self, memo: dict) -> Tensor:
        return memo.setdefault(id(self), self.clone())

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        return repr(self.as_subclass(Tensor))


def with_local(tensor: Any, local: Tensor) -> Tensor:
    """Return a DTensor like another one, of another part that is here."""
    from torch.distributed.tensor import DTensor

    return DTensor.from_local(
        local,
        tensor.device_mesh,
        tensor.placements,
        run_check=False,
        shape=tensor.shape,
        stride=tensor.stride(),
    )


class Buffers(dict):
    """The buffers of a module, where its entries are found too, although they are not listed.

    Loaders that set one tensor after the other look for each here, by its name: accelerate knows no
    other place, and transformers takes what it does not find here for a parameter.
    """

    def __init__(self, owner: "HasEntries", buffers: Mapping[str, Tensor | None]) -> None:
        super().__init__(buffers)
        self._owner = weakref.ref(owner)

    def _owner_of(self, name: object) -> "HasEntries | None":
        """Return the module if it has an entry of this name."""
        owner = None if super().__contains__(name) else self._owner()
        return owner if owner is not None and name in owner._entry_names() else None

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or self._owner_of(name) is not None

    def __missing__(self, name: str) -> Tensor:
        owner = self._owner_of(name)
        if owner is None:
            raise KeyError(name)
        return owner._entry(name)

    def __setitem__(self, name: str, value: Tensor | None) -> None:
        owner = self._owner_of(name)
        if owner is None or value is None:
            super().__setitem__(name, value)
        else:
            owner._take_entry(name, value)

    def __reduce__(self) -> Any:  # the module makes another one of it
        return dict, (dict(self.items()),)

    def __deepcopy__(self, memo: dict) -> dict:
        copies = {name: copy.deepcopy(value, memo) for name, value in self.items()}
        owner = memo.get(id(self._owner()))  # the copy of the module, which is made first
        return copies if owner is None else Buffers(owner, copies)


class Comparison(NamedTuple):
    """What a state dict says of the entries of a module."""

    refused: list[str]  # sentences: why its entries are not those of the module
    missing: list[str] = []  # keys that it should have and has not
    names: Mapping[str, list] = {}  # what it says of the names of nodes, by their key


class HasEntries(nn.Module):
    """A module with entries in its state dict that say what it is.

    A subclass says which they are, and compares them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.__dict__["_buffers"] = Buffers(self, self._buffers)

    def __setstate__(self, state: dict) -> None:
        super().__setstate__(state)
        self.__dict__["_buffers"] = Buffers(self, self._buffers)

    def _entry_names(self) -> Sequence[str]:
        """Return the names of the entries that this module has."""
        raise NotImplementedError

    def _entry(self, name: str) -> Tensor:
        """Return an entry as a state dict holds it, a copy."""
        raise NotImplementedError

    def _is_entry(self, name: str) -> bool:
        """Whether this is what such a module calls an entry, be it here or not."""
        return name in self._entry_names()

    def _compare(self, state: Mapping[str, Tensor], prefix: str, assign: bool) -> Comparison:
        """Compare the entries of a state dict with those here, before anything of it is loaded."""
        raise NotImplementedError

    def _accept(self, compared: Comparison) -> None:
        """Take what may be taken of a state dict that is not refused."""

    def _take_entry(self, name: str, value: Tensor) -> None:
        """Take what a loader sets, which must be what is here.

        Raises:
            RuntimeError: if it is something else.
        """
        if value.is_meta:
            return  # left on disk: see `__setattr__`
        compared = self._compare({name: value}, "", False)
        if compared.refused:
            raise RuntimeError(
                f"{' '.join(compared.refused)} (A checkpoint without `{name}` may end here too, as "
                "loaders fill in any numbers: save it again, from the model.)"
            )
        self._accept(compared)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "_hf_hook":  # of accelerate, which reads weights from disk at each use
            for hook in getattr(value, "hooks", [value]):
                self._take_all(getattr(hook, "weights_map", None) or {})

    def _take_all(self, saved: Mapping[str, Tensor]) -> None:
        for prefix, module in self._with_entries():
            for name in module._entry_names():
                if prefix + name in saved:
                    module._take_entry(name, saved[prefix + name])

    def _with_entries(self) -> Iterator[tuple[str, "HasEntries"]]:
        """Yield this module and those below it that have entries, with what stands before them."""
        for name, module in self.named_modules():
            if isinstance(module, HasEntries):
                yield f"{name}." if name else "", module

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        for name in self._entry_names():  # first: see `Entry`
            key = prefix + name
            destination[key] = Entry.of(self._entry(name), key)
        super()._save_to_state_dict(destination, prefix, keep_vars)

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
        reports = (strict, missing_keys, unexpected_keys, error_msgs)
        hooks = self._load_state_dict_pre_hooks
        for hook in hooks.values():  # these may rename entries, or add some: they come first
            hook(state_dict, prefix, local_metadata, *reports)
        assign = local_metadata.get("assign_to_params_buffers", False)
        compared = self._compare(state_dict, prefix, assign)
        if compared.refused:
            error_msgs += compared.refused
            # Nothing is loaded then: modules below this one are handed what they have.
            state_dict |= {prefix + name: tensor for name, tensor in self._everything()}
            return
        self._accept(compared)
        missing_keys += compared.missing
        rest = {
            key: value
            for key, value in state_dict.items()
            if not (key.startswith(prefix) and self._is_entry(key[len(prefix) :]))
        }
        self._load_state_dict_pre_hooks = OrderedDict()
        try:
            super()._load_from_state_dict(rest, prefix, local_metadata, *reports)
        finally:
            self._load_state_dict_pre_hooks = hooks

    def _everything(self) -> Iterator[tuple[str, Tensor]]:
        """Yield all that a state dict of this module holds, by its key."""
        yield from self.named_parameters(remove_duplicate=False)
        yield from self.named_buffers(remove_duplicate=False)
        for prefix, module in self._with_entries():
            for name in module._entry_names():
                yield prefix + name, module._entry(name)
