"""What scales weights once, and is no rule."""

import torch
from torch import Tensor

from edgelinear.layers.radius import check_radius, scale_radius
from edgelinear.rules.checks import Layer, check_layer


@torch.no_grad()
def balance(layer: Layer) -> Layer:
    """Scale weights so that excitation and inhibition of each target cancel, and return the layer.

    Of the edges into a target, those above zero are scaled by one factor and those below by
    another, so that the sums of both are equal and the sum of squares stays. Outputs of equal
    inputs then start at the bias: Rajan and Abbott, "Eigenvalue spectra of random matrices for
    neural networks" (2006). Targets of one sign alone stay as they are.

    Raises:
        ValueError: if the layer is tied or frozen, and these weights would break the rule.

    Example:
        >>> layer = EdgeLinear(3, 1, [(0, 0), (1, 0), (2, 0)], weight=[1.0, 1.0, -1.0])
        >>> torch.allclose(balance(layer).weight.sum(), torch.zeros(()), atol=1e-6)
        True
    """
    check_layer(layer)
    weight, dst = layer.weight.detach().double(), layer.topology.dst.long()

    def total(values: Tensor) -> Tensor:  # of each target
        return values.new_zeros(layer.topology.out_features).index_add(0, dst, values)

    above, below = weight.clamp(min=0), weight.clamp(max=0)
    up, down = total(above), -total(below)
    mixed = (up > 0) & (down > 0)
    balanced = above / up.clamp(min=1e-300)[dst] + below / down.clamp(min=1e-300)[dst]
    scale = (total(weight.square()) / total(balanced.square()).clamp(min=1e-300)).sqrt()
    weight = torch.where(mixed[dst], balanced * scale[dst], weight).to(layer.weight.dtype)
    layer.set_weight(weight)
    return layer


def scale_spectral_radius(layer: Layer, radius: float) -> Layer:
    """Scale all weights by one factor, so that the spectral radius is `radius`; return the layer.

    That is the largest absolute eigenvalue of `layer.to_dense()`, by which a recurrent layer
    remembers: Jaeger, "The echo state approach to analysing and training recurrent neural networks"
    (2001). The factor is positive, so that signs and ties stay. It is no rule: training moves it.
    Large layers are done by ARPACK, in O(edges) memory.

    Args:
        radius: a positive number; below 1 for a state that fades.

    Raises:
        TypeError: if `radius` is no number.
        ValueError: if it is not positive, the layer is not square or has no cycle, a weight is not
            finite, weights are frozen, or rounding decides the eigenvalue. Nothing changes then.

    Example:
        >>> layer = EdgeLinear(2, 2, [(0, 1), (1, 0)], weight=[2.0, 8.0])  # eigenvalues 4 and -4
        >>> scale_spectral_radius(layer, 1.0).weight.tolist()
        [0.5, 2.0]
    """
    check_radius(radius)
    check_layer(layer)
    sources, targets = layer.topology.in_features, layer.topology.out_features
    if sources != targets:
        raise ValueError(
            f"`layer` must have as many outputs as inputs, got {sources} -> {targets}."
        )
    scale_radius(layer, radius)
    return layer
