"""The dense answers that people are given when they ask for chosen connections, done right."""

from typing import Any

import scipy.sparse
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgelinear.generators import local1d
from edgelinear.init import init_by_fan_in
from edgelinear.reach import Called
from edgelinear.topology.numbers import as_matrix


class MaskedLinear(Called):
    """A dense layer whose *weight* is masked: `F.linear(x, weight * mask, bias)`.

    Takes memory and time of in_features * out_features, and spreads an inf or NaN input to every
    output. Weights start by the true fan-in of their target.

    Args:
        mask: (out_features, in_features), the layout of `nn.Linear.weight`, dense or sparse, of
            torch, NumPy, pandas or scipy: non-zero connects.

    Raises:
        ValueError: if the mask has another shape, or an entry that is NaN, infinite or missing.

    Example:
        >>> layer = MaskedLinear(4, 2, torch.tensor([[1, 1, 0, 0], [0, 0, 1, 1]]))
        >>> layer(torch.randn(8, 4)).shape
        torch.Size([8, 2])
    """

    mask: Tensor

    def __init__(
        self,
        in_features: int,
        out_features: int,
        mask: Any,  # (out_features, in_features)
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        mask = _as_mask(mask)
        if mask.shape != (out_features, in_features):
            hint = ""
            if mask.shape == (in_features, out_features):
                hint = " It fits transposed: use `mask.T`."
            raise ValueError(
                "`mask` must have shape (out_features, in_features) = "
                f"({out_features}, {in_features}), got {tuple(mask.shape)}.{hint}"
            )
        self.in_features, self.out_features = in_features, out_features
        self.weight = nn.Parameter(
            torch.empty(out_features, in_features, device=device, dtype=dtype)
        )
        if bias:
            self.bias = nn.Parameter(torch.empty(out_features, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.register_buffer("mask", (mask != 0).to(self.weight.device))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew, uniform in +-1/sqrt(fan_in) of their target."""
        fan_in = self.mask.sum(1)
        init_by_fan_in(self.weight, fan_in)
        if self.bias is not None:
            init_by_fan_in(self.bias, fan_in)

    def forward(self, input: Tensor) -> Tensor:  # (*, in_features) -> (*, out_features)
        """Return `F.linear(input, weight * mask, bias)`."""
        return F.linear(input, self.weight * self.mask, self.bias)

    def extra_repr(self) -> str:
        connections = "?" if self.mask.is_meta else int(self.mask.sum())
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"connections={connections}, bias={self.bias is not None}"
        )


class LocalLinear(MaskedLinear):
    """Feed each output from a window of `kernel_size` neighbouring inputs: a masked dense weight.

    Windows are evenly spaced from the first input to the last. With in_features = kernel_size *
    out_features they do not overlap: inputs 1-2 feed output 1, inputs 3-4 feed output 2.

    Raises:
        ValueError: if no even spacing covers all the inputs.

    Example:
        >>> LocalLinear(6, 3).mask.int()
        tensor([[1, 1, 0, 0, 0, 0],
                [0, 0, 1, 1, 0, 0],
                [0, 0, 0, 0, 1, 1]], dtype=torch.int32)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        kernel_size: int = 2,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        stride, rest = divmod(in_features - kernel_size, max(1, out_features - 1))
        if out_features == 1:
            stride, rest = 1, in_features - kernel_size
        if rest or not 1 <= stride <= kernel_size:
            raise ValueError(
                f"{out_features} evenly spaced windows of {kernel_size} cannot cover {in_features} "
                "inputs: in_features must be kernel_size + stride * (out_features - 1) "
                "with a stride from 1 to kernel_size."
            )
        topology = local1d(in_features, out_features, kernel_size=kernel_size, stride=stride)
        mask = torch.zeros(out_features, in_features, dtype=torch.bool)
        mask[topology.dst, topology.src] = True
        super().__init__(in_features, out_features, mask, bias, device, dtype)
        self.kernel_size = kernel_size


class GroupedLinear(Called):
    """Sum each of `groups` equal, consecutive groups of inputs into one output: the reshape trick.

    The fastest answer where connections are this regular: no mask, and `groups` outputs with
    in_features weights in all.

    Raises:
        ValueError: if `groups` does not divide in_features.

    Example:
        >>> layer = GroupedLinear(6, groups=3)
        >>> layer(torch.randn(8, 6)).shape, layer.weight.shape
        (torch.Size([8, 3]), torch.Size([3, 2]))
    """

    def __init__(
        self,
        in_features: int,
        groups: int,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if groups < 1 or in_features % groups:
            raise ValueError(
                f"`groups` must divide in_features={in_features} into equal groups, got {groups}."
            )
        self.in_features, self.out_features = in_features, groups
        self.weight = nn.Parameter(
            torch.empty(groups, in_features // groups, device=device, dtype=dtype)
        )
        if bias:
            self.bias = nn.Parameter(torch.empty(groups, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew, uniform in +-1/sqrt(group size)."""
        fan_in = torch.full((self.out_features,), self.weight.shape[1], device=self.weight.device)
        init_by_fan_in(self.weight, fan_in)
        if self.bias is not None:
            init_by_fan_in(self.bias, fan_in)

    def forward(self, input: Tensor) -> Tensor:  # (*, in_features) -> (*, groups)
        """Return the weighted sum of each group, plus the bias.

        Raises:
            ValueError: if the input has another number of features.
        """
        if input.shape[-1] != self.in_features:
            raise ValueError(
                f"`input` must have {self.in_features} features in its last dimension, "
                f"got shape {tuple(input.shape)}."
            )
        y = (input.unflatten(-1, self.weight.shape) * self.weight).sum(-1)
        return y if self.bias is None else y + self.bias

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, groups={self.out_features}, "
            f"bias={self.bias is not None}"
        )


def _as_mask(mask: Any) -> Tensor:
    if scipy.sparse.issparse(mask):
        mask = mask.toarray()
    elif isinstance(mask, Tensor) and mask.layout != torch.strided:
        mask = mask.to_dense()
    mask = as_matrix("`mask`", mask)
    if not mask.is_meta and not mask.isfinite().all():
        raise ValueError(
            "`mask` holds NaN or an infinity, which some read as true and some as false: use 0 for "
            "no connection."
        )
    return mask
