"""`edge_linear`, the functional form of the layer: checks, types and shapes around the operator."""

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx

from edgelinear import _torch, backends, ops
from edgelinear.functional import direct, export, wrapped
from edgelinear.topology import Topology


def edge_linear(
    input: Tensor,  # (*batch, in_features)
    weight: Tensor,  # (num_edges,)
    topology: Topology,
    bias: Tensor | None = None,  # (out_features,)
    *,
    dim: int = -1,
    backend: str = "auto",
) -> Tensor:  # (*batch, out_features)
    """Sum `weight[e] * input[..., src(e)]` into output `dst(e)`, for every edge.

    Equals `F.linear(input, W, bias)` where `W[dst[e], src[e]] = weight[e]` and is zero elsewhere.
    Values travel along edges only: an inf or NaN reaches just the targets it feeds.

    Args:
        dim: the feature axis: -1 as in `nn.Linear`, -2 for `(*batch, nodes, channels)` as in graph
            networks, 0 for feature-major inputs.
        backend: "auto", or a name in `edgelinear.backends.BACKENDS`, which then runs or raises.

    Under autocast the input is read in autocast's type, as in `nn.Linear`, and a float32 weight as
    it is; sums are in float32 at least.

    Raises:
        TypeError: if the input is not real floating point, or its type is not the weight's.
        ValueError: if a shape or a device does not fit the topology.
        RuntimeError: if the backend asked for cannot run this call here.

    Example:
        >>> topology = Topology(3, 2, [(0, 0), (2, 0), (1, 1)])
        >>> weight = torch.tensor([1.0, 10.0, 100.0], requires_grad=True)
        >>> edge_linear(torch.tensor([1.0, 2.0, 3.0]), weight, topology)
        tensor([ 31., 200.], grad_fn=<ViewBackward0>)
    """
    if dim == -1:
        y = direct.edge_linear(input, weight, topology, bias, backend)
        if y is not None:
            return y
    return checked_edge_linear(input, weight, topology, bias, dim, backend)


def checked_edge_linear(
    input: Tensor, weight: Tensor, topology: Topology, bias: Tensor | None, dim: int, backend: str
) -> Tensor:
    """Return what `edge_linear` does, after a look at all that may be unusual."""
    _check_types(input, weight, topology)
    if wrapped.is_wrapped(input, weight):
        function = partial(edge_linear, backend=backend)
        return wrapped.unwrap(function, input, weight, topology, bias, dim)
    _check_shapes(input, weight, topology, bias, dim)
    backends.check_name(backend)
    _check_kind(input, weight, topology, bias)
    if _torch.is_any_autocast() and _autocasts(input):
        input, weight, bias = _autocast(input, weight, bias)
    elif input.dtype != weight.dtype:
        raise TypeError(
            f"`input` is {input.dtype} and the weight {weight.dtype}: "
            f"use `input.to({weight.dtype})` or `layer.to({input.dtype})`."
        )

    plain = export.form()
    if plain is not None:
        axis, last = dim % input.dim(), input.dim() - 1  # ONNX has no negative ones
        y = plain(input.movedim(axis, last), weight, topology)
        return (y if bias is None else y + bias).movedim(last, axis).contiguous()
    if dim != -1 and dim % input.dim() == 0:  # feature-major: taken as it is
        batch = input.shape[1:]
        x = input.reshape(topology.in_features, math.prod(batch))
        y = ops.spmm(weight, x, topology, backend, bias=bias, feature_major=True)
        return y.view(topology.out_features, *batch)
    x = input if dim == -1 else input.movedim(dim, -1)
    batch = x.shape[:-1]
    if len(batch) != 1:
        x = x.reshape(math.prod(batch), topology.in_features)
    y = ops.spmm(weight, x, topology, backend, bias=bias)
    if len(batch) != 1:
        y = y.view(*batch, topology.out_features)
    return y if dim == -1 else y.movedim(-1, dim).contiguous()


def _check_types(input: Any, weight: Any, topology: Any) -> None:
    for name, value in (("input", input), ("weight", weight)):
        if not isinstance(value, Tensor):
            cure = ""
            if isinstance(value, fx.Proxy):
                cure = ": `torch.fx` traces models that call an EdgeLinear, not this function"
            raise TypeError(f"`{name}` must be a tensor, got {type(value).__name__}{cure}.")
        if value.layout not in (torch.strided, torch.jagged):
            raise TypeError(f"`{name}` must be dense, got {value.layout}: use `{name}.to_dense()`.")
    if not isinstance(topology, Topology):
        raise TypeError(
            f"`topology` must be a Topology, got {type(topology).__name__}: "
            "use `el.Topology(in_features, out_features, edge_index)`."
        )


def _check_shapes(
    input: Tensor, weight: Tensor, topology: Topology, bias: Tensor | None, dim: int
) -> None:
    if not -input.dim() <= dim < input.dim():
        raise ValueError(
            f"`dim` {dim} is not a dimension of the input, of shape {tuple(input.shape)}."
        )
    if input.shape[dim] != topology.in_features:
        axis = "its last dimension" if dim == -1 else f"dimension {dim}"
        raise ValueError(
            f"`input` must have {topology.in_features} features in {axis} to match this topology, "
            f"got shape {tuple(input.shape)}."
        )
    if weight.shape != (topology.num_edges,):
        raise ValueError(
            f"`weight` must hold one number for each of the {topology.num_edges} edges, "
            f"got shape {tuple(weight.shape)}."
        )
    if bias is not None and bias.shape != (topology.out_features,):
        raise ValueError(
            f"`bias` must hold one number for each of the {topology.out_features} outputs, "
            f"got shape {tuple(bias.shape)}."
        )


def _check_kind(input: Tensor, weight: Tensor, topology: Topology, bias: Tensor | None) -> None:
    if input.is_complex():
        raise TypeError(
            f"`input` must be real, got {input.dtype}: pass `input.real` and `input.imag` apart."
        )
    if not input.is_floating_point():
        cure = "dequantize" if input.is_quantized else "float"
        raise TypeError(f"`input` must be floating point, got {input.dtype}: use `input.{cure}()`.")
    if input.device != weight.device:
        raise ValueError(
            f"`input` is on {input.device} and the weight on {weight.device}: "
            f"use `input.to({str(weight.device)!r})` or `layer.to({str(input.device)!r})`."
        )
    if bias is not None and bias.device != weight.device:
        raise ValueError(
            f"`bias` is on {bias.device} and the weight on {weight.device}: "
            f"use `bias.to({str(weight.device)!r})`."
        )
    if topology.device != weight.device and weight.device.type != "meta":
        raise ValueError(
            f"the topology is on {topology.device} and the weight on {weight.device}: "
            f"use `topology.to({str(weight.device)!r})`."
        )


def _autocast(
    input: Tensor, weight: Tensor, bias: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Apply autocast's rule for `nn.Linear`, but leave a float32 weight to the kernels."""
    dtype = torch.get_autocast_dtype(input.device.type)
    if torch.float64 in (input.dtype, weight.dtype):  # which autocast leaves alone
        if input.dtype != weight.dtype:
            raise TypeError(
                f"`input` is {input.dtype} and the weight {weight.dtype}, and autocast leaves "
                f"float64 as it is: use `input.to({weight.dtype})`."
            )
        return input, weight, bias
    weight = weight if weight.dtype == torch.float32 else weight.to(dtype)
    return input.to(dtype), weight, None if bias is None else bias.to(dtype)


def _autocasts(input: Tensor) -> bool:
    return input.device.type != "meta" and torch.is_autocast_enabled(input.device.type)
