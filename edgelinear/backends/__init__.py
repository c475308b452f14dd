"""Backends: one module each, with `spmm`, `sddmm` and `why_not`; `select` decides which one runs.

A backend computes, without autograd, on logical shapes with any strides:

    spmm(weight, x, topology, bias)    (num_edges,), (batch, in_features) -> (batch, out_features)
    sddmm(a, b, topology, dtype)       (batch, out_features), (batch, in_features) -> (num_edges,)
    why_not(x, weight, topology)       None, or a sentence that completes "cannot be used: ..."

and, where one pass for both derivatives of `spmm` may beat two, with the same bits:

    gradients(grad, weight, x, topology, dtype)    of the weight and of x, or None if two are faster

Half types are accumulated in float32. Results may have any strides too.
"""

from types import ModuleType

import torch
from torch import Tensor

from edgelinear.backends import cpp, reference, torch_csr, torch_scatter, torch_sparse, triton
from edgelinear.topology import Topology

_MODULES = {
    "triton": triton,
    "cpp": cpp,
    "torch_csr": torch_csr,
    "torch_sparse": torch_sparse,
    "torch_scatter": torch_scatter,
    "reference": reference,
}
BACKENDS = tuple(_MODULES)  #: the names of all backends

# Fastest first, by the rows of benchmarks/results.
_AUTO = (cpp, triton, torch_csr, reference)


def select(name: str, x: Tensor, weight: Tensor, topology: Topology) -> ModuleType:
    """Return the backend that runs this call: `"auto"` chooses, a name never falls back.

    Raises:
        ValueError: if there is no backend of this name.
        RuntimeError: if the backend asked for cannot run this call here.

    Example:
        >>> x, weight = torch.zeros(8, 3), torch.zeros(2)
        >>> select("reference", x, weight, Topology(3, 2, [(0, 0), (2, 1)])).__name__
        'edgelinear.backends.reference'
    """
    if name == "auto":
        for backend in _AUTO:
            if backend.why_not(x, weight, topology) is None and _may_be_picked(backend, x):
                return backend
    check_name(name)
    reason = _MODULES[name].why_not(x, weight, topology)
    if reason is not None:
        raise RuntimeError(f"backend={name!r} cannot be used: {reason}.")
    return _MODULES[name]


def _may_be_picked(backend: ModuleType, x: Tensor) -> bool:
    """Whether `auto` may take a backend that can run: cuSPARSE promises no order of its sums."""
    exact = torch.are_deterministic_algorithms_enabled
    return not (backend is torch_csr and x.is_cuda and exact())


def why_not(name: str, x: Tensor, weight: Tensor, topology: Topology) -> str | None:
    """Return None if the backend can run this call, or what keeps it from it.

    Example:
        >>> why_not("auto", torch.zeros(8, 3), torch.zeros(1), Topology(3, 2, [(0, 0)])) is None
        True
    """
    check_name(name)
    if name == "auto":
        return None  # the reference runs everything
    return _MODULES[name].why_not(x, weight, topology)


def check_name(name: str) -> None:
    """Raise ValueError unless `name` is "auto" or a backend.

    Example:
        >>> check_name("reference")
    """
    if name != "auto" and name not in BACKENDS:
        raise ValueError(f"`backend` must be one of {('auto', *BACKENDS)}, got {name!r}.")
